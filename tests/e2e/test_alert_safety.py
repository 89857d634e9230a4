"""What receivers of alerts say, which is theirs to choose, what nobody may be told, and addresses that alerts must not go to."""

import base64
import json
import re
import subprocess
import time

import pytest

import harness
from harness import CHAT, budget, call, wait_for
from receivers import Certs, HttpReceiver, MailReceiver, alerts, redirect
from test_alert_chat import rows
from test_alert_injection import LOUD, PUBLIC, QUEUED, terminal, unseen

OPENAI = "/openai" + CHAT
ONE = [budget("1 requests", name="day", window="day", mode="soft", steps=[{"at": "100%", "do": "alert"}])]


# --- what receivers say -----------------------------------------------------------------------------------------------

SAID = "\x1b]0;x\x07\x1b[2J\u009b31m\u202egnp\u2028<script>alert(1)</script>\r\n{\"level\":\"x\"}".encode() + b"\x00\xff\xfe "
SECRET = {"path": "pa55-of-path-0123456789", "token": "xoxb-pa55-of-token", "key": "pa55ofroutingkey0123456789abcdef", "genie": "pa55-of-genie-key",
          "bearer": "pa55-of-bearer", "header": "pa55-of-header", "mail": "pa55-of-mail", "user": "pa55-of-basic",
          "sign": "whsec_cGE1NS1vZi1zaWduaW5nLXBhNTUtb2Ytc2lnbmluZy0h"}


def echo(status):
    """A refusal that repeats what it was sent, so that some of it is where the words are cut."""
    def say(request):
        sent = " ".join([request.path, *(v for n, v in request.fields if n.lower() in ("authorization", "x-api-key", "x-env"))])
        if b"routing_key" in request.body:
            sent += " " + request.json()["routing_key"]
        return status, {"Retry-After": "-1", "X-Evil": "\u009b31m"}, SAID + b"." * (request.connection * 7 % 170) + sent.encode() + b" " + sent.encode()
    return say


def loud_secrets(url, mail_port, ca):
    hook = {"url": f"{url}/{SECRET['path']}?sig={SECRET['path']}"}
    return {
        "slack": ("slack", {"webhook": hook["url"]}, LOUD),
        "bot": ("slack", {"token": SECRET["token"], "channel": "C024BE91L", "api_url": url + "/api"}, LOUD),
        "teams": ("teams", hook, LOUD),
        "discord": ("discord", {"url": f"{url}/api/webhooks/1/{SECRET['path']}"}, LOUD),
        "pager": ("pagerduty", {"routing_key": SECRET["key"], "url": url + "/v2/enqueue"}, LOUD),
        "ops": ("opsgenie", {"key": SECRET["genie"], "url": url}, LOUD),
        "prom": ("alertmanager", {"url": url, "bearer": SECRET["bearer"]}, LOUD),
        "hook": ("webhook", {**hook, "bearer": SECRET["bearer"], "secret": SECRET["sign"], "headers": {"X-Env": SECRET["header"]}}, LOUD),
        "basic": ("webhook", {**hook, "username": "u", "password": SECRET["user"]}, LOUD),
        "mail": ("email", {"server": "localhost", "port": mail_port, "from": "bursar@example.com", "to": ["ops@example.org"],
                           "username": "bursar", "password": SECRET["mail"], "ca_file": str(ca)}, LOUD),
    }


def pieces_of_secrets():
    """What must stand nowhere: ten characters of any of them, from its beginning on, and its base64."""
    out = set()
    for name, s in SECRET.items():
        out.add(s[:10] if name != "sign" else s[6:18])
        out.add(base64.b64encode(b"u:" + s.encode()).decode()[:20])
    return {s.encode() for s in out}


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_what_receivers_say_stays_text_and_no_secret_is_told(start_bursar, tmp_path, status):
    certs = Certs(tmp_path)
    refusal = "550 5.1.1 \x1b[31m <script> " + "." * 150 + SECRET["mail"]
    with HttpReceiver(default=echo(status)) as http, MailReceiver(certs=certs, users={"bursar": SECRET["mail"]}, reject={"*": refusal}) as mail:
        channels = loud_secrets(http.url, mail.port, certs.ca)
        bursar = start_bursar({"budgets": ONE,
                               **alerts(channels, public_url=PUBLIC)})
        call(bursar.proxy, OPENAI, harness.chat())
        def failed():
            return {c["name"] for c in bursar.api("/api/v1/alerts/channels")["channels"] if c["why"]} | {
                c for c, in rows(bursar, "SELECT DISTINCT channel FROM outbox WHERE error<>''")}
        wait_for(lambda: failed() >= set(channels), "a refusal by each", 60)
        shown = [bursar.api(p, raw=True)[1] for p in ("/api/v1/alerts/1", "/api/v1/alerts/channels", "/api/v1/alerts/outbox", "/metrics",
                                                      "/api/v1/alerts/delivery-stats", "/api/v1/alerts/dashboard", "/api/v1/audit")]
        shown += [terminal(bursar, "alerts", *a).encode() for a in (["list"], ["show", "1"], ["channels"], ["retry"], ["preview"],
                                                                     ["preview", "--json"], ["show", "1", "--format", "json"])]
        shown.append(bursar.cli("check-config", "--dump-config").stdout.encode())
        shown.append(terminal(bursar, "alerts", "test", code=None).encode())
        bursar.stop()
        files = [f for f in [*bursar.data.rglob("*"), bursar.dir / "bursar.jsonl", bursar.dir / "bursar.log"] if f.is_file()]
        assert any(f.name == "bursar.db" for f in files)
        for what in [*shown, *(f.read_bytes() for f in files)]:
            for secret in pieces_of_secrets():
                at = what.find(secret)
                assert at < 0, (secret, what[max(0, at - 200):at + 100])
        for line in (bursar.dir / "bursar.jsonl").read_bytes().split(b"\n")[:-1]:
            assert json.loads(line.decode()) and not re.search(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]", line), line


@pytest.mark.parametrize("value", ["-1", "99999999999999999999", "1e9", "0x10", "NaN", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT",
                                   "soon", "\u009b31m", "1, 2", "5 seconds", "9" * 5000])
def test_nonsense_in_retry_after(start_bursar, value):
    with HttpReceiver(default=lambda r: (429, {"Retry-After": value.encode().decode("latin-1")}, b"")) as http:
        bursar = start_bursar({"budgets": ONE,
                               **alerts({"hook": ("webhook", {"url": http.url}, LOUD)})})
        call(bursar.proxy, OPENAI, harness.chat())
        wait_for(lambda: rows(bursar, "SELECT error FROM outbox WHERE channel='hook'") not in ([], [("",)], [(None,)]), "the refusal")
        (state, due), = rows(bursar, "SELECT state,next FROM outbox WHERE channel='hook'")
        assert state == QUEUED and 0 < due / 1e9 - time.time() <= 86400 + 60


# --- where alerts may not go ------------------------------------------------------------------------------------------

LITERAL = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254", "10.0.0.1", "192.168.1.1", "172.16.0.1", "0.0.0.0",
           "[::]", "[fe80::1]", "[fd00::1]", "100.64.0.1", "[64:ff9b::7f00:1]", "224.0.0.1", "255.255.255.255"]
# Spellings that only a resolver reads as addresses, and names of this machine.
SPELLED = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "127.0.0.1.", "localhost", "LOCALHOST", "localhost."]


def check(tmp_path, url, **beside):
    file = tmp_path / "x.yaml"
    file.write_text(json.dumps({"listen": ["127.0.0.1:0"], "data": str(tmp_path / "data"), "alerts": {"channels": {
        "hook": {"webhook": {"url": url}, "allow_http": True, **beside}}}}))
    return subprocess.run([str(harness.BURSAR), "check-config", "-c", str(file)], capture_output=True, text=True, timeout=60)


def test_addresses_of_the_configuration(tmp_path):
    for host in LITERAL:
        done = check(tmp_path, f"http://{host}:9/pa55-of-path")
        assert done.returncode != 0 and "allow_private" in done.stderr and "pa55" not in done.stderr, (host, done)
        assert check(tmp_path, f"http://{host}:9/x", allow_private=True).returncode == 0, host
    for url in ("https://u:pa55word@hooks.example.com/x", "https://u@hooks.example.com/x", "file:///etc/passwd", "gopher://h/x", "https:///x",
                "https://hooks.example.com\r\nX: y/", "https://hooks.example.com/a b", "https://h\\@127.0.0.1/", "https://[::1", "ftp://h/",
                "https://a.example#@127.0.0.1/", "javascript:alert(1)"):
        done = check(tmp_path, url, allow_private=True)
        assert done.returncode != 0 and "pa55word" not in done.stdout + done.stderr, (url, done)
        assert not unseen(done.stderr), (url, done)


def test_nothing_arrives_at_forbidden_addresses(start_bursar, tmp_path):
    """What the configuration cannot know is refused when the address is known; redirects lead nowhere."""
    with HttpReceiver() as inside, HttpReceiver(default=lambda r: redirect(inside.url + "/secret-place")) as outside:
        spelled = []
        for host in SPELLED:
            done = check(tmp_path, f"http://{host}:{inside.port}/pa55")
            spelled += [host] if done.returncode == 0 else []
            assert done.returncode == 0 or ("host" in done.stderr and "pa55" not in done.stderr), done.stderr
        assert len(spelled) >= 3, "names of this machine are known as such only when they are looked up"
        channels = {f"s{i}": {"webhook": {"url": f"http://{host}:{inside.port}/pa55"}, "allow_http": True, **LOUD} for i, host in enumerate(spelled)}
        refused = list(channels)
        section = alerts({"redirects": ("webhook", {"url": outside.url}, LOUD)})
        section["alerts"]["channels"] |= channels
        bursar = start_bursar({"budgets": ONE,
                               **section})
        call(bursar.proxy, OPENAI, harness.chat())
        wait_for(lambda: rows(bursar, "SELECT count(DISTINCT channel) FROM outbox WHERE error<>''")[0][0] == len(spelled) + 1, "an error of each", 60)
        said = dict(rows(bursar, "SELECT channel,error FROM outbox WHERE error<>'' ORDER BY id DESC"))
        for name in refused:
            assert "allow_private" in said[name] or "no name server knows" in said[name], said[name]
            assert "pa55" not in said[name]
        assert sum("allow_private" in said[n] for n in refused) >= 2, said
        assert "redirect" in said["redirects"] and "secret-place" not in said["redirects"]
        assert outside.requests and inside.connections == 0 and not inside.requests
