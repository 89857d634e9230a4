"""Every wrong input gets a clear answer that names the place and what to do."""

import contextlib
import json
import os
import socket
import subprocess
import threading

import pytest

from harness import (BURSAR, CHAT, ROOT, VENDOR_HOSTS, FakeDns, Vendor, Wire, budget, call, chat, nanousd, request_bytes, wait_for)

# --- configuration ------------------------------------------------------------------------------------------------------

BAD_FILES = {
    "tab-indent": ("listen: [\"127.0.0.1:0\"]\nbudgets:\n\t- name: x\n", 3),
    "unclosed": ("listen: [\"127.0.0.1:0\"\nadmin: {\n", 2),
    "unknown-key": ("data: ./x\nlisen: 127.0.0.1:0\n", 2),
    "bad-amount": ("budgets:\n  - name: a\n    window: day\n    limit: fifty\n", 4),
    "bad-window": ("budgets:\n  - name: a\n    window: fortnight\n    limit: 5 USD\n", 3),
    "bad-zone": ("budgets:\n  - name: a\n    window: day\n    timezone: Mars/Olympus\n    limit: 5 USD\n", 4),
    "two-budgets-one-name": (
        "budgets:\n  - {name: a, window: day, limit: 5 USD}\n  - {name: a, window: day, limit: 5 USD}\n", 3),
    "bad-duration": ("limits:\n  head_timeout: soon\n", 2),
    "bad-cidr": ("network:\n  allow: [10.0.0.0/99]\n", 2),
    "negative-limit": ("budgets:\n  - name: a\n    window: day\n    limit: -5 USD\n", 4),
    "scalar-for-map": ("admin: yes\n", 1),
    "bad-url": ("providers:\n  openai:\n    base_url: ftp://x\n", 3),
    "missing-variable": ("providers:\n  openai:\n    api_key: ${NO_SUCH_VARIABLE_HERE}\n", 3),
}


@pytest.mark.parametrize("command", ["check-config", "serve"])
@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_configuration_is_refused_with_its_place(tmp_path, case, command):
    text, line = BAD_FILES[case]
    path = tmp_path / "bursar.yaml"
    path.write_text(text)
    done = subprocess.run([BURSAR, command, "--config", path], capture_output=True, text=True, cwd=ROOT, timeout=20)
    words = done.stdout + done.stderr
    assert done.returncode not in (0, -11, -6), words
    assert f"{path.name}:{line}:" in words, words
    if case == "unknown-key":
        assert "listen" in words


def test_missing_configuration_is_named(tmp_path):
    done = subprocess.run([BURSAR, "serve", "--config", tmp_path / "none.yaml"], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "none.yaml" in done.stdout + done.stderr


def test_taken_port_is_named(tmp_path, start_bursar, vendor):
    first = start_bursar()
    second = start_bursar({"listen": [f"127.0.0.1:{first.proxy}"]}, name="second", start=False)
    done = second.cli("serve", check=False)
    assert done.returncode not in (0, -6, -11)
    log = second.dir / "bursar.jsonl"
    assert str(first.proxy) in done.stderr + done.stdout + (log.read_text() if log.exists() else "")


def test_second_instance_on_the_same_data_exits_75(start_bursar):
    bursar = start_bursar()
    done = bursar.cli("serve", check=False)
    assert done.returncode == 75, (done.returncode, done.stdout, done.stderr)
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 200, "the first one goes on"


def test_words_of_the_command_line_that_do_not_exist():
    done = subprocess.run([BURSAR, "sevre"], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "serve" in done.stdout + done.stderr


# --- keys ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": "Bearer bur_wrong"}, {"Authorization": "Basic eDp5"}, {"x-api-key": "bur_" + "a" * 49},
    {"Authorization": "Bearer " + "x" * 5000},
])
@pytest.mark.parametrize("path,body", [("/openai" + CHAT, chat()), ("/anthropic/v1/messages", chat(model="claude-haiku-4-5"))])
def test_gateway_call_without_a_valid_key_is_401(start_bursar, vendor, headers, path, body):
    bursar = start_bursar({"auth": {"require_key": True}})
    answer = call(bursar.proxy, path, body, headers=headers)
    assert answer.status == 401
    assert "error" in answer.json()
    assert vendor.hits() == 0


def test_revoked_key_is_401_at_once(start_bursar, vendor):
    bursar = start_bursar({"auth": {"require_key": True}})
    key = bursar.create_key("short-lived")
    headers = {"Authorization": f"Bearer {key}"}
    assert call(bursar.proxy, "/openai" + CHAT, chat(), headers=headers).status == 200
    bursar.api("/api/v1/keys/short-lived", method="DELETE")
    assert call(bursar.proxy, "/openai" + CHAT, chat(), headers=headers).status == 401


def test_wrong_proxy_key_is_407(start_bursar):
    bursar = start_bursar({"auth": {"require_key": True}})
    for line in ("", "Proxy-Authorization: Basic !!!\r\n", "Proxy-Authorization: Bearer bur_x\r\n", "Proxy-Authorization: Basic eDp5\r\n"):
        w = Wire(bursar.proxy)
        w.send(f"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n{line}\r\n")
        assert w.read_head()[0] == 407
        w.close()


@pytest.mark.parametrize("path", ["/api/v1/budgets", "/api/v1/ledger", "/api/v1/keys", "/metrics"])
def test_admin_api_is_closed_without_its_token(start_bursar, path):
    bursar = start_bursar()
    for token in ("", "wrong", bursar.token[:-1], "bur_" + "x" * 49):
        assert bursar.api(path, token=token, raw=True)[0] in (401, 403)
    assert bursar.api(path, raw=True)[0] == 200


def test_admin_answers_only_to_its_own_name(start_bursar):
    bursar = start_bursar()
    answer = call(bursar.admin, "/api/v1/budgets", method="GET", host="evil.example", headers={"Authorization": f"Bearer {bursar.token}"})
    assert answer.status in (400, 403, 421)


# --- routes, models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/fine_tuning/jobs", "/v1/unknown", "/v1/vector_stores", "/v1/chat/completions/../responses", "/v1/chat%2Fcompletions", "//v1/chat/completions"])
def test_unknown_route_on_a_metered_host_is_refused(bursar, vendor, path):
    answer = call(bursar.proxy, "/openai" + path, chat())
    assert answer.status == 400, answer.body
    assert answer.json()["error"]["code"] == "route_unmetered"
    assert answer["x-should-retry"] == "false"
    assert vendor.hits() == 0


@pytest.mark.parametrize("field", ["Content-Type: application/xml", "Content-Encoding: gzip\r\nContent-Encoding: identity"])
def test_a_field_that_stands_twice_is_refused(bursar, vendor, field):
    w = Wire(bursar.proxy)
    body = chat()
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    w.send(f"POST /openai{CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{field}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = w.read_answer()
    w.close()
    assert answer.status == 400 and vendor.hits() == 0


def test_unknown_model_is_refused_with_what_to_do(bursar, vendor):
    answer = call(bursar.proxy, "/openai" + CHAT, chat(model="no-such-model-9"))
    assert answer.status == 400 and answer.json()["error"]["code"] == "price_unknown"
    assert "no-such-model-9" in answer.json()["error"]["message"]
    assert vendor.hits() == 0


def test_unknown_prefix_is_404(bursar):
    assert call(bursar.proxy, "/nobody/v1/x", chat()).status == 404


# --- sizes --------------------------------------------------------------------------------------------------------------


def test_oversized_head_is_431(bursar):
    for fields in ("X-A: " + "a" * 70000, "\r\n".join(f"X-{i}: 1" for i in range(150)), "X-A: " + "a" * 9000):
        w = Wire(bursar.proxy)
        w.send(f"GET /openai/v1/models HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n")
        answer = w.read_answer("GET")
        assert answer is not None and answer.status == 431
        w.close()


def test_too_long_target_is_414(bursar):
    w = Wire(bursar.proxy)
    w.send(f"GET /{'a' * 20000} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert w.read_answer("GET").status in (414, 431)


@pytest.mark.parametrize("chunked", [False, True])
def test_oversized_body_is_413(start_bursar, vendor, chunked):
    bursar = start_bursar({"limits": {"max_body": "64KiB"}})
    w = Wire(bursar.proxy)
    body = json.dumps(chat(text="x" * 200_000)).encode()
    if chunked:
        w.send(f"POST /openai{CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n")
    else:
        w.send(f"POST /openai{CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n")
    try:
        w.send(body)
    except OSError:
        pass  # refused before all was sent
    assert w.read_answer().status == 413
    assert vendor.hits() == 0


# --- targets ------------------------------------------------------------------------------------------------------------

FORBIDDEN_TARGETS = [
    "127.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "127.0.0.1.",
    "localhost", "LOCALHOST", "localhost.", "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "0.0.0.0", "0", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "10.0.0.1", "172.16.0.1", "192.168.1.1",
    "169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "100.64.0.1",
    "100.100.100.200", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "metadata.test", "rebind.test",
    "mixed.test", "127.0.0.1@api.openai.com", "api.openai.com@127.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "a..b", "-", "", "[", "[::1", "::1",
    "1.2.3.4.5", "x" * 300,
]


@pytest.fixture(scope="module")
def ssrf(tmp_path_factory):
    """bursar that tunnels anywhere but allows no private address, and a trap on loopback that counts visitors."""
    trap = socket.create_server(("127.0.0.1", 0))
    visitors = []

    def count():
        while True:
            try:
                visitors.append(trap.accept()[1])
            except OSError:
                return

    threading.Thread(target=count, daemon=True).start()
    turns = iter([["93.184.216.34"]] + [["127.0.0.1"]] * 1000)
    dns = FakeDns({
        "metadata.test": "169.254.169.254", "rebind.test": lambda: next(turns), "mixed.test": ["93.184.216.34", "127.0.0.1"],
        "localhost": "127.0.0.1",
    })
    directory = tmp_path_factory.mktemp("ssrf")
    from harness import Bursar

    port = trap.getsockname()[1]
    bursar = Bursar(directory, None, {
        "providers": {name: {"base_url": None} for name in VENDOR_HOSTS},  # whose hosts would be metered ones
        "network": {"allow": [], "dns": [dns.address()]}, "other_hosts": "tunnel", "connect_ports": [str(port)],
        "limits": {"connect_timeout": "1s", "connect_total": "1s"},
    })
    yield bursar, port, visitors
    bursar.stop()
    trap.close()
    dns.close()


@pytest.mark.parametrize("target", FORBIDDEN_TARGETS)
def test_connect_to_a_forbidden_target_in_any_spelling(ssrf, target):
    bursar, port, visitors = ssrf
    w = Wire(bursar.proxy)
    w.send(f"CONNECT {target}:{port} HTTP/1.1\r\nHost: {target}:{port}\r\n\r\n".encode())
    head = w.read_head()
    w.close()
    assert head is None or 400 <= head[0] <= 504, head
    assert visitors == []


@pytest.mark.parametrize("target", [t for t in FORBIDDEN_TARGETS if t])
def test_absolute_form_to_a_forbidden_target(ssrf, target):
    bursar, port, visitors = ssrf
    w = Wire(bursar.proxy)
    w.send(f"GET http://{target}:{port}/x HTTP/1.1\r\nHost: {target}:{port}\r\n\r\n".encode())
    head = w.read_head()
    w.close()
    assert head is None or 400 <= head[0] <= 504, head
    assert visitors == []


# --- certificates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaf", ["expired", "wrong-host", "self-signed", "unknown-ca"])
def test_bad_vendor_certificate_is_refused_before_money_moves(tmp_path, start_bursar, vendor, leaf):
    bad = Vendor(tmp_path / "bad", *([] if leaf == "unknown-ca" else ["--leaf", leaf]))
    try:
        ca = str(vendor.ca if leaf == "unknown-ca" else bad.ca)
        bursar = start_bursar({"providers": {"openai": {"base_url": f"https://localhost:{bad.tls}", "ca_file": ca}}})
        answer = call(bursar.proxy, "/openai" + CHAT, chat())
        assert answer.status == 502 and answer.json()["error"]["code"] == "upstream_certificate", answer.body
        bursar.wait_settled()
        assert bursar.ledger() == [] and bursar.budget()["spent"] == "0"
        assert bad.hits() == 0
    finally:
        bad.stop()


def test_good_vendor_certificate_is_accepted(start_bursar, vendor):
    bursar = start_bursar({"providers": {"openai": {"base_url": f"https://localhost:{vendor.tls}"}}})
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 200


# --- disk ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr}")
    yield place
    subprocess.run(["umount", "-l", place], check=False)


def fill(place):
    fd = os.open(place / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        for piece in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(fd, b"\0" * piece)
    finally:
        os.close(fd)


def test_full_disk_stops_hard_budgets_and_loses_nothing(vendor, start_bursar, small_disk):
    bursar = start_bursar({"data": str(small_disk / "data"), "storage": {"min_free": "1MiB", "grace": "1s"}}, start=False)
    bursar.data = small_disk / "data"
    bursar.start()
    for i in range(5):
        assert call(bursar.proxy, "/openai" + CHAT, chat(), headers={"x-vendor-call": f"a{i}"}).status == 200
    fill(small_disk)

    def refused():
        answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers={"x-vendor-call": f"b{vendor.hits()}"})
        assert answer.status in (200, 503), answer.body
        return answer if answer.status == 503 else None

    answer = wait_for(refused, "a full disk to stop calls", 30)
    assert answer.json()["error"]["code"] == "storage_unavailable" and 1 <= int(answer["retry-after"]) <= 60
    status, words = bursar.api("/health/ready", raw=True)
    assert status == 503, words
    (small_disk / "filler").unlink()
    wait_for(lambda: call(bursar.proxy, "/openai" + CHAT, chat(), headers={"x-vendor-call": "z"}).status == 200, "calls to go on", 30)
    bursar.wait_settled()
    assert sum(nanousd(r["usd"]) for r in bursar.ledger()) == vendor.totals()["nanousd"]
    assert len(bursar.ledger()) == vendor.totals()["complete"]


def test_read_only_data_is_refused_at_start(vendor, start_bursar, small_disk):
    bursar = start_bursar({"data": str(small_disk / "data")}, start=False)
    bursar.data = small_disk / "data"
    bursar.start()
    bursar.stop()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = bursar.cli("serve", check=False)
    assert done.returncode in (70, 73, 74, 75, 77, 78, 1), done
    words = done.stdout + done.stderr + (bursar.dir / "bursar.jsonl").read_text()
    assert "read-only" in words.lower() or "readonly" in words.lower() or "cannot write" in words.lower(), words[-2000:]
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    bursar.start()
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 200


def test_damaged_database_is_refused_with_78(vendor, start_bursar):
    bursar = start_bursar()
    for _ in range(20):
        call(bursar.proxy, "/openai" + CHAT, chat())
    bursar.stop()
    (database,) = [p for p in bursar.data.iterdir() if p.suffix in (".db", ".sqlite", ".sqlite3")]
    damaged = bytearray(database.read_bytes())
    for i in range(100, len(damaged), 97):
        damaged[i] ^= 0x5A
    database.write_bytes(damaged)
    done = bursar.cli("serve", check=False)
    assert done.returncode == 78, (done.returncode, done.stderr[-2000:])
    assert database.read_bytes() == bytes(damaged), "nothing is deleted or repaired without being asked"


# --- framing ------------------------------------------------------------------------------------------------------------

BODY = json.dumps(chat()).encode()
N = str(len(BODY)).encode()
P = b"POST /openai" + CHAT.encode() + b" HTTP/1.1\r\nHost: x\r\n"
SMUGGLE = b"GET /openai/v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
BAD_REQUESTS = {
    "cl-and-te": P + b"Content-Length: " + N + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLE,
    "two-cl": P + b"Content-Length: 0\r\nContent-Length: " + N + b"\r\n\r\n" + BODY,
    "two-equal-cl": P + b"Content-Length: " + N + b"\r\nContent-Length: " + N + b"\r\n\r\n" + BODY,
    "listed-cl": P + b"Content-Length: " + N + b", " + N + b"\r\n\r\n" + BODY,
    "plus-cl": P + b"Content-Length: +" + N + b"\r\n\r\n" + BODY,
    "minus-cl": P + b"Content-Length: -1\r\n\r\n",
    "hex-cl": P + b"Content-Length: 0x10\r\n\r\n",
    "empty-cl": P + b"Content-Length:\r\n\r\n" + SMUGGLE,
    "huge-cl": P + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "te-identity": P + b"Transfer-Encoding: identity\r\nContent-Length: " + N + b"\r\n\r\n" + BODY,
    "te-xchunked": P + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "te-gzip-chunked": P + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "te-chunked-twice": P + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-tab": P + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "te-space-before-colon": P + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "cl-space-before-colon": P + b"Content-Length : " + N + b"\r\n\r\n" + BODY,
    "te-in-1.0": P.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": P + b"X-A: b\r\n c\r\nContent-Length: " + N + b"\r\n\r\n" + BODY,
    "bare-lf": P.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n",
    "bare-cr-in-value": P + b"X-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n",
    "nul-in-value": P + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "empty-name": P + b": b\r\nContent-Length: 0\r\n\r\n",
    "space-in-name": P + b"X A: b\r\nContent-Length: 0\r\n\r\n",
    "no-host": P.replace(b"Host: x\r\n", b"") + b"Content-Length: 0\r\n\r\n",
    "two-hosts": P + b"Host: y\r\nContent-Length: 0\r\n\r\n",
    "bad-host": P.replace(b"Host: x", b"Host: x y") + b"Content-Length: 0\r\n\r\n",
    "space-in-target": P.replace(b" HTTP", b"/a b HTTP") + b"Content-Length: 0\r\n\r\n",
    "http-2.0": P.replace(b"HTTP/1.1", b"HTTP/2.0") + b"Content-Length: 0\r\n\r\n",
    "http-0.9": b"GET /openai/v1/models\r\n\r\n",
    "lower-http": P.replace(b"HTTP/1.1", b"http/1.1") + b"Content-Length: 0\r\n\r\n",
    "connection-names-host": P + b"Connection: host\r\nContent-Length: 0\r\n\r\n",
    "connection-names-cl": P + b"Connection: content-length\r\nContent-Length: " + N + b"\r\n\r\n" + BODY,
    "connection-names-auth": P + b"Connection: authorization\r\nAuthorization: Bearer x\r\nContent-Length: 0\r\n\r\n",
    "chunk-size-sign": P + b"Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    "chunk-size-0x": P + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk-size-overflow": P + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk-without-crlf": P + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n",
    "chunk-lf-only": P + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    "chunk-ext-endless": P + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"a" * 100000 + b"\r\nhello\r\n0\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n",
    "h2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "method-with-slash": b"PO/ST /openai/v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
}


def test_user_information_in_a_target_is_refused(bursar, vendor):
    answer = call(bursar.proxy, f"http://user:pass@127.0.0.1:{vendor.plain}/", method="GET", host=f"127.0.0.1:{vendor.plain}")
    assert answer.status == 400 and vendor.hits() == 0


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    from harness import Bursar

    vendor = Vendor(tmp_path_factory.mktemp("strict-vendor"))
    bursar = Bursar(tmp_path_factory.mktemp("strict"), vendor)
    yield bursar, vendor
    bursar.stop()
    vendor.stop()


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_ambiguous_framing_is_refused_and_the_connection_closed(strict, case):
    bursar, vendor = strict
    before = vendor.hits()
    w = Wire(bursar.proxy)
    try:
        w.send(BAD_REQUESTS[case])
    except OSError:
        pass
    answer = w.read_answer()
    assert answer is None or answer.status >= 400, answer.status
    while w.more():
        pass
    assert w.buffer == b"" or answer is None, "a second answer: the leftover was read as a request"
    assert vendor.hits() == before
    assert bursar.held() == 0


def test_bad_request_is_one_answer_then_the_end_for_a_pipelining_attacker(strict):
    bursar, vendor = strict
    w = Wire(bursar.proxy)
    w.send(BAD_REQUESTS["cl-and-te"] + request_bytes("/openai" + CHAT, chat()))
    assert w.read_answer().status == 400
    assert not w.more()
