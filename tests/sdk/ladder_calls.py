"""One call of each official Python SDK, as an application makes it; prints what the application sees of it as JSON:
the answer, or the exception, and the headers that bursar adds. Arguments: unary or stream, and the vendor's words."""

import json
import sys
import time

import anthropic
import openai
from google import genai
from google.genai import types

ASK = [{"role": "user", "content": "What is counted before it leaves?"}]
WAY, OUT, PAUSE_MS = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "0"
HEADERS = {"x-vendor-out": OUT, "x-vendor-chunks": OUT, "x-vendor-chunk-ms": PAUSE_MS}  # and a tag for each SDK
seen = []  # one entry for each attempt


def remember(response):
    seen.append({"status": response.status_code, **{k: v for k, v in response.headers.items() if k.startswith("x-bursar-") or k in (
        "retry-after", "x-should-retry")}})


HOOKS = {"event_hooks": {"response": [remember]}}


def chat():
    c = openai.OpenAI(http_client=openai.DefaultHttpxClient(**HOOKS))
    if WAY == "unary":
        a = c.chat.completions.create(model="gpt-4.1", max_tokens=int(OUT), messages=ASK, extra_headers=HEADERS)
        return {"model": a.model, "end": a.choices[0].finish_reason, "words": a.usage.completion_tokens}
    words, end, model = 0, None, None
    for chunk in c.chat.completions.create(model="gpt-4.1", messages=ASK, stream=True, extra_headers=HEADERS):
        for choice in chunk.choices:
            words += bool(choice.delta.content)
            end = choice.finish_reason or end
        model = chunk.model
    return {"model": model, "end": end, "words": words}


def responses():
    c = openai.OpenAI(http_client=openai.DefaultHttpxClient(**HOOKS))
    ask = {"model": "gpt-4.1", "input": "What is counted?", "extra_headers": HEADERS}
    if WAY == "unary":
        a = c.responses.create(max_output_tokens=int(OUT), **ask)
    else:
        a = [e for e in c.responses.create(stream=True, **ask)][-1].response
    return {"model": a.model, "end": a.status, "why": a.incomplete_details.reason if a.incomplete_details else None}


def messages():
    c = anthropic.Anthropic(http_client=anthropic.DefaultHttpxClient(**HOOKS))
    ask = {"model": "claude-sonnet-4-6", "max_tokens": int(OUT), "messages": ASK, "extra_headers": HEADERS}
    if WAY == "unary":
        a = c.messages.create(**ask)
        return {"model": a.model, "end": a.stop_reason, "words": a.usage.output_tokens}
    with c.messages.stream(**ask) as stream:
        a = stream.get_final_message()
    return {"model": a.model, "end": a.stop_reason, "words": a.usage.output_tokens}


def gemini():
    c = genai.Client(http_options=types.HttpOptions(headers=HEADERS, client_args=HOOKS))
    if WAY == "unary":
        a = c.models.generate_content(model="gemini-2.5-flash-lite", contents="Why?", config={"max_output_tokens": int(OUT)})
        return {"model": a.model_version, "end": a.candidates[0].finish_reason.value, "words": a.usage_metadata.candidates_token_count}
    end = None
    for a in c.models.generate_content_stream(model="gemini-2.5-flash-lite", contents="Why?"):
        end = a.candidates[0].finish_reason or end if a.candidates else end
    return {"end": end.value if end else None}


results = {}
for name, run in (("openai chat", chat), ("openai responses", responses), ("anthropic", messages), ("google", gemini)):
    seen.clear()
    HEADERS["x-bursar-tags"] = "sdk=" + name.replace(" ", "-")
    began = time.monotonic()
    try:
        result = run()
    except (openai.APIError, anthropic.APIError, genai.errors.APIError) as e:
        result = {
            "raised": type(e).__name__, "status": getattr(e, "status_code", None) or getattr(e, "code", None),
            "code": e.code if isinstance(e, openai.APIError) else None, "text": str(getattr(e, "message", "") or e)[:400],
        }
    results[name] = {**result, "attempts": list(seen), "seconds": time.monotonic() - began}
json.dump(results, sys.stdout)
