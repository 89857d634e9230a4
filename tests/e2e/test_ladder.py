"""The ladder: calls that do not fit are bent before they are refused. Judged by what the vendor got, and billed."""

import concurrent.futures
import json
import threading
import time

import pytest

import harness
from harness import (CHAT, GENERATE, MESSAGES, RESPONSES, budget, call, chat, gemini, merge, messages, nanousd, sellers,
                     wait_for)

ASK = [{"role": "user", "content": "What is counted before it leaves, and what after?"}]
BLOCKS = [{"role": "user", "content": [{"text": "What is counted before it leaves?"}]}]
NOVA = "/bedrock/model/amazon.nova-lite-v1%3A0"
CLAUDE = "/bedrock/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0"
THINKING = {"type": "enabled", "budget_tokens": 8000}
NOBODY_ALERTS = {"do": "block", "at": "100%"}


def usd(nano):
    return f"{nano // 10**9}.{nano % 10**9:09d} USD"


def asked(model, **more):
    return {"model": model, "messages": ASK, **more}


def own(config, vendor):
    """The usual configuration, and the other vendors beside it."""
    return merge(sellers(vendor), config)


def steps(*rungs, mode="hard", limit="100 USD", name="ladder", **more):
    return budget(limit, name=name, mode=mode, steps=list(rungs), **more)


class Caller:
    """Calls with a name each, whose row and whose bill are found again."""

    def __init__(self, bursar, vendor):
        self.bursar, self.vendor, self.n = bursar, vendor, 0
        self.lock = threading.Lock()

    def __call__(self, path, body, out=16, timeout=60, **headers):
        with self.lock:
            self.n += 1
            name = f"{self.bursar.dir.name}-{self.n}"
        fields = {"x-vendor-call": name, "x-vendor-out": str(out), "authorization": "Bearer client-key"}
        fields |= {k.replace("_", "-"): str(v) for k, v in headers.items()}
        answer = call(self.bursar.proxy, path, body, headers=fields, timeout=timeout)
        answer.name = name
        return answer

    def bill(self, answer):
        return self.vendor.bill()[answer.name]

    def row(self, answer):
        def its():
            return [r for r in self.bursar.ledger() if "req_" + r["id"].removeprefix("req_") == answer["x-bursar-request-id"]]

        (row,) = wait_for(its, "the call's row")
        return row


@pytest.fixture
def start(start_bursar, vendor):
    def start(*budgets, name="bursar", **more):
        return Caller(start_bursar(own({"budgets": list(budgets), **more}, vendor), name=name), vendor)

    return start


def hold_of(start, path, body):
    """What such a call holds when nothing is done about it."""
    probe = start(budget("1000 USD"), name="probe")
    answer = probe(path, body, out=1)
    assert answer.status == 200, answer.body
    row = probe.row(answer)
    assert probe.bursar.stop() == 0
    return nanousd(row["held_usd"])


def extra(row):
    return row["extra"] if isinstance(row["extra"], dict) else json.loads(row["extra"] or "{}")


# --- clamp ------------------------------------------------------------------------------------------------------------

# name -> (path, body with room for 600 tokens, the same with far too many or none, field in the vendor's words)
CLAMPS = {
    "chat": ("/openai" + CHAT, chat(600), chat(30000), "max_tokens"),
    "chat-new-name": (
        "/openai" + CHAT, asked("gpt-5-mini", max_completion_tokens=600), asked("gpt-5-mini", max_completion_tokens=90000),
        "max_completion_tokens"),
    "chat-no-bound": ("/openai" + CHAT, asked("gpt-4.1-mini", max_tokens=600), asked("gpt-4.1-mini"), "max_completion_tokens"),
    "chat-stream": (
        "/openai" + CHAT, chat(600, stream=True), chat(30000, stream=True), "max_tokens"),
    "chat-n": ("/openai" + CHAT, chat(600, n=3), chat(30000, n=3), "max_tokens"),
    "responses": (
        "/openai" + RESPONSES, {"model": "gpt-4.1-mini", "input": "Say something.", "max_output_tokens": 600},
        {"model": "gpt-4.1-mini", "input": "Say something."}, "max_output_tokens"),
    "messages": ("/anthropic" + MESSAGES, messages(600), messages(60000), "max_tokens"),
    "messages-thinking": (
        "/anthropic" + MESSAGES, messages(4000), messages(16000, thinking=THINKING), "max_tokens"),
    "generate": ("/gemini" + GENERATE, gemini(600), gemini(60000), "maxOutputTokens"),
    "generate-no-config": (
        "/gemini" + GENERATE, gemini(600), {"contents": gemini()["contents"]}, "maxOutputTokens"),
    "generate-thinking": (
        "/gemini" + GENERATE, gemini(2000),
        {"contents": gemini()["contents"], "generationConfig": {"thinkingConfig": {"thinkingBudget": 8000}}}, "maxOutputTokens"),
    "converse": (
        NOVA + "/converse", {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 600}},
        {"messages": BLOCKS, "inferenceConfig": {"temperature": 0.1}}, "maxTokens"),
    "converse-thinking": (
        CLAUDE + "/converse", {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 4000}},
        {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 16000},
         "additionalModelRequestFields": {"thinking": THINKING}}, "maxTokens"),
    "invoke-claude": (
        CLAUDE + "/invoke", {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 600, "messages": ASK},
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 60000, "messages": ASK}, "max_tokens"),
    "cohere": (
        "/cohere/v2/chat", asked("command-a-03-2025", max_tokens=600), asked("command-a-03-2025", max_tokens=4000), "max_tokens"),
    "mistral": (
        "/mistral/v1/chat/completions", asked("mistral-small-2603", max_tokens=600), asked("mistral-small-2603"), "max_tokens"),
    "openrouter-reasoning": (
        "/openrouter/api/v1/chat/completions", asked("openai/gpt-4.1-mini", max_tokens=4000),
        asked("openai/gpt-4.1-mini", max_tokens=16000, reasoning={"max_tokens": 8000}), "max_tokens"),
    "ollama": (
        "/ollama/api/chat", {"model": "llama3.2", "messages": ASK, "stream": False, "options": {"num_predict": 600}},
        {"model": "llama3.2", "messages": ASK, "stream": False, "options": {"num_predict": 9000}}, "num_predict"),
}


@pytest.mark.parametrize("case", CLAMPS)
def test_output_is_bounded_to_what_the_budget_can_pay(start, vendor, case):
    path, fits, too_long, field = CLAMPS[case]
    limit = hold_of(start, path, fits)
    before = vendor.totals()["nanousd"]
    caller = start(steps({"do": "clamp", "at": "50%"}, NOBODY_ALERTS, limit=usd(limit)))
    answer = caller(path, too_long, out=100000)
    assert answer.status == 200, answer.body
    name, _, n = answer["x-bursar-clamped"].partition("=")
    bill, row = caller.bill(answer), caller.row(answer)
    assert name == field and bill["max_out"] == int(n) >= 256
    assert bill["output"] == int(n) * (3 if case == "chat-n" else 1), "the vendor honours it"
    assert vendor.totals()["nanousd"] - before == bill["nanousd"] <= limit
    assert nanousd(row["usd"]) == bill["nanousd"] <= nanousd(row["held_usd"]) <= limit
    assert extra(row)["clamped"] == int(n)
    if "thinking" in case or "reasoning" in case:
        assert 512 <= bill["thinking"] < int(n)
        assert bill["thinking"] * 2 <= max(int(n) + 1, 2 * 1024), "half of it was to be thought, as before"


def test_a_call_that_fits_is_not_touched(start):
    caller = start(steps({"do": "clamp", "at": "1%"}, NOBODY_ALERTS, limit="10 USD"))
    answer = caller("/openai" + CHAT, chat(600), out=1000)
    assert answer["x-bursar-clamped"] is None and caller.bill(answer)["max_out"] == 600
    unbounded = caller("/openai" + CHAT, asked("gpt-4.1-mini"), out=10)
    assert unbounded.status == 200 and caller.bill(unbounded)["max_out"] == -1


def test_less_than_min_out_is_no_answer(start):
    limit = hold_of(start, "/openai" + CHAT, chat(600))
    caller = start(steps({"do": "clamp", "at": "50%", "min_out": 5000}, NOBODY_ALERTS, limit=usd(limit)))
    refused = caller("/openai" + CHAT, chat(30000))
    assert refused.status == 402 and refused["x-bursar-clamped"] is None
    # a budget that has no such step refuses at once
    blunt = start(steps(NOBODY_ALERTS, limit=usd(limit)), name="blunt")
    assert blunt("/openai" + CHAT, chat(30000)).status == 402


def test_thinking_that_leaves_no_answer_is_refused(start, vendor):
    limit = hold_of(start, "/anthropic" + MESSAGES, messages(900))
    caller = start(steps({"do": "clamp", "at": "50%"}, NOBODY_ALERTS, limit=usd(limit)))
    hits = vendor.hits()
    assert caller("/anthropic" + MESSAGES, messages(16000, thinking=THINKING)).status == 402
    assert vendor.hits() == hits
    plain = caller("/anthropic" + MESSAGES, messages(16000), out=10)
    assert plain.status == 200 and 256 <= caller.bill(plain)["max_out"] < 1024


def test_tokens_are_clamped_as_money_is(start):
    caller = start(steps({"do": "clamp"}, NOBODY_ALERTS, limit="900 tokens"))
    answer = caller("/openai" + CHAT, chat(30000), out=30000)
    assert answer.status == 200
    bill = caller.bill(answer)
    assert 256 <= bill["max_out"] == bill["output"] <= 900 and bill["output"] + bill["fresh"] <= 900
    caller.bursar.wait_settled()
    assert int(caller.bursar.budget("ladder")["spent"]) <= 900


def test_requests_cannot_be_fewer(start):
    caller = start(steps({"do": "clamp"}, NOBODY_ALERTS, limit="1 requests"))
    assert caller("/openai" + CHAT, chat(600)).status == 200
    assert caller("/openai" + CHAT, chat(600)).status == 402


def test_compressed_bodies_are_bent_too(start, vendor):
    import gzip

    limit = hold_of(start, "/openai" + CHAT, chat(600))
    caller = start(steps({"do": "clamp"}, NOBODY_ALERTS, limit=usd(limit)))
    answer = caller("/openai" + CHAT, gzip.compress(json.dumps(chat(30000)).encode()), out=30000, content_encoding="gzip")
    assert answer.status == 200, answer.body
    assert 256 <= caller.bill(answer)["max_out"] == int(answer["x-bursar-clamped"].split("=")[1])


def test_usage_is_asked_for_and_the_output_bounded_in_one_body(start):
    """Two members at the same place."""
    limit = hold_of(start, "/openai" + CHAT, asked("gpt-4.1-mini", max_tokens=600, stream=True))
    caller = start(steps({"do": "clamp"}, NOBODY_ALERTS, limit=usd(limit), hold="worst"))
    answer = caller("/openai" + CHAT, asked("gpt-4.1-mini", stream=True), out=30000)
    assert answer.status == 200, answer.body
    bill, row = caller.bill(answer), caller.row(answer)
    assert 256 <= bill["max_out"] == bill["output"] and bill["nanousd"] <= limit
    assert nanousd(row["usd"]) == bill["nanousd"] and b'"usage"' not in answer.body


def test_money_that_is_only_held_is_worth_waiting_for(start, vendor):
    """A call is refused for the least answer that it would take, not for all that it asked for."""
    path = "/openai" + CHAT
    limit = hold_of(start, path, chat(4000))
    caller = start(steps({"do": "clamp"}, NOBODY_ALERTS, limit=usd(limit)))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(caller, path, chat(4000), 2000, x_vendor_delay_ms=1500)
        wait_for(lambda: caller.bursar.held() > 0, "the first call to hold")
        second = caller(path, chat(4000))
        assert second.status == 429 and 1 <= int(second["retry-after"]) <= 60, second.body
        assert first.result().status == 200
    caller.bursar.wait_settled()
    third = caller(path, chat(4000), out=4000)
    assert third.status == 200 and third["x-bursar-clamped"]
    assert caller(path, chat(4000)).status == 402


@pytest.mark.parametrize("parallel", [100])
def test_parallel_clamped_calls_use_the_budget_to_its_end(start, vendor, parallel):
    path = "/openai" + CHAT
    worth = hold_of(start, path, chat(256))
    limit = hold_of(start, path, chat(4000)) * 11 // 2
    before = vendor.totals()["nanousd"]
    caller = start(steps({"do": "clamp"}, NOBODY_ALERTS, limit=usd(limit)))
    gate = threading.Barrier(parallel)

    def client(i):
        gate.wait()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            answer = caller(path, chat(4000), out=50 + 37 * i, x_vendor_delay_ms=30)
            if answer.status != 429:
                return answer
            time.sleep(0.1)
        raise AssertionError("held for ever")

    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        answers = list(pool.map(client, range(parallel)))
    assert {a.status for a in answers} == {200, 402}
    caller.bursar.wait_settled()
    billed = vendor.totals()["nanousd"] - before
    clamped = [a for a in answers if a["x-bursar-clamped"]]
    print(f"limit {limit}, billed {billed}, left {limit - billed}, min_out costs {worth}, "
          f"answered {sum(a.status == 200 for a in answers)}, clamped {len(clamped)}")
    assert billed <= limit and limit - billed < worth
    assert clamped
    assert caller.bursar.held() == 0 and nanousd(caller.bursar.budget("ladder")["spent"]) == billed


def test_default_max_out_is_put_where_none_is(start):
    caller = start(steps(NOBODY_ALERTS, limit="100 USD", default_max_out=700))
    answer = caller("/openai" + CHAT, asked("gpt-4.1-mini"), out=5000)
    assert caller.bill(answer)["max_out"] == 700 == caller.bill(answer)["output"]
    assert answer["x-bursar-clamped"] == "max_completion_tokens=700"
    kept = caller("/openai" + CHAT, chat(30000), out=5000)
    assert caller.bill(kept)["max_out"] == 30000 and kept["x-bursar-clamped"] is None
    other = caller("/gemini" + GENERATE, {"contents": gemini()["contents"]}, out=5000)
    assert caller.bill(other)["max_out"] == 700


# --- degrade ----------------------------------------------------------------------------------------------------------

MAP = {
    "gpt-4.1": "gpt-4.1-mini", "claude-sonnet-4-6": "claude-haiku-4-5", "gemini-2.5-flash-lite": "gemini-flash-1.5-8b",
    "amazon.nova-lite-v1:0": "amazon.nova-micro-v1:0", "command-a-03-2025": "command-r7b-12-2024",
    "mistral-small-2603": "ministral-8b-2512", "llama3.3": "llama3.2",
}
VERTEX = "/vertex/v1/projects/p1/locations/us-central1/publishers/google/models/gemini-2.5-flash-lite:generateContent"
# name -> (path, body, model asked for, model called, that model in the path as sent)
DEGRADES = {
    "chat": ("/openai" + CHAT, chat(100, model="gpt-4.1"), "gpt-4.1", None),
    "chat-stream": ("/openai" + CHAT, chat(100, model="gpt-4.1", stream=True), "gpt-4.1", None),
    "responses": ("/openai" + RESPONSES, {"model": "gpt-4.1", "input": "Say.", "max_output_tokens": 100}, "gpt-4.1", None),
    "messages": ("/anthropic" + MESSAGES, messages(100, model="claude-sonnet-4-6"), "claude-sonnet-4-6", None),
    "generate": ("/gemini" + GENERATE, gemini(100), "gemini-2.5-flash-lite", "/v1beta/models/gemini-flash-1.5-8b:generateContent"),
    "generate-query": (
        "/gemini/v1beta/models/gemini-2.5-flash-lite:streamGenerateContent?alt=sse", gemini(100), "gemini-2.5-flash-lite",
        "/v1beta/models/gemini-flash-1.5-8b:streamGenerateContent?alt=sse"),
    "vertex": (VERTEX, gemini(100), "gemini-2.5-flash-lite", "/models/gemini-flash-1.5-8b:generateContent"),
    "converse": (
        NOVA + "/converse", {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 100}}, "amazon.nova-lite-v1:0",
        "/model/amazon.nova-micro-v1%3A0/converse"),
    "cohere": ("/cohere/v2/chat", asked("command-a-03-2025", max_tokens=100), "command-a-03-2025", None),
    "mistral": ("/mistral/v1/chat/completions", asked("mistral-small-2603", max_tokens=100), "mistral-small-2603", None),
    "ollama": (
        "/ollama/api/chat", {"model": "llama3.3", "messages": ASK, "stream": False, "options": {"num_predict": 100}}, "llama3.3",
        None),
}
LLAMAS = {"providers": {"ollama": {"models": {"llama3.3": "llama-3.3-70b-versatile"}}}}


@pytest.mark.parametrize("case", DEGRADES)
def test_another_model_is_called_and_billed(start, vendor, case):
    path, body, model, sent = DEGRADES[case]
    caller = start(steps({"do": "degrade", "at": "0.0001%", "map": MAP}, NOBODY_ALERTS, limit="1 USD"), **LLAMAS)
    answer = caller(path, body, out=20)
    assert answer.status == 200, answer.body
    bill, row = caller.bill(answer), caller.row(answer)
    assert answer["x-bursar-degraded-from"] == model
    assert bill["model"] == MAP[model] == row["model"]
    assert extra(row)["degraded_from"] == model
    assert nanousd(row["usd"]) == bill["nanousd"] <= nanousd(row["held_usd"])
    if sent:
        assert vendor.last_head()["target"].endswith(sent), vendor.last_head()


def test_deployments_have_their_place_in_the_path(start, vendor):
    path = "/azure/openai/deployments/gpt-4.1-mini/chat/completions?api-version=2025-04-01-preview"
    caller = start(steps({"do": "degrade", "at": "0.0001%", "map": {"gpt-4.1-mini": "phi-4"}}, NOBODY_ALERTS, limit="1 USD"))
    answer = caller(path, {"messages": ASK, "max_tokens": 100}, out=20)
    assert answer.status == 200, answer.body
    assert vendor.last_head()["target"].endswith("/openai/deployments/phi-4/chat/completions?api-version=2025-04-01-preview")
    assert caller.bill(answer)["model"] == "phi-4" and answer["x-bursar-degraded-from"] == "gpt-4.1-mini"


def test_long_prompts_are_counted_before_they_are_bent(start):
    """In slices, while the worker serves others: the count belongs to the model that is called."""
    text = "k9 x4 j7 w2 " * 8000  # more tokens than the vendor bills
    path, model = "/openai" + CHAT, "gpt-4.1"
    limit = 80000 * 400 + 600 * 1600
    caller = start(steps({"do": "degrade", "at": "90%", "map": MAP}, {"do": "clamp", "at": "95%"}, NOBODY_ALERTS, limit=usd(limit)))
    fits = caller(path, chat(600, model="gpt-4.1-mini", text=text), out=1)
    assert fits.status == 200 and fits["x-bursar-clamped"] is None, fits.body
    bent = start(steps({"do": "degrade", "at": "90%", "map": MAP}, {"do": "clamp", "at": "95%"}, NOBODY_ALERTS, limit=usd(limit)),
                 name="bent")
    answer = bent(path, chat(30000, model=model, text=text), out=30000)
    assert answer.status == 200 and answer["x-bursar-degraded-from"] == model and answer["x-bursar-clamped"], answer.body
    row, bill = bent.row(answer), bent.bill(answer)
    assert bill["nanousd"] == nanousd(row["usd"]) <= nanousd(row["held_usd"]) <= limit and bill["max_out"] >= 600


def test_a_call_that_is_bent_was_not_refused(start):
    """Nobody is told of a block that did not happen."""
    path = "/openai" + CHAT
    limit = hold_of(start, path, chat(600))
    caller = start(steps({"do": "clamp", "at": "50%"}, {"do": "block", "at": "100%"}, limit=usd(limit)))
    assert caller(path, chat(30000), out=1).status == 200
    caller.bursar.wait_settled()
    assert not [e for e in caller.bursar.log_lines() if e["event"].startswith("budget.")]
    assert caller(path, chat(30000), out=30000).status == 200
    assert caller(path, chat(30000), out=30000).status == 402
    wait_for(lambda: [e for e in caller.bursar.log_lines() if e["event"] == "budget.blocked"], "the block to be told")


def degrading(*more, at="0.0001%", limit="1 USD", map=MAP, **budget_more):
    return steps({"do": "degrade", "at": at, "map": map}, *more, NOBODY_ALERTS, limit=limit, **budget_more)


def test_below_its_step_nothing_is_degraded(start):
    caller = start(degrading(at="90%"))
    answer = caller("/openai" + CHAT, chat(100, model="gpt-4.1"))
    assert caller.bill(answer)["model"] == "gpt-4.1" and answer["x-bursar-degraded-from"] is None


def test_who_forbids_it_is_refused_and_told(start, vendor):
    caller = start(degrading())
    hits = vendor.hits()
    answer = caller("/openai" + CHAT, chat(100, model="gpt-4.1"), x_bursar_no_degrade="1")
    assert answer.status == 402 and answer["x-should-retry"] == "false" and answer["retry-after"] is None
    error = answer.json()["error"]
    assert error["code"] == "budget_exceeded" and "x-bursar-no-degrade" in error["message"] and "gpt-4.1-mini" in error["message"]
    assert answer["x-bursar-budget"] == "ladder" and vendor.hits() == hits
    assert caller("/openai" + CHAT, chat(100, model="gpt-4.1"), x_bursar_no_degrade="0").status == 200
    assert caller("/openai" + CHAT, chat(100), x_bursar_no_degrade="1").status == 200  # nothing was to be changed


def test_no_header_of_ours_goes_on(start, vendor):
    caller = start(degrading())
    caller("/openai" + CHAT, chat(100), x_bursar_no_degrade="1", x_bursar_tags="a=b")
    assert not [name for name, _ in vendor.last_head()["fields"] if name.lower().startswith("x-bursar")]


def test_models_follow_one_another_three_times_at_most(start):
    chain = {"gpt-4o": "gpt-4.1", "gpt-4.1": "gpt-4.1-mini", "gpt-4.1-mini": "gpt-5-mini", "gpt-5-mini": "gpt-3.5-turbo-instruct"}
    caller = start(degrading(map=chain))
    answer = caller("/openai" + CHAT, chat(100, model="gpt-4o"))
    assert answer.status == 200 and answer["x-bursar-degraded-from"] == "gpt-4o"
    assert caller.bill(answer)["model"] == "gpt-5-mini"
    ring = start(degrading(map={"gpt-4o": "gpt-4.1", "gpt-4.1": "gpt-4o"}), name="ring")
    answer = ring("/openai" + CHAT, chat(100, model="gpt-4o"))
    assert ring.bill(answer)["model"] == "gpt-4.1"


def test_a_model_without_a_price_is_never_called(start):
    caller = start(degrading({"do": "clamp"}, map={"gpt-4.1": "house-made-7"}))
    answer = caller("/openai" + CHAT, chat(100, model="gpt-4.1"))
    assert answer.status == 200 and caller.bill(answer)["model"] == "gpt-4.1"
    assert answer["x-bursar-degraded-from"] is None


def test_budgets_of_the_other_model_are_asked(start):
    mini = budget("1 requests", name="minis", match={"model": "gpt-4.1-mini"})
    caller = start(degrading(), mini)
    assert caller("/openai" + CHAT, chat(100, model="gpt-4.1")).status == 200
    refused = caller("/openai" + CHAT, chat(100, model="gpt-4.1"))
    assert refused.status == 402 and refused.json()["error"]["budgets"][0]["name"] == "minis"
    caller.bursar.wait_settled()
    assert caller.bursar.budget("minis")["spent"] == "1"


def test_the_other_models_maximum_is_kept(start):
    """gpt-3.5 answers with 4096 tokens at most, gpt-5-mini with far more."""
    caller = start(degrading(map={"gpt-5-mini": "gpt-4.1-mini"}))
    answer = caller("/openai" + CHAT, asked("gpt-5-mini", max_completion_tokens=100000), out=10)
    bill = caller.bill(answer)
    assert bill["model"] == "gpt-4.1-mini" and bill["max_out"] == 32768
    assert answer["x-bursar-clamped"] == "max_completion_tokens=32768"


def test_degrade_then_clamp(start, vendor):
    path = "/openai" + CHAT
    limit = hold_of(start, path, chat(600, model="gpt-4.1-mini"))
    before = vendor.totals()["nanousd"]
    caller = start(degrading({"do": "clamp", "at": "95%"}, at="90%", limit=usd(limit)))
    answer = caller(path, chat(30000, model="gpt-4.1"), out=30000)
    assert answer.status == 200, answer.body
    bill = caller.bill(answer)
    assert bill["model"] == "gpt-4.1-mini" and 256 <= bill["max_out"] == int(answer["x-bursar-clamped"].split("=")[1])
    assert answer["x-bursar-degraded-from"] == "gpt-4.1"
    assert vendor.totals()["nanousd"] - before <= limit


def test_shadow_budgets_change_nothing(start):
    caller = start(steps({"do": "degrade", "at": "1%", "map": MAP}, {"do": "throttle", "at": "2%"}, {"do": "clamp", "at": "3%"},
                         NOBODY_ALERTS, limit="0.000001 USD", mode="shadow", default_max_out=5))
    began = time.monotonic()
    answer = caller("/openai" + CHAT, asked("gpt-4.1"), out=20)
    bill = caller.bill(answer)
    assert answer.status == 200 and bill["model"] == "gpt-4.1" and bill["max_out"] == -1
    assert time.monotonic() - began < 2 and answer["x-bursar-delayed"] is None


# --- throttle and pace ------------------------------------------------------------------------------------------------


def test_throttled_calls_wait_by_the_curve(start, vendor):
    path, body = "/openai" + CHAT, chat(400)
    held = hold_of(start, path, body)
    # u = 0.9 with the call counted in: a quarter of the longest delay
    limit = held * 10 // 9
    caller = start(steps({"do": "throttle", "at": "80%", "max_delay": "2s"}, NOBODY_ALERTS, limit=usd(limit)))
    began = time.monotonic()
    answer = caller(path, body, out=1)
    took = time.monotonic() - began
    assert answer.status == 200
    delayed = int(answer["x-bursar-delayed"])
    assert 0.9 * 500 * 0.95 <= delayed <= 1.1 * 500 * 1.05 and took >= delayed / 1000
    assert extra(caller.row(answer))["delayed_ms"] == delayed
    fast = caller(path, chat(1), out=1)
    assert fast.status == 200 and fast["x-bursar-delayed"] is None  # far below 80 %
    text = caller.bursar.api("/metrics", raw=True)[1].decode()
    assert "bursar_throttled_total 1" in text and "bursar_throttle_delay_seconds_count 1" in text


def test_soft_budgets_throttle_as_well(start):
    caller = start(steps({"do": "throttle", "at": "1%", "max_delay": "300ms"}, mode="soft", limit="0.000001 USD"))
    answer = caller("/openai" + CHAT, chat(100), out=1)
    assert answer.status == 200 and 200 <= int(answer["x-bursar-delayed"]) <= 300


def paced(rate, burst="1s", max_wait="10s", limit="100 USD", **more):
    return steps({"do": "pace", "at": "0.0001%", "rate": rate, "burst": burst, "max_wait": max_wait}, NOBODY_ALERTS, limit=limit,
                 window="day", **more)


def test_money_flows_evenly_and_what_is_unused_comes_back(start, vendor):
    path, body = "/openai" + CHAT, chat(400)
    held = hold_of(start, path, body)
    # a call's hold is worth half a second
    caller = start(paced(usd(held * 120)))
    first = caller(path, body, out=400, x_vendor_delay_ms=300)
    assert first.status == 200 and first["x-bursar-delayed"] is None
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: caller(path, body, out=400, x_vendor_delay_ms=1000), range(6)))
    delays = sorted(int(a["x-bursar-delayed"] or 0) for a in answers)
    assert {a.status for a in answers} == {200}
    assert delays[0] < 600 and 1300 <= delays[-1] <= 3000, delays
    assert all(b - a < 900 for a, b in zip(delays, delays[1:]))
    caller.bursar.wait_settled()
    # answers of one token give most of it back
    cheap = start(paced(usd(held * 120)), name="cheap")
    for _ in range(12):
        answer = cheap(path, body, out=1)
        assert answer.status == 200 and int(answer["x-bursar-delayed"] or 0) < 300


def test_who_would_wait_too_long_is_told_when_to_come_back(start, vendor):
    path, body = "/openai" + CHAT, chat(400)
    held = hold_of(start, path, body)
    caller = start(paced(usd(held * 6), max_wait="500ms"))  # one in ten seconds
    assert caller(path, body, out=400).status == 200
    hits = vendor.hits()
    refused = caller(path, body, out=400)
    assert refused.status == 429 and 1 <= int(refused["retry-after"]) <= 60 and refused["x-should-retry"] == "true"
    assert refused.json()["error"]["type"] == "rate_limit_exceeded" and refused["x-bursar-budget"] == "ladder"
    assert vendor.hits() == hits and caller.bursar.held() == 0
    shaped = caller("/anthropic" + MESSAGES, messages(4000))
    assert shaped.status == 429 and shaped.json()["error"]["type"] == "rate_limit_error"


def test_a_client_that_leaves_while_it_waits_costs_nothing(start, vendor):
    path, body = "/openai" + CHAT, chat(400)
    limit = hold_of(start, path, body) * 100 // 99
    caller = start(steps({"do": "throttle", "at": "50%", "max_delay": "20s"}, NOBODY_ALERTS, limit=usd(limit)))
    hits = vendor.hits()
    wire = harness.Wire(caller.bursar.proxy)
    wire.send(harness.request_bytes(path, body))
    wait_for(lambda: caller.bursar.held() > 0, "the call to hold")
    began = time.monotonic()
    wire.close()
    wait_for(lambda: caller.bursar.held() == 0, "the hold to end")
    assert time.monotonic() - began < 2 and vendor.hits() == hits and caller.bursar.ledger() == []


def test_waiting_calls_are_let_go_when_bursar_ends(start, vendor):
    path, body = "/openai" + CHAT, chat(400)
    limit = hold_of(start, path, body) * 100 // 99
    caller = start(steps({"do": "throttle", "at": "50%", "max_delay": "60s"}, NOBODY_ALERTS, limit=usd(limit)))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(caller, path, body)
        wait_for(lambda: caller.bursar.held() > 0, "the call to hold")
        began = time.monotonic()
        assert caller.bursar.stop() == 0
        answer = waiting.result()
    assert answer.status == 503 and 1 <= int(answer["retry-after"]) <= 60 and time.monotonic() - began < 10


# --- bodies that are the client's --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", ["clamp", "degrade"])
def test_signed_requests_are_never_changed(vendor443, tmp_path, rung):
    """bursar has no key of AWS: what the client signed goes as it is, or not at all."""
    host = "bedrock-runtime.us-east-1.amazonaws.com"
    dns = harness.FakeDns({host: "127.0.0.2"})
    rungs = {"clamp": {"do": "clamp", "at": "50%"}, "degrade": {"do": "degrade", "at": "0.0001%", "map": MAP}}
    limits = {"clamp": "0.0003 USD", "degrade": "1 USD"}
    changes = {
        "network": {"dns": [dns.address()]},
        "providers": {name: {"base_url": None} for name in harness.VENDOR_HOSTS}
        | {"bedrock": {"ca_file": str(vendor443.ca)}},
        "budgets": [steps(rungs[rung], NOBODY_ALERTS, limit=limits[rung])],
    }
    bursar = harness.Bursar(tmp_path / "signed", vendor443, changes)
    body = json.dumps({"messages": BLOCKS, "inferenceConfig": {"maxTokens": 4000}}).encode()
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20261121/us-east-1/bedrock/aws4_request, "
               "SignedHeaders=host;x-amz-date, Signature=00", "x-amz-date": "20261121T000000Z", "x-vendor-call": "signed"}
    try:
        w, head = harness.open_tunnel(bursar.proxy, f"{host}:443", bursar.ca_pem)
        assert head[0] == 200
        w.send(harness.request_bytes("/model/amazon.nova-lite-v1%3A0/converse", body, host=host, headers=headers))
        answer = w.read_answer()
        w.close()
        assert answer["x-bursar-clamped"] is None and answer["x-bursar-degraded-from"] is None
        if rung == "clamp":
            assert answer.status == 400 and answer["x-amzn-errortype"] == "ServiceQuotaExceededException"
            assert vendor443.hits() == 0
        else:
            assert answer.status == 200 and vendor443.bill()["signed"]["model"] == "amazon.nova-lite-v1:0"
    finally:
        code = bursar.stop()
        dns.close()
    assert code == 0
