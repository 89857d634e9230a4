"""Every API of every vendor, through the gateway: the same bytes, and a ledger that is the vendor's own bill."""

import itertools
import json

import pytest

import harness
from harness import Wire, call, nanousd, sellers, wait_for

ASK = [{"role": "user", "content": "What is counted before it leaves, and what after?"}]
TEXT_BLOCK = [{"role": "user", "content": [{"text": "What is counted before it leaves?"}]}]
CLAUDE = "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0"
NOVA = "/model/amazon.nova-lite-v1%3A0"
VERTEX = "/v1/projects/p1/locations/us-central1/publishers"


def chat(model, **more):
    return {"model": model, "max_tokens": 64, "messages": ASK, **more}


def form(parts, filename="a.wav", content=b""):
    body = b""
    for name, value in parts.items():
        body += f'--B0undary\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    body += f'--B0undary\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'.encode()
    return body + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--B0undary--\r\n"


STREAM = {"stream": True}
ASKED = {"stream": True, "stream_options": {"include_usage": True}}
ANTHROPIC_BEDROCK = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": ASK}

# name -> (gateway prefix, path, body, more headers)
CALLS = {
    "openai-completions": ("openai", "/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Say", "max_tokens": 20}),
    "openai-completions-stream": (
        "openai", "/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Say", "max_tokens": 20, **ASKED}),
    "openai-moderation": ("openai", "/v1/moderations", {"model": "omni-moderation-latest", "input": "x"}),
    "openai-images": ("openai", "/v1/images/generations", {"model": "gpt-image-1", "prompt": "a cat", "n": 2, "size": "1024x1024", "quality": "low"}),
    "openai-images-stream": ("openai", "/v1/images/generations", {"model": "gpt-image-1", "prompt": "a cat", "quality": "low", "size": "1024x1024", "partial_images": 1, **STREAM}),
    "openai-speech-sse": ("openai", "/v1/audio/speech", {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello there", "stream_format": "sse"}),
    "openai-transcribe": ("openai", "/v1/audio/transcriptions", form({"model": "gpt-4o-transcribe"}, content=bytes(64000))),
    "openai-transcribe-duration": ("openai", "/v1/audio/transcriptions", form({"model": "whisper-1"}, content=bytes(96000))),
    "openai-transcribe-stream": ("openai", "/v1/audio/transcriptions", form({"model": "gpt-4o-transcribe", "stream": "true"}, content=bytes(64000))),
    "azure-chat": ("azure", "/openai/deployments/gpt-4.1-mini/chat/completions?api-version=2025-04-01-preview", {"messages": ASK, "max_tokens": 64}),
    "azure-chat-stream": ("azure", "/openai/deployments/gpt-4.1-mini/chat/completions?api-version=2025-04-01-preview", {"messages": ASK, "max_tokens": 64, **ASKED}),
    "azure-embeddings": ("azure", "/openai/deployments/text-embedding-3-small/embeddings?api-version=2024-10-21", {"input": ["one", "two"]}),
    "azure-v1": ("azure", "/openai/v1/chat/completions", chat("phi-4")),
    "gemini-embed": ("gemini", "/v1beta/models/gemini-embedding-2:embedContent", {"content": {"parts": [{"text": "Embed this text."}]}}),
    "gemini-batch-embed": ("gemini", "/v1beta/models/gemini-embedding-2:batchEmbedContents", {"requests": [
        {"model": "models/gemini-embedding-2", "content": {"parts": [{"text": "one"}]}},
        {"model": "models/gemini-embedding-2", "content": {"parts": [{"text": "two"}]}}]}),
    "vertex-generate": ("vertex", VERTEX + "/google/models/gemini-2.5-flash-lite:generateContent", {
        "contents": [{"role": "user", "parts": [{"text": "What is counted before it leaves?"}]}], "generationConfig": {"maxOutputTokens": 64}}),
    "vertex-stream": ("vertex", VERTEX + "/google/models/gemini-2.5-flash-lite:streamGenerateContent?alt=sse", {
        "contents": [{"role": "user", "parts": [{"text": "What is counted before it leaves?"}]}], "generationConfig": {"maxOutputTokens": 64}}),
    "vertex-claude": ("vertex", VERTEX + "/anthropic/models/claude-3-5-haiku%4020241022:rawPredict", {
        "anthropic_version": "vertex-2023-10-16", "max_tokens": 64, "messages": ASK}),
    "vertex-claude-stream": ("vertex", VERTEX + "/anthropic/models/claude-3-5-haiku@20241022:streamRawPredict", {
        "anthropic_version": "vertex-2023-10-16", "max_tokens": 64, "messages": ASK, **STREAM}),
    "bedrock-converse": ("bedrock", NOVA + "/converse", {"messages": TEXT_BLOCK, "inferenceConfig": {"maxTokens": 64}}),
    "bedrock-converse-stream": ("bedrock", NOVA + "/converse-stream", {"messages": TEXT_BLOCK, "inferenceConfig": {"maxTokens": 64}}),
    "bedrock-converse-claude": ("bedrock", CLAUDE + "/converse", {"messages": TEXT_BLOCK, "inferenceConfig": {"maxTokens": 64}}),
    "bedrock-invoke-claude": ("bedrock", CLAUDE + "/invoke", ANTHROPIC_BEDROCK),
    "bedrock-invoke-claude-stream": ("bedrock", CLAUDE + "/invoke-with-response-stream", ANTHROPIC_BEDROCK),
    "bedrock-invoke-nova": ("bedrock", NOVA + "/invoke", {"messages": TEXT_BLOCK, "inferenceConfig": {"max_new_tokens": 64}}),
    "bedrock-invoke-nova-stream": ("bedrock", NOVA + "/invoke-with-response-stream", {"messages": TEXT_BLOCK, "inferenceConfig": {"max_new_tokens": 64}}),
    "bedrock-invoke-llama": ("bedrock", "/model/meta.llama3-3-70b-instruct-v1%3A0/invoke", {"prompt": "Why?", "max_gen_len": 64}),
    "bedrock-invoke-llama-stream": ("bedrock", "/model/meta.llama3-3-70b-instruct-v1%3A0/invoke-with-response-stream", {"prompt": "Why?", "max_gen_len": 64}),
    "bedrock-invoke-titan": ("bedrock", "/model/amazon.titan-text-express-v1/invoke", {"inputText": "Why?", "textGenerationConfig": {"maxTokenCount": 64}}),
    "bedrock-invoke-titan-stream": ("bedrock", "/model/amazon.titan-text-express-v1/invoke-with-response-stream", {"inputText": "Why?", "textGenerationConfig": {"maxTokenCount": 64}}),
    "bedrock-parts-of-a-nano": ("bedrock", "/model/amazon.nova-micro-v1%3A0/converse", {"messages": TEXT_BLOCK, "inferenceConfig": {"maxTokens": 64}}),
    "cohere-chat": ("cohere", "/v2/chat", chat("command-r7b-12-2024")),
    "cohere-chat-stream": ("cohere", "/v2/chat", chat("command-a-03-2025", **STREAM)),
    "cohere-embed": ("cohere", "/v2/embed", {"model": "embed-v4.0", "texts": ["one", "two"], "input_type": "search_document"}),
    "cohere-rerank": ("cohere", "/v2/rerank", {"model": "rerank-v3.5", "query": "x", "documents": ["one", "two"]}),
    "mistral-chat": ("mistral", "/v1/chat/completions", chat("mistral-small-2603")),
    "mistral-chat-stream": ("mistral", "/v1/chat/completions", chat("mistral-small-2603", **STREAM)),
    "mistral-embed": ("mistral", "/v1/embeddings", {"model": "mistral-embed", "input": ["one", "two"]}),
    "mistral-ocr": ("mistral", "/v1/ocr", {"model": "mistral-ocr-2512", "document": {"type": "document_url", "document_url": "https://example.com/a.pdf"}, "pages": list(range(12))}),
    "groq-chat": ("groq", "/openai/v1/chat/completions", chat("llama-3.3-70b-versatile")),
    "groq-chat-stream": ("groq", "/openai/v1/chat/completions", chat("openai/gpt-oss-20b", **STREAM)),
    "groq-chat-stream-asked": ("groq", "/openai/v1/chat/completions", chat("openai/gpt-oss-20b", **ASKED)),
    "groq-transcribe": ("groq", "/openai/v1/audio/transcriptions", form({"model": "whisper-large-v3"}, content=bytes(640032))),
    "together-chat": ("together", "/v1/chat/completions", chat("meta-llama/Llama-3.3-70B-Instruct-Turbo")),
    "together-chat-stream": ("together", "/v1/chat/completions", chat("meta-llama/Llama-3.3-70B-Instruct-Turbo", **STREAM)),
    "openrouter-chat": ("openrouter", "/api/v1/chat/completions", chat("openai/gpt-4.1-mini")),
    "openrouter-chat-stream": ("openrouter", "/api/v1/chat/completions", chat("anthropic/claude-haiku-4.5", **STREAM)),
    "ollama-chat": ("ollama", "/api/chat", {"model": "llama3.2", "messages": ASK, "stream": False, "options": {"num_predict": 64}}),
    "ollama-chat-stream": ("ollama", "/api/chat", {"model": "llama3.2", "messages": ASK, "options": {"num_predict": 64}}),
    "ollama-generate-stream": ("ollama", "/api/generate", {"model": "llama3.2", "prompt": "Why?", "options": {"num_predict": 64}}),
    "ollama-embed": ("ollama", "/api/embed", {"model": "nomic-embed-text", "input": ["one", "two"]}),
    "perplexity-chat": ("perplexity", "/chat/completions", chat("sonar")),
    "perplexity-chat-stream": ("perplexity", "/chat/completions", chat("sonar", **STREAM)),
    "xai-chat": ("xai", "/v1/chat/completions", chat("grok-3-mini")),
    "xai-chat-stream": ("xai", "/v1/chat/completions", chat("grok-3-mini", **ASKED)),
    "deepseek-chat": ("deepseek", "/chat/completions", chat("deepseek-v3.2")),
    "deepseek-chat-stream": ("deepseek", "/v1/chat/completions", chat("deepseek-v3.2", **ASKED)),
    "fireworks-chat": ("fireworks", "/inference/v1/chat/completions", chat("accounts/fireworks/models/deepseek-v3p2")),
    "fireworks-chat-stream": ("fireworks", "/inference/v1/chat/completions", chat("accounts/fireworks/models/deepseek-v3p2", **STREAM)),
}
SELLER_OF = {"openai": "openai", "gemini": "google", "vertex": "google", "bedrock": "aws", "xai": "x-ai"}
FREE = ("openai-moderation",)
TELL_COST = ("openrouter", "perplexity", "xai")
TAGS = itertools.count()
STREAMS = [name for name in CALLS if "stream" in name]


def headers_of(call_name, body, **script):
    fields = {"x-vendor-call": call_name, "x-vendor-out": "24", "x-vendor-chunks": "8", "authorization": "Bearer client-key"}
    if isinstance(body, bytes):
        fields["content-type"] = "multipart/form-data; boundary=B0undary"
    return fields | {f"x-vendor-{k.replace('_', '-')}": str(v) for k, v in script.items()}


def send(port, path, body, headers):
    """As harness.call, with a content type of its own."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}"]
    lines += [f"{k}: {v}" for k, v in ({"content-type": "application/json"} | headers).items()]
    w = Wire(port)
    try:
        w.send(("\r\n".join(lines) + "\r\n\r\n").encode() + data)
        return w.read_answer()
    finally:
        w.close()


class Line:
    """One test's calls through a program that other tests use too; `tag` keeps their bills apart."""

    def __init__(self, vendor, bursar, tag):
        self.vendor, self.bursar, self.tag, self.ids = vendor, bursar, tag, set()

    def through(self, name, more=None, **script):
        prefix, path, body = CALLS[name]
        answer = send(self.bursar.proxy, f"/{prefix}{path}", body, headers_of(name + self.tag, body, **script) | (more or {}))
        self.ids.add(answer["x-bursar-request-id"].removeprefix("req_"))
        return answer

    def straight(self, name, **script):
        prefix, path, body = CALLS[name]
        path = f"/as-{SELLER_OF.get(prefix, prefix)}{path}"
        return send(self.vendor.plain, path, body, headers_of(name + self.tag, body, **script))

    def rows(self):
        self.bursar.wait_settled()
        return [r for r in self.bursar.ledger() if r["id"] in self.ids]

    def row(self):
        (row,) = self.rows()
        return row

    def bill(self, name):
        return self.vendor.bill()[name + self.tag]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    directory = tmp_path_factory.mktemp("providers")
    vendor = harness.Vendor(directory / "vendor")
    # tests that fail a vendor on purpose come one after the other
    bursar = harness.Bursar(directory / "bursar", vendor, sellers(vendor) | {"breakers": {"upstream": False}})
    yield vendor, bursar
    code = bursar.stop()
    vendor.stop()
    assert code == 0, bursar.process.words()[-4000:]


@pytest.fixture
def line(shared):
    return Line(*shared, f".{next(TAGS)}")


def input_tokens(bill):
    """What the ledger calls input: every input token of the bill."""
    return sum(bill[k] for k in ("fresh", "cached", "write_5m", "write_1h", "audio", "image"))


@pytest.mark.parametrize("name", CALLS)
def test_every_api_is_billed_to_the_nanodollar(line, name):
    direct = line.straight(name)
    assert direct.status == 200, direct.body
    answer = line.through(name)
    assert (answer.status, answer.body) == (200, direct.body), answer.body[:600]
    bill = line.bill(name)
    if name in FREE:
        assert (bill["nanousd"], line.rows()) == (0, [])
        return
    row = line.row()
    assert nanousd(row["usd"]) == bill["nanousd"], (row, bill)
    assert row["source"] == ("reported" if name.split("-")[0] in TELL_COST else "usage"), (row, bill)
    assert row["input_tokens"] == input_tokens(bill), (row, bill)
    assert row["output_tokens"] == bill["output"] + bill["audio_output"], (row, bill)


CACHING = ["bedrock-converse-claude", "bedrock-invoke-claude", "bedrock-invoke-claude-stream", "vertex-claude", "vertex-claude-stream"]
CACHED = [*CACHING, "bedrock-converse", "bedrock-converse-stream", "bedrock-parts-of-a-nano", "mistral-chat", "mistral-chat-stream",
          "groq-chat-stream", "together-chat-stream", "openrouter-chat-stream", "deepseek-chat", "fireworks-chat-stream", "vertex-stream"]


@pytest.mark.parametrize("name", CACHED)
def test_cached_input_has_its_own_price(line, name):
    script = {"cached": 5, **({"cache_write": 3} if name in CACHING else {})}
    assert line.through(name, **script).status == 200
    row, bill = line.row(), line.bill(name)
    assert nanousd(row["usd"]) == bill["nanousd"], (row, bill)
    assert (row["cached_tokens"], row["cache_write_tokens"]) == (5, script.get("cache_write", 0))


@pytest.mark.parametrize("name", ["xai-chat", "xai-chat-stream", "vertex-stream", "groq-chat-stream"])
def test_thought_tokens_are_counted_once(line, name):
    assert line.through(name, reasoning=10).status == 200
    row, bill = line.row(), line.bill(name)
    assert (nanousd(row["usd"]), row["output_tokens"], row["reasoning_tokens"]) == (bill["nanousd"], 24, 10), (row, bill)


@pytest.mark.parametrize("name", [n for n in CALLS if n.split("-")[0] in TELL_COST])
def test_the_vendors_own_charge_is_what_counts(line, name):
    assert line.through(name, cost_nanousd=1234567).status == 200
    assert nanousd(line.row()["usd"]) == line.bill(name)["nanousd"] == 1234567


@pytest.mark.parametrize("name", ["bedrock-converse", "cohere-chat", "mistral-chat", "groq-chat", "ollama-chat-stream", "openrouter-chat", "azure-chat"])
@pytest.mark.parametrize("fault, status", [("error-before", 500), ("429", 429)])
def test_refused_calls_are_free(line, name, fault, status):
    answer = line.through(name, fault=fault)
    assert (answer.status, answer.body) == (status, line.straight(name, fault=fault).body)
    assert sum(nanousd(r["usd"]) for r in line.rows()) == 0


@pytest.mark.parametrize("name", [n for n in STREAMS if not n.startswith("openai-")])
def test_a_stream_that_breaks_off_never_costs_less_than_the_bill(line, name):
    line.through(name, fault="cut-mid")
    row, bill = line.row(), line.bill(name)
    assert nanousd(row["usd"]) >= bill["nanousd"] > 0, (row, bill)
    assert row["source"] not in ("usage", "reported") or nanousd(row["usd"]) == bill["nanousd"]


@pytest.mark.parametrize("name", ["bedrock-converse", "bedrock-converse-stream", "cohere-chat", "mistral-chat-stream", "ollama-chat", "together-chat-stream"])
def test_an_answer_without_usage_never_costs_less_than_the_bill(line, name):
    answer = line.through(name, fault="no-usage")
    assert (answer.status, answer.body) == (200, line.straight(name, fault="no-usage").body)
    row, bill = line.row(), line.bill(name)
    assert nanousd(row["usd"]) >= bill["nanousd"], (row, bill)
    assert row["source"] not in ("usage", "reported")


@pytest.mark.parametrize("name", ["bedrock-converse-stream", "mistral-chat-stream", "cohere-chat-stream", "ollama-chat-stream"])
def test_compressed_streams_are_read(line, name):
    answer = line.through(name, {"accept-encoding": "gzip"}, gzip=1)
    assert answer["content-encoding"] == "gzip"
    assert nanousd(line.row()["usd"]) == line.bill(name)["nanousd"]


# --- bills that come later --------------------------------------------------------------------------------------------


def net(bursar):
    """What the ledger charges in all: rows and their corrections."""
    bursar.wait_settled()
    return sum(nanousd(r["usd"]) for r in bursar.ledger())


def get(port, path):
    return call(port, path, method="GET", headers={"authorization": "Bearer client-key"})


def test_a_background_response_is_billed_when_it_is_fetched(vendor, start_bursar):
    bursar = start_bursar({"budgets": [{"name": "soft", "window": "total", "limit": "1000 USD", "mode": "soft"}]})
    body = {"model": "gpt-4.1-mini", "input": "A long job", "max_output_tokens": 64, "background": True}
    queued = send(bursar.proxy, "/openai/v1/responses", body, headers_of("bg", body)).json()
    assert (queued["status"], queued["usage"]) == ("queued", None)
    for _ in range(2):  # asked twice, billed once
        done = get(bursar.proxy, f"/openai/v1/responses/{queued['id']}").json()
        assert done["status"] == "completed" and done["usage"]["output_tokens"] == 24
    wait_for(lambda: net(bursar) == vendor.bill()["bg"]["nanousd"], "the correction", 20)


def batch_lines():
    return "".join(json.dumps({
        "custom_id": f"r{i}", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "gpt-4.1-mini", "max_tokens": 64, "messages": [{"role": "user", "content": f"Question {i}"}]},
    }) + "\n" for i in range(3)).encode()


def test_an_openai_batch_is_billed_once_at_half_price(vendor, start_bursar):
    bursar = start_bursar({"budgets": [{"name": "soft", "window": "total", "limit": "1000 USD", "mode": "soft"}]})
    file = send(bursar.proxy, "/openai/v1/files", form({"purpose": "batch"}, "b.jsonl", batch_lines()), headers_of("file", b"")).json()
    body = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    created = send(bursar.proxy, "/openai/v1/batches", body, headers_of("batch", body))
    assert created.status == 200, created.body
    batch = get(bursar.proxy, f"/openai/v1/batches/{created.json()['id']}").json()
    assert batch["status"] == "completed" and batch["request_counts"]["completed"] == 3
    results = get(bursar.proxy, f"/openai/v1/files/{batch['output_file_id']}/content").body
    assert len(results.splitlines()) == 3
    bill = vendor.bill()["batch"]
    assert bill["half_price"] and bill["nanousd"] > 0
    wait_for(lambda: net(bursar) == bill["nanousd"], "the batch's bill, once", 20)


def test_an_anthropic_batch_is_billed_once_at_half_price(vendor, start_bursar):
    bursar = start_bursar({"budgets": [{"name": "soft", "window": "total", "limit": "1000 USD", "mode": "soft"}]})
    body = {"requests": [{"custom_id": f"r{i}", "params": {
        "model": "claude-haiku-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": f"Question {i}"}]}} for i in range(3)]}
    created = send(bursar.proxy, "/anthropic/v1/messages/batches", body, headers_of("mb", body))
    assert created.status == 200, created.body
    name = created.json()["id"]
    assert get(bursar.proxy, f"/anthropic/v1/messages/batches/{name}").json()["processing_status"] == "ended"
    assert len(get(bursar.proxy, f"/anthropic/v1/messages/batches/{name}/results").body.splitlines()) == 3
    bill = vendor.bill()["mb"]
    assert bill["half_price"] and bill["nanousd"] > 0
    wait_for(lambda: net(bursar) == bill["nanousd"], "the batch's bill, once", 20)
