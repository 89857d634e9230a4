"""Alerts in chats and on pagers: payloads judged by the software of those who draw them, the life of one incident on each
channel, and what every answer of theirs leads to."""

import itertools
import json
import os
import re
import shutil
import sqlite3
import subprocess
import time

import pytest

from harness import BUILD, CHAT, ROOT, SANITIZED, budget, call, chat, wait_for
from receivers import HttpReceiver, alerts

NODE = ROOT / "build/alerts-node"
LOUD = {"severity": "info"}
STEPS = [{"at": "50%", "do": "alert"}, {"at": "80%", "do": "alert"}, {"at": "100%", "do": "alert"}, {"at": "100%", "do": "block"}]
QUEUED, SENT, DEAD = 0, 1, 2
KEY = "0123456789abcdef0123456789abcdef"

needs_node = pytest.mark.skipif(not (NODE / "ready").exists() or not shutil.which("node"), reason="make alerts-node")


def rows(bursar, sql, *values):
    with sqlite3.connect(f"file:{bursar.data}/bursar.db?mode=ro", uri=True) as db:
        return db.execute(sql, values).fetchall()


def spend(bursar, n=1):
    for _ in range(n):
        call(bursar.proxy, "/openai" + CHAT, chat())


def judged(script, folder, least):
    """What the validator says of the payloads in a folder; it has refused what is known to be wrong before."""
    done = subprocess.run(["node", ROOT / "tests/alerts" / script, NODE, folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["problems"] == []
    assert result["checked"] >= least and result["refused"] >= 5


# --- payloads ---------------------------------------------------------------------------------------------------------


@needs_node
def test_payloads_of_hostile_names_pass_the_peers_own_checks(tmp_path):
    """Each kind of message at each severity, and names that want to break out, as the unit tests make them."""
    for name in ("slack", "teams", "discord"):
        program = BUILD / f"tests/unit/alerts_{name}_test"
        if not SANITIZED or not program.exists():
            subprocess.run(["make", "-s", f"BUILD={BUILD.relative_to(ROOT)}", program.relative_to(ROOT)], cwd=ROOT, check=True)
        subprocess.run([program], env={**os.environ, "BURSAR_PAYLOADS": str(tmp_path)}, check=True, capture_output=True)
    judged("types.mjs", tmp_path, 150)
    judged("cards.mjs", tmp_path, 60)


CHANNELS = {
    "hook": ("slack", {"webhook": "https://hooks.slack.com/services/T/B/x"}),
    "old": ("slack", {"webhook": "https://hooks.slack.com/services/T/B/y", "format": "attachments", "mentions": ["<!here>"]}),
    "bot": ("slack", {"token": "xoxb-1", "channel": "C024BE91L", "mentions": ["<@U1>"]}),
    "cards": ("teams", {"url": "https://prod.westeurope.logic.azure.com/workflows/1?sig=x"}),
    "gamers": ("discord", {"url": "https://discord.com/api/webhooks/1/x"}),
}
FORMS = {"hook": "slack", "old": "slackatt", "bot": "slackapi", "cards": "teams", "gamers": "discord"}


@needs_node
def test_previews_of_every_type_pass_the_peers_own_checks(start_bursar, tmp_path):
    bursar = start_bursar(alerts(CHANNELS))
    types = ["budget.threshold", "budget.exceeded", "budget.blocked", "budget.burn_rate", "forecast.over", "breaker.opened",
             "spend.anomaly", "price.unknown_model", "system.degraded", "key.expiring", "test"]
    out = tmp_path / "payloads"
    out.mkdir()
    for kind in types:
        done = bursar.cli("alerts", "preview", "--type", kind, "--json")
        for preview in (p for p in json.loads(done.stdout) if p["channel"] in FORMS):
            body = json.loads(preview["body"])
            assert len(preview["body"].encode()) < {"teams": 28000}.get(FORMS[preview["channel"]], 8000)
            (out / f"{FORMS[preview['channel']]}-{kind}.json").write_text(json.dumps(body))
            assert "xoxb" not in preview["body"]
    judged("types.mjs", out, 4 * len(types))
    judged("cards.mjs", out, len(types))


# --- the life of an incident ------------------------------------------------------------------------------------------


class Workspace:
    """What the four do with requests, as their documents say."""

    def __init__(self):
        self.slack, self.discord, self.pages, self.ops = [], [], [], []  # in order: (what, body)
        self.names = itertools.count(1)
        self.shown = {}

    def __call__(self, request):
        target, _, query = request.path.partition("?")
        place, body = target.split("/")[1], request.json()
        return getattr(self, "on_" + place)(request, target, query, body)

    def on_slack(self, request, target, query, body):
        assert request.headers["authorization"] == "Bearer xoxb-1" and len(request.body) < 8000
        assert request.headers["content-type"] == "application/json; charset=utf-8"
        method = target.rsplit("/", 1)[1]
        self.slack.append((method, body))
        if method == "chat.update":
            if body["ts"] not in self.shown:
                return 200, {}, {"ok": False, "error": "message_not_found"}
            self.shown[body["ts"]] = body
            return 200, {}, {"ok": True, "channel": "C1", "ts": body["ts"]}
        ts = f"1795248000.{next(self.names):06}"
        self.shown[ts] = body
        return 200, {}, {"ok": True, "channel": "C1", "ts": ts, "message": {**body, "padding": "\u26a0" * 3000}}

    def on_discord(self, request, target, query, body):
        assert body["allowed_mentions"] == {"parse": []} and "thread_id=9" in query
        edit = re.fullmatch(r"/discord/1/x/messages/(\d+)", target)
        assert (request.method == "PATCH") == bool(edit) and ("wait=true" in query) == (not edit)
        self.discord.append((request.method, body))
        if edit and edit[1] not in self.shown:
            return 404, {}, {"message": "Unknown Message", "code": 10008}
        name = edit[1] if edit else str(next(self.names))
        self.shown[name] = body
        return 200, {}, {"type": 0, "content": body["content"], "embeds": body.get("embeds", []), "id": name}

    def on_pagerduty(self, request, target, query, body):
        """The rules of the Events API v2."""
        errors = []
        if target != "/pagerduty/v2/enqueue" or body.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            errors.append("'event_action' is invalid")
        if len(body.get("routing_key", "")) != 32:
            errors.append("Length of 'routing_key' is incorrect (should be 32 characters)")
        if body.get("event_action") == "trigger":
            payload = body.get("payload", {})
            errors += [f"'payload.{n}' is missing or blank" for n in ("summary", "source", "severity") if not payload.get(n)]
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                errors.append("'payload.severity' is invalid")
            if len(payload.get("summary", "")) > 1024:
                errors.append("'payload.summary' is too long")
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", payload.get("timestamp", "")):
                errors.append("'payload.timestamp' is invalid")
        elif not body.get("dedup_key") or set(body) != {"routing_key", "event_action", "dedup_key"}:
            errors.append("'dedup_key' is missing, or there is more than that")
        if not 0 < len(body.get("dedup_key", "")) <= 255:
            errors.append("'dedup_key' is invalid")
        self.pages.append((body.get("event_action"), body, errors))
        if errors:
            return 400, {}, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        return 202, {}, {"status": "success", "message": "Event processed", "dedup_key": body["dedup_key"]}

    def on_opsgenie(self, request, target, query, body):
        assert request.headers["authorization"] == "GenieKey k"
        self.ops.append((request.method, target.removeprefix("/opsgenie/v2/alerts"), query, body))
        return 202, {}, {"result": "Request will be processed", "took": 0.1, "requestId": "r"}


def everywhere(url):
    return alerts({
        "bot": ("slack", {"token": "xoxb-1", "channel": "#costs", "api_url": url + "/slack", "mentions": ["<@U1>"]}, LOUD),
        "gamers": ("discord", {"url": url + "/discord/1/x?thread_id=9"}, LOUD),
        "pager": ("pagerduty", {"routing_key": KEY, "url": url + "/pagerduty/v2/enqueue"}, LOUD),
        "ops": ("opsgenie", {"key": "k", "url": url + "/opsgenie"}, LOUD),
    }, public_url="https://bursar.example")


def settled(bursar):
    """Every message of the incident left."""
    def done():
        (waiting,) = rows(bursar, "SELECT count(*) FROM outbox WHERE state=0")[0]
        (last,) = rows(bursar, "SELECT coalesce(max(id),0) FROM event")[0]
        (cursor,) = rows(bursar, "SELECT coalesce((SELECT value FROM meta WHERE key='alerts_cursor'),0)")[0]
        return waiting == 0 and int(cursor) >= last
    wait_for(done, "all messages to be sent", 60)


def test_one_incident_on_every_chat_and_pager(start_bursar, tmp_path):
    peers = Workspace()
    with HttpReceiver(default=peers) as server:
        bursar = start_bursar({"budgets": [budget("10 requests", name="search-daily", window="day", steps=STEPS)],
                               **everywhere(server.url)})
        for calls, requests in ((5, 1), (3, 3), (2, 5)):  # an edit and a note for each that follows
            spend(bursar, calls)
            wait_for(lambda: len(peers.slack) == requests, "the message to be edited", 30)
        number = str(rows(bursar, "SELECT id FROM incident")[0][0])
        bursar.cli("alerts", "ack", number, "--reason", "looking")
        wait_for(lambda: len(peers.slack) == 7, "the acknowledgement", 30)
        bursar.cli("alerts", "resolve", number, "--reason", "enough")
        wait_for(lambda: len(peers.slack) == 9, "the end", 30)
        settled(bursar)

    # Slack: one message that was edited, the rest in its thread; people are disturbed when it comes and when it is worse.
    roots = [b for m, b in peers.slack if m == "chat.postMessage" and "thread_ts" not in b]
    notes = [b for m, b in peers.slack if m == "chat.postMessage" and "thread_ts" in b]
    edits = [b for m, b in peers.slack if m == "chat.update"]
    assert len(roots) == 1 and roots[0]["channel"] == "#costs" and len(edits) == len(notes) == 4
    assert {b["thread_ts"] for b in notes} == {b["ts"] for b in edits} and len({b["ts"] for b in edits}) == 1
    assert {b["channel"] for b in edits + notes} == {"C1"}
    assert len([b for b in notes if b.get("reply_broadcast")]) == 1
    assert "<@U1>" in roots[0]["text"] and [b for b in notes if "<@U1>" in b["text"]] == [b for b in notes if b.get("reply_broadcast")]
    assert "50 % used" in roots[0]["text"] and "80 % used" in edits[0]["text"] and "\u2705" in edits[-1]["text"] and "\U0001f440" in edits[-2]["text"]
    # Discord: the same, but only what is news has a line of its own.
    assert [m for m, _ in peers.discord].count("PATCH") == len(edits)
    lines = [b for m, b in peers.discord if m == "POST"]
    assert "embeds" in lines[0] and all("embeds" not in b for b in lines[1:]) and len(lines) == 3
    assert "\U0001f6a8" in lines[1]["content"] and "\u2705" in lines[2]["content"]
    # Pagers keep an incident of their own.
    assert [e for _, _, e in peers.pages if e] == []
    actions = [a for a, _, _ in peers.pages]
    assert actions[-2:] == ["acknowledge", "resolve"] and set(actions[:-2]) == {"trigger"} and len(actions) >= 5
    (key,) = {b["dedup_key"] for _, b, _ in peers.pages}
    assert key == rows(bursar, "SELECT key FROM incident")[0][0]
    assert [b["payload"]["severity"] for a, b, _ in peers.pages if a == "trigger"][-1] == "critical"
    verbs = [(m, path) for m, path, _, _ in peers.ops]
    assert verbs[0] == ("POST", "") and verbs[-2:] == [("POST", f"/{key}/acknowledge"), ("POST", f"/{key}/close")]
    assert ("PUT", f"/{key}/priority") in verbs
    assert [b["priority"] for m, p, _, b in peers.ops if p.endswith("/priority")][-1] == "P1"
    assert {q for _, p, q, _ in peers.ops if p} == {"identifierType=alias"}

    if (NODE / "ready").exists():  # what was really sent, to the letter
        out = tmp_path / "payloads"
        out.mkdir()
        for i, (method, body) in enumerate(peers.slack):
            (out / f"{'slack' if method == 'chat.update' else 'slackapi'}-{i}.json").write_text(json.dumps(strip(body)))
        for i, (method, body) in enumerate(peers.discord):
            (out / f"{'discord' if method == 'POST' else 'discordedit'}-{i}.json").write_text(json.dumps(body))
        judged("types.mjs", out, len(peers.slack) + len(peers.discord))


def strip(body):
    """A call of Slack's Web API as the message in it: addresses are checked above."""
    out = {k: v for k, v in body.items() if k not in ("ts", "thread_ts", "reply_broadcast")}
    if "ts" in body:
        return {k: out[k] for k in ("text", "blocks")}
    return {"metadata": {"event_type": "x", "event_payload": {}}, **out}


def test_removed_messages_are_posted_anew(start_bursar):
    peers = Workspace()
    with HttpReceiver(default=peers) as server:
        bursar = start_bursar({"budgets": [budget("10 requests", name="b", window="day", steps=STEPS)], **everywhere(server.url)})
        spend(bursar, 5)
        wait_for(lambda: len(peers.slack) == 1 and len(peers.discord) == 1, "the first messages")
        settled(bursar)
        peers.shown.clear()
        spend(bursar, 3)
        wait_for(lambda: len(peers.slack) >= 3 and len(peers.discord) >= 3, "messages in their place")
        settled(bursar)
        assert [m for m, _ in peers.slack] == ["chat.postMessage", "chat.update", "chat.postMessage"]
        assert "thread_ts" not in peers.slack[2][1] and "80 %" in peers.slack[2][1]["text"]
        assert [m for m, _ in peers.discord] == ["POST", "PATCH", "POST"] and peers.discord[2][1]["embeds"]
        spend(bursar, 2)
        wait_for(lambda: len(peers.slack) >= 5, "an edit and a note")
        assert peers.slack[3][0] == "chat.update" and peers.slack[3][1]["ts"] in peers.shown


# --- answers ----------------------------------------------------------------------------------------------------------


def failed(error):
    return 200, {}, {"ok": False, "error": error}


POSTED = 200, {}, {"ok": True, "channel": "C1", "ts": "1795248000.000100"}
INVALID_KEY = {"status": "invalid event", "errors": ["Length of 'routing_key' is incorrect (should be 32 characters)"]}
# name: (kind, answers, state, requests, what is said; then: disabled, or the least seconds until it is tried again)
ANSWERS = {
    "slack-ok": ("slack", [(200, {}, "ok")], SENT, 1, ""),
    "slack-200": ("slack", [(200, {}, "<html>sign in</html>")], QUEUED, 1, "is that Slack", 4),
    "slack-400": ("slack", [(400, {}, "invalid_blocks"), (200, {}, "ok")], SENT, 2, ""),
    "slack-400-again": ("slack", [(400, {}, "invalid_payload")], DEAD, 2, "invalid_payload"),
    "slack-403": ("slack", [(403, {}, "action_prohibited")], None, 1, "administrator", "disabled"),
    "slack-404": ("slack", [(404, {}, "no_service")], None, 1, "was removed in Slack", "disabled"),
    "slack-410": ("slack", [(410, {}, "channel_is_archived")], None, 1, "archived", "disabled"),
    "slack-429": ("slack", [(429, {"Retry-After": "90"}, "")], QUEUED, 1, "", 80),
    "slack-500": ("slack", [(500, {}, "rollup_error")], QUEUED, 1, "", 4),
    "bot-ok": ("bot", [POSTED], SENT, 1, ""),
    "bot-not-found": ("bot", [failed("channel_not_found")], QUEUED, 1, "slack.channel", 3000),
    "bot-not-in": ("bot", [failed("not_in_channel")], QUEUED, 1, "/invite", 3000),
    "bot-archived": ("bot", [failed("is_archived")], None, 1, "archived", "disabled"),
    "bot-auth": ("bot", [failed("invalid_auth")], QUEUED, 1, "slack.token", 3000),
    "bot-revoked": ("bot", [failed("token_revoked")], QUEUED, 1, "slack.token", 3000),
    "bot-scope": ("bot", [failed("missing_scope")], QUEUED, 1, "chat:write", 3000),
    "bot-limited": ("bot", [(429, {"Retry-After": "120"}, {"ok": False, "error": "ratelimited"})], QUEUED, 1, "", 110),
    "bot-long": ("bot", [failed("msg_too_long"), POSTED], SENT, 2, ""),
    "bot-blocks": ("bot", [failed("invalid_blocks")], DEAD, 2, "invalid_blocks"),
    "bot-internal": ("bot", [failed("internal_error")], QUEUED, 1, "internal_error", 4),
    "bot-unknown": ("bot", [failed("something_new")], QUEUED, 1, "something_new", 4),
    "teams-202": ("teams", [202], SENT, 1, ""),
    "teams-401": ("teams", [401], QUEUED, 1, "expired", 3000),
    "teams-403": ("teams", [403], QUEUED, 1, "teams.url", 3000),
    "teams-413": ("teams", [413, 202], SENT, 2, ""),
    "teams-429": ("teams", [(429, {"Retry-After": "75"}, "")], QUEUED, 1, "", 70),
    "discord-204": ("discord", [204], SENT, 1, ""),
    "discord-400": ("discord", [(400, {}, {"code": 50035, "message": "Invalid Form Body"}), 204], SENT, 2, ""),
    "discord-401": ("discord", [401], None, 1, "discord.url", "disabled"),
    "discord-404": ("discord", [(404, {}, {"code": 10015})], None, 1, "was deleted", "disabled"),
    "discord-429": ("discord", [(429, {}, {"message": "x", "retry_after": 64.57, "global": False})], QUEUED, 1, "", 60),
    "pager-202": ("pagerduty", [202], SENT, 1, ""),
    "pager-400": ("pagerduty", [(400, {}, INVALID_KEY)], DEAD, 1, "pagerduty.routing_key"),
    "pager-429": ("pagerduty", [429], QUEUED, 1, "", 55),
    "pager-500": ("pagerduty", [500], QUEUED, 1, "", 4),
    "ops-202": ("opsgenie", [202], SENT, 1, ""),
    "ops-401": ("opsgenie", [401], QUEUED, 1, "opsgenie.key", 3000),
    "ops-422": ("opsgenie", [(422, {}, {"message": "not processable"})], DEAD, 1, "not processable"),
    "ops-429": ("opsgenie", [(429, {"Retry-After": "30"}, "")], QUEUED, 1, "", 25),
}


def settings(kind, url):
    return {
        "slack": ("slack", {"webhook": url}),
        "bot": ("slack", {"token": "xoxb-1", "channel": "C1", "api_url": url}),
        "teams": ("teams", {"url": url}),
        "discord": ("discord", {"url": url}),
        "pagerduty": ("pagerduty", {"routing_key": KEY, "url": url + "/v2/enqueue"}),
        "opsgenie": ("opsgenie", {"key": "k", "url": url}),
    }[kind]


def test_what_every_answer_leads_to(start_bursar):
    got = {name: [] for name in ANSWERS}

    def answer(request):
        name = request.path.split("/")[1].split("?")[0]
        got[name].append(request)
        answers = ANSWERS[name][1]
        return answers[min(len(got[name]), len(answers)) - 1]

    with HttpReceiver(default=answer) as server:
        channels = {n: (*settings(row[0], f"{server.url}/{n}"), LOUD) for n, row in ANSWERS.items()}
        # What is said of channels that fail goes to nobody, so that each hears of the budget alone.
        section = alerts(channels, rules=[{"events": ["budget.*"], "severity": "info"}])
        bursar = start_bursar({"budgets": [budget("2 requests", name="b", window="day",
                                                  steps=[{"at": "50%", "do": "alert"}])], **section})
        before = time.time()
        spend(bursar)
        tried = "SELECT count(*) FROM outbox WHERE attempts>0 AND op=0 AND channel<>'log'"
        wait_for(lambda: rows(bursar, tried)[0][0] == len(ANSWERS), "a try on every channel", 60)
        found = {c: row for c, *row in rows(bursar, "SELECT channel,state,next,error FROM outbox WHERE op=0")}
        states = {c: row for c, *row in rows(bursar, "SELECT channel,disabled,why FROM channel_state")}

    for name, (_, _, state, requests, words, *then) in ANSWERS.items():
        now_state, next_ns, error = found[name]
        disabled, why = states.get(name, (0, ""))
        assert len(got[name]) >= requests, name
        assert state is None or now_state == state, (name, error)
        assert words in error or words in why, (name, error, why)
        assert "xoxb-1" not in error + why and f"/{name}" not in error + why and KEY not in error + why, name
        assert bool(disabled) == (then == ["disabled"]), (name, why)
        if then and then != ["disabled"]:
            assert next_ns / 1e9 - before >= then[0], name
    assert [len(got[n]) for n, row in ANSWERS.items() if row[2] in (SENT, DEAD)] == \
        [row[3] for row in ANSWERS.values() if row[2] in (SENT, DEAD)]

    # A form that was refused is sent as words.
    assert "blocks" in got["slack-400"][0].json() and set(got["slack-400"][1].json()) == {"text"}
    assert "blocks" in got["bot-long"][0].json() and "blocks" not in got["bot-long"][1].json()
    assert len(got["teams-413"][1].body) < min(4500, len(got["teams-413"][0].body))
    assert got["discord-400"][0].json()["embeds"] and got["discord-400"][1].json()["embeds"] == []
    for name in ("slack-400", "bot-long", "discord-400"):
        body = got[name][1].json()
        assert "50 %" in body.get("text", body.get("content")), name
