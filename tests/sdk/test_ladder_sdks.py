"""Each rung of the ladder as the developer of an application meets it: official SDKs, unmodified, with their own retries.

`SEEN=FILE` writes down what was seen, for the README's "what your application sees"."""

import json
import os
import shutil
import sys

import pytest

from harness import budget
from test_sdks import HERE, NODE_DIR, base_urls, clean_environment, node, run  # noqa: F401

ALL = {"openai chat", "openai responses", "anthropic", "google"}
RETRIED = ALL - {"google"}  # Google's SDKs try once
EVERY = {"per": ["tag.sdk"]}


@pytest.fixture(params=["python", "node"])
def calls(request):
    """Runs the four calls against a bursar: language, way ("unary", "stream"), tokens that the vendor would write."""
    if request.param == "node":
        request.getfixturevalue("node")
        shutil.copy(HERE / "ladder_calls.mjs", NODE_DIR / "ladder_calls.mjs")

    def make(bursar, way="unary", out=16, pause_ms=0):
        arguments = [way, str(out), str(pause_ms)]
        program = ["node", "ladder_calls.mjs"] if request.param == "node" else [sys.executable, str(HERE / "ladder_calls.py")]
        results = run(program + arguments, clean_environment(**base_urls(bursar.proxy)))
        assert results.keys() == ALL
        if os.environ.get("SEEN"):
            with open(os.environ["SEEN"], "a", encoding="utf-8") as f:
                f.write(json.dumps({"test": request.node.name, "results": results}) + "\n")
        return results

    return make


def is_answer(result):
    return "raised" not in result and result["attempts"][-1]["status"] == 200


def test_throttle_is_an_answer_that_comes_later(start_bursar, calls):
    step = {"at": "50%", "do": "throttle", "max_delay": "400ms"}
    bursar = start_bursar({"budgets": [budget("0.000000001 USD", name="slow", mode="soft", steps=[step])]})
    for name, seen in calls(bursar).items():
        assert is_answer(seen), (name, seen)
        (attempt,) = seen["attempts"]
        assert 300 <= int(attempt["x-bursar-delayed"]) <= 400 and seen["seconds"] >= 0.3, (name, seen)


def test_pace_is_waited_for_by_the_sdk_itself(start_bursar, calls):
    step = {"at": "0.0001%", "do": "pace", "rate": "0.006 USD", "burst": "1s", "max_wait": "1ms"}
    bursar = start_bursar({"budgets": [budget("1000 USD", name="even", mode="soft", steps=[step])]})
    results = calls(bursar, out=40)
    assert any(seen["attempts"][0]["status"] == 429 for seen in results.values())
    for name, seen in results.items():
        first = seen["attempts"][0]
        if first["status"] == 429:
            assert 1 <= int(first["retry-after"]) <= 60 and first["x-should-retry"] == "true", (name, seen)
            assert is_answer(seen) or seen["status"] == 429, (name, seen)
            assert len(seen["attempts"]) > 1 or name not in RETRIED, (name, seen)


def test_degrade_is_another_models_answer(start_bursar, calls):
    cheaper = {"gpt-4.1": "gpt-4.1-mini", "claude-sonnet-*": "claude-haiku-4-5", "gemini-2.5-flash-lite": "gemini-flash-1.5-8b"}
    step = {"at": "1%", "do": "degrade", "map": cheaper}
    bursar = start_bursar({"budgets": [budget("0.000001 USD", name="thrifty", mode="soft", steps=[step])]})
    for name, seen in calls(bursar).items():
        assert is_answer(seen), (name, seen)
        (attempt,) = seen["attempts"]
        asked = attempt["x-bursar-degraded-from"]
        target = next(to for model, to in cheaper.items() if asked.startswith(model.rstrip("*")))
        assert seen["model"].startswith(target), (name, seen)


def test_clamp_is_an_answer_cut_at_its_token_limit(start_bursar, calls):
    bursar = start_bursar({"budgets": [budget("700 tokens", name="short", **EVERY)]})
    ends = {"openai chat": "length", "openai responses": "incomplete", "anthropic": "max_tokens", "google": "MAX_TOKENS"}
    for name, seen in calls(bursar, out=2000).items():
        assert is_answer(seen), (name, seen)
        (attempt,) = seen["attempts"]
        assert seen["end"] == ends[name], (name, seen)
        field, tokens = attempt["x-bursar-clamped"].split("=")
        assert field and 256 <= int(tokens) < 700, (name, seen)


def test_block_is_raised_at_once(start_bursar, calls):
    bursar = start_bursar({"budgets": [budget("3 tokens", name="gone", **EVERY)]})
    for name, seen in calls(bursar).items():
        assert seen["status"] == 402 and "gone" in seen["text"], (name, seen)
        (attempt,) = seen["attempts"]
        assert attempt["x-should-retry"] == "false" and "retry-after" not in attempt, (name, seen)
        assert attempt["x-bursar-budget"] == "gone", (name, seen)


def test_the_end_of_the_money_in_a_stream(start_bursar, calls):
    """An error that says so, or an answer that ends as at its token limit: never a short answer that looks whole."""
    bursar = start_bursar({"budgets": [budget("300 tokens", name="drained", hold="growing", **EVERY)]})
    for name, seen in calls(bursar, way="stream", out=600, pause_ms=2).items():
        if name == "openai responses":
            assert (seen["end"], seen["why"]) == ("incomplete", "max_output_tokens"), seen
        else:
            assert "raised" in seen and "drained" in seen["text"], (name, seen)
        assert len(seen["attempts"]) == 1, (name, seen)
    bursar.wait_settled()
    assert {row["extra"]["end"] for row in bursar.ledger()} == {"budget_cut"}


def test_a_stop_is_raised_at_once(start_bursar, calls):
    bursar = start_bursar()
    bursar.cli("stop", "--everything", "--reason", "an agent ran away")
    for name, seen in calls(bursar).items():
        assert seen["status"] == 402 and "an agent ran away" in seen["text"], (name, seen)
        assert len(seen["attempts"]) == 1, (name, seen)
