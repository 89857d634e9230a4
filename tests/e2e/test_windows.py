"""Rolling windows over restarts, several windows of one budget, parts of budgets, and shadow mode."""

import os

from harness import CHAT, budget, call, chat, nanousd


def at(bursar, instant):
    """The same data directory, at another time."""
    bursar.popen_options = {"env": {**os.environ, "BURSAR_FAKE_NOW": instant}}
    return bursar.start()


def pay(bursar, times=1):
    for _ in range(times):
        assert call(bursar.proxy, "/openai" + CHAT, chat()).status == 200
    bursar.wait_settled()


def test_a_rolling_window_is_kept_over_kills_and_has_no_boundary(start_bursar):
    bursar = start_bursar({"budgets": [budget("1 USD", name="day", window="rolling 24h")]}, start=False)
    at(bursar, "2026-11-21T10:00:00Z")
    pay(bursar)
    first = nanousd(bursar.budget("day")["spent"])
    assert first > 0 and bursar.budget("day")["window"] == "rolling 24h"
    bursar.kill9()
    at(bursar, "2026-11-21T23:50:00Z")
    pay(bursar, 2)
    assert nanousd(bursar.budget("day")["spent"]) == 3 * first
    bursar.kill9()
    at(bursar, "2026-11-22T09:59:00Z")  # another day, but not 24 hours later
    assert nanousd(bursar.budget("day")["spent"]) == 3 * first
    bursar.stop()
    at(bursar, "2026-11-22T10:25:00Z")  # the first has left, a sixtieth of a day late at most
    assert nanousd(bursar.budget("day")["spent"]) == 2 * first
    pay(bursar)
    bursar.kill9()
    at(bursar, "2026-11-23T00:20:00Z")
    assert nanousd(bursar.budget("day")["spent"]) == first


def test_a_spent_rolling_budget_says_when_it_has_room_again(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.00001 USD", name="day", window="rolling 24h")]})
    answer = call(bursar.proxy, "/openai" + CHAT, chat(max_tokens=4000))
    assert answer.status == 402
    told = answer.json()["error"]["budgets"][0]
    assert told["window"] == "rolling 24h" and told["resets_at"]


def test_shadow_budgets_are_counted_and_not_felt(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.000000001 USD", name="trial", mode="shadow", window="day")]})
    pay(bursar, 2)
    assert nanousd(bursar.budget("trial")["spent"]) > 1


def test_each_window_of_a_budget_has_its_counter_and_its_limit(start_bursar):
    limits = [{"window": "day", "limit": "1 USD"}, {"window": "rolling 1h", "limit": "0.000000001 USD"},
              {"window": "month", "limit": "1000 requests"}]
    bursar = start_bursar({"budgets": [{"name": "team", "limits": limits}]})
    assert set(bursar.budgets()) == {"team/day", "team/rolling 1h", "team/month/requests"}
    answer = call(bursar.proxy, "/openai" + CHAT, chat())
    assert answer.status == 402 and answer["x-bursar-budget"] == "team/rolling 1h"
    assert all(nanousd(b["held"]) == 0 for b in bursar.budgets().values())


def test_a_child_spends_what_its_parent_has(start_bursar):
    budgets = [budget("0.000000001 USD", name="org", window="day"),
               {**budget("0.000000001 USD", name="mini", window="day"), "parent": "org", "match": {"model": "gpt-4.1*"}}]
    bursar = start_bursar({"budgets": budgets})
    answer = call(bursar.proxy, "/openai" + CHAT, chat())
    assert {b["name"] for b in answer.json()["error"]["budgets"]} == {"org", "mini"}
    bursar.config["budgets"][1]["limit"] = "0.000000002 USD"
    bursar.write_config()
    done = bursar.cli("check-config", check=False)
    assert done.returncode != 0 and "is above" in done.stderr and "`org`" in done.stderr


def test_children_who_promise_too_much_are_told_at_the_start(start_bursar):
    budgets = [budget("10 USD", name="org", window="day")]
    for model in ("gpt-4.1*", "gpt-5*"):
        budgets.append({**budget("6 USD", name=model, window="day"), "parent": "org", "match": {"model": model}})
    bursar = start_bursar({"budgets": budgets})
    told = [line for line in bursar.log_lines() if line["event"] == "budget.parent"]
    assert len(told) == 1 and "12 USD" in told[0]["msg"]
