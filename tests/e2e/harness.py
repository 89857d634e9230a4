"""Starts the real programs on free loopback ports and looks at them from outside.

Nothing here sleeps for luck: every wait is for a condition, with a deadline.
"""

import base64
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BURSAR_BUILD", "build/release")
BURSAR = pathlib.Path(os.environ.get("BURSAR_PROGRAM", BUILD / "bursar"))
VENDOR = pathlib.Path(os.environ.get("VENDOR_PROGRAM", BUILD / "vendor"))
NANO = 1_000_000_000
SANITIZED = "asan" in BUILD.name or "tsan" in BUILD.name
PATIENCE = 30 if SANITIZED else 10

VENDOR_HOSTS = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "google": "generativelanguage.googleapis.com",
}

# The other providers, and as whom the test vendor answers and bills for them.
SELLERS = {
    "azure": "azure", "vertex": "google", "bedrock": "aws", "cohere": "cohere", "mistral": "mistral", "groq": "groq",
    "together": "together", "openrouter": "openrouter", "ollama": "ollama", "perplexity": "perplexity", "xai": "x-ai",
    "deepseek": "deepseek", "fireworks": "fireworks",
}
# Machines of the operator's own have the prices that the operator says.
OWN_PRICES = {"ollama": {
    "price_as": "groq", "models": {"llama3.2": "llama-3.1-8b-instant", "nomic-embed-text": "llama-3.1-8b-instant"}}}


def nanousd(text):
    """Exact nano-dollars of decimal text such as "0.000123"."""
    whole, _, part = str(text).partition(".")
    sign = -1 if whole.startswith("-") else 1
    assert len(part) <= 9, text
    return sign * (abs(int(whole or "0")) * NANO + int((part + "0" * 9)[:9]))


def wait_for(condition, what, seconds=None):
    """The first true value of condition(); fails loudly after the deadline."""
    deadline = time.monotonic() + (seconds or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.01)


class Process:
    """A child that is always ended, and whose words are kept for the report of a failed test."""

    def __init__(self, args, directory, name, **popen):
        self.name = name
        self.log_path = pathlib.Path(directory) / f"{name}.log"
        self._log = open(self.log_path, "ab")
        self.popen = subprocess.Popen(
            [str(a) for a in args], stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, cwd=ROOT, **popen
        )

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def words(self):
        return self.log_path.read_text(errors="replace")

    def wait(self, seconds=None):
        return self.popen.wait(seconds or PATIENCE)

    def terminate(self, seconds=None):
        if self.running():
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(seconds or PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill9()
                raise AssertionError(f"{self.name} did not end after SIGTERM:\n{self.words()[-4000:]}") from None
        if not self._log.closed:
            self._log.close()
        return self.popen.returncode

    def kill9(self):
        if self.running():
            self.popen.kill()
        self.popen.wait()

    def cpu_seconds(self):
        """User and system time of all threads so far."""
        words = open(f"/proc/{self.pid}/stat").read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def rss_kib(self):
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0


def read_json_when_there(path, process, seconds=None):
    def there():
        if path.exists():
            return json.loads(path.read_text())
        if not process.running():
            raise AssertionError(
                f"{process.name} ended with {process.popen.returncode} before it was ready:\n{process.words()[-4000:]}"
            )
        return None

    return wait_for(there, f"{path} of {process.name}", seconds)


# --- the vendor -------------------------------------------------------------------------------------------------------


class Vendor:
    def __init__(self, directory, *options):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "ports.json").unlink(missing_ok=True)
        self.process = Process([VENDOR, "--dir", self.dir, *options], self.dir, "vendor")
        ports = read_json_when_there(self.dir / "ports.json", self.process)
        self.plain, self.tls = ports["plain"], ports["tls"]
        self.ca = self.dir / "ca.pem"

    def get(self, path):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.plain, timeout=PATIENCE)) as c:
            c.request("GET", path)
            return json.loads(c.getresponse().read())

    def totals(self):
        return self.get("/__bill")

    def hits(self):
        return self.get("/__hits")["hits"]

    def last_head(self):
        return self.get("/__last")

    def bill(self):
        """Final lines of the bill, by the client's name for the call."""
        lines = [json.loads(line) for line in (self.dir / "bill.jsonl").read_text().splitlines()]
        return {line["call"]: line for line in lines if line["event"] != "begin"}

    def bill_begun(self):
        lines = [json.loads(line) for line in (self.dir / "bill.jsonl").read_text().splitlines()]
        return {line["call"]: line for line in lines if line["event"] == "begin"}

    def wait_quiet(self):
        wait_for(lambda: self.get("/__hits")["open_calls"] == 0, "the vendor to end all calls", 60)

    def stop(self):
        code = self.process.terminate()
        assert code in (0, -9), f"the vendor ended with {code}:\n{self.process.words()[-4000:]}"


# --- bursar -----------------------------------------------------------------------------------------------------------


def merge(base, changes):
    """Nested dictionaries are merged, everything else is replaced; None removes."""
    out = dict(base)
    for key, value in changes.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merge(out[key], value)
        else:
            out[key] = value
    return out


def budget(limit, name="all", window="total", mode="hard", **more):
    return {"name": name, "window": window, "limit": limit, "mode": mode, **more}


def sellers(vendor):
    """Configuration that sends every other provider's gateway calls to the test vendor; clients bring their own keys."""
    root = f"http://127.0.0.1:{vendor.plain}/as-"
    return {"providers": {
        name: {"base_url": root + seller, "ca_file": str(vendor.ca), **OWN_PRICES.get(name, {})} for name, seller in SELLERS.items()}}


class Bursar:
    """One data directory; started, killed and started again at will."""

    def __init__(self, directory, vendor, changes=None, start=True, **popen):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.vendor = vendor
        self.config_path = self.dir / "bursar.yaml"
        self.data = self.dir / "data"
        self.config = merge(self.defaults(), changes or {})
        self.process = None
        self.popen_options = popen
        self.write_config()
        if start:
            self.start()

    def defaults(self):
        plain = f"http://127.0.0.1:{self.vendor.plain}" if self.vendor else "http://127.0.0.1:9"
        providers = {}
        for name in VENDOR_HOSTS:
            key = self.dir / f"{name}.key"
            key.write_text(f"sk-vendor-{name}\n")
            key.chmod(0o600)
            providers[name] = {"base_url": plain, "api_key": f"${{file:{key}}}"}
            if self.vendor:
                providers[name]["ca_file"] = str(self.vendor.ca)
        providers["google"]["prefix"] = "gemini"
        return {
            "listen": ["127.0.0.1:0"],
            "admin": {"listen": "127.0.0.1:0"},
            "data": str(self.data),
            "workers": 2,
            "providers": providers,
            "network": {"allow": ["127.0.0.0/8"]},
            "auth": {"require_key": False},
            "default": "allow",
            "budgets": [budget("1000 USD")],
            "limits": {"max_connections_per_address": 20000, "drain_timeout": "20s"},
            "storage": {"min_free": "1MiB"},
            "log": {"file": str(self.dir / "bursar.jsonl")},
        }

    def write_config(self):
        # JSON is YAML.
        self.config_path.write_text(json.dumps(self.config, indent=1))

    def start(self, seconds=None):
        (self.data / "ports.json").unlink(missing_ok=True)
        self.process = Process(
            [BURSAR, "serve", "--config", self.config_path], self.dir, "bursar", **self.popen_options
        )
        ports = read_json_when_there(self.data / "ports.json", self.process, seconds)
        self.proxy, self.admin = ports["proxy"][0], ports["admin"]
        self.ports = ports
        self.token = (self.data / "admin.token").read_text().strip()
        return self

    def kill9(self):
        self.process.kill9()

    def stop(self, seconds=None):
        if self.process is None:
            return None
        return self.process.terminate(seconds or 60)

    def log_lines(self):
        path = self.dir / "bursar.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # command line

    def cli(self, *args, check=True, **run):
        done = subprocess.run(
            [str(BURSAR), *[str(a) for a in args], "--config", str(self.config_path)],
            capture_output=True, text=True, cwd=ROOT, timeout=60, **run,
        )
        if check:
            assert done.returncode == 0, (args, done.returncode, done.stdout, done.stderr)
        return done

    def create_key(self, name, *more):
        words = self.cli("keys", "create", name, *more, "--format", "json").stdout
        return json.loads(words)["key"] if words.startswith("{") else words.split()[-1]

    # admin API

    def api(self, path, method="GET", body=None, token=None, raw=False):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.admin, timeout=PATIENCE)) as c:
            headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            c.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            r = c.getresponse()
            data = r.read()
            if raw:
                return r.status, data
            assert r.status < 300, (path, r.status, data)
            return json.loads(data)

    def budgets(self):
        rows = self.api("/api/v1/budgets")["budgets"]
        return {row["name"] + ("/" + row["scope"] if row.get("scope") else ""): row for row in rows}

    def budget(self, name="all"):
        return self.budgets()[name]

    def held(self):
        return sum(nanousd(b["held"]) for b in self.budgets().values() if b["unit"] == "USD")

    def ledger(self):
        """Every row, oldest first."""
        rows, cursor = [], None
        while True:
            page = self.api("/api/v1/ledger?order=asc&limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            rows += page["rows"]
            cursor = page["next"]
            if cursor is None:
                return rows

    def wait_settled(self, seconds=None):
        """Until nothing is held and every row is down."""
        wait_for(lambda: self.held() == 0, "holds to be resolved", seconds or 90)
        count = [-1]

        def stable():
            now = len(self.ledger())
            was, count[0] = count[0], now
            if was == now:
                return True
            time.sleep(0.15)
            return False

        wait_for(stable, "the ledger to be written")

    @property
    def ca_pem(self):
        return self.data / "ca" / "ca.pem"

    @property
    def ca_bundle(self):
        return self.data / "ca" / "bundle.pem"


# --- HTTP by hand -----------------------------------------------------------------------------------------------------


class Answer:
    def __init__(self, status, reason, fields, body, raw_body, ended_well):
        self.status, self.reason, self.fields, self.body = status, reason, fields, body
        self.raw_body = raw_body  # with chunk lines
        self.ended_well = ended_well

    def __getitem__(self, name):
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)


class Wire:
    """One connection, byte for byte."""

    def __init__(self, port, host="127.0.0.1", tls=None, timeout=None):
        self.sock = socket.create_connection((host, port), timeout=timeout or PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if tls:
            self.start_tls(*tls)

    def start_tls(self, ca, name):
        context = ssl.create_default_context(cafile=str(ca))
        self.sock = context.wrap_socket(self.sock, server_hostname=name)

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def close(self):
        self.sock.close()

    def abort(self):
        """Leaves with a reset, as a killed process does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def more(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            data = b""
        self.buffer += data
        return len(data) > 0

    def read_until(self, mark):
        while mark not in self.buffer:
            if not self.more():
                return None
        part, _, self.buffer = self.buffer.partition(mark)
        return part

    def read_head(self):
        head = self.read_until(b"\r\n\r\n")
        if head is None:
            return None
        line, *fields = head.decode("latin-1").split("\r\n")
        _, status, *reason = line.split(" ", 2)
        return int(status), (reason or [""])[0], [tuple(f.split(": ", 1)) if ": " in f else (f.rstrip(":"), "") for f in fields]

    def read_exactly(self, n):
        while len(self.buffer) < n:
            if not self.more():
                part, self.buffer = self.buffer, b""
                return part, False
        part, self.buffer = self.buffer[:n], self.buffer[n:]
        return part, True

    def read_chunked(self):
        body, raw = b"", b""
        while True:
            line = self.read_until(b"\r\n")
            if line is None:
                return body, raw + self.buffer, False
            raw += line + b"\r\n"
            size = int(line.split(b";")[0], 16)
            data, whole = self.read_exactly(size + 2)
            raw += data
            if not whole:
                return body + data, raw, False
            if size == 0:
                return body, raw, True
            body += data[:-2]

    def read_answer(self, method="POST"):
        head = self.read_head()
        if head is None:
            return None
        status, reason, fields = head
        if status == 100:
            return Answer(status, reason, fields, b"", b"", True)
        lower = {n.lower(): v for n, v in fields}
        if method == "HEAD" or status in (204, 304):
            return Answer(status, reason, fields, b"", b"", True)
        if lower.get("transfer-encoding") == "chunked":
            body, raw, well = self.read_chunked()
        elif "content-length" in lower:
            body, well = self.read_exactly(int(lower["content-length"]))
            raw = body
        else:
            while self.more():
                pass
            body = raw = self.buffer
            well = True
        return Answer(status, reason, fields, body, raw, well)


def request_bytes(path, body=b"", method="POST", host="localhost", headers=None):
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def call(port, path, body=b"", method="POST", host="localhost", headers=None, tls=None, timeout=None):
    """One call on a connection of its own."""
    w = Wire(port, tls=tls, timeout=timeout)
    try:
        w.send(request_bytes(path, body, method, host, headers))
        return w.read_answer(method)
    finally:
        w.close()


def open_tunnel(port, authority, ca, credential=None, timeout=None):
    """CONNECT, then TLS inside; the answer's head too when it is a refusal."""
    w = Wire(port, timeout=timeout)
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if credential:
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(credential.encode()).decode())
    w.send("\r\n".join(lines) + "\r\n\r\n")
    head = w.read_head()
    if head is None or head[0] != 200:
        return w, head
    w.start_tls(ca, authority.rsplit(":", 1)[0])
    return w, head


# --- bodies -----------------------------------------------------------------------------------------------------------

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
MESSAGES = "/v1/messages"
GENERATE = "/v1beta/models/gemini-2.5-flash-lite:generateContent"
GENERATE_SSE = "/v1beta/models/gemini-2.5-flash-lite:streamGenerateContent?alt=sse"
GENERATE_ARRAY = "/v1beta/models/gemini-2.5-flash-lite:streamGenerateContent"
PREFIX = {"openai": "/openai", "anthropic": "/anthropic", "google": "/gemini"}


def chat(max_tokens=16, stream=False, model="gpt-4.1-mini", text="Say something about money.", **more):
    body = {"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}], **more}
    if stream:
        body["stream"] = True
    return body


def messages(max_tokens=16, stream=False, model="claude-haiku-4-5", text="Say something about money.", **more):
    return chat(max_tokens, stream, model, text, **more)


def gemini(max_tokens=16, text="Say something about money."):
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": {"maxOutputTokens": max_tokens}}


# provider, path, body: every metered shape
CASES = {
    "chat": ("openai", CHAT, chat()),
    "chat-n3": ("openai", CHAT, chat(n=3)),
    "chat-stream-usage": ("openai", CHAT, chat(stream=True, stream_options={"include_usage": True})),
    "chat-stream": ("openai", CHAT, chat(stream=True)),
    "responses": ("openai", RESPONSES, {"model": "gpt-4.1-mini", "input": "Say something.", "max_output_tokens": 16}),
    "responses-stream": (
        "openai", RESPONSES, {"model": "gpt-4.1-mini", "input": "Say something.", "max_output_tokens": 16, "stream": True},
    ),
    "embeddings": ("openai", EMBEDDINGS, {"model": "text-embedding-3-large", "input": ["one text", "another text"]}),
    "messages": ("anthropic", MESSAGES, messages()),
    "messages-stream": ("anthropic", MESSAGES, messages(stream=True)),
    "generate": ("google", GENERATE, gemini()),
    "generate-sse": ("google", GENERATE_SSE, gemini()),
    "generate-array": ("google", GENERATE_ARRAY, gemini()),
}


# --- a vendor of a few lines ------------------------------------------------------------------------------------------


class ScriptedVendor:
    """An upstream that does what no honest vendor does: `script(self, connection)` runs for each, in a thread."""

    def __init__(self, script, host="127.0.0.1", port=0, tls=None):
        self.script, self.ca = script, "/etc/ssl/certs/ca-certificates.crt"
        self.context = None
        if tls:  # the directory of a Vendor, whose certificates are borrowed
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(tls / "leaf.pem", tls / "leaf.key")
            self.ca = tls / "ca.pem"
        self.heads = []
        self.over = threading.Event()
        self.sock = socket.create_server((host, port), backlog=1024)
        self.plain = self.tls = self.sock.getsockname()[1]
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(c,), daemon=True).start()

    def _run(self, c):
        try:
            if self.context:
                c = self.context.wrap_socket(c, server_side=True)
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.script(self, c)
        except OSError:
            pass
        finally:
            c.close()

    def read_request(self, c, whole=True):
        """(head, body), or None at the end; not `whole`: what came with the head."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = c.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        self.heads.append(head)
        length = int(field(head, "content-length") or 0) if whole else 0
        while len(body) < length:
            more = c.recv(65536)
            if not more:
                return None
            body += more
        return head, body

    def stop(self):
        self.over.set()
        self.sock.shutdown(socket.SHUT_RDWR)  # close() alone leaves it listening while accept() waits on it
        self.acceptor.join()
        self.sock.close()


def field(head, name):
    """A field's value in the bytes of a head."""
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return None


# --- a name server that knows the three vendors -----------------------------------------------------------------------


class FakeDns:
    """Answers A queries for the names it is told about; says "no such name" to all else."""

    def __init__(self, names):
        self.names = {n.lower(): a for n, a in names.items()}
        self.asked = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def address(self):
        return f"127.0.0.1:{self.port}"

    def _answer(self, query):
        labels, i = [], 12
        while query[i]:
            labels.append(query[i + 1 : i + 1 + query[i]].decode("latin-1"))
            i += query[i] + 1
        question = query[12 : i + 5]
        kind = struct.unpack(">H", query[i + 1 : i + 3])[0]
        name = ".".join(labels).lower()
        self.asked.append(name)
        found = self.names.get(name)
        addresses = found() if callable(found) else found
        addresses = [addresses] if isinstance(addresses, str) else addresses or []
        answers = b""
        count = 0
        for a in addresses if kind == 1 else []:
            answers += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + socket.inet_aton(a)
            count += 1
        code = 0 if found is not None else 3
        return query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0) + question + answers

    def _run(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
                self.sock.sendto(self._answer(query), peer)
            except OSError:
                return

    def close(self):
        self.sock.close()


class AddressLock:
    """Port 443 is one address for all runs on this machine: one test has it at a time. Released after each test."""

    path = pathlib.Path(tempfile.gettempdir()) / "bursar-tests-443.lock"
    file = None

    @classmethod
    def take(cls, patience):
        if cls.file:
            return
        cls.file = open(cls.path, "a")
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(cls.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > deadline:
                    cls.release()
                    raise AssertionError("another run of the tests does not let go of port 443") from None
            time.sleep(0.05)

    @classmethod
    def release(cls):
        if cls.file:
            cls.file.close()
            cls.file = None


def can_bind(address, patience=90):
    """False without the right to. Another run may have it for a while: that is waited for, not skipped over."""
    host, port = address.rsplit(":", 1)
    AddressLock.take(patience)
    deadline = time.monotonic() + patience
    while True:
        with contextlib.closing(socket.socket()) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, int(port)))
                s.listen()
                return True
            except PermissionError:
                return False
            except OSError:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{address} is taken by another program") from None
        time.sleep(0.1)


def sse_events(body):
    """data lines of an event stream."""
    return [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]


def quote(text):
    return urllib.parse.quote(text, safe="")
