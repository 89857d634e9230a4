#include "tests/vendor/seller.h"

#include <string.h>

#include "base/error.h"

enum error_shape {
	ERROR_OPENAI,
	ERROR_ANTHROPIC,
	ERROR_GOOGLE,
	ERROR_AWS,
	ERROR_COHERE,
	ERROR_MISTRAL,
	ERROR_OPENROUTER,
	ERROR_OLLAMA,
};

static const struct {
	const char *name, *host_begin, *host_end; /* of the real one */
	enum error_shape error;
	const char *request_id;
	struct dialect dialect;
} sellers[] = {
    [SELLER_OPENAI] = {"openai",
		       "",
		       "api.openai.com",
		       ERROR_OPENAI,
		       "x-request-id",
		       {.usage = USAGE_IF_ASKED, .finish = "stop", .tier = "default"}},
    [SELLER_AZURE] = {"azure",
		      "",
		      ".openai.azure.com",
		      ERROR_OPENAI,
		      "apim-request-id",
		      {.usage = USAGE_IF_ASKED, .filter_chunk = true, .finish = "stop"}},
    [SELLER_ANTHROPIC] = {"anthropic",
			  "",
			  "api.anthropic.com",
			  ERROR_ANTHROPIC,
			  "request-id",
			  {.usage = USAGE_IF_ASKED, .finish = "stop"}},
    [SELLER_GOOGLE] =
	{"google", "", ".googleapis.com", ERROR_GOOGLE, "x-request-id", {.usage = USAGE_IF_ASKED, .finish = "stop"}},
    [SELLER_AWS] = {"aws", "bedrock-", "", ERROR_AWS, "x-amzn-requestid", {.usage = USAGE_IF_ASKED, .finish = "stop"}},
    [SELLER_COHERE] =
	{"cohere", "", "api.cohere.com", ERROR_COHERE, "x-debug-trace-id", {.usage = USAGE_LAST, .finish = "stop"}},
    [SELLER_MISTRAL] =
	{"mistral", "", "api.mistral.ai", ERROR_MISTRAL, "x-request-id", {.usage = USAGE_LAST, .finish = "stop"}},
    [SELLER_GROQ] = {"groq",
		     "",
		     "api.groq.com",
		     ERROR_OPENAI,
		     "x-request-id",
		     {.usage = USAGE_X_GROQ, .finish = "stop", .tier = "on_demand"}},
    [SELLER_TOGETHER] = {"together",
			 "",
			 "api.together.xyz",
			 ERROR_OPENAI,
			 "x-request-id",
			 {.usage = USAGE_LAST, .nulls = true, .cached_at_top = true, .finish = "eos"}},
    [SELLER_OPENROUTER] =
	{"openrouter",
	 "",
	 "openrouter.ai",
	 ERROR_OPENROUTER,
	 "x-generation-id",
	 {.usage = USAGE_OWN_CHUNK, .comment = ": OPENROUTER PROCESSING\n\n", .cost = "cost", .finish = "stop"}},
    [SELLER_OLLAMA] =
	{"ollama", "", "ollama.com", ERROR_OLLAMA, "x-request-id", {.usage = USAGE_IF_ASKED, .finish = "stop"}},
    [SELLER_PERPLEXITY] = {"perplexity",
			   "",
			   "api.perplexity.ai",
			   ERROR_OPENAI,
			   "x-request-id",
			   {.usage = USAGE_EVERYWHERE, .no_done = true, .cost = "total_cost", .finish = "stop"}},
    [SELLER_XAI] = {"x-ai",
		    "",
		    "api.x.ai",
		    ERROR_OPENAI,
		    "x-request-id",
		    {.usage = USAGE_OWN_CHUNK, .reasoning_apart = true, .cost = "ticks", .finish = "stop"}},
    [SELLER_DEEPSEEK] =
	{"deepseek",
	 "",
	 "api.deepseek.com",
	 ERROR_OPENAI,
	 "x-ds-trace-id",
	 {.usage = USAGE_LAST, .nulls = true, .hit_and_miss = true, .comment = ": keep-alive\n\n", .finish = "stop"}},
    [SELLER_FIREWORKS] = {"fireworks",
			  "",
			  "api.fireworks.ai",
			  ERROR_OPENAI,
			  "x-request-id",
			  {.usage = USAGE_LAST, .headers = true, .finish = "stop"}},
};

_Static_assert(ARRAY_LEN(sellers) == SELLER_COUNT, "one row for each seller");

const char *seller_name(enum seller s)
{
	return sellers[s].name;
}

const char *seller_request_id_field(enum seller s)
{
	return sellers[s].request_id;
}

const struct dialect *seller_dialect(enum seller s)
{
	return &sellers[s].dialect;
}

static bool host_is(struct slice host, const char *begin, const char *end)
{
	return slice_istarts(host, slice_of(begin)) && slice_iends(host, slice_of(end));
}

struct slice seller_find(struct slice path, struct slice host, enum seller *ret)
{
	struct slice first, rest, name;

	(void)slice_cut(host, ':', &host, &rest);
	for (size_t i = 0; i < SELLER_COUNT; i++) {
		if (host_is(host, sellers[i].host_begin, sellers[i].host_end))
			*ret = (enum seller)i;
	}
	if (!slice_starts(path, SLICE("/as-")))
		return path;
	(void)slice_cut(slice_sub(path, 1, path.n), '/', &first, &rest);
	name = slice_sub(first, strlen("as-"), first.n);
	for (size_t i = 0; i < SELLER_COUNT; i++) {
		if (slice_eq(name, slice_of(sellers[i].name)))
			*ret = (enum seller)i;
	}
	return slice_sub(path, 1 + first.n, path.n);
}

static const char *google_status(int status)
{
	return status == 429 ? "RESOURCE_EXHAUSTED" : status == 404 ? "NOT_FOUND" : "INTERNAL";
}

int seller_error(enum seller s, int status, const char *type, const char *message, struct buf *out)
{
	switch (sellers[s].error) {
	case ERROR_ANTHROPIC:
		return buf_printf(out,
				  "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%s\"},\"request_id\":"
				  "\"req_vendor\"}",
				  type, message);
	case ERROR_GOOGLE:
		return buf_printf(out, "{\"error\":{\"code\":%d,\"message\":\"%s\",\"status\":\"%s\"}}", status,
				  message, google_status(status));
	case ERROR_AWS:
		return buf_printf(out, "{\"message\":\"%s\"}", message);
	case ERROR_COHERE:
		return buf_printf(out, "{\"id\":\"req_vendor\",\"message\":\"%s\"}", message);
	case ERROR_MISTRAL:
		return buf_printf(
		    out, "{\"object\":\"error\",\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":null}",
		    message, type);
	case ERROR_OPENROUTER:
		return buf_printf(out, "{\"error\":{\"code\":%d,\"message\":\"%s\",\"metadata\":{}}}", status, message);
	case ERROR_OLLAMA:
		return buf_printf(out, "{\"error\":\"%s\"}", message);
	case ERROR_OPENAI:
	default:
		return buf_printf(out, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":null}}",
				  message, type);
	}
}

const char *seller_error_fields(enum seller s, int status)
{
	if (sellers[s].error != ERROR_AWS)
		return "";
	return status == 429   ? "x-amzn-errortype: ThrottlingException\r\n"
	       : status == 404 ? "x-amzn-errortype: ResourceNotFoundException\r\n"
	       : status < 500  ? "x-amzn-errortype: ValidationException\r\n"
			       : "x-amzn-errortype: InternalServerException\r\n";
}
