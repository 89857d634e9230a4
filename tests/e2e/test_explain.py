"""`bursar explain` says what then happens, and changes nothing; `bursar simulate` replays what did."""

import concurrent.futures
import json
import subprocess

import pytest

from harness import BURSAR, CHAT, ROOT, budget, call, chat, nanousd, wait_for


def explain(bursar, *args):
    return json.loads(bursar.cli("explain", *args, "--format", "json").stdout)


def simulate(policy, *args):
    done = subprocess.run([str(BURSAR), "simulate", "--config", str(policy), "--format", "json", *map(str, args)],
                          capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def policy_of(bursar, name, budgets):
    path = bursar.dir / name
    path.write_text(json.dumps({**bursar.config, "budgets": budgets}))
    return path


def request_file(bursar, body, name="request.json"):
    path = bursar.dir / name
    path.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    return path


def send(bursar, key, body, **headers):
    return call(bursar.proxy, "/openai" + CHAT, body, headers={"authorization": "Bearer " + key, **headers})


def asked(bursar, key, body, *more):
    return explain(bursar, "--key", key, "--provider", "openai", "--path", "/v1/chat/completions",
                   "--request", request_file(bursar, body), *more)


def counters(bursar):
    return {k: (v["spent"], v["held"]) for k, v in bursar.budgets().items()}


BUDGETS = [
    budget("1 USD", name="all", window="month", timezone="Europe/Berlin"),
    budget("0.5 USD", name="red", window="day", match={"team": "red"}),
    budget("0.5 USD", name="blue", window="day", match={"team": "blue"}),
    budget("100000 tokens", name="mine", window="day", per=["user"], mode="soft"),
]


def test_says_what_is_held_and_what_the_call_meets(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    key = bursar.create_key("ann", "--team", "red", "--user", "ann", "--tag", "env=prod")
    body = chat(max_tokens=100)
    told = asked(bursar, "ann", body, "--all")
    assert told["principal"]["team"] == "red" and told["principal"]["tags"] == {"env": "prod"}
    assert [b["name"] for b in told["budgets"]] == ["all", "red", "mine"]
    assert [o["name"] for o in told["others"]] == ["blue"] and "team must be blue" in told["others"][0]["because"]
    assert told["budgets"][0]["zone"] == "Europe/Berlin" and told["budgets"][2]["scope"] == "user=ann"
    assert told["decision"]["admitted"]
    assert send(bursar, key, body).status == 200
    bursar.wait_settled()
    row = bursar.ledger()[0]
    assert row["held_usd"] == told["decision"]["held_usd"] == told["budgets"][0]["need"]
    later = asked(bursar, "ann", body)
    assert later["budgets"][0]["spent"] == row["usd"] and later["budgets"][0]["held"] == "0"


def test_changes_nothing_not_even_counters(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    bursar.create_key("ann", "--team", "red")
    before = counters(bursar)
    for user in ("zoe", "eve"):
        told = explain(bursar, "--key", "ann", "--user", user, "--provider", "openai", "--model", "gpt-4.1-mini")
        assert told["budgets"][-1]["scope"] == f"user={user}"
    assert counters(bursar) == before
    assert bursar.ledger() == []


def test_a_refusal_is_told_as_the_application_sees_it(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.0001 USD", name="tiny", window="day", steps=[{"at": "100%", "do": "block"}])]})
    key = bursar.create_key("ann")
    body = chat(max_tokens=1000)
    told = asked(bursar, "ann", body)["decision"]
    answer = send(bursar, key, body)
    assert (told["admitted"], told["status"], answer.status) == (False, 402, 402)
    assert told["body"] == answer.json()
    assert told["message"] == answer.json()["error"]["message"]


def test_an_unknown_model_is_told_as_the_application_sees_it(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    key = bursar.create_key("ann")
    body = chat(model="nonsense")
    told, answer = asked(bursar, "ann", body)["decision"], send(bursar, key, body)
    assert told["status"] == answer.status == 400
    assert told["body"] == answer.json()


def test_clamped_as_it_then_is(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.001 USD", name="small", window="day")]})
    key = bursar.create_key("ann")
    body = chat(max_tokens=4000)
    told = asked(bursar, "ann", body)
    assert [r["result"] for r in told["ladder"] if r["rung"] == "clamp"] == ["changed"]
    answer = send(bursar, key, body, **{"x-vendor-out": "10"})
    assert answer.status == 200
    assert answer["x-bursar-clamped"] == told["decision"]["headers"]["x-bursar-clamped"]
    assert answer["x-bursar-clamped"].endswith(f"={told['decision']['max_out']}")


def test_degraded_as_it_then_is(start_bursar):
    steps = [{"at": "1%", "do": "degrade", "map": {"gpt-4.1": "gpt-4.1-mini"}}, {"at": "100%", "do": "block"}]
    bursar = start_bursar({"budgets": [budget("0.01 USD", name="team", window="day", steps=steps)]})
    key = bursar.create_key("ann")
    body = chat(max_tokens=300, model="gpt-4.1")
    told = asked(bursar, "ann", body)
    assert told["decision"]["model"] == "gpt-4.1-mini" and told["budgets"][0]["verdict"] == "degrades"
    stubborn = asked(bursar, "ann", body, "--no-degrade")["decision"]
    refused = send(bursar, key, body, **{"x-bursar-no-degrade": "1"})
    assert stubborn["status"] == refused.status == 402
    assert stubborn["message"] == refused.json()["error"]["message"]
    answer = send(bursar, key, body)
    assert answer.status == 200
    assert answer["x-bursar-degraded-from"] == told["decision"]["headers"]["x-bursar-degraded-from"] == "gpt-4.1"
    bursar.wait_settled()
    assert bursar.ledger()[0]["held_usd"] == told["decision"]["held_usd"]


def test_near_the_limit_the_prompt_is_counted(start_bursar):
    bursar = start_bursar({"budgets": [budget("0.002 USD", name="near", window="day")]})
    key = bursar.create_key("ann")
    body = chat(max_tokens=600, text="counted by the token and not by the byte " * 80)
    told = asked(bursar, "ann", body)
    assert [r["rung"] for r in told["ladder"]] == ["bound", "hold", "exact_count", "hold"]
    assert send(bursar, key, body).status == 200
    bursar.wait_settled()
    assert bursar.ledger()[0]["held_usd"] == told["decision"]["held_usd"]


@pytest.mark.parametrize("limit", ["0.05 USD", "1000 USD"])
def test_streams_begin_on_what_is_told(start_bursar, limit):
    bursar = start_bursar({"budgets": [budget(limit, name="all", window="day")]})
    key = bursar.create_key("ann")
    body = chat(stream=True)
    del body["max_tokens"]
    told = asked(bursar, "ann", body)
    assert "growing" in [r["rung"] for r in told["ladder"]]
    assert send(bursar, key, body, **{"x-vendor-out": "10"}).status == 200
    bursar.wait_settled()
    assert bursar.ledger()[0]["held_usd"] == told["decision"]["held_usd"]


@pytest.mark.parametrize("second", [chat(max_tokens=4000), {k: v for k, v in chat(stream=True).items() if k != "max_tokens"}],
                         ids=["clamped", "stream"])
def test_money_that_others_hold_is_waited_for_as_it_then_is(start_bursar, second):
    bursar = start_bursar({"budgets": [budget("0.001 USD", name="small", window="day")]})
    key = bursar.create_key("ann")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, bursar, key, chat(max_tokens=4000), **{"x-vendor-delay-ms": "4000"})
        wait_for(lambda: bursar.held() > 0, "the first call to hold")
        told, answer = asked(bursar, "ann", second)["decision"], send(bursar, key, second)
        assert told["status"] == answer.status == 429
        assert told["body"] == answer.json()
        assert first.result().status == 200


def test_a_past_call_to_the_last_nano_dollar(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    key = bursar.create_key("ann", "--team", "red")
    answer = send(bursar, key, chat(max_tokens=100), **{"x-vendor-out": "77"})
    bursar.wait_settled()
    row = bursar.ledger()[0]
    told = explain(bursar, "--call", answer["x-bursar-request-id"])
    past, price = told["call"], told["call"]["price"]
    assert past["usd"] == row["usd"] and past["held_usd"] == row["held_usd"] and told["costs_usd"] == row["usd"]
    assert price["version"] == row["price_version"] and price["same_as_charged"]
    assert {l["unit"]: l["quantity"] for l in price["lines"]} == {"in": row["input_tokens"], "out": 77}
    assert sum(nanousd(l["usd"]) for l in price["lines"]) == nanousd(row["usd"])
    assert {(c["budget"], c["amount"]) for c in past["counters"]} == {
        ("all", row["usd"]), ("red", row["usd"]), ("mine", str(row["input_tokens"] + 77))}
    assert told["corrections"] == []
    # the same without a server
    bursar.stop()
    assert explain(bursar, "--call", row["id"]) == told
    assert bursar.cli("explain", "--call", "req_" + "0" * 32, check=False).returncode == 1


def test_a_revoked_key_is_said_to_be(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    bursar.create_key("ann")
    bursar.cli("keys", "revoke", "ann")
    told = explain(bursar, "--key", "ann", "--provider", "openai", "--model", "gpt-4.1-mini")
    assert told["principal"]["key_state"] == "revoked" and told["decision"]["status"] == 401


def test_a_key_may_be_named_by_its_text_which_is_not_repeated(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    key = bursar.create_key("ann", "--team", "red")
    words = bursar.cli("explain", "--key", key, "--provider", "openai", "--model", "gpt-4.1-mini", "--format", "json").stdout
    assert key not in words and json.loads(words)["principal"]["key"] == "ann"
    assert "no virtual key" in explain(bursar, "--key", "x", "--provider", "openai", "--model", "m")["principal"]["key_state"]


@pytest.mark.parametrize("ask", [
    {"provider": "openai"}, {"provider": 7}, {"provider": "nobody", "model": "m"}, {"model": "gpt-5"},
    {"provider": "openai", "model": "gpt-5", "max_out": -1}, {"provider": "openai", "model": "gpt-5", "tags": ["a"]},
    {"provider": "openai", "model": "gpt-5", "path": "no/slash"}, {"call": "req_zz"}, {"call": 3},
    {"provider": "openai", "path": "/v1/chat/completions", "body": "{\"model\":\"a\",\"model\":\"b\"}"},
    {"provider": "openai", "path": "/v1/chat/completions", "body": "not json"},
    {"provider": "openai", "model": "gpt-5", "surprise": 1},
    {"provider": "openai", "model": "x" * 500}, {"provider": "openai", "model": "gpt-5", "key": "k" * 500},
    {"provider": "openai", "model": "gpt-5", "tags": {f"t{i}": "v" for i in range(17)}},
])
def test_bad_questions_are_refused_with_the_field(bursar, ask):
    status, answer = bursar.api("/api/v1/explain", "POST", ask, raw=True)
    assert status == 422, answer


def test_viewers_may_ask_and_strangers_may_not(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    viewer = bursar.create_key("eye", "--role", "viewer")
    ask = {"provider": "openai", "model": "gpt-4.1-mini"}
    assert bursar.api("/api/v1/explain", "POST", ask, token=viewer)["decision"]["admitted"]
    assert bursar.api("/api/v1/explain", "POST", ask, token="bur_nobody", raw=True)[0] == 401
    assert bursar.api("/api/v1/explain", "GET", raw=True)[0] == 405


def test_tables_for_people(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    key = bursar.create_key("ann", "--team", "red")
    send(bursar, key, chat())
    bursar.wait_settled()
    words = bursar.cli("explain", "--key", "ann", "--provider", "openai", "--model", "gpt-4.1-mini").stdout
    for expected in ("BUDGET", "SHARE%", "Europe/Berlin", "RUNG", "ADMITTED"):
        assert expected in words
    words = bursar.cli("explain", "--call", bursar.ledger()[0]["id"]).stdout
    for expected in ("QUANTITY", "as charged", "WINDOW NOW"):
        assert expected in words
    for wrong in (["--call", "req_1"], [], ["--provider", "openai"], ["--provider", "openai", "--request", "/dev/null"],
                  ["--provider", "openai", "--model", "m", "--tag", "x"], ["--provider", "openai", "--model", "m", "--max-out", "-1"]):
        assert bursar.cli("explain", *wrong, check=False).returncode in (1, 2), wrong


# --- simulate ---------------------------------------------------------------------------------------------------------


def test_the_policy_in_force_would_have_blocked_nothing(start_bursar):
    """All that it let in, it lets in again; beside the running server and without it."""
    bursar = start_bursar({"budgets": [budget("0.004 USD", name="all", window="day", steps=[{"at": "100%", "do": "block"}])]})
    key = bursar.create_key("ann")
    statuses = [send(bursar, key, chat(max_tokens=200), **{"x-vendor-out": "150"}).status for _ in range(25)]
    assert 402 in statuses and 200 in statuses
    bursar.wait_settled()
    told = simulate(bursar.config_path)
    assert told["calls"] == told["admitted"] == statuses.count(200)
    assert told["not_spent_usd"] == "0" and told["first_block_at"] is None
    bursar.stop()
    again = simulate(bursar.config_path)
    for answer in (told, again):
        answer.pop("from"), answer.pop("to")
    assert told == again


def test_a_stricter_policy_would_have_blocked_some(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    keys = {name: bursar.create_key(name, "--team", team) for name, team in (("ann", "red"), ("bob", "blue"))}
    for _ in range(5):
        for key in keys.values():
            assert send(bursar, key, chat(max_tokens=200), **{"x-vendor-out": "100"}).status == 200
    bursar.wait_settled()
    rows = bursar.ledger()
    each = nanousd(rows[0]["usd"])
    strict = [budget("1 USD", name="all"),
              budget("0.0005 USD", name="red", window="day", match={"team": "red"}, steps=[{"at": "100%", "do": "block"}])]
    told = simulate(policy_of(bursar, "strict.yaml", strict))
    hold, spent, admitted = nanousd(rows[0]["held_usd"]), 0, 0
    for row in rows:
        if row["team"] == "blue" or spent + hold <= 500000:
            admitted += 1
            spent += each if row["team"] == "red" else 0
    assert told["calls"] == 10 and told["admitted"] == admitted and 5 < admitted < 10
    assert nanousd(told["not_spent_usd"]) == each * (10 - admitted)
    assert [b["blocked"] for b in told["budgets"]] == [0, 10 - admitted]
    assert told["teams"] == [{"name": "red", "refused": 10 - admitted, "slowed": 0, "degraded": 0, "clamped": 0,
                              "not_spent_usd": told["not_spent_usd"]}]
    assert explain(bursar, "--call", told["first_block_call"])["call"]["team"] == "red"
    before = bursar.ledger()
    csv = bursar.cli("simulate", "--format", "csv").stdout.splitlines()
    assert csv[0].startswith("name,mode,window") and len(csv) == 1 + len(BUDGETS)
    words = subprocess.run([str(BURSAR), "simulate", "-c", str(bursar.dir / "strict.yaml")], capture_output=True, text=True)
    assert "blocked, budget spent (402)" in words.stdout and "would not have tried again" in words.stdout
    assert "rows/s" in words.stderr
    assert bursar.ledger() == before


def test_simulate_says_what_it_cannot_do(start_bursar, tmp_path):
    bursar = start_bursar({"budgets": BUDGETS})
    empty = policy_of(bursar, "elsewhere.yaml", BUDGETS)
    for args, code in ((["--data", str(tmp_path / "nothing")], 1), (["--days", "0"], 2), (["--days", "3", "--from", "2026-01-01"], 2),
                       (["--from", "2026-02-01", "--to", "2026-01-01"], 2), (["--format", "xml"], 2), (["--from", "yesterday"], 2)):
        done = subprocess.run([str(BURSAR), "simulate", "-c", str(empty), *args], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == code and done.stderr, (args, done)


def test_a_stop_is_told_as_the_application_sees_it(start_bursar):
    bursar = start_bursar({"budgets": BUDGETS})
    key = bursar.create_key("ann", "--team", "red")
    bursar.cli("stop", "--team", "red", "--reason", "a leak")
    body = chat()
    told, answer = asked(bursar, "ann", body)["decision"], send(bursar, key, body)
    assert told["status"] == answer.status == 402
    assert told["message"] == answer.json()["error"]["message"] and "a leak" in told["message"]
    bursar.cli("resume", "--team", "red", "--reason", "mended")
    assert asked(bursar, "ann", body)["decision"]["admitted"]
