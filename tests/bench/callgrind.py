#!/usr/bin/env python3
"""Instructions for one metered call: the whole process under callgrind, twice, with few and with many calls.

The difference divided by the calls between leaves start-up and end out. Not disturbed by other programs: repeats within
a per cent where times do not. CALLS=2000 says how many.
"""

import os
import re
import shutil
import subprocess
import sys

import bench

CALLS = int(os.environ.get("CALLS", "2000"))
FEW = 200
TOP = int(os.environ.get("TOP", "15"))
MODES = {
    "unary, plain": (False, bench.CHAT_BODY, []),
    "stream of 50 chunks, plain": (False, {**bench.STREAM_BODY, "max_tokens": 50}, ["--header", "x-vendor-out: 50", "--header", "x-vendor-chunks: 50"]),
    "unary, TLS both sides": (True, bench.CHAT_BODY, []),
}


def profiled_start(out):
    real = bench.start

    def start(args, core, name):
        if "serve" in [str(a) for a in args]:
            args = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet", *args]
        return real(args, core, name)

    return start


def instructions(out):
    for line in open(out):
        found = re.match(r"(?:summary|totals): (\d+)", line)
        if found:
            return int(found[1])
    raise SystemExit(f"callgrind: no total in {out}")


def run(vendor, tls, body, more, calls):
    out = bench.WORK / f"callgrind.{'tls' if tls else 'plain'}.{calls}"
    real_start, real_wait = bench.start, bench.wait_file
    bench.start = profiled_start(out)
    bench.wait_file = lambda path, process, seconds=120: real_wait(path, process, seconds)
    try:
        b = bench.Bursar(vendor, tls)
    finally:
        bench.start, bench.wait_file = real_start, real_wait
    args = bench.load_args(b, vendor, tls, False, body, ["--connections", "8", "--warmup", "0", "--seconds", "300", "--calls", str(calls), *more])
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    b.stop()
    if done.returncode != 0:
        raise SystemExit(f"callgrind: the load failed: {done.stdout} {done.stderr}")
    return instructions(out), out


def main():
    if not shutil.which("valgrind"):
        raise SystemExit("callgrind: valgrind is missing; tools/install.sh test installs it")
    bench.WORK.mkdir(parents=True, exist_ok=True)
    bench.descriptors()
    vendor = bench.Vendor()
    try:
        for name, (tls, body, more) in MODES.items():
            few, few_out = run(vendor, tls, body, more, FEW)
            many, out = run(vendor, tls, body, more, FEW + CALLS)
            print(f"{name}: {(many - few) / CALLS:,.0f} instructions a call ({out.relative_to(bench.ROOT)})", flush=True)
            top(few_out, out)
    finally:
        bench.end(vendor.process)


def by_function(out):
    """Own instructions of each function."""
    done = subprocess.run(["callgrind_annotate", "--auto=no", "--tree=none", "--threshold=100", str(out)], capture_output=True, text=True)
    table = {}
    for line in done.stdout.splitlines():
        found = re.match(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(\S+)", line)
        if found and ":" in found[2]:
            table[found[2]] = table.get(found[2], 0) + int(found[1].replace(",", ""))
    return table


def top(few, many):
    """The dearest functions for each call."""
    before, after = by_function(few), by_function(many)
    grown = {f: (n - before.get(f, 0)) / CALLS for f, n in after.items()}
    for f, n in sorted(grown.items(), key=lambda x: -x[1])[:TOP]:
        print(f"    {n:10,.0f}  {f}")


if __name__ == "__main__":
    sys.exit(main())
