"""Hostile clients, hostile vendors, and connections that die at any byte: no key leaks, no call goes unpaid, no spin.

Calls that nobody saw the end of are found in the ledger by their hold: each asks for another max_tokens.
"""

import concurrent.futures
import contextlib
import gzip
import json
import random
import socket
import ssl
import struct
import threading
import time

import pytest

from harness import (CHAT, VENDOR_HOSTS, ScriptedVendor, Wire, budget, call, can_bind, chat, field, nanousd,
                     open_tunnel, request_bytes, wait_for)

# gpt-4.1-mini
INPUT_NANOUSD, OUTPUT_NANOUSD = 400, 1600
BILLED = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}
BILLED_NANOUSD = 1000 * INPUT_NANOUSD + 1000 * OUTPUT_NANOUSD
ALL_HOSTS = {name: {"base_url": None} for name in VENDOR_HOSTS}


# --- scripted answers -------------------------------------------------------------------------------------------------


def paid_body(pad=0, usage=None):
    answer = {"id": "x", "model": "gpt-4.1-mini", "usage": usage or BILLED, "pad": "p" * pad}
    answer["choices"] = [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]
    return json.dumps(answer).encode()


def whole(body, extra=""):
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def delta(text, pad=0):
    choice = {"index": 0, "delta": {"content": text}}
    return event({"id": "x", "model": "gpt-4.1-mini", "choices": [choice], **({"pad": "p" * pad} if pad else {})})


def usage_event(prompt, completion):
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return event({"id": "x", "model": "gpt-4.1-mini", "choices": [], "usage": usage})


def event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def scripted():
    """A function that starts a scripted vendor."""
    started = []

    def start(script, **more):
        started.append(ScriptedVendor(script, **more))
        return started[-1]

    yield start
    for v in started:
        v.stop()


@pytest.fixture
def bursar_before(start_bursar):
    """A bursar before a scripted vendor instead of the usual one."""

    def start(vendor, changes=None, scheme="http", host="127.0.0.1", **more):
        provider = {"base_url": f"{scheme}://{host}:{vendor.plain}", "ca_file": str(vendor.ca)}
        ours = {"providers": {"openai": provider}, "workers": 1}
        return start_bursar({**ours, **(changes or {})}, **more)

    return start


def stalled(port):
    """A connection whose client does not read: hardly anything fits between it and bursar."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", port))
    w = Wire.__new__(Wire)
    w.sock, w.buffer = s, b""
    s.settimeout(20)
    return w


def busy_share(process, seconds=1.0):
    """Share of a processor that the process used."""
    began, used = time.monotonic(), process.cpu_seconds()
    wait_for(lambda: time.monotonic() - began >= seconds, "the measured time to pass")
    return (process.cpu_seconds() - used) / (time.monotonic() - began)


def rows_of(bursar):
    bursar.wait_settled()
    return bursar.ledger()


def the_row(bursar):
    (row,) = rows_of(bursar)
    return row


def eof_of(w):
    """Everything until the end of the connection."""
    while w.more():
        pass
    return w.buffer


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def local_names(names):
    for host in VENDOR_HOSTS.values():
        names.names[host] = "127.0.0.1"
    return names


@pytest.mark.parametrize("listed", [False, True], ids=["any-port", "listed-port"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_stored_key_leaves_only_for_the_providers_own_origin(vendor, start_bursar, local_names, scheme, listed):
    port = vendor.plain if scheme == "http" else vendor.tls
    changes = {"network": {"dns": [local_names.address()]}, "providers": ALL_HOSTS}
    bursar = start_bursar({**changes, **({"connect_ports": [str(port)]} if listed else {})})
    key = bursar.create_key("app")
    for path, method, body in (("/v1/models", "GET", b""), (CHAT, "POST", chat())):
        url, host = f"{scheme}://api.openai.com:{port}{path}", f"api.openai.com:{port}"
        answer = call(bursar.proxy, url, body, method, host, {"Authorization": f"Bearer {key}"})
        assert answer.status == 403, answer.body
    assert vendor.hits() == 0
    assert rows_of(bursar) == []


LEAKS = {
    "second header": ("/v1/models", {"Authorization": "Bearer sk-real", "x-api-key": "KEY"}),
    "two second headers": ("/v1/models", {"Authorization": "Bearer sk-real", "x-api-key": "KEY", "api-key": "KEY"}),
    "query": ("/v1/models?key=KEY", {"Authorization": "Bearer sk-real"}),
    "query in the middle": ("/v1/models?a=1&key=KEY&b=2", {"Authorization": "Bearer sk-real"}),
    "no scheme": ("/v1/models", {"Authorization": "KEY"}),
    "basic": ("/v1/models", {"Authorization": "Basic KEY"}),
    "odd spacing": ("/v1/models", {"Authorization": "bearer  KEY"}),
    "first virtual, then real": ("/v1/models?key=sk-real", {"Authorization": "Bearer KEY", "x-api-key": "sk-real"}),
    "everywhere": ("/v1/models?key=KEY", {"Authorization": "Bearer KEY", "x-api-key": "KEY", "x-goog-api-key": "KEY"}),
    "a header that is no credential": ("/v1/models", {"Authorization": "Bearer KEY", "x-foo": "KEY"}),
    "cookie": ("/v1/models", {"Authorization": "Bearer KEY", "Cookie": "a=1; k=KEY"}),
    "google's header": ("/v1/models", {"x-api-key": "sk-real", "x-goog-api-key": "KEY"}),
}


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("require", [False, True], ids=["open", "keys-required"])
def test_virtual_keys_never_reach_the_vendor(vendor, start_bursar, leak, require):
    bursar = start_bursar({"auth": {"require_key": require}})
    key = bursar.create_key("app")
    path, headers = LEAKS[leak]
    headers = {name: value.replace("KEY", key) for name, value in headers.items()}
    before = vendor.hits()
    answer = call(bursar.proxy, "/openai" + path.replace("KEY", key), method="GET", headers=headers)
    assert answer.status in (200, 400, 401), answer.body
    if vendor.hits() > before:
        seen = json.dumps(vendor.last_head())
        assert "bur_" not in seen and key[4:] not in seen, seen
    else:
        assert answer.status != 200
    assert key not in json.dumps(bursar.log_lines())


def test_virtual_keys_inside_an_identified_tunnel_never_reach_the_vendor(vendor443, intercepting):
    bursar = intercepting()
    key = bursar.create_key("tunnel-app")
    for path, headers in LEAKS.values():
        headers = {name: value.replace("KEY", key) for name, value in headers.items()}
        before = vendor443.hits()
        w, _ = open_tunnel(bursar.proxy, "api.openai.com:443", bursar.ca_pem, credential=f"u:{key}")
        w.send(request_bytes(path.replace("KEY", key), method="GET", host="api.openai.com", headers=headers))
        w.read_answer("GET")
        w.close()
        seen = json.dumps(vendor443.last_head()) if vendor443.hits() > before else ""
        assert "bur_" not in seen and key[4:] not in seen, (path, headers, seen)


TWO = {
    "two kinds": ("", {"Authorization": "Bearer sk-a", "x-api-key": "sk-b"}),
    "one kind twice": ("", {"Authorization": "Bearer sk-a", "authorization": "Bearer sk-b"}),
    "header and query": ("?key=sk-b", {"Authorization": "Bearer sk-a"}),
}


@pytest.mark.parametrize("case", TWO)
def test_two_credentials_in_one_head_are_refused(vendor, bursar, case):
    query, headers = TWO[case]
    answer = call(bursar.proxy, "/openai" + CHAT + query, chat(), headers=headers)
    assert answer.status == 400 and b"credential" in answer.body, answer.body
    assert vendor.hits() == 0 and rows_of(bursar) == []


def test_two_thousand_query_parameters_pass_and_only_the_key_is_taken_out(vendor, bursar):
    key = bursar.create_key("app")
    many = "&".join(["a"] * 2000)
    half = many[: many.index("&", len(many) // 2)]
    answer = call(bursar.proxy, f"/openai/v1/models?{half}&key={key}{many[len(half):]}", method="GET")
    assert answer.status == 200, answer.body
    assert vendor.last_head()["target"] == f"/v1/models?{many}"
    answer = call(bursar.proxy, f"/openai/v1/models?{many}", method="GET", headers={"Authorization": f"Bearer {key}"})
    assert answer.status == 200, answer.body
    assert vendor.last_head()["target"] == f"/v1/models?{many}"


# --- where a call may go ----------------------------------------------------------------------------------------------


def test_connect_inside_tls_is_refused_with_text_and_bursar_lives(vendor, start_bursar):
    tls = {"cert": str(vendor.dir / "leaf.pem"), "key": str(vendor.dir / "leaf.key")}
    bursar = start_bursar({"tls": tls})
    for _ in range(3):
        w = Wire(bursar.proxy, tls=(vendor.ca, "localhost"))
        w.send("CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n")
        answer = w.read_answer()
        assert answer.status == 400 and b"HTTPS_PROXY" in answer.body, answer
        w.close()
    answer = call(bursar.proxy, "/openai" + CHAT, chat(), tls=(vendor.ca, "localhost"))
    assert answer.status == 200 and bursar.process.running()


def test_deny_rules_hold_for_providers_in_absolute_form_too(vendor, start_bursar, local_names):
    bursar = start_bursar({
        "network": {"dns": [local_names.address()]}, "providers": ALL_HOSTS, "connect_ports": [str(vendor.plain)],
        "hosts": [{"host": "api.anthropic.com", "do": "deny"}],
    })
    for host, status in (("api.anthropic.com", 403), ("API.Anthropic.com", 403), ("api.openai.com", 200)):
        place = f"{host}:{vendor.plain}"
        url = f"http://{place}/v1/models"
        answer = call(bursar.proxy, url, method="GET", host=place, headers={"x-api-key": "sk-x"})
        assert answer.status == status, (host, answer.body)
    assert vendor.hits() == 1


def test_odd_ports_in_absolute_form_are_refused_unless_listed(vendor, start_bursar, local_names):
    local_names.names["other.test"] = "127.0.0.1"
    changes = {"network": {"dns": [local_names.address()]}, "providers": ALL_HOSTS, "other_hosts": "tunnel"}
    bursar = start_bursar(changes, name="unlisted")
    for host in ("other.test", "api.openai.com"):
        for port in (22, 25, vendor.plain):
            place = f"{host}:{port}"
            answer = call(bursar.proxy, f"http://{place}/x", method="GET", host=place, headers={"x-api-key": "sk-x"})
            assert answer.status == 403 and b"port" in answer.body, (place, answer.body)
    assert vendor.hits() == 0
    listed = start_bursar({**changes, "connect_ports": [str(vendor.plain)]}, name="listed")
    place = f"other.test:{vendor.plain}"
    assert call(listed.proxy, f"http://{place}/v1/models", method="GET", host=place).status == 200


def client_hello(name):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def in_small_records(hello, size=20):
    assert hello[0] == 22 and struct.unpack(">H", hello[3:5])[0] == len(hello) - 5
    body = hello[5:]
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(hello[:3] + struct.pack(">H", len(p)) + p for p in parts)


def padded(hello, n):
    """The same hello behind an extension of `n` bytes that nobody knows, in records as long as may be."""
    body = hello[5:]
    at = 4 + 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack(">H", body[at : at + 2])[0]
    at += 1 + body[at]
    extensions = struct.pack(">HH", 0x0A0A, n) + bytes(n) + body[at + 2 :]
    message = body[4:at] + struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + struct.pack(">I", len(message))[1:] + message
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(p)) + p for p in
                    (message[i : i + 16384] for i in range(0, len(message), 16384)))


def in_records_of_one(hello):
    return b"".join(b"\x16\x03\x01\0\1" + bytes([b]) for b in hello)


DISGUISES = {
    "longer than a record": lambda hello: padded(hello, 20000),
    "longest that extensions can be": lambda hello: padded(hello, 65535 - 1000),
    "in thousands of records": lambda hello: in_records_of_one(padded(hello, 3500)[5:]),
    "after an empty record": lambda hello: b"\x16\x03\x01\0\0" + hello,
}


def raw_tunnel(port, authority):
    w = Wire(port)
    w.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
    return w, w.read_head()[0]


def answers_hello(w):
    """The first byte that comes back through a tunnel, or none."""
    return w.buffer != b"" or w.more()


def test_blind_tunnel_to_a_bare_address_needs_a_rule_that_spells_it(vendor443, intercepting):
    for hosts in ([], [{"host": "*", "do": "tunnel"}]):
        bursar = intercepting({"other_hosts": "tunnel", "hosts": hosts}, name=f"wide{len(hosts)}")
        w, status = raw_tunnel(bursar.proxy, "127.0.0.2:443")
        assert status == 403 and b"address" in eof_of(w)
    bursar = intercepting({"hosts": [{"host": "127.0.0.2", "do": "tunnel"}]}, name="spelled")
    w, status = raw_tunnel(bursar.proxy, "127.0.0.2:443")
    assert status == 200
    w.send(client_hello(None))
    assert answers_hello(w)
    w.close()


@pytest.fixture
def alias(intercepting, names):
    """A bursar that tunnels everything, and another name for where the vendors live."""
    names.names["alias.test"] = "127.0.0.2"
    return intercepting({"other_hosts": "tunnel", "hosts": [{"host": "127.0.0.2", "do": "tunnel"}]})


MANNERS = {
    "at once": lambda w, hello: w.send(hello),
    "byte by byte": lambda w, hello: [w.send(bytes([b])) for b in hello],
    "in small records": lambda w, hello: w.send(in_small_records(hello)),
}


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("name", ["api.openai.com", "API.OpenAI.com", "generativelanguage.googleapis.com"])
@pytest.mark.parametrize("authority", ["alias.test:443", "127.0.0.2:443"])
def test_tunnel_to_another_name_does_not_carry_tls_for_a_metered_host(vendor443, alias, authority, name, manner):
    w, status = raw_tunnel(alias.proxy, authority)
    assert status == 200
    with contextlib.suppress(OSError):  # closed while the rest is being sent
        MANNERS[manner](w, client_hello(name))
    assert not answers_hello(w), "the vendor must not have seen the hello"
    w.close()


@pytest.mark.parametrize("disguise", DISGUISES)
def test_no_disguise_takes_a_hello_for_a_metered_host_through_a_tunnel(vendor443, alias, disguise):
    hello = DISGUISES[disguise](client_hello("api.openai.com"))
    direct = Wire(443, host="127.0.0.2")
    direct.send(hello)
    assert answers_hello(direct) and direct.buffer[0] == 22, "this is no hello for the vendor either"
    direct.close()
    w, status = raw_tunnel(alias.proxy, "alias.test:443")
    assert status == 200
    with contextlib.suppress(OSError):
        for i in range(0, len(hello), 500):
            w.send(hello[i : i + 500])
    assert not answers_hello(w) or w.buffer[0] != 22, "the vendor has answered the hello"
    w.close()


def test_hello_sent_together_with_connect_is_judged_too(vendor443, alias):
    for name, heard in (("api.openai.com", False), ("alias.test", True)):
        w = Wire(alias.proxy)
        w.send(b"CONNECT alias.test:443 HTTP/1.1\r\nHost: alias.test:443\r\n\r\n" + client_hello(name))
        head = w.read_head()
        assert (head is not None and answers_hello(w)) == heard
        w.close()


@pytest.mark.parametrize("manner", ["at once", "byte by byte", "in small records"])
def test_tunnel_carries_tls_for_its_own_and_other_names(vendor443, alias, manner):
    for name in ("alias.test", "elsewhere.test", None):
        w, status = raw_tunnel(alias.proxy, "alias.test:443")
        assert status == 200
        MANNERS[manner](w, client_hello(name))
        assert answers_hello(w), name
        w.close()


@pytest.mark.parametrize("path", [
    "/openai/v1/chat%2Fcompletions", "/openai/v1/models/%2e%2e/chat/completions", "/openai/v1/%63hat/completions",
    "/gemini/v1beta/models/gemini-2.5-pro%3AgenerateContent", "/anthropic/v1/%6dessages", "/openai/v1/models%00",
])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_escapes_in_a_metered_path_are_no_way_around_the_price(vendor, bursar, path, method):
    answer = call(bursar.proxy, path, chat() if method == "POST" else b"", method)
    assert answer.status == 400, answer.body
    wait_for(lambda: [r for r in bursar.log_lines() if r.get("refusal") == "route_unmetered"], "the log line")
    assert vendor.hits() == 0


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override"])
def test_method_overrides_stay_here(vendor, bursar, name):
    assert call(bursar.proxy, "/openai/v1/models", method="GET", headers={name: "POST", "x-kept": "1"}).status == 200
    seen = {key.lower() for key, _ in vendor.last_head()["fields"]}
    assert "x-kept" in seen and name.lower() not in seen


# --- money ------------------------------------------------------------------------------------------------------------


def test_answer_that_came_before_the_request_was_sent_whole_is_charged(scripted, bursar_before):
    def early(v, c):
        v.read_request(c, whole=False)
        c.sendall(whole(paid_body()))
        v.over.wait(60)

    v = scripted(early)
    v.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    bursar = bursar_before(v)
    body = json.dumps(chat(max_tokens=1000)).encode() + b" " * (16 << 20)
    answer = call(bursar.proxy, "/openai" + CHAT, body)
    assert answer.status == 200 and answer.body == paid_body()
    assert nanousd(the_row(bursar)["usd"]) >= BILLED_NANOUSD


def test_answer_to_an_upload_that_never_ended_is_charged(scripted, bursar_before):
    def early(v, c):
        v.read_request(c, whole=False)
        c.sendall(whole(b"{}"))
        v.over.wait(60)

    bursar = bursar_before(scripted(early), {"budgets": [budget("1000 USD", unknown_model={"charge": "0.5 USD"})]})
    w = Wire(bursar.proxy)
    w.send("POST /openai/v1/unheard-of HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    answer = w.read_answer()
    w.close()
    assert answer.status == 200, answer.body
    assert the_row(bursar)["usd"] == "0.5"


@pytest.mark.parametrize("asked", [False, True], ids=["usage-unasked", "usage-asked"])
def test_answer_too_well_compressed_to_be_read_is_charged_the_worst_case(scripted, bursar_before, asked):
    """One letter 32000 times: the reader gives up on the ratio, and what it saw is no bound of what it did not see."""
    text = b"".join([delta("a")] * 32000) + usage_event(10, 32000) + b"data: [DONE]\n\n"
    packed = gzip.compress(text, 9)

    def bomb(v, c):
        while v.read_request(c):
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
            c.sendall(f"{head}Content-Length: {len(packed)}\r\n\r\n".encode() + packed)

    bursar = bursar_before(scripted(bomb))
    body = chat(max_tokens=32000, stream=True, **({"stream_options": {"include_usage": True}} if asked else {}))
    answer = call(bursar.proxy, "/openai" + CHAT, body, headers={"Accept-Encoding": "gzip"})
    assert answer.status == 200 and gzip.decompress(answer.body) == text
    row = the_row(bursar)
    assert nanousd(row["usd"]) >= 10 * INPUT_NANOUSD + 32000 * OUTPUT_NANOUSD, row
    assert row["source"] == "usage" or row["usd"] == row["held_usd"], row


@pytest.mark.parametrize("drains", [256, 0], ids=["read-on", "no-room-to-read-on"])
def test_stream_of_a_client_that_stops_reading_is_paid(scripted, bursar_before, drains):
    """At the idle time the client goes, not the vendor: the answer is read on for its bill."""
    tokens, sent = 20000, []

    def stream(v, c):
        v.read_request(c)
        c.sendall(SSE_HEAD)
        for _ in range(tokens):
            c.sendall(chunk(delta("a", pad=300)))
            sent.append(1)
        c.sendall(chunk(usage_event(10, tokens)) + b"0\r\n\r\n")
        sent.append("end")
        v.over.wait(60)

    bursar = bursar_before(scripted(stream), {"limits": {"stream_idle": "1s", "max_drains": drains}})
    w = stalled(bursar.proxy)
    body = chat(max_tokens=tokens, stream=True, stream_options={"include_usage": True})
    w.send(request_bytes("/openai" + CHAT, body))
    row = wait_for(lambda: bursar.ledger(), "the call to be settled", 30)[0]
    if drains:
        assert sent[-1] == "end", "the vendor must have been read to its end"
        assert nanousd(row["usd"]) == 10 * INPUT_NANOUSD + tokens * OUTPUT_NANOUSD, row
    assert nanousd(row["usd"]) >= 10 * INPUT_NANOUSD + len(sent[:tokens]) * OUTPUT_NANOUSD, row
    assert "client_gone" in row["flags"], row
    assert not eof_of(w).endswith(b"0\r\n\r\n"), "the client must see that its answer is cut"
    bursar.wait_settled()


# what the vendor answers, what the client gets, is nothing charged
STRANGE = {
    "200 hints first": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 200 + whole(paid_body()), 200),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    "empty": (whole(b""), 200),
    "moved": (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: x\r\n\r\n", 302),
    "switched": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 502),
    "length and chunks": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 502),
    "cut at the end": (b"HTTP/1.1 200 OK\r\n\r\n" + paid_body()[:-40], 200),
    "less than asked for": (whole(paid_body().replace(b"gpt-4.1-mini", b"gpt-4.1-nano")), 200),
    "followed by bytes": (whole(paid_body()) + whole(b"EVIL!"), 200),
    "negative usage": (whole(paid_body().replace(b"1000", b"-1000")), 200),
    "huge usage": (whole(paid_body().replace(b"1000", b"9" * 30)), 200),
}


@pytest.mark.parametrize("case", STRANGE)
def test_strange_answer_is_one_row_within_its_hold(scripted, bursar_before, case):
    data, status = STRANGE[case]

    def strange(v, c):
        if v.read_request(c):
            c.sendall(data)
            if case == "cut at the end":
                return
            v.over.wait(60)

    bursar = bursar_before(scripted(strange))
    answer = call(bursar.proxy, "/openai" + CHAT, chat(max_tokens=4000))
    assert answer.status == status, answer.body
    rows = rows_of(bursar)
    assert len(rows) == 1 or (status in (204, 302) and rows == []), rows
    assert all(0 <= nanousd(r["usd"]) <= nanousd(r["held_usd"]) for r in rows), rows
    if case not in ("no body", "moved", "less than asked for"):
        assert nanousd(rows[0]["usd"]) > 0, rows


def test_bytes_after_an_answer_never_become_the_next_answer(scripted, bursar_before):
    def split(v, c):
        while True:
            request = v.read_request(c)
            if not request:
                return
            c.sendall(whole(paid_body()) + (whole(b"EVIL!") if field(request[0], "x-extra") else b""))

    bursar = bursar_before(scripted(split))
    for _ in range(30):
        w = Wire(bursar.proxy)
        w.send(request_bytes("/openai" + CHAT, chat(max_tokens=1000), headers={"x-extra": "1"}))
        w.send(request_bytes("/openai" + CHAT, chat(max_tokens=1000)))
        assert [w.read_answer().body for _ in range(2)] == [paid_body()] * 2
        w.close()
    assert [nanousd(r["usd"]) for r in rows_of(bursar)] == [BILLED_NANOUSD] * 60


def early_and_partial(v, c):
    v.read_request(c, whole=False)
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
    v.over.wait(60)


def test_nothing_of_ours_stands_inside_a_vendors_answer(scripted, bursar_before):
    bursar = bursar_before(scripted(early_and_partial), {"budgets": [budget("1000 USD", mode="soft")]})
    w = Wire(bursar.proxy)
    w.send("POST /openai/v1/audio/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    wait_for(lambda: b"abc" in w.buffer or (w.more() and b"abc" in w.buffer), "the vendor's first words")
    w.send("zz\r\n")
    seen = eof_of(w)
    assert seen.count(b"HTTP/1.1") == 1 and seen.endswith(b"\r\n\r\nabc"), seen
    w.close()
    bursar.wait_settled()
    assert bursar.process.running()


def test_nothing_of_ours_follows_an_answer_when_the_upload_is_too_big_or_too_slow(scripted, bursar_before):
    limits = {"max_upload": "64KiB", "body_grace": "1s", "body_min_rate": "1000"}
    bursar = bursar_before(scripted(early_and_partial), {"limits": limits, "budgets": [budget("9 USD", mode="soft")]})
    for more in (chunk(b"x" * 70000), b""):
        w = Wire(bursar.proxy)
        w.send("POST /openai/v1/audio/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        wait_for(lambda: b"abc" in w.buffer or (w.more() and b"abc" in w.buffer), "the vendor's first words")
        w.send(more)
        seen = eof_of(w)
        assert seen.count(b"HTTP/1.1") == 1 and seen.endswith(b"\r\n\r\nabc"), seen
        w.close()
    bursar.wait_settled()


# --- time -------------------------------------------------------------------------------------------------------------

# Sizes around what fits into the sockets and into bursar: some answers leave whole, some wait in its hands, some in the
# vendor's.
SIZES = [k * 40_000 for k in range(1, 66)]


def sized(v, c):
    while True:
        request = v.read_request(c)
        if not request:
            return
        c.sendall(whole(paid_body(pad=int(field(request[0], "x-size")))))


def sized_call(size, **more):
    return request_bytes("/openai" + CHAT, chat(max_tokens=1000), headers={"x-size": size, **more})


def test_answer_that_cannot_leave_costs_no_processor_time(scripted, bursar_before):
    v = scripted(sized)
    bursar = bursar_before(v)
    wires = [stalled(bursar.proxy) for _ in SIZES]
    for w, size in zip(wires, SIZES):
        w.send(sized_call(size, Connection="close") + b"EXTRA")
    wait_for(lambda: len(v.heads) == len(SIZES), "all calls to reach the vendor")
    wait_for(lambda: busy_share(bursar.process, 0.2) < 0.5, "answers to be stuck", 5)
    for w in wires:
        with contextlib.suppress(OSError):
            w.send(b"MORE")
    assert busy_share(bursar.process) < 0.2
    for w in wires:
        w.abort()


def test_streamed_upload_with_an_early_answer_to_a_slow_client_costs_no_processor_time(scripted, bursar_before):
    def flood(v, c):
        v.read_request(c, whole=False)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while not v.over.is_set():
            c.sendall(b"z" * 65536)

    v = scripted(flood)
    bursar = bursar_before(v, {"budgets": [budget("1000 USD", mode="soft")]})
    w = stalled(bursar.proxy)
    w.send(b"POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhello")
    wait_for(lambda: v.heads, "the call to reach the vendor")
    assert busy_share(bursar.process) < 0.2
    w.send(b"more")
    assert busy_share(bursar.process) < 0.2
    w.abort()
    bursar.wait_settled()


def outlive_keepalive(bursar):
    """Waits until bursar has closed an idle connection that is younger than all others."""
    w = Wire(bursar.proxy)
    w.send(request_bytes("/nobody", method="GET"))
    assert w.read_answer("GET").status == 404
    eof_of(w)
    w.close()


def test_slow_reader_gets_its_paid_answer_whole_after_the_keepalive_time(scripted, bursar_before):
    v = scripted(sized)
    bursar = bursar_before(v, {"limits": {"keepalive": "1s"}})
    wires = [stalled(bursar.proxy) for _ in SIZES]
    for w, size in zip(wires, SIZES):
        w.send(sized_call(size))
    wait_for(lambda: len(v.heads) == len(SIZES), "all calls to reach the vendor")
    outlive_keepalive(bursar)
    outlive_keepalive(bursar)
    for w, size in zip(wires, SIZES):
        answer = w.read_answer()
        assert answer.ended_well and answer.body == paid_body(pad=size), (size, len(answer.body))
        w.close()
    assert [nanousd(r["usd"]) for r in rows_of(bursar)] == [BILLED_NANOUSD] * len(SIZES)


def test_trickled_upload_ends_within_its_grace(vendor, start_bursar):
    bursar = start_bursar({"limits": {"body_grace": "1s", "body_min_rate": "1000"}})
    w = Wire(bursar.proxy)
    w.send("POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    began = time.monotonic()
    w.sock.settimeout(0.1)  # one byte each time nothing came back
    while b"\r\n\r\n" not in w.buffer:
        with contextlib.suppress(TimeoutError):
            if not w.more():
                break
        assert time.monotonic() - began < 8, "a trickle was waited for"
        with contextlib.suppress(OSError):
            w.send(b"x")
    assert w.buffer == b"" or w.buffer.startswith(b"HTTP/1.1 4"), w.buffer
    w.close()
    bursar.wait_settled()


def test_steady_upload_above_the_least_rate_is_not_cut(vendor, start_bursar):
    bursar = start_bursar({"limits": {"body_grace": "0.5s", "body_min_rate": "1000"}})
    w = Wire(bursar.proxy)
    w.send("POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n")
    w.sock.settimeout(0.05)
    for _ in range(40):
        w.send(b"x" * 200)
        with contextlib.suppress(TimeoutError):
            assert w.more(), "cut"
    w.sock.settimeout(10)
    assert w.read_answer().status < 500
    w.close()


def test_refused_body_leaves_the_connection_open_for_the_next_request(vendor, bursar):
    bad = request_bytes("/openai" + CHAT, b"{x}")
    w = Wire(bursar.proxy)
    for i in range(10):
        w.send(bad)
        assert w.read_answer().status == 400, i
        w.send(request_bytes("/openai" + CHAT, chat(), headers={"x-vendor-call": f"next{i}"}))
        assert w.read_answer().status == 200, i
    w.close()
    assert sorted(nanousd(r["usd"]) for r in rows_of(bursar)) == sorted(b["nanousd"] for b in vendor.bill().values())


# --- death at any byte ------------------------------------------------------------------------------------------------

MODEL, TOKEN_NANOUSD = "gpt-5-mini", 2000
FIRST_TOKENS = 10_000
DOORS = ["plain", "tls", "connect"]


def numbered(tokens, stream):
    """Always as long: holds differ by max_tokens alone."""
    word = "true " if stream else "false"
    messages = '[{"role":"user","content":"Why?"}]'
    return f'{{"model":"{MODEL}","max_tokens":{tokens},"stream":{word},"messages":{messages}}}'.encode()


def by_number(bursar, base):
    """The ledger by the calls' numbers; base: the part of a hold that is not output."""
    rows = {}
    for row in rows_of(bursar):
        number, rest = divmod(nanousd(row["held_usd"]) - base, TOKEN_NANOUSD)
        assert rest == 0 and FIRST_TOKENS <= number, row
        assert number not in rows, f"the call {number} stands in the ledger twice"
        rows[number] = row
    return rows


class House:
    """One bursar with three doors; every call has a number, which is its max_tokens and its name at the vendor."""

    def __init__(self, bursar, tls_ca):
        self.bursar, self.tls_ca = bursar, tls_ca
        self.lock, self.next = threading.Lock(), FIRST_TOKENS
        self.base = self._calibrate()

    def _calibrate(self):
        w = self.open("connect")
        w.send(self.request("connect", self.number(), False))
        assert w.read_answer().status == 200
        w.close()
        return nanousd(the_row(self.bursar)["held_usd"]) - FIRST_TOKENS * TOKEN_NANOUSD

    def number(self):
        with self.lock:
            self.next += 1
            return self.next - 1

    def open(self, door):
        if door == "connect":
            return open_tunnel(self.bursar.proxy, "api.openai.com:443", self.bursar.ca_pem)[0]
        return Wire(self.bursar.proxy, tls=(self.tls_ca, "localhost") if door == "tls" else None)

    def request(self, door, number, stream, **headers):
        path, host = (CHAT, "api.openai.com") if door == "connect" else ("/openai" + CHAT, "localhost")
        headers = {"x-vendor-call": number, "x-vendor-out": 8, "x-vendor-chunks": 4, **headers}
        return request_bytes(path, numbered(number, stream), host=host, headers=headers)

    def rows(self):
        return by_number(self.bursar, self.base)

    def judge(self, vendor):
        """Call by call: what reached the vendor is in the ledger, exactly where its end was seen, else no cheaper."""
        vendor.wait_quiet()
        rows, bills = self.rows(), vendor.bill()
        lost = sorted(set(map(int, vendor.bill_begun())) - set(rows))
        assert not lost, f"{len(lost)} calls reached the vendor and are not in the ledger: {lost[:10]}"
        for number, row in rows.items():
            bill = bills[str(number)]["nanousd"] if str(number) in bills else 0
            exact = row["source"] == "usage" and "estimated" not in row["flags"]
            assert nanousd(row["usd"]) == bill if exact else nanousd(row["usd"]) >= bill, (row, bills.get(str(number)))
        assert self.bursar.held() == 0 and self.bursar.process.running()
        assert nanousd(self.bursar.budget()["spent"]) == sum(nanousd(r["usd"]) for r in rows.values())
        return rows


@pytest.fixture
def house(vendor443, intercepting):
    tls = {"cert": str(vendor443.dir / "leaf.pem"), "key": str(vendor443.dir / "leaf.key")}
    return House(intercepting({"tls": tls, "limits": {"drain_client": "5s"}, "breakers": {"upstream": False}}), vendor443.ca)


def all_at_once(do, plans):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda plan: do(*plan), plans))


def leave(w, k):
    (w.abort if k % 2 else w.close)()


@pytest.mark.parametrize("door", DOORS)
def test_client_killed_at_any_byte_of_its_request(vendor443, house, door):
    length = len(house.request(door, FIRST_TOKENS, False))

    def killed(cut):
        w = house.open(door)
        w.send(house.request(door, house.number(), cut % 2 == 0)[:cut])
        leave(w, cut // 2)

    all_at_once(killed, [(cut,) for cut in range(0, length - 1, 2)])
    assert len(house.judge(vendor443)) == 1, "no request was whole"
    all_at_once(killed, [(length,) for _ in range(8)])
    house.judge(vendor443)


@pytest.mark.parametrize("door", DOORS)
def test_client_killed_at_any_byte_of_its_answer(vendor443, house, door):
    def killed(cut, stream):
        w = house.open(door)
        w.send(house.request(door, house.number(), stream, **{"x-vendor-chunk-ms": 1}))
        got = 0
        while got < cut and not whole_answer(w.buffer):
            data = w.sock.recv(min(cut - got, 100))
            if not data:
                break
            got += len(data)
            w.buffer += data
        leave(w, cut // 3)

    all_at_once(killed, [(cut, stream) for stream in (False, True) for cut in range(1, 1300, 9)])
    rows = house.judge(vendor443)
    assert len(rows) == 1 + 2 * len(range(1, 1300, 9)), "every request was whole"


def whole_answer(data):
    head, mark, body = data.partition(b"\r\n\r\n")
    length = field(head, "content-length")
    return bool(mark) and (len(body) >= int(length) if length else body.endswith(b"0\r\n\r\n"))


@pytest.mark.parametrize("door", DOORS)
def test_requests_that_come_byte_by_byte_are_answered(vendor443, house, door):
    def bytewise(stream):
        w, number = house.open(door), house.number()
        for b in house.request(door, number, stream):
            w.send(bytes([b]))
        answer = w.read_answer()
        w.close()
        assert answer.status == 200 and answer.ended_well

    all_at_once(bytewise, [(k % 2 == 0,) for k in range(8)])
    assert len(house.judge(vendor443)) == 9


def test_pipelined_mix_in_random_pieces_is_answered_in_order_and_billed_call_by_call(vendor443, house):
    seed = random.SystemRandom().randrange(10**6)
    print(f"SEED={seed}")

    def mixed(k):
        r, door = random.Random(seed + k), DOORS[k % 3]
        prefix, host = ("", "api.openai.com") if door == "connect" else ("/openai", "localhost")
        makers = {
            "unary": (lambda: house.request(door, house.number(), False), (200,)),
            "stream": (lambda: house.request(door, house.number(), True), (200,)),
            "bad": (lambda: request_bytes(prefix + CHAT, b"{x}", host=host), (400,)),
            "free": (lambda: request_bytes(prefix + "/v1/models", method="GET", host=host), (200,)),
            "unknown": (lambda: request_bytes("/nope/x", method="GET", host=host), (400, 404)),
        }
        order = r.choices(list(makers), k=12)
        data = b"".join(makers[kind][0]() for kind in order)
        w, at = house.open(door), 0
        while at < len(data):
            n = r.choice([1, 7, 50, 500, 5000])
            w.send(data[at : at + n])
            at += n
        for kind in order:
            answer = w.read_answer()
            assert answer is not None and answer.ended_well, (seed, order, kind)
            assert answer.status in makers[kind][1], (seed, order, kind, answer.body)
        w.close()
        return sum(kind in ("unary", "stream") for kind in order)

    paid = sum(all_at_once(mixed, [(k,) for k in range(24)]))
    rows = house.judge(vendor443)
    assert len(rows) == 1 + paid
    assert all(row["source"] == "usage" for row in rows.values())


def test_storm_through_all_doors_is_billed_call_by_call(vendor443, house):
    """Clients that stay, stall and die, before vendors that fail; who stays before an honest vendor gets all of it."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"SEED={seed}")

    def one(k):
        r = random.Random(seed * 1000 + k)
        door, fault = r.choice(DOORS), r.random() < 0.2
        headers = {"x-vendor-out": r.choice([8, 4000]), "x-vendor-chunks": r.choice([1, 4, 200])}
        if fault:
            headers["x-vendor-fault"] = r.choice(["cut-mid", "cut-head", "reset", "429", "garbage", "no-usage"])
        w, manner = house.open(door), r.random()
        data = house.request(door, house.number(), r.random() < 0.7, **headers)
        try:
            if manner < 0.2:
                w.send(data[: r.randrange(len(data))])
                return
            w.send(data)
            if manner < 0.5:
                for _ in range(r.randrange(20)):
                    if whole_answer(w.buffer) or not w.more():
                        return
                return
            answer = w.read_answer()
            good = answer is not None and answer.status == 200 and answer.ended_well
            assert fault or good, (seed, k, door, headers)
        except (OSError, ValueError):
            assert fault or manner < 0.5, (seed, k, door, headers)
        finally:
            leave(w, k)

    all_at_once(one, [(k,) for k in range(240)])
    house.judge(vendor443)


# --- a vendor that dies at any byte ---

DELTAS, UNARY_OUT = 4, 400
UNARY = whole(json.dumps({"id": "x", "model": MODEL, "choices": [{"message": {"content": "word " * 4}}],
                          "usage": {"prompt_tokens": 10, "completion_tokens": UNARY_OUT}}).encode())
EVENTS = [delta("word ")] * DELTAS + [usage_event(10, DELTAS), b"data: [DONE]\n\n"]
STREAM = (b"HTTP/1.1 103 Early\r\n\r\n" + SSE_HEAD
          + b"".join(chunk(e.replace(b"gpt-4.1-mini", MODEL.encode())) for e in EVENTS) + b"0\r\n\r\n")
PROMPT_NANOUSD = 10 * 250


def dying(v, c):
    while True:
        request = v.read_request(c)
        if not request:
            return
        head = request[0]
        data, cut = STREAM if field(head, "x-stream") else UNARY, int(field(head, "x-cut"))
        if field(head, "x-bytewise"):
            for b in data:
                c.sendall(bytes([b]))
            continue
        c.sendall(data[:cut])
        if cut < len(data):
            if field(head, "x-reset"):
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return


@pytest.fixture
def before_the_dying(vendor, start_bursar, scripted, bursar_before, names):
    """A function: bursar before a vendor that dies, reached in the clear, over TLS, or through CONNECT."""
    patient = {"breakers": {"upstream": False}}

    def start(door):
        if door == "plain":
            return bursar_before(scripted(dying), patient)
        if door == "tls":
            return bursar_before(scripted(dying, tls=vendor.dir), patient, scheme="https", host="localhost")
        if not can_bind("127.0.0.2:443"):
            pytest.skip("cannot bind 127.0.0.2:443: run as root, or with CAP_NET_BIND_SERVICE")
        scripted(dying, host="127.0.0.2", port=443, tls=vendor.dir)
        return start_bursar({"network": {"dns": [names.address()]}, "providers": ALL_HOSTS, **patient})

    return start


@pytest.mark.parametrize("door", DOORS)
def test_vendor_killed_at_any_byte_of_its_answer(before_the_dying, door):
    bursar = before_the_dying(door)
    path, host = (CHAT, "api.openai.com") if door == "connect" else ("/openai" + CHAT, "localhost")

    def one(number, cut, stream, **more):
        headers = {"x-cut": cut, **({"x-stream": 1} if stream else {}), **more}
        if door == "connect":
            w, _ = open_tunnel(bursar.proxy, "api.openai.com:443", bursar.ca_pem)
        else:
            w = Wire(bursar.proxy)
        w.send(request_bytes(path, numbered(number, stream), host=host, headers=headers))
        answer = w.read_answer()
        w.close()
        return answer

    assert one(FIRST_TOKENS, len(UNARY), False).status == 200
    base = nanousd(the_row(bursar)["held_usd"]) - FIRST_TOKENS * TOKEN_NANOUSD
    cuts = [(False, k) for k in range(0, len(UNARY), 2)] + [(True, k) for k in range(0, len(STREAM), 3)]
    plans = {FIRST_TOKENS + 1 + i: plan for i, plan in enumerate(cuts)}

    def killed(number, stream, cut):
        answer = one(number, cut, stream, **({"x-reset": 1} if number % 2 else {}))
        assert answer is not None, (stream, cut)
        assert answer.status == 502 or not answer.ended_well, f"cut at {cut}, and looks whole: {answer.body}"

    all_at_once(killed, [(number, *plan) for number, plan in plans.items()])
    for i, data in enumerate((UNARY, STREAM)):
        answer = one(FIRST_TOKENS + 5000 + i, len(data), i == 1, **{"x-bytewise": 1})
        assert answer.status == 200 and answer.ended_well
    rows = by_number(bursar, base)
    assert len(rows) == 1 + len(plans) + 2, "one row for each call"
    for number, (stream, cut) in plans.items():
        out = STREAM[:cut].count(b"word ") if stream else UNARY_OUT
        assert nanousd(rows[number]["usd"]) >= PROMPT_NANOUSD + out * TOKEN_NANOUSD, (stream, cut, rows[number])
    for number, out in ((FIRST_TOKENS, UNARY_OUT), (FIRST_TOKENS + 5000, UNARY_OUT), (FIRST_TOKENS + 5001, DELTAS)):
        assert nanousd(rows[number]["usd"]) == PROMPT_NANOUSD + out * TOKEN_NANOUSD, rows[number]
    assert bursar.held() == 0 and bursar.process.running()
