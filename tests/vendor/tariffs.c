/* What the test vendor sells. Whole numbers, copied by hand from the vendors' price pages: nano-USD per token, second
 * or piece, and `per` units where the price of one is no whole number. */
#include <string.h>

#include "tests/vendor/bill.h"

/* Vendors without a price for cached input or cache writes take the full price. */
#define TEXT(in, cr, out) .fresh = (in), .cached = (cr), .write_5m = (in), .write_1h = (in), .output = (out)
#define CLAUDE(in, cr, cw, cw1h, out)                                                                                  \
	.fresh = (in), .cached = (cr), .write_5m = (cw), .write_1h = (cw1h), .output = (out)

static const struct tariff tariffs[] = {
    {"openai", "gpt-4o", NULL, 1, TEXT(2500, 1250, 10000)},
    {"openai", "gpt-4.1", NULL, 1, TEXT(2000, 500, 8000)},
    {"openai", "gpt-4.1-mini", NULL, 1, TEXT(400, 100, 1600)},
    {"openai", "gpt-5-mini", NULL, 1, TEXT(250, 25, 2000)},
    {"openai", "gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct:20230824-v2", 1, TEXT(1500, 1500, 2000)},
    {"openai", "text-embedding-3-large", NULL, 1, TEXT(130, 130, 0)},
    {"openai", "omni-moderation-latest", "omni-moderation-2024-09-26", 1, TEXT(0, 0, 0)},
    {"openai", "gpt-image-1", NULL, 1, TEXT(5000, 1250, 40000), .image = 10000},
    {"openai", "gpt-4o-mini-tts", NULL, 1, .fresh = 600, .audio_output = 12000},
    {"openai", "gpt-4o-transcribe", NULL, 1, .fresh = 2500, .audio = 6000, .output = 10000},
    {"openai", "whisper-1", NULL, 1, .audio_ms = 100},
    {"azure", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", 1, TEXT(400, 100, 1600)},
    {"azure", "phi-4", NULL, 1, TEXT(70, 70, 140)},
    {"azure", "text-embedding-3-small", NULL, 1, TEXT(20, 20, 0)},
    {"anthropic", "claude-sonnet-4-6", NULL, 1, CLAUDE(3000, 300, 3750, 6000, 15000)},
    {"anthropic", "claude-haiku-4-5", NULL, 1, CLAUDE(1000, 100, 1250, 2000, 5000)},
    {"google", "gemini-2.5-flash-lite", NULL, 1, TEXT(100, 10, 400)},
    {"google", "gemini-flash-1.5-8b", NULL, 2, TEXT(75, 20, 300)}, /* half nano-dollars: rounding shows */
    {"google", "gemini-embedding-2", NULL, 1, TEXT(200, 200, 0)},
    {"google", "claude-3-5-haiku@20241022", "claude-3-5-haiku-20241022", 1, CLAUDE(800, 80, 1000, 1600, 4000)},
    {"aws", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001", 1,
     CLAUDE(1100, 110, 1375, 2200, 5500)},
    {"aws", "amazon.nova-lite-v1:0", NULL, 1, TEXT(60, 15, 240)},
    {"aws", "amazon.nova-micro-v1:0", NULL, 4, TEXT(140, 35, 560)},
    {"aws", "amazon.titan-text-express-v1", NULL, 1, TEXT(200, 200, 600)},
    {"aws", "meta.llama3-3-70b-instruct-v1:0", NULL, 1, TEXT(720, 720, 720)},
    {"cohere", "command-a-03-2025", NULL, 1, TEXT(2500, 2500, 10000)},
    {"cohere", "command-r7b-12-2024", NULL, 2, TEXT(75, 75, 300)},
    {"cohere", "embed-v4.0", NULL, 1, TEXT(120, 120, 0)},
    {"cohere", "rerank-v3.5", NULL, 1, .searches = 2000000},
    {"mistral", "mistral-small-2603", NULL, 1, TEXT(150, 15, 600)},
    {"mistral", "ministral-8b-2512", NULL, 1, TEXT(150, 15, 150)},
    {"mistral", "mistral-embed", NULL, 1, TEXT(100, 100, 100)},
    {"mistral", "mistral-ocr-2512", NULL, 1, .pages = 2000000},
    {"groq", "llama-3.3-70b-versatile", NULL, 1, TEXT(590, 590, 790)},
    {"groq", "openai/gpt-oss-20b", NULL, 2, TEXT(150, 75, 600)},
    {"groq", "whisper-large-v3", NULL, 36, .audio_ms = 1110},
    {"together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", NULL, 1, TEXT(880, 880, 880)},
    {"openrouter", "openai/gpt-4.1-mini", NULL, 1, TEXT(400, 100, 1600)},
    {"openrouter", "anthropic/claude-haiku-4.5", NULL, 1, CLAUDE(1000, 100, 1250, 2000, 5000)},
    {"ollama", "llama3.2", NULL, 1, TEXT(50, 50, 80)}, /* the operator's own machine, priced as a model of Groq */
    {"ollama", "llama3.3", NULL, 1, TEXT(590, 590, 790)},
    {"ollama", "nomic-embed-text", NULL, 1, TEXT(50, 50, 80)},
    {"perplexity", "sonar", NULL, 1, TEXT(1000, 1000, 1000), .requests = 12000000},
    {"x-ai", "grok-3-mini", NULL, 1, TEXT(300, 75, 500)},
    {"deepseek", "deepseek-v3.2", NULL, 10, TEXT(2288, 2288, 3432)},
    {"fireworks", "accounts/fireworks/models/deepseek-v3p2", NULL, 1, TEXT(560, 280, 1680)},
};

const struct tariff *tariff_find(const char *provider, struct slice model)
{
	for (size_t i = 0; i < ARRAY_LEN(tariffs); i++) {
		if (strcmp(tariffs[i].provider, provider) == 0 && slice_eq(slice_of(tariffs[i].model), model))
			return &tariffs[i];
	}
	return NULL;
}
