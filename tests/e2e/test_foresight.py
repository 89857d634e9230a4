"""Figures of the future, asked over HTTP and by the command line, and what is told once, whatever is restarted."""

import csv
import io
import json
import os
import sqlite3

import pytest

from harness import CHAT, budget, call, chat, nanousd, wait_for


def spend(bursar, n, tokens=1000, model="gpt-4.1"):
    for _ in range(n):
        answer = call(bursar.proxy, "/openai" + CHAT, chat(max_tokens=tokens, model=model), headers={"x-vendor-out": str(tokens)})
        assert answer.status == 200
    bursar.wait_settled()


def data(bursar, path, **more):
    answer = bursar.api(path, **more)
    assert answer["status"] == "success"
    return answer["data"]


def notes(bursar):
    with sqlite3.connect(f"file:{bursar.data}/bursar.db?mode=ro", uri=True) as db:
        return db.execute("SELECT kind, action, at_ppm, payload FROM event WHERE action >= 100 ORDER BY id").fetchall()


BUDGETS = [budget("50 USD", name="daily", window="day"), budget("1000 USD", name="monthly", window="month")]


def test_figures_are_the_ledgers(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    spend(bursar, 5)
    spent = sum(nanousd(row["usd"]) for row in bursar.ledger()) / 1e9
    status = data(bursar, "/api/v1/budget/status")
    for day in (status["daily"], status["monthly"], status["budget_summary"]["daily_budget"]):
        assert day["total_cost"] == pytest.approx(spent, abs=1e-6)
        assert day["record_count"] == 5
        assert day["reserved"] == 0
    assert status["projections"]["daily"]["current_cost"] == pytest.approx(spent, abs=1e-6)
    assert status["health_score"]["health_status"] in ("excellent", "good", "warning", "critical", "emergency")
    trends = data(bursar, "/api/v1/budget/trends?days=7")
    assert list(trends["daily_breakdown"].values()) == [pytest.approx(spent, abs=1e-6)]
    overview = data(bursar, "/api/v1/dashboard/overview")
    assert overview["metrics"]["total_api_calls"] == 5
    assert overview["metrics"]["monitoring_active"] is True
    assert overview["system_health"]["overall_status"] == "healthy"
    costs = data(bursar, "/api/v1/analytics/costs?time_range=last_24_hours&granularity=hourly")
    assert costs["trends"]["total_cost"] == pytest.approx(spent, abs=1e-6)
    assert data(bursar, "/api/v1/circuit-breakers")["system_health"]["status"] in ("no_breakers", "healthy")


def test_check_and_limits(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})

    def check(usd):
        return data(bursar, "/api/v1/budget/check", method="POST", body={"cost_amount": usd, "operation_type": "llm_call"})

    assert check(50)["operation_allowed"] is True
    assert check(50.01)["operation_allowed"] is False
    data(bursar, "/api/v1/budget/limits", method="PUT", body={"daily_budget": 60, "reason": "a busy day"})
    assert check(50.01)["operation_allowed"] is True
    bursar.stop()
    bursar.start()
    assert check(60)["operation_allowed"] is True and check(60.01)["operation_allowed"] is False
    assert "a busy day" in json.dumps(bursar.api("/api/v1/audit"))


@pytest.mark.parametrize("day, month, usd, allowed, health, alert", [
    (23.45, 346.78, 5.00, True, "healthy", None),
    (37.00, 346.78, 0.50, True, "healthy", ("daily", "warning", 75.0)),
    (45.00, 346.78, 5.00, True, "critical", ("daily", "exceeded", 100.0)),
    (45.00, 346.78, 5.01, False, "critical", ("daily", "exceeded", 100.02)),
    (10.00, 999.50, 1.00, False, "critical", ("monthly", "exceeded", 100.05)),
    (50.01, 346.78, 0, False, "exceeded", ("daily", "exceeded", 100.02)),
])
def test_a_check_before_a_call(start_bursar, day, month, usd, allowed, health, alert):
    """The day and the month are filled by charges, at a fixed time."""
    bursar = start_bursar({"budgets": BUDGETS}, start=False)
    bursar.popen_options = {"env": {**os.environ, "BURSAR_FAKE_NOW": "2025-08-06T13:00:00Z"}}
    bursar.start()
    for name, amount in (("daily", day), ("monthly", month)):
        bursar.api(f"/api/v1/budgets/{name}/charge", method="POST", body={"amount": f"{amount} USD", "reason": "spent elsewhere"})
    for again in (False, True):
        answer = data(bursar, "/api/v1/budget/check", method="POST", body={"cost_amount": usd, "operation_type": "llm_call"})
        assert answer["operation_allowed"] is allowed and answer["budget_health"] == health
        assert answer["daily_status"]["date"] == "2025-08-06" and answer["monthly_status"]["month"] == "2025-08"
        assert answer["daily_status"]["total_cost"] == day and answer["monthly_status"]["total_cost"] == month
        assert answer["daily_status"]["projected_cost"] == pytest.approx(day + usd, abs=1e-9)
        listed = [(a["period_type"], a["alert_level"], a["percentage_used"]) for a in answer["alerts_generated"]]
        assert listed == ([alert] if alert and not again else [])


def test_burn_is_told_once_and_found_again_after_a_restart(start_bursar):
    bursar = start_bursar({"budgets": [budget("100 USD", name="monthly", window="month")]})
    spend(bursar, 8, tokens=32000)
    spent = sum(nanousd(row["usd"]) for row in bursar.ledger()) / 1e9
    assert spent >= 2, "the test needs 2 USD, 14.4 times what an hour of 100 USD a month may cost"
    before = data(bursar, "/api/v1/budgets/monthly/forecast")["budgets"][0]
    assert before["burn"]["rows"][0]["over"] is True
    bursar.stop()
    bursar.start()
    wait_for(lambda: [n for n in notes(bursar) if n[0] == "budget.burn_rate"], "the burn rate to be told")
    told = notes(bursar)
    fast = json.loads([n for n in told if n[0] == "budget.burn_rate" and n[2] == 0][0][3])
    assert fast["row"] == "fast" and fast["action"] == "page" and "monthly" in fast["message"]
    # Same ledger, same verdict: what another process finds is what was found.
    after = data(bursar, "/api/v1/budgets/monthly/forecast")["budgets"][0]
    assert [r["over"] for r in after["burn"]["rows"]] == [r["over"] for r in before["burn"]["rows"]]
    assert after["spent"] == before["spent"]
    rounds = len(told)
    bursar.stop()
    bursar.start()
    spend(bursar, 1, tokens=16)
    assert len([n for n in notes(bursar) if n[1] == 100]) == rounds
    alerts = data(bursar, "/api/v1/dashboard/overview")["recent_alerts"]
    assert "budget.burn_rate" in {a["type"] for a in alerts}
    assert "budget.burn_rate" in json.dumps(bursar.log_lines())


def test_command_line(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    spend(bursar, 2)
    text = bursar.cli("forecast").stdout
    assert "daily" in text and "monthly" in text and "P90" in text
    rows = list(csv.DictReader(io.StringIO(bursar.cli("forecast", "monthly", "--format", "csv").stdout)))
    assert len(rows) == 1
    bursar.stop()
    offline = json.loads(bursar.cli("forecast", "--format", "json").stdout)
    assert {row["name"] for row in offline} == {"daily", "monthly"}
    assert nanousd([r for r in offline if r["name"] == "daily"][0]["spent"]) > 0
    assert bursar.cli("forecast", "nobody", check=False).returncode != 0


def test_series_of_a_killed_server_are_whole(start_bursar):
    """After kill -9 the sums by time are those of the ledger: the verdict of `bursar verify`."""
    bursar = start_bursar({"budgets": BUDGETS})
    spend(bursar, 3)
    bursar.kill9()
    bursar.start()
    spend(bursar, 1)
    assert data(bursar, "/api/v1/budget/status")["daily"]["record_count"] == 4
    bursar.stop()
    assert json.loads(bursar.cli("verify", "--format", "json").stdout)["sum_errors"] == 0


def test_a_wild_hour_and_a_month_that_will_be_over_are_told_once(start_bursar):
    """Eight quiet days at ten in the morning, each by a server of its own time; on the ninth twenty times as much."""
    bursar = start_bursar({"budgets": [budget("9 USD", name="monthly", window="month")]}, start=False)

    def at(instant):
        bursar.stop()
        bursar.popen_options = {"env": {**os.environ, "BURSAR_FAKE_NOW": instant}}
        bursar.start()

    for day in range(1, 9):
        at(f"2026-10-{day:02d}T10:05:00Z")
        spend(bursar, 1, tokens=32000)
    quiet = data(bursar, "/api/v1/anomalies")["hours"][0]
    assert quiet["scope"] == "everything" and quiet["level"] == 0
    at("2026-10-09T10:10:00Z")
    spend(bursar, 20, tokens=32000)
    at("2026-10-09T10:20:00Z")
    wait_for(lambda: {"spend.anomaly", "forecast.over"} <= {n[0] for n in notes(bursar)}, "both to be told")
    wild = data(bursar, "/api/v1/anomalies")["hours"][0]
    assert wild["level"] == 2 and wild["baseline"] == "hour_of_day" and wild["n"] >= 7
    assert wild["most_increased"][0]["model"] == "gpt-4.1"
    told = [json.loads(n[3]) for n in notes(bursar) if n[0] == "spend.anomaly"]
    everything = [n for n in told if n["scope"] == "everything"]
    assert len(everything) == 1 and everything[0]["level"] == 2 and everything[0]["most_increased"]
    assert {"x", "m", "s", "n", "z"} <= everything[0].keys()
    over = [json.loads(n[3]) for n in notes(bursar) if n[0] == "forecast.over"]
    assert len(over) == 1 and over[0]["figures"]["forecast"]["over"] is True
    at("2026-10-09T10:25:00Z")  # the same again, and nothing is told twice
    wait_for(lambda: data(bursar, "/api/v1/anomalies")["hours"][0]["level"] == 2, "the same verdict")

    def scopes():
        return [json.loads(n[3])["scope"] for n in notes(bursar) if n[0] == "spend.anomaly"]

    wait_for(lambda: "model:gpt-4.1" in scopes(), "every scope to be told")
    spend(bursar, 1, tokens=16)
    assert len(set(scopes())) == len(scopes())
    assert len([n for n in notes(bursar) if n[0] == "forecast.over"]) == 1
