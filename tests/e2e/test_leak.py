"""Mixed load with resets on both sides at random bytes, then quiet: nothing held, all slots free, no descriptor and no
memory more than before (I17). LEAK_MINUTES says how long, SEED= repeats the choices.

The first half of the run is the warm-up: the sessions and leaf certificates of all hosts are made in it, and the tables
that were allocated at the start are touched for the first time. The second half is cut by rests. At each is measured

* what the program has allocated and not freed, without SQLite, whose pages of the database grow with the ledger up to the
  cache_size of each connection. A library tells it that is preloaded into the program (heap_bytes.c). A leak grows from
  each rest to the next, a spare buffer or a new name now and then. This is what must stay flat;
* resident memory, after the allocator gave back what it keeps of freed memory. It may still creep up for hours while
  tables of fixed size are touched for the first time, page by page; so the measure is that no more is resident than is
  allocated, and that the mapped files stay as they are.
"""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import struct
import subprocess
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
RESTS = 4  # in the second half of the run
# A leak of a byte a call would be more in each part of five minutes' second half.
HEAP_STEP_BYTES = 1024
# Spare buffers, TLS sessions and names that came late.
HEAP_GROWTH_BYTES = 128 * 1024
# The writer's connection and the readers', each with a cache of 16 MiB (store/db.c).
SQLITE_KIB = 34 * 1024
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
                 "bursar_journal_slots_used", "bursar_upstream_idle"):
        wait_for(lambda n=name: metric(bursar, n) == 0, f"{name} to be 0", 60)
    bursar.wait_settled()
    vendor.wait_quiet()


def sockets_gone(bursar, before):
    return wait_for(lambda: not (descriptors(bursar) - before) and descriptors(bursar), "descriptors to be closed", 30)


class Heap:
    """How much a bursar has allocated, as heap_bytes.c tells."""

    def __init__(self, directory):
        self.file = directory / "heap-bytes"
        self.library = directory / "heap_bytes.so"
        source = pathlib.Path(__file__).parent / "heap_bytes.c"
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", self.library, source, "-ldl"], check=True)

    def environment(self):
        return {**os.environ, "LD_PRELOAD": str(self.library), "HEAP_BYTES": str(self.file)}

    def read(self):
        """(questions, answers, bytes of the program, bytes of SQLite)"""
        return struct.unpack("4q", self.file.read_bytes())

    def now(self):
        """(bytes of the program, bytes of SQLite); what the allocator kept of freed memory is given back."""
        asked = self.read()[0] + 1
        with open(self.file, "r+b") as f:
            f.write(struct.pack("q", asked))
        wait_for(lambda: self.read()[1] == asked, "the heap to be measured")
        return self.read()[2:]


def run_for(load, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert load.bursar.process.running(), load.bursar.process.words()[-3000:]
        time.sleep(0.2)


def resident_kib(pid):
    """(memory of its own, pages of files)"""
    lines = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status") if line.startswith("Rss"))
    sizes = {name: int(text.split()[0]) for name, text in lines.items()}
    return sizes["RssAnon"], sizes["RssFile"] + sizes["RssShmem"]


def rest(load, vendor, heap, before):
    """What is in use when nothing is done; numbers in KiB but for the heap's bytes."""
    load.paused.set()
    wait_idle(load.bursar, vendor)
    open_files = sockets_gone(load.bursar, before)
    untrimmed = load.bursar.process.rss_kib()
    heap_bytes, sqlite_bytes = heap.now() if heap else (0, 0)
    anonymous, mapped = resident_kib(load.bursar.process.pid)
    load.paused.clear()
    return {"calls": sum(load.counts.values()), "heap_bytes": heap_bytes, "sqlite_kib": sqlite_bytes // 1024, "anonymous_kib": anonymous,
            "mapped_kib": mapped, "untrimmed_rss_kib": untrimmed, "descriptors": sum(open_files.values())}


def judge_heap(sizes):
    steps = [b - a for a, b in zip(sizes, sizes[1:])]
    assert min(steps) < HEAP_STEP_BYTES, ("the heap grows all the time", steps)
    assert sum(steps) < HEAP_GROWTH_BYTES, steps


def judge_memory(rests):
    judge_heap([r["heap_bytes"] for r in rests])
    assert rests[-1]["sqlite_kib"] < SQLITE_KIB
    for r in rests:
        assert r["anonymous_kib"] <= r["heap_bytes"] // 1024 + r["sqlite_kib"], r
    assert rests[-1]["mapped_kib"] <= rests[0]["mapped_kib"] * 1.02


def judge_money(bursar, vendor):
    """What the vendor billed is in the ledger: no less."""
    ledger = sum(nanousd(row["usd"]) for row in bursar.ledger())
    bill = vendor.totals()
    assert ledger >= bill["nanousd"], (ledger, bill)
    assert nanousd(bursar.budget()["spent"]) == ledger


@pytest.mark.timeout(MINUTES * 60 + 400)
def test_i17_nothing_leaks_under_mixed_load_with_resets_on_both_sides(vendor, start_bursar, names, tmp_path):
    seed = os.environ.get("SEED", "") or str(random.SystemRandom().randrange(10**6))
    print(f"SEED={seed}")
    names.names = {host: "127.0.0.1" for host in VENDOR_HOSTS.values()}
    changes = harness.merge(harness.sellers(vendor), {
        **CHANGES, "network": {"dns": [names.address()]}, "connect_ports": [str(vendor.tls)],
    })
    heap = None if harness.SANITIZED else Heap(tmp_path)  # a sanitizer looks for leaks itself
    bursar = start_bursar(changes, env=heap.environment() if heap else None)
    load = Load(bursar, seed, float(os.environ.get("LEAK_PAUSE", "0.05")))
    try:
        time.sleep(3)  # everything has been used once
        load.paused.set()
        wait_idle(bursar, vendor)
        before = wait_for(lambda: "socket" in descriptors(bursar) and descriptors(bursar), "descriptors")
        load.paused.clear()
        seconds = MINUTES * 60
        run_for(load, seconds / 2)
        rests = [rest(load, vendor, heap, before)]
        for _ in range(RESTS):
            run_for(load, seconds / 2 / RESTS)
            rests.append(rest(load, vendor, heap, before))
    finally:
        load.stop()
    wait_idle(bursar, vendor)
    for r in rests:
        print(json.dumps(r))
    print(json.dumps({"ends": dict(load.counts.most_common()), "descriptors before": sum(before.values())}))
    judge_money(bursar, vendor)
    assert all(r["held"] == "0" for r in bursar.budgets().values())
    assert metric(bursar, "bursar_journal_slots_used") == 0 and metric(bursar, "bursar_holds_open") == 0
    for wanted in ("200", "402", "x-bursar-clamped", "left in the request", "left in the answer"):
        assert load.counts[wanted] > 0, load.counts
    if heap:
        judge_memory(rests)
    assert bursar.stop() == 0
    assert bursar.cli("verify", check=False).returncode == 0


ADMIN_ROUNDS = 5
ADMIN_CALLS = 40  # of each kind in a round
ASK = {"provider": "openai", "model": "gpt-4.1-mini", "max_out": 100}


def admin_round(bursar, paths):
    for _ in range(ADMIN_CALLS):
        for path in paths:
            assert bursar.api(path, raw=True)[0] in (200, 403, 404), path  # 403: a link without its signature
        assert bursar.api("/api/v1/nothing", raw=True)[0] == 404
        assert bursar.api("/api/v1/explain", "POST", ASK, raw=True)[0] == 200
        bursar.api("/api/v1/stops", "POST", {"model": "gpt-4.1", "reason": "a test"})
        bursar.api("/api/v1/stops", "DELETE", {"model": "gpt-4.1", "reason": "a test"})
        bursar.api("/api/v1/budgets/all/limit", "POST", {"limit": "1000 USD", "reason": "a test"})
        bursar.api("/api/v1/budgets/all/credit", "POST", {"amount": "1 USD", "reason": "a test"})
        bursar.api("/api/v1/budgets/all/charge", "POST", {"amount": "0.01 USD", "reason": "a test"})
    bursar.api("/api/v1/prices/reload", "POST")


def test_the_admin_side_keeps_no_memory_of_what_it_was_asked(vendor, start_bursar, tmp_path):
    heap = None if harness.SANITIZED else Heap(tmp_path)
    bursar = start_bursar(env=heap.environment() if heap else None)
    for _ in range(20):
        assert harness.call(bursar.proxy, "/openai" + CHAT, chat()).status == 200
    _, docs = bursar.api("/docs", raw=True)
    paths = re.findall(r"<td>GET<td><code>([^{<]+)</code>", docs.decode())
    sizes = []
    for _ in range(ADMIN_ROUNDS):
        admin_round(bursar, paths)
        bursar.wait_settled()
        sizes.append(heap.now() if heap else (0, 0))
    print(sizes)
    judge_heap([program for program, _ in sizes])
    assert sizes[-1][1] < SQLITE_KIB * 1024
    assert bursar.stop() == 0
