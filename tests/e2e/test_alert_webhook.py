"""Alerts for programs: webhooks judged by the libraries of those who receive them, Debian's Alertmanager, and logs."""

import base64
import collections
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request

import pytest

from harness import CHAT, PATIENCE, ROOT, Process, budget, call, chat, wait_for
from receivers import HttpReceiver, alerts, free_port

NODE = ROOT / "build/alerts-node"
SECRETS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
STEPS = [{"at": "50%", "do": "alert"}, {"at": "100%", "do": "alert"}, {"at": "100%", "do": "block"}]
LOUD = {"severity": "info"}
# Nothing in it may end a string, a header, a label or a template.
ODD = "Köln 50% <b>&*_{{id}}'[x](y) ✓"


def pay(bursar, n=1, ok=200):
    for _ in range(n):
        answer = call(bursar.proxy, "/openai" + CHAT, chat())
        assert answer.status == ok, answer.body


def by_path(receiver):
    """Deliveries by the path they were sent to, each id once."""
    out = collections.defaultdict(dict)
    for r in receiver.requests:
        out[r.path].setdefault(r.headers["webhook-id"], r)
    return {path: list(of.values()) for path, of in out.items()}


def judge(deliveries, tmp_path):
    """What npm standardwebhooks and cloudevents say of (format, request) pairs."""
    if not (NODE / "ready").exists():
        if os.environ.get("CI"):
            pytest.fail("make alerts-node")
        pytest.skip("make alerts-node")
    file = tmp_path / "deliveries.json"
    file.write_text(json.dumps([
        {"format": f, "headers": r.headers, "body": base64.b64encode(r.body).decode(), "secrets": SECRETS}
        for f, r in deliveries]))
    done = subprocess.run(["node", str(ROOT / "tests/alerts/verify_webhook.mjs"), str(NODE), str(file)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- webhooks ---------------------------------------------------------------------------------------------------------

TEMPLATE = ('{"text":"{{message}}","budget":"{{budget_id}}","level":"{{alert_level}}","used":{{percentage_used}},'
            '"limit":{{budget_limit}},"at":{{threshold_percentage}},"period":"{{period_type}}","id":"{{id}}"}')
FORMATS = ["standard", "cloudevents", "cloudevents-binary", "alertmanager", "template"]


def hooks(receiver):
    out = {}
    for f in FORMATS:
        settings = {"url": f"{receiver.url}/{f}", "format": f, "secrets": SECRETS, "headers": {"X-Tenant": "blue"}}
        if f == "template":
            settings |= {"template": TEMPLATE, "method": "PUT", "api_key": "k-1"}
        out[f] = ("webhook", settings, LOUD)
    return alerts(out, node="node-1", public_url="https://bursar.example.com")


def test_every_format_is_read_by_its_own_readers(start_bursar, tmp_path):
    with HttpReceiver(default=204) as hook:
        bursar = start_bursar({"budgets": [budget("4 requests", name=ODD, window="day", steps=STEPS)], **hooks(hook)})
        for n in (1, 2):  # what comes at once is told in one
            pay(bursar, 2)
            told = wait_for(lambda: (d := by_path(hook)) and len(d) == len(FORMATS) and
                            all(len(of) >= n for of in d.values()) and d, "messages of every format", 30)
    said = judge([(f, r) for f in FORMATS for r in told["/" + f]], tmp_path)
    assert said["problems"] == []
    assert said["signatures"] == 2 * sum(len(of) for of in told.values())
    assert len(said["events"]) == len(told["/cloudevents"]) + len(told["/cloudevents-binary"])
    assert {e["source"] for e in said["events"]} == {"/bursar/node-1"}
    for of in told.values():
        for r in of:
            assert len(r.body) < 20480 and r.headers["x-tenant"] == "blue"
            assert r.headers["webhook-id"] == "msg_" + r.headers["idempotency-key"]
    # the same event has the same id in every format
    ids = {path: {r.headers["webhook-id"] for r in of} for path, of in told.items()}
    assert len({frozenset(of) for of in ids.values()}) == 1, ids

    first = told["/standard"][0].json()
    assert first["type"] == "budget.threshold" and set(first) == {"type", "timestamp", "data"}
    assert first["data"]["budget_id"] == ODD and first["data"]["threshold"] == 0.5
    assert first["data"]["spent_nanos"] + first["data"]["reserved_nanos"] == 2 and first["data"]["unit"] == "requests"

    subject = told["/cloudevents-binary"][0].headers["ce-subject"]
    assert urllib.parse.unquote(subject) == told["/cloudevents"][0].json()["subject"]
    assert all(33 <= ord(c) <= 126 for c in subject)

    mine = told["/template"][0]
    assert (mine.method, mine.headers["x-api-key"]) == ("PUT", "k-1")
    assert mine.json()["budget"] == ODD and mine.json()["level"] == "warning"
    assert (mine.json()["used"], mine.json()["limit"], mine.json()["at"], mine.json()["period"]) == (50.0, 4.0, 50.0, "daily")

    group = told["/alertmanager"][0].json()
    assert (group["version"], group["status"], group["receiver"]) == ("4", "firing", "alertmanager")
    assert group["alerts"][0]["labels"]["alertname"] == "BursarBudget"


def test_a_receiver_that_is_gone_is_left_alone_and_the_others_hear_of_it(start_bursar):
    with HttpReceiver(default=410) as gone, HttpReceiver() as well:
        bursar = start_bursar({
            "budgets": [budget("4 requests", name="day", window="day", steps=STEPS)],
            **alerts({"gone": ("webhook", {"url": gone.url}, LOUD), "well": ("webhook", {"url": well.url}, LOUD)}),
        })
        pay(bursar, 2)
        about = wait_for(lambda: [m for r in well.requests if (m := r.json())["type"] == "system.degraded"],
                         "word of the channel", 30)
        assert "gone" in json.dumps(about[0]["data"]) and "410" in about[0]["data"]["message"]
        asked = len(gone.requests)
        pay(bursar, 2)
        wait_for(lambda: [r for r in well.requests if r.json()["type"] == "budget.exceeded"], "the next alert", 30)
        assert len(gone.requests) == asked == 1


# --- Alertmanager -----------------------------------------------------------------------------------------------------


class Alertmanager:
    """Debian's, on a free loopback port; started anew it remembers nothing."""

    def __init__(self, directory, port=None):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = self.dir / "alertmanager.yml"
        config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
        shutil.rmtree(self.dir / "data", ignore_errors=True)
        self.process = Process(
            ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={self.dir}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="], self.dir, "alertmanager")
        wait_for(self.ready, "Alertmanager", 30)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as r:
            return r.read()

    def ready(self):
        try:
            return self.get("/-/ready") is not None
        except OSError:
            return False

    def alerts(self):
        """Those that fire, as (alertname, severity, budget) to the alert."""
        out = {}
        for a in json.loads(self.get("/api/v2/alerts")):
            assert (k := (a["labels"]["alertname"], a["labels"]["severity"], a["labels"].get("budget"))) not in out
            out[k] = a
        return out

    def stop(self):
        self.process.terminate()


@pytest.fixture
def manager(tmp_path):
    if not shutil.which("prometheus-alertmanager"):
        if os.environ.get("CI"):
            pytest.fail("prometheus-alertmanager is not installed: tools/install.sh test")
        pytest.skip("prometheus-alertmanager is not installed")
    started = [Alertmanager(tmp_path / "am")]
    yield started
    started[-1].stop()


@pytest.mark.timeout(240)
def test_alertmanager_has_one_alert_that_changes_ends_and_is_told_again(start_bursar, manager):
    am = manager[0]
    steps = [{"at": p, "do": "alert"} for p in ("25%", "50%", "75%", "100%")]
    bursar = start_bursar({
        "budgets": [budget("8 requests", name=ODD, window="total", mode="soft", steps=steps)],
        **alerts({"am": ("alertmanager", {"url": am.url}, LOUD)}, node="node-1", public_url="https://bursar.example.com"),
    })
    warning, worst = ("BursarBudget", "warning", ODD), ("BursarBudget", "error", ODD)  # a soft budget stops nothing
    pay(bursar, 2)
    alert = wait_for(lambda: am.alerts().get(warning), "the alert", 30)
    assert alert["labels"]["instance"] == "node-1" and alert["status"]["state"] == "active"
    assert alert["generatorURL"].startswith("https://bursar.example.com")
    assert "25 % used" in alert["annotations"]["summary"]
    fingerprint = alert["fingerprint"]

    pay(bursar, 2)  # other amounts: the same alert
    wait_for(lambda: "50 % used" in am.alerts()[warning]["annotations"]["summary"], "the new amount", 30)
    assert am.alerts()[warning]["fingerprint"] == fingerprint and len(am.alerts()) == 1

    pay(bursar, 4)  # worse: another severity is another alert there, and the former one ends
    wait_for(lambda: set(am.alerts()) == {worst}, "the worse alert alone", 30)

    am.stop()  # and starts with an empty memory: only being told again can help
    manager.append(Alertmanager(am.dir, am.port))
    wait_for(lambda: set(manager[-1].alerts()) == {worst}, "the alert to be told again", 90)

    bursar.cli("budgets", "raise", ODD, "80 requests", "--reason", "more is needed")
    wait_for(lambda: manager[-1].alerts() == {}, "the alert to end", 30)


# --- logs -------------------------------------------------------------------------------------------------------------


def test_logs_have_a_line_for_each_alert(start_bursar, tmp_path):
    path, sock = tmp_path / "alerts.jsonl", tmp_path / "log.sock"
    lines = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(sock))
        reader = threading.Thread(target=lambda: [lines.append(syslog.recv(65536)) for _ in range(2)], daemon=True)
        reader.start()
        bursar = start_bursar({
            "budgets": [budget("4 requests", name=ODD, window="day", steps=STEPS[:2])],
            **alerts({
                "file": ("log", {"path": str(path)}, LOUD),
                "siem": ("log", {"path": str(sock), "format": "syslog", "facility": "local3"}, LOUD),
            }, node="node-1"),
        })
        pay(bursar, 4)
        wait_for(lambda: path.exists() and len(path.read_text().splitlines()) >= 2 and len(lines) >= 2, "the lines", 30)
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(w["type"], w["level"]) for w in written[:2]] == [("budget.threshold", "WARNING"), ("budget.exceeded", "CRITICAL")]
    for w in written:
        assert w["msg"].startswith("BUDGET ALERT: ") and w["budget_id"] == ODD and w["event"] == "alert"
    first = lines[0].decode()
    assert first.startswith("<156>1 ") and " node-1 bursar - budget.threshold [bursar@32473 id=\"" in first  # local3, warning
    assert lines[1].decode().startswith("<154>1 ")
    assert "] BUDGET ALERT: " in first and "\n" not in first
    # and in bursar's own log, as every installation has it
    own = wait_for(lambda: [o for o in bursar.log_lines() if o["event"] == "alert"], "the line in the own log", 30)
    assert own[0]["type"] == "budget.threshold" and own[0]["level"] == "warn"
