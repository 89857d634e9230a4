// The official Node SDKs of the other vendors, unmodified: prints one JSON object, name of the call -> answer.
// PROVIDER_ROOTS is JSON, vendor -> base URL without the API's own path; only vendors that are named there are called.
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand, InvokeModelCommand, InvokeModelWithResponseStreamCommand }
	from "@aws-sdk/client-bedrock-runtime";
import { Mistral } from "@mistralai/mistralai";
import { OpenRouter } from "@openrouter/sdk";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { CohereClientV2 } from "cohere-ai";
import Groq from "groq-sdk";
import { Ollama } from "ollama";
import { AzureOpenAI } from "openai";
import Together from "together-ai";

const roots = JSON.parse(process.env.PROVIDER_ROOTS);
const ask = [{ role: "user", content: "What is counted before it leaves?" }];
const script = (name) => ({ "x-vendor-call": name, "x-vendor-out": "12", "x-vendor-chunks": "6" });
const results = {};

async function attempt(name, run) {
	if (!roots[name.split("-")[0]]) return;
	try {
		results[name] = plain(await run(script(name)));
	} catch (e) {
		results[name] = {
			raised: e.constructor.name, name: e.name, status: e.status ?? e.statusCode ?? e.status_code ?? e.$metadata?.httpStatusCode ?? null,
			attempts: e.$metadata?.attempts ?? null, text: String(e.message).slice(0, 200),
		};
	}
}

async function all(stream) {
	const pieces = [];
	for await (const piece of await stream) pieces.push(piece);
	return pieces;
}

const volatile = new Set(["$metadata", "sdkHttpResponse", "rawResponse", "httpMeta"]);
const plain = (x) => JSON.parse(JSON.stringify(x, (k, v) => (volatile.has(k) ? undefined : v instanceof Uint8Array ? Buffer.from(v).toString() : v)) ?? "null");

// --- Bedrock. The client speaks HTTP/2 unless told otherwise.

function bedrock(headers) {
	const client = new BedrockRuntimeClient({
		region: "us-east-1", endpoint: roots.aws, requestHandler: new NodeHttpHandler(),
		credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? "AKIDEXAMPLE", secretAccessKey: "secret" },
	});
	const add = (next) => (args) => {
		Object.assign(args.request.headers, headers);
		return next(args);
	};
	client.middlewareStack.add(add, { step: "build", name: "script" });
	return client;
}
const nova = { modelId: "amazon.nova-lite-v1:0", messages: [{ role: "user", content: [{ text: "Why?" }] }], inferenceConfig: { maxTokens: 20 } };
const claude = {
	modelId: "us.anthropic.claude-haiku-4-5-20251001-v1:0", contentType: "application/json",
	body: JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 20, messages: ask }),
};
await attempt("aws-converse", (h) => bedrock(h).send(new ConverseCommand(nova)));
await attempt("aws-converse-stream", async (h) => all((await bedrock(h).send(new ConverseStreamCommand(nova))).stream));
await attempt("aws-invoke", (h) => bedrock(h).send(new InvokeModelCommand(claude)));
await attempt("aws-invoke-stream", async (h) => all((await bedrock(h).send(new InvokeModelWithResponseStreamCommand(claude))).body));

// --- Cohere

const cohere = new CohereClientV2({ token: "co-client", environment: roots.cohere });
const command = { model: "command-r7b-12-2024", messages: ask, maxTokens: 20 };
await attempt("cohere-chat", (headers) => cohere.chat(command, { headers }));
await attempt("cohere-chat-stream", (headers) => all(cohere.chatStream(command, { headers })));
await attempt("cohere-embed", (headers) =>
	cohere.embed({ model: "embed-v4.0", texts: ["one", "two"], inputType: "search_document", embeddingTypes: ["float"] }, { headers }));

// --- Mistral

const mistral = new Mistral({ apiKey: "mi-client", serverURL: roots.mistral });
const small = { model: "mistral-small-2603", messages: ask, maxTokens: 20 };
await attempt("mistral-chat", (headers) => mistral.chat.complete(small, { headers }));
await attempt("mistral-chat-stream", (headers) => all(mistral.chat.stream(small, { headers })));
await attempt("mistral-ocr", (headers) =>
	mistral.ocr.process({ model: "mistral-ocr-2512", document: { type: "document_url", documentUrl: "https://example.com/a.pdf" }, pages: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] }, { headers }));

// --- the SDKs made like OpenAI's

const groq = new Groq({ apiKey: "gr-client", baseURL: roots.groq });
const llama = { model: "llama-3.3-70b-versatile", max_completion_tokens: 20, messages: ask };
await attempt("groq-chat", (headers) => groq.chat.completions.create(llama, { headers }));
await attempt("groq-chat-stream", (headers) => all(groq.chat.completions.create({ ...llama, stream: true }, { headers })));

const together = new Together({ apiKey: "to-client", baseURL: `${roots.together}/v1` });
const turbo = { model: "meta-llama/Llama-3.3-70B-Instruct-Turbo", max_tokens: 20, messages: ask };
await attempt("together-chat", (headers) => together.chat.completions.create(turbo, { headers }));
await attempt("together-chat-stream", (headers) => all(together.chat.completions.create({ ...turbo, stream: true }, { headers })));

const azure = () => new AzureOpenAI({ endpoint: roots.azure, apiKey: "az-client", apiVersion: "2025-04-01-preview" });
const mini = { model: "gpt-4.1-mini", max_tokens: 20, messages: ask };
await attempt("azure-chat", (headers) => azure().chat.completions.create(mini, { headers }));
await attempt("azure-chat-stream", (headers) => all(azure().chat.completions.create({ ...mini, stream: true }, { headers })));

// --- OpenRouter

const openrouter = new OpenRouter({ apiKey: "or-client", serverURL: `${roots.openrouter}/api/v1` });
const routed = { model: "openai/gpt-4.1-mini", maxTokens: 20, messages: ask };
const routedCall = (o, headers) => openrouter.chat.send({ chatRequest: { ...routed, ...o } }, { headers });
await attempt("openrouter-chat", (headers) => routedCall({ stream: false }, headers));
await attempt("openrouter-chat-stream", (headers) => all(routedCall({ stream: true }, headers)));

// --- Ollama

const ollama = (headers) => new Ollama({ host: roots.ollama, headers });
const local = { model: "llama3.2", messages: ask, options: { num_predict: 20 } };
await attempt("ollama-chat", (h) => ollama(h).chat({ ...local, stream: false }));
await attempt("ollama-chat-stream", async (h) => all(await ollama(h).chat({ ...local, stream: true })));
await attempt("ollama-embed", (h) => ollama(h).embed({ model: "nomic-embed-text", input: ["one", "two"] }));

process.stdout.write(JSON.stringify(results));
