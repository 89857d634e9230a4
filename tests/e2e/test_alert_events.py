"""What people can be told of is written down when it happens, once, over restarts and kills."""

import json
import os
import sqlite3

from harness import CHAT, ScriptedVendor, budget, call, chat, nanousd, wait_for

OPENAI = "/openai" + CHAT
LADDER = [{"do": "alert", "at": "50%"}, {"do": "alert", "at": "90%"}, {"do": "block", "at": "100%"}]


def at(bursar, instant):
    bursar.popen_options = {"env": {**os.environ, "BURSAR_FAKE_NOW": instant}}
    return bursar


def events(bursar, *kinds):
    """(kind, action, payload), oldest first."""
    db = sqlite3.connect(f"file:{bursar.data}/bursar.db?mode=ro", uri=True)
    try:
        rows = db.execute("SELECT kind, action, payload FROM event ORDER BY id").fetchall()
    finally:
        db.close()
    return [(kind, action, json.loads(payload)) for kind, action, payload in rows if not kinds or kind in kinds]


def payloads(bursar, *kinds):
    return [payload for _, _, payload in events(bursar, *kinds)]


def wait_events(bursar, kind, n=1, seconds=None):
    wait_for(lambda: len(payloads(bursar, kind)) >= n, f"{n} of {kind}", seconds)
    found = payloads(bursar, kind)
    assert len(found) == n, found
    return found


def spend(bursar, n=1, status=200, body=None, **headers):
    for _ in range(n):
        answer = call(bursar.proxy, OPENAI, body or chat(), headers={"x-vendor-out": "16", **headers})
        assert answer.status == status, answer.body


def steps(*rungs, limit="10 requests", **more):
    return budget(limit, name="search", steps=list(rungs), **more)


def tell(bursar, *words):
    bursar.cli("budgets", *words, "--reason", "a test")


# --- budgets ----------------------------------------------------------------------------------------------------------


def test_thresholds_and_the_refusal_are_told_once(start_bursar):
    bursar = start_bursar({"budgets": [steps(*LADDER, window="month")]})
    spend(bursar, 10)
    spend(bursar, 5, status=402)
    half, most = wait_events(bursar, "budget.threshold", 2)
    assert (half["at_ppm"], most["at_ppm"]) == (500_000, 900_000)
    assert half["budget"] == "search" and half["scope"] == "" and half["limit"] == 10 and half["mode"] == "hard"
    assert 0 < half["win_start"] < half["win_end"]
    (blocked,) = wait_events(bursar, "budget.blocked")
    assert blocked["posted"] == 10 and blocked["action"] == "block" and "severity" not in blocked
    bursar.kill9()
    bursar.start()
    spend(bursar, 2, status=402)
    bursar.wait_settled()
    assert [len(payloads(bursar, k)) for k in ("budget.threshold", "budget.blocked")] == [2, 1]


def test_a_hard_budget_without_a_block_step_tells_its_refusals_too(start_bursar):
    bursar = start_bursar({"budgets": [steps({"do": "alert", "at": "50%"}, limit="2 requests")]})
    spend(bursar, 2)
    spend(bursar, 2, status=402)
    (blocked,) = wait_events(bursar, "budget.blocked")
    assert blocked["at_ppm"] == 1_000_000 and blocked["win_start"] == blocked["win_end"] == 0  # it never ends


def test_a_call_that_is_too_large_is_a_warning(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.01 USD", name="search", steps=LADDER)]})
    spend(bursar, status=402, body=chat(max_tokens=30000))
    (blocked,) = wait_events(bursar, "budget.blocked")
    assert blocked["severity"] == "warning" and blocked["need"] > blocked["limit"] > blocked["posted"] == 0


def test_what_a_shadow_budget_would_refuse_is_no_refusal(start_bursar):
    bursar = start_bursar({"budgets": [steps(LADDER[2], limit="1 requests", mode="shadow")]})
    spend(bursar, 3)
    (told,) = wait_events(bursar, "budget.threshold")
    assert (told["action"], told["mode"]) == ("would_block", "shadow")
    assert not payloads(bursar, "budget.blocked")


def test_delays_and_other_models_are_told_when_they_happen(start_bursar):
    bursar = start_bursar({"budgets": [steps(
        {"do": "throttle", "at": "20%", "max_delay": "10ms"},
        {"do": "degrade", "at": "50%", "map": {"gpt-4.1": "gpt-4.1-mini"}}, LADDER[2])]})
    spend(bursar, 1)
    bursar.wait_settled()
    assert not payloads(bursar, "budget.throttled")
    spend(bursar, 3)
    (told,) = wait_events(bursar, "budget.throttled")
    assert told["at_ppm"] == 200_000 and told["action"] == "throttle"
    spend(bursar, 2)  # the model is not in the map: nothing happened
    bursar.wait_settled()
    assert not payloads(bursar, "budget.degraded")
    spend(bursar, 2, body={**chat(), "model": "gpt-4.1"})
    (told,) = wait_events(bursar, "budget.degraded")
    assert told["at_ppm"] == 500_000 and told["action"] == "degrade"
    bursar.kill9()
    bursar.start()
    spend(bursar, 1, body={**chat(), "model": "gpt-4.1"})
    bursar.wait_settled()
    assert [len(payloads(bursar, k)) for k in ("budget.throttled", "budget.degraded")] == [1, 1]


def test_a_threshold_that_a_kill_took_along_is_told_at_the_start(start_bursar):
    bursar = start_bursar({"budgets": [steps(*LADDER)]})
    spend(bursar, 4)
    bursar.wait_settled()
    # the fifth crosses, and the program is dead when its row is settled and nothing of it is in the database
    bursar.kill9()
    bursar.popen_options = {"env": {**os.environ, "BURSAR_KILL_AT": "after:settled:1"}}
    bursar.start()
    try:
        spend(bursar)
    except Exception:
        pass
    wait_for(lambda: not bursar.process.running(), "the kill")
    assert not payloads(bursar, "budget.threshold")
    bursar.popen_options = {}
    bursar.start()
    (told,) = wait_events(bursar, "budget.threshold")
    assert told["at_ppm"] == 500_000 and told["posted"] == 5
    bursar.kill9()
    bursar.start()
    bursar.wait_settled()
    assert len(payloads(bursar, "budget.threshold")) == 1


def test_a_charge_that_crosses_a_threshold_is_told_without_a_call(start_bursar):
    bursar = start_bursar({"budgets": [budget("10 USD", name="search", steps=LADDER, window="month")]})
    tell(bursar, "charge", "search", "6 USD")
    (told,) = wait_events(bursar, "budget.threshold")
    assert told["at_ppm"] == 500_000 and told["posted"] == nanousd("6")


# --- ends -------------------------------------------------------------------------------------------------------------


def test_a_window_that_was_told_of_ends(start_bursar):
    bursar = at(start_bursar({"budgets": [steps(*LADDER, window="day"), budget("9 USD", name="quiet", window="day")]},
                             start=False), "2026-11-21T23:59:50Z").start()
    spend(bursar, 6)
    wait_events(bursar, "budget.threshold")
    (reset,) = wait_events(bursar, "budget.reset", seconds=30)
    assert (reset["budget"], reset["posted"], reset["limit"]) == ("search", 6, 10)
    assert reset["win_end"] - reset["win_start"] == 86400 and "6 requests of 10 requests" in reset["message"]
    assert [action for _, action, _ in events(bursar, "budget.reset")] == [101]
    spend(bursar, 6)  # tomorrow is another day
    assert [t["at_ppm"] for t in wait_events(bursar, "budget.threshold", 2)] == [500_000, 500_000]
    bursar.kill9()
    at(bursar, "2026-11-24T12:00:00Z").start()
    assert wait_events(bursar, "budget.reset", 2)[1]["win_start"] == reset["win_end"]
    bursar.kill9()
    bursar.start()
    spend(bursar, 6)
    wait_events(bursar, "budget.threshold", 3)
    assert len(payloads(bursar, "budget.reset")) == 2


def test_many_windows_that_end_at_once(start_bursar):
    bursar = at(start_bursar({"log": {"requests": False}, "budgets": [
        {**steps(LADDER[0], limit="2 requests", window="day", mode="soft"), "per": ["tag.u"]}]}, start=False),
        "2026-11-21T23:59:20Z").start()
    for user in range(400):
        spend(bursar, **{"x-bursar-tags": f"u={user}"})
    wait_for(lambda: len(payloads(bursar, "budget.threshold")) == 400, "every threshold", 30)
    wait_for(lambda: payloads(bursar, "budget.reset"), "midnight", 60)
    wait_for(lambda: len(payloads(bursar, "budget.reset")) == 400, "every reset")
    bursar.kill9()
    at(bursar, "2026-11-22T01:00:00Z").start()
    spend(bursar, **{"x-bursar-tags": "u=0"})
    wait_for(lambda: len(payloads(bursar, "budget.threshold")) == 401, "the next day's")
    assert len({p["scope"] for p in payloads(bursar, "budget.reset")}) == len(payloads(bursar, "budget.reset")) == 400


def test_a_rolling_window_has_room_again_when_the_spend_has_left(start_bursar):
    bursar = start_bursar({"budgets": [steps(*LADDER, limit="4 requests", window="rolling 1m")]})
    spend(bursar, 4)
    (told, _) = wait_events(bursar, "budget.threshold", 2)
    assert told["win_start"] == told["win_end"] == 0
    spend(bursar, status=402)
    wait_events(bursar, "budget.blocked")
    wait_events(bursar, "budget.recovered", seconds=90)
    spend(bursar, 2)
    wait_events(bursar, "budget.threshold", 3)


def test_a_higher_limit_ends_it_and_the_next_crossing_is_told_anew(start_bursar):
    bursar = start_bursar({"budgets": [steps(*LADDER, window="month")]})
    spend(bursar, 10)
    spend(bursar, status=402)
    wait_events(bursar, "budget.blocked")
    tell(bursar, "raise", "search", "40 requests")
    (over,) = wait_events(bursar, "budget.recovered")
    assert (over["posted"], over["limit"]) == (10, 40) and over["win_start"] > 0
    spend(bursar, 10)
    assert [t["at_ppm"] for t in wait_events(bursar, "budget.threshold", 3)] == [500_000, 900_000, 500_000]
    bursar.kill9()
    bursar.start()
    spend(bursar, 1)
    bursar.wait_settled()
    assert len(payloads(bursar, "budget.threshold")) == 3
    # a little more is no end, but what lies above may be told again
    spend(bursar, 19)
    spend(bursar, status=402)
    wait_events(bursar, "budget.blocked", 2)
    wait_events(bursar, "budget.threshold", 4)
    tell(bursar, "raise", "search", "60 requests")
    wait_events(bursar, "budget.recovered", 2)
    spend(bursar, 20)
    spend(bursar, status=402)
    wait_events(bursar, "budget.blocked", 3)
    wait_events(bursar, "budget.threshold", 5)


def test_a_credit_and_a_correction_end_it(start_bursar):
    bursar = start_bursar({"budgets": [budget("10 USD", name="search", steps=LADDER, window="month")]})
    tell(bursar, "charge", "search", "10 USD")
    wait_events(bursar, "budget.threshold", 2)
    spend(bursar, status=402)
    wait_events(bursar, "budget.blocked")
    tell(bursar, "credit", "search", "5 USD")
    (over,) = wait_events(bursar, "budget.recovered")
    assert over["credit"] == nanousd("5")
    tell(bursar, "charge", "search", "6 USD")
    spend(bursar, status=402)
    wait_events(bursar, "budget.blocked", 2)
    tell(bursar, "charge", "search", "14 USD", "--take-back")
    assert wait_events(bursar, "budget.recovered", 2)[1]["posted"] == nanousd("2")
    tell(bursar, "charge", "search", "4 USD")
    assert wait_events(bursar, "budget.threshold", 3)[2]["posted"] == nanousd("6")


def test_a_hold_that_comes_and_goes_ends_nothing(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.02 USD", name="search", steps=LADDER, window="month")]})
    for _ in range(3):
        spend(bursar, body=chat(max_tokens=8000))  # holds more than half, costs nearly nothing
        bursar.wait_settled()
    wait_events(bursar, "budget.threshold")
    spend(bursar, 1)
    bursar.wait_settled()
    assert not payloads(bursar, "budget.recovered") and len(payloads(bursar, "budget.threshold")) == 1


# --- what stops calls beside budgets ----------------------------------------------------------------------------------


def test_breakers_are_told_when_they_open_and_close(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("100 USD", name="search", breaker={"max_request": "0.01 USD"})]})
    for _ in range(5):
        call(bursar.proxy, OPENAI, chat(), headers={"x-vendor-fault": "error-before"})
    (opened,) = wait_events(bursar, "breaker.opened")
    assert opened["object"].startswith("openai@127.0.0.1:") and opened["object_kind"] == "provider"
    assert "5 calls in a row failed" in opened["message"]
    bursar.kill9()  # after which it is closed, and nobody else would say so
    bursar.start()
    (closed,) = wait_events(bursar, "breaker.closed")
    assert closed["object"] == opened["object"] and closed["cause"] == "restart"
    spend(bursar, status=402, body=chat(max_tokens=30000))
    opened = wait_events(bursar, "breaker.opened", 2)[1]
    assert (opened["budget"], opened["scope"]) == ("search", "") and "one call could have cost" in opened["message"]
    bursar.cli("breakers", "close", "cost:search", "--reason", "seen")
    closed = wait_events(bursar, "breaker.closed", 2)[1]
    assert closed["budget"] == "search" and "seen" in closed["message"]


def test_loops_and_stops_are_told_and_so_are_their_ends(start_bursar):
    bursar = start_bursar({"runaway": {"do": "quarantine", "repeat": 5, "minimum": "0 USD", "quarantine": "1h"}})
    key = bursar.create_key("ann")
    for _ in range(12):
        call(bursar.proxy, OPENAI, chat(), headers={"authorization": f"Bearer {key}"})
    (told,) = wait_events(bursar, "loop.quarantined")
    assert (told["object"], told["object_kind"]) == ("ann", "key") and told["ends_s"] > 0
    bursar.cli("resume", "--key", "ann", "--reason", "mended")
    assert wait_events(bursar, "loop.released")[0]["object"] == "ann"
    bursar.cli("stop", "--team", "search", "--reason", "leaked")
    (told,) = wait_events(bursar, "stop.set")
    assert (told["object"], told["object_kind"]) == ("search", "team") and "leaked" in told["message"]
    bursar.cli("resume", "--team", "search", "--reason", "new key")
    assert wait_events(bursar, "stop.lifted")[0]["object"] == "search"


# --- models and keys --------------------------------------------------------------------------------------------------


def test_a_model_without_a_price_is_told_once_a_day(start_bursar):
    bursar = start_bursar({"budgets": [budget("10 USD", name="search")]})
    spend(bursar, 3, status=400, body={**chat(), "model": "gpt-nobody-knows"})
    (told,) = wait_events(bursar, "price.unknown_model")
    assert (told["object"], told["object_kind"]) == ("openai/gpt-nobody-knows", "model")
    bursar.kill9()
    bursar.start()
    spend(bursar, 3, status=400, body={**chat(), "model": "gpt-nobody-knows"})
    spend(bursar, 1, status=400, body={**chat(), "model": 'a"<b>&'})
    assert wait_events(bursar, "price.unknown_model", 2)[1]["object"].startswith('openai/a"')


def test_invented_names_do_not_fill_the_store(start_bursar):
    bursar = start_bursar({"budgets": [budget("10 USD", name="search")], "workers": 1})
    for i in range(100):
        spend(bursar, status=400, body={**chat(), "model": f"model-{i}"})
    wait_for(lambda: [p for p in payloads(bursar, "price.unknown_model") if p["object"] == "(other)/(other)"], "the rest")
    assert len(payloads(bursar, "price.unknown_model")) == 64


def test_a_model_that_is_recorded_without_a_price_is_told(start_bursar):
    answer = json.dumps({
        "id": "1", "object": "chat.completion", "model": "gpt-nobody-knows", "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]}).encode()

    def script(v, c):
        while v.read_request(c):
            c.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)

    v = ScriptedVendor(script)
    bursar = start_bursar({"budgets": [budget("10 USD", name="search", mode="soft")],
                           "providers": {"openai": {"base_url": f"http://127.0.0.1:{v.plain}"}}})
    spend(bursar, 2, body={**chat(), "model": "gpt-nobody-knows"})
    assert wait_events(bursar, "price.unknown_model")[0]["object"] == "openai/gpt-nobody-knows"
    v.stop()


def test_keys_that_end_soon_are_told_once_and_once_more_on_the_last_day(start_bursar):
    bursar = at(start_bursar(start=False), "2026-11-01T12:00:00Z").start()
    for name, day in (("soon", "2026-11-25"), ("later", "2027-11-25"), ("gone", "2026-11-05")):
        bursar.create_key(name, "--expires", day)
    bursar.kill9()
    at(bursar, "2026-11-20T12:00:00Z").start()
    (told,) = wait_events(bursar, "key.expiring")
    assert (told["object"], told["object_kind"], told["severity"]) == ("soon", "key", "warning")
    assert told["ends_s"] == told["not_after"]
    bursar.kill9()
    bursar.start()
    bursar.kill9()
    at(bursar, "2026-11-24T12:00:00Z").start()
    assert wait_events(bursar, "key.expiring", 2)[1]["severity"] == "error"
