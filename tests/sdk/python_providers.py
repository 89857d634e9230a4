"""The official Python SDKs of the other vendors, unmodified: prints one JSON object, name of the call -> answer.

PROVIDER_ROOTS is JSON, vendor -> base URL without the API's own path; only vendors that are named there are called.
"""

import json
import os
import sys

import boto3
import cohere
import groq
import ollama
import openai
import together
from mistralai.client import Mistral

ROOTS = json.loads(os.environ["PROVIDER_ROOTS"])
ASK = [{"role": "user", "content": "What is counted before it leaves?"}]
VOLATILE = {"ResponseMetadata", "http_headers", "raw_response"}
RESULTS = {}


def script(name):
    return {"x-vendor-call": name, "x-vendor-out": "12", "x-vendor-chunks": "6"}


def plain(x):
    if hasattr(x, "model_dump"):
        x = x.model_dump(mode="json")
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items() if k not in VOLATILE}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, bytes):
        return x.decode()
    return x if isinstance(x, (str, int, float, bool, type(None))) else str(x)


def problem(e):
    meta = getattr(e, "response", None)
    meta = meta.get("ResponseMetadata", {}) if isinstance(meta, dict) else {}
    status = getattr(e, "status_code", None) or meta.get("HTTPStatusCode")
    return {"raised": type(e).__name__, "status": status, "attempts": meta.get("RetryAttempts"), "text": str(e)[:200]}


def attempt(name, function):
    """Whatever an SDK raises is what its users see: it is told, not judged, here."""
    if name.split("-")[0] not in ROOTS:
        return
    try:
        RESULTS[name] = plain(function(script(name)))
    except Exception as e:
        RESULTS[name] = problem(e)


# --- Bedrock


def bedrock(headers, **credentials):
    client = boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=ROOTS["aws"], **credentials)
    client.meta.events.register("before-call.*", lambda params, **_: params["headers"].update(headers))
    return client


def aws():
    keys = {"aws_access_key_id": os.environ.get("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), "aws_secret_access_key": "secret"}
    nova = {
        "modelId": "amazon.nova-lite-v1:0", "messages": [{"role": "user", "content": [{"text": "Why?"}]}],
        "inferenceConfig": {"maxTokens": 20},
    }
    claude = {
        "modelId": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "contentType": "application/json",
        "body": json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 20, "messages": ASK}),
    }
    llama = {"modelId": "meta.llama3-3-70b-instruct-v1:0", "body": json.dumps({"prompt": "Why?", "max_gen_len": 20})}

    def invoked(answer):
        return {k: (v.read().decode() if k == "body" else v) for k, v in answer.items()}

    attempt("aws-converse", lambda h: bedrock(h, **keys).converse(**nova))
    attempt("aws-converse-stream", lambda h: list(bedrock(h, **keys).converse_stream(**nova)["stream"]))
    attempt("aws-invoke", lambda h: invoked(bedrock(h, **keys).invoke_model(**claude)))
    attempt("aws-invoke-llama", lambda h: invoked(bedrock(h, **keys).invoke_model(**llama)))
    attempt("aws-invoke-stream", lambda h: list(bedrock(h, **keys).invoke_model_with_response_stream(**claude)["body"]))
    if not ROOTS["aws"].startswith("https:"):
        return  # boto3 sends no API key in the clear
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = "bedrock-client"  # an API key instead of a signature
    attempt("aws-converse-bearer", lambda h: bedrock(h).converse(**nova))
    attempt("aws-converse-stream-bearer", lambda h: list(bedrock(h).converse_stream(**nova)["stream"]))


# --- the others


def cohere_calls():
    c = cohere.ClientV2(api_key="co-client", base_url=ROOTS["cohere"])
    chat = {"model": "command-r7b-12-2024", "messages": ASK, "max_tokens": 20}
    attempt("cohere-chat", lambda h: c.chat(**chat, request_options={"additional_headers": h}))
    attempt("cohere-chat-stream", lambda h: list(c.chat_stream(**chat, request_options={"additional_headers": h})))
    attempt("cohere-embed", lambda h: c.embed(
        model="embed-v4.0", texts=["one", "two"], input_type="search_document", embedding_types=["float"],
        request_options={"additional_headers": h}))


def mistral():
    c = Mistral(api_key="mi-client", server_url=ROOTS["mistral"])
    chat = {"model": "mistral-small-2603", "messages": ASK, "max_tokens": 20}
    attempt("mistral-chat", lambda h: c.chat.complete(**chat, http_headers=h))
    attempt("mistral-chat-stream", lambda h: [e.data for e in c.chat.stream(**chat, http_headers=h)])


def groq_calls():
    c = groq.Groq(api_key="gr-client", base_url=ROOTS["groq"])
    chat = {"model": "llama-3.3-70b-versatile", "messages": ASK, "max_completion_tokens": 20}
    attempt("groq-chat", lambda h: c.chat.completions.create(**chat, extra_headers=h))
    attempt("groq-chat-stream", lambda h: list(c.chat.completions.create(**chat, stream=True, extra_headers=h)))


def together_calls():
    c = together.Together(api_key="to-client", base_url=ROOTS["together"])
    chat = {"model": "meta-llama/Llama-3.3-70B-Instruct-Turbo", "messages": ASK, "max_tokens": 20}
    attempt("together-chat", lambda h: c.chat.completions.create(**chat, extra_headers=h))
    attempt("together-chat-stream", lambda h: list(c.chat.completions.create(**chat, stream=True, extra_headers=h)))


def azure():
    c = openai.AzureOpenAI(azure_endpoint=ROOTS["azure"], api_key="az-client", api_version="2025-04-01-preview")
    chat = {"model": "gpt-4.1-mini", "messages": ASK, "max_tokens": 20}
    attempt("azure-chat", lambda h: c.chat.completions.create(**chat, extra_headers=h))
    attempt("azure-chat-stream", lambda h: list(c.chat.completions.create(**chat, stream=True, extra_headers=h)))


def ollama_calls():
    chat = {"model": "llama3.2", "messages": ASK, "options": {"num_predict": 20}}
    attempt("ollama-chat", lambda h: ollama.Client(host=ROOTS["ollama"], headers=h).chat(**chat))
    attempt("ollama-chat-stream", lambda h: list(ollama.Client(host=ROOTS["ollama"], headers=h).chat(**chat, stream=True)))


def main():
    for vendor, calls in {
        "aws": aws, "cohere": cohere_calls, "mistral": mistral, "groq": groq_calls, "together": together_calls,
        "azure": azure, "ollama": ollama_calls,
    }.items():
        if vendor in ROOTS:
            calls()
    json.dump(RESULTS, sys.stdout)


if __name__ == "__main__":
    main()
