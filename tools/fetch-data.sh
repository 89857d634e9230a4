#!/bin/sh
# Fetches the packages of tools/data/package-lock.json into a folder; usage: fetch-data.sh FOLDER
# FOLDER/ready stands there afterwards when it worked. Otherwise one line says what is missing, and the exit is still 0:
# the program is built without this data.
set -eu
folder=$1
mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp tools/data/package.json tools/data/package-lock.json "$work"
if ! command -v npm >/dev/null 2>&1; then
	echo "no npm here: building without what tools/data/package.json names (exact token counts, list prices)" >&2
elif (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 --loglevel=error) >"$work/log" 2>&1; then
	touch "$work/ready"
	# Two builds may fetch at a time; whichever is last wins, both are the same.
	rm -rf "$folder"
	mv "$work" "$folder" 2>/dev/null || [ -e "$folder/ready" ]
else
	echo "npm cannot fetch tools/data/package.json ($(tail -1 "$work/log")): building without it" >&2
fi
