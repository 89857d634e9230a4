"""Prices that change under a running server, and past calls that are brought to today's prices."""

import hashlib
import json

import pytest

from harness import CHAT, budget, call, chat, nanousd

MODEL = "gpt-4.1-mini"
USAGE = {"x-vendor-in": "1000", "x-vendor-out": "100"}


def ask(bursar, model=MODEL, n=1):
    for _ in range(n):
        assert call(bursar.proxy, "/openai" + CHAT, chat(model=model), headers=USAGE).status == 200
    bursar.wait_settled()


def last_call(bursar):
    return [r for r in bursar.ledger() if r["kind"] == "spend"][-1]


def cost(row, in_usd, out_usd):
    """Nano-dollars of a row at these prices for a million tokens; nothing else is priced here."""
    pico = row["input_tokens"] * round(in_usd * 10**6) + row["output_tokens"] * round(out_usd * 10**6)
    return -(-pico // 1000)


def set_price(bursar, in_usd, out_usd, model=MODEL):
    bursar.cli("prices", "set", "openai", model, "--in", in_usd, "--out", out_usd, "--cached", in_usd)


def total(bursar):
    return sum(nanousd(r["usd"]) for r in bursar.ledger())


def reprice(bursar, *more, check=True):
    done = bursar.cli("prices", "reprice", "--format", "json", *more, check=check)
    return json.loads(done.stdout) if check else done


def verified(bursar):
    report = json.loads(bursar.cli("verify", "--format", "json").stdout)
    assert report["ok"] and report["price_errors"] == 0
    return report


def test_a_running_server_takes_a_price_up_for_the_next_call(bursar):
    ask(bursar)
    before = last_call(bursar)
    set_price(bursar, 7, 9)
    ask(bursar)
    after = last_call(bursar)
    assert nanousd(after["usd"]) == cost(after, 7, 9) != nanousd(before["usd"])
    assert after["price_version"] != before["price_version"]
    report = verified(bursar)  # each row by the book that it was priced with
    assert report["price_rows"] == 2 and report["price_skipped"] == 0


def test_repricing_moves_ledger_and_open_budgets_once(bursar):
    ask(bursar, n=3)
    old = total(bursar)
    set_price(bursar, 7, 9)
    new = 3 * cost(last_call(bursar), 7, 9)
    looked = reprice(bursar, "--dry-run")
    assert looked["rows"] == looked["changed"] == 3 and looked["dry_run"]
    assert [m["model"] for m in looked["models"]] == [MODEL]
    assert nanousd(looked["models"][0]["delta_usd"]) == new - old
    assert total(bursar) == old
    done = reprice(bursar, "--yes")
    assert done["changed"] == 3 and nanousd(done["models"][0]["new_usd"]) == new
    assert total(bursar) == new == nanousd(bursar.budget()["spent"])
    corrections = [r for r in bursar.ledger() if r["kind"] == "adjust"]
    spends = {r["id"] for r in bursar.ledger() if r["kind"] == "spend"}
    assert {r["corrects"] for r in corrections} == spends
    assert all("priced again" in r["extra"]["reason"] and r["extra"]["actor"] for r in corrections)
    assert reprice(bursar, "--yes")["changed"] == 0
    verified(bursar)
    # And back again, by another correction of each.
    set_price(bursar, 1, 1)
    assert reprice(bursar, "--yes")["changed"] == 3
    assert total(bursar) == 3 * cost(last_call(bursar), 1, 1) == nanousd(bursar.budget()["spent"])
    set_price(bursar, 7, 9)
    assert reprice(bursar, "--yes")["changed"] == 3
    assert total(bursar) == new
    verified(bursar)


def test_repricing_survives_restarts_and_works_without_a_server(bursar):
    ask(bursar, n=2)
    set_price(bursar, 7, 9)
    bursar.stop()
    assert reprice(bursar, "--yes")["changed"] == 2
    assert reprice(bursar, "--yes")["changed"] == 0
    bursar.start()
    assert total(bursar) == nanousd(bursar.budget()["spent"]) == 2 * cost(last_call(bursar), 7, 9)
    bursar.kill9()
    bursar.start()
    assert total(bursar) == nanousd(bursar.budget()["spent"])
    verified(bursar)


def test_repricing_can_be_narrowed(bursar):
    ask(bursar)
    ask(bursar, model="gpt-4o")
    set_price(bursar, 7, 9)
    set_price(bursar, 7, 9, model="gpt-4o")
    assert reprice(bursar, "--dry-run", "--model", "gpt-4o")["changed"] == 1
    assert reprice(bursar, "--dry-run", "--provider", "anthropic")["changed"] == 0
    assert reprice(bursar, "--dry-run", "--since", "2100-01-01")["changed"] == 0
    assert reprice(bursar, "--dry-run", "--until", "2000-01-01")["changed"] == 0
    assert reprice(bursar, "--dry-run")["changed"] == 2
    assert reprice(bursar, "--dry-run", "--since", "yesterday", check=False).returncode == 1
    assert reprice(bursar, check=False).returncode == 2  # neither --yes nor anybody to ask


def test_a_correction_makes_a_spent_budget_fit_again(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.01 USD")]})
    set_price(bursar, 50, 50)
    body = chat(model=MODEL)
    statuses = []
    while len(statuses) < 100 and 402 not in statuses:
        statuses.append(call(bursar.proxy, "/openai" + CHAT, body, headers=USAGE).status)
        bursar.wait_settled()
    assert 200 in statuses and statuses[-1] == 402
    set_price(bursar, 0.1, 0.1)
    reprice(bursar, "--yes")
    assert call(bursar.proxy, "/openai" + CHAT, body, headers=USAGE).status == 200


def test_a_model_that_was_unknown_is_priced_later(start_bursar, tmp_path):
    book = tmp_path / "book.json"
    book.write_text(json.dumps({"format": "bursar-prices/1", "version": 1, "currency": "USD", "providers": [
        {"id": "openai", "models": [{"id": "gpt-4o", "match": [["eq", "gpt-4o"]], "ctx": 128000, "max_out": 16384,
                                     "prices": [{"rates": {"in": "2.5", "out": "10"}}]}]}]}))
    prices = {"prices": {"book": str(book)}}
    refused = call(start_bursar(prices, name="hard").proxy, "/openai" + CHAT, chat())
    assert refused.status == 400 and f"bursar prices set openai {MODEL}" in refused.json()["error"]["message"]
    bursar = start_bursar({"budgets": [budget("5 USD", mode="soft")], **prices})
    ask(bursar)
    row = last_call(bursar)
    assert "no_price" in row["flags"] and nanousd(row["usd"]) == 0
    assert reprice(bursar, "--dry-run")["unpriced"] == 1
    bursar.cli("prices", "set", "openai", MODEL, "--like", "gpt-4o", "--in", "3")
    out = reprice(bursar, "--yes")
    assert out["changed"] == 1 and out["unpriced"] == 0
    assert total(bursar) == cost(row, 3, 10) == nanousd(bursar.budget()["spent"])
    verified(bursar)


def litellm(tmp_path, name, in_usd, **more):
    path = tmp_path / name
    record = {"litellm_provider": "openai", "input_cost_per_token": in_usd, "output_cost_per_token": 1.6e-06}
    path.write_text(json.dumps({"sample_spec": {}, MODEL: {**record, **more}}))
    return path


def test_imports_show_what_changes_and_refuse_what_looks_wrong(bursar, tmp_path):
    good = litellm(tmp_path, "good.json", 5e-07)
    shown = json.loads(bursar.cli("prices", "diff", good, "--output", "json").stdout)
    assert [(d["model"], d["unit"], d["old"], d["new"], d["change"]) for d in shown] == [
        (MODEL, "in", "0.4", "0.5", "+25.0 %")]
    ask(bursar)
    bursar.cli("prices", "import", good, "--dry-run")
    ask(bursar)
    assert last_call(bursar)["usd"] == bursar.ledger()[0]["usd"]
    wrong = bursar.cli("prices", "import", good, "--sha256", "00" * 32, check=False)
    assert wrong.returncode == 1 and "SHA-256" in wrong.stderr
    bursar.cli("prices", "import", good, "--sha256", hashlib.sha256(good.read_bytes()).hexdigest())
    ask(bursar)
    assert nanousd(last_call(bursar)["usd"]) == cost(last_call(bursar), 0.5, 1.6)
    wild = litellm(tmp_path, "wild.json", 2e-06)
    refused = bursar.cli("prices", "import", wild, check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr and "+300.0 %" in refused.stdout
    bursar.cli("prices", "import", wild, "--force")
    ask(bursar)
    assert nanousd(last_call(bursar)["usd"]) == cost(last_call(bursar), 2, 1.6)
    verified(bursar)
    for bad in ("http://127.0.0.1:9/x", "file:///etc/passwd", tmp_path / "not-there"):
        assert bursar.cli("prices", "import", bad, check=False).returncode == 1


def test_a_price_of_an_unknown_kind_leaves_its_model_out(bursar, tmp_path):
    odd = litellm(tmp_path, "odd.json", 5e-07, output_cost_per_moon=1)
    done = bursar.cli("prices", "import", odd)
    assert "no unit for output_cost_per_moon" in done.stderr and "0 prices change" in done.stdout


def test_show_and_check(bursar):
    rows = json.loads(bursar.cli("prices", "show", "openai", MODEL, "--format", "json").stdout)
    assert any(r["service"] == "standard" and "in 0.4" in r["rates"] for r in rows)
    assert len(json.loads(bursar.cli("prices", "show", "--format", "json").stdout)) > 3
    assert "is good" in bursar.cli("prices", "check").stdout
    assert bursar.cli("prices", "show", "openai", "no-such-model", check=False).returncode == 1
    assert bursar.cli("prices", "sing", check=False).returncode == 2


@pytest.mark.parametrize("body,field", [
    ({"since": 7}, "since"), ({"dry_run": "yes"}, "dry_run"), ({"after": -1}, "after"), ({"model": []}, "model"),
    ({"actor": ""}, "actor"), ({"sinse": "2026-01-01"}, "field"),
])
def test_the_api_says_what_is_wrong_with_a_question(bursar, body, field):
    status, answer = bursar.api("/api/v1/prices/reprice", "POST", body, raw=True)
    assert status == 422 and json.loads(answer)["detail"][0]["loc"] == ["body", field]


def test_only_the_administrator_changes_prices(bursar):
    viewer = bursar.create_key("looks", "--role", "viewer")
    for action in ("reload", "reprice"):
        assert bursar.api(f"/api/v1/prices/{action}", "POST", {}, token=viewer, raw=True)[0] == 403
        assert bursar.api(f"/api/v1/prices/{action}", "POST", {}, token="nobody", raw=True)[0] == 401
