#!/usr/bin/env python3
"""Counting tokens: bursar beside the tokenizers of npm, one text, one core, one run.

usage: bench.py SPEED FOLDER           the table, the goals, and the texts that slow tokenizers choke on
       bench.py check BURSAR FOLDER N  N random texts against npm tiktoken, token by token

Figures are of processor time: a busy machine changes them less. `first` is the median of new processes.
"""

import json
import statistics
import subprocess
import sys
import tempfile

NAMES = ("o200k_base", "cl100k_base")
FRESH = 5
GOAL_WARM, GOAL_FIRST, GOAL_TIMES, GOAL_WORST_MS = 200, 150, 15, 100


def figures(*command):
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {" ".join(line.split()[:-1]): float(line.split()[-1]) for line in out.splitlines()}


def goal(good, text):
    print(f"  {'met   ' if good else 'MISSED'} {text}")
    return good


def speed(program, folder):
    corpus = f"{folder}/corpus.txt"
    ours = figures(program, corpus, "30")
    fresh = [figures(program, corpus, "0") for _ in range(FRESH)]
    theirs = figures("node", "tests/bench/tokens/compare.mjs", folder, corpus)
    good = True
    for name in NAMES:
        first = statistics.median(f[f"{name} first"] for f in fresh)
        warm = ours[f"{name} warm"]
        others = {t: max(theirs[f"{t} {name} first"], theirs[f"{t} {name} warm"]) for t in ("tiktoken", "gpt-tokenizer")}
        print(f"{name}, MB/s")
        print(f"  bursar                 {warm:7.1f} warm  {first:7.1f} first pass  {ours[f'{name} short']:7.1f} in messages of 500 bytes"
              f"  {ours[f'{name} uncached']:7.1f} without cache")
        for t, version in (("tiktoken", "1.0.22"), ("gpt-tokenizer", "4.0.0")):
            print(f"  {'npm ' + t + ' ' + version:<22} {theirs[f'{t} {name} warm']:7.1f} warm  {theirs[f'{t} {name} first']:7.1f} first pass")
        times = warm / max(others.values())
        worst = {k.split("worst_")[1][:-3]: v for k, v in ours.items() if k.startswith(f"{name} worst_")}
        print("  1 MB of one kind, ms: " + ", ".join(f"{k} {v:.0f}" for k, v in worst.items()))
        good &= goal(warm >= GOAL_WARM, f"warm {warm:.0f} MB/s, goal {GOAL_WARM}")
        good &= goal(first >= GOAL_FIRST, f"first pass {first:.0f} MB/s, goal {GOAL_FIRST}")
        good &= goal(times >= GOAL_TIMES, f"{times:.0f} times the faster of the two, goal {GOAL_TIMES}")
        good &= goal(max(worst.values()) < GOAL_WORST_MS, f"worst text {max(worst.values()):.0f} ms, goal under {GOAL_WORST_MS}")
    return good


def check(bursar, folder, n):
    wrong = 0
    with tempfile.NamedTemporaryFile("w+", suffix=".jsonl") as texts:
        subprocess.run(["node", "tests/bench/tokens/check.mjs", folder, n, "1"], check=True, stdout=texts)
        got = subprocess.run([bursar, "tokens", "--jsonl", texts.name, "--ids"], check=True, capture_output=True, text=True).stdout
        texts.seek(0)
        answers = got.splitlines()
        lines = texts.readlines()
        for line, answer in zip(lines, answers):
            want, have = json.loads(line), json.loads(answer)
            bad = [e for e in NAMES if want[f"expect_{e}"] != have[f"{e}_ids"] or len(have[f"{e}_ids"]) != have[e]]
            if bad:
                wrong += 1
                print(f"{bad}: {want['text']!r}")
    if len(lines) != len(answers):
        print(f"{len(answers)} answers to {len(lines)} texts")
        return False
    print(f"{len(lines)} texts, {wrong} wrong")
    return wrong == 0


if __name__ == "__main__":
    fine = check(*sys.argv[2:5]) if sys.argv[1] == "check" else speed(sys.argv[1], sys.argv[2])
    sys.exit(0 if fine else 1)
