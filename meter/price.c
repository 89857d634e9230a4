#include "meter/price.h"

#include "base/check.h"
#include "base/error.h"
#include "meter/price_impl.h"
#include "meter/reqscan.h"
#include "meter/usage.h"

/* --- finding a model ---------------------------------------------------------------------------------------------- */

#define KEY_MAX (MODEL_NAME_MAX + 128)

struct name {
	char text[MODEL_NAME_MAX + 1];
	size_t n;
};

static bool name_normalise(struct slice model, struct name *ret)
{
	size_t i;

	model = slice_trim(model);
	if (slice_istarts(model, SLICE("models/")))
		model = slice_sub(model, 7, model.n);
	if (model.n == 0 || model.n > MODEL_NAME_MAX)
		return false;
	for (i = 0; i < model.n; i++) {
		char c = model.p[i];

		ret->text[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	ret->text[model.n] = '\0';
	ret->n = model.n;
	return true;
}

static const struct price_model *look_up(const struct map *names, const struct price_provider *p, struct slice name)
{
	char key[KEY_MAX];
	size_t id_n = strlen(p->id);

	if (id_n + 1 + name.n > sizeof(key))
		return NULL;
	memcpy(key, p->id, id_n);
	key[id_n] = '/';
	memcpy(key + id_n + 1, name.p, name.n);
	return map_get(names, slice_mem(key, id_n + 1 + name.n));
}

static bool all_digits(struct slice s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* Length of a "-YYYY-MM-DD" or "-YYYYMMDD" at the end, or 0. */
static size_t date_suffix(struct slice s)
{
	struct slice d;

	if (s.n > 11) {
		d = slice_sub(s, s.n - 11, 11);
		if (d.p[0] == '-' && d.p[5] == '-' && d.p[8] == '-' && all_digits(slice_sub(d, 1, 4)) &&
		    all_digits(slice_sub(d, 6, 2)) && all_digits(slice_sub(d, 9, 2)))
			return 11;
	}
	if (s.n > 9) {
		d = slice_sub(s, s.n - 9, 9);
		if (d.p[0] == '-' && all_digits(slice_sub(d, 1, 8)))
			return 9;
	}
	return 0;
}

static bool contains(struct slice s, const char *text, size_t n)
{
	return n <= s.n && memmem(s.p, s.n, text, n) != NULL;
}

static bool rule_matches(const struct price_rule *r, struct slice name)
{
	struct slice text = slice_mem(r->text, r->text_n);

	if (r->without && contains(name, r->without, strlen(r->without)))
		return false;
	switch (r->op) {
	case OP_STARTS_WITH:
		return slice_starts(name, text);
	case OP_ENDS_WITH:
		return slice_ends(name, text);
	case OP_CONTAINS:
		return contains(name, r->text, r->text_n);
	}
	return false;
}

static const struct price_model *match(const struct price_book *b, const struct price_provider *p, struct slice name)
{
	const struct price_model *m = look_up(b->exact, p, name);
	size_t date = m ? 0 : date_suffix(name), i;

	if (!m && date > 0)
		m = look_up(b->dated, p, slice_sub(name, 0, name.n - date));
	for (i = 0; !m && i < p->n_rules; i++)
		if (rule_matches(&p->rules[i], name))
			m = p->rules[i].model;
	return m;
}

static struct slice cut_at(struct slice s, const char *mark)
{
	const char *at = memmem(s.p, s.n, mark, strlen(mark));

	return at && at > s.p ? slice_sub(s, 0, (size_t)(at - s.p)) : s;
}

/* The name without its last suffix that says only which edition it is; unchanged when there is none. */
static struct slice strip_suffix(struct slice s)
{
	static const char *const endings[] = {"-latest", "-preview", "-exp", ":free", ":nitro", ":floor", ":thinking"};
	size_t date = date_suffix(s), i;

	if (date > 0)
		return slice_sub(s, 0, s.n - date);
	for (i = 0; i < ARRAY_LEN(endings); i++)
		if (slice_ends(s, slice_of(endings[i])) && s.n > strlen(endings[i]))
			return slice_sub(s, 0, s.n - strlen(endings[i]));
	if (s.n > 5 && s.p[s.n - 5] == '-' && all_digits(slice_sub(s, s.n - 4, 4)))
		return slice_sub(s, 0, s.n - 5);
	for (i = 0; i < 3; i++) {
		static const char *const marks[] = {"@", "-preview-", "-exp-"};
		struct slice cut = cut_at(s, marks[i]);

		if (cut.n < s.n)
			return cut;
	}
	return s;
}

static const struct price_provider *find_provider(const struct price_book *b, struct slice id)
{
	size_t i;

	for (i = 0; i < b->n_providers; i++)
		if (slice_eq(id, slice_of(b->providers[i].id)))
			return &b->providers[i];
	return NULL;
}

#define STRIPS_MAX 4

const struct price_model *price_find(const struct price_book *b, struct slice provider, struct slice model,
				     bool *ret_inherited)
{
	const struct price_provider *p = find_provider(b, provider);
	const struct price_model *m;
	struct name name;
	struct slice s;
	int i;

	if (ret_inherited)
		*ret_inherited = false;
	if (!p || !name_normalise(model, &name))
		return NULL;
	s = slice_mem(name.text, name.n);
	m = match(b, p, s);
	/* fine-tuned models cost more than their base: only a row of their own prices them */
	for (i = 0; !m && i < STRIPS_MAX && !slice_starts(s, SLICE("ft:")); i++) {
		struct slice shorter = strip_suffix(s);

		if (shorter.n == s.n)
			break;
		s = shorter;
		m = match(b, p, s);
		if (m && ret_inherited)
			*ret_inherited = true;
	}
	return m;
}

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

bool price_model_hides_reasoning(const struct price_model *m)
{
	return m->hides_reasoning;
}

/* --- choosing a row ----------------------------------------------------------------------------------------------- */

static bool tod_covers(const struct price_row *row, int64_t at_s)
{
	int32_t now = (int32_t)(((at_s % 86400) + 86400) % 86400);

	if (row->tod_begin < 0)
		return true;
	if (row->tod_begin <= row->tod_end)
		return now >= row->tod_begin && now < row->tod_end;
	return now >= row->tod_begin || now < row->tod_end;
}

/* Is `a` the better of two rows that both apply? Equal ones: the later in the book. */
static bool row_beats(const struct price_row *a, const struct price_row *b)
{
	if ((a->tod_begin >= 0) != (b->tod_begin >= 0))
		return a->tod_begin >= 0;
	if (a->from_s != b->from_s)
		return a->from_s > b->from_s;
	return a->over >= b->over;
}

static const struct price_row *pick_service(const struct price_model *m, enum price_service service, uint64_t input,
					    int64_t at_s)
{
	const struct price_row *best = NULL;
	size_t i;

	for (i = 0; i < m->n_rows; i++) {
		const struct price_row *row = &m->rows[i];

		if (row->service != service || at_s < row->from_s || at_s >= row->to_s || !tod_covers(row, at_s))
			continue;
		if (row->over > 0 && input <= row->over)
			continue;
		if (!best || row_beats(row, best))
			best = row;
	}
	return best;
}

static const struct price_row *pick_row(const struct price_model *m, enum price_service service, uint64_t input,
					int64_t at_s)
{
	const struct price_row *row = pick_service(m, service, input, at_s);

	return row || service == SERVICE_STANDARD ? row : pick_service(m, SERVICE_STANDARD, input, at_s);
}

/* What the answer calls its service tier; names that bring no price of their own are standard. */
static enum price_service reported_service(const char *tier)
{
	struct slice s = slice_of(tier);

	if (slice_ieq(s, SLICE("flex")))
		return SERVICE_FLEX;
	if (slice_ieq(s, SLICE("priority")) || slice_ieq(s, SLICE("fast")))
		return SERVICE_PRIORITY;
	return slice_ieq(s, SLICE("batch")) ? SERVICE_BATCH : SERVICE_STANDARD;
}

/* --- exact cost --------------------------------------------------------------------------------------------------- */

static const int64_t unit_per[PRICE_UNIT_COUNT] = {
#define X(uc, key, per) [PRICE_##uc] = per,
    PRICE_UNITS(X)
#undef X
};

static bool priced(const struct price_row *row, enum price_unit u)
{
	return row->rate_pusd[u] != RATE_NONE;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Billable quantities: a priced part is taken out of what it is a part of. Where the parts exceed the whole the usage
 * contradicts itself; then the parts are billed in full and the rest is 0, which is the larger reading. */
struct leaves {
	uint64_t n[PRICE_UNIT_COUNT];
};

static void leaves_input(const struct price_row *row, const struct usage *u, struct leaves *l)
{
	uint64_t written = most(u->cache_write_tokens, u->cache_write_1h_tokens), written_1h = u->cache_write_1h_tokens;
	uint64_t cached_audio = least(u->cached_audio_tokens, least(u->audio_input_tokens, u->cached_input_tokens));
	static const enum price_unit children[] = {PRICE_CR,       PRICE_CW,       PRICE_CW5M,    PRICE_CW1H,
						   PRICE_IN_AUDIO, PRICE_CR_AUDIO, PRICE_IN_IMAGE};
	uint64_t parts = 0;
	size_t i;

	if (priced(row, PRICE_CW1H))
		l->n[PRICE_CW1H] = written_1h;
	if (priced(row, PRICE_CW5M))
		l->n[PRICE_CW5M] = written - written_1h;
	if (priced(row, PRICE_CW))
		l->n[PRICE_CW] = written - l->n[PRICE_CW1H] - l->n[PRICE_CW5M];
	if (priced(row, PRICE_CR_AUDIO))
		l->n[PRICE_CR_AUDIO] = cached_audio;
	/* cached audio without a price of its own is audio: the dearer of its two parents */
	if (priced(row, PRICE_IN_AUDIO))
		l->n[PRICE_IN_AUDIO] = u->audio_input_tokens - l->n[PRICE_CR_AUDIO];
	if (priced(row, PRICE_CR))
		l->n[PRICE_CR] = u->cached_input_tokens -
				 (priced(row, PRICE_IN_AUDIO) || priced(row, PRICE_CR_AUDIO) ? cached_audio : 0);
	if (priced(row, PRICE_IN_IMAGE))
		l->n[PRICE_IN_IMAGE] = u->image_input_tokens;
	for (i = 0; i < ARRAY_LEN(children); i++)
		if (__builtin_add_overflow(parts, l->n[children[i]], &parts))
			parts = UINT64_MAX;
	l->n[PRICE_IN] = minus(u->input_tokens, parts);
}

static void leaves_output(const struct price_row *row, const struct usage *u, struct leaves *l)
{
	if (priced(row, PRICE_OUT_AUDIO))
		l->n[PRICE_OUT_AUDIO] = u->audio_output_tokens;
	if (priced(row, PRICE_OUT_IMAGE))
		l->n[PRICE_OUT_IMAGE] = u->image_output_tokens;
	l->n[PRICE_OUT] = minus(minus(u->output_tokens, l->n[PRICE_OUT_AUDIO]), l->n[PRICE_OUT_IMAGE]);
}

static int64_t multiplied(int64_t rate, int64_t ppm)
{
	__int128 v = (__int128)rate * ppm + MULTIPLIER_ONE - 1;

	return ppm == MULTIPLIER_ONE ? rate : (int64_t)(v / MULTIPLIER_ONE);
}

static int64_t usage_ppm(const struct price_model *m, const char *speed, const char *geo)
{
	int64_t ppm = MULTIPLIER_ONE;

	if (slice_ieq(slice_of(speed), SLICE("fast")))
		ppm = ppm * m->fast_ppm / MULTIPLIER_ONE;
	if (slice_ieq(slice_of(geo), SLICE("us")))
		ppm = (ppm * m->us_ppm + MULTIPLIER_ONE - 1) / MULTIPLIER_ONE;
	return ppm;
}

/* Adds the leaves at the row's rates; a leaf without a price is free (a fee that the vendor does not charge). */
static int add_leaves(const struct price_row *row, const struct leaves *l, int64_t ppm, struct cost_sum *sum)
{
	int i, r = BUR_OK;

	for (i = 0; i < PRICE_UNIT_COUNT && r == BUR_OK; i++)
		if (l->n[i] > 0 && priced(row, (enum price_unit)i))
			r = cost_add(sum, l->n[i],
				     i < PRICE_FIRST_FEE ? multiplied(row->rate_pusd[i], ppm) : row->rate_pusd[i],
				     unit_per[i]);
	return r;
}

int price_cost(const struct price_model *m, const struct usage *u, int64_t at_s, struct cost_sum *ret)
{
	uint64_t cache = 0, input;
	const struct price_row *row;
	struct cost_sum sum = {0};
	struct leaves l = {{0}};
	int r;

	if (__builtin_add_overflow(u->cached_input_tokens, u->cache_write_tokens, &cache))
		return BUR_OVERFLOW;
	input = most(u->input_tokens, cache);
	row = pick_row(m, reported_service(u->service_tier), input, at_s);
	if (!row)
		return BUR_NOTFOUND;
	leaves_input(row, u, &l);
	leaves_output(row, u, &l);
	l.n[PRICE_REQ] = u->requests;
	l.n[PRICE_WEB] = u->web_searches;
	l.n[PRICE_FILE] = u->file_searches;
	r = add_leaves(row, &l, usage_ppm(m, u->speed, u->inference_geo), &sum);
	if (r == BUR_OK)
		*ret = sum;
	return r == BUR_OK ? BUR_OK : BUR_OVERFLOW;
}

/* --- upper bounds ------------------------------------------------------------------------------------------------- */

/* Tokens that a vendor wraps around a message (role, separators), and around a request. */
#define MESSAGE_OVERHEAD_TOKENS 8
#define REQUEST_OVERHEAD_TOKENS 32
/* Anthropic adds a system prompt when tools are offered: 159 to 804 tokens by model ("Tool use", pricing section). */
#define TOOLS_OVERHEAD_TOKENS 1024
/* Dearest picture, unless the book names a model's own: OpenAI 10 000 patches at detail "original" (images guide),
 * Anthropic 4 784 tokens at 2576 pixels (vision guide), Gemini two times the 2 240 of ultra-high media resolution,
 * for pictures that are cut into tiles. */
#define OPENAI_IMAGE_TOKENS 10000
#define ANTHROPIC_IMAGE_TOKENS 4784
#define GEMINI_IMAGE_TOKENS 4480
/* A call may begin before and be priced after a change of the time of day; this is as long as one may wait. */
#define CALL_SECONDS_MAX 600

static int64_t dearest(const struct price_row *row, int64_t rate, enum price_unit u)
{
	return row->rate_pusd[u] > rate ? row->rate_pusd[u] : rate;
}

/* Of one token of text that goes in. Anthropic writes a cache only where the request marks it, others on their own. */
static int64_t text_rate(const struct price_row *row, enum api_kind kind, const struct request_info *q)
{
	int64_t rate = dearest(row, 0, PRICE_IN);

	if (kind != API_MESSAGES || q->cache_marks) {
		rate = dearest(row, rate, PRICE_CW);
		rate = dearest(row, rate, PRICE_CW5M);
	}
	if (kind == API_MESSAGES && q->cache_marks_1h)
		rate = dearest(row, rate, PRICE_CW1H);
	if (q->audios > 0)
		rate = dearest(row, rate, PRICE_IN_AUDIO);
	return q->images > 0 ? dearest(row, rate, PRICE_IN_IMAGE) : rate;
}

static int64_t output_rate(const struct price_row *row)
{
	return dearest(row, dearest(row, dearest(row, 0, PRICE_OUT), PRICE_OUT_AUDIO), PRICE_OUT_IMAGE);
}

struct worst {
	const struct price_model *m;
	enum api_kind kind;
	const struct request_info *q;
	uint64_t input, output;
	int64_t ppm;
	bool any;
	int64_t total_nanousd, input_nanousd;
};

static int worst_of_row(struct worst *w, const struct price_row *row)
{
	struct cost_sum in = {0}, all;
	int64_t in_nanousd, all_nanousd;
	int r;

	r = cost_add(&in, w->input, multiplied(text_rate(row, w->kind, w->q), w->ppm), unit_per[PRICE_IN]);
	if (r == BUR_OK && priced(row, PRICE_REQ))
		r = cost_add(&in, 1, row->rate_pusd[PRICE_REQ], unit_per[PRICE_REQ]);
	all = in;
	if (r == BUR_OK)
		r = cost_add(&all, w->output, multiplied(output_rate(row), w->ppm), unit_per[PRICE_OUT]);
	if (r == BUR_OK)
		r = cost_ceil_nanousd(&in, &in_nanousd);
	if (r == BUR_OK)
		r = cost_ceil_nanousd(&all, &all_nanousd);
	if (r < 0)
		return r;
	if (!w->any || all_nanousd > w->total_nanousd)
		w->total_nanousd = all_nanousd;
	if (!w->any || in_nanousd > w->input_nanousd)
		w->input_nanousd = in_nanousd;
	w->any = true;
	return BUR_OK;
}

/* Every long-context tier that the bound can reach. */
static int worst_of_tiers(struct worst *w, enum price_service service, int64_t at_s)
{
	const struct price_row *row = pick_row(w->m, service, 0, at_s);
	int r = row ? worst_of_row(w, row) : BUR_OK;
	size_t i;

	for (i = 0; i < w->m->n_rows && r == BUR_OK; i++) {
		uint64_t over = w->m->rows[i].over;

		if (over == 0 || over >= w->input)
			continue;
		row = pick_row(w->m, service, over + 1, at_s);
		r = row ? worst_of_row(w, row) : BUR_OK;
	}
	return r;
}

/* Which tiers may the call be served on? Named: "auto" and whatever is new may become priority. Not named: what the
 * vendor calls its default. A project whose default is set to priority at the vendor settles dearer than it was held,
 * and shows as an overrun. Flex is held as standard, for models that do not have it. */
static bool may_be_priority(const char *tier)
{
	static const char *const standard[] = {"", "default", "standard", "standard_only", "flex", "batch"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(standard); i++)
		if (slice_ieq(slice_of(tier), slice_of(standard[i])))
			return false;
	return true;
}

/* An absent geography is the workspace's own, which may be the dear one. */
static int64_t bound_ppm(const struct price_model *m, const struct request_info *q)
{
	return usage_ppm(m, q->speed, slice_ieq(slice_of(q->inference_geo), SLICE("global")) ? "" : "us");
}

static int worst_run(struct worst *w, int64_t at_s)
{
	int r = worst_of_tiers(w, SERVICE_STANDARD, at_s);

	if (r == BUR_OK)
		r = worst_of_tiers(w, SERVICE_STANDARD, at_s + CALL_SECONDS_MAX);
	if (r == BUR_OK && may_be_priority(w->q->service_tier))
		r = worst_of_tiers(w, SERVICE_PRIORITY, at_s);
	if (r == BUR_OK && may_be_priority(w->q->service_tier))
		r = worst_of_tiers(w, SERVICE_PRIORITY, at_s + CALL_SECONDS_MAX);
	return r;
}

static uint64_t image_tokens(const struct price_model *m, enum api_kind kind)
{
	if (m->image_max > 0)
		return m->image_max;
	switch (kind) {
	case API_MESSAGES:
		return ANTHROPIC_IMAGE_TOKENS;
	case API_GENERATE:
		return GEMINI_IMAGE_TOKENS;
	default:
		return OPENAI_IMAGE_TOKENS;
	}
}

/* Text is at most a token a byte. False: more than 2^63. */
static bool bound_input(const struct price_model *m, enum api_kind kind, const struct request_info *q, uint64_t *ret)
{
	uint64_t tokens = minus(q->body_bytes, q->image_bytes), part;

	if (__builtin_mul_overflow(q->messages, (uint64_t)MESSAGE_OVERHEAD_TOKENS, &part) ||
	    __builtin_add_overflow(tokens, part, &tokens))
		return false;
	if (__builtin_mul_overflow(q->images, image_tokens(m, kind), &part) ||
	    __builtin_add_overflow(tokens, part, &tokens))
		return false;
	part = REQUEST_OVERHEAD_TOKENS + (q->tools ? TOOLS_OVERHEAD_TOKENS : 0);
	if (__builtin_add_overflow(tokens, part, &tokens) || tokens > INT64_MAX)
		return false;
	*ret = tokens;
	return true;
}

/* Input that is not in the body can still not exceed the model's context. */
static bool input_is_elsewhere(enum api_kind kind, const struct request_info *q)
{
	return q->stored_context || q->files > 0 || (q->audios > 0 && (q->remote_parts || kind == API_GENERATE));
}

static enum bound_result bound_output(const struct price_model *m, enum api_kind kind, const struct request_info *q,
				      uint64_t *ret)
{
	uint64_t model_max = most(m->max_out, m->context), tokens;

	*ret = 0;
	if (kind == API_EMBEDDINGS)
		return BOUND_OK;
	if (q->has_max_out)
		tokens = model_max > 0 ? least(q->max_out, model_max) : q->max_out;
	else
		tokens = m->max_out > 0 ? m->max_out : m->context;
	if (tokens == 0)
		return BOUND_UNBOUNDED;
	/* rejected parts of a prediction are billed as output */
	if (q->prediction && __builtin_add_overflow(tokens, q->body_bytes, &tokens))
		return BOUND_OVERFLOW;
	if (__builtin_mul_overflow(tokens, q->candidates > 0 ? q->candidates : 1, ret) || *ret > INT64_MAX)
		return BOUND_OVERFLOW;
	return BOUND_OK;
}

static enum bound_result unbounded_reason(const struct price_model *m, enum api_kind kind, const struct request_info *q,
					  const char **ret_why)
{
	if (q->background)
		*ret_why = "the request asks for background mode, whose bill comes with a later call; send it without "
			   "`background`, or use a soft budget";
	else if (q->hosted_tools)
		*ret_why =
		    "the request lets the vendor run tools (web search, file search, code execution, MCP, "
		    "compaction, fallbacks) and go round as often as it likes; remove them, or use a soft budget";
	else if (input_is_elsewhere(kind, q) && m->context == 0)
		*ret_why =
		    "the request refers to files, audio or a conversation whose size is not in it, and the price "
		    "book does not know the model's context size; send it inline, or use a soft budget";
	else
		return BOUND_OK;
	return BOUND_UNBOUNDED;
}

enum bound_result price_upper_bound(const struct price_model *m, enum api_kind kind, const struct request_info *q,
				    int64_t at_s, struct price_bound *ret, const char **ret_why)
{
	struct worst w = {.m = m, .kind = kind, .q = q, .ppm = bound_ppm(m, q)};
	enum bound_result b = unbounded_reason(m, kind, q, ret_why);

	if (b != BOUND_OK)
		return b;
	b = bound_output(m, kind, q, &w.output);
	if (b == BOUND_UNBOUNDED)
		*ret_why =
		    "neither the request nor the price book says how much the model may answer; set a maximum of "
		    "output tokens in the request";
	if (b != BOUND_OK)
		return b;
	if (!bound_input(m, kind, q, &w.input))
		return BOUND_OVERFLOW;
	if (input_is_elsewhere(kind, q))
		w.input = most(w.input, m->context);
	if (worst_run(&w, at_s) < 0)
		return BOUND_OVERFLOW;
	if (!w.any)
		return BOUND_NO_PRICE;
	*ret = (struct price_bound){w.total_nanousd, w.input_nanousd, w.input, w.output};
	return BOUND_OK;
}

int price_estimate(const struct price_model *m, const struct request_info *q, uint64_t input_tokens,
		   uint64_t output_tokens, int64_t at_s, int64_t *ret_nanousd)
{
	/* no kind here: cache writes are taken as possible, which is the dearer reading */
	struct worst w = {.m = m,
			  .kind = q->cache_marks ? API_MESSAGES : API_CHAT,
			  .q = q,
			  .input = input_tokens,
			  .output = output_tokens,
			  .ppm = bound_ppm(m, q)};

	if (worst_run(&w, at_s) < 0)
		return BUR_OVERFLOW;
	if (!w.any)
		return BUR_NOTFOUND;
	*ret_nanousd = w.total_nanousd;
	return BUR_OK;
}
