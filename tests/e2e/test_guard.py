"""What stops calls beside their budgets: kill switches, breakers of upstreams and of money, programs that lost their way."""

import json
import re
import sqlite3
import threading
import time

import pytest

from harness import (CHAT, MESSAGES, PREFIX, GENERATE, ScriptedVendor, Wire, budget, call, chat, field, gemini, messages,
                     nanousd, open_tunnel, request_bytes, wait_for)

OPENAI = "/openai" + CHAT
REASON = "leaked on a forum"


def ask(bursar, body=None, headers=None, path=OPENAI, timeout=None):
    return call(bursar.proxy, path, body or chat(), headers=headers, timeout=timeout)


def by_key(key):
    return {"authorization": f"Bearer {key}"}


def events(bursar, name):
    return [line for line in bursar.log_lines() if line["event"] == name]


def only_event(bursar, name):
    """It is told by another thread than the one in which it happened."""
    wait_for(lambda: events(bursar, name), f"{name} in the log")
    (event,) = events(bursar, name)
    return event


def breaker(bursar, name):
    return {b["name"]: b for b in bursar.api("/api/v1/breakers")["breakers"]}.get(name)


def told(bursar, kind):
    db = sqlite3.connect(f"file:{bursar.data}/bursar.db?mode=ro", uri=True)
    try:
        return [json.loads(p) for (p,) in db.execute("SELECT payload FROM event WHERE kind=? ORDER BY id", (kind,))]
    finally:
        db.close()


# --- kill switches ----------------------------------------------------------------------------------------------------


def test_a_stop_refuses_the_next_call_and_resume_lets_it_go_on(vendor, bursar):
    key, other = bursar.create_key("ann"), bursar.create_key("bob")
    assert ask(bursar, headers=by_key(key)).status == 200
    began = time.monotonic()
    bursar.cli("stop", "--key", "ann", "--reason", REASON)
    done = time.monotonic()
    a = ask(bursar, headers=by_key(key))
    print(f"command {1000 * (done - began):.1f} ms, first refusal {1000 * (time.monotonic() - done):.1f} ms after it")
    assert a.status == 402 and a.json()["error"]["code"] == "stopped"
    assert a["x-should-retry"] == "false" and a["retry-after"] is None
    assert REASON in a.json()["error"]["message"] and "key ann" in a.json()["error"]["message"]
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", a.json()["error"]["message"])
    assert ask(bursar, headers=by_key(other)).status == 200
    assert bursar.held() == 0
    (stop,) = bursar.api("/api/v1/stops")["stops"]
    assert (stop["what"], stop["value"], stop["reason"]) == ("key", "ann", REASON) and stop["actor"]
    bursar.cli("resume", "--key", "ann", "--reason", "new key")
    assert ask(bursar, headers=by_key(key)).status == 200
    assert bursar.api("/api/v1/stops")["stops"] == []


def test_no_call_passes_once_the_stop_is_answered(vendor, bursar):
    """By the order of events, not by a clock: whatever is sent after the answer to the stop is refused, on connections
    and workers that are busy too."""
    over, after, errors = threading.Event(), threading.Event(), []
    passed, refused = [0], [0]

    def client():
        w = Wire(bursar.proxy)
        while not over.is_set():
            late = after.is_set()
            w.send(request_bytes(OPENAI, chat()))
            a = w.read_answer()
            if a.status == 402:
                refused[0] += 1
                w.close()  # what is refused before its body was read ends the connection
                w = Wire(bursar.proxy)
            else:
                passed[0] += 1
                if late:
                    errors.append(a.status)
        w.close()

    threads = [threading.Thread(target=client) for _ in range(8)]
    for t in threads:
        t.start()
    wait_for(lambda: passed[0] > 50, "calls that pass")
    began = time.monotonic()
    bursar.api("/api/v1/stops", "POST", {"everything": True, "reason": REASON})
    answered = time.monotonic()
    after.set()
    was = refused[0]
    wait_for(lambda: refused[0] > was + 50, "calls that are refused")
    over.set()
    for t in threads:
        t.join()
    print(f"the stop was answered after {1000 * (answered - began):.1f} ms")
    assert errors == []
    hits = vendor.hits()
    assert ask(bursar).status == 402 and vendor.hits() == hits


@pytest.mark.parametrize("what,value", [
    ("user", "ann"), ("team", "search"), ("project", "alpha"), ("provider", "openai"), ("model", "gpt-4.1-mini"),
    ("model", "gpt-4.1*"), ("key", "k"), ("everything", True),
])
def test_each_kind_of_stop_covers_what_it_names(vendor, bursar, what, value):
    key = bursar.create_key("k", "--user", "ann", "--team", "search", "--project", "alpha")
    other = bursar.create_key("other", "--user", "bob", "--team", "ads", "--project", "beta")
    bursar.api("/api/v1/stops", "POST", {what: value, "reason": REASON})
    assert ask(bursar, headers=by_key(key)).status == 402
    if what in ("user", "team", "project", "key"):
        assert ask(bursar, headers=by_key(other)).status == 200
    if what == "model":
        assert ask(bursar, chat(model="gpt-5-mini"), headers=by_key(key)).status == 200
    if what == "provider":
        assert ask(bursar, messages(), by_key(key), "/anthropic" + MESSAGES).status == 200
    assert bursar.held() == 0


def test_each_vendor_says_it_in_its_own_words(bursar):
    bursar.api("/api/v1/stops", "POST", {"everything": True, "reason": REASON})
    a = ask(bursar, messages(), path="/anthropic" + MESSAGES)
    assert a.status == 402 and a.json()["error"]["type"] == "billing_error"
    a = ask(bursar, gemini(), path="/gemini" + GENERATE)
    assert a.status == 402 and a.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    for answer in (a,):
        assert REASON in answer.json()["error"]["message"] and answer["retry-after"] is None


def test_unmetered_calls_of_a_stopped_key_are_refused_too(vendor, bursar):
    key = bursar.create_key("ann")
    assert call(bursar.proxy, "/openai/v1/models", method="GET", headers=by_key(key)).status != 402
    bursar.api("/api/v1/stops", "POST", {"key": "ann", "reason": REASON})
    assert call(bursar.proxy, "/openai/v1/models", method="GET", headers=by_key(key)).status == 402


def test_a_stop_survives_kill_9_and_is_shown(bursar):
    bursar.cli("stop", "--everything", "--reason", REASON)
    bursar.kill9()
    assert "everything" in bursar.cli("stop", "--list").stdout  # also without a server
    bursar.start()
    assert ask(bursar).status == 402
    assert bursar.api("/health/ready")["stops"] == 1
    assert REASON in bursar.cli("stop", "--list").stdout
    bursar.kill9()
    bursar.cli("resume", "--everything", "--reason", "over")
    bursar.start()
    assert ask(bursar).status == 200


def test_a_user_that_the_client_names_can_be_stopped(bursar):
    bursar.api("/api/v1/stops", "POST", {"user": "carl", "reason": REASON})
    assert ask(bursar, headers={"x-litellm-end-user-id": "carl"}).status == 402
    assert ask(bursar, headers={"x-litellm-end-user-id": "dora"}).status == 200


def test_tunnels_of_a_stopped_key(vendor443, intercepting, names):
    """Inside an intercepted one the call is refused in the vendor's words; a blind one is not opened, and cut ends it."""
    names.names["vendor.test"] = "127.0.0.2"
    bursar = intercepting({"hosts": [{"host": "vendor.test", "do": "tunnel"}]})
    key = bursar.create_key("ann")
    blind, head = open_tunnel(bursar.proxy, "vendor.test:443", vendor443.ca, credential=f"user:{key}")
    assert head[0] == 200
    bursar.api("/api/v1/stops", "POST", {"key": "ann", "reason": REASON, "cut": True})
    assert not blind.more()  # ended
    w, head = open_tunnel(bursar.proxy, "api.openai.com:443", bursar.ca_pem, credential=f"user:{key}")
    assert head[0] == 200
    w.send(request_bytes(CHAT, chat(), host="api.openai.com", headers={"authorization": "Bearer sk-own"}))
    a = w.read_answer()
    assert a.status == 402 and a.json()["error"]["code"] == "stopped"
    _, head = open_tunnel(bursar.proxy, "vendor.test:443", vendor443.ca, credential=f"user:{key}")
    assert head[0] == 402
    bursar.api("/api/v1/stops", "DELETE", {"key": "ann", "reason": "over"})
    _, head = open_tunnel(bursar.proxy, "vendor.test:443", vendor443.ca, credential=f"user:{key}")
    assert head[0] == 200


def test_a_stop_with_cut_ends_running_streams(vendor, start_bursar):
    bursar = start_bursar({"limits": {"drain_client": "1s"}})
    key, other = bursar.create_key("ann"), bursar.create_key("bob")
    slow = {"x-vendor-out": "400", "x-vendor-chunks": "400", "x-vendor-chunk-ms": "50"}
    wires = []
    for k, name in ((key, "a"), (other, "b")):
        w = Wire(bursar.proxy)
        w.send(request_bytes(OPENAI, chat(max_tokens=400, stream=True), headers={**by_key(k), **slow, "x-vendor-call": name}))
        w.read_head()
        wait_for(lambda w=w: b"data: " in w.buffer or not w.more() or b"data: " in w.buffer, "the first words")
        wires.append(w)
    bursar.cli("stop", "--key", "ann", "--reason", REASON, "--cut")
    body, _, _ = wires[0].read_chunked()
    assert b"[DONE]" in body and REASON.encode() in body
    wait_for(lambda: "a" in vendor.bill(), "the vendor to see that it was hung up on")
    assert vendor.bill()["a"]["event"] == "aborted"
    assert "b" not in vendor.bill()  # goes on
    for w in wires:
        w.close()
    vendor.wait_quiet()
    bursar.wait_settled()
    rows = {r["key"]: r for r in bursar.ledger()}
    assert nanousd(rows["ann"]["usd"]) >= vendor.bill()["a"]["nanousd"]


def test_a_stop_needs_a_reason_and_an_administrator(bursar):
    status, _ = bursar.api("/api/v1/stops", "POST", {"everything": True}, raw=True)
    assert status == 422
    status, _ = bursar.api("/api/v1/stops", "POST", {"key": "a", "user": "b", "reason": "x"}, raw=True)
    assert status == 422
    viewer = bursar.create_key("eye", "--role", "viewer")
    status, _ = bursar.api("/api/v1/stops", "POST", {"everything": True, "reason": "x"}, token=viewer, raw=True)
    assert status == 403
    assert bursar.cli("stop", "--everything", check=False).returncode == 2
    assert ask(bursar).status == 200


def test_stops_are_in_the_audit_log(bursar):
    bursar.cli("stop", "--model", "gpt-4.1-mini", "--reason", REASON)
    bursar.cli("resume", "--model", "gpt-4.1-mini", "--reason", "over")
    rows = bursar.api("/api/v1/audit")["rows"]
    assert [(r["action"], r["object"], r["reason"]) for r in rows][:2] == [
        ("resume", "model gpt-4.1-mini", "over"), ("stop", "model gpt-4.1-mini", REASON)]
    assert all(r["actor"] for r in rows)


# --- the upstream's breaker -------------------------------------------------------------------------------------------


def upstream_name(bursar, provider="openai"):
    return f"upstream:{provider}@127.0.0.1:{bursar.vendor.plain}"


def test_an_upstream_that_fails_is_left_alone_and_tried_again(vendor, bursar):
    for _ in range(5):
        assert ask(bursar, headers={"x-vendor-fault": "error-before"}).status == 500
    hits = vendor.hits()
    a = ask(bursar)
    assert a.status == 503 and a.json()["error"]["code"] == "upstream_unavailable"
    assert 1 <= int(a["retry-after"]) <= 60
    assert vendor.hits() == hits and bursar.held() == 0
    assert breaker(bursar, upstream_name(bursar))["state"] == "open"
    # another vendor is another matter, on the same machine too
    assert ask(bursar, messages(), path="/anthropic" + MESSAGES).status == 200
    opened = only_event(bursar, "breaker.upstream")
    assert (opened["to"], opened["cause"]) == ("open", "failure_streak")
    # three good tries, one at a time
    wait_for(lambda: ask(bursar).status == 200, "the first try", 30)
    assert breaker(bursar, upstream_name(bursar))["state"] == "half_open"
    assert ask(bursar).status == 200 and ask(bursar).status == 200
    assert breaker(bursar, upstream_name(bursar))["state"] == "closed"
    bursar.wait_settled()


def test_a_vendor_that_cannot_be_reached_and_its_limits(vendor, bursar):
    for _ in range(30):
        assert ask(bursar, headers={"x-vendor-fault": "429"}).status == 429
    assert breaker(bursar, upstream_name(bursar))["state"] == "closed"
    assert breaker(bursar, upstream_name(bursar))["limited"] == 30
    vendor.process.kill9()
    for _ in range(5):
        assert ask(bursar).status == 502
    assert ask(bursar).status == 503


def test_an_upstream_breaker_by_hand_lasts(vendor, bursar):
    assert ask(bursar).status == 200
    name = upstream_name(bursar)
    bursar.cli("breakers", "open", name, "--reason", "their status page")
    assert ask(bursar).status == 503
    bursar.kill9()
    bursar.start()
    assert ask(bursar).status == 503
    bursar.cli("breakers", "close", name, "--reason", "well again")
    assert ask(bursar).status == 200


def test_the_upstream_breaker_can_be_switched_off(vendor, start_bursar):
    bursar = start_bursar({"breakers": {"upstream": False}})
    for _ in range(12):
        assert ask(bursar, headers={"x-vendor-fault": "error-before"}).status == 500


def test_retry_after_of_the_vendor_counts(vendor, start_bursar):
    def script(v, c):
        while v.read_request(c):
            c.sendall(b"HTTP/1.1 503 No\r\nRetry-After: 600\r\nContent-Length: 2\r\n\r\n{}")

    v = ScriptedVendor(script)
    bursar = start_bursar({"providers": {"openai": {"base_url": f"http://127.0.0.1:{v.plain}"}}})
    for _ in range(5):
        assert ask(bursar).status == 503
    assert ask(bursar)["retry-after"] == "60"
    (b,) = [b for b in bursar.api("/api/v1/breakers")["breakers"] if b["state"] == "open"]
    until = time.mktime(time.strptime(b["until"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert 500 < until - time.time() < 660
    v.stop()


# --- cost breakers ----------------------------------------------------------------------------------------------------


def test_a_call_that_is_too_dear_opens_the_cost_breaker(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("100 USD", breaker={"max_request": "0.01 USD", "cool_down": "1h"})]})
    assert ask(bursar).status == 200
    a = ask(bursar, chat(max_tokens=30000))
    assert a.status == 402 and "no call cost more than" in a.json()["error"]["message"]
    assert a["retry-after"] is None and a["x-should-retry"] == "false"
    a = ask(bursar)
    assert a.status == 402 and "cost breaker of budget all" in a.json()["error"]["message"]
    assert bursar.held() == 0
    b = breaker(bursar, "cost:all")
    assert (b["state"], b["cause"], b["refused"]) == ("open", "single_call", 2)
    event = only_event(bursar, "breaker.cost")
    assert event["to"] == "open" and event["threshold"] == 10_000_000 and event["value"] > 10_000_000
    wait_for(lambda: told(bursar, "breaker.opened"), "its event")
    (opened,) = told(bursar, "breaker.opened")
    assert (opened["budget"], opened["scope"], opened["to"], opened["threshold_value"]) == ("all", "", "open", 10_000_000)
    assert opened["until"]
    # it is open after a restart too, and a person can close it
    bursar.kill9()
    bursar.start()
    assert ask(bursar).status == 402
    bursar.cli("breakers", "close", "cost:all", "--reason", "it was a test")
    assert ask(bursar).status == 200
    bursar.kill9()
    bursar.start()
    assert ask(bursar).status == 200


def test_money_that_flows_too_fast_opens_it_and_a_little_tries_again(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("100 USD", name="fast", per=["key"], breaker={
        "velocity": "0.0002 USD", "velocity_window": "1m", "cool_down": "1s", "probe": "0.001 USD"})]})
    keys = [bursar.create_key(k) for k in ("ann", "bob")]
    statuses = [ask(bursar, headers={**by_key(keys[0]), "x-vendor-out": "16"}).status for _ in range(40)]
    assert 402 in statuses and set(statuses[: statuses.index(402)]) == {200}
    assert ask(bursar, headers=by_key(keys[1])).status == 200  # each counter has its own
    bursar.wait_settled()
    spent = sum(nanousd(r["usd"]) for r in bursar.ledger() if r["key"] == "ann")
    assert spent >= 200_000
    wait_for(lambda: ask(bursar, headers=by_key(keys[0])).status == 200, "its cool-down")
    assert breaker(bursar, "cost:fast:key=ann")["state"] == "half_open"
    bursar.wait_settled()
    assert bursar.held() == 0


def test_a_latched_cost_breaker_waits_for_a_person(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("100 USD", breaker={
        "max_request": "0.01 USD", "cool_down": "1s", "latch": True})]})
    assert ask(bursar, chat(max_tokens=30000)).status == 402
    time.sleep(1.5)  # longer than the cool-down
    assert ask(bursar).status == 402
    assert breaker(bursar, "cost:all")["until"] is None
    bursar.api("/api/v1/breakers/cost:all/half-open", "POST", {"reason": "let us see"})
    assert ask(bursar).status == 200
    assert breaker(bursar, "cost:all")["state"] == "half_open"


def test_a_shadow_budgets_breaker_refuses_nothing(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("100 USD", mode="shadow", breaker={"max_request": "0.01 USD"})]})
    assert ask(bursar, chat(max_tokens=30000)).status == 200
    assert ask(bursar).status == 200
    b = breaker(bursar, "cost:all")
    assert b["state"] == "open" and b["refused"] == 2


# --- programs that lost their way -------------------------------------------------------------------------------------

LOOPS = {"do": "quarantine", "repeat": 5, "minimum": "0 USD", "quarantine": "1h"}


def test_a_loop_puts_its_key_in_quarantine_and_resume_lifts_it(vendor, start_bursar):
    bursar = start_bursar({"runaway": LOOPS})
    key, other = bursar.create_key("ann"), bursar.create_key("bob")
    answers = [ask(bursar, headers=by_key(key)) for _ in range(12)]
    assert [a.status for a in answers].count(200) >= 5 and answers[-1].status == 429
    assert 1 <= int(answers[-1]["retry-after"]) <= 60
    assert ask(bursar, headers=by_key(other)).status == 200
    assert ask(bursar, chat(text="something else"), headers=by_key(key)).status == 429
    event = only_event(bursar, "runaway")
    assert (event["key"], event["cause"]) == ("ann", "repeat")
    wait_for(lambda: told(bursar, "loop.quarantined"), "its event")
    assert [e["object"] for e in told(bursar, "loop.quarantined")] == ["ann"]
    (row,) = bursar.api("/api/v1/breakers")["quarantine"]
    assert row["key"] == "ann"
    bursar.kill9()
    bursar.start()
    assert ask(bursar, headers=by_key(key)).status == 429
    bursar.cli("resume", "--key", "ann", "--reason", "fixed")
    assert ask(bursar, headers=by_key(key)).status == 200
    assert bursar.held() == 0


def test_alert_only_tells(vendor, start_bursar):
    bursar = start_bursar({"runaway": {**LOOPS, "do": "alert"}})
    key = bursar.create_key("ann")
    assert {ask(bursar, headers=by_key(key)).status for _ in range(12)} == {200}
    assert only_event(bursar, "runaway")["key"] == "ann"


# --- retries ----------------------------------------------------------------------------------------------------------


def test_tries_of_sdks_are_marked(vendor, bursar):
    ask(bursar, headers={"x-stainless-retry-count": "0"})
    ask(bursar, headers={"x-stainless-retry-count": "2"})
    ask(bursar, headers={"amz-sdk-request": "attempt=2; max=3"})
    bursar.wait_settled()
    assert sorted((r.get("extra") or {}).get("retry", 0) for r in bursar.ledger()) == [0, 1, 2]


COMPLETION = {
    "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4.1-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
}
BILL = 1000 * 400 + 500 * 1600  # nano-dollars of that, at gpt-4.1-mini's prices


class OnceVendor(ScriptedVendor):
    """Bills calls of one idempotency key once, and gives the first answer again."""

    def __init__(self, wait_for_second=False):
        self.bills, self.wait, self.second = {}, wait_for_second, threading.Event()
        super().__init__(OnceVendor.answer)

    def answer(self, c):
        while (request := self.read_request(c)) is not None:
            key = field(request[0], "idempotency-key")
            first = key not in self.bills
            self.bills[key] = BILL
            if not first:
                self.second.set()
            elif self.wait:
                self.second.wait(20)
            body = json.dumps(COMPLETION).encode()
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def once(start_bursar, vendor, limit="100 USD"):
    return start_bursar({"budgets": [budget(limit)], "providers": {
        "openai": {"base_url": f"http://127.0.0.1:{vendor.plain}", "bills_once_by": "idempotency-key"}}})


def spent(bursar):
    return nanousd(bursar.budget()["spent"])


def test_a_repeat_under_the_same_key_is_one_bill(start_bursar):
    v = OnceVendor()
    bursar = once(start_bursar, v)
    for key in ("a", "a", "b", "a"):
        assert ask(bursar, headers={"idempotency-key": key}).status == 200
    bursar.wait_settled()
    assert sum(nanousd(r["usd"]) for r in bursar.ledger()) == sum(v.bills.values()) == 2 * BILL
    assert spent(bursar) == 2 * BILL
    assert ask(bursar).status == 200 and ask(bursar).status == 200  # without a key each is its own
    wait_for(lambda: spent(bursar) == 4 * BILL, "two more")
    assert ask(bursar, chat(text="other"), {"idempotency-key": "a"}).status == 200  # nor with another body
    wait_for(lambda: spent(bursar) == 5 * BILL, "one more")
    assert bursar.cli("verify").returncode == 0
    v.stop()


def test_a_client_that_times_out_and_tries_again_is_charged_once(start_bursar):
    """The first answer is still read on for its bill while the second try is answered."""
    v = OnceVendor(wait_for_second=True)
    bursar = once(start_bursar, v)
    headers = {"idempotency-key": "k"}
    w = Wire(bursar.proxy)
    w.send(request_bytes(OPENAI, chat(), headers={**headers, "x-stainless-retry-count": "0"}))
    wait_for(lambda: "k" in v.bills, "the first try to reach the vendor")
    w.close()
    assert ask(bursar, headers={**headers, "x-stainless-retry-count": "1"}).status == 200
    bursar.wait_settled()
    rows = bursar.ledger()
    assert len(rows) == 2 and sum(nanousd(r["usd"]) for r in rows) == BILL == sum(v.bills.values())
    assert spent(bursar) == BILL
    assert bursar.cli("verify").returncode == 0
    v.stop()


# --- lowered limits ---------------------------------------------------------------------------------------------------


def test_a_lowered_limit_cuts_the_youngest_streams_first(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("1 USD", lower_mode="cut", hold="worst")], "limits": {"drain_client": "1s"}})
    slow = {"x-vendor-out": "1000", "x-vendor-chunks": "1000", "x-vendor-chunk-ms": "50"}
    wires = []
    for i in range(4):
        w = Wire(bursar.proxy)
        w.send(request_bytes(OPENAI, chat(max_tokens=1000, stream=True), headers={**slow, "x-vendor-call": f"s{i}"}))
        w.read_head()
        wires.append(w)
    held = bursar.held()
    assert held > 0
    # room for two of the four, and for what the others will have used
    limit = held * 2 // 4 + held // 8
    bursar.cli("budgets", "lower", "all", f"{limit / 1e9:.9f} USD", "--reason", "less money")
    wait_for(lambda: {"s2", "s3"} <= set(vendor.bill()), "the two youngest to be cut")
    assert nanousd(bursar.budget()["remaining"]) >= 0
    assert not {"s0", "s1"} & set(vendor.bill())
    for w in wires:
        w.close()
    vendor.wait_quiet()
    bursar.wait_settled()
