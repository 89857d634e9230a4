"""Paid APIs that are no LLM: the rules of conf/examples/meters.yaml, before a scripted service."""

import gzip
import json

import pytest

from harness import ROOT, Wire, field, merge, nanousd, request_bytes

RULES = [
    {"name": "geocode", "provider": "maps", "method": "GET", "path": "/maps/api/geocode/json", "price": "5 USD", "per": 1000},
    {"name": "free", "provider": "maps", "path": "/maps/free/**", "price": "0 USD"},
    {"name": "search", "provider": "maps", "path": "/search", "quantity": "query:count", "step": 10, "price": "0.005 USD",
     "per": 10, "free_status": ["400-599"]},
    {"name": "sms", "provider": "maps", "method": "POST", "path": "/accounts/*/Messages.json",
     "quantity": "answer:/num_segments", "maximum": 10, "price": "0.0083 USD"},
    {"name": "speech", "provider": "maps", "method": "POST", "path": "/v1/text-to-speech/**", "quantity": "request:/text",
     "price": "0.30 USD", "per": 1000},
    {"name": "upload", "provider": "maps", "method": "PUT", "path": "/upload", "quantity": "request_bytes", "price": "1 USD",
     "per": 1000, "maximum": 100000},
    {"name": "units", "provider": "maps", "path": "/units", "quantity": "answer_header:x-units", "price": "0.01 USD"},
]


def answer(status, body=b"{}", **fields):
    lines = "".join(f"{n.replace('_', '-')}: {v}\r\n" for n, v in fields.items())
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body


def service(v, c):
    while request := v.read_request(c):
        head, body = request
        path = head.split(b" ")[1].decode()
        status = int(field(head, "x-want-status") or 200)
        if "Messages.json" in path:
            data = json.dumps({"sid": "x", "num_segments": field(head, "x-want") or "3"}).encode()
            if field(head, "x-cut"):
                c.sendall(answer(201, data)[:-5])
                return
            if field(head, "x-gzip"):
                c.sendall(answer(201, gzip.compress(data), content_encoding="gzip"))
            else:
                c.sendall(answer(201, data))
        else:
            c.sendall(answer(status, b'{"ok":1}', x_units="7"))


@pytest.fixture
def vendor_of_all(start_bursar):
    from harness import ScriptedVendor

    started = []

    def start(**changes):
        vendor = ScriptedVendor(service)
        started.append(vendor)
        ours = {"providers": {"maps": {"base_url": f"http://127.0.0.1:{vendor.plain}", "family": "other"}}, "meters": RULES}
        return start_bursar(merge(ours, changes))

    yield start
    for vendor in started:
        vendor.stop()


def send(bursar, method, path, body=b"", **headers):
    w = Wire(bursar.proxy)
    named = {n.replace("_", "-"): v for n, v in headers.items()}
    w.send(request_bytes("/maps" + path, body, method=method, headers=named))
    got = w.read_answer()
    w.close()
    return got


def the_row(bursar):
    bursar.wait_settled()
    return bursar.ledger()[-1]


CALLS = [
    ("GET", "/maps/api/geocode/json?address=x", b"", {}, "geocode", 5_000_000),
    ("GET", "/maps/free/a/b", b"", {}, "free", 0),
    ("GET", "/search?q=x&count=20", b"", {}, "search", 10_000_000),
    ("GET", "/search?q=x&count=11", b"", {}, "search", 10_000_000),
    ("GET", "/search?q=x&count=11", b"", {"x_want_status": 302}, "search", 10_000_000),
    ("GET", "/search?q=x&count=11", b"", {"x_want_status": 500}, "search", 0),
    ("POST", "/accounts/7/Messages.json", b"to=1", {}, "sms", 24_900_000),
    ("POST", "/accounts/7/Messages.json", b"to=1", {"x_gzip": 1, "accept_encoding": "gzip"}, "sms", 24_900_000),
    ("POST", "/accounts/7/Messages.json", b"to=1", {"x_want": 12}, "sms", 99_600_000),  # over the rule's maximum: paid all the same
    ("POST", "/v1/text-to-speech/voice/x", b'{"text":"hello","n":9}', {}, "speech", 1_500_000),
    ("PUT", "/upload", b"x" * 1500, {}, "upload", 1_500_000_000),
    ("GET", "/units", b"", {}, "units", 70_000_000),
    ("GET", "/maps/api/geocode/json", b"", {"x_want_status": 403}, "geocode", 0),
]


@pytest.mark.parametrize("method, path, body, headers, name, cost", CALLS)
def test_call_costs_what_its_rule_says(vendor_of_all, method, path, body, headers, name, cost):
    bursar = vendor_of_all(budgets=[{"name": "all", "limit": "1000 USD", "window": "total", "mode": "soft"}])
    got = send(bursar, method, path, body, **headers)
    assert got is not None and got.ended_well
    row = the_row(bursar)
    assert (row["model"], row["provider"], nanousd(row["usd"])) == (name, "maps", cost)


def test_hard_budget_holds_the_maximum_and_frees_it(vendor_of_all):
    bursar = vendor_of_all(budgets=[{"name": "all", "limit": "0.1 USD", "window": "total", "mode": "hard"}])
    assert send(bursar, "POST", "/accounts/7/Messages.json").status == 201
    row = the_row(bursar)
    assert nanousd(row["held_usd"]) == 83_000_000 and nanousd(row["usd"]) == 24_900_000
    refused = send(bursar, "POST", "/accounts/7/Messages.json")
    assert refused.status == 402
    assert send(bursar, "GET", "/maps/api/geocode/json").status == 200
    assert bursar.held() == 0


def test_broken_answer_is_charged_the_maximum(vendor_of_all):
    bursar = vendor_of_all()
    send(bursar, "POST", "/accounts/7/Messages.json", x_cut=1)
    row = the_row(bursar)
    assert nanousd(row["usd"]) == 83_000_000 and "estimated" in row["flags"]


def test_what_cannot_be_bounded_or_recognised_is_refused_in_a_hard_budget(vendor_of_all):
    bursar = vendor_of_all()
    for method, path, body in (
        ("GET", "/search?q=x", b""),  # the count is missing
        ("GET", "/units", b""),  # known only from the answer, and no maximum
        ("POST", "/v1/text-to-speech/x", b'{"no":"text"}'),
        ("GET", "/other", b""),
        ("GET", "/maps/api/geocode/json/", b""),
        ("GET", "/maps/free/%2e%2e/api", b""),
        ("GET", "/maps/free/../api/geocode/json", b""),
    ):
        got = send(bursar, method, path, body)
        assert got.status == 400, (path, got.status)
        assert b"meters" in got.body or b"price" in got.body or b"path" in got.body, got.body
    assert bursar.ledger() == []


def test_a_host_alone_becomes_a_provider(vendor_of_all, tmp_path):
    bursar = vendor_of_all(meters=[*RULES, {"name": "x", "host": "api.example.com", "path": "/x", "price": "1 USD"}])
    w = Wire(bursar.proxy)
    w.send(request_bytes("/api.example.com/y", b"", method="GET"))
    got = w.read_answer()
    assert got.status == 400, got.body  # known host, unknown path
    w.close()


def test_the_shipped_example_is_valid(tmp_path, vendor_of_all):
    bursar = vendor_of_all()
    text = (ROOT / "conf/examples/meters.yaml").read_text()
    (tmp_path / "m.yaml").write_text(f"data: {tmp_path}/d\n" + text)
    import subprocess

    from harness import BURSAR

    done = subprocess.run([str(BURSAR), "check-config", "--config", str(tmp_path / "m.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert bursar.process.running()
