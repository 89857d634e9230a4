// As ladder_calls.py, with the official Node SDKs.
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";

const [way, out, pause] = process.argv.slice(2);
const ask = [{ role: "user", content: "What is counted before it leaves?" }];
const headers = { "x-vendor-out": out, "x-vendor-chunks": out, "x-vendor-chunk-ms": pause ?? "0" };
let seen = []; // one entry for each attempt

const plainFetch = globalThis.fetch;
globalThis.fetch = async (...args) => {
	const response = await plainFetch(...args);
	const ours = [...response.headers].filter(([k]) => k.startsWith("x-bursar-") || k === "retry-after" || k === "x-should-retry");
	seen.push({ status: response.status, ...Object.fromEntries(ours) });
	return response;
};

async function chat() {
	const c = new OpenAI();
	if (way === "unary") {
		const a = await c.chat.completions.create({ model: "gpt-4.1", max_tokens: Number(out), messages: ask }, { headers });
		return { model: a.model, end: a.choices[0].finish_reason, words: a.usage.completion_tokens };
	}
	let words = 0, end = null, model = null;
	for await (const chunk of await c.chat.completions.create({ model: "gpt-4.1", messages: ask, stream: true }, { headers })) {
		for (const choice of chunk.choices ?? []) {
			words += choice.delta?.content ? 1 : 0;
			end = choice.finish_reason ?? end;
		}
		model = chunk.model;
	}
	return { model, end, words };
}

async function responses() {
	const c = new OpenAI();
	let a;
	if (way === "unary") a = await c.responses.create({ model: "gpt-4.1", input: "What is counted?", max_output_tokens: Number(out) }, { headers });
	else for await (const e of await c.responses.create({ model: "gpt-4.1", input: "What is counted?", stream: true }, { headers })) a = e.response ?? a;
	return { model: a.model, end: a.status, why: a.incomplete_details?.reason ?? null };
}

async function messages() {
	const c = new Anthropic();
	const call = { model: "claude-sonnet-4-6", max_tokens: Number(out), messages: ask };
	const a = way === "unary" ? await c.messages.create(call, { headers }) : await c.messages.stream(call, { headers }).finalMessage();
	return { model: a.model, end: a.stop_reason, words: a.usage.output_tokens };
}

async function gemini() {
	const c = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY, httpOptions: { baseUrl: process.env.GOOGLE_GEMINI_BASE_URL, headers } });
	const call = { model: "gemini-2.5-flash-lite", contents: "Why?" };
	if (way === "unary") {
		const a = await c.models.generateContent({ ...call, config: { maxOutputTokens: Number(out) } });
		return { model: a.modelVersion, end: a.candidates[0].finishReason, words: a.usageMetadata.candidatesTokenCount };
	}
	let end = null;
	for await (const a of await c.models.generateContentStream(call)) end = a.candidates?.[0]?.finishReason ?? end;
	return { end };
}

const results = {};
for (const [name, run] of Object.entries({ "openai chat": chat, "openai responses": responses, anthropic: messages, google: gemini })) {
	seen = [];
	headers["x-bursar-tags"] = "sdk=" + name.replace(" ", "-");
	const began = performance.now();
	let result;
	try {
		result = await run();
	} catch (e) {
		result = { raised: e.constructor.name, status: e.status ?? null, code: e.code ?? null, text: String(e.message).slice(0, 400) };
	}
	results[name] = { ...result, attempts: seen, seconds: (performance.now() - began) / 1000 };
}
process.stdout.write(JSON.stringify(results));
