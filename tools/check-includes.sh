#!/bin/sh
# A room includes only itself and rooms below it (ARCHITECTURE.md); usage: check-includes.sh ROOM...
set -eu

below() {
	case "$1" in
	base) echo "base" ;;
	net) echo "net base" ;;
	tokens) echo "tokens base" ;;
	price) echo "price base" ;;
	meter) echo "meter tokens price base" ;;
	policy) echo "policy base" ;;
	store) echo "store base" ;;
	proxy) echo "proxy net meter tokens price policy store base" ;;
	alerts) echo "alerts net store base" ;;
	api) echo "api alerts proxy net price policy store base" ;;
	app) echo "app api alerts proxy net meter tokens price policy store base" ;;
	*) echo "" ;;
	esac
}

bad=0
for room in "$@"; do
	allowed=$(below "$room")
	[ -n "$allowed" ] || { echo "check-includes: no rule for the room $room" >&2; exit 1; }
	pattern=$(echo "$allowed" | tr ' ' '|')
	# Includes in quotes are ours and name a room.
	wrong=$(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$room"/*.c "$room"/*.h 2>/dev/null |
		grep -vE "\"($pattern)/[a-z0-9_]+\.h\"" || true)
	if [ -n "$wrong" ]; then
		echo "$wrong" | sed "s/^/$room may include only $allowed: /" >&2
		bad=1
	fi
done
exit $bad
