"""A year of days: budgets in five zones, each beginning anew at its own midnight, days of 23, 24.5 and 25 hours included.

bursar's wall clock is libfaketime's; it stands still at an instant that the test sets. What must be is worked out with
Python's zoneinfo.
"""

import datetime as dt
import os
import pathlib
import random
import sqlite3
import zoneinfo

import pytest

import harness
from harness import CHAT, Wire, budget, chat, nanousd, request_bytes, wait_for

LIBRARY = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
# The clock goes forward over midnight (Havana), by half an hour (Lord Howe), back for a month (Casablanca).
ZONES = ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"]
FIRST, LAST = dt.date(2026, 1, 1), dt.date(2027, 1, 2)
TOKENS = 16


def day_start(zone, date):
    """First instant of the local date; by looking at every half hour around its midnight."""
    noon = dt.datetime(date.year, date.month, date.day, 12, tzinfo=dt.timezone.utc)
    t = int(noon.timestamp()) - 30 * 3600
    while dt.datetime.fromtimestamp(t, zone).date() < date:
        t += 900
    return t


def midnights(zone):
    days = [FIRST + dt.timedelta(days=i) for i in range(-1, (LAST - FIRST).days + 2)]
    return [day_start(zone, d) for d in days]


class Clock:
    """What bursar takes for the time."""

    def __init__(self, directory):
        self.path = directory / "now"

    def set(self, unix_s):
        text = dt.datetime.fromtimestamp(unix_s, dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S\n")
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.rename(self.path)

    def environment(self):
        return {**os.environ, "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"}


class Caller:
    """One call a time on one connection."""

    def __init__(self, bursar):
        self.wire = Wire(bursar.proxy)
        self.request = request_bytes("/openai" + CHAT, chat(max_tokens=TOKENS))

    def pay(self):
        self.wire.send(self.request)
        answer = self.wire.read_answer()
        assert answer.status == 200, answer.body


class Expected:
    """How many calls each window of each zone has seen."""

    def __init__(self):
        self.zones = {name: zoneinfo.ZoneInfo(name) for name in ZONES}
        self.starts = {name: midnights(zone) for name, zone in self.zones.items()}
        self.calls = {name: {} for name in ZONES}

    def window(self, name, t):
        starts = self.starts[name]
        i = max(i for i, s in enumerate(starts) if s <= t)
        return starts[i], starts[i + 1]

    def paid(self, t):
        for name in ZONES:
            start = self.window(name, t)[0]
            self.calls[name][start] = self.calls[name].get(start, 0) + 1

    def in_window(self, name, t):
        return self.calls[name].get(self.window(name, t)[0], 0)


def instant(text):
    return int(dt.datetime.fromisoformat(text).timestamp())


def check(bursar, expected, t, cost, where):
    """Spent, beginning and end of every budget; waits for the last call to be settled."""
    def settled():
        rows = bursar.budgets()
        return rows if all(r["held"] == "0" for r in rows.values()) else None

    rows = wait_for(settled, "the call to be settled")
    for name in ZONES:
        start, end = expected.window(name, t)
        row = rows[name]
        got = (nanousd(row["spent"]), instant(row["starts_at"]), instant(row["resets_at"]))
        assert got == (expected.in_window(name, t) * cost, start, end), (name, where, t, row)


def visits(expected):
    """A second before and a second after every midnight of every zone of the year, and the days on which a zone's
    clock changes hour by hour."""
    times = set()
    for name in ZONES:
        starts = [s for s in expected.starts[name] if s <= day_start(expected.zones[name], LAST)]
        for start, end in zip(starts, starts[1:]):
            times |= {end - 1, end, end + 1}
            if end - start != 86400:
                times |= set(range(start + 1800, end, 3600))
    return sorted(times)


@pytest.mark.timeout(600)
@pytest.mark.skipif(harness.SANITIZED, reason="a sanitizer and libfaketime do not go together")
def test_budgets_in_five_zones_over_a_year_begin_anew_at_their_own_midnights(vendor, start_bursar, tmp_path):
    if LIBRARY is None:
        assert not os.environ.get("CI"), "libfaketime is missing: tools/install.sh test"
        pytest.skip("libfaketime is missing")
    expected, clock = Expected(), Clock(tmp_path)
    times = visits(expected)
    clock.set(times[0] - 3600)
    changes = {
        "budgets": [budget("1000 USD", name=name, window="day", timezone=name) for name in ZONES],
        "limits": {"clock_guard": False, "keepalive": "10m"}, "log": {"requests": False}, "workers": 1,
    }
    bursar = start_bursar(changes, env=clock.environment())
    caller = Caller(bursar)
    caller.pay()
    expected.paid(times[0] - 3600)
    bursar.wait_settled()
    cost = nanousd(bursar.ledger()[0]["usd"])
    assert cost > 0
    restarts = set(random.Random(5).sample(range(len(times)), 4))
    for i, t in enumerate(times):
        clock.set(t)
        check(bursar, expected, t, cost, "before a call")
        caller.pay()
        expected.paid(t)
        check(bursar, expected, t, cost, "after a call")
        if i in restarts:
            bursar.kill9()
            bursar.start()
            caller = Caller(bursar)
    bursar.wait_settled()
    rows = bursar.ledger()
    assert len(rows) == len(times) + 1 and all(nanousd(r["usd"]) == cost for r in rows)
    check_ledger(bursar, expected, cost)
    print(f"{len(times)} instants of {(LAST - FIRST).days} days in {len(ZONES)} zones, {len(rows)} calls")
    assert bursar.stop() == 0
    assert bursar.cli("verify", check=False).returncode == 0


def check_ledger(bursar, expected, cost):
    """Every window that was ever opened, as it is kept: nothing in another, and the rows' postings say the same."""
    with sqlite3.connect(f"file:{bursar.data}/bursar.db?mode=ro", uri=True) as db:
        for table, amount in (("meter", "posted_n"), ("posting", "sum(amount)")):
            got = {name: {} for name in ZONES}
            for name, start, spent in db.execute(
                    f"SELECT budget, win_start, {amount} FROM {table} JOIN meter_def ON uid=meter_uid GROUP BY budget, win_start"):
                got[name][start] = spent
            want = {name: {start: n * cost for start, n in starts.items()} for name, starts in expected.calls.items()}
            assert got == want, table
