"""An application with an official SDK spends its money, and people hear of each step once, on every channel."""

import openai
import pytest

from harness import budget, nanousd, wait_for
from receivers import HttpReceiver, MailReceiver, alerts
from test_alert_story import TOLD, quiet, told, words

STEPS = [{"at": "50%", "do": "alert"}, {"at": "80%", "do": "alert"}, {"at": "100%", "do": "alert"}, {"at": "100%", "do": "block"}]
LOUD = {"severity": "info"}


def client(bursar):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{bursar.proxy}/openai/v1", api_key="sk-application", max_retries=0)


def ask(sdk):
    return sdk.chat.completions.create(model="gpt-4.1-mini", max_tokens=100, messages=[{"role": "user", "content": "Say something."}],
                                       extra_headers={"x-vendor-out": "100"})


def price_of_a_call(start_bursar):
    """What it costs, and what is held for it."""
    bursar = start_bursar(name="meter")
    ask(client(bursar))
    bursar.wait_settled()
    (row,) = bursar.ledger()
    return nanousd(row["usd"]), nanousd(row["held_usd"])


def test_an_sdk_spends_through_all_thresholds(start_bursar):
    cost, hold = price_of_a_call(start_bursar)
    limit = f"{(cost * 9 + hold) / 1e9:.9f} USD"  # ten calls and no more
    with HttpReceiver() as hook, HttpReceiver(default=(200, {}, b"ok")) as slack, MailReceiver(security="none") as mail:
        section = alerts({
            "hook": ("webhook", {"url": hook.url}, LOUD),
            "chat": ("slack", {"webhook": slack.url + "/services/T/B/x"}, LOUD),
            "mail": ("email", {"server": "127.0.0.1", "port": mail.port, "security": "none", "from": "bursar@example.com",
                               "to": ["ops@example.com"]}, LOUD),
        })
        bursar = start_bursar({"budgets": [budget(limit, name="app", window="month", steps=STEPS)], **section})
        sdk = client(bursar)
        for n in range(10):
            ask(sdk)
            expected = sum(n + 1 >= step for step in (5, 8, 10))
            wait_for(lambda: sum(m["type"] in TOLD for m in told(hook)) >= expected, f"the message of call {n + 1}")
        with pytest.raises(openai.APIStatusError) as refused:
            ask(sdk)
        assert refused.value.status_code == 402
        quiet(bursar)
        steps = [m["data"] for m in told(hook) if m["type"] in TOLD]
        assert [round(s["threshold"], 2) for s in steps] == [0.5, 0.8, 1.0]
        assert [s["spent_nanos"] + s["reserved_nanos"] >= cost * n for s, n in zip(steps, (5, 8, 10))] == [True] * 3
        assert len({s["incident"] for s in steps}) == 1
        for channel in (slack.requests, mail.mails):
            assert len(channel) == len(told(hook)), "each channel hears the same number of times"
        subjects = [words(m.data)["Subject"] for m in mail.mails]
        assert all("app" in s for s in subjects), subjects
