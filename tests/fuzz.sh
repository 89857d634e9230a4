#!/bin/sh
# Runs the fuzzers one after the other; usage: fuzz.sh BUILD SECONDS NAME...
# Seeds: tests/fuzz/corpus/NAME/ (kept in the repository); what is found grows in BUILD/corpus/NAME/.
set -eu
build=$1 seconds=$2
shift 2
failed=0 passed=0
for name in "$@"; do
	mkdir -p "$build/corpus/$name" "$build/found"
	set -- "$build/corpus/$name"
	[ -d "tests/fuzz/corpus/$name" ] && set -- "$@" "tests/fuzz/corpus/$name"
	dict=""
	[ -f "tests/fuzz/$name.dict" ] && dict="-dict=tests/fuzz/$name.dict"
	if "$build/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$build/found/$name-" $dict "$@" >"$build/$name.log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log")
		echo "$name: ${runs:-0} inputs in $seconds s, nothing found"
		passed=$((passed + 1))
	else
		echo "$name: FAILED; input in $build/found/, report:" >&2
		tail -40 "$build/$name.log" >&2
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
