#!/usr/bin/env python3
"""Do the tests of the budget engine notice a fault? Builds every mutant of engine.py in a folder of its own, runs the
tests that judge it, and prints which of them failed. Exits 1 when a mutant survives, does not build, or has gone stale.

usage: run.py BUILD [part of a name ...]      JOBS=n at once; MUTANT_OPS=n operations of the oracle
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from engine import MUTANTS  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
CFLAGS = ["-std=c17", "-D_GNU_SOURCE", "-O1", "-g", "-fPIE", "-w"]
UNIT = ["engine", "engine_match", "engine_steps", "engine_settle", "engine_time", "engine_restore", "engine_rolling",
        "engine_shadow", "engine_change", "engine_ladder", "engine_window", "budget_window", "window_ring", "clock_guard",
        "engine_oracle"]
SLOW = ["engine_perturb", "engine_threads"]  # asked when no other has noticed
TESTS = [f"policy_{name}_test" for name in UNIT]
SLOW_TESTS = [f"policy_{name}_test" for name in SLOW]
ROOM = sorted((ROOT / "policy").glob("*.c"))
PERTURB = "policy_engine_perturb_test"  # has the engine's text in it
ENV = {**os.environ, "BURSAR_ORACLE_SHRINK": "0", "BURSAR_ORACLE_OPS": os.environ.get("MUTANT_OPS", "60000"),
       "BURSAR_ORACLE_SEED": "1", "BURSAR_THREADS_OPS": "4000"}


def compile_one(source, to, folders):
    includes = [f"-I{f}" for f in folders]
    subprocess.run(["gcc", *CFLAGS, *includes, "-c", str(source), "-o", str(to)], check=True, capture_output=True, text=True)


def link(test, at, room, base, folder):
    room = [o for o in room if not (test == PERTURB and o.stem.startswith("engine"))]
    subprocess.run(["gcc", "-pie", *map(str, [at, *room]), str(base), "-lpthread", "-lm", "-lcmocka", "-o",
                    str(folder / test)], check=True, capture_output=True, text=True)


def test_source(test):
    return ROOT / "tests" / "unit" / f"{test}.c"


def build_plain(build):
    """Objects of the room and of its tests, as they are: what a mutant does not touch is not compiled again."""
    build.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(jobs()) as pool:
        sources = ROOM + [test_source(t) for t in TESTS + SLOW_TESTS + ["base_amount_test"]]
        for done in [pool.submit(compile_one, s, build / f"{s.stem}.o", [ROOT]) for s in sources]:
            done.result()


def jobs():
    return int(os.environ.get("JOBS", os.cpu_count() or 1))


def mutate(file, old, new, folder):
    text = (ROOT / file).read_text()
    if text.count(old) != 1:
        raise ValueError(f"stands {text.count(old)} times in {file}: {old!r}")
    mutant = folder / file
    mutant.parent.mkdir(parents=True, exist_ok=True)
    mutant.write_text(text.replace(old, new))
    return mutant


def includes(source, header):
    text = source.read_text()
    return header in text or "engine_internal.h" in text


def build_room(mutant, plain, folder):
    """The objects of the room; only what the mutant touches is compiled."""
    objects = []
    for source in ROOM:
        own = source.name == mutant.name
        if own or (mutant.suffix == ".h" and includes(source, mutant.name)):
            objects.append(folder / f"{source.stem}.o")
            compile_one(mutant if own else source, objects[-1], [folder, ROOT])
        else:
            objects.append(plain / f"{source.stem}.o")
    return objects


def build_test(test, mutant, room, plain, folder, base):
    at = plain / f"{test}.o"
    if test == PERTURB or (mutant.suffix == ".h" and includes(test_source(test), mutant.name)):
        at = folder / f"{test}.o"
        compile_one(test_source(test), at, [folder, ROOT])
    link(test, at, room, base, folder)


def run_test(path):
    """The names of its failing test functions; empty: all passed."""
    try:
        done = subprocess.run([str(path)], env=ENV, capture_output=True, text=True, errors="replace", timeout=60)
    except subprocess.TimeoutExpired:
        return ["hangs"]
    if done.returncode == 0:
        return []
    failed = re.findall(r"\[  FAILED  \] (\w+)", done.stdout + done.stderr)
    return list(dict.fromkeys(failed)) or ["crashes"]


def judge(folder, tests, build=None):
    killers = []
    for test in tests:
        if build:
            build(test)
        short = test.removeprefix("policy_").removesuffix("_test")
        failed = run_test(folder / test)
        if failed:
            more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
            killers.append(f"{short}: {failed[0]}{more}")
    return killers


def killers_of(file, mutant, plain, folder, base):
    if file.startswith("base/"):
        own = folder / f"{mutant.stem}.o"
        compile_one(mutant, own, [folder, ROOT])
        link("base_amount_test", plain / "base_amount_test.o", [own], base, folder)
        return judge(folder, ["base_amount_test"])
    room = build_room(mutant, plain, folder)

    def build(test):
        build_test(test, mutant, room, plain, folder, base)

    return judge(folder, TESTS, build) or judge(folder, SLOW_TESTS, build)


def kill(number, mutant, plain, build, base):
    name, file, old, new = mutant
    folder = build / f"{number:02d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        killers = killers_of(file, mutate(file, old, new, folder), plain, folder, base)
    except ValueError as error:
        return name, None, str(error)
    except subprocess.CalledProcessError as error:
        return name, None, "does not build: " + (error.stderr or "").strip()[:400]
    shutil.rmtree(folder)
    return name, killers, ""


def baseline(plain, base):
    """Without a mutation all must pass, or the table says nothing."""
    room = [plain / f"{s.stem}.o" for s in ROOM]
    tests = TESTS + SLOW_TESTS
    for test in tests:
        link(test, plain / f"{test}.o", room, base, plain)
    link("base_amount_test", plain / "base_amount_test.o", [], base, plain)
    return judge(plain, tests + ["base_amount_test"])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]) / "mutants"
    base = pathlib.Path(sys.argv[1]) / "libbase.a"
    plain = build / "plain"
    chosen = [m for m in MUTANTS if not sys.argv[2:] or any(part in m[0] for part in sys.argv[2:])]
    build_plain(plain)
    bad = baseline(plain, base)
    if bad:
        sys.exit("fails without a mutant: " + "; ".join(bad))
    survivors = 0
    width = max(len(m[0]) for m in chosen)
    print(f"{'mutant':{width}} | killed by", flush=True)
    with concurrent.futures.ThreadPoolExecutor(jobs()) as pool:
        for name, killers, why in pool.map(lambda m: kill(MUTANTS.index(m), m, plain, build, base), chosen):
            survivors += not killers
            print(f"{name:{width}} | {', '.join(killers) if killers else why or 'SURVIVES'}", flush=True)
    print(f"{len(chosen)} mutants, {len(chosen) - survivors} killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
