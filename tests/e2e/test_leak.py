"""Mixed load with resets on both sides at random bytes, then quiet: nothing held, all slots free, no descriptor and no
memory more than before (I17). LEAK_MINUTES says how long, SEED= repeats the choices."""

import collections
import contextlib
import http.client
import json
import os
import random
import statistics
import threading
import time

import pytest

import harness
import test_providers
from harness import CASES, CHAT, PREFIX, VENDOR_HOSTS, Wire, budget, chat, nanousd, open_tunnel, request_bytes, wait_for

MINUTES = float(os.environ.get("LEAK_MINUTES", "0.5"))
CLIENTS = int(os.environ.get("LEAK_CLIENTS", "6"))
FAULTS = ("error-before", "429", "529", "cut-mid", "cut-head", "no-usage", "nonsense", "garbage", "reset", "truncated-gzip",
          "wrong-length", "slow", "gzip-bomb")
LADDER = [{"at": "50%", "do": "throttle", "max_delay": "50ms"}, {"at": "70%", "do": "degrade", "map": {"gpt-4.1": "gpt-4.1-mini"}},
          {"at": "100%", "do": "clamp", "min_out": 8}, {"at": "100%", "do": "block"}]
BUDGETS = [
    budget("1000000 USD", name="all"),
    # Nearly empty all the time: refused, clamped, delayed, another model.
    budget("0.02 USD", name="tight", window="rolling 1m", match={"tag.who": "tight"}, steps=LADDER),
    budget("0.002 USD", name="growing", window="rolling 1m", match={"tag.who": "growing"}, hold="growing"),
    budget("1000000 USD", name="users", per=["tag.who"], window="hour"),
]
CHANGES = {
    "budgets": BUDGETS, "log": {"requests": False}, "breakers": {"upstream": False}, "workers": 2,
    "limits": {"keepalive": "1s", "pool_idle": "1s", "head_timeout": "2s", "stream_idle": "3s", "first_byte_timeout": "3s",
               "drain_client": "2s", "max_drains": 8, "body_grace": "2s"},
}


class Mix:
    """What is asked next; each client has its own."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def providers_call(self):
        prefix, path, body, *more = self.random.choice(list(test_providers.CALLS.values()))
        headers = dict(more[0]) if more else {}
        if isinstance(body, bytes):
            headers["Content-Type"] = "multipart/form-data; boundary=B0undary"
        return f"/{prefix}{path}", body, headers

    def call(self):
        """(path, body, headers)"""
        kind = self.random.random()
        who = self.random.choice(("ann", "bob", "tight", "tight", "growing"))
        headers = {"x-bursar-tags": f"who={who}"}
        if kind < 0.35:
            path, body, more = self.providers_call()
            return path, body, {**headers, **more}
        if kind < 0.55:
            provider, path, body = self.random.choice(list(CASES.values()))
            return PREFIX[provider] + path, body, headers
        if kind < 0.62:
            text = "".join(self.random.choices("The quick brown fox, é, 漢字 and 123 jumps. ", k=2000))
            return "/openai" + CHAT, chat(text=text * self.random.randint(10, 400)), headers
        bound = {"max_tokens": self.random.choice((16, 300, 4000))} if self.random.random() < 0.7 else {"max_tokens": None}
        body = {k: v for k, v in chat(stream=self.random.random() < 0.7, model=self.random.choice(("gpt-4.1", "gpt-4.1-mini"))).items()}
        body = {k: v for k, v in {**body, **bound}.items() if v is not None}
        return "/openai" + CHAT, body, headers

    def script(self):
        """What the vendor does."""
        r = self.random
        headers = {"x-vendor-out": str(r.choice((1, 16, 200)))}
        if r.random() < 0.3:
            headers |= {"x-vendor-chunk-ms": str(r.choice((1, 5, 20))), "x-vendor-chunks": str(r.choice((3, 10, 40)))}
        if r.random() < 0.2:
            headers["x-vendor-fault"] = r.choice(FAULTS)
        if r.random() < 0.05:
            headers["x-vendor-delay-ms"] = str(r.choice((50, 1000, 4000)))
        if r.random() < 0.1:
            headers["x-vendor-gzip"] = "1"
            headers["Accept-Encoding"] = "gzip"
        return headers


class Client(threading.Thread):
    """Calls until told to stop; keeps a connection for a while, or breaks it off anywhere."""

    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load, self.mix = load, Mix(f"{load.seed}.{number}")
        self.wire = None

    def run(self):
        while not self.load.over.is_set():
            if self.load.paused.is_set():
                self.drop()
                self.load.over.wait(0.05)
                continue
            try:
                what = self.one()
            except (OSError, ValueError, AssertionError) as e:
                what = type(e).__name__
                self.drop()
            self.load.count(what)
            self.load.over.wait(self.mix.random.random() * self.load.pause)
        self.drop()

    def drop(self, reset=False):
        if self.wire is not None:
            with contextlib.suppress(OSError):
                self.wire.abort() if reset else self.wire.close()
            self.wire = None

    def connect(self, path):
        """Through the gateway, or as a proxy with TLS inside; returns the path to ask for and the host."""
        r, bursar = self.mix.random, self.load.bursar
        provider = next((p for p, prefix in PREFIX.items() if path.startswith(prefix + "/")), None)
        if provider is None or r.random() < 0.7:
            if self.wire is None or self.wire.inside:
                self.drop()
                self.wire = Wire(bursar.proxy, timeout=15)
                self.wire.inside = None
            return path, "localhost"
        host = VENDOR_HOSTS[provider]
        authority = f"{host}:{bursar.vendor.tls}"
        if self.wire is None or self.wire.inside != authority:
            self.drop()
            self.wire, head = open_tunnel(bursar.proxy, authority, bursar.ca_bundle, timeout=15)
            self.wire.inside = authority
            assert head[0] == 200, head
        return path.removeprefix(PREFIX[provider]), authority

    def one(self):
        r = self.mix.random
        path, body, headers = self.mix.call()
        path, host = self.connect(path)
        fields = {**self.mix.script(), **headers}
        data = request_bytes(path, body, host=host, headers=fields)
        if "Content-Type" in headers:
            data = data.replace(b"Content-Type: application/json\r\n", b"", 1)
        if r.random() < 0.06:
            self.wire.send(data[: r.randrange(len(data))])
            self.drop(reset=r.random() < 0.7)
            return "left in the request"
        self.wire.send(data)
        if r.random() < 0.12:
            for _ in range(r.randint(0, 3)):
                self.wire.more()
            if r.random() < 0.2:
                self.load.over.wait(r.random() * 3)
            self.drop(reset=r.random() < 0.7)
            return "left in the answer"
        answer = self.wire.read_answer()
        if answer is None or not answer.ended_well or (answer["connection"] or "").lower() == "close" or r.random() < 0.1:
            self.drop()
        for mark in ("x-bursar-clamped", "x-bursar-degraded-from"):
            if answer and answer[mark]:
                self.load.count(mark)
        return str(answer.status) if answer else "nothing"


class Load:
    def __init__(self, bursar, seed, pause):
        self.bursar, self.seed, self.pause = bursar, seed, pause
        self.over, self.paused = threading.Event(), threading.Event()
        self.lock, self.counts = threading.Lock(), collections.Counter()
        self.clients = [Client(self, i) for i in range(CLIENTS)]
        for c in self.clients:
            c.start()

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def stop(self):
        self.over.set()
        for c in self.clients:
            c.join(60)
        assert not any(c.is_alive() for c in self.clients), "a client hangs"


def metric(bursar, name):
    status, text = bursar.api("/metrics", raw=True)
    assert status == 200
    values = [float(line.split()[-1]) for line in text.decode().splitlines() if line.startswith(name + " ")]
    assert len(values) == 1, (name, values)
    return values[0]


def descriptors(bursar):
    names = collections.Counter()
    for fd in os.listdir(f"/proc/{bursar.process.pid}/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{bursar.process.pid}/fd/{fd}")
            names[target.split(":")[0] if ":[" in target else os.path.basename(target)] += 1
    return names


def wait_idle(bursar, vendor):
    """Everything comes back by itself."""
    for name in ("bursar_calls_active", "bursar_streams_draining", "bursar_connections", "bursar_holds_open",
                 "bursar_journal_slots_used"):
        wait_for(lambda n=name: metric(bursar, n) == 0, f"{name} to be 0", 60)
    bursar.wait_settled()
    vendor.wait_quiet()


def sockets_gone(bursar, before):
    return wait_for(lambda: not (descriptors(bursar) - before) and descriptors(bursar), "descriptors to be closed", 30)


def run_for(load, seconds):
    """Resident memory, once a second."""
    sizes, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        assert load.bursar.process.running(), load.bursar.process.words()[-3000:]
        sizes.append(load.bursar.process.rss_kib())
        time.sleep(min(1.0, max(0.05, seconds / 50)))
    return sizes


def rest(load, vendor, before):
    load.paused.set()
    wait_idle(load.bursar, vendor)
    sockets_gone(load.bursar, before)
    size = load.bursar.process.rss_kib()
    load.paused.clear()
    return size


def judge_money(bursar, vendor):
    """What the vendor billed is in the ledger: no less."""
    ledger = sum(nanousd(row["usd"]) for row in bursar.ledger())
    bill = vendor.totals()
    assert ledger >= bill["nanousd"], (ledger, bill)
    assert nanousd(bursar.budget()["spent"]) == ledger


@pytest.mark.timeout(MINUTES * 60 + 400)
def test_i17_nothing_leaks_under_mixed_load_with_resets_on_both_sides(vendor, start_bursar, names):
    seed = os.environ.get("SEED", "") or str(random.SystemRandom().randrange(10**6))
    print(f"SEED={seed}")
    names.names = {host: "127.0.0.1" for host in VENDOR_HOSTS.values()}
    changes = harness.merge(harness.sellers(vendor), {
        **CHANGES, "network": {"dns": [names.address()]}, "connect_ports": [str(vendor.tls)],
    })
    bursar = start_bursar(changes)
    load = Load(bursar, seed, float(os.environ.get("LEAK_PAUSE", "0.05")))
    try:
        time.sleep(3)  # everything has been used once
        before = descriptors(bursar)
        load.paused.set()
        wait_idle(bursar, vendor)
        before = wait_for(lambda: "socket" in descriptors(bursar) and descriptors(bursar), "descriptors")
        rest(load, vendor, before)
        seconds = MINUTES * 60
        run_for(load, seconds / 2)
        middle = rest(load, vendor, before)
        third = run_for(load, seconds / 4)
        fourth = run_for(load, seconds / 4)
    finally:
        load.stop()
    wait_idle(bursar, vendor)
    after = sockets_gone(bursar, before)
    end = bursar.process.rss_kib()
    print("RSS over the second half:", [int(statistics.median((third + fourth)[i:i + 20])) for i in range(0, len(third + fourth), 20)])
    print(json.dumps({"calls": sum(load.counts.values()), "ends": dict(load.counts.most_common()), "descriptors": sum(after.values()),
                      "before": sum(before.values()), "rss_kib": {"idle in the middle": middle, "idle at the end": end,
                                  "third quarter": statistics.median(third), "fourth quarter": statistics.median(fourth)}}))
    judge_money(bursar, vendor)
    assert all(r["held"] == "0" for r in bursar.budgets().values())
    assert metric(bursar, "bursar_journal_slots_used") == 0 and metric(bursar, "bursar_holds_open") == 0
    for wanted in ("200", "402", "x-bursar-clamped", "left in the request", "left in the answer"):
        assert load.counts[wanted] > 0, load.counts
    if MINUTES >= 4 and not harness.SANITIZED:  # memory has a first time for everything
        assert statistics.median(fourth) <= statistics.median(third) * 1.02
    assert bursar.stop() == 0
    assert bursar.cli("verify", check=False).returncode == 0
