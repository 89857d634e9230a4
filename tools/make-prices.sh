#!/bin/sh
# Makes the price book when its package and node are there; else an empty file and a line that says what is missing, so
# that the build goes on. Usage: make-prices.sh PACKAGE_FOLDER OUT
set -eu
package=$1 out=$2

without() {
	echo "building without a price book: $1. Until it is there, name a book of your own with \`prices: PATH\`" >&2
	[ -f "$out" ] || : >"$out"
	exit 0
}

[ -f "$package/package.json" ] ||
	without "the npm package @pydantic/genai-prices could not be fetched; install nodejs and npm, and build with a network"
command -v node >/dev/null 2>&1 || without "there is no node; install nodejs"
trap 'rm -f "$out.new"' EXIT
node tools/make-prices.mjs "$package" >"$out.new"
mv "$out.new" "$out"
