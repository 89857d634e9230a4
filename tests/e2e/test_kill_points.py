"""Killed before and after each numbered step of a call's way into the ledger (J1-J7 of store/README.md), with a real bill.

The steps are named in store/fault.h. J1 is what lies before `reserved`; J4, the first byte to the vendor, lies between
`sent` and the vendor's own count of calls.
"""

import os
import signal

import pytest

import test_crash
from harness import CHAT, Wire, budget, call, chat, nanousd, request_bytes, wait_for

STEPS = ("reserved", "sent", "settled", "committed", "freed")
POINTS = [f"{side}:{step}" for step in STEPS for side in ("before", "after")]
FOREVER = {"budgets": [budget("1000000 USD")], "workers": 1, "storage": {"max_unpersisted": "100000 USD"}}


def start_dying(bursar, point):
    """Starts it so that it ends at this point, which may come before it is ready; the next start is an ordinary one."""
    bursar.popen_options = {"env": {**os.environ, "BURSAR_KILL_AT": point}}
    try:
        bursar.start(60)
    except AssertionError:
        if bursar.process.running() or bursar.process.popen.returncode != -signal.SIGKILL:
            raise
    finally:
        bursar.popen_options = {}


def wait_dead(bursar):
    code = bursar.process.wait(60)
    assert code == -signal.SIGKILL, (code, bursar.process.words()[-2000:])


def send(bursar, tokens, stream=False):
    """A call whose answer may never come."""
    try:
        w = Wire(bursar.proxy, timeout=20)
        w.send(request_bytes("/openai" + CHAT, test_crash.body_of(tokens, stream),
                             headers={"x-vendor-call": str(tokens), "x-vendor-out": str(1 + tokens % 40)}))
        w.read_answer()
        w.close()
    except OSError:
        pass


# What the ledger must say of the one call that was under way: nothing, its hold, or its bill.
OUTCOME = {
    "before:reserved": "nothing", "after:reserved": "nothing", "before:sent": "nothing",
    "after:sent": "hold", "before:settled": "hold",
    "after:settled": "bill", "before:committed": "bill", "after:committed": "bill", "before:freed": "bill", "after:freed": "bill",
}


@pytest.mark.parametrize("stream", (False, True), ids=("whole", "stream"))
@pytest.mark.parametrize("point", POINTS)
def test_i7_one_call_killed_at(vendor, start_bursar, point, stream):
    bursar = start_bursar(FOREVER)
    base = test_crash.calibrate(bursar)
    paid = nanousd(bursar.budget()["spent"])
    assert bursar.stop() == 0
    start_dying(bursar, point + ":1")
    send(bursar, 20_000, stream)
    wait_dead(bursar)
    vendor.wait_quiet()
    bursar.start()
    rows = [r for r in bursar.ledger() if test_crash.tokens_of(r, base) == 20_000]
    bill = vendor.bill().get("20000")
    if OUTCOME[point] == "nothing":
        assert rows == [] and bill is None and "20000" not in vendor.bill_begun()
        charged = 0
    else:
        (row,) = rows
        charged = nanousd(row["usd"])
        if OUTCOME[point] == "hold":
            assert row["source"] == "worst" and "recovered" in row["flags"] and row["usd"] == row["held_usd"]
            assert charged >= (bill["nanousd"] if bill else 0)
            assert (bill is None) == (point == "after:sent"), "J4 comes after the slot says SENT"
        else:
            assert row["source"] == "usage" and charged == bill["nanousd"], (row, bill)
            late = point in ("after:settled", "before:committed")
            assert ("recovered" in row["flags"]) == late, row
    assert bursar.held() == 0 and nanousd(bursar.budget()["spent"]) == paid + charged
    assert bursar.cli("verify", check=False).returncode == 0
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 200, "and it goes on"
    # A second start finds nothing more to do.
    bursar.wait_settled()
    n, spent = len(bursar.ledger()), bursar.budget()["spent"]
    bursar.kill9()
    bursar.start()
    assert len(bursar.ledger()) == n and bursar.budget()["spent"] == spent


def test_i7_call_that_reached_the_vendor_is_charged_whatever_comes_after(vendor, start_bursar):
    """After J4 and before J5: the vendor works, bursar is gone."""
    bursar = start_bursar(FOREVER)
    base = test_crash.calibrate(bursar)
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, test_crash.body_of(20_000, True),
                         headers={"x-vendor-call": "20000", "x-vendor-out": "40", "x-vendor-chunks": "40", "x-vendor-chunk-ms": "20"}))
    assert w.read_head()[0] == 200
    bursar.kill9()
    vendor.wait_quiet()
    bursar.start()
    (row,) = [r for r in bursar.ledger() if test_crash.tokens_of(r, base) == 20_000]
    assert row["usd"] == row["held_usd"] and nanousd(row["usd"]) >= vendor.bill()["20000"]["nanousd"] > 0


def lives_at(vendor, bursar, points, base, traffic):
    """One life for each point, under load; everything is judged after each."""
    for point in points:
        start_dying(bursar, point)
        if bursar.process.running():
            traffic.begin_life(bursar.proxy, 2000)
        wait_dead(bursar)
        traffic.end_life()
        wait_for(lambda: traffic.busy() == 0, "the clients to notice")
        vendor.wait_quiet()
        bursar.start(60)
        try:
            facts = test_crash.judge(bursar, vendor, traffic, base)
        except AssertionError as e:
            raise AssertionError(f"after a kill at {point}") from e
        bursar.kill9()
    return facts


class Traffic(test_crash.Traffic):
    calls = 0

    def busy(self):
        with self.lock:
            return self.calls

    def _call(self, *args):
        with self.lock:
            self.calls += 1
        try:
            super()._call(*args)
        finally:
            with self.lock:
                self.calls -= 1


def run_lives(vendor, start_bursar, points):
    bursar = start_bursar({**FOREVER, "workers": 2, "log": {"requests": False}})
    base = test_crash.calibrate(bursar)
    bursar.kill9()
    traffic = Traffic(bursar, 7)
    try:
        facts = lives_at(vendor, bursar, points, base, traffic)
    finally:
        traffic.stop()
    print(f"{len(points)} kills: {facts}")
    bursar.start(60)
    assert bursar.cli("verify", check=False).returncode == 0


@pytest.mark.timeout(600)
def test_i7_under_load_at_every_step(vendor, start_bursar):
    run_lives(vendor, start_bursar, [f"{point}:{n}" for point in POINTS for n in (2, 9)])


@pytest.mark.timeout(600)
def test_i7_under_load_at_every_point_in_turn(vendor, start_bursar):
    """Whatever point comes n-th: those of the start and of recovery first, then those of the first calls and batches."""
    run_lives(vendor, start_bursar, [str(n) for n in range(1, int(os.environ.get("KILL_POINTS", "60")))])
