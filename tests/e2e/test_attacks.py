"""Calls that are made to cost the vendor's customer more than the ledger says, or than was held: requests that two
readers read differently, parameters that the hold did not see, answers that hide or forge a bill.
"""

import json

import pytest

from harness import ScriptedVendor, Wire, call, chat, gemini, merge, messages, nanousd

# --- a vendor that answers as it is told ------------------------------------------------------------------------------

PROVIDERS = ("openai", "anthropic", "google", "azure", "vertex", "bedrock", "cohere", "mistral", "groq", "openrouter", "xai")


def answer(body, kind="application/json", status="200 OK", fields=""):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{fields}Content-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def completion(model, tokens_in, tokens_out, **usage):
    return {
        "id": "x", "model": model,
        "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out, **usage},
    }


def form(**fields):
    """Content type and body; bytes are a file."""
    body = b""
    for name, value in fields.items():
        more = b'; filename="a.mp3"' if isinstance(value, bytes) else b""
        data = value if isinstance(value, bytes) else value.encode()
        body += b'--B\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name.encode(), more, data)
    return {"Content-Type": "multipart/form-data; boundary=B"}, body + b"--B--\r\n"


class Rig:
    """A bursar before a vendor that gives `reply` to everything."""

    def __init__(self, start_bursar, changes=None):
        self.reply, self.bodies, self.hang_up = b"", [], False
        self.vendor = ScriptedVendor(self.script)
        root = f"http://127.0.0.1:{self.vendor.plain}"
        providers = {"workers": 1, "providers": {name: {"base_url": root} for name in PROVIDERS}}
        self.bursar = start_bursar(merge(providers, changes or {}))

    def script(self, vendor, connection):
        while True:
            request = vendor.read_request(connection)
            if request is None:
                return
            self.bodies.append(request[1])
            connection.sendall(self.reply)
            if self.hang_up:
                return

    def call(self, path, body=b"", reply=None, method="POST", headers=None):
        """The answer and, if the call went out and is no free one, its row."""
        self.reply, before = reply or answer({}), len(self.bodies)
        if isinstance(body, tuple):  # of form()
            a = self.form(path, *body)
        else:
            a = call(self.bursar.proxy, path, body, method=method, headers=headers)
        if len(self.bodies) == before:
            return a, None
        self.bursar.wait_settled()
        return a, next(iter(self.rows(a["x-bursar-request-id"].removeprefix("req_"))), None)

    def form(self, path, fields, body):
        w = Wire(self.bursar.proxy)
        head = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        w.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        try:
            return w.read_answer()
        finally:
            w.close()

    def rows(self, call_id):
        """Of a call: its own, then those that correct it."""
        return [r for r in self.bursar.ledger() if call_id in (r["id"], r["corrects"])]

    def cost(self, call_id):
        return sum(nanousd(r["usd"]) for r in self.rows(call_id))


@pytest.fixture
def rig(start_bursar):
    made = []

    def make(changes=None):
        made.append(Rig(start_bursar, changes))
        return made[-1]

    yield make
    for r in made:
        r.vendor.stop()


def refused(rig, path, body, why, **more):
    a, row = rig.call(path, body, **more)
    assert 400 <= a.status < 500 and row is None, (a.status, a.body)
    assert why in a.body.decode(), a.body


# --- answers without usage --------------------------------------------------------------------------------------------


def test_what_no_usage_tells_is_not_free(rig):
    """Speech and transcripts come without usage; what they are billed by is no text that could be counted."""
    r = rig()
    _, row = r.call("/openai/v1/audio/speech", {"model": "tts-1", "input": "hello" * 20}, answer(bytes(100), "audio/mpeg"))
    assert (row["usd"], row["source"], row["output_tokens"]) == ("0.0015", "counted", 0)  # 100 characters at 15 USD a million
    for kind, text, reply in (("text/plain", "text", b"hello"), ("application/json", "json", b'{"text":"hello"}')):
        _, row = r.call(
            "/openai/v1/audio/transcriptions", form(model="whisper-1", response_format=text, file=bytes(60000)), answer(reply, kind))
        assert row["usd"] == row["held_usd"] != "0" and row["source"] == "worst", row


def test_fees_of_tools_are_not_free_without_usage(rig):
    r = rig()
    body = {"model": "gpt-4o", "input": "hi", "max_output_tokens": 16, "max_tool_calls": 5, "tools": [{"type": "web_search"}]}
    _, row = r.call("/openai/v1/responses", body, answer({"id": "resp_1", "model": "gpt-4o", "output": [{"type": "message", "content": "hi"}]}))
    assert row["usd"] == row["held_usd"], row


def test_a_call_without_bound_is_counted_without_usage(rig):
    """A soft budget lets it pass with nothing held: what went by is what there is to charge."""
    r = rig({"budgets": [{"name": "all", "window": "total", "limit": "1000 USD", "mode": "soft"}]})
    events = b"".join(b"data: " + json.dumps({"model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "word " * 20}}]}).encode() + b"\n\n"
                      for _ in range(10))
    _, row = r.call("/openai/v1/chat/completions", chat(model="gpt-4o", stream=True, web_search_options={}), answer(events, "text/event-stream"))
    assert row["held_usd"] == "0" and nanousd(row["usd"]) >= 1000 * 10_000, row


# --- late bills -------------------------------------------------------------------------------------------------------

RESULT = {"result": {"type": "succeeded", "message": {"model": "claude-haiku-4-5", "usage": {"input_tokens": 10, "output_tokens": 900}}}}


def background(r):
    body = {"model": "gpt-4o", "input": "hi", "max_output_tokens": 1000, "background": True}
    _, row = r.call("/openai/v1/responses", body, answer({"id": "resp_bg", "model": "gpt-4o", "status": "queued", "output": [], "usage": None}))
    assert "pending" in row["flags"]
    return row["id"], nanousd(row["usd"])


def response(status, tokens_in, tokens_out):
    return answer({"id": "resp_bg", "model": "gpt-4o", "status": status, "output": [], "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out}})


def test_a_poll_is_no_bill_before_the_end(rig):
    r = rig()
    call_id, held = background(r)
    for status in ("queued", "in_progress"):
        r.call("/openai/v1/responses/resp_bg", reply=response(status, 0, 0), method="GET")
        assert r.cost(call_id) == held
    r.call("/openai/v1/responses/resp_bg", reply=response("completed", 20, 500), method="GET")
    assert r.cost(call_id) == 20 * 2500 + 500 * 10_000


def test_an_answer_that_was_not_asked_for_changes_no_bill(rig):
    """A vendor that answers a fetch of one's own call with another customer's id."""
    r = rig()
    call_id, held = background(r)
    _, row = r.call("/openai/v1/responses/resp_mine", reply=response("completed", 0, 0), method="GET")
    assert r.cost(call_id) == held and row["usd"] == "0"


@pytest.mark.parametrize("status", ["206 Partial Content", "200 OK"])
def test_part_of_the_results_is_no_bill(rig, status):
    """Range is not passed on; a vendor that answers in part all the same has not told its bill."""
    r = rig()
    body = {"requests": [{"custom_id": str(i), "params": messages(1000)} for i in range(5)]}
    _, row = r.call("/anthropic/v1/messages/batches", body, answer({"id": "msgbatch_1", "processing_status": "in_progress"}))
    reply = answer(json.dumps(RESULT).encode() + b"\n", "application/x-jsonl", status)
    r.call("/anthropic/v1/messages/batches/msgbatch_1/results", reply=reply, method="GET", headers={"Range": "bytes=0-150", "If-Range": "x"})
    assert b"range:" not in r.vendor.heads[-1].lower()
    changed = nanousd(row["usd"]) != r.cost(row["id"])
    assert changed == (status == "200 OK")


# --- answers that are asked to hide the bill --------------------------------------------------------------------------


@pytest.mark.parametrize("path,fields", [
    (":generateContent?fields=candidates,usageMetadata.promptTokenCount", {}),
    (":streamGenerateContent?alt=sse&$fields=candidates", {}),
    (":generateContent?%66ields=candidates", {}),
    (":generateContent", {"X-Goog-FieldMask": "candidates"}),
    (":embedContent?key=k&fields=embedding", {}),
])
def test_no_part_of_a_google_answer(rig, path, fields):
    """Without candidatesTokenCount an answer looks like one without output, and is complete."""
    refused(rig(), "/gemini/v1beta/models/gemini-2.5-pro" + path, gemini(5000), "part of the answer", headers=fields)


def test_lists_in_parts_are_free(rig):
    r = rig()
    a, _ = r.call("/gemini/v1beta/models?fields=models.name", reply=answer({"models": []}), method="GET")
    assert a.status == 200


# --- which model runs -------------------------------------------------------------------------------------------------


def test_the_model_in_the_path_runs(rig):
    """Azure and Vertex take it from the path; what the body says beside it is nothing to them."""
    r = rig()
    _, row = r.call("/azure/openai/deployments/gpt-4-32k/chat/completions?api-version=1", chat(16, model="gpt-4o-mini"),
                    answer(completion("gpt-4-32k-0613", 10, 16)))
    assert row["model"] == "gpt-4-32k" and row["flags"] == [], row
    body = {"model": "claude-3-haiku-20240307", "anthropic_version": "x", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}
    reply = {"id": "m", "type": "message", "role": "assistant", "model": "claude-opus-4-1-20250805",
             "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": {"input_tokens": 10, "output_tokens": 16}}
    _, row = r.call("/vertex/v1/projects/p/locations/l/publishers/anthropic/models/claude-opus-4-1:rawPredict", body, answer(reply))
    assert row["model"] == "claude-opus-4-1" and row["flags"] == [], row
    refused(r, "/azure/openai/deployments/prod/chat/completions?api-version=1", chat(16, model="gpt-4o-mini"), "name of your own")


# --- what makes a call dearer than it looks ---------------------------------------------------------------------------


@pytest.mark.parametrize("path,body,why", [
    ("/cohere/v2/chat", {"model": "command-r7b-12-2024", "max_tokens": 16, "Max_Tokens": 4000, "messages": []}, "another case"),
    ("/openrouter/api/v1/chat/completions", chat(model="openai/gpt-4o", provider={"only": ["dear"]}), "no upper price"),
    ("/openrouter/api/v1/chat/completions", chat(model="openai/gpt-4o", preset="dear"), "no upper price"),
    ("/openrouter/api/v1/chat/completions", chat(model="openai/gpt-4o:nitro"), "no upper price"),
    ("/azure/openai/deployments/gpt-4o/chat/completions?api-version=1", chat(model="gpt-4o", data_sources=[{}]), "no upper price"),
    ("/openai/v1/responses", {"model": "gpt-4o", "input": "hi", "max_output_tokens": 16, "prompt": {"id": "pmpt_1"}}, "no upper price"),
    ("/groq/openai/v1/chat/completions", chat(model="openai/gpt-oss-120b", tools=[{"type": "code_interpreter", "max_uses": 0}]), "no upper price"),
    ("/openai/v1/responses", {"model": "gpt-4-turbo", "input": "hi", "max_output_tokens": 16, "max_tool_calls": 9, "tools": [{"type": "web_search"}]},
     "no upper price"),
    ("/xai/v1/responses", {"model": "grok-4", "input": "hi", "max_output_tokens": 16, "max_tool_calls": 0, "tools": [{"type": "web_search"}]},
     "no upper price"),
    ("/mistral/v1/agents/completions", {"agent_id": "ag:1", "max_tokens": 16, "messages": []}, "under the agent's id"),
    ("/mistral/v1/agents/completions", {"agent_id": "ag:1", "model": "ministral-3b-latest", "max_tokens": 16, "messages": []}, "no upper price"),
])
def test_what_has_no_bound_meets_no_hard_budget(rig, path, body, why):
    refused(rig(), path, body, why)


def test_an_agent_costs_what_its_model_does(rig):
    r = rig({"budgets": [{"name": "all", "window": "total", "limit": "1000 USD", "mode": "soft"}]})
    a, row = r.call("/mistral/v1/agents/completions", {"agent_id": "ag:1", "messages": []}, answer(completion("mistral-large-2411", 1000, 16)))
    assert a.status == 200 and nanousd(row["usd"]) == 1000 * 2000 + 16 * 6000, row


def test_bounds_beside_the_bound(rig):
    r = rig()
    said = [{"role": "user", "content": [{"text": "hi"}]}]
    reply = {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn",
             "usage": {"inputTokens": 10, "outputTokens": 4000, "totalTokens": 4010}}
    body = {"messages": said, "inferenceConfig": {"maxTokens": 16}, "additionalModelRequestFields": {"inferenceConfig": {"max_new_tokens": 4000}}}
    _, row = r.call("/bedrock/model/amazon.nova-pro-v1%3A0/converse", body, answer(reply))
    assert "overrun" not in row["flags"], row


def test_the_tier_in_the_head_of_bedrock(rig):
    r = rig()
    body = {"messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 16}
    held = []
    for fields in ({}, {"X-Amzn-Bedrock-Service-Tier": "priority"}):
        more = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        _, row = r.call("/bedrock/model/openai.gpt-oss-120b-1%3A0/invoke", body, answer(completion("x", 100, 16), fields=more), headers=fields)
        assert "overrun" not in row["flags"], row
        held.append(nanousd(row["held_usd"]))
    assert held[1] > held[0]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-7", 'application/json;CHARSET="UTF-16LE"', "application/json; charset = utf-7"])
def test_no_charset_that_hides_another_body(rig, kind):
    """{"user":"+ACI-,+ACI-max_tokens+ACI-:4000..."} is one text, or in UTF-7 four members."""
    body = json.dumps(chat(user="+ACI-,+ACI-max_tokens+ACI-:4000,+ACI-x+ACI-:+ACI-")).encode()
    r = rig()
    a = r.form("/openai/v1/chat/completions", {"Content-Type": kind}, body)
    assert a.status == 400 and not r.bodies
    r.reply = answer(completion("gpt-4.1-mini", 1, 1))
    assert r.form("/openai/v1/chat/completions", {"Content-Type": "application/json; charset=utf-8"}, body).status == 200


def test_one_of_several_answers_is_not_all(rig):
    """Gemini streams candidates side by side; the stream breaks when the first has finished."""
    r = rig({"budgets": [{"name": "all", "window": "total", "limit": "1000 USD", "mode": "soft"}]})
    first = {"candidates": [{"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}],
             "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1}, "modelVersion": "gemini-2.5-flash-lite"}
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\ndata: " + json.dumps(first).encode() + b"\n\n"
    r.hang_up = True
    body = merge(gemini(4000), {"generationConfig": {"candidateCount": 4}})
    _, row = r.call("/gemini/v1beta/models/gemini-2.5-flash-lite:streamGenerateContent?alt=sse", body, reply)
    assert row["source"] != "usage" and "estimated" in row["flags"], row
