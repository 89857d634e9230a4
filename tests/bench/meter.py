#!/usr/bin/env python3
"""Speed of the meter room: times from the program given, instructions from valgrind when it is there.

Instructions of one chunk: the difference between two runs divided by the chunks between, so that start and end are left
out; they repeat exactly where times do not.
"""

import re
import shutil
import subprocess
import sys

STREAMS = ("chat", "responses", "anthropic", "gemini")
FEW, MANY = 1000, 11000


def instructions(program, stream, count):
    args = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, "chunks", stream, str(count)]
    done = subprocess.run(args, capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def main():
    program = sys.argv[1]
    subprocess.run([program], check=True)
    if not shutil.which("valgrind"):
        print("valgrind is not installed: no count of instructions")
        return
    for stream in STREAMS:
        each = (instructions(program, stream, MANY) - instructions(program, stream, FEW)) / (MANY - FEW)
        print(f"tap, {stream:10s} {each:7.0f} instructions a chunk")


if __name__ == "__main__":
    main()
