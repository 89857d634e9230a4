#!/usr/bin/env python3
"""Runs the unit tests of engine, windows, prices and journal in a build with --coverage and says what they left out.

coverage.py BUILD: per file the share of lines and of branches that were taken, then every branch that never was, with
its line. What cannot be taken in a test is named in tests/coverage.txt with its reason, counted apart and printed too;
left out by rule are the side of CHECK() that ends the program, and for each macro of the JSON library on a line the one
side that asks for NULL what was asked before. Ends with 1 when a test fails, when a branch is missing
that is not excused, or when an excuse fits no line any more.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
GROUPS = {
    "engine": ["policy/engine*.c"],
    "windows": ["policy/budget*.c", "policy/window_ring.c", "policy/parent.c", "policy/overlap.c", "policy/clock_guard.c",
                "policy/pace.c", "base/calendar.c"],
    "prices": ["price/price*.c"],
    "journal": ["store/journal.c"],
}
EXCUSES = ROOT / "tests" / "coverage.txt"
# What may be told of the environment of a test program: short runs, the repository's own price book.
SHORT = {"BURSAR_ORACLE_OPS": "100000", "BURSAR_THREADS_OPS": "20000",
         "BURSAR_PRICES": str(ROOT / "build" / "release" / "prices.json")}


def files():
    out = {}
    for group, patterns in GROUPS.items():
        for pattern in patterns:
            out |= {str(p.relative_to(ROOT)): group for p in sorted(ROOT.glob(pattern))}
    return out


def run_tests(build):
    """Every test program of the rooms; a failed one is named, and the rest goes on."""
    failed = []
    env = {**os.environ, **SHORT}
    data = pathlib.Path(os.environ.get("BURSAR_ACCEPTANCE_DATA", ROOT / "acceptance")) / "price-oracle.jsonl"
    if data.exists():
        env["BURSAR_PRICE_ORACLE"] = str(data)
    for test in sorted((build / "tests" / "unit").glob("*_test")):
        done = subprocess.run([test], cwd=ROOT, env=env, capture_output=True, text=True, errors="replace", timeout=900)
        if done.returncode != 0:
            failed.append(test.name)
            print(f"{test.name} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-3000:]}")
    return failed


class Counts:
    def __init__(self):
        self.lines = collections.Counter()
        self.branches = collections.defaultdict(collections.Counter)  # line -> branch number -> times taken


def read_counts(build, wanted):
    """What gcov says, summed over all objects that contain a file: a test may include the source it looks into."""
    counts = {name: Counts() for name in wanted}
    for notes in sorted(build.rglob("*.gcno")):
        source = notes.relative_to(build).with_suffix(".c")
        if str(source) not in wanted and not str(source).startswith("tests/unit"):
            continue
        done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", "--branch-counts", notes],
                              cwd=ROOT, capture_output=True, text=True, check=True)
        for document in done.stdout.splitlines():
            for file in json.loads(document)["files"]:
                name = file["file"]
                if name not in counts:
                    continue
                for line in file["lines"]:
                    n = line["line_number"]
                    counts[name].lines[n] += line["count"]
                    for i, branch in enumerate(line["branches"]):
                        counts[name].branches[n][i] += branch["count"]
    return counts


# Each has a test for NULL in it.
JSON_MACRO = re.compile(r"\bjson_(?:is_\w+|object_foreach)\(")


def check_lines(text):
    """Numbers of the lines on which a CHECK stands, all lines of its expression."""
    out, depth = set(), 0
    for number, line in enumerate(text.splitlines(), 1):
        start = re.search(r"\bCHECK(_OBJ)?\(", line)
        if depth == 0 and not start:
            continue
        part = line[start.end() - 1:] if depth == 0 else line
        depth += part.count("(") - part.count(")")
        out.add(number)
    return out


def read_excuses():
    """Lines "FILE | part of the line | how many of its branches | reason"; 0 branches: the line itself is never run."""
    out = []
    if not EXCUSES.exists():
        return out
    for line in EXCUSES.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            file, text, branches, reason = (part.strip() for part in line.split(" | "))
            out.append({"file": file, "text": text, "branches": int(branches), "reason": reason, "used": 0})
    return out


class Sums:
    def __init__(self):
        self.lines = self.lines_hit = self.branches = self.branches_hit = self.by_rule = self.excused = 0

    def add(self, other):
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def row(self, label):
        def share(hit, all_):
            return f"{hit}/{all_}".rjust(11) + f"{100 * hit / all_ if all_ else 100:7.2f} %"
        return (f"{label:28}{share(self.lines_hit, self.lines)}{share(self.branches_hit, self.branches)}"
                f"{self.by_rule:8}{self.excused:9}")


def judge(name, counts, excuses):
    """(sums, the branches and lines that nobody took, the excused ones)."""
    text = (ROOT / name).read_text()
    source, checks = text.splitlines(), check_lines(text)
    mine = [e for e in excuses if e["file"] == name]
    s, missing, excused = Sums(), [], []
    for number, times in sorted(counts.lines.items()):
        words = source[number - 1].strip()
        excuse = next((e for e in mine if e["text"] in words), None)
        taken = counts.branches[number]
        left = [i for i, n in sorted(taken.items()) if n == 0]
        macros = len(JSON_MACRO.findall(words))
        if number in checks or (left and len(left) <= macros):
            s.by_rule += len(left)
            s.branches += len(taken) - len(left)
            s.branches_hit += len(taken) - len(left)
            left = []
        elif excuse and len(left) <= excuse["branches"] and (left or times == 0):
            excuse["used"] += 1
            excused.append(f"{name}:{number}: {len(left)} of {len(taken)}: {words}   [{excuse['reason']}]")
            s.excused += len(left)
            s.branches += len(taken) - len(left)
            s.branches_hit += len(taken) - len(left)
            if times == 0:
                continue
            left = []
        else:
            s.branches += len(taken)
            s.branches_hit += len(taken) - len(left)
        s.lines += 1
        s.lines_hit += times > 0
        if left:
            missing.append(f"{name}:{number}: {len(left)} of {len(taken)} branches: {words}")
        elif times == 0:
            missing.append(f"{name}:{number}: not run: {words}")
    return s, missing, excused


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    wanted = files()
    for old in build.rglob("*.gcda"):
        old.unlink()
    failed = run_tests(build)
    counts = read_counts(build, wanted)
    excuses = read_excuses()
    total, missing, excused = Sums(), [], []
    print(f"{'':28}{'lines':>20}{'branches':>20}{'by rule':>8}{'excused':>9}")
    for group in GROUPS:
        sums = Sums()
        rows = []
        for name in (n for n, g in wanted.items() if g == group):
            one, left, out = judge(name, counts[name], excuses)
            rows.append(one.row("  " + name))
            sums.add(one)
            missing += left
            excused += out
        print(sums.row(group), *rows, sep="\n")
        total.add(sums)
    print(total.row("all"))
    if excused:
        print("excused by tests/coverage.txt:", *("  " + line for line in excused), sep="\n")
    if missing:
        print("not taken:", *("  " + line for line in missing), sep="\n")
    unused = [f"{e['file']} | {e['text']}" for e in excuses if not e["used"]]
    if unused:
        print("excuses that fit no line that needs one:", *("  " + line for line in unused), sep="\n")
    if failed:
        print("failed: " + " ".join(failed))
    print(f"branches: {100 * total.branches_hit / total.branches:.2f} %, {len(missing)} lines with something left out, "
          f"{total.by_rule} left out by rule, {total.excused} excused")
    sys.exit(1 if failed or missing or unused else 0)


if __name__ == "__main__":
    main()
