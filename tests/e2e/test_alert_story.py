"""Alerts as people live with them: the money runs out step by step, many budgets cross at once, and the window ends. What
arrived is judged by the receivers."""

import collections
import email
import email.policy
import json
import os
import sqlite3
import threading
import time

from harness import CHAT, budget, call, chat, wait_for
from receivers import Certs, HttpReceiver, MailReceiver, alerts

STEPS = [{"at": "50%", "do": "alert"}, {"at": "80%", "do": "alert"}, {"at": "100%", "do": "alert"}, {"at": "100%", "do": "block"}]
LOUD = {"severity": "info"}
TOLD = {"budget.threshold", "budget.exceeded"}


def at(bursar, instant):
    """The same data directory, at another time."""
    bursar.popen_options = {"env": {**os.environ, "BURSAR_FAKE_NOW": instant}}
    return bursar.start()


def rows(bursar, sql, *values):
    with sqlite3.connect(f"file:{bursar.data}/bursar.db?mode=ro", uri=True) as db:
        return db.execute(sql, values).fetchall()


def quiet(bursar, seconds=60):
    """Until every event was taken in and every message left."""

    def done():
        (waiting,) = rows(bursar, "SELECT count(*) FROM outbox WHERE state=0")[0]
        (last,) = rows(bursar, "SELECT coalesce(max(id),0) FROM event")[0]
        (cursor,) = rows(bursar, "SELECT coalesce((SELECT value FROM meta WHERE key='alerts_cursor'),0)")[0]
        return waiting == 0 and int(cursor) >= last

    wait_for(done, "all messages to be sent", seconds)


def told(receiver):
    """What a webhook was told, each id once: (type, percent, state) in order."""
    seen = {}
    for r in receiver.requests:
        seen.setdefault(r.headers["webhook-id"], r.json())
    return [m for m in seen.values()]


def words(data):
    return email.message_from_bytes(data, policy=email.policy.default)


def pay(bursar, user=None, ok=(200,)):
    headers = {"x-bursar-tags": f"u={user}"} if user is not None else {}
    answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers=headers)
    assert answer is not None and answer.status in ok, answer and answer.body
    return answer.status


def test_each_threshold_is_told_once_and_the_incident_ends_with_its_window(start_bursar, tmp_path):
    certs = Certs(tmp_path)
    with HttpReceiver(default=(200, {}, b"ok")) as slack, HttpReceiver() as hook, \
            MailReceiver(certs=certs, users={"bursar": "secret"}) as mail:
        section = alerts({
            "chat": ("slack", {"webhook": slack.url + "/services/T/B/x"}, LOUD),
            "hook": ("webhook", {"url": hook.url}, LOUD),
            "mail": ("email", {"server": "localhost", "port": mail.port, "username": "bursar", "password": "secret",
                               "from": "bursar@example.com", "to": ["ops@example.com"]},
                     {**LOUD, "ca_file": str(certs.ca)}),
        })
        bursar = start_bursar({"budgets": [budget("10 requests", name="day", window="day", steps=STEPS)], **section}, start=False)
        at(bursar, "2026-11-21T10:00:00Z")
        for n in range(10):
            pay(bursar)
            expected = {5: 1, 8: 2, 10: 3}.get(n + 1)
            if expected:  # people are told one after the other, not as one batch
                wait_for(lambda: len([m for m in told(hook) if m["type"] in TOLD]) == expected, f"the message of call {n + 1}")
        for _ in range(3):
            assert pay(bursar, ok=(402,)) == 402
        quiet(bursar)
        thresholds = [(m["type"], round(m["data"]["threshold"], 2)) for m in told(hook) if m["type"] in TOLD]
        assert thresholds == [("budget.threshold", 0.5), ("budget.threshold", 0.8), ("budget.exceeded", 1.0)]
        assert len({m["data"]["incident"] for m in told(hook)}) == 1 and len({m["data"]["dedup_key"] for m in told(hook)}) == 1
        counts = {len(told(hook)), len(slack.requests), len(mail.mails)}
        assert len(counts) == 1, "every channel is told the same"
        firing = rows(bursar, "SELECT id,state FROM incident")
        assert len(firing) == 1 and firing[0][1] == 0
        bursar.kill9()
        before = len(told(hook))
        at(bursar, "2026-11-22T00:00:05Z")
        wait_for(lambda: len(told(hook)) > before and len(mail.mails) > before and len(slack.requests) > before, "the end to be told")
        quiet(bursar)
        assert len(told(hook)) == before + 1 == len(slack.requests) == len(mail.mails)
        last = told(hook)[-1]
        assert last["type"] == "budget.reset" and last["data"]["state"] == "resolved" and last["data"]["incident"] == firing[0][0]
        assert rows(bursar, "SELECT id,state FROM incident") == [(firing[0][0], 2)]
        threads = [words(m.data) for m in mail.mails]
        root = threads[0]["Message-ID"]
        assert all(root in (m["References"] or "") for m in threads[1:]), "one thread in the mailbox"
        pay(bursar)  # another day, and nothing to tell
        quiet(bursar)
        assert len(told(hook)) == before + 1


def test_a_thousand_budgets_at_once_are_a_few_messages(start_bursar):
    steps = [{"at": "100%", "do": "alert"}]
    with HttpReceiver(default=(200, {}, b"ok")) as slack, MailReceiver(security="none") as mail:
        section = alerts({
            "chat": ("slack", {"webhook": slack.url + "/services/T/B/x"}, {**LOUD, "rate": {"messages": 10, "critical": 10, "window": "10s"}}),
            "mail": ("email", {"server": "127.0.0.1", "port": mail.port, "security": "none", "from": "bursar@example.com",
                               "to": ["ops@example.com"]}, {**LOUD, "rate": {"messages": 10, "critical": 10, "window": "10s"}}),
        })
        changes = {"budgets": [{**budget("1 requests", name="each", window="day", mode="soft", steps=steps), "per": ["tag.u"]}], **section}
        bursar = start_bursar(changes)
        began = time.monotonic()
        with_threads(lambda n: pay(bursar, n), range(1000), 8)
        wait_for(lambda: rows(bursar, "SELECT count(*) FROM event WHERE kind='budget.threshold'")[0][0] == 1000, "the events", 30)
        wait_for(lambda: any("digest" in str(r.json()).lower() for r in slack.requests) or len(slack.requests) > 10, "a digest", 30)
        # All that was held back is told in the end, in a few messages.
        wait_for(lambda: rows(bursar, "SELECT count(*) FROM outbox WHERE state=3")[0][0] == 0, "nothing to be held back", 120)
        quiet(bursar, 120)
        states = dict(rows(bursar, "SELECT state,count(*) FROM outbox WHERE channel='chat' AND event>0 GROUP BY state"))
        assert sum(states.values()) == 1000 and set(states) <= {1, 4}, states
        most = 11 * (2 + (time.monotonic() - began) / 10)  # ten and a digest in ten seconds
        assert 2 <= len(slack.requests) <= most and 2 <= len(mail.mails) <= most, (len(slack.requests), len(mail.mails), most)
        digests = [r for r in rows(bursar, "SELECT facts FROM outbox WHERE channel='chat' AND event=0")]
        assert sum(json.loads(d[0])["digest"]["count"] for d in digests) == states.get(4, 0)


def with_threads(fn, items, n):
    items = collections.deque(items)
    errors = []

    def work():
        while True:
            try:
                item = items.popleft()
            except IndexError:
                return
            try:
                fn(item)
            except Exception as e:  # noqa: BLE001 - told below
                errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[:3]
