"""The pictures of messages in docs/img, made of what `bursar alerts preview` says: a mail on a light and on a dark screen
and on a phone, and a channel of Slack. Needs chromium; run by `make screenshots`.

usage: screenshots.py [FOLDER]      default docs/img
"""

import json
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests/alerts"), str(ROOT / "tests/e2e")]

import harness  # noqa: E402
import slack_page  # noqa: E402

NOW = "2026-11-21T14:00:00Z"
CHANNELS = {
    "mail": {"email": {"server": "smtp.example.com", "from": "bursar <bursar@example.com>", "to": ["ops@example.com"]}},
    "chat": {"slack": {"webhook": "https://hooks.slack.com/services/T0/B0/xyz"}},
}
DARK = "--blink-settings=preferredColorScheme=0"


def preview(bursar, channel, kind):
    return json.loads(bursar.cli("alerts", "preview", "--json", "--channel", channel, "--type", kind).stdout)[0]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        section = {"alerts": {"node": "node-1", "public_url": "https://bursar.example.com", "channels": CHANNELS}}
        bursar = harness.Bursar(data, None, section, env={**os.environ, "BURSAR_FAKE_NOW": NOW})
        try:
            mail = preview(bursar, "mail", "budget.threshold")["html"]
            full = preview(bursar, "mail", "budget.exceeded")["html"]
            chat = [json.loads(preview(bursar, "chat", kind)["body"]) for kind in ("budget.threshold", "budget.reset")]
        finally:
            bursar.stop()
    slack_page.screenshot(mail, folder / "alert-mail.png", width=760)
    slack_page.screenshot(full, folder / "alert-mail-phone.png", width=390, scale=1)
    slack_page.screenshot(slack_page.page(chat, times=("2:00 PM", "12:00 AM")), folder / "alert-slack.png")
    slack_page.CHROMIUM = [*slack_page.CHROMIUM, DARK]
    slack_page.screenshot(mail, folder / "alert-mail-dark.png", width=760, scale=1)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/img")
