"""Slack's blocks drawn as Slack draws them, in a page of our own: for looking at messages, and for the picture in the
documentation. Knows the few blocks that bursar sends.

usage: slack_page.py OUT.png PAYLOAD.json...     payloads {"text", "blocks"}, one message each; needs chromium,
and for its looks Debian's fonts-lato and fonts-noto-color-emoji
"""

import html
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import zlib

STYLE = """
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1d1c1d; font: 15px/22px Lato, "Noto Color Emoji", Arial, sans-serif; }
.channel { padding: 13px 20px; border-bottom: 1px solid #e3e3e3; font-weight: 900; font-size: 17px; }
.message { display: flex; gap: 9px; padding: 14px 20px 10px; }
.avatar { flex: 0 0 36px; height: 36px; border-radius: 5px; background: #0f766e; color: #fff; font: 900 20px/36px Lato;
  text-align: center; }
.body { flex: 1; max-width: 640px; }
.name { font-weight: 900; } .app { background: #e8e8e8; border-radius: 2px; color: #616061; font: 700 10px/14px Lato;
  padding: 1px 3px; margin: 0 5px; vertical-align: 1px; } .time { color: #616061; font-size: 12px; }
.header { font-size: 18px; font-weight: 900; line-height: 24px; margin: 6px 0 4px; }
.section { margin: 4px 0 8px; white-space: pre-wrap; overflow-wrap: anywhere; }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 16px; margin: 8px 0 10px; }
.fields div { white-space: pre-wrap; overflow-wrap: anywhere; }
.actions { display: flex; gap: 8px; margin: 10px 0 8px; }
.button { border: 1px solid #bbb; border-radius: 4px; font-weight: 700; font-size: 13px; padding: 3px 11px; }
.button.primary { background: #007a5a; border-color: #007a5a; color: #fff; }
.context { color: #616061; font-size: 13px; line-height: 18px; margin: 4px 0; }
pre { background: #f8f8f8; border: 1px solid #ddd; border-radius: 4px; padding: 8px; margin: 6px 0 0;
  font: 12px/18px "DejaVu Sans Mono", monospace; white-space: pre-wrap; }
.mention { background: #fff3cd; color: #1264a3; border-radius: 3px; padding: 0 2px; }
"""


def mrkdwn(text):
    """Slack's markup as HTML. The text has & < > escaped already, and that is all that HTML needs here."""
    text = re.sub(r"```(.*?)```", lambda m: f"<pre>{m[1]}</pre>", text, flags=re.S)
    text = re.sub(r"<([@!#][^<>|\n]+)>", r'<span class="mention">@\1</span>', text)
    text = re.sub(r"\n?(<pre>)", r"\1", text)
    return re.sub(r"(?<![\w*])\*([^*\n]+)\*(?!\w)", r"<b>\1</b>", text)


def text_of(part):
    return html.escape(part["text"]) if part["type"] == "plain_text" else mrkdwn(part["text"])


def draw(block):
    kind = block["type"]
    if kind == "header":
        return f'<div class="header">{text_of(block["text"])}</div>'
    if kind == "section" and "fields" in block:
        return '<div class="fields">' + "".join(f"<div>{text_of(f)}</div>" for f in block["fields"]) + "</div>"
    if kind == "section":
        return f'<div class="section">{text_of(block["text"])}</div>'
    if kind == "context":
        return '<div class="context">' + " ".join(text_of(e) for e in block["elements"]) + "</div>"
    if kind == "actions":
        buttons = (f'<span class="button {e.get("style", "")}">{text_of(e["text"])}</span>' for e in block["elements"])
        return f'<div class="actions">{"".join(buttons)}</div>'
    raise ValueError(f"a block of type {kind} is not drawn")


def message(payload, time):
    return f"""<div class="message"><div class="avatar">b</div><div class="body">
<span class="name">bursar</span><span class="app">APP</span> <span class="time">{html.escape(time)}</span>
{"".join(draw(b) for b in payload["blocks"])}</div></div>"""


def page(payloads, channel="ai-costs", times=("8:00 AM", "8:42 AM", "9:15 AM")):
    """The HTML of a channel with these messages."""
    times = [*times, *[""] * len(payloads)]
    return f"""<!doctype html><meta charset="utf-8"><title>Slack</title><style>{STYLE}</style>
<div class="channel"># {html.escape(channel)}</div>
{"".join(message(p, t) for p, t in zip(payloads, times))}"""


CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
MEASURE = "<script>document.title = document.documentElement.getBoundingClientRect().height</script>"
SPARE = 200  # a window's frame takes of its height


def cut_rows(png, rows):
    """The first rows of a picture."""
    out, data, at = [png[:8]], b"", 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        chunk = png[at + 8:at + 8 + length]
        at += length + 12
        if kind == b"IHDR":
            width, _, depth, color = struct.unpack_from(">IIBB", chunk)
            row = 1 + width * depth // 8 * {0: 1, 2: 3, 4: 2, 6: 4}[color]
            chunk = chunk[:4] + struct.pack(">I", rows) + chunk[8:]
        elif kind == b"IDAT":
            data += chunk
            continue
        elif kind == b"IEND":
            kept = zlib.compress(zlib.decompress(data)[:row * rows], 9)
            out.append(struct.pack(">I", len(kept)) + b"IDAT" + kept + struct.pack(">I", zlib.crc32(b"IDAT" + kept)))
        out.append(struct.pack(">I", len(chunk)) + kind + chunk + struct.pack(">I", zlib.crc32(kind + chunk)))
    return b"".join(out)


def screenshot(text, out, width=720, scale=2):
    """The page as a picture, as high as it is; `scale` times as fine."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "page.html")
        file.write_text(text + MEASURE)
        common = [*CHROMIUM, f"--user-data-dir={folder}/profile", f"--force-device-scale-factor={scale}"]
        dom = subprocess.run([*common, f"--window-size={width},1000", "--dump-dom", file.as_uri()], check=True,
                             capture_output=True, text=True, timeout=60).stdout
        height = int(float(re.search(r"<title>([0-9.]+)</title>", dom)[1])) + 8
        subprocess.run([*common, f"--window-size={width},{height + SPARE}", f"--screenshot={folder}/page.png",
                        file.as_uri()], check=True, capture_output=True, timeout=60)
        pathlib.Path(out).write_bytes(cut_rows(pathlib.Path(folder, "page.png").read_bytes(), height * scale))


if __name__ == "__main__":
    payloads = [json.loads(pathlib.Path(name).read_text()) for name in sys.argv[2:]]
    screenshot(page(payloads), sys.argv[1])
