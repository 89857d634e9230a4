"""What people try against the ladder, growing holds and repeats: nothing of it may cost more than was promised."""

import json
import threading
import time

import pytest

from harness import (CHAT, ScriptedVendor, Wire, budget, call, chat, gemini, merge, nanousd, request_bytes, sellers, wait_for)

OUT = 1600  # nano-USD for an output token of gpt-4.1-mini
BLOCK = {"at": "100%", "do": "block"}


def stream_of(model="gpt-4.1-mini", **more):
    return {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": True, **more}


# --- another model, and then another ----------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?alt=sse", "?a=1&alt=sse&b=0123456789012345678901234567890123456789"])
def test_two_maps_in_a_row_leave_the_rest_of_the_path(vendor, start_bursar, query):
    rungs = [{"do": "degrade", "at": "0.0001%",
              "map": {"gemini-2.5-pro": "gemini-2.5-flash-lite", "gemini-2.5-flash-lite": "gemini-flash-1.5-8b"}}, BLOCK]
    bursar = start_bursar(merge(sellers(vendor), {"budgets": [budget("1 USD", name="ladder", steps=rungs)]}))
    method = "streamGenerateContent" if query else "generateContent"
    answer = call(bursar.proxy, f"/gemini/v1beta/models/gemini-2.5-pro:{method}{query}", gemini(100),
                  headers={"authorization": "Bearer k", "x-vendor-call": "two", "x-vendor-out": "20"})
    assert answer.status == 200, answer.body
    assert answer["x-bursar-degraded-from"] == "gemini-2.5-pro"
    assert vendor.bill()["two"]["model"] == "gemini-flash-1.5-8b"
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert row["model"] == "gemini-flash-1.5-8b" and nanousd(row["usd"]) == vendor.bill()["two"]["nanousd"]


# --- growing holds ----------------------------------------------------------------------------------------------------


def chunked(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_one_that_stops_reading_inside_an_event_when_the_money_is_gone(start_bursar):
    """The rest of the event can come no more, and the hold cannot become that of the whole call."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":" a"},"finish_reason":null}]}\n\n'
    hung_up = threading.Event()

    def script(self, c):
        if self.read_request(c) is None:
            return
        try:
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            c.sendall(chunked(event))
            for _ in range(400):  # more than sockets take; no blank line ends it
                c.sendall(chunked(b": " + b"." * 30000 + b"\n"))
        except OSError:
            hung_up.set()

    upstream = ScriptedVendor(script)
    try:
        bursar = start_bursar({"providers": {"openai": {"base_url": f"http://127.0.0.1:{upstream.plain}"}},
                               "budgets": [budget(f"{4000 * OUT / 1e9:.9f} USD", steps=[BLOCK])]})
        w = Wire(bursar.proxy)
        w.send(request_bytes("/openai" + CHAT, stream_of()))
        wait_for(hung_up.is_set, "the stream to be cut", 60)
        w.close()
        bursar.wait_settled()
        assert not any("AddressSanitizer" in str(x) for x in bursar.log_lines())
        (row,) = bursar.ledger()
        assert "budget_cut" in row["flags"] and nanousd(row["usd"]) <= 4000 * OUT
        assert bursar.held() == 0
    finally:
        upstream.stop()


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonl; charset=utf-8"])
def test_a_stream_in_a_form_that_has_no_end_of_ours_is_broken_off(start_bursar, kind):
    """Only an answer that is made whole already may run over."""
    sent, hung_up = [0], threading.Event()

    def script(self, c):
        if self.read_request(c) is None:
            return
        try:
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind.encode())
            for _ in range(600):
                c.sendall(chunked(b'{"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n' % (b" money" * 20)))
                sent[0] += 20
                time.sleep(0.002)
        except OSError:
            hung_up.set()

    upstream = ScriptedVendor(script)
    try:
        bursar = start_bursar({"providers": {"openai": {"base_url": f"http://127.0.0.1:{upstream.plain}"}},
                               "budgets": [budget(f"{2000 * OUT / 1e9:.9f} USD", steps=[BLOCK])]})
        answer = call(bursar.proxy, "/openai" + CHAT, stream_of(), timeout=60)
        assert answer.status == 200 and not answer.ended_well
        assert hung_up.wait(10)
        bursar.wait_settled()
        (row,) = bursar.ledger()
        assert "budget_cut" in row["flags"] and "overrun" not in row["flags"]
        assert nanousd(bursar.budget()["spent"]) <= 2000 * OUT
    finally:
        upstream.stop()


def test_one_of_two_answers_ends_and_the_other_goes_on(start_bursar):
    """Vendors that send usage with each event say with the end of the first that it is final."""
    hung_up = threading.Event()

    def event(n, index, finish):
        return b"data: " + json.dumps({
            "choices": [{"index": index, "delta": {"content": " money" * 20}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n}}).encode() + b"\n\n"

    def script(self, c):
        if self.read_request(c) is None:
            return
        try:
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(600):
                c.sendall(chunked(event(20 * (i + 1), int(i > 0), None if i else "stop")))
                time.sleep(0.002)
        except OSError:
            hung_up.set()

    upstream = ScriptedVendor(script)
    try:
        bursar = start_bursar({"providers": {"openai": {"base_url": f"http://127.0.0.1:{upstream.plain}"}},
                               "budgets": [budget(f"{4000 * OUT / 1e9:.9f} USD", steps=[BLOCK])]})
        answer = call(bursar.proxy, "/openai" + CHAT, stream_of(n=2), timeout=60)
        assert answer.status == 200 and b"budget_exceeded" in answer.body
        assert hung_up.wait(10)
        bursar.wait_settled()
        (row,) = bursar.ledger()
        assert "budget_cut" in row["flags"] and "overrun" not in row["flags"]
    finally:
        upstream.stop()


# --- repeats that are one bill ----------------------------------------------------------------------------------------


class Counting:
    """A vendor that bills a key once, as it reads it, and what has none each time."""

    def __init__(self):
        self.bills, self.lock = {}, threading.Lock()
        self.upstream = ScriptedVendor(self.script)
        self.plain = self.upstream.plain

    def script(self, upstream, c):
        while (request := upstream.read_request(c)) is not None:
            keys = [line.partition(":")[2].strip() for line in request[0].decode("latin-1").split("\r\n")
                    if line.lower().startswith("idempotency-key:")]
            secret = [line for line in request[0].decode("latin-1").split("\r\n") if line.lower().startswith("authorization:")]
            with self.lock:
                self.bills[(keys[0], *secret) if len(keys) == 1 and keys[0] else len(self.bills)] = 1
            body = json.dumps({"model": "gpt-4.1-mini", "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}],
                               "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}).encode()
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


BILL = 10 * 400 + 5 * OUT
SAME = {"idempotency-key": "k"}
TRICKS = {
    "hop-by-hop": [{**SAME, "connection": "idempotency-key"}] * 2,
    "after an empty one": [[("Idempotency-Key", ""), ("Idempotency-Key", "k")]] * 2,
    "another query": [("?a=1", SAME), ("?a=1", SAME)],  # one bill: nothing is charged twice either
}


def send(bursar, headers, query=""):
    items = headers if isinstance(headers, list) else list(headers.items())
    body = json.dumps(chat()).encode()
    head = [f"POST /openai{CHAT}{query} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}",
            "Content-Type: application/json", *(f"{k}: {v}" for k, v in items)]
    w = Wire(bursar.proxy)
    w.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    answer = w.read_answer()
    w.close()
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("trick", TRICKS)
def test_a_repeat_is_one_bill_only_where_the_vendor_reads_the_key(start_bursar, trick):
    v = Counting()
    try:
        bursar = start_bursar({"budgets": [budget("1 USD")], "providers": {
            "openai": {"base_url": f"http://127.0.0.1:{v.plain}", "bills_once_by": "idempotency-key"}}})
        for one in TRICKS[trick]:
            query, headers = one if isinstance(one, tuple) else ("", one)
            send(bursar, headers, query)
        bursar.wait_settled()
        assert nanousd(bursar.budget()["spent"]) == len(v.bills) * BILL
    finally:
        v.upstream.stop()


def test_a_key_under_another_account_of_the_vendor_is_another_bill(start_bursar):
    v = Counting()
    try:
        bursar = start_bursar({"budgets": [budget("1 USD")], "providers": {
            "openai": {"base_url": f"http://127.0.0.1:{v.plain}", "api_key": None, "bills_once_by": "idempotency-key"}}})
        for account in ("sk-one", "sk-two", "sk-one"):
            send(bursar, {**SAME, "authorization": "Bearer " + account})
        bursar.wait_settled()
        assert nanousd(bursar.budget()["spent"]) == len(v.bills) * BILL == 2 * BILL
    finally:
        v.upstream.stop()


def test_of_two_broken_tries_the_one_that_saw_more_counts(start_bursar):
    """The vendor made one answer, and bills it; nobody saw its end."""
    lengths, spent = iter([1000, 1500]), []

    def script(self, c):
        if self.read_request(c) is None:
            return
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        text = " money" * next(lengths)
        c.sendall(chunked(b'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n' % text.encode()))
        time.sleep(0.1)

    upstream = ScriptedVendor(script)
    try:
        bursar = start_bursar({"budgets": [budget("1 USD")], "providers": {
            "openai": {"base_url": f"http://127.0.0.1:{upstream.plain}", "bills_once_by": "idempotency-key"}}})
        for more in (0, 1.3):
            answer = call(bursar.proxy, "/openai" + CHAT, stream_of(), headers=SAME)
            assert answer.status == 200 and not answer.ended_well
            bursar.wait_settled()
            wait_for(lambda: nanousd(bursar.budget()["spent"]) > more * sum(spent), "what it saw")  # noqa: B023
            spent.append(nanousd(bursar.budget()["spent"]))
        assert spent[0] >= 1000 * OUT and 1500 * OUT <= spent[1] < 2 * spent[0]  # and not both
    finally:
        upstream.stop()


# --- what is billed and not shown -------------------------------------------------------------------------------------

GOOGLE_CHAT = ("google", "/gemini/v1beta/openai/chat/completions", "gemini-2.5-flash-lite")
R1 = ("openrouter", "/openrouter/api/v1/chat/completions", "deepseek/deepseek-r1-distill-llama-70b")
HIDDEN = {
    "effort": (GOOGLE_CHAT, {"reasoning_effort": "high"}),
    "extra body": (GOOGLE_CHAT, {"extra_body": {"google": {"thinking_config": {"thinking_budget": 20000}}}}),
    "excluded": (R1, {"reasoning": {"exclude": True}}),
    "excluded oddly": (R1, {"reasoning": {"exclude": [1]}}),
    "not included": (R1, {"include_reasoning": False}),
    "format": (R1, {"reasoning_format": "hidden"}),
}
SHOWN = {
    "plain": (R1, {}),
    "included": (R1, {"include_reasoning": True, "reasoning": {"exclude": False}}),
    "parsed": (R1, {"reasoning_format": "parsed"}),
    "no effort": (GOOGLE_CHAT, {}),
}


def held_by(start_bursar, case, more):
    """What a stream holds that nobody answers."""
    (provider, path, model), fields = case
    upstream = ScriptedVendor(lambda self, c: self.read_request(c) and self.over.wait(30))
    try:
        bursar = start_bursar({"providers": {provider: {"base_url": f"http://127.0.0.1:{upstream.plain}"}},
                               "budgets": [budget("100 USD")]}, name=more)
        w = Wire(bursar.proxy)
        w.send(request_bytes(path, stream_of(model, **fields), headers={"Authorization": "Bearer k"}))
        wait_for(lambda: upstream.heads, "the call to leave")
        held = bursar.held()
        w.close()
        return held
    finally:
        upstream.stop()


@pytest.mark.parametrize("case", HIDDEN)
def test_what_may_be_thought_unseen_is_held_whole(start_bursar, case):
    (who, fields) = HIDDEN[case]
    whole = held_by(start_bursar, (who, {**fields, "max_tokens": 8000}), "bounded")
    assert held_by(start_bursar, (who, fields), "open") >= whole


@pytest.mark.parametrize("case", SHOWN)
def test_what_is_shown_begins_on_less(start_bursar, case):
    (who, fields) = SHOWN[case]
    whole = held_by(start_bursar, (who, {**fields, "max_tokens": 8000}), "bounded")
    assert held_by(start_bursar, (who, fields), "open") < whole
