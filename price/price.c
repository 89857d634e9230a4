/* What a call costs, and what it may cost at most. */
#include "base/error.h"
#include "price/price_impl.h"

const char *price_model_id(const struct price_model *m)
{
	return m->id;
}

uint64_t price_model_max_out(const struct price_model *m)
{
	return m->max_out;
}

uint64_t price_model_context(const struct price_model *m)
{
	return m->context;
}

uint64_t price_model_image_max(const struct price_model *m)
{
	return m->image_max;
}

bool price_model_hides_reasoning(const struct price_model *m, bool asked)
{
	return m->hides_reasoning && (asked || !m->reasons_if_asked);
}

bool price_model_has(const struct price_model *m, enum price_unit u)
{
	for (size_t i = 0; i < m->n_rows; i++)
		if (m->rows[i].rate_pusd[u] != RATE_NONE)
			return true;
	return false;
}

/* --- the tree of units -------------------------------------------------------------------------------------------- */

/* A unit stands behind what it is a part of, so that a walk from the end meets parts first. */
static const struct {
	int64_t per;
	uint8_t parent, parent2;
} units[PRICE_UNIT_COUNT] = {
#define X(uc, key, per, parent, parent2) [PRICE_##uc] = {per, PRICE_##parent, PRICE_##parent2},
    PRICE_UNITS(X)
#undef X
};

/* Parts that do not overlap: their whole is at least their sum. Inner wholes first. */
static const struct {
	uint8_t whole, first, last;
} splits[] = {
    {PRICE_CR, PRICE_CR_AUDIO, PRICE_CR_TEXT},
    {PRICE_IN_AUDIO, PRICE_CR_AUDIO, PRICE_CR_AUDIO},
    {PRICE_IN_IMAGE, PRICE_CR_IMAGE, PRICE_CR_IMAGE},
    {PRICE_IN_VIDEO, PRICE_CR_VIDEO, PRICE_CR_VIDEO},
    {PRICE_IN_TEXT, PRICE_CR_TEXT, PRICE_CR_TEXT},
    {PRICE_CW, PRICE_CW5M, PRICE_CW1H},
    {PRICE_IN, PRICE_CR, PRICE_CW},
    {PRICE_IN, PRICE_IN_AUDIO, PRICE_IN_TEXT},
    {PRICE_OUT, PRICE_OUT_AUDIO, PRICE_OUT_TEXT},
    {PRICE_OUT, PRICE_OUT_REASONING, PRICE_OUT_REASONING},
    {PRICE_OUT, PRICE_OUT_CITATION, PRICE_OUT_CITATION},
    {PRICE_AUDIO_MS, PRICE_IN_AUDIO_MS, PRICE_OUT_AUDIO_MS},
    {PRICE_PAGES, PRICE_PAGES_ANNOTATED, PRICE_PAGES_ANNOTATED},
};

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A vendor that reports more parts than there is of the whole contradicts itself: the larger reading counts. */
static int whole_quantities(struct quantities *q)
{
	for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
		uint64_t sum = 0;

		for (unsigned u = splits[i].first; u <= splits[i].last; u++)
			if (__builtin_add_overflow(sum, q->n[u], &sum))
				return BUR_OVERFLOW;
		q->n[splits[i].whole] = larger(q->n[splits[i].whole], sum);
	}
	return BUR_OK;
}

/* Audio that is billed by time is billed for some seconds at least. */
static void least_audio(const struct price_model *m, struct quantities *q)
{
	static const uint8_t audio[] = {PRICE_AUDIO_MS, PRICE_IN_AUDIO_MS};

	for (size_t i = 0; i < ARRAY_LEN(audio); i++)
		if (q->n[audio[i]] > 0)
			q->n[audio[i]] = larger(q->n[audio[i]], m->min_audio_ms);
}

static void take_from(uint64_t taken[PRICE_UNIT_COUNT], uint64_t *seen, unsigned u, uint64_t n)
{
	const uint8_t parents[] = {units[u].parent, units[u].parent2};

	for (size_t i = 0; i < ARRAY_LEN(parents); i++) {
		unsigned p = parents[i];

		if (p == PRICE_NONE || *seen >> p & 1)
			continue;
		*seen |= UINT64_C(1) << p;
		if (__builtin_add_overflow(taken[p], n, &taken[p]))
			taken[p] = UINT64_MAX;
		take_from(taken, seen, p, n);
	}
}

/* --- choosing a row ----------------------------------------------------------------------------------------------- */

static int32_t second_of_day(int64_t at_s)
{
	return (int32_t)(((at_s % SECONDS_PER_DAY) + SECONDS_PER_DAY) % SECONDS_PER_DAY);
}

static bool tod_covers(const struct price_row *row, int64_t at_s)
{
	int32_t now = second_of_day(at_s);

	if (row->tod_begin < 0)
		return true;
	if (row->tod_begin <= row->tod_end)
		return now >= row->tod_begin && now < row->tod_end;
	return now >= row->tod_begin || now < row->tod_end;
}

static bool region_covers(const struct price_row *row, const struct price_terms *t)
{
	switch (row->region) {
	case REGION_US:
		return t->us;
	case REGION_RESIDENCY:
		return t->residency;
	default:
		return true;
	}
}

/* What long-context tiers go by. */
static uint64_t tier_input(const struct price_terms *t, uint64_t input)
{
	return t->call_input > 0 && t->call_input < input ? t->call_input : input;
}

/* Rows stand best first: the first that applies is the one. */
static const struct price_row *pick_row(const struct price_model *m, const struct price_terms *t, uint64_t input)
{
	for (size_t i = 0; i < m->n_rows; i++) {
		const struct price_row *row = &m->rows[i];

		if (row->service == t->service && t->at_s >= row->from_s && t->at_s < row->to_s &&
		    (row->over == 0 || input > row->over) && tod_covers(row, t->at_s) && region_covers(row, t))
			return row;
	}
	return NULL;
}

static int64_t times_up(int64_t a, int64_t ppm)
{
	__int128 v = (__int128)a * ppm + MULTIPLIER_ONE - 1;

	return ppm == MULTIPLIER_ONE ? a : (int64_t)(v / MULTIPLIER_ONE);
}

/* What comes on top of a row's rates; a row of a region has that in it. */
static int64_t ppm_on(const struct price_row *row, const struct price_model *m, const struct price_terms *t)
{
	int64_t ppm = t->fast ? m->fast_ppm : MULTIPLIER_ONE;

	if (t->us && row->region != REGION_US)
		ppm = times_up(ppm, m->region_ppm[REGION_US]);
	if (t->residency && row->region != REGION_RESIDENCY)
		ppm = times_up(ppm, m->region_ppm[REGION_RESIDENCY]);
	return ppm;
}

/* What is in force: a service tier's own row, and the standard row for what that does not name. */
struct pick {
	const struct price_row *own, *standard;
	int64_t own_ppm, standard_ppm;
};

static bool pick_rows(const struct price_model *m, const struct price_terms *t, uint64_t input, struct pick *ret)
{
	struct price_terms standard = *t;

	standard.service = SERVICE_STANDARD;
	*ret = (struct pick){.standard = pick_row(m, &standard, input)};
	ret->own = t->service == SERVICE_STANDARD ? ret->standard : pick_row(m, t, input);
	if (ret->own)
		ret->own_ppm = ppm_on(ret->own, m, t);
	if (ret->standard)
		ret->standard_ppm = ppm_on(ret->standard, m, t);
	return ret->own || ret->standard;
}

/* RATE_NONE when the unit has no price of its own. */
static int64_t rate_of(const struct pick *p, unsigned u)
{
	bool own = p->own && p->own->rate_pusd[u] != RATE_NONE;
	int64_t rate = own ? p->own->rate_pusd[u] : p->standard ? p->standard->rate_pusd[u] : RATE_NONE;

	return rate == RATE_NONE || u >= PRICE_FIRST_FEE ? rate : times_up(rate, own ? p->own_ppm : p->standard_ppm);
}

/* --- exact cost --------------------------------------------------------------------------------------------------- */

static void bill_put(struct price_bill *b, const struct pick *p, unsigned u, uint64_t leaf, int64_t rate)
{
	const struct price_row *row = p->own && p->own->rate_pusd[u] != RATE_NONE ? p->own : p->standard;

	b->lines[b->n++] = (struct price_line){.unit = (enum price_unit)u,
					       .quantity = leaf,
					       .rate_pusd = rate,
					       .per = units[u].per,
					       .from_s = row->from_s,
					       .to_s = row->to_s,
					       .over = row->over,
					       .service = (enum price_service)row->service};
}

/* A part with a price of its own is taken out of all that it is a part of. `bill` may be NULL. */
static int cost_leaves(const struct pick *p, const struct quantities *q, struct cost_sum *sum, struct price_bill *bill)
{
	uint64_t taken[PRICE_UNIT_COUNT] = {0};

	for (unsigned u = PRICE_UNIT_COUNT; u-- > 0;) {
		uint64_t leaf = q->n[u] > taken[u] ? q->n[u] - taken[u] : 0, seen = 0;
		int64_t rate = leaf > 0 ? rate_of(p, u) : RATE_NONE;

		if (rate == RATE_NONE)
			continue;
		if (cost_add(sum, leaf, rate, units[u].per) < 0)
			return BUR_OVERFLOW;
		if (bill)
			bill_put(bill, p, u, leaf, rate);
		take_from(taken, &seen, u, leaf);
	}
	return BUR_OK;
}

static int cost(const struct price_model *m, const struct quantities *used, const struct price_terms *t,
		struct cost_sum *ret, struct price_bill *bill)
{
	struct quantities q = *used;
	struct cost_sum sum = {0};
	struct pick p;

	if (whole_quantities(&q) < 0)
		return BUR_OVERFLOW;
	if (!pick_rows(m, t, tier_input(t, q.n[PRICE_IN]), &p))
		return BUR_NOTFOUND;
	least_audio(m, &q);
	if (cost_leaves(&p, &q, &sum, bill) < 0)
		return BUR_OVERFLOW;
	*ret = sum;
	return BUR_OK;
}

int price_cost(const struct price_model *m, const struct quantities *used, const struct price_terms *t,
	       struct cost_sum *ret)
{
	return cost(m, used, t, ret, NULL);
}

int price_bill(const struct price_model *m, const struct quantities *used, const struct price_terms *t,
	       struct price_bill *ret)
{
	*ret = (struct price_bill){.n = 0};
	return cost(m, used, t, &ret->sum, ret);
}

/* --- dearest cost ------------------------------------------------------------------------------------------------- */

struct worst {
	const struct price_model *model;
	const struct price_terms *terms;
	int64_t until_s;
	enum price_service service;
	struct quantities q;
	uint64_t possible; /* bits of the units that a token may turn out to be */
	bool any;
	struct cost_sum sum;
};

#define BIT(u) (UINT64_C(1) << PRICE_##u)
/* Any text may turn out to be these, whoever asks. */
#define ALWAYS_POSSIBLE                                                                                                \
	(BIT(IN) | BIT(OUT) | BIT(CR) | BIT(CR_TEXT) | BIT(IN_TEXT) | BIT(OUT_TEXT) | BIT(OUT_REASONING) |             \
	 BIT(OUT_CITATION))

static unsigned root_of(unsigned u)
{
	while (units[u].parent != PRICE_NONE)
		u = units[u].parent;
	return u;
}

static void worst_units(struct worst *w, const struct price_doubt *d)
{
	w->possible = ALWAYS_POSSIBLE;
	if (d->may_write_cache || d->may_write_cache_1h)
		w->possible |= BIT(CW) | BIT(CW5M);
	if (d->may_write_cache_1h)
		w->possible |= BIT(CW1H);
	for (unsigned u = 0; u < PRICE_UNIT_COUNT; u++) {
		unsigned root = root_of(u);

		if (w->q.n[u] > 0)
			w->possible |= UINT64_C(1) << u;
		if (units[u].parent2 != PRICE_NONE && w->q.n[units[u].parent2] > 0)
			w->possible |= UINT64_C(1) << u; /* what goes in may be found in a cache */
		w->q.n[root] = larger(w->q.n[root], w->q.n[u]);
	}
	least_audio(w->model, &w->q);
}

/* Every unit of a whole at the rate of its dearest possible part. */
static int worst_of_pick(struct worst *w, const struct pick *p)
{
	int64_t dearest[PRICE_UNIT_COUNT] = {0};
	struct cost_sum sum = {0};

	for (unsigned u = 0; u < PRICE_UNIT_COUNT; u++) {
		int64_t rate = w->possible >> u & 1 ? rate_of(p, u) : RATE_NONE;
		unsigned root = root_of(u);

		dearest[root] = rate > dearest[root] ? rate : dearest[root];
	}
	for (unsigned u = 0; u < PRICE_UNIT_COUNT; u++)
		if (w->q.n[u] > 0 && dearest[u] > 0 && cost_add(&sum, w->q.n[u], dearest[u], units[u].per) < 0)
			return BUR_OVERFLOW;
	if (!w->any || sum.num > w->sum.num)
		w->sum = sum;
	w->any = true;
	return BUR_OK;
}

/* Every long-context tier that the input can reach. */
static int worst_of_tiers(struct worst *w, int64_t at_s)
{
	struct price_terms t = *w->terms;
	struct pick p;
	int r = BUR_OK;

	t.at_s = at_s;
	t.service = w->service;
	if (pick_rows(w->model, &t, 0, &p))
		r = worst_of_pick(w, &p);
	for (size_t i = 0; i < w->model->n_rows && r == BUR_OK; i++) {
		uint64_t over = w->model->rows[i].over;

		if (over > 0 && over < tier_input(&t, w->q.n[PRICE_IN]) && pick_rows(w->model, &t, over + 1, &p))
			r = worst_of_pick(w, &p);
	}
	return r;
}

/* From `at_s` on until a day later: what changes in a day are windows. */
static int worst_of_windows(struct worst *w, int64_t at_s)
{
	int r = worst_of_tiers(w, at_s);

	for (size_t i = 0; i < w->model->n_rows && r == BUR_OK; i++) {
		const int32_t edges[] = {w->model->rows[i].tod_begin, w->model->rows[i].tod_end};

		for (size_t e = 0; e < ARRAY_LEN(edges) && edges[0] >= 0 && r == BUR_OK; e++) {
			int64_t t = at_s + (edges[e] - second_of_day(at_s) + SECONDS_PER_DAY) % SECONDS_PER_DAY;

			if (t > at_s && t <= w->until_s)
				r = worst_of_tiers(w, t);
		}
	}
	return r;
}

/* Prices change at the dates of rows, and within a day. */
static int worst_of_dates(struct worst *w, enum price_service service)
{
	int64_t at_s = w->terms->at_s;
	int r;

	w->service = service;
	r = worst_of_windows(w, at_s);
	for (size_t i = 0; i < w->model->n_rows && r == BUR_OK; i++) {
		const int64_t edges[] = {w->model->rows[i].from_s, w->model->rows[i].to_s};

		for (size_t e = 0; e < ARRAY_LEN(edges) && r == BUR_OK; e++)
			if (edges[e] > at_s && edges[e] <= w->until_s)
				r = worst_of_windows(w, edges[e]);
	}
	return r;
}

int price_worst(const struct price_model *m, const struct quantities *most, const struct price_terms *t,
		const struct price_doubt *d, struct cost_sum *ret)
{
	struct worst w = {.model = m, .terms = t, .until_s = d->until_s, .q = *most};
	int r;

	worst_units(&w, d);
	r = worst_of_dates(&w, t->service);
	if (r == BUR_OK && d->may_priority)
		r = worst_of_dates(&w, SERVICE_PRIORITY);
	if (r < 0)
		return r;
	*ret = w.sum;
	return w.any ? BUR_OK : BUR_NOTFOUND;
}
