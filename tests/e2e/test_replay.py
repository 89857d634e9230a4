"""Recorded exchanges of every vendor, replayed through the running proxy: the client gets the vendor's bytes, and the
ledger the vendor's figures, at the price that `bursar price` names for them.

The recordings are named by BURSAR_USAGE_CASES; without them there is nothing to do.
"""

import base64
import json
import os
import random

import pytest

import harness
from harness import SELLERS, ScriptedVendor, Wire, nanousd, wait_for

CASES_PATH = os.environ.get("BURSAR_USAGE_CASES")
CASES = [json.loads(line) for line in open(CASES_PATH)] if CASES_PATH else []
pytestmark = pytest.mark.skipif(not CASES, reason="BURSAR_USAGE_CASES names no recordings")

PREFIXES = {"llamacpp": "llamacpp"}  # where the provider's name is not its gateway prefix
# Names that are the operator's own, and the model each is priced as.
OWN_NAMES = {
    "azure": {"models": {"prod-gpt": "gpt-4.1", "prod-5": "gpt-5"}},
    "ollama": {"price_as": "groq", "models": {"llama4": "llama-3.1-8b-instant"}},
    "vllm": {"price_as": "groq", "models": {"Qwen/Qwen4-32B": "llama-3.1-8b-instant"}},
    "llamacpp": {"price_as": "groq", "models": {"local": "llama-3.1-8b-instant"}},
}
PRICE_IDS = {"bedrock": "aws", "gemini": "google", "vertex": "google", "xai": "x-ai", "ollama": "groq", "vllm": "groq", "llamacpp": "groq"}
WEBSOCKET = "a WebSocket cannot be metered through the proxy yet: frames after the upgrade are not read"


def params():
    for c in CASES:
        marks = [pytest.mark.xfail(reason=WEBSOCKET, strict=False, run=False)] if c["response_status"] == 101 else []
        yield pytest.param(c, id=c["id"], marks=marks)


def body_of(case):
    return base64.b64decode(case["response_body"]) if case.get("encoding") == "base64" else case["response_body"].encode()


# --- the vendor's side ------------------------------------------------------------------------------------------------


class Recorded(ScriptedVendor):
    """Answers every request with the recording at hand, byte for byte, in pieces of any size."""

    def __init__(self):
        self.case = None
        self.requests = []
        super().__init__(Recorded.play)

    def play(self, c):
        while True:
            request = self.read_request(c)
            if request is None:
                return
            self.requests.append(request)
            status, body = self.case["response_status"], body_of(self.case)
            lines = [f"HTTP/1.1 {status} Recorded"] + [f"{k}: {v}" for k, v in self.case["response_headers"].items()]
            dice = random.Random(self.case["id"])
            if dice.random() < 0.5:
                c.sendall("\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body)
                continue
            c.sendall("\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode())
            while body:
                n = dice.randint(1, 400)
                c.sendall(b"%x\r\n%s\r\n" % (len(body[:n]), body[:n]))
                body = body[n:]
            c.sendall(b"0\r\n\r\n")


@pytest.fixture(scope="module")
def recorded():
    v = Recorded()
    yield v
    v.stop()


@pytest.fixture(scope="module")
def proxy(recorded, tmp_path_factory):
    """One program for all recordings: what one leaves behind must not change another."""
    import harness

    root = f"http://127.0.0.1:{recorded.plain}"
    names = [*SELLERS, "vllm", "llamacpp"]
    keys = {"api_key": None}  # of the usual configuration: clients bring their own here
    directory = tmp_path_factory.mktemp("replay")
    b = harness.Bursar(directory, None, {
        "providers": {
            **{name: {"base_url": root, "ask_usage": "never", **keys} for name in harness.VENDOR_HOSTS},
            **{name: {"base_url": root, "ask_usage": "never", **OWN_NAMES.get(name, {})} for name in names},
        },
        "budgets": [{"name": "soft", "window": "total", "limit": "100000 USD", "mode": "soft", "unknown_model": "free"}],
    })
    yield b
    code = b.stop()
    assert code in (0, None), b.process.words()[-4000:]


# --- the client's side ------------------------------------------------------------------------------------------------


def request_of(case):
    headers = {k: v for k, v in case["request_headers"].items() if k.lower() != "host"}
    if headers.get("authorization", "").startswith("AWS4-"):
        headers["authorization"] = "Bearer bedrock-key"  # a signature is for AWS's address, not for a gateway's
    body = case["request_body"].encode()
    path = f"/{PREFIXES.get(case['provider'], case['provider'])}{case['path']}"
    lines = [f"{case['method']} {path} HTTP/1.1", "Host: localhost", *[f"{k}: {v}" for k, v in headers.items()]]
    if body or case["method"] == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def exchange(proxy, case):
    w = Wire(proxy.proxy)
    try:
        w.send(request_of(case))
        return w.read_answer(case["method"])
    finally:
        w.close()


def new_rows(proxy, before, wanted):
    """Rows after the first `before`, once nothing is held; `wanted`: there must be some."""
    if wanted:
        wait_for(lambda: len(proxy.ledger()) > before, "the row")
    proxy.wait_settled()
    return proxy.ledger()[before:]


# --- what is expected -------------------------------------------------------------------------------------------------

COUNTS = {
    "input_tokens": "input_tokens", "output_tokens": "output_tokens", "cached_input_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens", "cache_write_1h_tokens": "cache_write_1h_tokens", "reasoning_tokens": "reasoning_tokens",
}
EXTRA_COUNTS = {
    "audio_input_tokens": "input_audio_tokens", "audio_output_tokens": "output_audio_tokens", "image_input_tokens": "input_image_tokens",
    "image_output_tokens": "output_image_tokens", "cached_audio_tokens": "cache_audio_read_tokens", "audio_seconds": "audio_seconds",
    "web_search_requests": "web_searches", "pages": "input_document_pages", "search_units": "rerank_searches",
    "input_characters": "input_characters", "citation_tokens": "output_citation_tokens",
}


def counts_of(expect):
    extra = expect.get("extra", {})
    usage = {
        "input_tokens": expect["input_tokens"], "output_tokens": expect["output_tokens"], "cache_read_tokens": expect["cached_input_tokens"],
        "cache_write_tokens": expect["cache_write_tokens"], "cache_write_1h_tokens": expect["cache_write_1h_tokens"],
        "output_reasoning_tokens": expect["reasoning_tokens"],
    }
    for ours, theirs in EXTRA_COUNTS.items():
        value = expect.get(ours) or extra.get(ours)
        if value:
            usage[theirs] = float(value) if "." in str(value) else int(value)
    if not usage["output_tokens"]:
        usage["output_images"] = expect["images"]  # sold by the piece
    return {k: v for k, v in usage.items() if v}


def models_of(case, row):
    """Under which names a call may be in the book, the surest first."""
    asked = json.loads(case["request_body"]).get("model") if case["request_body"].startswith("{") else None
    return [m for m in ((row["extra"] or {}).get("priced_as"), case["expect"]["model"], asked) if m]


def price_of(proxy, case, model, tmp_path):
    """Nano-USD by the command line, or None where the book has no price for the model."""
    extra = case["expect"].get("extra", {})
    own = OWN_NAMES.get(case["provider"], {}).get("models", {})
    question = {
        "id": case["id"], "provider": PRICE_IDS.get(case["provider"], case["provider"]), "model": own.get(model, model),
        "usage": counts_of(case["expect"]), **{k: extra[k] for k in ("service_tier", "speed", "inference_geo") if k in extra},
    }
    path = tmp_path / "price.jsonl"
    path.write_text(json.dumps(question) + "\n")
    answer = json.loads(proxy.cli("price", "--jsonl", path, check=False).stdout or "{}")
    if not answer.get("usd"):
        return None
    whole, _, part = answer["usd"].partition(".")
    nano = int(whole) * 10**9 + int((part + "0" * 9)[:9])
    return nano + (1 if part[9:].strip("0") else 0)


def reported_cost(case):
    """What the vendor says it charges; with a key of the customer's own, its vendor charges too."""
    text = case["expect"].get("extra", {}).get("provider_cost_usd")
    if text is None:
        return None
    usage = json.loads(case["response_body"]).get("usage", {}) if case["response_body"].startswith("{") else {}
    own = usage.get("cost_details", {}).get("upstream_inference_cost") if usage.get("is_byok") else None
    return nanousd(text) + nanousd(own or 0)


def is_free(case):
    """Refused calls, questions about tokens, moderation: known, and without a bill."""
    return case["expect"]["requests"] == 0 or case["path"].endswith("/moderations")


def net_row(proxy, rows):
    """The bill that `rows` tell: the one row, or the row that they correct with all its corrections."""
    corrected = [r["corrects"] for r in rows if r.get("corrects")]
    if not corrected:
        (row,) = rows
        return row
    chain = [r for r in proxy.ledger() if corrected[0] in (r["id"], r.get("corrects"))]
    net = dict(rows[-1], flags=[f for f in rows[-1]["flags"] if f != "late"])
    for name in [*COUNTS.values(), "requests"]:
        net[name] = sum(r[name] for r in chain)
    net["usd"] = f"{sum(nanousd(r['usd']) for r in chain) / 10**9:.9f}"
    return net


def is_beyond_money(expect):
    """More tokens than 2^63 nano-dollars pay for."""
    return max(expect["input_tokens"] or 0, expect["output_tokens"] or 0) > 10**15


def assert_figures(row, expect):
    got = {ours: row[theirs] for ours, theirs in COUNTS.items()}
    assert got == {ours: expect[ours] for ours in COUNTS}, row
    assert row["requests"] == expect["requests"], row
    assert not {"estimated", "upstream_cut"} & set(row["flags"]), row
    assert ("stream" in row["flags"]) == expect["stream"], row


def assert_cost(proxy, case, row, tmp_path):
    told = reported_cost(case)
    if told is not None:
        assert (nanousd(row["usd"]), row["source"]) == (told, "reported"), row
        return
    assert row["source"] == "usage", row
    prices = [price_of(proxy, case, m, tmp_path) for m in models_of(case, row)]
    price = next((p for p in prices if p is not None), None)
    if price is None:
        assert "no_price" in row["flags"] or nanousd(row["usd"]) == 0, row
    elif not case["expect"].get("extra", {}).get("other_models"):
        assert nanousd(row["usd"]) == price, (row, counts_of(case["expect"]))


@pytest.mark.parametrize("case", list(params()))
def test_recorded_exchange(proxy, recorded, case, tmp_path):
    expect = case["expect"]
    recorded.case = case
    before = len(proxy.ledger())
    asked = len(recorded.requests)
    answer = exchange(proxy, case)
    assert answer is not None and len(recorded.requests) == asked + 1, answer and answer.body
    assert (answer.status, answer.body) == (case["response_status"], body_of(case))
    assert recorded.requests[-1][1] == case["request_body"].encode()
    rows = new_rows(proxy, before, not is_free(case))
    if is_free(case):
        assert sum(nanousd(r["usd"]) for r in rows) == 0, rows
        return
    row = net_row(proxy, rows)
    if expect["complete"] and not is_beyond_money(expect):
        assert_figures(row, expect)
        assert_cost(proxy, case, row, tmp_path)
        return
    assert row["source"] not in ("usage", "reported"), row
    assert {"estimated", "pending"} & set(row["flags"]), row
    if not expect["complete"]:  # what the vendor did report is a floor
        assert row["input_tokens"] >= (expect["input_tokens"] or 0) and row["output_tokens"] >= (expect["output_tokens"] or 0), json.dumps(row)


def test_every_row_is_what_the_book_says(proxy):
    """`bursar verify` prices all that was replayed again, from the rows alone."""
    proxy.wait_settled()
    done = proxy.cli("verify", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
