"""kill -9 at random moments while people are told of thresholds: no event is lost, and a receiver that looks at the id sees
none twice."""

import collections
import os
import random
import threading
import time

import pytest

from harness import budget, wait_for
from receivers import HttpReceiver, alerts
from test_alert_story import LOUD, TOLD, pay, quiet, rows, told


class Spenders:
    """Users who each make ten calls, whatever happens in between."""

    def __init__(self, users):
        self.lock = threading.Lock()
        self.left = {u: 10 for u in range(users)}
        self.busy = set()
        self.bursar, self.over = None, False
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(6)]
        for t in self.threads:
            t.start()

    def _take(self):
        with self.lock:
            if self.bursar is None:
                return None
            free = [u for u, n in self.left.items() if n > 0 and u not in self.busy]
            if not free:
                return None
            user = free[0]
            self.busy.add(user)
            self.left[user] -= 1
            return self.bursar, user

    def _work(self):
        while not self.over:
            job = self._take()
            if job is None:
                time.sleep(0.002)
                continue
            try:
                pay(job[0], job[1], ok=(200, 503))
            except (OSError, AssertionError, ValueError):
                pass
            finally:
                with self.lock:
                    self.busy.discard(job[1])


@pytest.mark.timeout(900)
def test_kills_lose_no_event_and_double_none(start_bursar):
    kills = int(os.environ.get("ALERT_KILLS", "200"))
    seed = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"SEED={seed}")
    chance = random.Random(seed)
    steps = [{"at": f"{p}%", "do": "alert"} for p in (50, 80, 100)]
    users = kills + 40
    many = {"rate": {"messages": 1000, "critical": 1000, "window": "1s"}}
    with HttpReceiver() as hook:
        bursar = start_bursar({
            "budgets": [{**budget("10 requests", name="each", window="month", mode="soft", steps=steps), "per": ["tag.u"]}],
            **alerts({"hook": ("webhook", {"url": hook.url}, {**LOUD, **many})}), "log": {"requests": False},
        })
        spenders = Spenders(users)
        began = time.monotonic()
        for _ in range(kills):
            spenders.bursar = bursar
            time.sleep(chance.choice((0.01, 0.04, 0.1, 0.2, 0.3)) * (0.5 + chance.random()))
            spenders.bursar = None
            bursar.kill9()
            bursar.start(60)
        spenders.over = True
        for t in spenders.threads:
            t.join(30)
        bursar.wait_settled()
        for user in range(users):  # what a kill took from a user is made good, so that each crosses everything
            while int(float(bursar_used(bursar, user))) < 10:
                pay(bursar, user)
        wait_for(lambda: rows(bursar, "SELECT count(*) FROM event WHERE kind='budget.threshold'")[0][0] == 3 * users,
                 "every threshold of every user", 60)
        quiet(bursar, 120)
        print(f"{kills} kills in {time.monotonic() - began:.0f} s, {len(hook.requests)} requests, {len(told(hook))} messages")
        # Every event was told, or stood behind a higher threshold that the same call had crossed.
        states = collections.Counter(rows(bursar, "SELECT o.state,o.reason FROM outbox o JOIN event e ON e.id=o.event"
                                          " WHERE o.channel='hook' AND e.kind='budget.threshold'"))
        assert sum(states.values()) == 3 * users and set(states) <= {(1, ""), (5, "higher")}, states
        seen = collections.Counter((m["data"]["labels"].get("tag.u") or m["data"]["scope"]["id"], round(m["data"]["threshold"], 2))
                                   for m in told(hook) if m["type"] in TOLD)
        assert set(seen.values()) == {1}, "nobody who looks at the id sees anything twice"
        assert len(seen) == states[(1, "")]
        assert {user for user, threshold in seen if threshold == 1.0} == {str(u) for u in range(users)}, "the last step is always told"
        assert rows(bursar, "SELECT count(*) FROM incident WHERE state<2 AND budget='each'")[0][0] == users


def bursar_used(bursar, user):
    """What a user's counter stands at, from the ledger's own sums."""
    found = rows(bursar, "SELECT posted_n FROM meter JOIN meter_def ON uid=meter_uid WHERE scope=?", f"tag.u={user}")
    return found[0][0] if found else 0
