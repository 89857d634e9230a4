/* Which vocabulary a model counts with: openai/tiktoken, tiktoken/model.py. */
#include "tokens/tokens.h"

struct row {
	const char *name;
	enum tok_encoding encoding;
};

static const struct row exact[] = {
    {"o1", TOK_O200K},
    {"o3", TOK_O200K},
    {"o4-mini", TOK_O200K},
    {"gpt-5", TOK_O200K},
    {"gpt-4.1", TOK_O200K},
    {"gpt-4.5", TOK_O200K},
    {"gpt-4o", TOK_O200K},
    {"gpt-4", TOK_CL100K},
    {"gpt-3.5", TOK_CL100K},
    {"gpt-3.5-turbo", TOK_CL100K},
    {"gpt-35-turbo", TOK_CL100K},
    {"davinci-002", TOK_CL100K},
    {"babbage-002", TOK_CL100K},
};

/* In order: the first that fits decides. gpt-oss has o200k_base's ranks, only its special tokens are others. */
static const struct row prefixes[] = {
    {"o1-", TOK_O200K},
    {"o3-", TOK_O200K},
    {"o4-mini-", TOK_O200K},
    {"gpt-5", TOK_O200K},
    {"gpt-4.5-", TOK_O200K},
    {"gpt-4.1-", TOK_O200K},
    {"chatgpt-4o-", TOK_O200K},
    {"gpt-4o-", TOK_O200K},
    {"gpt-oss-", TOK_O200K},
    {"gpt-4-", TOK_CL100K},
    {"gpt-3.5-turbo-", TOK_CL100K},
    {"gpt-35-turbo-", TOK_CL100K},
    {"text-embedding-", TOK_CL100K},
    {"ft:gpt-4o", TOK_O200K},
    {"ft:gpt-4.1", TOK_O200K},
    {"ft:gpt-4", TOK_CL100K},
    {"ft:gpt-3.5-turbo", TOK_CL100K},
    {"ft:davinci-002", TOK_CL100K},
    {"ft:babbage-002", TOK_CL100K},
};

/* Routers and clouds put the vendor before the name. */
static struct slice bare_name(struct slice model)
{
	if (slice_istarts(model, SLICE("openai/")) || slice_istarts(model, SLICE("openai.")))
		return slice_sub(model, 7, model.n);
	return model;
}

/* Vendors whose models have vocabularies of their own, whatever a model is called. */
static bool is_foreign(struct slice provider)
{
	static const char *const names[] = {"anthropic", "google", "mistral", "cohere", "deepseek", "x-ai", "xai"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_ieq(provider, slice_of(names[i])))
			return true;
	return false;
}

enum tok_encoding tok_for_model(struct slice provider, struct slice model, bool *ret_exact)
{
	struct slice name = bare_name(model);

	*ret_exact = !is_foreign(provider);
	for (size_t i = 0; *ret_exact && i < ARRAY_LEN(exact); i++)
		if (slice_ieq(name, slice_of(exact[i].name)))
			return exact[i].encoding;
	for (size_t i = 0; *ret_exact && i < ARRAY_LEN(prefixes); i++)
		if (slice_istarts(name, slice_of(prefixes[i].name)))
			return prefixes[i].encoding;
	*ret_exact = false;
	return TOK_O200K;
}
