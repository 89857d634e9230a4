"""Hard budgets are never passed, can be used to their end, and say so in the vendor's own words."""

import concurrent.futures
import json
import threading
import time

import pytest

from harness import CASES, CHAT, PREFIX, budget, call, chat, nanousd, wait_for


def worst_case(start_bursar, body, headers):
    """What one such call holds."""
    probe = start_bursar(name="probe")
    assert call(probe.proxy, "/openai" + CHAT, body, headers=headers).status == 200
    probe.wait_settled()
    return nanousd(probe.ledger()[0]["held_usd"])


def usd(nano):
    return f"{nano // 10**9}.{nano % 10**9:09d} USD"


@pytest.mark.parametrize("case", CASES)
def test_refusal_has_the_vendors_shape_and_is_not_retried(vendor, start_bursar, case):
    bursar = start_bursar({"budgets": [budget("0.000000001 USD", name="tiny")]})
    provider, path, body = CASES[case]
    answer = call(bursar.proxy, PREFIX[provider] + path, body)
    assert answer.status == 402
    assert answer["x-should-retry"] == "false"
    assert answer["retry-after"] is None
    assert answer["cache-control"] == "no-store"
    assert answer["content-type"].startswith("application/json")
    assert answer["x-bursar-budget"] == "tiny"
    error = answer.json()["error"]
    assert "tiny" in error["message"]
    if provider == "openai":
        assert error["type"] == "insufficient_quota" and error["code"] == "budget_exceeded" and error["param"] is None
        assert error["budgets"][0]["name"] == "tiny"
    elif provider == "anthropic":
        assert answer.json()["type"] == "error" and error["type"] == "billing_error" and answer.json()["request_id"]
    else:
        assert error["code"] == 402 and error["status"] == "RESOURCE_EXHAUSTED"
    assert vendor.hits() == 0
    assert bursar.ledger() == []


@pytest.mark.parametrize("status", [403, 429])
def test_block_status_can_be_chosen(start_bursar, status):
    bursar = start_bursar({"budgets": [budget("0.000000001 USD")], "providers": {"openai": {"block_status": status}}})
    answer = call(bursar.proxy, "/openai" + CHAT, chat())
    assert answer.status == status
    assert answer["x-should-retry"] == "false" and answer["retry-after"] is None


def test_200_clients_at_once_against_a_budget_of_37_and_a_half_worst_cases(vendor, start_bursar):
    """All admitted, none beyond, every refusal final: judged by the vendor's own bill."""
    body = chat(max_tokens=200)
    headers = {"x-vendor-out": "200", "x-vendor-delay-ms": "50"}
    worst = worst_case(start_bursar, body, headers)
    probe_bill = vendor.totals()["nanousd"]
    limit = worst * 75 // 2
    bursar = start_bursar({"budgets": [budget(usd(limit), name="tight")]})
    start = threading.Barrier(200)
    statuses, held_answers = [], []

    def client(i):
        start.wait()
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            answer = call(bursar.proxy, "/openai" + CHAT, body, headers={**headers, "x-vendor-call": f"k{i}"}, timeout=60)
            if answer.status != 429:
                return answer
            # Only held, not spent: whoever waits gets an answer that is final.
            assert 1 <= int(answer["retry-after"]) <= 60 and answer["x-should-retry"] == "true"
            assert answer.json()["error"]["code"] == "budget_held"
            held_answers.append(i)
            time.sleep(0.2)
        raise AssertionError("held for ever")

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(client, range(200)))
    statuses = [a.status for a in answers]
    bursar.wait_settled()
    billed = vendor.totals()["nanousd"] - probe_bill
    print(f"admitted {statuses.count(200)}, refused {statuses.count(402)}, held answers {len(held_answers)}, "
          f"limit {limit}, vendor billed {billed}, worst {worst}")
    assert set(statuses) == {200, 402}
    assert billed <= limit
    assert statuses.count(200) >= 37
    assert limit - billed < worst, "money was left over that one more call could have used"
    assert nanousd(bursar.budget("tight")["spent"]) == billed
    assert bursar.held() == 0
    last = call(bursar.proxy, "/openai" + CHAT, body, headers=headers)
    assert last.status == 402


def test_200_clients_when_every_call_costs_its_worst_case(vendor, start_bursar):
    """Exactly 37 pass when the bill equals the hold: budgets of requests, whose need is known."""
    bursar = start_bursar({"budgets": [budget("37 requests", name="count")]})
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        headers = {"x-vendor-delay-ms": "30"}
        answers = list(pool.map(lambda _: call(bursar.proxy, "/openai" + CHAT, chat(), headers=headers, timeout=60), range(200)))
    ok = [a for a in answers if a.status == 200]
    assert len(ok) == 37 == vendor.totals()["complete"]
    assert {a.status for a in answers} <= {200, 402, 429}
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 402


def test_hold_is_a_true_bound_for_streams_too(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("0.05 USD")], "workers": 2})
    headers = {"x-vendor-out": "1000", "x-vendor-chunk-ms": "5", "x-vendor-chunks": "10"}

    def client(_):
        return call(bursar.proxy, "/openai" + CHAT, chat(max_tokens=1000, stream=True), headers=headers, timeout=60).status

    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        statuses = list(pool.map(client, range(120)))
    bursar.wait_settled()
    assert vendor.totals()["nanousd"] <= 50_000_000
    assert set(statuses) <= {200, 402, 429}
    assert statuses.count(200) >= 20


def test_held_money_is_429_and_comes_back(vendor, start_bursar):
    body, slow = chat(max_tokens=100), {"x-vendor-out": "1", "x-vendor-delay-ms": "1500"}
    worst = worst_case(start_bursar, body, {"x-vendor-out": "1"})
    bursar = start_bursar({"budgets": [budget(usd(worst * 3 // 2))]})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, bursar.proxy, "/openai" + CHAT, body, headers=slow)
        wait_for(lambda: bursar.held() > 0, "the first call to hold")
        second = call(bursar.proxy, "/openai" + CHAT, body)
        assert second.status == 429 and second["x-should-retry"] == "true" and 1 <= int(second["retry-after"]) <= 60
        assert first.result().status == 200
    bursar.wait_settled()
    assert call(bursar.proxy, "/openai" + CHAT, body, headers={"x-vendor-out": "1"}).status == 200


def test_soft_budget_lets_pass_and_says_so(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("0.000001 USD", mode="soft")]})
    answer = call(bursar.proxy, "/openai" + CHAT, chat())
    assert answer.status == 200
    again = call(bursar.proxy, "/openai" + CHAT, chat())
    assert again.status == 200 and again["x-bursar-over-budget"] == "1"


def test_one_budget_for_each_key(vendor, start_bursar):
    bursar = start_bursar({
        "auth": {"require_key": True},
        "budgets": [budget("3 requests", name="each", per=["key"]), budget("100 USD", name="all")],
    })
    keys = {name: bursar.create_key(name) for name in ("ann", "bob")}
    for name, key in keys.items():
        got = [call(bursar.proxy, "/openai" + CHAT, chat(), headers={"Authorization": f"Bearer {key}"}).status for _ in range(4)]
        assert got == [200, 200, 200, 402], name
    spent = {n: b["spent"] for n, b in bursar.budgets().items() if n.startswith("each/")}
    assert sorted(spent.values()) == ["3", "3"]


def test_all_matching_budgets_or_none(vendor, start_bursar):
    bursar = start_bursar({
        "budgets": [budget("100 USD", name="wide"), budget("0.000001 USD", name="narrow", match={"model": "gpt-4o"})],
    })
    refused = call(bursar.proxy, "/openai" + CHAT, chat(model="gpt-4o"))
    assert refused.status == 402 and refused.json()["error"]["budgets"][0]["name"] == "narrow"
    assert bursar.budget("wide")["held"] == "0" and bursar.budget("wide")["spent"] == "0"
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 200


def test_what_was_spent_survives_a_restart(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("3 requests", name="three")]})
    for _ in range(3):
        assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 200
    bursar.wait_settled()
    before = bursar.ledger()
    assert len(before) == 3 and bursar.stop() == 0
    bursar.start()
    assert bursar.budget("three")["spent"] == "3"
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 402
    assert bursar.ledger() == before


def test_call_without_any_budget_is_refused_when_default_is_deny(start_bursar, vendor):
    bursar = start_bursar({"default": "deny", "budgets": [budget("1 USD", match={"model": "gpt-4o"})]})
    answer = call(bursar.proxy, "/openai" + CHAT, chat())
    assert answer.status == 403 and answer.json()["error"]["code"] == "no_budget"
    assert vendor.hits() == 0


@pytest.mark.parametrize("spelling", [
    {"max_tokens": 100, "n": 8}, {"max_completion_tokens": 800}, {"max_tokens": 100, "n": 8, "stream": True},
])
def test_every_way_to_ask_for_more_output_is_held(vendor, start_bursar, spelling):
    bursar = start_bursar()
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "x"}], **spelling}
    call(bursar.proxy, "/openai" + CHAT, body, headers={"x-vendor-out": "1000", "x-vendor-call": "c1"})
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert vendor.bill()["c1"]["output"] == 800
    assert nanousd(row["held_usd"]) >= nanousd(row["usd"]) == vendor.bill()["c1"]["nanousd"]


@pytest.mark.parametrize("body", [
    '{"model":"gpt-4.1-mini","max_tokens":10,"max_tokens":100000,"messages":[]}',
    '{"model":"gpt-4.1-mini","model":"gpt-4o","max_tokens":10,"messages":[]}',
    '{"model":"gpt-4.1-mini","max_tokens":10,"m\\u0061x_tokens":100000,"messages":[]}',
    '{"model":"gpt-4.1-mini","max_tokens":-5,"messages":[]}',
    '{"model":"gpt-4.1-mini","max_tokens":1e99,"messages":[]}',
    '{"model":["gpt-4.1-mini"],"max_tokens":5,"messages":[]}',
    '{"max_tokens":5,"messages":[]}',
    '{"model":"gpt-4.1-mini","max_tokens":5,"messages":[]} {"model":"gpt-4o"}',
    '{"model":"gpt-4.1-mini","max_tokens":5,"messages":[',
    "not json", "", "[" * 1000,
])
def test_bodies_that_two_readers_could_read_differently_are_refused(vendor, bursar, body):
    answer = call(bursar.proxy, "/openai" + CHAT, body.encode())
    assert answer.status == 400, answer.body
    assert vendor.hits() == 0
    assert bursar.held() == 0


def test_refusal_text_is_the_same_in_every_family(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.000000001 USD", name="tiny", window="day")]})
    texts = set()
    for case in ("chat", "messages", "generate"):
        provider, path, body = CASES[case]
        message = call(bursar.proxy, PREFIX[provider] + path, body).json()["error"]["message"]
        assert message.startswith("tiny, 0 of 0.000000001 USD") and "resets 20" in message
        texts.add(json.dumps(message.split(",")[0]))
    assert len(texts) == 1
