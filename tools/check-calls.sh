#!/bin/sh
# Calls that have no place in this program; usage: check-calls.sh FILE...
set -eu

banned='strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof|alloca|scanf|sscanf|system|popen|mktemp|tmpnam|rand|setenv|putenv|localtime|gmtime|asctime|ctime'

# Comments and strings may name them.
found=$(for f in "$@"; do
	sed -E 's:"([^"\\]|\\.)*":"":g; s://.*$::; s:/\*.*\*/::g; s:^[[:space:]]*\*.*$::; s:/\*.*$::' "$f" |
		grep -nE "(^|[^a-zA-Z0-9_>.])($banned)[[:space:]]*\(" | sed "s:^:$f\::" || true
done)
if [ -n "$found" ]; then
	echo "$found" >&2
	echo "check-calls: banned calls" >&2
	exit 1
fi
