"""What a stream without final usage is charged for: tools and thoughts in every vendor's words; and what the head of a
growing answer says of the budget."""

import base64
import json
import struct
import zlib

import pytest

from harness import CHAT, ScriptedVendor, Wire, budget, call, nanousd, request_bytes, wait_for

OUT = 1600  # nano-USD for an output token of gpt-4.1-mini
BLOCK = {"steps": [{"at": "100%", "do": "block"}]}


def chunked(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def sse(*events):
    return [b"data: " + json.dumps(e).encode() + b"\n\n" for e in events]


def delta(**members):
    return {"id": "c", "choices": [{"index": 0, "delta": members, "finish_reason": None}]}


def message(event, payload):
    """One of an AWS event stream."""
    payload = json.dumps(payload).encode()
    headers = b"".join(
        bytes([len(n)]) + n + b"\7" + struct.pack(">H", len(v)) + v
        for n, v in ((b":event-type", event.encode()), (b":message-type", b"event")))
    head = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    data = head + struct.pack(">I", zlib.crc32(head)) + headers + payload
    return data + struct.pack(">I", zlib.crc32(data))


def chunk(event):
    return message("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abc"})


def script(kind, pieces, whole):
    """Sends the pieces; ends well, or breaks off."""

    def run(self, c):
        if self.read_request(c) is None:
            return
        c.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for p in pieces:
            c.sendall(chunked(p))
        if whole:
            c.sendall(b"0\r\n\r\n")

    return run


THOUGHT = "so many thoughts of it " * 4  # five of them are less than a hold begins with
DETAILS = [{"type": "reasoning.text", "text": THOUGHT, "format": "unknown", "index": 0}]
THOUGHTS = {
    "deepseek": delta(content=None, reasoning_content=THOUGHT),
    "vllm": delta(content=None, reasoning_content=THOUGHT, reasoning=THOUGHT),
    "openrouter": delta(content="", reasoning=THOUGHT, reasoning_details=DETAILS),
    "details": delta(content="", reasoning_details=DETAILS),
    "mistral": delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}]),
}


def charged(start_bursar, upstream, provider, path, body):
    """The row of a call whose answer has no usage, made of a vendor that bills only what it sent."""
    bursar = start_bursar({
        "providers": {provider: {"base_url": f"http://127.0.0.1:{upstream.plain}", "full_bill_on_abort": "no"}},
        "budgets": [budget("1 USD", hold="growing", **BLOCK)]})
    call(bursar.proxy, path, body, headers={"Authorization": "Bearer k"}, timeout=60)
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert "estimated" in row["flags"]
    return row


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", THOUGHTS)
def test_thoughts_are_charged_once_by_whatever_name(start_bursar, name, whole):
    """gpt-4.1-mini's price stands for any: the shape is the vendor's."""
    upstream = ScriptedVendor(script("text/event-stream", sse(*[THOUGHTS[name]] * 5), whole))
    try:
        body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 8000}
        row = charged(start_bursar, upstream, "openai", "/openai" + CHAT, body)
    finally:
        upstream.stop()
    # the last piece of what broke off may be lost with the connection
    assert 5 * len(THOUGHT) <= row["output_tokens"] <= 5 * len(THOUGHT) + (0 if whole else 64)


TOOL_INPUT = json.dumps({"path": "a/file", "text": "words to be written " * 30})
CLAUDE = "us.anthropic.claude-3-5-haiku-20241022-v1%3A0"


def invoke_events():
    yield {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}}
    yield {"type": "content_block_start", "index": 0,
           "content_block": {"type": "tool_use", "id": "toolu_01", "name": "write_file", "input": {}}}
    for i in range(0, len(TOOL_INPUT), 50):
        yield {"type": "content_block_delta", "index": 0,
               "delta": {"type": "input_json_delta", "partial_json": TOOL_INPUT[i : i + 50]}}


def converse_messages():
    yield message("messageStart", {"role": "assistant", "p": "abc"})
    yield message("contentBlockStart",
                  {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "toolu_01", "name": "write_file"}}})
    for i in range(0, len(TOOL_INPUT), 50):
        yield message("contentBlockDelta",
                      {"contentBlockIndex": 0, "delta": {"toolUse": {"input": TOOL_INPUT[i : i + 50]}}, "p": "ab"})


@pytest.mark.parametrize("how", ["invoke", "converse"])
def test_tools_of_bedrock_are_charged(start_bursar, how):
    if how == "invoke":
        path, pieces = "invoke-with-response-stream", [chunk(e) for e in invoke_events()]
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 8000, "messages": [{"role": "user", "content": "x"}]}
    else:
        path, pieces = "converse-stream", list(converse_messages())
        body = {"messages": [{"role": "user", "content": [{"text": "x"}]}], "inferenceConfig": {"maxTokens": 8000}}
    upstream = ScriptedVendor(script("application/vnd.amazon.eventstream", pieces, True))
    try:
        row = charged(start_bursar, upstream, "bedrock", f"/bedrock/model/{CLAUDE}/{path}", body)
    finally:
        upstream.stop()
    assert row["output_tokens"] == len(TOOL_INPUT) + len("write_file") + len("toolu_01")


# --- what the head says is left ---------------------------------------------------------------------------------------


def stream_body(**more):
    return {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "x"}], "stream": True, **more}


def test_the_head_says_what_was_left_when_the_answer_began(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("1 USD", **BLOCK)]})
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, stream_body(), headers={
        "x-vendor-call": "g", "x-vendor-out": "6000", "x-vendor-chunks": "6000", "x-vendor-chunk-ms": "1"}))
    head = w.read_head()
    said = nanousd(dict(head[2])["x-bursar-budget-remaining"])
    wait_for(lambda: w.more() and nanousd(bursar.budget()["remaining"]) < said - 1000 * OUT, "the hold to grow", 60)
    w.close()


def test_what_the_hold_grew_by_before_the_head_is_in_it(start_bursar):
    """Head and much of the answer arrive at once, and then nothing for a while."""
    words = b"".join(sse(*[delta(content="word " * 20)] * 100))

    def run(self, c):
        if self.read_request(c) is None:
            return
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(words))
        self.over.wait(60)

    upstream = ScriptedVendor(run)
    try:
        bursar = start_bursar({"providers": {"openai": {"base_url": f"http://127.0.0.1:{upstream.plain}"}},
                               "budgets": [budget("1 USD", **BLOCK)]})
        w = Wire(bursar.proxy)
        w.send(request_bytes("/openai" + CHAT, stream_body()))
        said = nanousd(dict(w.read_head()[2])["x-bursar-budget-remaining"])
        assert 1_000_000_000 - said > 2000 * OUT
        assert said >= nanousd(bursar.budget()["remaining"])  # it may have grown again since
        assert said - nanousd(bursar.budget()["remaining"]) < 1088 * OUT
        w.close()
    finally:
        upstream.stop()


def test_an_answer_charged_before_its_head_says_what_is_left(start_bursar):
    body = json.dumps({"object": "chat.completion", "model": "gpt-4.1-mini", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "word " * 3000}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3001, "total_tokens": 3006}}).encode()

    def run(self, c):
        if self.read_request(c) is None:
            return
        c.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    upstream = ScriptedVendor(run)
    try:
        bursar = start_bursar({"providers": {"openai": {"base_url": f"http://127.0.0.1:{upstream.plain}"}},
                               "budgets": [budget("1 USD", **BLOCK)]})
        answer = call(bursar.proxy, "/openai" + CHAT, stream_body(), timeout=60)
        bursar.wait_settled()
        assert nanousd(answer["x-bursar-cost"]) == 5 * 400 + 3001 * OUT
        assert nanousd(answer["x-bursar-budget-remaining"]) == nanousd(bursar.budget()["remaining"])
    finally:
        upstream.stop()
