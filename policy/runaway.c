#include "policy/runaway.h"

#include <string.h>

#include "base/error.h"

#define HOUR_NS INT64_C(3600000000000)
#define FAR_NS (INT64_MAX / 4)

const char *runaway_cause_name(enum runaway_cause cause)
{
	static const char *const names[] = {"none", "repeat", "fanout", "misses"};

	return (size_t)cause < ARRAY_LEN(names) ? names[cause] : "unknown";
}

static int64_t clip_ns(int64_t t)
{
	if (t < 0)
		return 0;
	return t > FAR_NS ? FAR_NS : t;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t add_saturated(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b > 0 ? INT64_MAX : INT64_MIN;
	return sum;
}

/* --- identities --------------------------------------------------------------------------------------------------- */

static size_t set_of(uint64_t id)
{
	return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 57) % RUNAWAY_SETS;
}

static struct runaway_identity *identity_find(struct runaway *r, uint64_t id)
{
	struct runaway_identity *set = r->set[set_of(id)];

	for (size_t i = 0; id != 0 && i < RUNAWAY_WAYS; i++)
		if (set[i].id == id)
			return &set[i];
	return NULL;
}

/* The one that was silent longest makes room. NULL: all are in quarantine, or id is 0. */
static struct runaway_identity *identity_get(struct runaway *r, uint64_t id, int64_t now_ns)
{
	struct runaway_identity *set = r->set[set_of(id)], *who = identity_find(r, id);

	for (size_t i = 0; !who && id != 0 && i < RUNAWAY_WAYS; i++) {
		if (set[i].id == 0) {
			who = &set[i];
			who->id = id;
		}
	}
	if (who || id == 0)
		return who;
	for (size_t i = 0; i < RUNAWAY_WAYS; i++)
		if (set[i].until_ns <= now_ns && (!who || set[i].seen_ns < who->seen_ns))
			who = &set[i];
	if (who) {
		memset(who, 0, sizeof(*who));
		who->id = id;
	}
	return who;
}

static bool in_quarantine(const struct runaway_identity *who, int64_t now_ns)
{
	return who->until_ns > now_ns;
}

static void forget_signs(struct runaway_identity *who)
{
	memset(who->print, 0, sizeof(who->print));
	who->started = who->started_before = who->doublings = 0;
}

/* Whoever comes out begins anew; only the number of quarantines is remembered, for an hour. */
static int64_t put_away(struct runaway_identity *who, int64_t for_ns, int64_t now_ns)
{
	if (who->quarantines > 0 && now_ns - who->until_ns > HOUR_NS)
		who->quarantines = 0;
	for_ns = clip_ns(for_ns);
	for (uint32_t i = 0; i < who->quarantines && for_ns < RUNAWAY_QUARANTINE_MAX_NS; i++)
		for_ns *= 2;
	if (for_ns > RUNAWAY_QUARANTINE_MAX_NS)
		for_ns = RUNAWAY_QUARANTINE_MAX_NS;
	if (who->quarantines < UINT32_MAX)
		who->quarantines++;
	who->until_ns = now_ns + for_ns;
	forget_signs(who);
	return who->until_ns;
}

int runaway_release(struct runaway *r, uint64_t id, int64_t now_ns)
{
	struct runaway_identity *who = identity_find(r, id);

	now_ns = clip_ns(now_ns);
	if (!who || !in_quarantine(who, now_ns))
		return BUR_NOTFOUND;
	who->until_ns = now_ns;
	who->quarantines = 0; /* a person has looked at it */
	return BUR_OK;
}

int runaway_quarantine(struct runaway *r, uint64_t id, int64_t now_ns, int64_t until_ns)
{
	struct runaway_identity *who;

	now_ns = clip_ns(now_ns);
	who = identity_get(r, id, now_ns);
	if (!who)
		return BUR_FULL;
	who->seen_ns = now_ns;
	who->until_ns = clip_ns(until_ns);
	if (who->quarantines < UINT32_MAX)
		who->quarantines++;
	forget_signs(who);
	return BUR_OK;
}

int64_t runaway_until(const struct runaway *r, uint64_t id, int64_t now_ns)
{
	const struct runaway_identity *set = r->set[set_of(id)];

	for (size_t i = 0; id != 0 && i < RUNAWAY_WAYS; i++)
		if (set[i].id == id && in_quarantine(&set[i], clip_ns(now_ns)))
			return set[i].until_ns;
	return 0;
}

/* --- prints ------------------------------------------------------------------------------------------------------- */

static struct runaway_print *print_find(struct runaway_identity *who, uint64_t print, bool prefix)
{
	for (size_t i = 0; i < RUNAWAY_PRINTS; i++)
		if (who->print[i].print == print && who->print[i].prefix == prefix && print != 0)
			return &who->print[i];
	return NULL;
}

/* Which of two is the likelier loop? The one that counts for more, then the one seen last. */
static bool likelier(const struct runaway_print *a, const struct runaway_print *b)
{
	return a->count != b->count ? a->count > b->count : a->seen_ns > b->seen_ns;
}

/* What was counted long ago protects nothing. */
static void print_age(struct runaway_print *p, const struct runaway_config *cfg, int64_t now_ns)
{
	bool old = p->prefix ? now_ns - p->seen_ns > cfg->cache_ttl_ns : p->tat_ns <= now_ns;

	if (old) {
		p->count = 0;
		p->spent_nanousd = 0;
	}
}

static struct runaway_print *print_get(struct runaway_identity *who, const struct runaway_config *cfg, uint64_t print,
				       bool prefix, int64_t now_ns)
{
	struct runaway_print *p = print_find(who, print, prefix), *least = &who->print[0];

	for (size_t i = 0; !p && i < RUNAWAY_PRINTS; i++) {
		print_age(&who->print[i], cfg, now_ns);
		if (likelier(least, &who->print[i]))
			least = &who->print[i];
	}
	if (!p) {
		p = least;
		*p = (struct runaway_print){.print = print, .prefix = prefix};
	}
	print_age(p, cfg, now_ns);
	p->seen_ns = now_ns;
	return p;
}

/* True: this call begins a new round. */
static bool next_round(struct runaway_print *p)
{
	if (!p->ended)
		return false;
	p->ended = false;
	p->round++;
	return true;
}

/* --- the three signs ---------------------------------------------------------------------------------------------- */

/* More than repeat_max rounds ahead of what leaks away? */
static bool is_repeating(struct runaway_print *p, const struct runaway_config *cfg, int64_t now_ns)
{
	int64_t window = clip_ns(cfg->repeat_window_ns), step;

	if (!next_round(p) || cfg->repeat_max == 0)
		return false;
	step = window / cfg->repeat_max < 1 ? 1 : window / cfg->repeat_max;
	window = step * cfg->repeat_max;
	if (p->count < UINT32_MAX)
		p->count++;
	p->tat_ns = later(p->tat_ns, now_ns) + step;
	if (p->tat_ns <= now_ns + window)
		return false;
	p->tat_ns = now_ns + window; /* however long the loop was: it is over a window after it stops */
	return p->spent_nanousd >= cfg->min_nanousd;
}

static bool is_fanning_out(struct runaway_identity *who, const struct runaway_config *cfg, int64_t now_ns)
{
	int64_t width = clip_ns(cfg->fanout_interval_ns), interval;

	if (cfg->fanout_doublings == 0 || cfg->fanout_min == 0 || width == 0)
		return false;
	interval = now_ns / width;
	if (interval > who->interval) {
		bool doubled = who->started_before > 0 && who->started / 2 >= who->started_before;

		who->doublings = doubled && interval == who->interval + 1 ? who->doublings + 1 : 0;
		who->started_before = interval == who->interval + 1 ? who->started : 0;
		who->started = 0;
		who->interval = interval;
	}
	if (who->started < UINT32_MAX)
		who->started++;
	/* The present interval may complete the row as soon as it has doubled. */
	return who->started >= cfg->fanout_min && who->started_before > 0 && who->started / 2 >= who->started_before &&
	       who->doublings + 1 >= cfg->fanout_doublings;
}

/* Could a call with this prefix that starts now read from the vendor's cache? */
static bool could_hit(struct runaway_print *p, const struct runaway_config *cfg, int64_t now_ns)
{
	bool warm = p->ended || p->round > 0;

	(void)next_round(p);
	return warm && now_ns - p->ended_ns <= cfg->cache_ttl_ns;
}

static void quarantine(struct runaway_identity *who, const struct runaway_config *cfg, enum runaway_cause cause,
		       uint64_t print, int64_t value, int64_t threshold, int64_t now_ns, struct runaway_event *ev)
{
	*ev = (struct runaway_event){
	    .cause = cause, .id = who->id, .print = print, .value = value, .threshold = threshold};
	if (print != 0)
		ev->nanousd = print_find(who, print, cause == RUNAWAY_MISSES)->spent_nanousd;
	ev->until_ns = put_away(who, cfg->quarantine_ns, now_ns);
}

static void look_for_signs(struct runaway_identity *who, const struct runaway_config *cfg,
			   const struct runaway_call *call, int64_t now_ns, struct runaway_ticket *t,
			   struct runaway_event *ev)
{
	struct runaway_print *p;

	if (call->prefix != 0) {
		p = print_get(who, cfg, call->prefix, true, now_ns);
		t->could_hit = could_hit(p, cfg, now_ns);
		t->prefix_round = p->round;
	}
	if (call->fingerprint != 0) {
		p = print_get(who, cfg, call->fingerprint, false, now_ns);
		if (is_repeating(p, cfg, now_ns)) {
			quarantine(who, cfg, RUNAWAY_REPEAT, call->fingerprint, p->count, cfg->repeat_max, now_ns, ev);
			return;
		}
		t->round = p->round;
	}
	if (is_fanning_out(who, cfg, now_ns))
		quarantine(who, cfg, RUNAWAY_FANOUT, 0, who->started, cfg->fanout_min, now_ns, ev);
}

int runaway_start(struct runaway *r, const struct runaway_config *cfg, const struct runaway_call *call, int64_t now_ns,
		  struct runaway_ticket *ret, int64_t *ret_until_ns, struct runaway_event *ret_event)
{
	struct runaway_identity *who;

	memset(ret_event, 0, sizeof(*ret_event));
	*ret = (struct runaway_ticket){.call = *call};
	*ret_until_ns = 0;
	now_ns = clip_ns(now_ns);
	who = identity_get(r, call->id, now_ns);
	if (!who)
		return BUR_OK;
	now_ns = who->seen_ns = later(now_ns, who->seen_ns); /* time that goes back stands still */
	if (!in_quarantine(who, now_ns))
		look_for_signs(who, cfg, call, now_ns, ret, ret_event);
	if (!in_quarantine(who, now_ns))
		return BUR_OK;
	*ret_until_ns = who->until_ns;
	return BUR_DENIED;
}

static void end_repeat(struct runaway_identity *who, const struct runaway_ticket *t, int64_t nanousd)
{
	struct runaway_print *p = print_find(who, t->call.fingerprint, false);

	if (!p)
		return;
	if (nanousd > 0)
		p->spent_nanousd = add_saturated(p->spent_nanousd, nanousd);
	if (p->round == t->round)
		p->ended = true;
}

static void count_miss(struct runaway_print *p, const struct runaway_ticket *t, int64_t nanousd)
{
	if (nanousd > 0)
		p->spent_nanousd = add_saturated(p->spent_nanousd, nanousd);
	if (t->prefix_round <= p->missed_round)
		return; /* parallel to one that was counted */
	p->missed_round = t->prefix_round;
	if (p->count < UINT32_MAX)
		p->count++;
}

/* True: misses in a row have reached their maximum. */
static bool end_prefix(struct runaway_identity *who, const struct runaway_config *cfg, const struct runaway_ticket *t,
		       const struct runaway_outcome *o, int64_t now_ns, int64_t *ret_misses)
{
	struct runaway_print *p = print_find(who, t->call.prefix, true);

	if (!p || !o->answered)
		return false;
	if (p->round == t->prefix_round)
		p->ended = true;
	p->ended_ns = now_ns;
	if (o->cache_hit) {
		p->count = 0;
		p->spent_nanousd = 0;
	} else if (t->could_hit) {
		count_miss(p, t, o->nanousd);
	}
	*ret_misses = p->count;
	return cfg->miss_max > 0 && p->count >= cfg->miss_max && p->spent_nanousd >= cfg->min_nanousd;
}

void runaway_end(struct runaway *r, const struct runaway_config *cfg, const struct runaway_ticket *t,
		 const struct runaway_outcome *o, int64_t now_ns, struct runaway_event *ret_event)
{
	struct runaway_identity *who = identity_find(r, t->call.id);
	int64_t misses = 0;

	memset(ret_event, 0, sizeof(*ret_event));
	now_ns = clip_ns(now_ns);
	if (!who)
		return;
	now_ns = later(now_ns, who->seen_ns);
	if (in_quarantine(who, now_ns))
		return;
	end_repeat(who, t, o->nanousd);
	if (end_prefix(who, cfg, t, o, now_ns, &misses))
		quarantine(who, cfg, RUNAWAY_MISSES, t->call.prefix, misses, cfg->miss_max, now_ns, ret_event);
}
