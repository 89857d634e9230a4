#!/usr/bin/env python3
"""Runs the whole test suite and ends with one line, "N passed, N failed".

Unit tests run under AddressSanitizer and UndefinedBehaviorSanitizer, those with threads also under ThreadSanitizer; the
end-to-end tests run against the sanitized program where time allows, the rest against the release.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTEST = ROOT / "build" / "venv" / "bin" / "pytest"
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=98",
}

# Acceptance data that is not part of the repository; its tests are left out where it is not at hand.
DATA = pathlib.Path(os.environ.get("BURSAR_ACCEPTANCE_DATA", ROOT / "acceptance"))
CASES_ENV = {
    **({"BURSAR_USAGE_CASES": str(DATA / "usage-cases.jsonl")} if (DATA / "usage-cases.jsonl").exists() else {}),
    **({"BURSAR_TOKEN_CASES": str(DATA / "token-cases.jsonl")} if (DATA / "token-cases.jsonl").exists() else {}),
    **({"BURSAR_PRICE_ORACLE": str(DATA / "price-oracle.jsonl")} if (DATA / "price-oracle.jsonl").exists() else {}),
}
# For the unit tests only: to bursar itself this variable is its setting `prices`.
DATA_ENV = {**CASES_ENV, "BURSAR_PRICES": str(ROOT / "build" / "release" / "prices.json")}

passed = failed = skipped = 0
failures = []
counting = threading.Lock()
# Too slow under a sanitizer, or at odds with one: they run against the release.
SANITIZED_AT_ONCE = 3
E2E = "tests/e2e/"
RELEASE_ONLY = ("test_alert_crash.py", "test_crash.py", "test_kill_points.py", "test_leak.py", "test_storage_faults.py", "test_zones.py")


def say(text):
    print(text, flush=True)


def unit(binary, label, **more):
    """One cmocka program; its counts are in its own words."""
    global passed, failed, skipped
    began = time.monotonic()
    try:
        done = subprocess.run([binary], cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=900,
                              env={**os.environ, **SANITIZER_ENV, **DATA_ENV, **more})
        words, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as e:
        words, code = str(e), -1
    good = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", words))
    bad = sum(int(n) for n in re.findall(r"\[  FAILED  \] (\d+) test", words))
    if code != 0 and bad == 0:
        bad = 1  # crashed, leaked or hung
    left = sum(int(n) for n in re.findall(r"\[  SKIPPED \] (\d+) test", words))
    with counting:
        passed += good
        failed += bad
        skipped += left
    say(f"{label} {binary.name}: {good} passed, {bad} failed ({time.monotonic() - began:.1f} s)")
    if bad:
        failures.append(f"{label} {binary.name}")
        say(words[-6000:])


def add_up(label, report, code):
    global passed, failed, skipped
    if not report.exists():
        failed += 1
        failures.append(f"{label}: pytest ended with {code}")
        return
    for suite in xml.etree.ElementTree.parse(report).getroot().iter("testsuite"):
        bad = int(suite.get("failures")) + int(suite.get("errors"))
        left = int(suite.get("skipped"))
        passed += int(suite.get("tests")) - bad - left
        failed += bad
        skipped += left
    if code not in (0, 1):
        failed += 1
    if code != 0:
        failures.append(label)


def pytest_run(label, build, paths, *options, quiet=False, **more):
    """`quiet`: its words come in one piece at its end, for it runs beside another."""
    report = ROOT / "build" / f"{label.replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    if not quiet:
        say(f"== {label}")
    began = time.monotonic()
    done = subprocess.run(
        [PYTEST, "-c", "tests/pytest.ini", "-q", f"--junitxml={report}", "-m", "not soak", *options, *paths], cwd=ROOT,
        env={**os.environ, **SANITIZER_ENV, **CASES_ENV, "BURSAR_BUILD": build, **more},
        **({"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"} if quiet else {}),
    )
    with counting:
        if quiet:
            say(f"== {label}\n{done.stdout}")
        say(f"{label}: {time.monotonic() - began:.0f} s")
        add_up(label, report, done.returncode)


def release_runs():
    """Beside the sanitized runs: mostly waiting."""
    pytest_run("leaks", "build/release", [E2E + "test_leak.py"], "-s", quiet=True, LEAK_MINUTES=os.environ.get("LEAK_MINUTES", "5"))
    pytest_run("SDKs", "build/release", ["tests/sdk"], quiet=True)
    pytest_run("memory", "build/release", [E2E + "test_limits.py"], "-k", "memory or megabyte", quiet=True)


def more_release_runs():
    unit(ROOT / "build/release/tests/unit/policy_engine_oracle_test", "ten million operations:", BURSAR_ORACLE_OPS="10000000")
    pytest_run("zones, kill points, disks", "build/release", [E2E + f for f in RELEASE_ONLY if "crash" not in f and "leak" not in f],
               "-s", quiet=True)
    pytest_run("kill -9", "build/release", [E2E + "test_crash.py", E2E + "test_alert_crash.py"], "-s", quiet=True)
    pytest_run("dead channels", "build/release", [E2E + "test_alert_delivery.py"], "-s", "-k", "feel or dead", quiet=True)


def sanitized_runs():
    """The end-to-end tests against the sanitized program, file by file; they mostly wait, so several run beside each other."""
    files = [p for p in (ROOT / "tests" / "e2e").glob("test_*.py") if p.name not in RELEASE_ONLY]
    files.sort(key=lambda p: p.stat().st_size)  # the largest is taken first

    def work():
        while True:
            with counting:
                if not files:
                    return
                path = files.pop()
            pytest_run(f"sanitized {path.stem}", "build/asan", [path], quiet=True)

    workers = [threading.Thread(target=work) for _ in range(SANITIZED_AT_ONCE)]
    for w in workers:
        w.start()
    return workers


def units(build, names=None):
    folder = ROOT / build / "tests" / "unit"
    binaries = [p for p in sorted(folder.glob("*_test")) if names is None or p.name in names]
    if not binaries:
        say(f"no unit tests in {folder}")
        failures.append(f"unit tests of {build}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda b: unit(b, build.removeprefix("build/")), binaries))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--all", action="store_true")
    p.add_argument("--unit", action="store_true")
    p.add_argument("--tsan", default="")
    o = p.parse_args()
    began = time.monotonic()
    if o.all or o.unit:
        units("build/asan")
    if o.tsan.split():
        units("build/tsan", set(o.tsan.split()))
    if o.all:
        beside = [threading.Thread(target=release_runs), threading.Thread(target=more_release_runs)]
        for thread in beside:
            thread.start()
        for thread in sanitized_runs() + beside:
            thread.join()
    if failures:
        say("failed: " + "; ".join(failures))
    say(f"took {time.monotonic() - began:.0f} s")
    say(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or failures else 0)


if __name__ == "__main__":
    main()
