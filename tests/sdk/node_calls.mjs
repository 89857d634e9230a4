// The official Node SDKs, unmodified, as an application uses them: prints one JSON object, name of the call -> answer.
// Where the calls go is decided by the environment alone (and node_proxy.mjs for the forward proxy).
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";

const ask = [{ role: "user", content: "What is counted before it leaves?" }];
const headers = (name) => ({ "x-vendor-call": name, "x-vendor-out": "12", "x-vendor-chunks": "6" });
const results = {};

async function attempt(name, run) {
	try {
		results[name] = await run({ headers: headers(name) });
	} catch (e) {
		results[name] = { raised: e.constructor.name, status: e.status ?? null, code: e.code ?? null, text: String(e.message).slice(0, 200) };
	}
}

async function all(stream) {
	const pieces = [];
	for await (const piece of await stream) pieces.push(piece);
	return pieces;
}

const plain = (x) => JSON.parse(JSON.stringify(x, (k, v) => (k === "sdkHttpResponse" ? undefined : v)));

const openai = new OpenAI();
const chat = { model: "gpt-4.1-mini", max_tokens: 20, messages: ask };
await attempt("openai-chat", async (o) => plain(await openai.chat.completions.create(chat, o)));
await attempt("openai-chat-stream", async (o) => plain(await all(openai.chat.completions.create({ ...chat, stream: true }, o))));
await attempt("openai-responses", async (o) =>
	plain(await openai.responses.create({ model: "gpt-4.1-mini", input: "Why?", max_output_tokens: 20 }, o)));
await attempt("openai-responses-stream", async (o) =>
	plain(await all(openai.responses.create({ model: "gpt-4.1-mini", input: "Why?", max_output_tokens: 20, stream: true }, o))));
await attempt("openai-embeddings", async (o) =>
	plain(await openai.embeddings.create({ model: "text-embedding-3-large", input: ["one", "two"] }, o)));

const anthropic = new Anthropic();
const message = { model: "claude-haiku-4-5", max_tokens: 20, messages: ask };
await attempt("anthropic", async (o) => plain(await anthropic.messages.create(message, o)));
await attempt("anthropic-stream", async (o) => plain(await all(anthropic.messages.create({ ...message, stream: true }, o))));
await attempt("anthropic-beta-stream", async (o) => plain(await anthropic.beta.messages.stream({ ...message, betas: ["context-1m-2025-08-07"] }, o).finalMessage()));

const google = new GoogleGenAI({
	apiKey: process.env.GEMINI_API_KEY,
	...(process.env.GOOGLE_GEMINI_BASE_URL ? { httpOptions: { baseUrl: process.env.GOOGLE_GEMINI_BASE_URL } } : {}),
});
const gemini = (o) => ({ model: "gemini-2.5-flash-lite", contents: "Why?", config: { maxOutputTokens: 20, httpOptions: o } });
await attempt("google", async (o) => plain(await google.models.generateContent(gemini(o))));
await attempt("google-stream", async (o) => plain(await all(google.models.generateContentStream(gemini(o)))));

process.stdout.write(JSON.stringify(results));
