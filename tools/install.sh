#!/bin/sh
# Installs the Debian packages that a target needs, and nothing when they are there already.
#   tools/install.sh run    to build and run bursar
#   tools/install.sh test   to build and run every test, the benchmark and the fuzzers too
set -eu

run_packages="gcc make pkg-config libevent-dev libssl-dev libnghttp2-dev libsqlite3-dev libjansson-dev libyaml-dev
zlib1g-dev libbrotli-dev libzstd-dev libcurl4-openssl-dev ca-certificates tzdata"
test_packages="$run_packages libcmocka-dev clang libclang-rt-dev clang-format cppcheck llvm nginx-light valgrind curl python3
python3-venv util-linux procps iproute2 faketime"
# Other people's programs that tests look at bursar with: where one cannot be had, its tests are skipped.
welcome_packages="prometheus-alertmanager chromium"

case "${1:-}" in
run) wanted=$run_packages ;;
test) wanted=$test_packages ;;
*)
	echo "usage: tools/install.sh run|test" >&2
	exit 64
	;;
esac

installed() {
	dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'
}

# The programs count, wherever they came from; another nginx than Debian's light one serves as well.
present() {
	case "$1" in
	nginx-light) installed nginx-light || command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] ;;
	gcc | make | clang | clang-format | cppcheck | valgrind | curl | python3) installed "$1" || command -v "$1" >/dev/null 2>&1 ;;
	llvm) command -v llvm-symbolizer >/dev/null 2>&1 || installed llvm ;;
	pkg-config) command -v pkg-config >/dev/null 2>&1 ;;
	chromium | prometheus-alertmanager) installed "$1" || command -v "$1" >/dev/null 2>&1 ;;
	python3-venv) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
	*) installed "$1" ;;
	esac
}

missing=""
for p in $wanted; do
	present "$p" || missing="$missing $p"
done
# For the price book and the vocabularies. npm of Debian pulls in hundreds of packages: only where no npm is there.
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"

welcome=""
if [ "$1" = test ]; then
	for p in $welcome_packages; do
		present "$p" || welcome="$welcome $p"
	done
fi

[ -n "$missing$welcome" ] || exit 0
if [ -z "$missing" ] && { [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; }; then
	echo "tools/install.sh: without these, some tests are skipped:$welcome" >&2
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "tools/install.sh: these packages are needed, and there is no apt-get to install them:$missing" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "tools/install.sh: these packages are needed; install them as root with" >&2
	echo "    apt-get install -y --no-install-recommends$missing" >&2
	exit 1
fi
echo "installing:$missing$welcome"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null || echo "tools/install.sh: apt-get update failed; going on with the lists there are" >&2
# shellcheck disable=SC2086
[ -z "$missing" ] || apt-get install -y -q --no-install-recommends $missing >/dev/null
for p in $welcome; do
	apt-get install -y -q --no-install-recommends "$p" >/dev/null ||
		echo "tools/install.sh: $p cannot be had here; its tests are skipped" >&2
done
