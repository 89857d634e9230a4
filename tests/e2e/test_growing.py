"""Streams without an output bound hold what they need next, not all they could cost; and end where the money does."""

import json
import threading
import time

import pytest

from harness import (CHAT, GENERATE_ARRAY, GENERATE_SSE, RESPONSES, ScriptedVendor, Wire, budget, call, chat, nanousd,
                     request_bytes, sellers, wait_for)

OUT = 1600  # nano-USD for an output token of gpt-4.1-mini
BLOCK = {"steps": [{"at": "100%", "do": "block"}]}
TINY = "x"


def stream_of(model="gpt-4.1-mini", **more):
    return {"model": model, "messages": [{"role": "user", "content": TINY}], "stream": True, **more}


# What shows no reasoning and stops when it is hung up on: path, body, what ends it, how its last words look.
FAMILIES = {
    "chat": ("/openai" + CHAT, stream_of(), b'"code":"budget_exceeded"', b"data: [DONE]\n\n"),
    "chat-usage": ("/openai" + CHAT, stream_of(stream_options={"include_usage": True}), b'"code":"budget_exceeded"',
                   b"data: [DONE]\n\n"),
    "responses": ("/openai" + RESPONSES, {"model": "gpt-4.1-mini", "input": TINY, "stream": True},
                  b"event: response.incomplete", b"\n\n"),
    # the book does not know how much these may answer: they must say it
    "cohere": ("/cohere/v2/chat", stream_of("command-a-03-2025", max_tokens=8000), b"message-end", b"\n\n"),
    "mistral": ("/mistral/v1/chat/completions", stream_of("mistral-small-2603"), b'"code":"budget_exceeded"',
                b"data: [DONE]\n\n"),
    "ollama": ("/ollama/api/chat", stream_of("llama3.2", options={"num_predict": 8000}), b'\n{"error":', b"}\n"),
    "gemini": ("/gemini" + GENERATE_SSE.replace("2.5-flash-lite", "flash-1.5-8b").replace("gemini-gemini", "gemini"),
               {"contents": [{"role": "user", "parts": [{"text": TINY}]}]}, b'data: {"error":', b"\n\n"),
    "gemini-array": ("/gemini" + GENERATE_ARRAY.replace("2.5-flash-lite", "flash-1.5-8b"),
                     {"contents": [{"role": "user", "parts": [{"text": TINY}]}]}, b'{"error":', b"]"),
}


def words(name, out, chunk_ms=1, **more):
    return {"x-vendor-call": name, "x-vendor-out": str(out), "x-vendor-chunks": str(out), "x-vendor-chunk-ms": str(chunk_ms),
            **more}


def price_of(family):
    """Nano-USD of an output token."""
    return {"cohere": 10000, "mistral": 600, "ollama": 80, "gemini": 150, "gemini-array": 150}.get(family, OUT)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_running_stream_is_ended_in_the_vendors_words(vendor, start_bursar, family):
    path, body, mark, end = FAMILIES[family]
    limit = 2500 * price_of(family)
    bursar = start_bursar({**sellers(vendor), "budgets": [budget(f"{limit / 1e9:.9f} USD", hold="growing", **BLOCK)]})
    answer = call(bursar.proxy, path, body, headers={**words("cut", 6000), "Authorization": "Bearer k"}, timeout=60)
    assert answer.status == 200, answer.body
    assert answer.ended_well
    assert mark in answer.body, answer.body[-600:]
    assert answer.body.endswith(end)
    assert b"all, 0" in answer.body  # which budget, and how it stands
    if family == "gemini-array":
        json.loads(answer.body)
    elif family == "ollama":
        [json.loads(line) for line in answer.body.splitlines()]
    vendor.wait_quiet()
    bursar.wait_settled()
    (row,) = bursar.ledger()
    bill = vendor.bill()["cut"]
    assert bill["event"] == "aborted" and bill["output"] < 6000
    assert bill["nanousd"] <= nanousd(row["usd"]) <= limit
    assert "budget_cut" in row["flags"] and "estimated" in row["flags"]
    assert row["extra"]["end"] == "budget_cut"
    assert bursar.held() == 0 and nanousd(bursar.budget()["spent"]) == nanousd(row["usd"])
    (line,) = [x for x in bursar.log_lines() if x["event"] == "budget.cut"]
    assert "all" in line["msg"]
    assert b"bursar_streams_cut_total 1" in bursar.api("/metrics", raw=True)[1]


def test_it_begins_small_and_grows_and_is_charged_what_it_used(vendor, start_bursar):
    limit = 60_000_000  # the model's longest answer alone could cost 52,428,800
    bursar = start_bursar({"budgets": [budget("0.06 USD", **BLOCK)]})
    answers, seen = [], []

    def one(i):
        answers.append(call(bursar.proxy, "/openai" + CHAT, stream_of(), headers=words(f"c{i}", 2500), timeout=60))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        seen.append(bursar.held())
        time.sleep(0.05)
    assert all(a.status == 200 and b"budget_exceeded" not in a.body for a in answers), [a.status for a in answers]
    assert 0 < max(seen) < limit
    assert max(seen) > 8 * 1600 * OUT  # they grew
    vendor.wait_quiet()
    bursar.wait_settled()
    bills = vendor.bill()
    assert sum(nanousd(r["usd"]) for r in bursar.ledger()) == sum(b["nanousd"] for b in bills.values())
    assert all(b["output"] == 2500 for b in bills.values())


def test_many_streams_use_the_budget_to_its_end_and_not_beyond(vendor, start_bursar):
    limit = 5000 * OUT
    bursar = start_bursar({"budgets": [budget(f"{limit / 1e9:.9f} USD", **BLOCK)]})
    stop, cut, refused = threading.Event(), [], []

    def one(i):
        n = 0
        while not stop.is_set():
            n += 1
            a = call(bursar.proxy, "/openai" + CHAT, stream_of(), timeout=60, headers=words(f"m{i}-{n}", 200 + 37 * ((i * 7 + n) % 9)))
            if a.status == 402:
                return
            if a.status == 429:
                refused.append(i)
                time.sleep(0.1)
            if b"budget_exceeded" in a.body and a.status == 200:
                cut.append(i)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    stop.set()
    vendor.wait_quiet()
    bursar.wait_settled()
    posted, billed = nanousd(bursar.budget()["spent"]), sum(b["nanousd"] for b in vendor.bill().values())
    assert billed <= posted <= limit
    assert posted >= 0.97 * limit
    assert 0 < len(cut) <= 4


def test_worst_never_grows(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("1 USD", hold="worst")]})
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, stream_of(), headers=words("w", 300, 5)))
    w.read_head()
    assert bursar.held() >= 32768 * OUT
    w.close()


def test_models_that_hide_their_thoughts_hold_all(vendor, start_bursar):
    bursar = start_bursar()
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, stream_of("gpt-5-mini"), headers=words("w", 300, 5)))
    w.read_head()
    assert bursar.held() >= 128000 * 2000
    w.close()


def test_a_killed_process_charges_what_the_hold_had_grown_to(vendor, start_bursar):
    bursar = start_bursar()
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, stream_of(), headers=words("k", 20000)))
    w.read_head()
    wait_for(lambda: w.more() and bursar.held() > 4000 * OUT, "the hold to grow", 60)
    bursar.kill9()
    w.close()
    vendor.wait_quiet()
    bursar.start()
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert "recovered" in row["flags"]
    assert nanousd(row["usd"]) >= vendor.bill()["k"]["nanousd"] >= 2000 * OUT


@pytest.mark.parametrize("how", ["close", "abort"])
def test_one_that_left_is_read_on_while_there_is_money(vendor, start_bursar, how):
    limit = 3000 * OUT
    bursar = start_bursar({"budgets": [budget(f"{limit / 1e9:.9f} USD", **BLOCK)]})
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, stream_of(), headers=words("d", 6000)))
    w.read_head()
    w.more()
    getattr(w, how)()
    vendor.wait_quiet()
    bursar.wait_settled()
    (row,) = bursar.ledger()
    bill = vendor.bill()["d"]
    assert bill["event"] == "aborted" and 2500 < bill["output"] < 3100
    assert bill["nanousd"] <= nanousd(row["usd"]) <= limit
    assert row["extra"]["end"] == "client_gone_in_answer"


def test_identity_is_asked_for_where_it_may_have_to_be_ended(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget(f"{2000 * OUT / 1e9:.9f} USD", **BLOCK)]})
    answer = call(bursar.proxy, "/openai" + CHAT, stream_of(stream_options={"include_usage": True}), timeout=60,
                  headers=words("z", 4000, **{"Accept-Encoding": "gzip, br", "x-vendor-gzip": "1"}))
    assert answer["content-encoding"] is None
    assert answer.ended_well and answer.body.endswith(b"data: [DONE]\n\n")


def test_one_that_does_not_read_cannot_let_the_vendor_run_on(vendor, start_bursar):
    """What the vendor writes into buffers is billed and would not be seen."""
    limit = 4000 * OUT
    bursar = start_bursar({"budgets": [budget(f"{limit / 1e9:.9f} USD", **BLOCK)]})
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, stream_of(), headers=words("slow", 20000)))
    vendor_done = lambda: vendor.get("/__hits")["open_calls"] == 0 and vendor.hits() > 0  # noqa: E731
    wait_for(vendor_done, "the stream to be cut", 60)
    w.close()
    bursar.wait_settled()
    assert vendor.bill()["slow"]["nanousd"] <= nanousd(bursar.budget()["spent"]) <= limit


# --- a vendor whose events come in pieces -----------------------------------------------------------------------------


def chunked(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def endless(pieces):
    """Streams the same event for ever, cut into so many bytes; says how much left when it is hung up on."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":"' + b" money" * 20 + b'"},"finish_reason":null}]}\n\n'

    def script(self, c):
        if self.read_request(c) is None:
            return
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self.over.is_set():
            for i in range(0, len(event), pieces):
                c.sendall(chunked(event[i : i + pieces]))
                time.sleep(0.0005)

    return script


@pytest.mark.parametrize("pieces", [7, 100, 10000])
@pytest.mark.parametrize("asks", [True, False])
def test_never_half_an_event_before_the_end(start_bursar, pieces, asks):
    upstream = ScriptedVendor(endless(pieces))
    try:
        body = stream_of(**({"stream_options": {"include_usage": True}} if asks else {}))
        bursar = start_bursar({
            "providers": {"openai": {"base_url": f"http://127.0.0.1:{upstream.plain}"}},
            "budgets": [budget(f"{2000 * OUT / 1e9:.9f} USD", **BLOCK)]})
        answer = call(bursar.proxy, "/openai" + CHAT, body, timeout=60)
        assert answer.ended_well
        events = answer.body.split(b"\n\n")
        assert events[-1] == b"" and events[-2] == b"data: [DONE]"
        for event in events[:-2]:
            json.loads(event.removeprefix(b"data: "))
        assert "error" in json.loads(events[-3].removeprefix(b"data: "))
    finally:
        upstream.stop()


def test_a_compressed_answer_that_was_not_asked_for_breaks_off(start_bursar):
    import zlib

    def script(self, c):
        if self.read_request(c) is None:
            return
        z = zlib.compressobj(wbits=31)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        while not self.over.is_set():
            data = z.compress(b'data: {"choices":[{"index":0,"delta":{"content":" money and words"}}]}\n\n')
            c.sendall(chunked(data + z.flush(zlib.Z_SYNC_FLUSH)))
            time.sleep(0.001)

    upstream = ScriptedVendor(script)
    try:
        bursar = start_bursar({
            "providers": {"openai": {"base_url": f"http://127.0.0.1:{upstream.plain}"}},
            "budgets": [budget(f"{2000 * OUT / 1e9:.9f} USD", **BLOCK)]})
        body = stream_of(stream_options={"include_usage": True})
        w = Wire(bursar.proxy, timeout=60)
        w.send(request_bytes("/openai" + CHAT, body))
        answer = w.read_answer()
        assert answer.status == 200 and not answer.ended_well
        bursar.wait_settled()
        (row,) = bursar.ledger()
        assert row["extra"]["end"] == "budget_cut"
        assert any(x["event"] == "budget.cut" for x in bursar.log_lines())
    finally:
        upstream.stop()


def test_a_whole_answer_where_a_stream_was_asked_for_is_passed_on(start_bursar):
    """It is made and billed: to break it off would save nothing."""
    text = "word " * 3000
    body = json.dumps({"object": "chat.completion", "model": "gpt-4.1-mini",
                       "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                       "usage": {"prompt_tokens": 5, "completion_tokens": 3001, "total_tokens": 3006}}).encode()

    def script(self, c):
        if self.read_request(c) is None:
            return
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        c.sendall(head.encode() + body[:9000])
        time.sleep(0.05)
        c.sendall(body[9000:])

    upstream = ScriptedVendor(script)
    try:
        bursar = start_bursar({
            "providers": {"openai": {"base_url": f"http://127.0.0.1:{upstream.plain}"}},
            "budgets": [budget(f"{2000 * OUT / 1e9:.9f} USD", **BLOCK)]})
        answer = call(bursar.proxy, "/openai" + CHAT, stream_of(), timeout=60)
        assert answer.status == 200 and answer.body == body
        bursar.wait_settled()
        (row,) = bursar.ledger()
        assert nanousd(row["usd"]) == 5 * 400 + 3001 * OUT and "overrun" in row["flags"]
    finally:
        upstream.stop()
