/* The shipped providers. Hosts of regions are spelled out, so that the certificate authority may sign for them and for
 * no other service of the same cloud; the pattern after them recognises regions to come, so that they are never taken
 * for a host nobody meters. */
#include "meter/api.h"

static const char *const none[] = {NULL};
static const char *const openai[] = {"api.openai.com", "*.api.openai.com", NULL};
static const char *const azure[] = {"*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com",
				    "*.openai.azure.us", NULL};
static const char *const anthropic[] = {"api.anthropic.com", NULL};
static const char *const google[] = {"generativelanguage.googleapis.com", NULL};
#define VERTEX(region) region "-aiplatform.googleapis.com"
static const char *const vertex[] = {"aiplatform.googleapis.com",
				     "aiplatform.us.rep.googleapis.com",
				     "aiplatform.eu.rep.googleapis.com",
				     VERTEX("us-central1"),
				     VERTEX("us-east1"),
				     VERTEX("us-east4"),
				     VERTEX("us-east5"),
				     VERTEX("us-south1"),
				     VERTEX("us-west1"),
				     VERTEX("us-west4"),
				     VERTEX("northamerica-northeast1"),
				     VERTEX("southamerica-east1"),
				     VERTEX("europe-central2"),
				     VERTEX("europe-north1"),
				     VERTEX("europe-southwest1"),
				     VERTEX("europe-west1"),
				     VERTEX("europe-west2"),
				     VERTEX("europe-west3"),
				     VERTEX("europe-west4"),
				     VERTEX("europe-west6"),
				     VERTEX("europe-west8"),
				     VERTEX("europe-west9"),
				     VERTEX("asia-east1"),
				     VERTEX("asia-east2"),
				     VERTEX("asia-northeast1"),
				     VERTEX("asia-northeast3"),
				     VERTEX("asia-south1"),
				     VERTEX("asia-southeast1"),
				     VERTEX("australia-southeast1"),
				     VERTEX("me-central1"),
				     VERTEX("me-west1"),
				     VERTEX("*"),
				     "aiplatform.*.rep.googleapis.com",
				     NULL};
#define BEDROCK(region) "bedrock-runtime." region ".amazonaws.com"
#define BEDROCK_FIPS(region) "bedrock-runtime-fips." region ".amazonaws.com"
#define MANTLE(region) "bedrock-mantle." region ".api.aws"
static const char *const bedrock[] = {BEDROCK("us-east-1"),
				      BEDROCK("us-east-2"),
				      BEDROCK("us-west-1"),
				      BEDROCK("us-west-2"),
				      BEDROCK("us-gov-east-1"),
				      BEDROCK("us-gov-west-1"),
				      BEDROCK("ca-central-1"),
				      BEDROCK("sa-east-1"),
				      BEDROCK("eu-central-1"),
				      BEDROCK("eu-central-2"),
				      BEDROCK("eu-north-1"),
				      BEDROCK("eu-south-1"),
				      BEDROCK("eu-south-2"),
				      BEDROCK("eu-west-1"),
				      BEDROCK("eu-west-2"),
				      BEDROCK("eu-west-3"),
				      BEDROCK("ap-northeast-1"),
				      BEDROCK("ap-northeast-2"),
				      BEDROCK("ap-northeast-3"),
				      BEDROCK("ap-south-1"),
				      BEDROCK("ap-south-2"),
				      BEDROCK("ap-southeast-1"),
				      BEDROCK("ap-southeast-2"),
				      BEDROCK_FIPS("us-east-1"),
				      BEDROCK_FIPS("us-east-2"),
				      BEDROCK_FIPS("us-west-2"),
				      MANTLE("us-east-1"),
				      MANTLE("us-east-2"),
				      MANTLE("us-west-2"),
				      MANTLE("eu-central-1"),
				      MANTLE("eu-west-1"),
				      MANTLE("ap-northeast-1"),
				      BEDROCK("*"),
				      BEDROCK_FIPS("*"),
				      BEDROCK("*") ".cn",
				      "*.bedrock-runtime.*.vpce.amazonaws.com",
				      MANTLE("*"),
				      NULL};
static const char *const cohere[] = {"api.cohere.com", "api.cohere.ai", NULL};
static const char *const mistral[] = {"api.mistral.ai", "api.eu.mistral.ai", "api.us.mistral.ai", NULL};
static const char *const groq[] = {"api.groq.com", NULL};
static const char *const deepseek[] = {"api.deepseek.com", NULL};
static const char *const xai[] = {"api.x.ai", "*.api.x.ai", NULL};
static const char *const openrouter[] = {"openrouter.ai", "api.openrouter.ai", NULL};
static const char *const together[] = {"api.together.xyz", "api.together.ai", "api-inference.together.ai", NULL};
static const char *const fireworks[] = {"api.fireworks.ai", NULL};
static const char *const perplexity[] = {"api.perplexity.ai", NULL};
static const char *const cerebras[] = {"api.cerebras.ai", NULL};
static const char *const moonshot[] = {"api.moonshot.ai", "api.moonshot.cn", NULL};
static const char *const zai[] = {"api.z.ai", NULL};
static const char *const novita[] = {"api.novita.ai", NULL};
static const char *const baseten[] = {"inference.baseten.co", NULL};
static const char *const ollama[] = {"ollama.com", NULL};

#define LIKE_OPENAI(name, origin, price_id, traits)                                                                    \
	{                                                                                                              \
#name, FAMILY_OPENAI, name, origin, #name, price_id, traits                                            \
	}

static const struct provider builtin[] = {
    LIKE_OPENAI(openai, "https://api.openai.com", "openai", 0),
    {"azure", FAMILY_AZURE, azure, NULL, "azure", "azure", 0},
    {"anthropic", FAMILY_ANTHROPIC, anthropic, "https://api.anthropic.com", "anthropic", "anthropic", 0},
    {"google", FAMILY_GOOGLE, google, "https://generativelanguage.googleapis.com", "gemini", "google", 0},
    {"vertex", FAMILY_GOOGLE, vertex, NULL, "vertex", "google", 0},
    {"bedrock", FAMILY_AWS, bedrock, NULL, "bedrock", "aws", PROVIDER_FULL_BILL},
    {"cohere", FAMILY_COHERE, cohere, "https://api.cohere.com", "cohere", "cohere", PROVIDER_SENDS_USAGE},
    {"mistral", FAMILY_MISTRAL, mistral, "https://api.mistral.ai", "mistral", "mistral", PROVIDER_SENDS_USAGE},
    LIKE_OPENAI(groq, "https://api.groq.com", "groq", PROVIDER_SENDS_USAGE),
    LIKE_OPENAI(deepseek, "https://api.deepseek.com", "deepseek", 0),
    LIKE_OPENAI(xai, "https://api.x.ai", "x-ai", PROVIDER_TELLS_COST),
    {"openrouter", FAMILY_OPENROUTER, openrouter, "https://openrouter.ai", "openrouter", "openrouter",
     PROVIDER_SENDS_USAGE | PROVIDER_TELLS_COST},
    LIKE_OPENAI(together, "https://api.together.xyz", "together", PROVIDER_SENDS_USAGE),
    LIKE_OPENAI(fireworks, "https://api.fireworks.ai", "fireworks", PROVIDER_SENDS_USAGE),
    LIKE_OPENAI(perplexity, "https://api.perplexity.ai", "perplexity", PROVIDER_SENDS_USAGE | PROVIDER_TELLS_COST),
    LIKE_OPENAI(cerebras, "https://api.cerebras.ai", "cerebras", 0),
    LIKE_OPENAI(moonshot, "https://api.moonshot.ai", "moonshotai", 0),
    LIKE_OPENAI(zai, "https://api.z.ai", "zai", 0),
    LIKE_OPENAI(novita, "https://api.novita.ai", "novita", 0),
    LIKE_OPENAI(baseten, "https://inference.baseten.co", "baseten", 0),
    {"ollama", FAMILY_OLLAMA, ollama, "http://127.0.0.1:11434", "ollama", "ollama", PROVIDER_LOCAL},
    {"vllm", FAMILY_OPENAI, none, NULL, "vllm", "vllm", PROVIDER_LOCAL},
};

const struct provider *providers_builtin(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(builtin);
	return builtin;
}

const struct provider *provider_builtin(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		if (slice_ieq(name, slice_of(builtin[i].name)))
			return &builtin[i];
	return NULL;
}

unsigned api_family_traits(enum api_family family)
{
	switch (family) {
	case FAMILY_AWS:
		return PROVIDER_FULL_BILL;
	case FAMILY_COHERE:
	case FAMILY_MISTRAL:
		return PROVIDER_SENDS_USAGE;
	case FAMILY_OPENROUTER:
		return PROVIDER_SENDS_USAGE | PROVIDER_TELLS_COST;
	case FAMILY_OLLAMA:
		return PROVIDER_LOCAL;
	default:
		return 0;
	}
}

enum api_family api_family_from_name(struct slice name)
{
	static const struct {
		const char *name;
		enum api_family family;
	} others[] = {{"gemini", FAMILY_GOOGLE}, {"aws", FAMILY_AWS}, {"llamacpp", FAMILY_OPENAI}};
	const struct provider *p = provider_builtin(name);

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (slice_ieq(name, slice_of(others[i].name)))
			return others[i].family;
	return p ? p->family : FAMILY_OTHER;
}
