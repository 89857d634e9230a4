#include "meter/learn.h"

#include <stdlib.h>

#define ONE_PPM 1000000
#define RATIO_MIN_PPM 100000
#define RATIO_MAX_PPM 10000000
/* A new answer weighs 1/32: about 20 answers to forget half. */
#define WEIGHT 32
/* Largest ratios of the last ten hundreds. */
#define HUNDREDS 10
#define PROBES 8

struct entry {
	uint64_t hash; /* 0: free */
	uint64_t answers;
	int64_t mean_ppm;
	uint64_t variance; /* ppm^2 */
	uint32_t max_ppm[HUNDREDS];
};

/* Lengths of a model's answers: four classes for each doubling. When they are full, all are halved. */
#define CLASSES 84 /* up to 2^21 tokens */
#define SEEN_MAX 1000
/* One that goes on and on is not waited for. */
#define COHORT_ENOUGH (LEARN_COHORT - 1)

struct lengths {
	uint64_t hash; /* 0: free */
	uint32_t seen; /* of all classes */
	uint16_t classes[CLASSES];
	/* those that are looked at now */
	uint32_t ticket;
	uint8_t begun, ended;
	uint8_t cohort[CLASSES];
};

struct learn {
	size_t n;
	struct lengths *lengths; /* as many */
	struct entry entries[];
};

struct learn *learn_new(size_t slots)
{
	struct learn *l;

	if (slots == 0 || slots > SIZE_MAX / 2 / sizeof(struct entry))
		return NULL;
	l = calloc(1, sizeof(*l) + slots * sizeof(l->entries[0]));
	if (!l)
		return NULL;
	l->n = slots;
	l->lengths = calloc(slots, sizeof(l->lengths[0]));
	if (!l->lengths) {
		free(l);
		return NULL;
	}
	return l;
}

void learn_free(struct learn *l)
{
	if (l)
		free(l->lengths);
	free(l);
}

static uint64_t key_hash(struct slice provider, struct slice model, enum script script)
{
	uint64_t h = hash_bytes(provider.p, provider.n);

	h = h * 0x9e3779b97f4a7c15U + hash_bytes(model.p, model.n);
	h = h * 0x9e3779b97f4a7c15U + (uint64_t)script;
	h ^= h >> 32;
	return h == 0 ? 1 : h;
}

static const struct entry *find(const struct learn *l, uint64_t hash)
{
	size_t probes = l->n < PROBES ? l->n : PROBES;

	for (size_t i = 0; i < probes; i++)
		if (l->entries[(hash + i) % l->n].hash == hash)
			return &l->entries[(hash + i) % l->n];
	return NULL;
}

/* The entry, else a free one, else the least used of those it may stand in. */
static struct entry *claim(struct learn *l, uint64_t hash)
{
	struct entry *found = (struct entry *)(uintptr_t)find(l, hash), *least = &l->entries[hash % l->n];
	size_t probes = l->n < PROBES ? l->n : PROBES;

	if (found)
		return found;
	for (size_t i = 0; i < probes; i++) {
		struct entry *e = &l->entries[(hash + i) % l->n];

		if (e->answers < least->answers)
			least = e;
	}
	*least = (struct entry){.hash = hash};
	return least;
}

static void add_ratio(struct entry *e, int64_t ratio_ppm)
{
	int64_t weight = e->answers + 1 < WEIGHT ? (int64_t)e->answers + 1 : WEIGHT;
	int64_t diff = ratio_ppm - e->mean_ppm;
	uint32_t *max = &e->max_ppm[e->answers / 100 % HUNDREDS];

	/* the first ones weigh alike, so that none of them is remembered for long */
	e->mean_ppm += diff / weight;
	if (e->answers > 0)
		e->variance = (e->variance + (uint64_t)(diff * diff) / (uint64_t)weight) / (uint64_t)weight *
			      (uint64_t)(weight - 1);
	if (e->answers % 100 == 0)
		*max = 0;
	if ((uint64_t)ratio_ppm > *max)
		*max = (uint32_t)ratio_ppm;
	e->answers++;
}

void learn_add(struct learn *l, struct slice provider, struct slice model, enum script script, uint64_t own,
	       uint64_t reported)
{
	uint64_t ratio;

	if (own <= LEARN_OWN_MIN || reported > UINT64_MAX / ONE_PPM)
		return;
	ratio = reported * ONE_PPM / own;
	if (ratio < RATIO_MIN_PPM || ratio > RATIO_MAX_PPM)
		return;
	add_ratio(claim(l, key_hash(provider, model, script)), (int64_t)ratio);
}

static uint64_t root(uint64_t v)
{
	uint64_t r = 0, bit = UINT64_C(1) << 31;

	for (; bit > 0; bit >>= 1)
		if ((r + bit) * (r + bit) <= v)
			r += bit;
	return r;
}

bool learn_get(const struct learn *l, struct slice provider, struct slice model, enum script script,
	       struct learned *ret)
{
	const struct entry *e = find(l, key_hash(provider, model, script));
	uint64_t spread;

	memset(ret, 0, sizeof(*ret));
	if (!e)
		return false;
	ret->answers = e->answers;
	ret->ratio_ppm = (uint64_t)e->mean_ppm;
	ret->sigma_ppm = root(e->variance);
	for (size_t i = 0; i < HUNDREDS; i++)
		if (e->max_ppm[i] > ret->max_ppm)
			ret->max_ppm = e->max_ppm[i];
	spread = 3 * ret->sigma_ppm; /* relative to the mean it is this over the mean: so it is simply added */
	if (spread < ret->ratio_ppm / 50)
		spread = ret->ratio_ppm / 50;
	ret->reserve_ppm = ret->ratio_ppm + spread;
	return e->answers >= LEARN_ANSWERS_MIN;
}

void learn_apply(const struct learn *l, struct slice provider, struct slice model, struct prompt_count *inout)
{
	struct learned known;
	uint64_t tokens, reserve;

	if (inout->exact || inout->text_tokens <= LEARN_OWN_MIN || inout->text_tokens > UINT32_MAX ||
	    !learn_get(l, provider, model, inout->script, &known))
		return;
	tokens = inout->text_tokens * known.ratio_ppm / ONE_PPM;
	reserve = inout->text_tokens * known.reserve_ppm / ONE_PPM + 1;
	inout->tokens = tokens + inout->image_tokens;
	inout->margin_tokens = reserve - tokens;
}

/* --- lengths of answers ------------------------------------------------------------------------------------------- */

static size_t class_of(uint64_t tokens)
{
	unsigned power;
	size_t at;

	if (tokens < 4)
		return tokens;
	power = 63 - (unsigned)__builtin_clzll(tokens);
	at = 4 * (size_t)(power - 1) + (size_t)(tokens >> (power - 2) & 3);
	return at < CLASSES ? at : CLASSES - 1;
}

/* The longest of a class. */
static uint64_t class_end(size_t at)
{
	size_t power = at / 4 + 1;

	return at < 4 ? at : ((uint64_t)(at % 4 + 5) << (power - 2)) - 1;
}

static const struct lengths *find_lengths(const struct learn *l, uint64_t hash)
{
	size_t probes = l->n < PROBES ? l->n : PROBES;

	for (size_t i = 0; i < probes; i++)
		if (l->lengths[(hash + i) % l->n].hash == hash)
			return &l->lengths[(hash + i) % l->n];
	return NULL;
}

/* As claim above. */
static struct lengths *claim_lengths(struct learn *l, uint64_t hash)
{
	struct lengths *found = (struct lengths *)(uintptr_t)find_lengths(l, hash), *least = &l->lengths[hash % l->n];
	size_t probes = l->n < PROBES ? l->n : PROBES;

	if (found)
		return found;
	for (size_t i = 0; i < probes; i++) {
		struct lengths *e = &l->lengths[(hash + i) % l->n];

		if (e->seen + e->begun < least->seen + least->begun)
			least = e;
	}
	*least = (struct lengths){.hash = hash};
	return least;
}

static void fade(struct lengths *e)
{
	e->seen = 0;
	for (size_t i = 0; i < CLASSES; i++) {
		e->classes[i] /= 2;
		e->seen += e->classes[i];
	}
}

uint32_t learn_output_begin(struct learn *l, struct slice provider, struct slice model)
{
	struct lengths *e = claim_lengths(l, key_hash(provider, model, SCRIPT_LATIN));

	if (e->ticket == 0)
		e->ticket = 1;
	if (e->begun == LEARN_COHORT)
		return 0;
	e->begun++;
	return e->ticket;
}

/* Who has not ended is longer than all who have. */
static void cohort_close(struct lengths *e)
{
	size_t last = 0;

	if (e->seen + LEARN_COHORT > SEEN_MAX)
		fade(e);
	for (size_t i = 0; i < CLASSES; i++) {
		last = e->cohort[i] > 0 ? i : last;
		e->classes[i] = (uint16_t)(e->classes[i] + e->cohort[i]);
	}
	last += last + 1 < CLASSES;
	e->classes[last] = (uint16_t)(e->classes[last] + LEARN_COHORT - e->ended);
	e->seen += LEARN_COHORT;
	memset(e->cohort, 0, sizeof(e->cohort));
	e->begun = e->ended = 0;
	e->ticket++;
}

void learn_output_end(struct learn *l, struct slice provider, struct slice model, uint32_t ticket, uint64_t tokens)
{
	struct lengths *e = (struct lengths *)(uintptr_t)find_lengths(l, key_hash(provider, model, SCRIPT_LATIN));

	if (!e || ticket == 0 || ticket != e->ticket || e->ended == e->begun)
		return;
	e->cohort[class_of(tokens)]++;
	e->ended++;
	if (e->ended >= COHORT_ENOUGH)
		cohort_close(e);
}

bool learn_output(const struct learn *l, struct slice provider, struct slice model, uint32_t share_ppm, uint64_t *ret)
{
	const struct lengths *e = find_lengths(l, key_hash(provider, model, SCRIPT_LATIN));
	uint64_t want, sum = 0;
	size_t i;

	if (!e || e->seen == 0)
		return false;
	want = ((uint64_t)e->seen * share_ppm + ONE_PPM - 1) / ONE_PPM;
	for (i = 0; i + 1 < CLASSES; i++) {
		sum += e->classes[i];
		if (sum >= want)
			break;
	}
	*ret = class_end(i);
	return true;
}
