"""The vendors' own SDKs through bursar: the same answers as without it, and errors that they do not retry."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from harness import ROOT, SANITIZED, budget, nanousd, wait_for

HERE = pathlib.Path(__file__).parent
NODE_DIR = pathlib.Path(os.environ.get("BURSAR_SDK_NODE", ROOT / "build" / "sdk-node"))
LIMIT = 300 if SANITIZED else 120


def clean_environment(**more):
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")}
    return {
        **keep, "OPENAI_API_KEY": "sk-client", "ANTHROPIC_API_KEY": "sk-ant-client", "GEMINI_API_KEY": "g-client",
        "NO_PROXY": "", **more,
    }


def base_urls(port):
    root = f"http://127.0.0.1:{port}"
    return {
        "OPENAI_BASE_URL": f"{root}/openai/v1", "ANTHROPIC_BASE_URL": f"{root}/anthropic",
        "GOOGLE_GEMINI_BASE_URL": f"{root}/gemini",
    }


def direct_urls(vendor):
    root = f"http://127.0.0.1:{vendor.plain}"
    return {"OPENAI_BASE_URL": f"{root}/v1", "ANTHROPIC_BASE_URL": root, "GOOGLE_GEMINI_BASE_URL": root}


def run(args, environment):
    done = subprocess.run(args, env=environment, capture_output=True, text=True, timeout=LIMIT, cwd=NODE_DIR if args[0] == "node" else HERE)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def python_calls(**environment):
    return run([sys.executable, str(HERE / "python_calls.py")], clean_environment(**environment))


def node_calls(*node_options, **environment):
    return run(["node", *node_options, "node_calls.mjs"], clean_environment(**environment))


@pytest.fixture(scope="session")
def node():
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"the vendors' SDKs need Node 20, this is {version.strip()}")
    for script in ("node_calls.mjs", "node_proxy.mjs"):
        shutil.copy(HERE / script, NODE_DIR / script)
    return version


def assert_same(through, direct):
    failed = {k: v for k, v in direct.items() if isinstance(v, dict) and "raised" in v}
    assert not failed, f"the SDK does not understand the test vendor: {failed}"
    assert through.keys() == direct.keys()
    for name in direct:
        assert through[name] == direct[name], name


def assert_billed(bursar, vendor, names):
    bursar.wait_settled()
    rows, bills = bursar.ledger(), vendor.bill()
    assert sorted(nanousd(r["usd"]) for r in rows) == sorted(bills[n]["nanousd"] for n in names if n in bills)
    assert {r["source"] for r in rows} <= {"usage", "reported"}


def forward_proxy(bursar, key=None):
    user = f"app:{key}@" if key else ""
    return {
        "HTTPS_PROXY": f"http://{user}127.0.0.1:{bursar.proxy}", "https_proxy": f"http://{user}127.0.0.1:{bursar.proxy}",
        "SSL_CERT_FILE": str(bursar.ca_bundle), "NODE_EXTRA_CA_CERTS": str(bursar.ca_pem),
    }


def test_python_sdks_through_the_gateway(vendor, bursar):
    direct = python_calls(**direct_urls(vendor))
    assert_same(python_calls(**base_urls(bursar.proxy)), direct)
    assert_billed(bursar, vendor, direct)


def test_python_sdks_through_https_proxy(vendor, vendor443, intercepting):
    bursar = intercepting({"auth": {"require_key": True}, "providers": {"openai": {"api_key": None}}})
    direct = python_calls(**direct_urls(vendor))
    through = python_calls(**forward_proxy(bursar, bursar.create_key("python")))
    assert_same(through, direct)
    assert_billed(bursar, vendor443, direct)
    assert {r["key"] for r in bursar.ledger()} == {"python"}


def test_node_sdks_through_the_gateway(vendor, bursar, node):
    direct = node_calls(**direct_urls(vendor))
    assert_same(node_calls(**base_urls(bursar.proxy)), direct)
    assert_billed(bursar, vendor, direct)


def test_node_sdks_through_https_proxy(vendor, vendor443, intercepting, node):
    bursar = intercepting({"auth": {"require_key": True}})
    direct = node_calls(**direct_urls(vendor))
    through = node_calls("--import", "./node_proxy.mjs", **forward_proxy(bursar, bursar.create_key("node")))
    assert_same(through, direct)
    assert_billed(bursar, vendor443, direct)


def refusals(bursar):
    return [line for line in bursar.log_lines() if line.get("event") == "request" and line.get("refusal")]


def assert_one_attempt_each(bursar, results):
    metered = {k: v for k, v in results.items() if k not in ("openai-models", "anthropic-count")}
    assert all("raised" in v for v in metered.values()), metered
    assert {v["status"] for v in metered.values()} == {402}, metered
    wait_for(lambda: len(refusals(bursar)) >= len(metered), "the log")
    lines = refusals(bursar)
    assert len(lines) == len(metered), "an SDK tried again although the money is gone"
    assert {line["status"] for line in lines} == {402} or all(line["refusal"] == "budget_exceeded" for line in lines)


@pytest.fixture
def spent(start_bursar):
    return start_bursar({"budgets": [budget("0.000000001 USD", name="gone")]})


def test_python_sdks_raise_at_once_when_the_budget_is_spent(vendor, spent):
    results = python_calls(**base_urls(spent.proxy))
    assert_one_attempt_each(spent, results)
    assert vendor.totals()["begun"] == 0
    assert results["openai-chat"]["code"] == "budget_exceeded"
    assert "gone" in results["anthropic"]["text"]


def test_node_sdks_raise_at_once_when_the_budget_is_spent(vendor, spent, node):
    results = node_calls(**base_urls(spent.proxy))
    assert_one_attempt_each(spent, results)
    assert vendor.totals()["begun"] == 0


# --- other clients ------------------------------------------------------------------------------------------------------

CODE_HEADERS = [
    "anthropic-version: 2023-06-01", "anthropic-beta: claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14",
    "x-app: cli", "user-agent: claude-cli/2.0 (external, cli)", "content-type: application/json", "accept: application/json",
    "x-stainless-retry-count: 0", "x-stainless-lang: js",
]


def code_body(stream):
    return {
        "model": "claude-sonnet-4-6", "max_tokens": 32000 if stream else 1024, "stream": stream,
        "system": [{"type": "text", "text": "You write code.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]}],
        "tools": [{"name": "Bash", "description": "Runs a command", "input_schema": {
            "type": "object", "properties": {"command": {"type": "string"}, "max_tokens": {"type": "integer"}}}}],
        "metadata": {"user_id": "user_1"},
    }


def curl(*args):
    done = subprocess.run(["curl", "-sS", "--max-time", "30", *args], capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_coding_agent_counts_then_streams(vendor, bursar):
    """The calls of a coding agent: count_tokens first, ?beta=true, many beta headers, prompt caching, a long stream."""
    from harness import call

    fields = dict(h.split(": ", 1) for h in CODE_HEADERS) | {"Authorization": "Bearer sk-ant-oat-x"}
    counting = {k: v for k, v in code_body(False).items() if k not in ("max_tokens", "stream", "metadata")}
    counted = call(bursar.proxy, "/anthropic/v1/messages/count_tokens?beta=true", counting, headers=fields)
    assert counted.status == 200 and counted.json()["input_tokens"] > 0
    more = {"x-vendor-call": "agent", "x-vendor-out": "300", "x-vendor-cached": "3", "x-vendor-cache-write": "2"}
    answer = call(bursar.proxy, "/anthropic/v1/messages?beta=true", code_body(True), headers=fields | more)
    assert answer.status == 200 and b"message_stop" in answer.body
    head = vendor.last_head()
    seen = {n.lower(): v for n, v in head["fields"]}
    assert head["target"] == "/v1/messages?beta=true"
    assert seen["anthropic-beta"] == fields["anthropic-beta"] and seen["x-app"] == "cli"
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert nanousd(row["usd"]) == vendor.bill()["agent"]["nanousd"]
    assert (row["cached_tokens"], row["cache_write_tokens"]) == (3, 2)


def test_curl_through_the_forward_proxy(vendor443, intercepting):
    bursar = intercepting({"auth": {"require_key": True}})
    key = bursar.create_key("curl")
    body = json.dumps({"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "x"}]})
    common = ["--proxy", f"http://127.0.0.1:{bursar.proxy}", "--cacert", str(bursar.ca_pem), "https://api.openai.com/v1/chat/completions",
              "-H", "content-type: application/json", "-d", body]
    answer = json.loads(curl("--proxy-user", f"me:{key}", *common))
    assert answer["object"] == "chat.completion"
    answer = json.loads(curl("--proxy-header", f"Proxy-Authorization: Bearer {key}", *common))
    assert answer["object"] == "chat.completion"
    bursar.wait_settled()
    assert [r["key"] for r in bursar.ledger()] == ["curl", "curl"]


def test_curl_that_uploads_with_100_continue(vendor, bursar, tmp_path):
    path = tmp_path / "body.json"
    path.write_text(json.dumps({"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "x" * 2_000_000}]}))
    answer = json.loads(curl("-T", str(path), "-X", "POST", "-H", "Expect: 100-continue", "-H", "content-type: application/json",
                             f"http://127.0.0.1:{bursar.proxy}/openai/v1/chat/completions"))
    assert answer["usage"]["prompt_tokens"] > 500_000 / 4


def test_curl_streams_without_delay_of_the_first_words(bursar):
    body = json.dumps({"model": "gpt-4.1-mini", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    out = curl("-N", "-H", "x-vendor-chunk-ms: 20", "-o", "/dev/null", "-w", "%{time_starttransfer} %{time_total}", "-d", body,
               f"http://127.0.0.1:{bursar.proxy}/openai/v1/chat/completions")
    first, total = map(float, out.split())
    assert first < total / 2, out
