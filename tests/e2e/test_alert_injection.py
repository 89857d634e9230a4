"""Names that want to break out of an alert, in every channel.

Two servers tell of the same: one with harmless names, one with hostile ones. Whatever a message is made of (members of its
JSON, tags and attributes of its HTML, fields of its head) must be the same of both; only texts differ, and in them nothing
may mean anything to those who read or draw them. The readers are not ours.
"""

import contextlib
import fcntl
import html
import html.parser
import json
import os
import pty
import re
import shlex
import shutil
import socket
import struct
import subprocess
import termios
import threading
import unicodedata
import urllib.parse
import xml.etree.ElementTree

import pytest
from markdown_it import MarkdownIt

import conftest
import harness
from harness import CHAT, budget, call, wait_for
from receivers import Certs, HttpReceiver, MailReceiver, alerts
from test_alert_chat import needs_node, judged, rows, settled
from test_alert_mail import Read
from test_alert_webhook import FORMATS, SECRETS, Alertmanager, judge

OPENAI = "/openai" + CHAT
PUBLIC = "https://bursar.example.com"
LOUD = {"severity": "info", "rate": {"messages": 1000, "critical": 1000}, "min_gap": "0s", "critical_min_gap": "0s"}
QUEUED, SENT, DEAD = 0, 1, 2

# What a client may call a model: up to 128 bytes of any text without control characters.
MODELS = {
    "html": "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script></title></style>",
    "attribute": "\" onmouseover=\"alert(1)\" x='",
    "slack": "<!channel> <@U1> <https://evil.example|click> &lt;!here&gt; <!date^1^{date}|x>",
    "mrkdwn": "*b* _i_ ~s~ `c` ``` > quote",
    "lines": "# h > q - l 1. n --- ``` code ```",
    "syslog": "] <0>1 - - - - - x [y z=\"\\\"]",
    "words of mail": "=?UTF-8?B?QmNjOiB4?= --boundary .",
    "fence": "`'; touch /tmp/pwned; '`",
    "more controls": "\u009b31mred\u009d0;x\u009c\u0085",
    "wide": "漢" * 42,
    "markdown": "[x](https://evil.example) **b** __u__ ~~s~~ ||spoiler|| ![i](https://evil.example/i.png) <https://evil.example>",
    "mention": "@everyone @here <@&1> <#2> <t:1:R> </x:1> :tada:",
    "template": "{{links.acknowledge}}{{#top}}x{{/top}}{{{budget_id}}}${7*7}<%=7%>#{7}",
    "card": "{{DATE(2026-01-01T00:00:00Z, SHORT)}}${x}",
    "json": "\",\"admin\":true,\"x\":\"\\",
    "bidi": "a\u202egnp.exe\u202c\u2066x\u2069\u200f\u061cz",
    "right to left": "שלום 123 עולם",
    "emoji": "👩\u200d👩\u200d👧 🏴\u200d☠️ ❤️",
    "marks": "Z" + "\u0335\u0322\u0316\u0489" * 8,
    "hidden": "a\u200bb\u2060c\ufeffd\u00ade\U000e0041f\ufff9g",
    "separators": "a\u2028b\u2029c\u0085d",
    "shell": "x`;touch /tmp/pwned;`$(touch /tmp/pwned)'; touch /tmp/pwned; '",
    "formula": "=HYPERLINK(\"https://evil.example\",\"x\")",
    "formats": "%n%s%99999d%0d%0aX: y",
    "option": "--reason=x",
}
RAW_MODELS = {"lone surrogate": b'"a\\ud800b"'}
REFUSED_MODELS = {
    "line ends": b'"x\\r\\nBcc: evil@example.com\\r\\n"', "escape": b'"\\u001b[31m"', "delete": b'"a\\u007fb"', "nothing": b'"a\\u0000b"',
    "long": b'"' + b"W" * 10240 + b'"', "broken UTF-8": b'"a\xff\xfe\xc3(b\xf0\x9f"', "overlong": b'"\xc0\xaf\xe0\x80\xaf"', "number": b"7"}
# What the operator may call a budget: no quotes, backslashes, control characters (settings_budgets.c, policy/budget.c).
BUDGETS = ["<script>alert(1)</script>", "<!channel> *x* <https://e.example|y>", "{{links.acknowledge}}{{#top}}", "a`;id;`$(id)'b",
           "\u202egnp.exe", "\u009b31mred", "@everyone [x](https://e.example) **b**", "%0d%0aBcc: x@e.example", "a, b=c~d%2C"]
REFUSED_BUDGETS = ["a\nb", "a\rb", "a\tb", "a\"b", "a\\b", "a\x1bb", "a\x7fb", "x" * 64, ""]
TAGS = ["<b>x</b>", "\"'`", "<!channel>&amp;", "{{budget_id}}", "[x](https://e.example)", "a;b|c$(id)"]
REFUSED_TAGS = ["a\x1bb", "a=b", "é", "x" * 300]
# Harmless ones, of the same kinds: with a slash, and such as no command can name.
PLAIN_MODELS = ["model-one", "two/three", "-dash", "-dash/x"]
PLAIN_BUDGETS = ["search", "-batch", "daily"]
PLAIN_TAGS = ["ann", "ben"]
MENTION = "<!here>"


# --- what nobody may find ---------------------------------------------------------------------------------------------


def unseen(text, keep="\n"):
    """Characters that move a cursor, end a line, cannot be seen or turn text around."""
    fence = {0x200e, 0x200c, 0x200d}  # a mark that keeps our words in order; what joins letters and pictures
    return [hex(ord(c)) for c in text if c not in keep and ord(c) not in fence and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")]


def shape(value, at=""):
    """The set of places in a JSON value, with their types."""
    if isinstance(value, dict):
        return {f"{at}:object"}.union(*(shape(v, f"{at}.{k}") for k, v in value.items()))
    if isinstance(value, list):
        return {f"{at}:list"}.union(*(shape(v, at + "[]") for v in value))
    return {f"{at}:{'number' if isinstance(value, (int, float)) else type(value).__name__}"}


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for v in value.values() if isinstance(value, dict) else value:
            yield from texts(v)


class Page(html.parser.HTMLParser):
    """Tags with the names of their attributes, and the words between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.urls = set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add((tag, tuple(name for name, _ in attrs)))
        self.urls += [v for n, v in attrs if n in ("href", "src", "action")]

    def handle_comment(self, data):
        self.tags.add(("comment", data))

    def handle_decl(self, decl):
        self.tags.add(("decl", decl))

    def handle_data(self, data):
        self.words.append(data)


MARKDOWN = MarkdownIt("commonmark").enable(["strikethrough", "table"])
INERT = {"paragraph_open", "paragraph_close", "inline", "text", "softbreak", "text_special"}
OURS = {"strong_open", "strong_close"}


def markdown_words(text, ours=()):
    """What a reader of Markdown shows; nothing in it may be more than words."""
    tokens = [t for token in MARKDOWN.parse(text) for t in (token, *(token.children or ()))]
    assert {t.type for t in tokens} <= INERT | set(ours), (text, {t.type for t in tokens})
    bare = re.sub(r"\\.", "", text)  # what chats add to Markdown
    assert not re.search(r"@(?!\u200b)|\|\||<[#@t/:!]|://|\{\{|\$\{", bare), text
    return "".join(t.content for t in tokens if t.type in ("text", "text_special"))


def mrkdwn(text, mentions=()):
    """Slack's text: nothing between < and > but the mentions that the configuration names."""
    for m in mentions:
        text = text.replace(m, "", 1)
    assert "<" not in text and ">" not in text and not re.search(r"&(?!amp;|lt;|gt;)", text), text
    return html.unescape(text)


# --- two servers that tell everybody ----------------------------------------------------------------------------------


def everywhere(url, mail, certs, folder, prometheus):
    channels = {
        "slack": ("slack", {"webhook": url + "/slack", "mentions": [MENTION]}, LOUD),
        "slackatt": ("slack", {"webhook": url + "/slackatt", "format": "attachments"}, LOUD),
        "slackapi": ("slack", {"token": "xoxb-1", "channel": "C024BE91L", "api_url": url + "/slackapi"}, LOUD),
        "teams": ("teams", {"url": url + "/teams"}, LOUD),
        "discord": ("discord", {"url": url + "/discord"}, LOUD),
        "pagerduty": ("pagerduty", {"routing_key": "k" * 32, "url": url + "/pagerduty"}, LOUD),
        "opsgenie": ("opsgenie", {"key": "k", "url": url + "/opsgenie"}, LOUD),
        "mail": ("email", {"server": "localhost", "port": mail.port, "from": "bursar@example.com", "to": ["ops@example.org"],
                           "username": "bursar", "password": "secret", "ca_file": str(certs.ca)}, LOUD),
        "json": ("log", {"path": str(folder / "alerts.jsonl")}, LOUD),
        "syslog": ("log", {"path": str(folder / "syslog.sock"), "format": "syslog"}, LOUD),
    }
    for f in FORMATS:
        more = {"template": '{"m":"{{message}}","b":"{{budget_id}}","s":"{{scope.id}}","l":"{{labels}}"}'} if f == "template" else {}
        channels[f] = ("webhook", {"url": f"{url}/{f}", "format": f, "secrets": SECRETS, **more}, LOUD)
    if prometheus:
        channels["prometheus"] = ("alertmanager", {"url": prometheus.url}, LOUD)
    return channels


def agree(request):
    """Each peer's yes."""
    place = request.path.split("/")[1].partition("?")[0]
    if place == "slackapi":
        return 200, {}, {"ok": True, "channel": "C1", "ts": f"1795248000.{request.connection:06}"}
    if place in ("pagerduty", "opsgenie", "teams"):
        return 202, {}, {"status": "success", "result": "ok"}
    return 200, {}, {"id": "1"} if place == "discord" else "ok"


class Told:
    """A bursar, all whom it tells, and what they heard."""

    def __init__(self, folder, vendor, budgets, tags, models, prometheus=None):
        self.folder, self.names = folder, [*budgets, *tags, *models]
        folder.mkdir()
        certs = Certs(folder)
        self.lines = []
        self.stack = contextlib.ExitStack()
        self.http = self.stack.enter_context(HttpReceiver(default=agree))
        self.mail = self.stack.enter_context(MailReceiver(certs=certs, users={"bursar": "secret"}))
        sock = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sock.bind(str(folder / "syslog.sock"))
        threading.Thread(target=self._listen, args=(sock,), daemon=True).start()
        steps = [{"at": "100%", "do": "alert"}]
        own = [budget("1 requests", name=n, window="day", mode="soft", steps=steps) for n in budgets]
        each = {**budget("1 requests", name="each", window="day", mode="soft", steps=steps), "per": ["tag.u"]}
        self.channels = everywhere(self.http.url, self.mail, certs, folder, prometheus)
        self.bursar = harness.Bursar(folder / "bursar", vendor, {
            "budgets": [budget("1000 USD", unknown_model="block"), each, *own],
            **alerts(self.channels, public_url=PUBLIC, node="node-1", escalate=False)})
        for tag in tags:
            assert self.call(headers={"x-bursar-tags": f"u={tag}"}).status == 200, tag
        for name, model in models.items():
            answer = self.model(model if isinstance(model, bytes) else json.dumps(model).encode())
            assert json.loads(answer.body)["error"]["code"] == "price_unknown", name
        wait_for(lambda: rows(self.bursar, "SELECT count(*) FROM event")[0][0] >= len(self.names), "all events")
        wait_for(lambda: rows(self.bursar, "SELECT count(*) FROM outbox WHERE channel='syslog'")[0][0] >= len(self.names), "all messages")
        wait_for(lambda: rows(self.bursar, "SELECT count(*) FROM outbox WHERE state=0") == [(0,)], "all to be sent", 200)
        settled(self.bursar)

    def _listen(self, sock):
        with contextlib.suppress(OSError):
            while True:
                self.lines.append(sock.recv(65536))

    def model(self, text):
        return self.call(b'{"model":' + text + b',"max_tokens":1,"messages":[{"role":"user","content":"x"}]}')

    def call(self, body=None, headers=None):
        return call(self.bursar.proxy, OPENAI, body or harness.chat(), headers=headers)

    def at(self, place):
        """Requests at a place, which are there."""
        found = [r for r in self.http.requests if r.path.split("/")[1].partition("?")[0] == place]
        assert len(found) >= len(self.names), (place, len(found))
        return found

    def stop(self):
        conftest.stop_all([self.bursar])
        self.stack.close()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """(harmless, hostile)"""
    folder = tmp_path_factory.mktemp("injection")
    vendor = harness.Vendor(folder / "vendor")
    prometheus = Alertmanager(folder / "prometheus") if shutil.which("prometheus-alertmanager") else None
    started, models = {}, {**MODELS, **RAW_MODELS}

    def start(name, *args):
        started[name] = Told(folder / name, vendor, *args)
    thread = threading.Thread(target=start, args=("plain", PLAIN_BUDGETS, PLAIN_TAGS, {n: n for n in PLAIN_MODELS}))
    thread.start()
    start("hostile", BUDGETS, TAGS, models, prometheus)
    thread.join()
    plain, hostile = started["plain"], started["hostile"]
    hostile.prometheus = prometheus
    yield plain, hostile
    plain.stop(), hostile.stop()
    vendor.stop()
    if prometheus:
        prometheus.stop()


def bodies(told, place):
    out = []
    for r in told.at(place):
        assert "\n" not in r.path and not unseen("".join(n + v for n, v in r.fields)), r.fields
        out.append(json.loads(r.body.decode()))
    return out


def same_shape(both, place):
    """The bodies at a place, of the hostile; made of the same as of the harmless."""
    plain, hostile = (bodies(t, place) for t in both)
    known = set().union(*map(shape, plain))
    for body in hostile:
        assert shape(body) <= known, (shape(body) - known, body)
    return hostile


# --- names that bursar itself refuses ---------------------------------------------------------------------------------


def test_names_that_are_refused(both, tmp_path):
    plain, hostile = both
    for name in REFUSED_BUDGETS:
        file = tmp_path / "bad.yaml"
        file.write_text(json.dumps({**hostile.bursar.config, "budgets": [budget("1 USD", name=name)]}))
        done = subprocess.run([str(harness.BURSAR), "check-config", "-c", str(file)], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and not unseen(done.stdout + done.stderr), (name, done)
    for tag in REFUSED_TAGS:
        answer = plain.call(headers={"x-bursar-tags": f"u={tag}"})
        assert answer.status == 400, (tag, answer.status)
    for name, model in REFUSED_MODELS.items():
        answer = hostile.model(model)
        assert answer.status == 400 and json.loads(answer.body)["error"]["code"] == "bad_request", (name, answer.body)
    told = rows(hostile.bursar, "SELECT count(*) FROM event WHERE kind='price.unknown_model'")[0][0]
    assert told == len(MODELS) + len(RAW_MODELS)


# --- chats ------------------------------------------------------------------------------------------------------------


def test_slack_blocks(both):
    for place in ("slack", "slackapi"):
        mentions = [MENTION] if place == "slack" else []
        said = []
        for body in same_shape(both, place):
            assert len(json.dumps(body, ensure_ascii=False).encode()) < 8000 and len(body["blocks"]) <= 50
            said.append(mrkdwn(body["text"], mentions))
            for block in body["blocks"]:
                for t in filter(None, [block.get("text"), *block.get("fields", []), *(e if block["type"] == "context" else {} for e in block.get("elements", []))]):
                    assert not unseen(t["text"]), t
                    if t["type"] == "mrkdwn":
                        assert t["verbatim"] is True and len(t["text"]) <= 3000
                        said.append(mrkdwn(t["text"], mentions))
                        if "To act" in t["text"] or "What happens next" in t["text"]:
                            assert t["text"].count("```") in (0, 2)
                    else:
                        assert len(t["text"]) <= 150
                for e in block.get("elements", []):
                    assert block["type"] == "context" or e["url"].startswith(PUBLIC + "/alerts/act?")
        words = "\n".join(said)
        for name in ("<!channel> <@U1> <https://evil.example|click>", "<script>alert(1)</script>", "{{links.acknowledge}}{{#top}}"):
            assert name in words, (place, name)


def test_slack_attachments(both):
    for body in same_shape(both, "slackatt"):
        assert len(json.dumps(body, ensure_ascii=False).encode()) < 8000
        for text in texts({k: v for k, v in body.items() if k != "icon_emoji"}):
            assert not unseen(text)
            mrkdwn(text)


def test_teams(both):
    said = []
    for body in same_shape(both, "teams"):
        assert len(json.dumps(body, ensure_ascii=False).encode()) < 28000
        card = body["attachments"][0]["content"]
        for action in card["actions"]:
            assert action["url"].startswith(PUBLIC + "/alerts/act?")
        for text in texts([card["body"], card["fallbackText"]]):
            assert not unseen(text.replace("@\u200b", "@")), text
            said.append(markdown_words(text))
    assert any("[x](https://evil.example) **b** __u__" in s for s in said)


def test_discord(both):
    said = []
    for body in same_shape(both, "discord"):
        assert body["allowed_mentions"] == {"parse": []} and len(body["content"]) <= 2000
        (embed,) = body["embeds"]
        assert embed["url"].startswith(PUBLIC + "/alerts/act?") and len(embed["title"]) <= 256
        counted = [embed["title"], embed.get("description", ""), embed["footer"]["text"], *texts(embed["fields"])]
        assert sum(map(len, counted)) <= 6000
        for text in [body["content"], embed["title"], embed.get("description", ""), *texts(embed["fields"])]:
            assert not unseen(text.replace("@\u200b", "@")), text
            text = re.sub(rf"\[(Open|Acknowledge|Resolve)\]\({PUBLIC}/alerts/act\?[^)\s]*\)", "", text)  # ours
            text, fence, code = text.partition("\n```\n")
            assert not fence or (code.startswith("bursar ") and code.count("```") == 1 and code.endswith("\n```")), code
            said.append(markdown_words(text, OURS))
    assert any("[x](https://evil.example) **b** __u__" in s for s in said)


@needs_node
def test_the_peers_own_checks(both, tmp_path):
    out = tmp_path / "payloads"
    out.mkdir()
    hostile = both[1]
    for place in ("slack", "slackatt", "slackapi", "teams", "discord"):
        for i, body in enumerate(bodies(hostile, place)):
            (out / f"{place}-{i}.json").write_text(json.dumps(body))
    judged("types.mjs", out, 3 * len(MODELS))
    judged("cards.mjs", out, len(MODELS))


# --- pagers -----------------------------------------------------------------------------------------------------------


def test_pagers(both):
    for body in same_shape(both, "pagerduty"):
        assert len(json.dumps(body).encode()) < 512 * 1024 and len(body["dedup_key"]) <= 255
        assert len(body["payload"]["summary"]) <= 1024
        for name in ("summary", "source", "component", "group", "class"):
            assert not unseen(body["payload"].get(name, ""))
    for body in same_shape(both, "opsgenie"):
        assert len(body["message"]) <= 130 and len(body["alias"]) <= 512 and len(body.get("description", "")) <= 15000
        assert not unseen(body["message"]) and not unseen(body.get("description", ""))
        assert all(len(t) <= 50 for t in body.get("tags", []))


def test_alertmanager(both):
    hostile = both[1]
    if not hostile.prometheus:
        pytest.skip("prometheus-alertmanager is not installed")
    shown = json.loads(hostile.prometheus.get("/api/v2/alerts"))
    open_now = rows(hostile.bursar, "SELECT count(*) FROM incident WHERE state<>2")[0][0]
    assert len(shown) >= open_now - 2 and len(shown) > len(MODELS)
    assert set().union(*(a["labels"] for a in shown)) <= {"alertname", "severity", "scope", "budget", "instance", "team", "user", "key",
                                                         "project", "model", "provider", "tag_u", "unit", "period"}
    assert set(BUDGETS) - {a["labels"].get("budget") for a in shown} <= {b for b in BUDGETS if unseen(b)}


# --- webhooks ---------------------------------------------------------------------------------------------------------


@needs_node
def test_webhooks(both, tmp_path):
    hostile = both[1]
    for f in FORMATS:
        for body in same_shape(both, f):
            if f == "template":
                assert set(body) == {"m", "b", "s", "l"} and "/alerts/act" not in body["b"] + body["m"]
    said = judge([(f, r) for f in FORMATS for r in hostile.at(f)], tmp_path)
    assert said["problems"] == [] and said["signatures"] == 2 * sum(len(hostile.at(f)) for f in FORMATS)
    for f in FORMATS:
        assert all(len(r.body) < 20480 for r in hostile.at(f))
    subjects = [r.headers["ce-subject"] for r in hostile.at("cloudevents-binary")]
    assert all(33 <= ord(c) <= 126 for s in subjects for c in s)
    # a program gets the name as it is
    assert {b["data"]["budget_id"] for b in bodies(hostile, "standard") if b["data"].get("budget_id")} == {*BUDGETS, "each"}


# --- logs -------------------------------------------------------------------------------------------------------------


def structured(line):
    """RFC 5424: (fields of the head, parameters, text)"""
    head = re.fullmatch(r"<(\d{1,3})>1 (\S+) (\S+) (\S+) (\S+) (\S+) (.*)", line)
    assert head, line
    rest, params = head[7], {}
    found = re.match(r"\[bursar@32473", rest)
    at = found.end()
    while rest[at] != "]":
        one = re.compile(r' ([!-<>-~]{1,32})="((?:[^"\\\]]|\\.)*)"').match(rest, at)
        assert one, rest[at:]
        params[one[1]] = re.sub(r"\\(.)", r"\1", one[2])
        at = one.end()
    assert rest[at + 1] == " "
    return head.groups()[:6], params, rest[at + 2:]


def test_log_lines(both):
    for told in both:
        wait_for(lambda t=told: len(t.lines) >= len(t.names), "syslog's lines")
    plain, hostile = both
    known = [set(structured(line.decode())[1]) for line in plain.lines]
    for line in hostile.lines:
        head, params, text = structured(line.decode())
        assert len(line) <= 8192 and not unseen(line.decode(), ""), line
        assert set(params) <= set().union(*known) and head[3:5] == ("bursar", "-") and text.startswith("BUDGET ALERT: ")
    members = set().union(*(set(json.loads(x)) for x in (plain.folder / "alerts.jsonl").read_bytes().split(b"\n")[:-1]))
    written = (hostile.folder / "alerts.jsonl").read_bytes()
    assert written.endswith(b"\n")
    for line in written[:-1].split(b"\n"):
        assert set(json.loads(line.decode())) <= members and not re.search(rb"[\x00-\x1f\x7f]", line), line
    own = (hostile.bursar.dir / "bursar.jsonl").read_bytes()
    for line in own[:-1].split(b"\n"):
        assert json.loads(line.decode())["event"] and not re.search(rb"[\x00-\x1f]", line)


# --- mail -------------------------------------------------------------------------------------------------------------


def test_mails(both):
    plain, hostile = ([Read(m.data) for m in t.mail.mails] for t in both)
    assert len(hostile) >= len(MODELS) + len(BUDGETS)
    fields = {tuple(sorted(k.lower() for k in r.mail.keys())) for r in plain}
    tags = set().union(*(Page(r.html).tags for r in plain))
    for envelope, r in zip(both[1].mail.mails, hostile):
        assert envelope.recipients == ["ops@example.org"] and envelope.sender == "bursar@example.com"
        assert tuple(sorted(k.lower() for k in r.mail.keys())) in fields
        assert max(map(len, r.raw.split(b"\r\n"))) <= 998 and b"\n" not in r.raw.replace(b"\r\n", b"") and len(r.raw) < 100 * 1024
        assert len(r.subject) < 200 and not unseen(r.subject, "") and not unseen(r.text) and not unseen("".join(Page(r.html).words))
        page = Page(r.html)
        assert page.tags <= tags, page.tags - tags
        assert all(u.startswith(PUBLIC + "/alerts/act?") for u in page.urls)
        r.check()
    words = "\n".join(r.text for r in hostile)
    assert "<!channel> <@U1> <https://evil.example|click>" in words and "{{links.acknowledge}}{{#top}}" in words


def test_commands_to_type(both):
    """A command in a message is one command for a shell, of ours, wherever it is shown."""
    commands = [b["data"].get("command", "") for b in bodies(both[1], "standard")]
    for body in bodies(both[1], "slack"):
        for text in texts(body["blocks"]):
            commands += [html.unescape(c) for c in re.findall(r"```(.*?)```", text, re.S)]
    for read in (Read(m.data) for m in both[1].mail.mails):
        commands += re.findall(r"^.*?(bursar (?:prices|budgets|alerts) .*)$", read.text, re.M)
    commands = [c for c in commands if c.startswith("bursar ")]
    assert len(commands) > len(MODELS)
    for command in commands:
        lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&`$\n")
        lexer.whitespace_split = True
        words = list(lexer)
        assert words[0] == "bursar" and words[1] in ("prices", "budgets", "alerts"), command
        assert not [w for w in words if set(w) <= set("();<>|&`$\n")], command
        outside = re.sub(r"'[^']*'|\\'", "", command)
        assert not re.search(r"[^ A-Za-z0-9._:@/+=-]", outside), command


# --- the admin side ---------------------------------------------------------------------------------------------------


def test_the_api_and_metrics(both):
    bursar = both[1].bursar
    paths = ["/api/v1/alerts?state=all&limit=1000", "/api/v1/alerts/outbox?limit=1000", "/api/v1/alerts/channels", "/api/v1/alerts/mutes",
             "/api/v1/alerts/delivery-stats", "/api/v1/alerts/dashboard", "/api/v1/audit"]
    for path in paths:
        status, data = bursar.api(path, raw=True)
        assert status == 200 and json.loads(data.decode()) and not re.search(rb"[\x00-\x09\x0b-\x1f]", data), path
    found = bursar.api("/api/v1/alerts?state=all&limit=1000")["alerts"]
    assert {a["budget"] for a in found if a["budget"]} == {*BUDGETS, "each"}
    status, data = bursar.api("/metrics", raw=True)
    label = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
    line = re.compile(rf"[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{{{label}(?:,{label})*,?\}})? [-+0-9.eEinfNa]+")
    for text in data.decode().split("\n")[:-1]:
        assert text.startswith("#") or line.fullmatch(text), text
    assert set(re.findall(r'bursar_alerts_sent_total\{channel="([^"]*)"', data.decode())) == {*both[1].channels, "log"}


def terminal(bursar, *args, code=0):
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    got = []

    def read():
        with contextlib.suppress(OSError):
            while data := os.read(ours, 65536):
                got.append(data)
    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run([str(harness.BURSAR), *map(str, args), "--config", str(bursar.config_path)], stdout=theirs, stderr=theirs,
                          stdin=subprocess.DEVNULL, timeout=60, env={**os.environ, "NO_COLOR": "1"}, cwd=harness.ROOT)
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    text = b"".join(got).decode().replace("\r\n", "\n")
    assert code is None or done.returncode == code, (args, text)
    assert not unseen(text, "\n\t"), (args, text)
    return text


def test_the_command_line(both):
    bursar = both[1].bursar
    found = bursar.api("/api/v1/alerts?limit=1000")["alerts"]
    hostile = "\u009b31m\u202ex <!channel>`id` {{x}}"
    terminal(bursar, "alerts", "mute", "--user", hostile, "--for", "1h", "--reason", hostile)
    for odd in ("\x1b]0;x\x07", "a\nb", "x" * 10240):
        terminal(bursar, "alerts", "mute", "--user", odd, "--for", "1h", "--reason", "y", code=None)
        terminal(bursar, "alerts", "mute", "--user", "y", "--for", "1h", "--reason", odd, code=None)
    lines = terminal(bursar, "alerts", "list", "--limit", "1000").splitlines()
    assert len(lines) == len(found) + 4, "one line for each, the head and the sum"
    for form in ("table", "csv", "json"):
        for what in (["list", "--limit", "1000"], ["mutes"], ["channels"], ["retry"], ["show", found[0]["id"]]):
            terminal(bursar, "alerts", *what, "--format", form)
    everything = [a["id"] for a in found if set(unseen(json.dumps(a, ensure_ascii=False)))]
    assert len(everything) >= 4
    for i in everything:
        terminal(bursar, "alerts", "show", i)
        terminal(bursar, "alerts", "preview", "--incident", i)
    terminal(bursar, "alerts", "preview", "--incident", everything[0], "--json")
    terminal(bursar, "alerts", "preview", "--incident", everything[0], "--html")
    terminal(bursar, "alerts", "ack", everything[0], "--reason", hostile)
    assert "acknowledged" in terminal(bursar, "alerts", "show", everything[0])


def links(told):
    return [b["data"]["links"]["open"] for b in bodies(told, "standard") if b["data"].get("links")]


def page_of(bursar, link):
    parts = urllib.parse.urlsplit(link)
    status, data = bursar.api(f"{parts.path}?{parts.query}", raw=True)
    assert status == 200
    return data.decode()


def test_the_page_behind_links(both, tmp_path):
    plain, hostile = ([(link, page_of(t.bursar, link)) for link in links(t)] for t in both)
    tags = set().union(*(Page(p).tags for _, p in plain))
    for _, text in hostile:
        page = Page(text)
        assert page.tags <= tags, page.tags - tags
        assert not unseen("".join(page.words)) and all(u.startswith("?") for u in page.urls)
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("needs chromium")
    link, text = next((link, p) for link, p in hostile if "onerror" in p)
    mail = tmp_path / "mail.html"
    mail.write_text(next(Read(m.data).html for m in both[1].mail.mails if b"onerror" in m.data))
    parts = urllib.parse.urlsplit(link)
    for url in (f"http://127.0.0.1:{both[1].bursar.admin}{parts.path}?{parts.query}", mail.as_uri()):
        done = subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
                               f"--user-data-dir={tmp_path}/profile", "--dump-dom", url], capture_output=True, text=True, timeout=90)
        seen = Page(done.stdout)
        assert "onerror" in "".join(seen.words) and "<title>owned" not in done.stdout
        assert not {t for t, _ in seen.tags} & {"script", "img", "iframe", "object"}
        assert "Content Security Policy" not in done.stderr and "Refused to" not in done.stderr


# --- users' own templates ---------------------------------------------------------------------------------------------

PLACES = "{{budget_id}} {{scope.id}} {{message}} {{labels}} {{details}}"
OWN = {
    "slack": ("slack", lambda url: {"webhook": url + "/slack", "json": json.dumps({"text": PLACES})}),
    "teams": ("teams", lambda url: {"url": url + "/teams", "json": json.dumps({"type": "message", "text": PLACES})}),
    "discord": ("discord", lambda url: {"url": url + "/discord", "json": json.dumps(
        {"content": PLACES, "allowed_mentions": {"parse": ["everyone"]}})}),
    "json": ("webhook", lambda url: {"url": url + "/json", "format": "template", "template": json.dumps({"t": PLACES})}),
    "xml": ("webhook", lambda url: {"url": url + "/xml", "format": "template", "content_type": "application/xml",
                                    "template": f"<a x='{PLACES}'>{PLACES}</a>"}),
    "form": ("webhook", lambda url: {"url": url + "/form", "format": "template", "content_type": "application/x-www-form-urlencoded",
                                     "template": "a={{budget_id}}&b={{message}}&c={{scope.id}}"}),
    "plain": ("webhook", lambda url: {"url": url + "/plain", "format": "template", "content_type": "text/plain", "template": PLACES}),
}


def test_templates_of_users(start_bursar, tmp_path):
    certs = Certs(tmp_path)
    with HttpReceiver(default=agree) as http, MailReceiver(certs=certs, users={"bursar": "secret"}) as mail:
        channels = {name: (kind, make(http.url), LOUD) for name, (kind, make) in OWN.items()}
        channels["mail"] = ("email", {"server": "localhost", "port": mail.port, "from": "bursar@example.com", "to": ["ops@example.org"],
                                      "username": "bursar", "password": "secret", "ca_file": str(certs.ca), "subject": PLACES,
                                      "text": PLACES, "html": f"<p title='{PLACES}'>{PLACES}</p>"}, LOUD)
        models = [MODELS[n] for n in ("html", "attribute", "slack", "markdown", "mention", "template", "card", "json", "bidi", "more controls")]
        bursar = start_bursar({"budgets": [budget("1000 USD", unknown_model="block")], **alerts(channels, public_url=PUBLIC)})
        for m in models:
            call(bursar.proxy, OPENAI, harness.chat(model=m))
        wait_for(lambda: rows(bursar, "SELECT count(*) FROM outbox WHERE channel='xml' AND state=1") == [(len(models),)], "the messages", 60)
        settled(bursar)
        got = {name: [r.body.decode() for r in http.requests if r.path.split("?")[0] == "/" + name] for name in OWN}
        assert all(len(of) == len(models) for of in got.values()), {k: len(v) for k, v in got.items()}
        for body in got["slack"]:
            assert set(json.loads(body)) == {"text"} and "/alerts/act" not in body
            mrkdwn(json.loads(body)["text"])
        for name in ("teams", "discord"):
            for body in map(json.loads, got[name]):
                markdown_words(body.get("text") or body["content"])
                assert name == "teams" or body["allowed_mentions"] == {"parse": []}
        for body in map(json.loads, got["json"]):
            assert set(body) == {"t"}
        assert any(MODELS["json"] in json.loads(b)["t"] for b in got["json"]) and any(MODELS["template"] in json.loads(b)["t"] for b in got["json"])
        for body in got["xml"]:
            node = xml.etree.ElementTree.fromstring(body)
            assert node.tag == "a" and set(node.attrib) == {"x"} and len(node) == 0
        for body in got["form"]:
            assert set(urllib.parse.parse_qs(body, strict_parsing=True)) <= {"a", "b", "c"} and body.count("=") == 3
        assert all(not unseen(body, "") for body in got["plain"])
        for m in mail.mails:
            read = Read(m.data)
            read_fields = {k.lower() for k in read.mail.keys()}
            assert not read_fields & {"bcc", "cc"} and not unseen(read.subject, "")
            assert Page(read.html).tags == {("p", ("title",))}
        assert len(mail.mails) == len(models)
