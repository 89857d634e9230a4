#!/usr/bin/env python3
"""bursar beside nginx as a plain reverse proxy: same vendor, same run, rounds interleaved, medians.

The proxy has one core, the vendor and the load share the other. bursar runs with all it has: virtual keys, two hard
budgets, a journal and a ledger row for every call (synchronous=FULL); its CPU includes the writer and control threads.
Trust ratios and CPU for each call; absolute rates and tails on a shared machine say little.

BENCH_QUICK=1: short rounds. BENCH_ONLY=name,name: only these scenarios. BENCH_BUILD: where the programs are.
"""

import contextlib
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BENCH_BUILD", "build/release")
WORK = ROOT / "build" / "bench"
QUICK = bool(os.environ.get("BENCH_QUICK"))
ONLY = [s for s in os.environ.get("BENCH_ONLY", "").split(",") if s]
ROUNDS = 1 if QUICK else 3
SECONDS = 1.5 if QUICK else 5
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, OTHER_CORE = CORES[0], CORES[-1]
DESCRIPTORS = 100_000

CHAT_BODY = {
    "model": "gpt-4.1-mini", "max_tokens": 64, "temperature": 0.2,
    "messages": [{"role": "system", "content": "You answer in one sentence. " * 6},
                 {"role": "user", "content": "What does it cost to keep a promise? " * 6}],
}
STREAM_BODY = {**CHAT_BODY, "max_tokens": 200, "stream": True, "stream_options": {"include_usage": True}}


# --- processes --------------------------------------------------------------------------------------------------------


def descriptors():
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def start(args, core, name):
    log = open(WORK / f"{name}.log", "wb")
    return subprocess.Popen(["taskset", "-c", str(core), *map(str, args)], stdout=log, stderr=log, cwd=ROOT, preexec_fn=descriptors)


def wait_file(path, process, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists():
            return json.loads(path.read_text())
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise SystemExit(f"bench: {path} did not appear; see {WORK}")


def cpu_ns(pid):
    """CPU time of all threads."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def rss_kib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Vendor:
    def __init__(self):
        directory = WORK / "vendor"
        shutil.rmtree(directory, ignore_errors=True)
        self.process = start([BUILD / "vendor", "--dir", directory, "--fast-bill", "--bill", "/dev/null"], OTHER_CORE, "vendor")
        ports = wait_file(directory / "ports.json", self.process)
        self.dir, self.plain, self.tls = directory, ports["plain"], ports["tls"]

    def get(self, path):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.plain)) as c:
            c.request("GET", path)
            return json.loads(c.getresponse().read())


class Nginx:
    name = "nginx"

    def __init__(self, vendor):
        self.dir = WORK / "nginx"
        self.dir.mkdir(exist_ok=True)
        self.plain, self.tls, self.plain_to_tls = (free_port() for _ in range(3))
        self.vendor = vendor
        (self.dir / "nginx.conf").write_text(self.config())
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = start([nginx, "-p", self.dir, "-c", self.dir / "nginx.conf", "-e", self.dir / "error.log"], PROXY_CORE, "nginx")
        wait_port(self.plain)
        self.pid = self.process.pid

    def config(self):
        v, d = self.vendor, self.dir
        # A single process is the one worker.
        return f"""
user root;
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile {DESCRIPTORS};
pid {d}/nginx.pid;
events {{ worker_connections 50000; }}
http {{
	access_log off;
	client_max_body_size 64m;
	client_body_buffer_size 2m;
	client_body_temp_path {d}/body;
	proxy_temp_path {d}/proxy;
	fastcgi_temp_path {d}/fastcgi;
	uwsgi_temp_path {d}/uwsgi;
	scgi_temp_path {d}/scgi;
	keepalive_requests 100000000;
	keepalive_timeout 600s;
	proxy_http_version 1.1;
	proxy_set_header Connection "";
	proxy_read_timeout 3600s;
	upstream plain {{ server 127.0.0.1:{v.plain}; keepalive 2048; keepalive_requests 100000000; keepalive_timeout 600s; }}
	upstream tls {{ server 127.0.0.1:{v.tls}; keepalive 2048; keepalive_requests 100000000; keepalive_timeout 600s; }}
	server {{
		listen 127.0.0.1:{self.plain} backlog=4096;
		location /openai/ {{ proxy_pass http://plain/; }}
		location /sse/openai/ {{ proxy_pass http://plain/; proxy_buffering off; }}
	}}
	server {{
		listen 127.0.0.1:{self.tls} ssl backlog=4096;
		ssl_certificate {v.dir}/leaf.pem;
		ssl_certificate_key {v.dir}/leaf.key;
		ssl_session_cache shared:SSL:10m;
		proxy_ssl_server_name on;
		proxy_ssl_name localhost;
		proxy_ssl_verify on;
		proxy_ssl_trusted_certificate {v.dir}/ca.pem;
		proxy_ssl_protocols TLSv1.2 TLSv1.3;
		proxy_ssl_session_reuse on;
		location /openai/ {{ proxy_pass https://tls/; }}
		location /sse/openai/ {{ proxy_pass https://tls/; proxy_buffering off; }}
	}}
}}
"""

    def target(self, tls, stream):
        return (self.tls if tls else self.plain), ("/sse/openai" if stream else "/openai"), []

    def stop(self):
        end(self.process)


class Bursar:
    name = "bursar"
    started = 0

    def __init__(self, vendor, tls):
        Bursar.started += 1
        self.dir = WORK / f"bursar-{Bursar.started}"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        config = self.dir / "bursar.yaml"
        config.write_text(json.dumps(self.config(vendor, tls)))
        self.process = start([BUILD / "bursar", "serve", "--config", config], PROXY_CORE, self.dir.name)
        ports = wait_file(self.dir / "data" / "ports.json", self.process)
        self.port, self.admin, self.pid = ports["proxy"][0], ports["admin"], self.process.pid
        words = subprocess.run([BUILD / "bursar", "keys", "create", "bench", "--config", config, "--format", "json"], check=True,
                               capture_output=True, text=True, cwd=ROOT).stdout
        self.key = json.loads(words)["key"] if words.startswith("{") else words.split()[-1]
        self.token = (self.dir / "data" / "admin.token").read_text().strip()

    def config(self, vendor, tls):
        key = self.dir / "vendor.key"
        key.write_text("sk-vendor")
        key.chmod(0o600)
        origin = f"https://localhost:{vendor.tls}" if tls else f"http://127.0.0.1:{vendor.plain}"
        return {
            "listen": ["127.0.0.1:0"], "admin": {"listen": "127.0.0.1:0"}, "data": str(self.dir / "data"), "workers": 1,
            **({"tls": {"cert": str(vendor.dir / "leaf.pem"), "key": str(vendor.dir / "leaf.key")}} if tls else {}),
            "providers": {"openai": {"base_url": origin, "ca_file": str(vendor.dir / "ca.pem"), "api_key": f"${{file:{key}}}"}},
            "network": {"allow": ["127.0.0.0/8"]},
            "budgets": [
                {"name": "daily", "window": "day", "limit": "1000000 USD", "mode": "hard"},
                {"name": "monthly", "window": "month", "per": ["key"], "limit": "1000000 USD", "mode": "hard"},
            ],
            "limits": {"max_connections": 50000, "max_connections_per_address": 50000, "pool_max_idle": 20000,
                       "pool_max_idle_per_key": 20000, "keepalive": "600s", "pool_idle": "600s"},
            "storage": {"min_free": "64MiB"},
            "log": {"requests": False, "file": str(self.dir / "bursar.jsonl")},
        }

    def target(self, tls, stream):
        return self.port, "/openai", ["--header", f"Authorization: Bearer {self.key}"]

    def ledger_rows(self):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.admin)) as c:
            c.request("GET", "/api/v1/ledger?limit=1", headers={"Authorization": f"Bearer {self.token}"})
            rows = json.loads(c.getresponse().read())["rows"]
            return rows[0]["seq"] if rows else 0

    def stop(self):
        end(self.process)


class Direct:
    """No proxy: what the load and the vendor take by themselves."""

    name = "direct"

    def __init__(self, vendor):
        self.vendor, self.pid = vendor, None

    def target(self, tls, stream):
        return (self.vendor.tls if tls else self.vendor.plain), "", []


def free_port():
    import socket

    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port):
    import socket

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise SystemExit(f"bench: nothing listens at port {port}; see {WORK}")


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- one measurement --------------------------------------------------------------------------------------------------


def load_args(proxy, vendor, tls, stream, body, more):
    port, prefix, headers = proxy.target(tls, stream)
    body_path = WORK / "body.json"
    body_path.write_text(json.dumps(body))
    return [
        BUILD / "load", "--target", f"127.0.0.1:{port}", "--path", prefix + "/v1/chat/completions", "--body", f"@{body_path}",
        *headers, *(["--tls", "--ca", vendor.dir / "ca.pem", "--tls-name", "localhost"] if tls else []), *more,
    ]


def run_load(proxy, args):
    """Load's own figures, and the proxy's CPU between the end of the warm-up and the end."""
    p = subprocess.Popen(["taskset", "-c", str(OTHER_CORE), *map(str, args)], stdout=subprocess.PIPE, text=True, preexec_fn=descriptors)
    before = result = None
    for line in p.stdout:
        if line.startswith("measuring"):
            before = cpu_ns(proxy.pid) if proxy.pid else 0
        elif line.startswith("{"):
            result = json.loads(line)
            result["cpu_ns"] = cpu_ns(proxy.pid) - before if proxy.pid else 0
    p.wait()
    if result is None:
        raise SystemExit(f"bench: the load generator failed against {proxy.name}")
    bad = result["errors"] + result["status_4xx"] + result["status_5xx"]
    if bad:
        print(f"    {proxy.name}: {bad} calls failed", file=sys.stderr)
    result["failed"] = bad
    return result


def rounds(proxies, vendor, tls, stream, body, more, seconds=None):
    """{name: [result of each round]}, A B A B."""
    out = {p.name: [] for p in proxies}
    for _ in range(ROUNDS):
        for p in proxies:
            args = load_args(p, vendor, tls, stream, body, ["--warmup", "1", "--seconds", str(seconds or SECONDS), *more])
            out[p.name].append(run_load(p, args))
    return out


def median(results, field):
    return statistics.median(field(r) for r in results)


# --- the table --------------------------------------------------------------------------------------------------------

table = []


def row(scenario, measure, nginx, bursar, value, good, best, unit="x"):
    """Lower is better."""
    verdict = "extraordinary" if value <= best else "good" if value <= good else "MISSED"
    table.append({"scenario": scenario, "measure": measure, "nginx": nginx, "bursar": bursar, "value": value, "good": good,
                  "extraordinary": best, "unit": unit, "verdict": verdict})
    print(f"  {scenario:34} {measure:26} nginx {nginx:>9}  bursar {bursar:>9}  -> {value:7.2f} {unit:4} (good {good}, extraordinary {best}) {verdict}",
          flush=True)


def us(ns):
    return f"{ns / 1000:.1f} us"


def cpu_row(scenario, out, per, good, best):
    cost = {name: median(r, lambda x: x["cpu_ns"] / max(1, x[per])) for name, r in out.items() if name != "direct"}
    what = "CPU per call" if per == "calls" else "CPU per chunk"
    row(scenario, what, us(cost["nginx"]), us(cost["bursar"]), cost["bursar"] / cost["nginx"], good, best)


def latency_note(out):
    parts = []
    for name, r in out.items():
        parts.append(f"{name} p50 {median(r, lambda x: x['p50_us']):.0f} us p99 {median(r, lambda x: x['p99_us']):.0f} us "
                     f"{median(r, lambda x: x['per_second']):.0f}/s")
    print("    " + "; ".join(parts), flush=True)


def unary(name, proxies, vendor, tls, good, best):
    out = rounds(proxies, vendor, tls, False, CHAT_BODY, ["--connections", "64"])
    cpu_row(name, out, "calls", good, best)
    latency_note(out)


def fixed_rate(proxies, vendor):
    out = rounds([*proxies, Direct(vendor)], vendor, False, False, CHAT_BODY, ["--connections", "64", "--rate", "2000"])
    cpu_row("unary, 2,000 a second", out, "calls", 1.4, 1.10)
    added = {n: median(out[n], lambda x: x["p50_us"]) - median(out["direct"], lambda x: x["p50_us"]) for n in ("nginx", "bursar")}
    row("unary, 2,000 a second", "added p50 less nginx's", f"{added['nginx']:.0f} us", f"{added['bursar']:.0f} us",
        added["bursar"] - added["nginx"], 60, 15, "us")
    latency_note(out)


def streams(name, proxies, vendor, tls, good, best):
    n = 200 if QUICK else 1000
    more = ["--connections", str(n), "--header", "x-vendor-chunk-ms: 100", "--header", "x-vendor-out: 200", "--header", "x-vendor-chunks: 200"]
    out = rounds(proxies, vendor, tls, True, STREAM_BODY, ["--warmup", "1" if QUICK else "3", *more], 3 if QUICK else 6)
    cpu_row(name, out, "events", good, best)
    for n, r in out.items():
        print(f"    {n}: {median(r, lambda x: x['events_per_second']):.0f} chunks/s, between chunks p50 "
              f"{median(r, lambda x: x['gap_p50_us']) / 1000:.1f} ms p99 {median(r, lambda x: x['gap_p99_us']) / 1000:.1f} ms (sent every 100 ms)")


def idle(name, makers, vendor, tls, good, best):
    """On processes of their own: memory that earlier rounds left behind would hide what a stream costs."""
    n = min(1000 if QUICK else 10_000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200) // 2)
    proxies = [make() for make in makers]
    try:
        measure_idle(name, n, proxies, vendor, tls, good, best)
    finally:
        for p in proxies:
            p.stop()


def measure_idle(name, n, proxies, vendor, tls, good, best):
    body = {**STREAM_BODY, "max_tokens": 16}
    grown = {}
    for p in proxies:
        before = rss_kib(p.pid)
        args = load_args(p, vendor, tls, True, body, ["--idle", "--connections", str(n), "--warmup", "0", "--seconds", "300",
                                                      "--header", "x-vendor-chunk-ms: 3000000"])
        load = subprocess.Popen(["taskset", "-c", str(OTHER_CORE), *map(str, args)], stdout=subprocess.PIPE, text=True, preexec_fn=descriptors)
        try:
            line = load.stdout.readline()
            if not line.startswith("ready"):
                raise SystemExit(f"bench: {p.name} does not hold {n} streams: {line}")
            time.sleep(1)
            grown[p.name] = (rss_kib(p.pid) - before) / n
        finally:
            load.kill()
            load.wait()
        settle(vendor)
    name = f"{n} {name}"
    if tls:
        row(name, "RSS per stream", f"{grown['nginx']:.1f} KiB", f"{grown['bursar']:.1f} KiB", grown["bursar"] / grown["nginx"], good, best)
    else:
        row(name, "RSS per stream", f"{grown['nginx']:.1f} KiB", f"{grown['bursar']:.1f} KiB", grown["bursar"], good, best, "KiB")


def settle(vendor):
    """Until the vendor has noticed that all clients left (its streams sleep: closing wakes them)."""
    deadline = time.monotonic() + 5
    while vendor.get("/__hits")["open_calls"] and time.monotonic() < deadline:
        time.sleep(0.1)


def prompts(proxies, vendor):
    for kib, connections in ((100, 16), (1000, 4)):
        text = "The quick brown fox jumps over the lazy dog, and nobody counts what it cost. " * (kib * 1024 // 78)
        body = {**CHAT_BODY, "messages": [{"role": "user", "content": text}]}
        size = len(json.dumps(body)) / 1e6
        out = rounds(proxies, vendor, False, False, body, ["--connections", str(connections)])
        cost = {n: median(r, lambda x: x["cpu_ns"] / max(1, x["calls"]) / size) for n, r in out.items()}
        row(f"prompts of {kib} KB", "CPU per MB", us(cost["nginx"]), us(cost["bursar"]), cost["bursar"] / cost["nginx"], 2.0, 0.9)


def fresh(proxies, vendor):
    out = rounds(proxies, vendor, True, False, CHAT_BODY, ["--connections", "16", "--fresh"])
    cpu_row("new TLS connection for each call", out, "calls", 1.2, 1.0)


def wanted(name):
    return not ONLY or name in ONLY


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    descriptors()
    if len(CORES) < 2:
        print("bench: one core only; the proxy and the load share it, ratios say less", file=sys.stderr)
    began = time.monotonic()
    vendor = Vendor()
    running = [vendor.process]
    try:
        nginx = Nginx(vendor)
        running.append(nginx.process)
        plain = Bursar(vendor, tls=False)
        running.append(plain.process)
        proxies = [nginx, plain]
        print(f"proxy on core {PROXY_CORE}, vendor and load on core {OTHER_CORE}; {ROUNDS} rounds, medians")
        if wanted("unary"):
            unary("unary, plain, saturated", proxies, vendor, False, 1.6, 1.15)
        if wanted("rate"):
            fixed_rate(proxies, vendor)
        if wanted("sse"):
            streams("SSE, plain", proxies, vendor, False, 1.4, 0.95)
        if wanted("prompts"):
            prompts(proxies, vendor)
        if wanted("idle"):
            idle("idle streams, plain", [lambda: Nginx(vendor), lambda: Bursar(vendor, tls=False)], vendor, False, 9, 2.6)
        print(f"    bursar wrote {plain.ledger_rows()} ledger rows")
        plain.stop()
        tls = Bursar(vendor, tls=True)
        running.append(tls.process)
        proxies = [nginx, tls]
        if wanted("tls"):
            unary("unary, TLS both sides", proxies, vendor, True, 1.5, 1.10)
        if wanted("sse-tls"):
            streams("SSE, TLS both sides", proxies, vendor, True, 1.4, 0.90)
        if wanted("fresh"):
            fresh(proxies, vendor)
        if wanted("idle-tls"):
            idle("idle streams, TLS both sides", [lambda: Nginx(vendor), lambda: Bursar(vendor, tls=True)], vendor, True, 0.75, 0.53)
    finally:
        for p in reversed(running):
            end(p)
    (WORK / "results.json").write_text(json.dumps(table, indent=1))
    missed = [r for r in table if r["verdict"] == "MISSED"]
    print(f"{len(table)} goals: {sum(r['verdict'] == 'extraordinary' for r in table)} extraordinary, "
          f"{sum(r['verdict'] == 'good' for r in table)} good, {len(missed)} missed; {time.monotonic() - began:.0f} s; "
          f"figures in {(WORK / 'results.json').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
