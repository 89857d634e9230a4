"""Alerts as people handle them: on the command line, over HTTP, and by the links in messages."""

import base64
import contextlib
import hashlib
import html
import http.client
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest

import harness
from harness import CHAT, ROOT, budget, call, chat, wait_for
from receivers import Certs, Hang, HttpReceiver, MailReceiver, alerts, free_port

OPENAI = "/openai" + CHAT
HEADER = "TIME       LEVEL    PROVIDER   CURRENT  THRESHOLD MESSAGE"
LOUD = {"severity": "info"}
PUBLIC = "https://bursar.example.com"
STEPS = [{"at": "50%", "do": "alert"}, {"at": "100%", "do": "alert"}, {"at": "100%", "do": "block"}]
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def spend(bursar, n=1):
    for _ in range(n):
        call(bursar.proxy, OPENAI, chat())


def hooked(hook, budgets=None, **more):
    """A budget of ten calls that warns at five, and a webhook that hears of everything."""
    section = alerts({"hook": ("webhook", {"url": hook.url + "/in", "secret": SECRET}, LOUD)}, public_url=PUBLIC, **more)
    return {"budgets": budgets or [budget("10 requests", name="search-daily", window="day", steps=STEPS)], **section}


def incidents(bursar, **query):
    return bursar.api("/api/v1/alerts?" + urllib.parse.urlencode(query))["alerts"]


def one_incident(bursar):
    (alert,) = wait_for(lambda: incidents(bursar), "an incident")
    return alert


def told(hook, state):
    """The first message of that state, as facts."""
    def find():
        return [r.json()["data"] for r in hook.requests if r.json()["data"]["state"] == state]
    return wait_for(find, f"a message `{state}`")[0]


def open_page(bursar, method, target, host=None, body=None):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", bursar.admin, timeout=10)) as c:
        headers = {"Host": host} if host else {}
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        c.request(method, target, body=body, headers=headers)
        r = c.getresponse()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read().decode()


def target_of(link):
    parts = urllib.parse.urlsplit(link)
    assert f"{parts.scheme}://{parts.netloc}" == PUBLIC and parts.path == "/alerts/act"
    return parts.path + "?" + parts.query


@pytest.fixture
def hook():
    with HttpReceiver() as h:
        yield h


# --- the list ---------------------------------------------------------------------------------------------------------


def test_list_show_acknowledge_resolve(start_bursar, hook):
    bursar = start_bursar(hooked(hook))
    assert bursar.cli("alerts").stdout == "No active alerts\n"
    assert incidents(bursar) == []
    spend(bursar, 6)
    alert = one_incident(bursar)
    number = str(alert["id"])
    assert alert["alert_type"] == "budget.threshold" and alert["rule_name"] == "search-daily"
    assert alert["alert_level"] == "warning" and alert["severity"] == "warning" and alert["state"] == "firing"
    assert alert["threshold_value"] == 5 and alert["limit_value"] == 10 and alert["unit"] == "requests"
    assert not alert["acknowledged"] and not alert["resolved"] and alert["metadata"]["threshold"] == 0.5

    lines = bursar.cli("alerts").stdout.splitlines()
    assert lines[0] == HEADER and set(lines[1]) == {"-"} and lines[3] == "" and lines[4] == "1 Alert: 1 Warning"
    assert f"[{number}]" in lines[2] and "search-daily" in lines[2] and "warning" in lines[2]
    assert lines[2].index("warning") == HEADER.index("LEVEL")
    assert lines[2].index(f"[{number}]") == HEADER.index("MESSAGE")
    assert "\033" not in bursar.cli("alerts", "list", "--format", "colored").stdout
    body = json.loads(bursar.cli("alerts", "--format", "json").stdout)
    assert body["active_alerts"] == 1 and body["alerts"][0]["id"] == alert["id"]
    assert bursar.cli("alerts", "--format", "csv").stdout.splitlines()[0].startswith("id,timestamp,alert_level,")

    told(hook, "firing")
    wait_for(lambda: bursar.api(f"/api/v1/alerts/{number}")["messages"][0]["state"] == "sent", "its delivery")
    shown = bursar.api(f"/api/v1/alerts/{number}")
    assert shown["events"] and shown["facts"]["budget_id"] == "search-daily"
    hooks = [m for m in shown["messages"] if m["channel"] == "hook"]
    assert [(t["attempt"], t["success"], t["status_code"]) for t in hooks[0]["tries"]] == [(1, True, 200)]
    words = bursar.cli("alerts", "show", number).stdout
    assert "search-daily" in words and "EVENTS" in words and "MESSAGES" in words and "hook" in words

    assert "acknowledged" in bursar.cli("alerts", "ack", number, "--reason", "looking").stdout
    assert "already" in bursar.cli("alerts", "ack", number).stdout
    (alert,) = incidents(bursar, state="acknowledged")
    assert alert["acknowledged"] and alert["by"]
    assert incidents(bursar, state="firing") == []
    assert "acknowledged" in bursar.cli("alerts").stdout
    told(hook, "acknowledged")

    assert "resolved" in bursar.cli("alerts", "resolve", number, "--reason", "limit raised").stdout
    told(hook, "resolved")
    assert bursar.cli("alerts").stdout == "No active alerts\n"
    (alert,) = incidents(bursar, state="resolved")
    assert alert["resolved"] and alert["resolved_at"]
    assert "1 Alert" in bursar.cli("alerts", "--state", "all").stdout
    audit = bursar.cli("budgets", "log", "--format", "json", check=False).stdout
    log = bursar.api("/api/v1/audit")
    assert "looking" in json.dumps(log) and "limit raised" in json.dumps(log), audit

    for words in (["show", "9999"], ["ack", "9999"], ["resolve", "9999"], ["retry", "9999"], ["unmute", "9999"], ["enable", "nobody"]):
        done = bursar.cli("alerts", *words, check=False)
        assert done.returncode == 1 and done.stderr.startswith("bursar alerts"), words
    for words in (["show"], ["ack", "x"], ["dance"], ["mute", "x"], ["preview", "--html", "--json"], ["--format", "xml"]):
        assert bursar.cli("alerts", *words, check=False).returncode == 2, words


def test_filters_and_what_is_refused(start_bursar, hook):
    bursar = start_bursar(hooked(hook, [budget("4 requests", name=n, window="day", steps=STEPS) for n in ("a", "b")]))
    spend(bursar, 5)
    wait_for(lambda: len(incidents(bursar, level="exceeded")) == 2, "two incidents at 100 %")
    assert len(incidents(bursar, limit=1)) == 1
    assert incidents(bursar, provider="aws") == [] and len(incidents(bursar, provider="all")) == 2
    assert incidents(bursar, since="2199-01-01T00:00:00Z") == []
    assert len(incidents(bursar, since="2001-01-01")) == 2
    assert [a["id"] for a in incidents(bursar)] == sorted((a["id"] for a in incidents(bursar)), reverse=True)
    words = bursar.cli("alerts").stdout.splitlines()[-1]
    assert words == "2 Alerts: 2 Exceeded"
    for query, name, kind in (("level=loud", "level", "enum"), ("state=odd", "state", "enum"), ("limit=0", "limit", "greater_than_equal"),
                              ("limit=1001", "limit", "less_than_equal"), ("limit=x", "limit", "int_parsing"),
                              ("since=yesterday", "since", "date_from_datetime_parsing")):
        status, data = bursar.api("/api/v1/alerts?" + query, raw=True)
        (detail,) = json.loads(data)["detail"]
        assert status == 422 and detail["loc"] == ["query", name] and detail["type"] == kind, (query, detail)
        assert detail["input"] == query.partition("=")[2]
    for method, path, body, status in (
            ("GET", "/api/v1/alerts/0", None, 404), ("GET", "/api/v1/alerts/x", None, 404), ("GET", "/api/v1/alerts/99999", None, 404),
            ("GET", "/api/v1/alerts/test-1", None, 404), ("GET", "/api/v1/alerts/test-1-99999999", None, 404),
            ("POST", "/api/v1/alerts/99999/ack", {}, 404), ("POST", "/api/v1/alerts/1/ack", {"who": "me"}, 422),
            ("POST", "/api/v1/alerts/1/ack", {"reason": 5}, 422), ("POST", "/api/v1/alerts/1/ack", {"reason": "x" * 201}, 422),
            ("POST", "/api/v1/alerts/test", {"channel": "nobody"}, 422), ("POST", "/api/v1/alerts/preview", {"type": "nonsense"}, 422),
            ("POST", "/api/v1/alerts/mutes", {"budget": "a", "reason": "x"}, 422),
            ("POST", "/api/v1/alerts/mutes", {"for": "2h", "reason": "x"}, 422),
            ("POST", "/api/v1/alerts/mutes", {"budget": "a", "for": "2h"}, 422),
            ("POST", "/api/v1/alerts/mutes", {"budget": "a", "for": "2 hours", "reason": "x"}, 422),
            ("POST", "/api/v1/alerts/mutes", {"budget": "a", "for": "99999999999999999999d", "reason": "x"}, 422),
            ("POST", "/api/v1/alerts/mutes", {"budget": "a", "until": "2001-01-01T00:00:00Z", "reason": "x"}, 422),
            ("POST", "/api/v1/alerts/mutes", {"user": "a", "team": "b", "for": "2h", "reason": "x"}, 422),
            ("POST", "/api/v1/alerts/mutes", {"type": "no.such", "for": "2h", "reason": "x"}, 422),
            ("PUT", "/api/v1/alerts/1", {}, 405)):
        got, data = bursar.api(path, method, body, raw=True)
        assert got == status, (method, path, body, got, data)


def test_colours_only_on_a_terminal(start_bursar, hook):
    bursar = start_bursar(hooked(hook))
    spend(bursar, 6)
    one_incident(bursar)
    script = shutil.which("script")
    if not script:
        pytest.skip("needs script(1)")

    def on_terminal(**env):
        words = f"{harness.BURSAR} alerts -c {bursar.config_path}"
        clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        return subprocess.run([script, "-qec", words, "/dev/null"], capture_output=True, text=True, cwd=ROOT, timeout=60,
                              env={**clean, "TERM": "xterm", **env}).stdout

    assert "\033[33mwarning\033[0m" in on_terminal()
    assert "\033" not in on_terminal(NO_COLOR="1")


def test_who_may(start_bursar, hook):
    bursar = start_bursar(hooked(hook))
    spend(bursar, 6)
    number = one_incident(bursar)["id"]
    viewer, caller = bursar.create_key("eve", "--role", "viewer"), bursar.create_key("app")
    reads = ["/api/v1/alerts", f"/api/v1/alerts/{number}", "/api/v1/alerts/channels", "/api/v1/alerts/mutes", "/api/v1/alerts/outbox",
             "/api/v1/alerts/dashboard", "/api/v1/alerts/delivery-stats"]
    writes = [("POST", f"/api/v1/alerts/{number}/ack"), ("POST", f"/api/v1/alerts/{number}/resolve"), ("POST", f"/api/v1/alerts/{number}/retry"),
              ("POST", "/api/v1/alerts/outbox/1/retry"), ("POST", "/api/v1/alerts/mutes"), ("DELETE", "/api/v1/alerts/mutes/1"),
              ("POST", "/api/v1/alerts/test"), ("POST", "/api/v1/alerts/preview"), ("POST", "/api/v1/alerts/channels/hook/enable")]
    for path in reads:
        assert bursar.api(path, token=viewer, raw=True)[0] == 200, path
        assert bursar.api(path, token=caller, raw=True)[0] == 403, path
        assert bursar.api(path, token="junk", raw=True)[0] == 401, path
    for method, path in writes:
        assert bursar.api(path, method, {}, token=viewer, raw=True)[0] == 403, path
        assert bursar.api(path, method, {}, token="junk", raw=True)[0] == 401, path
    assert one_incident(bursar)["state"] == "firing"


# --- mutes ------------------------------------------------------------------------------------------------------------


def test_what_is_muted_is_not_told(start_bursar, hook):
    bursar = start_bursar(hooked(hook, [budget("10 requests", name=n, window="day", steps=STEPS) for n in ("loud", "quiet")]))
    assert bursar.cli("alerts", "mutes").stdout == "Nothing is muted\n"
    words = bursar.cli("alerts", "mute", "--budget", "qui*", "--for", "2h", "--reason", "load test").stdout
    number = re.search(r"mute (\d+) is in force until \d{4}-", words).group(1)
    (mute,) = bursar.api("/api/v1/alerts/mutes")["mutes"]
    assert (mute["budget"], mute["reason"]) == ("qui*", "load test") and mute["by"] and str(mute["id"]) == number
    assert "load test" in bursar.cli("alerts", "mutes").stdout
    spend(bursar, 6)
    wait_for(lambda: len(incidents(bursar)) == 2, "both incidents")
    wait_for(lambda: hook.requests, "the one that is loud")
    held = wait_for(lambda: bursar.api("/api/v1/alerts/outbox?state=held")["messages"], "the one that is held")
    assert held[0]["reason"] == "muted"
    assert {r.json()["data"]["budget_id"] for r in hook.requests} == {"loud"}
    assert "over" in bursar.cli("alerts", "unmute", number).stdout
    wait_for(lambda: {r.json()["data"]["budget_id"] for r in hook.requests} == {"loud", "quiet"}, "what still goes on to be told")
    assert bursar.cli("alerts", "unmute", number, check=False).returncode == 1


# --- dead letters -----------------------------------------------------------------------------------------------------


def test_channels_that_are_gone_and_messages_that_were_given_up(start_bursar):
    with HttpReceiver([410], default=200) as gone, HttpReceiver() as fine:
        bursar = start_bursar({"budgets": [budget("10 requests", name="search-daily", window="day", steps=STEPS)], **alerts({
            "old": ("webhook", {"url": gone.url}, LOUD), "new": ("webhook", {"url": fine.url}, LOUD)}, public_url=PUBLIC)})
        spend(bursar, 6)

        def old():
            return {c["name"]: c for c in bursar.api("/api/v1/alerts/channels")["channels"]}["old"]

        wait_for(lambda: old()["state"] == "disabled", "the channel to be disabled")
        assert not old()["enabled"] and "410" in old()["why"] and old()["since"]
        assert old()["failed_deliveries"] == 1 and old()["success_rate"] == 0
        words = bursar.cli("alerts", "channels").stdout
        assert "disabled" in words and "410" in words
        metrics = bursar.api("/metrics", raw=True)[1].decode()
        assert 'bursar_alert_channel_up{channel="old"} 0' in metrics and 'bursar_alert_channel_up{channel="new"} 1' in metrics
        assert re.search(r'bursar_alerts_sent_total\{channel="new",type="budget.threshold",outcome="\w+"\} 1', metrics)
        assert re.search(r"bursar_alert_delivery_seconds_count [1-9]", metrics)
        assert re.search(r'bursar_alert_outbox\{state="dead"\} \d', metrics)
        # the other channel is told of it
        wait_for(lambda: [r for r in fine.requests if r.json()["type"].endswith("system.degraded")], "the others to be told")
        dead = bursar.api("/api/v1/alerts/outbox?state=dead&channel=old")["messages"]
        assert "tried again" in bursar.cli("alerts", "enable", "old").stdout
        assert old()["state"] != "disabled"
        if dead:
            assert str(dead[0]["id"]) in bursar.cli("alerts", "retry").stdout
            assert "sent again" in bursar.cli("alerts", "retry", dead[0]["id"], "--message").stdout
        wait_for(lambda: len(gone.requests) >= 2, "the message to be sent after all")
        first, *_, last = gone.requests
        assert first.headers["webhook-id"] in [r.headers["webhook-id"] for r in gone.requests[1:]]
        wait_for(lambda: old()["state"] == "ok", "the channel to be well")
        assert bursar.cli("alerts", "retry").stdout == "No message was given up\n"


def test_a_message_that_was_given_up_is_sent_again(start_bursar, tmp_path):
    """Mail for somebody who does not exist will never pass; when he exists, it does."""
    with MailReceiver(certs=Certs(tmp_path), security="none", reject={"bob@example.com": "550 5.1.1 no such user"}) as mail:
        bursar = start_bursar({"budgets": [budget("10 requests", name="search-daily", window="day", steps=STEPS)], **alerts({
            "ops": ("email", {"server": "127.0.0.1", "port": mail.port, "security": "none", "from": "bursar@example.com",
                              "to": ["bob@example.com"]}, LOUD)})})
        spend(bursar, 6)
        dead = wait_for(lambda: bursar.api("/api/v1/alerts/outbox?state=dead")["messages"], "the message to be given up")
        assert "550" in dead[0]["why"] or "no such user" in dead[0]["why"]
        number = [m for m in dead if m["op"] == "firing"][0]["incident"]
        assert str(number) in bursar.cli("alerts", "retry").stdout
        mail.reject.clear()
        assert "sent again" in bursar.cli("alerts", "retry", number).stdout
        assert b"search-daily" in mail.wait(1)[0].data or mail.mails
        wait_for(lambda: all(m["state"] == "sent" for m in bursar.api(f"/api/v1/alerts/{number}")["messages"] if m["op"] == "firing"
                             and m["channel"].startswith("ops")), "it to be noted")
        assert bursar.cli("alerts", "retry", number, check=False).returncode == 1
        assert "alert.retry" in json.dumps(bursar.api("/api/v1/audit"))


# --- test -------------------------------------------------------------------------------------------------------------


def run_test(tmp_path, channels, *more, server=False, start_bursar=None):
    """`bursar alerts test` on a fresh installation: nothing ran before."""
    if server:
        bursar = start_bursar(alerts(channels), name="server")
    else:
        bursar = harness.Bursar(tmp_path / "fresh", None, alerts(channels), start=False)
    return bursar.cli("alerts", "test", *more, check=False)


@pytest.mark.parametrize("server", [False, True], ids=["fresh", "server"])
def test_a_test_says_that_all_is_well(start_bursar, tmp_path, server):
    certs = Certs(tmp_path)
    with HttpReceiver() as hook, HttpReceiver(default=(200, {}, b"ok")) as slack, \
            MailReceiver(certs=certs, users={"bursar": "secret"}) as mail:
        done = run_test(tmp_path, {
            "mail": ("email", {"server": "localhost", "port": mail.port, "username": "bursar", "password": "secret",
                               "from": "bursar@example.com", "to": ["ops@example.com"]}, {"ca_file": str(certs.ca)}),
            "chat": ("slack", {"webhook": slack.url + "/services/T/B/x"}),
            "hook": ("webhook", {"url": hook.url})}, server=server, start_bursar=start_bursar)
        assert done.returncode == 0, (done.stdout, done.stderr)
        lines = [line for line in done.stdout.splitlines() if line]
        assert lines[-1] == "4 channels work: the message should be there"
        assert sorted(line.split()[0] for line in lines[:-1]) == ["ok"] * 4
        assert {line.split()[1].partition(":")[0] for line in lines[:-1]} == {"mail", "chat", "hook", "log"}
        assert len(mail.mails) == len(slack.requests) == len(hook.requests) == 1
        assert hook.requests[0].json()["data"]["state"] == "test"
        # one of them only
        done = run_test(tmp_path, {"hook": ("webhook", {"url": hook.url})}, "--channel", "hook") if not server else None
        assert not done or (done.returncode == 0 and "1 channel works" in done.stdout and len(hook.requests) == 2)


def mail_channel(port, **more):
    return ("email", {"server": "localhost", "port": port, "username": "bursar", "password": "secret", "from": "bursar@example.com",
                      "to": ["ops@example.com"], **more})


def faults(certs):
    """What is wrong, how to make it so, and the words that say it."""
    def mail(**more):
        return MailReceiver(certs=certs, users={"bursar": "secret"}, **more)

    ca = {"ca_file": str(certs.ca)}
    return {
        "wrong password": (mail, lambda s: (*mail_channel(s.port, password="wrong"), ca), ["password"]),
        "wrong port": (contextlib.nullcontext, lambda s: mail_channel(free_port()), ["nobody listens", "port"]),
        "self-signed certificate": (lambda: mail(tls=certs.self_signed), lambda s: mail_channel(s.port), ["certificate", "ca_file"]),
        "https self-signed": (lambda: HttpReceiver(tls=certs.self_signed), lambda s: ("webhook", {"url": s.url}), ["certificate", "ca_file"]),
        "no STARTTLS": (lambda: MailReceiver(certs=certs, security="none"), lambda s: (*mail_channel(s.port), ca), ["starttls"]),
        "removed Slack webhook": (lambda: HttpReceiver(default=(404, {}, b"no_service")),
                                  lambda s: ("slack", {"webhook": s.url + "/services/T/B/x"}), ["webhook", "no_service"]),
        "expired Teams URL": (lambda: HttpReceiver(default=(401, {}, b"{}")), lambda s: ("teams", {"url": s.url + "/x?sig=abc"}), ["url", "401"]),
        "gone webhook": (lambda: HttpReceiver(default=410), lambda s: ("webhook", {"url": s.url}), ["410", "enable"]),
        "private address": (HttpReceiver, lambda s: ("webhook", {"url": s.url.replace("127.0.0.1", "localhost")}, {"allow_private": False}), ["allow_private"]),
        "unknown host": (contextlib.nullcontext, lambda s: ("webhook", {"url": "https://nobody.invalid/x"}), ["nobody.invalid"]),
        "expired certificate": (lambda: mail(tls=certs.expired), lambda s: (*mail_channel(s.port), ca), ["certificate", "expired"]),
        "certificate of another host": (lambda: mail(tls=certs.wrong_host), lambda s: (*mail_channel(s.port), ca), ["certificate", "another host"]),
        "TLS where there is none": (mail, lambda s: (*mail_channel(s.port, security="tls"), ca), ["starttls"]),
        "STARTTLS where TLS begins": (lambda: mail(security="tls"), lambda s: (*mail_channel(s.port), ca), ["security", "tls"]),
        "500": (lambda: HttpReceiver(default=500), lambda s: ("webhook", {"url": s.url}), ["500"]),
    }


@pytest.mark.parametrize("what", ["wrong password", "wrong port", "self-signed certificate", "https self-signed", "no STARTTLS",
                                  "removed Slack webhook", "expired Teams URL", "gone webhook", "private address", "unknown host", "500", "expired certificate",
                                  "certificate of another host", "TLS where there is none", "STARTTLS where TLS begins"])
def test_a_test_on_a_fresh_installation_says_what_is_wrong(tmp_path, what):
    make, channel, words = faults(Certs(tmp_path))[what]
    with make() as server:
        done = run_test(tmp_path, {"ops": channel(server)})
    assert done.returncode == 1, (done.stdout, done.stderr)
    print(done.stdout)
    lines = done.stdout.splitlines()
    (failed,) = [i for i, line in enumerate(lines) if line.startswith("failed")]
    assert " ops" in lines[failed] and lines[-1] == "1 of 2 channels failed"
    said = " ".join(line.strip() for line in lines if line.startswith("        ")).lower()
    for word in words:
        assert word.lower() in said, (word, said)
    assert "secret" not in done.stdout and "sig=abc" not in done.stdout and "/services/" not in done.stdout


def test_a_test_does_not_wait_for_ever(tmp_path, start_bursar):
    with HttpReceiver(default=Hang()) as server:
        done = run_test(tmp_path, {"ops": ("webhook", {"url": server.url})}, server=True, start_bursar=start_bursar)
    assert done.returncode == 1 and re.search("time|answer", done.stdout), done.stdout


def test_a_test_over_http(start_bursar, hook):
    with HttpReceiver(default=500) as broken:
        bursar = start_bursar(alerts({"hook": ("webhook", {"url": hook.url}), "broken": ("webhook", {"url": broken.url})}))
        status, data = bursar.api("/api/v1/alerts/test", "POST", {}, raw=True)
        answer = json.loads(data)
        assert status == 202 and set(answer["channels"]) == {"hook", "broken", "log"}
        path = "/api/v1/alerts/" + answer["test"]
        wait_for(lambda: bursar.api(path)["done"], "the result")
        result = bursar.api(path)
        assert result["alert_id"] == answer["test"] and result["overall_success"] is False and result["failed_channels"] == ["broken"]
        assert result["channels"]["hook"]["success"] is True and result["channels"]["hook"]["timestamp"]
        assert "500" in result["channels"]["broken"]["error"]
        # a test is no alert
        assert incidents(bursar, state="all") == [] or all(a["alert_type"] != "test" for a in incidents(bursar, state="all"))


# --- preview ----------------------------------------------------------------------------------------------------------

EVERY_KIND = {
    "mail": ("email", {"server": "smtp.example.com", "username": "bursar", "password": "pa55-of-mail", "from": "bursar@example.com",
                       "to": ["ops@example.com"]}),
    "chat": ("slack", {"webhook": "https://hooks.slack.com/services/T1/B1/pa55-of-slack"}),
    "thread": ("slack", {"token": "xoxb-pa55-of-token", "channel": "C0123ABC"}),
    "teams": ("teams", {"url": "https://x.logic.azure.com/workflows/1?sig=pa55-of-teams"}),
    "discord": ("discord", {"url": "https://discord.com/api/webhooks/123456/pa55-of-discord"}),
    "pager": ("pagerduty", {"routing_key": "pa55ofpagerduty00000000000000000"}),
    "genie": ("opsgenie", {"key": "pa55-of-opsgenie"}),
    "prom": ("alertmanager", {"url": "http://alertmanager.example.com:9093", "bearer": "pa55-of-prom"}),
    "hook": ("webhook", {"url": "https://hooks.example.com/pa55-of-url", "secret": SECRET, "bearer": "pa55-of-bearer",
                         "headers": {"X-Env": "pa55-of-header"}}),
    "siem": ("log", {"format": "syslog"}),
}


def test_previews_show_what_would_be_sent_and_no_secret(tmp_path):
    bursar = harness.Bursar(tmp_path / "fresh", None, alerts(EVERY_KIND, public_url=PUBLIC), start=False)
    words = bursar.cli("alerts", "preview").stdout
    previews = json.loads(bursar.cli("alerts", "preview", "--json").stdout)
    assert {p["channel"].partition(":")[0] for p in previews} >= set(EVERY_KIND)
    assert not [p for p in previews if "error" in p]
    for p in previews:
        shown = json.dumps(p)
        assert "search-daily" in shown, p
        if p["type"] not in ("log", "alertmanager", "webhook"):
            assert "80" in shown, p
    assert "pa55" not in words and "pa55" not in json.dumps(previews) and SECRET[6:] not in json.dumps(previews)
    assert "Subject: " in words and "=== pager (pagerduty)" in words and '"event_action": "trigger"' in words
    page = bursar.cli("alerts", "preview", "--channel", "mail", "--html").stdout
    assert "<html" in page and "search-daily" in page and "<script" not in page
    assert bursar.cli("alerts", "preview", "--channel", "chat", "--html", check=False).returncode == 1
    assert bursar.cli("alerts", "preview", "--channel", "nobody", check=False).returncode == 1


def types_of_docs():
    words = (ROOT / "docs" / "alerts.md").read_text().split("## What is told")[1].split("## Who is told")[0]
    rows = [line.split("|")[1] for line in words.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([a-z_.]+)`", row)]


def test_every_type_has_a_preview(start_bursar):
    bursar = start_bursar(alerts(EVERY_KIND, public_url=PUBLIC))
    types = types_of_docs()
    assert len(types) > 20
    for kind in [*types, "digest", "escalation"]:
        answer = bursar.api("/api/v1/alerts/preview", "POST", {"type": kind})
        assert len(answer["previews"]) >= len(EVERY_KIND), kind
        assert not [p for p in answer["previews"] if "error" in p], (kind, [p for p in answer["previews"] if "error" in p])


def test_a_preview_of_a_real_incident(start_bursar, hook):
    bursar = start_bursar(hooked(hook))
    spend(bursar, 6)
    number = one_incident(bursar)["id"]
    (preview,) = json.loads(bursar.cli("alerts", "preview", "--incident", number, "--channel", "hook", "--json").stdout)
    data = json.loads(preview["body"])["data"]
    assert data["budget_id"] == "search-daily" and data["incident"] == number and data["limit_nanos"] == 10
    assert open_page(bursar, "GET", target_of(data["links"]["acknowledge"]))[0] == 200
    assert bursar.cli("alerts", "preview", "--incident", "999", check=False).returncode == 1


# --- links ------------------------------------------------------------------------------------------------------------


def test_a_link_in_a_message_acknowledges_and_resolves(start_bursar, hook):
    bursar = start_bursar(hooked(hook))
    spend(bursar, 6)
    links = told(hook, "firing")["links"]
    number = one_incident(bursar)["id"]
    for name in ("open", "acknowledge", "resolve"):
        status, fields, page = open_page(bursar, "GET", target_of(links[name]))
        assert status == 200 and "search-daily" in page and fields["content-type"] == "text/html; charset=utf-8"
        assert fields["cache-control"] == "no-store" and fields["referrer-policy"] == "no-referrer"
        policy = fields["content-security-policy"]
        style = re.search("<style>(.*?)</style>", page, re.S).group(1)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy == (f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
        assert "<script" not in page and " style=" not in page and "src=" not in page and page.count("<button") == (2 if name == "open" else 1)
    # scanners look, and nothing happens
    assert one_incident(bursar)["state"] == "firing"
    assert open_page(bursar, "HEAD", target_of(links["acknowledge"]))[0] == 200
    assert open_page(bursar, "POST", target_of(links["open"]))[0] == 405
    assert one_incident(bursar)["state"] == "firing"
    # the button of the page that only looks acknowledges by a link of its own
    page = open_page(bursar, "GET", target_of(links["open"]))[2]
    action = html.unescape(re.search(r'action="(\?[^"]*a=ack[^"]*)"', page).group(1))
    status, _, page = open_page(bursar, "POST", "/alerts/act" + action, body="")
    assert status == 200 and "Acknowledged" in page
    alert = one_incident(bursar)
    assert alert["state"] == "acknowledged" and alert["by"] == "link (alert mail)"
    assert "acknowledged already" in open_page(bursar, "GET", target_of(links["acknowledge"]))[2]
    assert open_page(bursar, "POST", target_of(links["acknowledge"]))[0] == 200  # twice does no harm
    status, _, page = open_page(bursar, "POST", target_of(links["resolve"]))
    assert status == 200 and "Resolved" in page and incidents(bursar) == []
    assert "is over" in open_page(bursar, "GET", target_of(links["resolve"]))[2]
    told(hook, "resolved")
    entries = [e for e in bursar.api("/api/v1/audit")["rows"] if e["actor"] == "link (alert mail)"]
    assert len(entries) == 2 and all(str(number) in e["object"] for e in entries)


def test_links_that_are_not_ours_do_nothing(start_bursar, hook):
    bursar = start_bursar(hooked(hook, link_valid="60s"))
    spend(bursar, 6)
    links = told(hook, "firing")["links"]
    number = one_incident(bursar)["id"]
    good = target_of(links["acknowledge"])
    forged = [good.replace("a=ack", "a=resolve"), good.replace(f"i={number}", f"i={number + 1}"), re.sub(r"e=\d+", "e=9999999999", good),
              good[:-1] + ("A" if good[-1] != "A" else "B"), good + "&x=1", "/alerts/act", "/alerts/act?", "/alerts/act?i=1&a=ack",
              "/alerts/act?" + "i" * 5000, good.replace("s=", "s=%00")]
    for target in forged:
        for method in ("GET", "POST"):
            status, _, page = open_page(bursar, method, target)
            assert status in (403, 414, 431), (method, target, status)
            assert "<script" not in page and "search-daily" not in page
    assert one_incident(bursar)["state"] == "firing"
    assert open_page(bursar, "GET", good, host="evil.example")[0] == 421
    assert open_page(bursar, "GET", good, host="bursar.example.com")[0] == 200
    # under the same name, hours later
    bursar.stop()
    bursar.popen_options = {"env": {**os.environ, "BURSAR_FAKE_NOW": "2199-01-01T00:00:00Z"}}
    bursar.start()
    status, _, page = open_page(bursar, "POST", good)
    assert status == 410 and "too old" in page


def test_names_of_others_stay_text_on_the_page(start_bursar, hook):
    name = "a<b>&\"'<script>alert(1)</script>"
    bursar = start_bursar(hooked(hook, [budget("4 requests", name="x", window="day", steps=STEPS, per=["tag.u"])]))
    for _ in range(3):
        call(bursar.proxy, OPENAI, chat(), headers={"x-bursar-tags": f"u={name}"})
    page = open_page(bursar, "GET", target_of(told(hook, "firing")["links"]["open"]))[2]
    assert "<script" not in page and "<b>" not in page
    assert name in html.unescape(page)


class Browser:
    """Headless Chromium on one page, driven by its debugging port."""

    def __init__(self, directory):
        chromium = shutil.which("chromium")
        if not chromium:
            pytest.skip("needs chromium")
        client = pytest.importorskip("websockets.sync.client")  # comes with Google's SDK
        profile = directory / "profile"
        self.process = subprocess.Popen(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.stack = contextlib.ExitStack()
        self.stack.callback(self.end)
        try:
            self.connect(profile / "DevToolsActivePort", client)
        except BaseException:
            self.close()
            raise

    def connect(self, port_file, client):
        wait_for(lambda: port_file.exists() and "\n" in port_file.read_text(), "chromium", 60)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(port_file.read_text().split()[0]), timeout=30)) as c:
            c.request("GET", "/json/list")
            (page,) = [t for t in json.loads(c.getresponse().read()) if t["type"] == "page"]
        self.socket = self.stack.enter_context(client.connect(page["webSocketDebuggerUrl"], max_size=None))
        self.number, self.complaints = 0, []
        for domain in ("Page", "Log", "Runtime"):
            self.do(domain + ".enable")

    def do(self, method, **params):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv(timeout=30))
            if said.get("method") == "Log.entryAdded":
                self.complaints.append(said["params"]["entry"])
            if said.get("id") == self.number:
                return said["result"]

    def value(self, script):
        return self.do("Runtime.evaluate", expression=script)["result"].get("value")

    def wait_text(self, words):
        wait_for(lambda: words in (self.value("document.body ? document.body.innerText : ''") or ""), words, 30)

    def end(self):
        self.process.terminate()
        self.process.wait(30)

    def close(self):
        self.stack.close()


def test_the_page_in_a_browser(start_bursar, hook, tmp_path):
    """Its style is allowed, its button acts, and Chromium has nothing to complain of."""
    bursar = start_bursar(hooked(hook))
    spend(bursar, 6)
    target = target_of(told(hook, "firing")["links"]["open"])
    with contextlib.closing(Browser(tmp_path)) as browser:
        browser.do("Page.navigate", url=f"http://127.0.0.1:{bursar.admin}{target}")
        browser.wait_text("search-daily")
        assert browser.value("getComputedStyle(document.querySelector('article')).borderTopWidth") == "5px"
        assert one_incident(bursar)["state"] == "firing"
        browser.value("document.querySelector('button').click()")
        browser.wait_text("Acknowledged")
        assert one_incident(bursar)["state"] == "acknowledged"
        assert [c for c in browser.complaints if "favicon" not in json.dumps(c)] == []


# --- figures ----------------------------------------------------------------------------------------------------------


def test_the_dashboard_and_the_statistics(start_bursar, hook):
    bursar = start_bursar(hooked(hook, [budget("4 USD", name="day", window="day", steps=STEPS),
                                        budget("4 requests", name="calls", window="day", steps=STEPS)]))
    spend(bursar, 5)
    wait_for(lambda: incidents(bursar, level="exceeded"), "an incident at 100 %")
    answer = bursar.api("/api/v1/alerts/dashboard?time_range=last_6_hours")
    assert answer["status"] == "success" and answer["meta"]
    data = answer["data"]
    statistics = data["alert_statistics"]
    assert statistics["total_alerts"] == 1 and statistics["by_severity"] == {"exceeded": 1}
    assert statistics["alert_rate_per_hour"] == round(1 / 6, 2)
    (recent,) = data["recent_alerts"]
    assert recent["alert_level"] == "exceeded" and recent["percentage_used"] >= 100 and recent["period_type"] == "daily"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", recent["period_key"]) and recent["current_cost"] >= 4 and recent["budget_limit"] == 4
    assert isinstance(recent["timestamp"], float)
    assert set(data["escalation_status"]) >= {"active_escalation_keys", "escalation_rules", "recent_activity"}
    assert "escalation_status" not in bursar.api("/api/v1/alerts/dashboard?include_escalation=false")["data"]
    assert bursar.api("/api/v1/alerts/dashboard?include_escalation=perhaps", raw=True)[0] == 422
    wait_for(lambda: bursar.api("/api/v1/alerts/delivery-stats")["data"]["channels"]["hook"]["successful_deliveries"] > 0, "a delivery")
    stats = bursar.api("/api/v1/alerts/delivery-stats")["data"]
    hook_stats = stats["channels"]["hook"]
    assert hook_stats["total_attempts"] == hook_stats["successful_deliveries"] and hook_stats["success_rate"] == 1.0
    assert hook_stats["last_delivery"] and stats["alert_history_size"] > 0 and stats["config_summary"]["channels"] == 2
