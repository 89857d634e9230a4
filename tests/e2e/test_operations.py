"""Budgets changed while they run: limits, credits, charges, refunds and corrections, by API and command line. Each once,
with who and why; all of it is there again after a kill."""

import http.client
import json
import os
import sqlite3
import threading

import pytest

from harness import CHAT, budget, call, chat, nanousd, wait_for

USD = 10**9


def at(bursar, instant):
    """The same data directory, at another time."""
    bursar.popen_options = {"env": {**os.environ, "BURSAR_FAKE_NOW": instant}}
    return bursar.start()


def pay(bursar, **headers):
    answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers={k.replace("_", "-"): v for k, v in headers.items()})
    if answer.status == 200:
        bursar.wait_settled()
    return answer


def change(bursar, path, **body):
    return bursar.api("/api/v1/" + path, "POST", {"reason": "a test", **body})


def refused(bursar, path, **body):
    status, data = bursar.api("/api/v1/" + path, "POST", {"reason": "a test", **body}, raw=True)
    assert status >= 400, data
    return status


def audit(bursar):
    return bursar.api("/api/v1/audit?limit=1000")["rows"]


def verified(bursar):
    done = bursar.cli("verify", "--format", "json", check=False)
    report = json.loads(done.stdout)
    assert (done.returncode == 0) == report["ok"]
    return report


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_raised_limit_holds_at_once_and_after_a_kill(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.000000001 USD", name="tiny")]})
    assert pay(bursar).status == 402
    done = change(bursar, "budgets/tiny/limit", limit="1 USD", direction="raise")
    assert (done["before"], done["after"], done["repeated"]) == ("0.000000001 USD", "1 USD", False)
    assert pay(bursar).status == 200
    spent = bursar.budget("tiny")["spent"]
    bursar.kill9()
    bursar.start()
    row = bursar.budget("tiny")
    assert row["limit"] == "1" and row["configured_limit"] == "0.000000001" and row["spent"] == spent
    assert pay(bursar).status == 200
    # from the command line, beside the server
    bursar.cli("budgets", "lower", "tiny", "0.000000002", "USD", "--reason", "it is over")
    assert pay(bursar).status == 402
    assert bursar.budget("tiny")["remaining"].startswith("-")
    bursar.stop()
    # and without one
    out = bursar.cli("budgets", "raise", "tiny", "2", "--reason", "again").stdout
    assert out == "tiny: 0.000000002 USD -> 2 USD\n"
    bursar.start()
    assert pay(bursar).status == 200
    who = [(row["actor"], row["action"], row["after"]) for row in reversed(audit(bursar))]
    assert who[0] == ("admin", "limit", "1 USD") and who[1] == ("admin", "limit", "0.000000002 USD")
    assert who[2][0].endswith("(command line)") and who[2][1:] == ("limit", "2 USD")


def test_an_edit_of_the_configuration_ends_a_limit_set_by_hand(start_bursar):
    bursar = start_bursar({"budgets": [budget("5 USD")]})
    change(bursar, "budgets/all/limit", limit="8 USD")
    bursar.stop()
    bursar.start()
    assert bursar.budget()["limit"] == "8"
    bursar.stop()
    bursar.config["budgets"][0]["limit"] = "6 USD"
    bursar.write_config()
    bursar.start()
    assert bursar.budget()["limit"] == "6"
    told = [line for line in bursar.log_lines() if line["event"] == "budget.limit" and line["level"] == "warn"]
    assert len(told) == 1 and "8 by hand" in told[0]["msg"] and "5 to 6" in told[0]["msg"]
    bursar.stop()
    bursar.config["budgets"][0]["limit"] = "5 USD"
    bursar.write_config()
    bursar.start()
    assert bursar.budget()["limit"] == "5"
    assert [row["actor"] for row in audit(bursar)] == ["configuration", "configuration", "admin"]


def test_lowering_leaves_running_calls_alone(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("1 USD")]})
    answers = []
    slow = {"x-vendor-delay-ms": "800"}
    running = threading.Thread(target=lambda: answers.append(call(bursar.proxy, "/openai" + CHAT, chat(), headers=slow)))
    running.start()
    wait_for(lambda: bursar.held() > 0, "the call to be held")
    change(bursar, "budgets/all/limit", limit="0.000000001", direction="lower")
    row = bursar.budget()
    assert row["remaining"].startswith("-") and nanousd(row["held"]) > 0
    assert call(bursar.proxy, "/openai" + CHAT, chat()).status in (402, 429)
    running.join(30)
    assert answers[0].status == 200
    bursar.wait_settled()
    assert nanousd(bursar.budget()["spent"]) == vendor.totals()["nanousd"]


def test_a_budget_of_several_limits_names_them(start_bursar):
    limits = [{"window": "day", "limit": "1 USD"}, {"window": "month", "limit": "1000 requests"}]
    bursar = start_bursar({"budgets": [{"name": "team", "limits": limits}]})
    done = bursar.cli("budgets", "raise", "team", "5", "--reason", "r", check=False)
    assert done.returncode == 1 and "team/day, team/month/requests" in done.stderr
    out = bursar.cli("budgets", "raise", "team/month/requests", "2000", "--reason", "r").stdout
    assert out == "team/month/requests: 1000 requests -> 2000 requests\n"


# --- credits ---------------------------------------------------------------------------------------------------------


def test_credit_is_for_one_counter_and_one_window(start_bursar):
    tiny = {**budget("0.000000001 USD", name="each", window="day"), "per": ["tag.who"]}
    bursar = start_bursar({"budgets": [tiny]}, start=False)
    at(bursar, "2026-11-21T10:00:00Z")
    assert pay(bursar, x_bursar_tags="who=ann").status == 402
    change(bursar, "budgets/each/credit", amount="1 USD", scope="tag.who=ann")
    assert pay(bursar, x_bursar_tags="who=ann").status == 200
    assert pay(bursar, x_bursar_tags="who=bob").status == 402
    bursar.kill9()
    at(bursar, "2026-11-21T11:00:00Z")
    assert bursar.budget("each/tag.who=ann")["credit"] == "1"
    assert pay(bursar, x_bursar_tags="who=ann").status == 200
    bursar.kill9()
    at(bursar, "2026-11-22T00:00:01Z")
    assert pay(bursar, x_bursar_tags="who=ann").status == 402
    assert refused(bursar, "budgets/each/credit", amount="1 USD") == 404  # of whom?


def test_credit_that_is_carried_over_pays_for_what_is_above_the_limit_only_once(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("0.000000001 USD", name="day", window="day")]}, start=False)
    at(bursar, "2026-11-21T10:00:00Z")
    change(bursar, "budgets/day/credit", amount="0.01 USD", carry_over=True, expires="30d")
    promised = USD // 100
    for day in range(22, 30):
        assert pay(bursar).status == 200
        spent = nanousd(bursar.budget("day")["spent"])
        bursar.kill9() if day % 2 else bursar.stop()
        at(bursar, f"2026-11-{day}T10:00:00Z")
        promised -= spent - 1  # a nano-dollar a day is the limit's own
        assert nanousd(bursar.budget("day")["credit"]) == promised
    assert vendor.totals()["nanousd"] == USD // 100 - promised + 8
    bursar.stop()
    at(bursar, "2026-12-22T10:00:00Z")
    assert bursar.budget("day")["credit"] == "0"
    assert pay(bursar).status == 402


def test_credit_without_room_leaves_nothing(start_bursar):
    """A counter has 32 credits that expire; of one more there is nothing left but its story."""
    bursar = start_bursar({"budgets": [budget("1 USD", window="day")]})
    for _ in range(32):
        change(bursar, "budgets/all/credit", amount="1 USD", expires="30d", carry_over=True)
    assert refused(bursar, "budgets/all/credit", amount="1 USD", expires="30d", carry_over=True, id="x") == 409
    assert bursar.budget()["credit"] == "32"
    assert [row["action"] for row in audit(bursar)[:3]] == ["credit.undone", "credit", "credit"]
    change(bursar, "budgets/all/credit", amount="1 USD", id="x2")  # for this window there is
    bursar.kill9()
    bursar.start()
    assert bursar.budget()["credit"] == "33"
    assert verified(bursar)["ok"]


def test_limits_and_charges_under_load(vendor, start_bursar):
    """What was promised is the most that is spent, however it changes meanwhile."""
    bursar = start_bursar({"budgets": [budget("0.001 USD")], "workers": 2})
    over = threading.Event()

    def client():
        while not over.is_set():
            call(bursar.proxy, "/openai" + CHAT, chat(max_tokens=50), headers={"x-vendor-out": "50"})

    clients = [threading.Thread(target=client) for _ in range(8)]
    for c in clients:
        c.start()
    promised = USD // 1000
    for i in range(20):
        wait_for(lambda: promised - nanousd(bursar.budget()["spent"]) < USD // 1000, "the money to go")
        promised += USD // 1000
        if i % 2:
            change(bursar, "budgets/all/credit", amount="0.001 USD", id=f"c{i}")
        else:
            limit = nanousd(bursar.budget()["limit"]) + USD // 1000
            change(bursar, "budgets/all/limit", limit=f"{limit / USD:.9f} USD", id=f"l{i}")
        assert vendor.totals()["nanousd"] <= promised
    over.set()
    for c in clients:
        c.join(60)
    bursar.wait_settled()
    assert vendor.totals()["nanousd"] == nanousd(bursar.budget()["spent"]) <= promised
    bursar.stop()
    assert verified(bursar)["ok"]


def test_what_makes_no_sense_is_refused(start_bursar):
    bursar = start_bursar({"budgets": [budget("1 USD"), budget("9 USD", name="roll", window="rolling 24h")]})
    for path, body, status in [
        ("budgets/nobody/limit", {"limit": "1 USD"}, 404),
        ("budgets/all/limit", {"limit": "5 tokens"}, 422),
        ("budgets/all/limit", {"limit": "0"}, 422),
        ("budgets/all/limit", {"limit": "-1 USD"}, 422),
        ("budgets/all/limit", {"limit": "9223372036.854775807 USD"}, 422),
        ("budgets/all/limit", {"limit": 5}, 422),
        ("budgets/all/limit", {}, 422),
        ("budgets/all/limit", {"limit": "2 USD", "direction": "lower"}, 409),
        ("budgets/all/limit", {"limit": "2 USD", "direction": "up"}, 422),
        ("budgets/all/limit", {"limit": "2 USD", "reason": ""}, 422),
        ("budgets/all/limit", {"limit": "2 USD", "reason": "x" * 201}, 422),
        ("budgets/all/limit", {"limit": "2 USD", "reason": "a\nb"}, 422),
        ("budgets/all/limit", {"limit": "2 USD", "more": 1}, 422),
        ("budgets/all/limit", {"limit": "2 USD", "id": "x" * 129}, 422),
        ("budgets/all/credit", {"amount": "0"}, 422),
        ("budgets/all/credit", {"amount": "1", "expires": "yesterday"}, 422),
        ("budgets/all/credit", {"amount": "1", "expires": "2020-01-01"}, 422),
        ("budgets/all/credit", {"amount": "1", "scope": "user=ann"}, 404),
        ("budgets/all/credit", {"amount": "1", "carry_over": "yes"}, 422),
        ("budgets/roll/credit", {"amount": "1", "carry_over": True}, 422),
        ("budgets/all/charge", {"amount": "0"}, 422),
        ("budgets/all/charge", {"amount": "-1 USD"}, 409),
        ("ledger/99/refund", {"amount": "1 USD"}, 404),
        ("ledger/nothing/refund", {"amount": "1 USD"}, 404),
        (f"ledger/{'ab' * 16}/adjust", {"total": "1 USD"}, 404),
        (f"ledger/{'ab' * 16}/adjust", {"total": "1 USD", "amount": "1 USD"}, 422),
    ]:
        assert refused(bursar, path, **body) == status, (path, body)
    assert audit(bursar) == [] and bursar.ledger() == []
    viewer = bursar.create_key("looks", "--role", "viewer")
    assert bursar.api("/api/v1/budgets/all/limit", "POST", {}, token=viewer, raw=True)[0] == 403
    assert bursar.api("/api/v1/audit", token=viewer)["rows"] == []


# --- charges and corrections -----------------------------------------------------------------------------------------


def test_charges_count_and_can_be_taken_back(start_bursar):
    bursar = start_bursar({"budgets": [budget("1 USD"), budget("5000 tokens", name="tokens", window="hour")]})
    change(bursar, "budgets/all/charge", amount="0.9999999 USD")
    change(bursar, "budgets/tokens/charge", amount="4999")
    assert pay(bursar).status == 402
    bursar.kill9()
    bursar.start()
    assert bursar.budget()["spent"] == "0.9999999" and bursar.budget("tokens")["spent"] == "4999"
    change(bursar, "budgets/all/charge", amount="-0.5")
    change(bursar, "budgets/tokens/charge", amount="-4999 tokens")
    assert pay(bursar).status == 200
    kinds = [row["kind"] for row in bursar.ledger()]
    assert kinds == ["charge", "charge", "credit", "credit", "spend"]
    assert bursar.ledger()[0]["extra"] == {"reason": "a test", "actor": "admin", "budget": "all"}
    bursar.stop()
    assert verified(bursar)["ok"]


def test_a_call_is_refunded_and_adjusted(start_bursar):
    bursar = start_bursar({"budgets": [budget("1 USD")]})
    assert pay(bursar).status == 200
    row = bursar.ledger()[0]
    cost = nanousd(row["usd"])
    change(bursar, f"ledger/{row['id']}/refund", amount=f"0.{cost // 2:09d} USD")
    assert refused(bursar, f"ledger/{row['id']}/refund", amount=f"0.{cost:09d} USD") == 409
    assert nanousd(bursar.budget()["spent"]) == cost - cost // 2
    bursar.cli("budgets", "adjust", row["seq"], "0.25", "USD", "--reason", "the vendor's invoice")
    assert nanousd(bursar.budget()["spent"]) == USD // 4 - cost // 2
    assert refused(bursar, f"ledger/{row['seq']}/adjust", total="0.25 USD") == 422
    change(bursar, f"ledger/{row['seq']}/adjust", amount="-0.05 USD")
    bursar.kill9()
    bursar.start()
    assert nanousd(bursar.budget()["spent"]) == USD // 5 - cost // 2
    assert [r["kind"] for r in bursar.ledger()] == ["spend", "refund", "adjust", "adjust"]
    assert all(r["corrects"] == row["id"] for r in bursar.ledger()[1:])
    bursar.stop()
    assert verified(bursar)["ok"]


# --- once ------------------------------------------------------------------------------------------------------------


def test_asked_twice_is_done_once(start_bursar):
    bursar = start_bursar({"budgets": [budget("100 USD")]})
    first = change(bursar, "budgets/all/charge", amount="3 USD", id="c")
    again = change(bursar, "budgets/all/charge", amount="3 USD", id="c")
    assert again == {**first, "repeated": True} and bursar.budget()["spent"] == "3"
    assert refused(bursar, "budgets/all/charge", amount="4 USD", id="c") == 409
    for _ in range(2):
        change(bursar, "budgets/all/credit", amount="3 USD", id="k")
        change(bursar, "budgets/all/limit", limit="90 USD", id="l")
    assert bursar.budget()["credit"] == "3" and len(audit(bursar)) == 3
    # the header does the same
    for _ in range(2):
        c = http.client.HTTPConnection("127.0.0.1", bursar.admin)
        c.request("POST", "/api/v1/budgets/all/charge", json.dumps({"amount": "2 USD", "reason": "r"}),
                  {"Authorization": f"Bearer {bursar.token}", "Content-Type": "application/json", "Idempotency-Key": "h"})
        assert c.getresponse().status == 200
        c.close()
    assert bursar.budget()["spent"] == "5"
    bursar.kill9()
    bursar.start()
    change(bursar, "budgets/all/charge", amount="2 USD", reason="r", id="h")
    assert bursar.budget()["spent"] == "5"


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("path,body", [
    ("budgets/all/credit", {"amount": "3 USD", "carry_over": True}),
    ("budgets/all/charge", {"amount": "3 USD"}),
    ("budgets/all/limit", {"limit": "90 USD"}),
])
def test_killed_at_the_commit_it_is_there_or_not_and_once_after_a_repeat(start_bursar, side, path, body):
    bursar = start_bursar({"budgets": [budget("100 USD", window="day")]}, start=False)
    killed = False
    for n in range(1, 9):
        bursar.popen_options = {"env": {**os.environ, "BURSAR_KILL_AT": f"{side}:committed:{n}"}}
        try:
            bursar.start()
            assert call(bursar.proxy, "/openai" + CHAT, chat(), timeout=10).status == 200
            bursar.wait_settled(10)
        except (AssertionError, OSError):
            bursar.process.wait(10)  # it died earlier than at the change
            continue
        try:
            change(bursar, path, id="once", **body)
        except OSError:
            killed = True
            break
        bursar.kill9()
        break
    bursar.process.wait(10)
    bursar.popen_options = {}
    bursar.start()
    rows = len(audit(bursar))
    assert rows == (1 if side == "after" or not killed else 0)
    figures = bursar.budget()
    assert (figures["credit"] == "3" or nanousd(figures["spent"]) >= 3 * USD or figures["limit"] == "90") == (rows == 1)
    done = change(bursar, path, id="once", **body)
    assert done["repeated"] == (rows == 1) and len(audit(bursar)) == 1
    figures = bursar.budget()
    if "credit" in path:
        assert figures["credit"] == "3"
    elif "charge" in path:
        assert 3 * USD <= nanousd(figures["spent"]) < 4 * USD
    else:
        assert figures["limit"] == "90"
    bursar.stop()
    assert verified(bursar)["ok"]
    assert killed, "no commit of the change was met"


# --- the log ---------------------------------------------------------------------------------------------------------


def test_the_audit_log_shows_when_it_was_changed(start_bursar):
    bursar = start_bursar({"budgets": [budget("100 USD")]})
    for n in range(3):
        change(bursar, "budgets/all/limit", limit=f"{90 + n} USD", reason=f"reason {n}")
    bursar.stop()
    table = bursar.cli("budgets", "audit").stdout.splitlines()
    assert len(table) == 4 and table[0].split()[:3] == ["SEQ", "TIME", "WHO"]
    assert len({line.index("limit", 20) for line in table[1:]}) == 1  # columns line up
    assert verified(bursar)["audit_rows"] == 3
    db = sqlite3.connect(bursar.data / "bursar.db")
    db.execute("UPDATE audit SET reason='another' WHERE seq=2")
    db.commit()
    db.close()
    report = verified(bursar)
    assert not report["ok"] and report["audit_errors"] == 1


def test_the_step_that_is_reached_is_shown(start_bursar):
    steps = [{"at": "50%", "do": "alert"}, {"do": "clamp"}, {"do": "block"}]
    bursar = start_bursar({"budgets": [{**budget("1 USD"), "steps": steps}]})
    assert bursar.budget()["step"] is None
    change(bursar, "budgets/all/charge", amount="0.6")
    assert bursar.budget()["step"] == "alert"
    change(bursar, "budgets/all/charge", amount="0.36")
    assert bursar.budget()["step"] == "clamp"
    assert " clamp " in bursar.cli("budgets").stdout


def test_children_who_promise_too_much_are_told_by_check_config(start_bursar):
    budgets = [budget("10 USD", name="org", window="day")]
    for model in ("gpt-4.1*", "gpt-5*"):
        budgets.append({**budget("6 USD", name=model, window="day"), "parent": "org", "match": {"model": model}})
    bursar = start_bursar({"budgets": budgets}, start=False)
    done = bursar.cli("check-config")
    assert "warning" in done.stderr and "12 USD" in done.stderr
