"""The official Python SDKs, unmodified, as an application uses them: prints one JSON object, name of the call -> answer.

Where the calls go is decided by the environment alone: base URLs for the gateway, HTTPS_PROXY for the forward proxy.
"""

import asyncio
import json
import sys

import anthropic
import openai
from google import genai
from google.genai import types

ASK = [{"role": "user", "content": "What is counted before it leaves?"}]


def headers(name):
    return {"x-vendor-call": name, "x-vendor-out": "12", "x-vendor-chunks": "6"}


def plain(model):
    return json.loads(model.model_dump_json(exclude_none=False))


def problem(error):
    return {
        "raised": type(error).__name__,
        "status": getattr(error, "status_code", None) or getattr(error, "code", None),
        "code": getattr(error, "code", None) if isinstance(error, openai.APIError) else None,
        "text": str(getattr(error, "message", "") or error)[:200],
    }


def attempt(results, name, function):
    try:
        results[name] = function()
    except (openai.APIError, anthropic.APIError, genai.errors.APIError) as e:
        results[name] = problem(e)


async def attempt_async(results, name, function):
    try:
        results[name] = await function()
    except (openai.APIError, anthropic.APIError, genai.errors.APIError) as e:
        results[name] = problem(e)


def openai_sync(r):
    c = openai.OpenAI()
    attempt(r, "openai-chat", lambda: plain(
        c.chat.completions.create(model="gpt-4.1-mini", max_tokens=20, messages=ASK, extra_headers=headers("openai-chat"))))
    attempt(r, "openai-chat-stream", lambda: [plain(x) for x in c.chat.completions.create(
        model="gpt-4.1-mini", max_tokens=20, messages=ASK, stream=True, extra_headers=headers("openai-chat-stream"))])
    attempt(r, "openai-chat-stream-usage", lambda: [plain(x) for x in c.chat.completions.create(
        model="gpt-4.1-mini", max_tokens=20, messages=ASK, stream=True, stream_options={"include_usage": True},
        extra_headers=headers("openai-chat-stream-usage"))])
    attempt(r, "openai-responses", lambda: plain(c.responses.create(
        model="gpt-4.1-mini", max_output_tokens=20, input="Why?", extra_headers=headers("openai-responses"))))
    attempt(r, "openai-responses-stream", lambda: [plain(x) for x in c.responses.create(
        model="gpt-4.1-mini", max_output_tokens=20, input="Why?", stream=True, extra_headers=headers("openai-responses-stream"))])
    attempt(r, "openai-embeddings", lambda: plain(c.embeddings.create(
        model="text-embedding-3-large", input=["one", "two"], extra_headers=headers("openai-embeddings"))))
    attempt(r, "openai-models", lambda: [plain(m) for m in c.models.list()])


async def openai_async(r):
    async with openai.AsyncOpenAI() as c:
        async def unary():
            return plain(await c.chat.completions.create(
                model="gpt-4o", max_tokens=20, messages=ASK, extra_headers=headers("openai-async")))

        async def stream():
            return [plain(x) async for x in await c.chat.completions.create(
                model="gpt-4o", max_tokens=20, messages=ASK, stream=True, extra_headers=headers("openai-async-stream"))]

        await attempt_async(r, "openai-async", unary)
        await attempt_async(r, "openai-async-stream", stream)


def anthropic_sync(r):
    c = anthropic.Anthropic()

    def stream():
        with c.messages.stream(
            model="claude-haiku-4-5", max_tokens=20, messages=ASK, extra_headers=headers("anthropic-stream")
        ) as s:
            return {"text": "".join(s.text_stream), "final": plain(s.get_final_message())}

    attempt(r, "anthropic", lambda: plain(c.messages.create(
        model="claude-haiku-4-5", max_tokens=20, messages=ASK, extra_headers=headers("anthropic"))))
    attempt(r, "anthropic-stream", stream)
    attempt(r, "anthropic-count", lambda: plain(c.messages.count_tokens(
        model="claude-haiku-4-5", messages=ASK, extra_headers=headers("anthropic-count"))))


async def anthropic_async(r):
    async with anthropic.AsyncAnthropic() as c:
        async def unary():
            return plain(await c.messages.create(
                model="claude-sonnet-4-6", max_tokens=20, messages=ASK, extra_headers=headers("anthropic-async")))

        async def stream():
            return [plain(x) async for x in await c.messages.create(
                model="claude-sonnet-4-6", max_tokens=20, messages=ASK, stream=True,
                extra_headers=headers("anthropic-async-stream"))]

        await attempt_async(r, "anthropic-async", unary)
        await attempt_async(r, "anthropic-async-stream", stream)


def google_config(name):
    return types.GenerateContentConfig(max_output_tokens=20, http_options=types.HttpOptions(headers=headers(name)))


def google_plain(answer):
    out = plain(answer)
    out.pop("sdk_http_response", None)  # headers, among them the date
    return out


def google_sync(r):
    c = genai.Client()
    attempt(r, "google", lambda: google_plain(c.models.generate_content(
        model="gemini-2.5-flash-lite", contents="Why?", config=google_config("google"))))
    attempt(r, "google-stream", lambda: [google_plain(x) for x in c.models.generate_content_stream(
        model="gemini-2.5-flash-lite", contents="Why?", config=google_config("google-stream"))])


async def google_async(r):
    c = genai.Client()

    async def unary():
        return google_plain(await c.aio.models.generate_content(
            model="gemini-2.5-flash-lite", contents="Why?", config=google_config("google-async")))

    async def stream():
        return [google_plain(x) async for x in await c.aio.models.generate_content_stream(
            model="gemini-2.5-flash-lite", contents="Why?", config=google_config("google-async-stream"))]

    await attempt_async(r, "google-async", unary)
    await attempt_async(r, "google-async-stream", stream)


def main():
    results = {}
    openai_sync(results)
    asyncio.run(openai_async(results))
    anthropic_sync(results)
    asyncio.run(anthropic_async(results))
    google_sync(results)
    asyncio.run(google_async(results))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
