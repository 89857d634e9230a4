"""Mails as they arrive: at two servers that nobody here wrote, read by Python's mail parser."""

import base64
import collections
import email
import email.policy
import html.parser
import json
import pathlib
import queue
import re
import shutil
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import CHAT, budget, call, chat, wait_for
from receivers import Certs, MailReceiver, alerts

ROOT = pathlib.Path(__file__).parents[2]
NODE_FOLDER = ROOT / "build/alerts-node"
STEPS = [{"at": "50%", "do": "alert"}, {"at": "100%", "do": "alert"}, {"at": "100%", "do": "block"}]
QUEUED, SENT, DEAD = 0, 1, 2


# --- reading mails ----------------------------------------------------------------------------------------------------


class Words(html.parser.HTMLParser):
    """What a person reads of the HTML, and what a program would fetch or run."""

    def __init__(self, text):
        super().__init__()
        self.words, self.links, self.fetched, self.tags = [], [], [], collections.Counter()
        self.preview, self._hidden = "", 0  # what inboxes show beside the subject
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags[tag] += 1
        if self._hidden or tag in ("style", "title") or "display:none" in (attrs.get("style") or ""):
            self._hidden += 1
        if tag == "a":
            self.links.append(attrs["href"])
        for name, value in attrs.items():
            if name in ("src", "background", "srcset", "data") or "url(" in (value or ""):
                self.fetched.append((tag, name, value))

    def handle_endtag(self, tag):
        self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data):
        if self._hidden:
            self.preview = " ".join(data.split())  # the last that is hidden
        elif data.strip():
            self.words.append(" ".join(data.split()))


class Read:
    """A mail, parsed."""

    def __init__(self, data):
        self.raw = data
        self.mail = email.message_from_bytes(data, policy=email.policy.default)
        assert not self.mail.defects, self.mail.defects
        self.subject = self.mail["Subject"]
        assert self.mail.get_content_type() == "multipart/alternative"
        text, page = self.mail.iter_parts()
        assert [text.get_content_type(), page.get_content_type()] == ["text/plain", "text/html"]
        for part in (text, page):
            assert part.get_content_charset() == "utf-8" and not part.defects
            assert part["Content-Transfer-Encoding"] == "quoted-printable"
        self.text, self.html = (part.get_content().replace("\r\n", "\n") for part in (text, page))
        self.page = Words(self.html)

    def check(self):
        """What holds for every mail of ours."""
        lines = self.raw.split(b"\r\n")
        assert not any(b"\n" in line or b"\r" in line for line in lines), "line ends are CRLF"
        assert max(map(len, lines)) <= 998
        head = self.raw[:self.raw.index(b"\r\n\r\n")]
        assert head.isascii()
        names = [line.split(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
        assert max(collections.Counter(names).values()) == 1, names
        for name in ("Date", "From", "To", "Subject", "Message-ID", "MIME-Version", "Auto-Submitted", "X-Bursar-Event"):
            assert self.mail[name], name
        assert self.mail["Auto-Submitted"] == "auto-generated" and self.mail["X-Auto-Response-Suppress"] == "All"
        assert abs(self.mail["Date"].datetime.timestamp() - time.time()) < 120
        assert self.mail["Date"].datetime.utcoffset().total_seconds() == 0
        assert re.fullmatch(r"<[A-Za-z0-9_-]+\.[0-9a-f]{8}@example\.com>", self.mail["Message-ID"])
        assert not self.page.fetched and not set(self.page.tags) & {"img", "script", "link", "iframe", "form", "object"}
        assert len(self.html.encode()) < 100 * 1024
        self.same()

    def same(self):
        """Text and HTML say the same: each line's words of one stand in the other."""
        page = " ".join(self.page.words)
        for line in self.text.splitlines():
            for words in re.split(r"^[A-Z]+: |: +|^  - |\b(?=https://)", line):
                words = " ".join((words or "").split()).rstrip(":")
                assert not words or words in page or words in self.page.links, (words, page)
        text = " ".join(self.text.split())
        for words in self.page.words:
            assert words.rstrip(":").strip() in text or words in self.text, (words, self.text)


# --- helpers ----------------------------------------------------------------------------------------------------------


def mail_channel(port, to=("ops@example.org",), password="secret", ca=None, beside=None, **more):
    settings = {"server": "localhost", "port": port, "from": "Bürsar <bursar@example.com>", "to": list(to), **more}
    if password:
        settings.update(username="bursar", password=password)
    if ca:
        settings["ca_file"] = str(ca)
    return ("email", settings, {"severity": "info", **(beside or {})})


def rows(bursar, sql, *values):
    with sqlite3.connect(f"file:{bursar.data}/bursar.db?mode=ro", uri=True) as db:
        return db.execute(sql, values).fetchall()


def pay(bursar, times=1, tags=None, ok=(200,)):
    for _ in range(times):
        answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers={"x-bursar-tags": tags} if tags else {})
        assert answer.status in ok, answer.body


def told(bursar, channel):
    """(state, attempt, last error) of each message of a channel."""
    return rows(bursar, "SELECT state,attempts,error FROM outbox WHERE channel=? ORDER BY id", channel)


@pytest.fixture
def certs(tmp_path):
    return Certs(tmp_path)


# --- one mail ---------------------------------------------------------------------------------------------------------


def test_a_mail_is_read_by_everyone(start_bursar, certs):
    with MailReceiver(certs=certs, users={"bursar": "secret"}) as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca)}, public_url="https://bursar.example.com", node="knoten-1")
        bursar = start_bursar({"budgets": [budget("10 requests", name="Suche täglich 検索", window="day", steps=STEPS)], **section})
        pay(bursar, 5)
        mail = server.wait(1)[0]
        assert mail.tls and mail.user == "bursar"
        assert mail.sender == "bursar@example.com" and mail.recipients == ["ops@example.org"]
        read = Read(mail.data)
        read.check()
        assert read.subject == "Budget Suche täglich 検索 (incident 1)"
        assert b"=?UTF-8?B?" in mail.data
        assert str(read.mail["From"].addresses[0].display_name) == "Bürsar"
        assert read.mail["From"].addresses[0].addr_spec == "bursar@example.com"
        assert read.mail["To"].addresses[0].addr_spec == "ops@example.org"
        assert read.text.startswith("WARNING: Budget Suche täglich 検索: 50 % used\n")
        assert re.search(r"^[45] of 10 requests \([45]0 %\) have been made since ", read.text, re.M)  # the last call still runs
        assert read.page.preview.startswith("Budget Suche täglich 検索: 50 % used. ")
        assert "knoten-1" in read.text
        assert all(link.startswith("https://bursar.example.com/") for link in read.page.links) and len(read.page.links) == 3


def test_one_conversation_for_each_incident(start_bursar, certs):
    with MailReceiver(certs=certs, users={"bursar": "secret"}) as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca)})
        bursar = start_bursar({"budgets": [budget("10 requests", name="day", window="day", steps=STEPS)], **section})
        pay(bursar, 5)
        server.wait(1)
        pay(bursar, 5)
        server.wait(2)
        bursar.cli("budgets", "raise", "day", "100 requests", "--reason", "more is needed")
        wait_for(lambda: any("RESOLVED" in Read(m.data).text for m in server.mails), "the end to be told")
        mails = [Read(m.data) for m in server.mails]
        first = mails[0].mail["Message-ID"]
        for mail in mails:
            mail.check()
            assert mail.subject == mails[0].subject == "Budget day (incident 1)"
        assert mails[0].mail["References"] is None and mails[0].mail["In-Reply-To"] is None
        for mail in mails[1:]:
            assert mail.mail["References"] == first and mail.mail["In-Reply-To"] == first
            assert mail.mail["Message-ID"] != first
        assert len({m.mail["X-Bursar-Event"] for m in mails}) == len(mails)
        assert mails[1].text.startswith("CRITICAL: Budget day: used up") and mails[1].mail["Importance"] == "high"
        assert mails[-1].text.startswith("RESOLVED: Budget day")


def test_users_write_their_own(start_bursar, certs):
    subject = "Budget Alert: {{alert_level}} - {{period_type}}"
    with MailReceiver(certs=certs, users={"bursar": "secret"}) as server:
        text = "{{budget_id}} <{{brief.title}}>\n{{#labels}}\n{{#team}}\nteam\n{{/team}}\n{{/labels}}\n"
        own = mail_channel(server.port, ca=certs.ca, subject=subject, text=text, html="<p>{{brief.title}} {{evil}}</p>")
        bursar = start_bursar({"budgets": [budget("2 requests", name="a<b>&c", window="month", steps=STEPS)], **alerts({"mail": own})})
        pay(bursar, 2)
        wait_for(lambda: any(b"EXCEEDED" in m.data for m in server.mails), "the mail of 100 %")
        by_subject = {Read(m.data).subject: Read(m.data) for m in server.mails}
        assert "Budget Alert: EXCEEDED - Monthly" in by_subject and set(by_subject) <= {
            "Budget Alert: EXCEEDED - Monthly", "Budget Alert: WARNING - Monthly"}
        mail = by_subject["Budget Alert: EXCEEDED - Monthly"]
        assert mail.text.rstrip("\n") == "a<b>&c <Budget a<b>&c: used up>"
        assert mail.html.strip() == "<p>Budget a&lt;b&gt;&amp;c: used up </p>"


EVIL = ["<img src=x onerror=alert(1)>", "a\"onmouseover=\"b' c", "{{budget_id}}{{#top}}", "%0d%0aBcc: x@example.com",
        "=?UTF-8?B?QmNjOiB4?=", "x" * 400, "--boundary", "..\x09end", "&lt;b&gt;&#10;"]


def test_names_of_others_stay_names(start_bursar, certs):
    with MailReceiver(certs=certs, users={"bursar": "secret"}) as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca, beside={"rate": {"messages": 100, "critical": 100}})})
        each = {**budget("1 requests", name="each", window="day", mode="soft", steps=[{"at": "100%", "do": "alert"}]), "per": ["tag.u"]}
        bursar = start_bursar({"budgets": [each], **section})
        fields = None
        sent = 0
        for name in EVIL:
            answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers={"x-bursar-tags": f"u={name}"})
            assert answer.status in (200, 400), answer.body  # what is no tag is refused before it gets anywhere
            if answer.status == 400:
                continue
            sent += 1
            read = Read(server.wait(sent)[-1].data)
            read.check()
            names = [k.lower() for k in read.mail.keys()]
            fields = fields or sorted(names)
            assert sorted(names) == fields, "no field more, none less"
            assert "bcc" not in names and "Bcc" not in read.mail
            assert not any("onerror" in k or "onmouseover" in k for k in re.findall(r"<[^>]*>", read.html))
            assert len(read.subject) < 200 and "\n" not in read.subject
        assert sent >= 4


# --- servers that refuse ----------------------------------------------------------------------------------------------


def test_a_wrong_password_is_tried_once_and_told(start_bursar, certs):
    with MailReceiver(certs=certs, users={"bursar": "secret"}) as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca, password="wrong-password")})
        bursar = start_bursar({"budgets": [budget("10 requests", name="day", window="day", steps=STEPS)], **section})
        pay(bursar, 5)
        wait_for(lambda: [m for m in told(bursar, "mail") if m[2]], "the refusal to be written")
        state, attempt, error = told(bursar, "mail")[0]
        assert (state, attempt) == (QUEUED, 1)
        assert error.startswith("the mail server refused the password of bursar: check alerts.channels.mail.email.password"), error
        assert "wrong-password" not in error
        due = rows(bursar, "SELECT next FROM outbox WHERE channel='mail'")[0][0]
        assert 2400 < due / 1e9 - time.time() < 4500, "about an hour"
        auths = len(server.auths)
        pay(bursar, 5)
        wait_for(lambda: len(told(bursar, "mail")) > 1, "a second message")
        time.sleep(2)  # that nothing happens can only be seen by waiting
        assert len(server.auths) == auths and not server.mails
        assert "wrong-password" not in (bursar.dir / "bursar.jsonl").read_text()
        assert not list(filter(lambda m: m[0] == SENT, told(bursar, "mail")))


def test_nothing_is_sent_without_tls(start_bursar, certs):
    """A server, or somebody on the way to it, that does not offer STARTTLS gets neither password nor mail."""
    with MailReceiver(security="none") as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca)})
        bursar = start_bursar({"budgets": [budget("10 requests", name="day", window="day", steps=STEPS)], **section})
        pay(bursar, 5)
        wait_for(lambda: [m for m in told(bursar, "mail") if m[2]], "the refusal to be written")
        state, attempt, error = told(bursar, "mail")[0]
        assert state == QUEUED and attempt == 1 and "offers no STARTTLS" in error, error
        assert server.connections >= 1 and not server.auths and not server.mails


@pytest.mark.parametrize("which,words", [("self_signed", "is self-signed"), ("expired", "has expired"),
                                         ("wrong_host", "is for another host")])
def test_certificates_are_checked(start_bursar, certs, which, words):
    with MailReceiver(certs=certs, users={"bursar": "secret"}, tls=getattr(certs, which)) as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca)})
        bursar = start_bursar({"budgets": [budget("10 requests", name="day", window="day", steps=STEPS)], **section})
        pay(bursar, 5)
        wait_for(lambda: [m for m in told(bursar, "mail") if m[2]], "the refusal to be written")
        assert words in told(bursar, "mail")[0][2]
        assert not server.auths and not server.mails


def test_one_recipient_refused_the_others_get_theirs(start_bursar, certs):
    people = ["ann@example.org", "gone@example.org", "ben@example.org"]
    with MailReceiver(certs=certs, users={"bursar": "secret"}, reject={"gone@example.org": "550 5.1.1 no such user"}) as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca, to=people)})
        bursar = start_bursar({"budgets": [budget("10 requests", name="day", window="day", steps=STEPS)], **section})
        pay(bursar, 5)
        wait_for(lambda: {m.recipients[0] for m in server.mails} == {people[0], people[2]}, "the mails of the others")
        wait_for(lambda: told(bursar, "mail:gone@example.org")[0][0] == DEAD, "the refusal")
        _, attempt, error = told(bursar, "mail:gone@example.org")[0]
        assert attempt == 1 and error.startswith("no mail to gone@example.org: ") and "550 5.1.1 no such user" in error
        mails = {m.recipients[0]: Read(m.data) for m in server.mails if b"Budget day" in m.data}
        for to, read in mails.items():
            assert [a.addr_spec for a in read.mail["To"].addresses] == [to]
        assert len({r.mail["Message-ID"] for r in mails.values()}) == 2
        assert len({r.mail["X-Bursar-Event"] for r in mails.values()}) == 1


def test_a_busy_server_is_asked_again(start_bursar, certs):
    with MailReceiver(certs=certs, users={"bursar": "secret"}, data_script=["451 4.3.0 try again later"]) as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca)})
        bursar = start_bursar({"budgets": [budget("10 requests", name="day", window="day", steps=STEPS)], **section})
        pay(bursar, 5)
        mail = server.wait(1, 30)[0]
        assert "day" in Read(mail.data).subject
        wait_for(lambda: told(bursar, "mail")[0][0] == SENT, "the result to be written")
        assert told(bursar, "mail")[0][1] == 2


# --- another server ---------------------------------------------------------------------------------------------------


class NodeServer:
    """tests/alerts/mail_server.mjs"""

    def __init__(self, pem, user, password, security):
        node = shutil.which("node")
        if not node or not (NODE_FOLDER / "node_modules/smtp-server").exists():
            pytest.skip("npm's smtp-server is not there: make alerts-node")
        self.process = subprocess.Popen([node, str(ROOT / "tests/alerts/mail_server.mjs"), str(NODE_FOLDER), str(pem), user, password,
                                         security], stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        self.port = self.next("port")["port"]

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def next(self, what, seconds=20):
        """The next line that has this member."""
        end = time.monotonic() + seconds
        while True:
            line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            if what in line:
                return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.thread.join(10)
        self.process.stdout.close()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_the_mail_server_of_npm(start_bursar, certs, security):
    with NodeServer(certs.good, "bursar", "secret", security) as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca, security=security)})
        bursar = start_bursar({"budgets": [budget("10 requests", name="Bücher", window="day", steps=STEPS)], **section})
        pay(bursar, 5)
        mail = server.next("mail")
        assert mail["tls"] and mail["user"] == "bursar"
        assert mail["from"] == "bursar@example.com" and mail["to"] == ["ops@example.org"]
        read = Read(base64.b64decode(mail["mail"]))
        read.check()
        assert read.subject == "Budget Bücher (incident 1)"


def test_the_mail_server_of_npm_refuses_a_wrong_password(start_bursar, certs):
    with NodeServer(certs.good, "bursar", "other", "starttls") as server:
        section = alerts({"mail": mail_channel(server.port, ca=certs.ca)})
        bursar = start_bursar({"budgets": [budget("10 requests", name="day", window="day", steps=STEPS)], **section})
        pay(bursar, 5)
        wait_for(lambda: [m for m in told(bursar, "mail") if m[2]], "the refusal to be written")
        assert told(bursar, "mail")[0][2].startswith("the mail server refused the password of bursar")
        assert not server.next("auth")["ok"]
