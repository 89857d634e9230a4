#!/bin/sh
# Makes one vocabulary's tables when its file is there and is the one that its vendor publishes; else an empty file, so
# that the build goes on. Usage: make-vocab.sh GENERATOR FILE.tiktoken OUT
set -eu
generator=$1 file=$2 out=$3
name=$(basename "$file")
if [ ! -f "$file" ]; then
	# fetch-data.sh has said why
	[ -f "$out" ] || : >"$out"
	exit 0
fi
wanted=$(sed -n "s/  $name\$//p" tools/data/vocab.sha256)
if [ "$(sha256sum "$file" | cut -d ' ' -f 1)" != "$wanted" ]; then
	echo "make-vocab.sh: $file is not the file named in tools/data/vocab.sha256" >&2
	exit 1
fi
"$generator" "$file" "$out.new"
mv "$out.new" "$out"
