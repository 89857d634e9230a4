"""However a call ends, its hold is resolved once, and what the vendor bills is charged."""

import concurrent.futures
import itertools
import json

import pytest

from harness import (CASES, CHAT, GENERATE_SSE, MESSAGES, PREFIX, RESPONSES, Wire, budget, call, chat, gemini, messages,
                     nanousd, request_bytes, wait_for)

STREAMS = {
    "chat": ("/openai" + CHAT, chat(max_tokens=60, stream=True)),
    "responses": ("/openai" + RESPONSES, {"model": "gpt-4.1-mini", "input": "x", "max_output_tokens": 60, "stream": True}),
    "messages": ("/anthropic" + MESSAGES, messages(max_tokens=60, stream=True)),
    "gemini": ("/gemini" + GENERATE_SSE, gemini(max_tokens=60)),
}


def total(bursar):
    return sum(nanousd(r["usd"]) for r in bursar.ledger())


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("api", STREAMS)
def test_client_that_leaves_mid_stream_is_charged_what_the_vendor_bills(vendor, bursar, api, how):
    path, body = STREAMS[api]
    headers = {"x-vendor-call": "gone", "x-vendor-out": "60", "x-vendor-chunks": "30", "x-vendor-chunk-ms": "20"}
    w = Wire(bursar.proxy)
    w.send(request_bytes(path, body, headers=headers))
    w.read_head()
    wait_for(lambda: b" money" in w.buffer or not w.more() or b" money" in w.buffer, "the first words")
    getattr(w, how)()
    vendor.wait_quiet()
    bursar.wait_settled()
    (row,) = bursar.ledger()
    bill = vendor.bill()["gone"]
    assert "client_gone" in row["flags"]
    assert nanousd(row["usd"]) == bill["nanousd"]
    assert row["source"] == "usage"


def test_client_that_leaves_when_the_vendor_is_not_read_on(vendor, start_bursar):
    """Without draining, the estimate is never below the bill."""
    bursar = start_bursar({"limits": {"max_drains": 0}})
    for i in range(10):
        w = Wire(bursar.proxy)
        headers = {"x-vendor-call": f"g{i}", "x-vendor-out": "500", "x-vendor-chunks": "100", "x-vendor-chunk-ms": "5"}
        w.send(request_bytes("/openai" + CHAT, chat(max_tokens=500, stream=True), headers=headers))
        w.read_head()
        for _ in range(i + 1):
            w.more()
        w.close()
    vendor.wait_quiet()
    bursar.wait_settled()
    rows, bills = bursar.ledger(), vendor.bill()
    assert len(rows) == 10
    assert all("client_gone" in r["flags"] and "estimated" in r["flags"] for r in rows)
    assert any(b["event"] == "aborted" for b in bills.values())
    assert sum(nanousd(r["usd"]) for r in rows) >= sum(b["nanousd"] for b in bills.values())
    assert all(nanousd(r["usd"]) <= nanousd(r["held_usd"]) for r in rows)


def test_client_that_leaves_before_the_answer(vendor, bursar):
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, chat(), headers={"x-vendor-call": "early", "x-vendor-delay-ms": "300"}))
    wait_for(lambda: vendor.hits() == 1, "the call to reach the vendor")
    w.abort()
    vendor.wait_quiet()
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert nanousd(row["usd"]) >= vendor.bill()["early"]["nanousd"] > 0


def test_client_that_leaves_within_its_request_costs_nothing(vendor, bursar):
    data = request_bytes("/openai" + CHAT, chat())
    for cut in range(1, len(data) - 1, 17):
        w = Wire(bursar.proxy)
        w.send(data[:cut])
        w.abort()
    bursar.wait_settled()
    assert bursar.ledger() == [] and vendor.hits() == 0
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 200


# fault, is the charge known exactly, flag that the row must carry
FAULTS = {
    "cut-mid": "upstream_cut",
    "cut-head": "estimated",
    "no-usage": "estimated",
    "nonsense": "estimated",
    "garbage": "estimated",
    "reset": "estimated",
    "wrong-length": None,
    "truncated-gzip": "estimated",
    "gzip-bomb": None,
    "slow": None,
}


WHOLE_ONLY = ("truncated-gzip", "gzip-bomb", "wrong-length")
PLANS = [(f, s) for f in FAULTS for s in ("unary", "stream") if s == "unary" or f not in WHOLE_ONLY]


@pytest.mark.parametrize("fault,kind", PLANS)
def test_vendor_that_fails_leaves_no_hold_and_a_flagged_row(vendor, bursar, fault, kind):
    stream = kind == "stream"
    headers = {"x-vendor-call": "f", "x-vendor-fault": fault, "accept-encoding": "gzip"}
    answer = call(bursar.proxy, "/openai" + CHAT, chat(stream=stream, max_tokens=16), headers=headers, timeout=60)
    bursar.wait_settled()
    (row,) = bursar.ledger()
    bill = vendor.bill()["f"]
    assert nanousd(row["usd"]) >= bill["nanousd"], (row, bill)
    assert nanousd(row["usd"]) <= nanousd(row["held_usd"])
    if FAULTS[fault]:
        assert FAULTS[fault] in row["flags"], row
    if fault in ("cut-head", "garbage", "reset"):
        assert answer.status == 502, answer
    assert bursar.held() == 0
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 200, "bursar goes on"


@pytest.mark.parametrize("api", STREAMS)
def test_stream_cut_by_the_vendor_is_cut_for_the_client_too(vendor, bursar, api):
    path, body = STREAMS[api]
    headers = {"x-vendor-call": "cut", "x-vendor-fault": "cut-mid", "x-vendor-out": "60", "x-vendor-chunks": "30"}
    answer = call(bursar.proxy, path, body, headers=headers)
    assert not answer.ended_well or b"error" in answer.body, "a broken answer must not look whole"
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert "upstream_cut" in row["flags"] and "estimated" in row["flags"]
    assert nanousd(row["usd"]) >= vendor.bill()["cut"]["nanousd"] > 0


def test_vendor_that_vanishes_at_once(vendor, bursar):
    """Killed in the middle of 30 calls: every hold is resolved, every call that reached it is charged."""
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        headers = {"x-vendor-delay-ms": "20000"}
        calls = [pool.submit(call, bursar.proxy, "/openai" + CHAT, chat(stream=i % 2 == 0), headers=headers) for i in range(30)]
        wait_for(lambda: vendor.get("/__hits")["open_calls"] == 30, "all calls to arrive")
        vendor.process.kill9()
        answers = [c.result() for c in calls]
    assert {a.status for a in answers} == {502}
    bursar.wait_settled()
    rows = bursar.ledger()
    assert len(rows) == 30
    assert all("estimated" in r["flags"] and r["usd"] == r["held_usd"] for r in rows)


def test_vendor_that_cannot_be_reached_costs_nothing(start_bursar, vendor):
    bursar = start_bursar({"providers": {"openai": {"base_url": "http://127.0.0.1:1"}}})
    answer = call(bursar.proxy, "/openai" + CHAT, chat())
    assert answer.status == 502
    bursar.wait_settled()
    assert bursar.ledger() == []
    assert bursar.budget()["spent"] == "0"


def test_vendor_that_never_answers_is_given_up_and_charged_its_hold(vendor, start_bursar):
    bursar = start_bursar({"limits": {"first_byte_timeout": "1s"}})
    answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers={"x-vendor-delay-ms": "30000"}, timeout=30)
    assert answer.status == 504
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert row["usd"] == row["held_usd"] and "estimated" in row["flags"]


def test_stream_that_falls_silent_is_ended(vendor, start_bursar):
    bursar = start_bursar({"limits": {"stream_idle": "1s"}})
    headers = {"x-vendor-chunk-ms": "30000", "x-vendor-out": "20"}
    answer = call(bursar.proxy, "/openai" + CHAT, chat(stream=True), headers=headers, timeout=30)
    assert answer.status == 200
    assert not answer.ended_well or b"error" in answer.body
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert "estimated" in row["flags"]


def test_storm_of_every_ending_leaves_nothing_held(vendor, start_bursar):
    """A few hundred calls of all kinds at once; then the sum of the ledger covers the bill, and nothing is held."""
    bursar = start_bursar({"budgets": [budget("1000 USD")], "breakers": {"upstream": False}})
    faults = ["", "", "cut-mid", "cut-head", "no-usage", "nonsense", "garbage", "reset", "error-before", "429", "529"]
    plans = list(itertools.islice(itertools.cycle(itertools.product(faults, CASES, ["stay", "leave"])), 400))

    def client(i):
        fault, case, manner = plans[i]
        provider, path, body = CASES[case]
        headers = {"x-vendor-call": f"s{i}", "x-vendor-chunk-ms": "2", "x-vendor-delay-ms": str(i % 7)}
        if fault:
            headers["x-vendor-fault"] = fault
        w = Wire(bursar.proxy, timeout=60)
        try:
            w.send(request_bytes(PREFIX[provider] + path, body, headers=headers))
            if manner == "leave" and i % 3 == 0:
                w.abort()
            elif manner == "leave":
                w.more()
                w.close()
            else:
                w.read_answer()
                w.close()
        except (OSError, ValueError):
            w.close()

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        list(pool.map(client, range(400)))
    vendor.wait_quiet()
    bursar.wait_settled()
    assert bursar.held() == 0
    assert total(bursar) >= vendor.totals()["nanousd"] > 0
    assert nanousd(bursar.budget()["spent"]) == total(bursar)
    exact = [r for r in bursar.ledger() if r["source"] == "usage" and "error_status" not in r["flags"]]
    bills = sorted(b["nanousd"] for b in vendor.bill().values() if b["event"] == "complete")
    for row in exact:
        assert nanousd(row["usd"]) in bills, row
    assert json.dumps(bursar.api("/api/v1/budgets"))
