"""Receivers that misbehave: what becomes of the message, of its channel, of the other channels, and of the calls."""

import contextlib
import email.utils
import ipaddress
import json
import os
import socket
import sqlite3
import subprocess
import time

import pytest

from harness import BUILD, CHAT, PATIENCE, SANITIZED, budget, call, chat, wait_for
from receivers import Certs, Cut, Drip, Hang, HttpReceiver, MailReceiver, alerts, free_port, redirect

LOAD = BUILD / "load"
STEPS = [{"at": "50%", "do": "alert"}]
QUEUED, SENT, DEAD = 0, 1, 2
LOUD = {"severity": "info"}
MAIL = {"from": "bursar@example.com", "to": ["ops@example.com"], "server": "127.0.0.1", "security": "none"}


@pytest.fixture
def certs(tmp_path):
    return Certs(tmp_path)


def rows(bursar, sql, *values):
    with sqlite3.connect(f"file:{bursar.data}/bursar.db?mode=ro", uri=True) as db:
        return db.execute(sql, values).fetchall()


def pay(bursar, n=1, user=None, ok=200):
    for _ in range(n):
        answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers={"x-bursar-tags": f"u={user}"} if user else {})
        assert answer is not None and answer.status == ok, answer and answer.body


def tries(bursar, channel):
    """(time, success, status, error) of each try of the first message of a channel, in order."""
    (first,) = rows(bursar, "SELECT min(id) FROM outbox WHERE channel=?", channel)[0] or (None,)
    return rows(bursar, "SELECT ts/1e9, success, status, error FROM delivery WHERE outbox=? ORDER BY ts", first)


def message(bursar, channel):
    """(state, attempts, error) of the first message of a channel."""
    found = rows(bursar, "SELECT state, attempts, error FROM outbox WHERE channel=? ORDER BY id LIMIT 1", channel)
    return found[0] if found else None


def disabled(bursar, channel):
    return rows(bursar, "SELECT disabled FROM channel_state WHERE channel=?", channel) == [(1,)]


def hook(receiver, **more):
    return ("webhook", {"url": receiver.url + "/very-secret", **more}, LOUD)


def wait_tries(bursar, channel, n, seconds=30):
    wait_for(lambda: len(tries(bursar, channel)) >= n, f"{n} tries of {channel}", seconds)
    return tries(bursar, channel)


def ids(receiver):
    return [r.headers["webhook-id"] for r in receiver.requests]


def inside_name():
    """A name that looks harmless and leads to a private or loopback address."""
    for name in ("ip6-localhost", "ip6-loopback", socket.gethostname()):
        with contextlib.suppress(OSError, ValueError):
            if ipaddress.ip_address(socket.getaddrinfo(name, 80)[0][4][0]).is_private:
                return name
    return None


# --- the table --------------------------------------------------------------------------------------------------------


def test_what_becomes_of_a_message(start_bursar, certs):
    """One event, many channels, each with a receiver of its own kind."""
    elsewhere = HttpReceiver()
    hooks = {
        "well": HttpReceiver(),
        "hangs": HttpReceiver([Hang()]),
        "hangs-after-head": HttpReceiver([Hang(b"HTTP/1.1 200 OK\r\n")]),
        "fails": HttpReceiver([(500, {}, b"oh")]),
        "asks-for-seconds": HttpReceiver([(429, {"Retry-After": "8"}, b"")]),
        "asks-for-a-date": HttpReceiver(
            [lambda r: (503, {"Retry-After": email.utils.formatdate(time.time() + 10, usegmt=True)}, b"")]),
        "gone": HttpReceiver(default=410),
        "unauthorized": HttpReceiver(default=(401, {}, b"who are you, very-secret?")),
        "refuses-the-form": HttpReceiver(default=(400, {}, b"no")),
        "redirects": HttpReceiver(default=redirect(elsewhere.url + "/")),
        "talks-for-ever": HttpReceiver([(200, {}, b"x" * 10_000_000)]),
        "drips": HttpReceiver([Drip(200)]),
        "breaks-off": HttpReceiver([Cut(b"HTTP/1.1 2")]),
        "resets": HttpReceiver([Cut(reset=True)]),
        "endless-head": HttpReceiver([Cut(b"HTTP/1.1 200 OK\r\n" + b"X-Y: " + b"z" * 60_000 + b"\r\n" * 1 + b"A: b\r\n" * 20_000)]),
        "strange-tls": HttpReceiver(tls=certs.self_signed),
        "known-tls": HttpReceiver(tls=certs.good),
    }
    channels = {name: hook(r) for name, r in hooks.items()}
    channels["unauthorized"] = ("alertmanager", {"url": hooks["unauthorized"].url, "bearer": "very-secret"}, LOUD)
    for name in ("asks-for-seconds", "asks-for-a-date"):
        channels[name] = ("teams", {"url": hooks[name].url + "/very-secret"}, LOUD)
    channels["known-tls"] = (*channels["known-tls"][:2], {**LOUD, "ca_file": str(certs.ca)})
    port = free_port()
    channels["nobody"] = ("webhook", {"url": f"http://127.0.0.1:{port}/very-secret"}, LOUD)
    inside = inside_name()
    if inside:
        channels["inside"] = (
            "webhook", {"url": f"http://{inside}:{hooks['well'].port}/inside"}, {**LOUD, "allow_private": False})
    slack = HttpReceiver(default=(200, {}, {"ok": False, "error": "channel_not_found"}))
    channels["says-ok-but"] = ("slack", {"token": "xoxb-1-2-3", "channel": "C1", "api_url": slack.url}, LOUD)
    try:
        bursar = start_bursar({"budgets": [budget("4 requests", name="day", window="day", steps=STEPS)], **alerts(channels)})
        pay(bursar, 2)
        check_table(bursar, hooks, port, elsewhere, slack)
    finally:
        for r in [*hooks.values(), elsewhere, slack]:
            r.close()


def check_table(bursar, hooks, port, elsewhere, slack):
    # channel: state, status, what its first try says
    table = {
        "well": (SENT, 200, ""),
        "fails": (None, 500, "answered 500"),
        "asks-for-seconds": (None, 429, "answered 429"),
        "asks-for-a-date": (None, 503, "answered 503"),
        "gone": (QUEUED, 410, "answered 410"),
        "unauthorized": (QUEUED, 401, "answered 401: who are you, ***?"),
        "refuses-the-form": (None, 400, "answered 400: no"),
        "redirects": (QUEUED, 302, "redirects are not followed"),
        "talks-for-ever": (SENT, 200, ""),
        "breaks-off": (None, 0, "broke off the connection"),
        "resets": (None, 0, "broke off the connection"),
        "endless-head": (None, 0, "answers in no way that we understand"),
        "strange-tls": (QUEUED, 0, "is self-signed"),
        "known-tls": (SENT, 200, ""),
        "nobody": (None, 0, f"nobody listens at 127.0.0.1 port {port}"),
        "inside": (QUEUED, 0, "allow_private"),
        "says-ok-but": (None, 200, "channel_not_found"),
        # these take their whole time
        "hangs": (None, 0, "did not answer within 15 seconds"),
        "hangs-after-head": (None, 0, "did not answer within 15 seconds"),
        "drips": (SENT, 200, ""),
    }
    if not inside_name():
        del table["inside"]
    for name, (state, status, words) in table.items():
        _, success, code, error = wait_tries(bursar, name, 1)[0]
        assert (bool(success), code) == (words == "", status), (name, success, code, error)
        assert words in error and "very-secret" not in error and "xoxb" not in error, (name, error)
        if state is not None:
            assert message(bursar, name)[0] == state, name
    # as late as they asked for
    for name, seconds in {"asks-for-seconds": 8, "asks-for-a-date": 9}.items():
        asked, again = wait_tries(bursar, name, 2)[:2]
        assert again[0] - asked[0] >= seconds - 0.1 and again[1], name
    assert not elsewhere.requests
    # those that must be mended are left alone, and the others are told of them, once; not they themselves
    assert disabled(bursar, "gone") and len(hooks["gone"].requests) == 1
    assert len(hooks["unauthorized"].requests) == 1 and not hooks["strange-tls"].requests
    broken = {"gone", "unauthorized", "strange-tls", "inside", "says-ok-but"} & set(table)
    notices = [json.loads(p)["object"] for (p,) in rows(
        bursar, "SELECT payload FROM event WHERE kind='system.degraded' AND action=100")]
    assert broken <= set(notices) and len(notices) == len(set(notices)), notices
    about = "SELECT count(*) FROM outbox WHERE channel=? AND facts->>'$.type'='system.degraded' AND facts->>'$.scope.id'=?"
    for name in broken:
        assert rows(bursar, about, name, name) == [(0,)], name
        assert rows(bursar, about, "well", name) == [(1,)], name
    assert "/inside" not in {r.path for r in hooks["well"].requests}
    for line in bursar.log_lines():
        assert "very-secret" not in json.dumps(line)


def test_a_try_that_failed_is_repeated_under_the_same_name(start_bursar):
    with HttpReceiver([500, 500]) as receiver:
        bursar = start_bursar({"budgets": [budget("4 requests", name="day", window="day", steps=STEPS)],
                               **alerts({"hook": hook(receiver)})})
        pay(bursar, 2)
        times = [r.at for r in receiver.wait(3, 90)]
        assert 3.9 < times[1] - times[0] < 15 and 23.9 < times[2] - times[1] < 60, times
        assert len(set(ids(receiver))) == 1
        assert len({r.headers["webhook-timestamp"] for r in receiver.requests}) == 3
        wait_for(lambda: message(bursar, "hook")[:2] == (SENT, 3), "the result")


MAILS = {
    # name: (server, settings of the channel, state of the message, words of its first try)
    "well": ({"users": {"bursar": "secret"}}, {}, SENT, ""),
    "wrong-password": ({"users": {"bursar": "other"}}, {}, QUEUED, "password"),
    "nobody-there": ({"users": {"bursar": "secret"}, "reject": {"ops@example.com": "550 5.1.1 no such user"}}, {}, DEAD,
                     "550 5.1.1 no such user"),
    "busy": ({"users": {"bursar": "secret"}, "data_script": ["451 4.3.2 later"]}, {}, QUEUED, "451 4.3.2 later"),
    "no-starttls": ({"security": "none"}, {}, QUEUED, "STARTTLS"),
    "no-tls-there": ({"users": {"bursar": "secret"}}, {"security": "tls"}, QUEUED, "does not speak TLS"),
    "strange": ({"users": {"bursar": "secret"}, "tls": "self_signed"}, {}, QUEUED, "self-signed"),
    "other-host": ({"users": {"bursar": "secret"}, "tls": "wrong_host"}, {}, QUEUED, "another host"),
    "expired": ({"users": {"bursar": "secret"}, "tls": "expired"}, {}, QUEUED, "expired"),
}


def test_what_becomes_of_a_mail(start_bursar, certs):
    servers, channels = {}, {}
    try:
        for name, (server, settings, _, _) in MAILS.items():
            which = {**server, **({"tls": getattr(certs, server["tls"])} if "tls" in server else {})}
            servers[name] = MailReceiver(certs=certs, **which)
            channels[name] = ("email", {
                **MAIL, "port": servers[name].port, "username": "bursar", "password": "secret", "security": "starttls",
                "ca_file": str(certs.ca), **settings}, LOUD)
        channels["nobody"] = ("email", {**MAIL, "port": free_port()}, LOUD)
        bursar = start_bursar({"budgets": [budget("4 requests", name="day", window="day", steps=STEPS)], **alerts(channels)})
        pay(bursar, 2)
        for name, (_, _, state, words) in MAILS.items():
            error = wait_tries(bursar, name, 1)[0][3]
            assert words in error and "secret" not in error, (name, error)
            assert message(bursar, name)[0] == state, name
        assert len(servers["well"].mails) >= 1 and servers["well"].mails[0].tls
        assert not servers["no-starttls"].mails and len(servers["wrong-password"].auths) == 1
        assert "nobody listens at" in wait_tries(bursar, "nobody", 1)[0][3]
    finally:
        for s in servers.values():
            s.close()


# --- others do not wait -----------------------------------------------------------------------------------------------


def test_mail_servers_that_stall_hold_nobody(start_bursar):
    """Where libcurl itself would wait: after the last byte of a mail. The admin side and other channels go on meanwhile."""
    stalls = {where: MailReceiver(security="none", stall=where) for where in ("banner", "ehlo", "mail", "rcpt", "data")}
    with HttpReceiver() as well:
        channels = {f"stalls-in-{w}": ("email", {**MAIL, "port": s.port}, LOUD) for w, s in stalls.items()}
        channels["well"] = hook(well)
        bursar = start_bursar({"budgets": [budget("4 requests", name="day", window="day", steps=STEPS)], **alerts(channels)})
        pay(bursar, 2)
        wait_for(lambda: all(s.connections for s in stalls.values()), "every mail to be under way")
        slowest, asked = 0, 0
        while not tries(bursar, "stalls-in-data"):
            began = time.monotonic()
            bursar.api("/api/v1/alerts")
            slowest, asked = max(slowest, time.monotonic() - began), asked + 1
            assert time.monotonic() - began < PATIENCE
        print(f"\n{asked} answers of the admin side while mails stalled, the slowest after {slowest * 1000:.1f} ms")
        assert asked > 20
        assert well.wait(1)[0].at < tries(bursar, "stalls-in-data")[0][0] - 5
        for where in stalls:
            assert not wait_tries(bursar, f"stalls-in-{where}", 1, 40)[0][1]
        began = time.monotonic()
        bursar.stop()  # with what is under way
        assert time.monotonic() - began < 30
    for s in stalls.values():
        s.close()


def load(bursar, seconds):
    done = subprocess.run(
        [str(LOAD), "--target", f"127.0.0.1:{bursar.proxy}", "--path", "/openai" + CHAT, "--body", json.dumps(chat()),
         "--connections", "8", "--rate", "400", "--seconds", str(seconds)],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def test_calls_do_not_feel_channels_that_hang(start_bursar):
    """The same load with channels that are well and with ones that hang, in turns, while there is always something to
    tell."""
    if not LOAD.exists():
        pytest.skip(f"{LOAD} is not built")
    steps = [{"at": f"{p}%", "do": "alert"} for p in range(10, 100, 10)]
    budgets = [budget(f"{n} requests", name=f"soft{n}", window="day", mode="soft", steps=steps) for n in range(400, 6000, 400)]
    receivers, bursars, figures = [], {}, {"well": [], "hang": []}
    for kind, entry in {"well": 200, "hang": Hang()}.items():
        hooks = [HttpReceiver(default=entry) for _ in range(8)]
        mails = [MailReceiver(security="none", stall="data" if kind == "hang" else None) for _ in range(2)]
        channels = {f"h{i}": hook(r) for i, r in enumerate(hooks)}
        channels |= {f"m{i}": ("email", {**MAIL, "port": s.port}, LOUD) for i, s in enumerate(mails)}
        bursars[kind] = start_bursar({"budgets": budgets, **alerts(channels)}, name=kind)
        receivers += [*hooks, *mails]
    try:
        for _ in range(8):
            for kind, bursar in bursars.items():
                figures[kind].append(load(bursar, 2))
        for bursar in bursars.values():
            events = wait_for(lambda b=bursar: rows(b, "SELECT count(*) FROM event")[0][0], "events")
            assert events > 20
        assert all(f["errors"] == f["status_4xx"] == f["status_5xx"] == 0 for of in figures.values() for f in of)
        for kind, of in figures.items():
            p50, p99 = sorted(f["p50_us"] for f in of), sorted(f["p99_us"] for f in of)
            print(f"\nchannels {kind}: p50 {p50[0]} to {p50[-1]} us; p99 {p99[0]}, median {p99[len(p99) // 2]}, to {p99[-1]} us")
    finally:
        for bursar in bursars.values():
            bursar.stop()
        for r in receivers:
            r.close()


def test_a_dead_channel_costs_little_memory(start_bursar):
    """Thousands of events for channels that do not work: the outbox is on disk."""
    with HttpReceiver(default=Hang()) as hangs, HttpReceiver(default=500) as fails:
        bursar = start_bursar({
            "budgets": [budget("2 requests", name="each", window="day", mode="soft", per=["tag.u"], steps=STEPS)],
            **alerts({"hangs": hook(hangs), "fails": hook(fails), "nobody": ("webhook", {"url": f"http://127.0.0.1:{free_port()}/"}, LOUD)})})
        pay(bursar, 2, user="first")
        wait_for(lambda: hangs.requests and fails.requests, "the first messages")
        before = bursar.process.rss_kib()
        for i in range(900):
            pay(bursar, user=f"u{i}")
        wait_for(lambda: rows(bursar, "SELECT count(*) FROM event WHERE kind LIKE 'budget.%'")[0][0] >= 900, "all events", 60)
        wait_for(lambda: rows(bursar, "SELECT value FROM meta WHERE key='alerts_cursor'")[0][0] >=
                 rows(bursar, "SELECT max(id) FROM event")[0][0], "all of them to be taken in", 60)
        after = bursar.process.rss_kib()
        print(f"\n900 events for three channels that do not work: {before} KiB before, {after} KiB after")
        assert SANITIZED or after - before < 96 * 1024
        assert len(fails.requests) < 60, "not one try for every message that waits"


# --- endings ----------------------------------------------------------------------------------------------------------


def test_a_kill_while_messages_are_under_way_repeats_only_these(start_bursar):
    with HttpReceiver([200, Hang()]) as slow, HttpReceiver() as well:
        bursar = start_bursar({
            "budgets": [budget("8 requests", name="day", window="day",
                               steps=[{"at": "25%", "do": "alert"}, {"at": "50%", "do": "alert"}])],
            **alerts({"slow": (*hook(slow)[:2], {**LOUD, "min_gap": "0s"}), "well": (*hook(well)[:2], {**LOUD, "min_gap": "0s"})})})
        pay(bursar, 2)
        slow.wait(1), well.wait(1)
        pay(bursar, 2)
        slow.wait(2), well.wait(2)
        wait_for(lambda: rows(bursar, "SELECT count(*) FROM outbox WHERE channel='well' AND state=1") == [(2,)], "both to be sent")
        bursar.kill9()
        bursar.start()
        slow.wait(3)
        wait_for(lambda: rows(bursar, "SELECT count(*) FROM outbox WHERE state=0") == [(0,)], "all to be sent")
        assert ids(slow)[1] == ids(slow)[2] and len(set(ids(slow))) == 2
        assert len(well.requests) == 2


def test_proxies_of_the_environment_are_not_asked(start_bursar):
    with HttpReceiver() as well:
        port = free_port()
        env = {**os.environ, "http_proxy": f"http://127.0.0.1:{port}", "ALL_PROXY": f"http://127.0.0.1:{port}"}
        bursar = start_bursar({"budgets": [budget("4 requests", name="day", window="day", steps=STEPS)],
                               **alerts({"well": hook(well)})}, env=env)
        pay(bursar, 2)
        well.wait(1)
