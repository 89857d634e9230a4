/* txn_stop.c - kill switches on the data path: new calls are refused, and where it was asked for, running ones end. */
#include "base/log.h"
#include "proxy/tunnel.h"
#include "proxy/txn.h"

static void facts_of_principal(const struct principal *p, struct slice key_name, struct facts *f)
{
	f->v[FACT_KEY] = key_name;
	if (!p)
		return;
	f->v[FACT_USER] = slice_of(p->user);
	f->v[FACT_TEAM] = slice_of(p->team);
	f->v[FACT_PROJECT] = slice_of(p->project);
}

/* What is known of a call without its head. */
static void facts_now(const struct txn *t, struct facts *f)
{
	struct slice user = txn_guard_user(t);

	memset(f, 0, sizeof(*f));
	facts_of_principal(t->principal, t->key_name, f);
	if (user.n > 0)
		f->v[FACT_USER] = user;
	if (t->target.provider)
		f->v[FACT_PROVIDER] = slice_of(t->target.provider->name);
	f->v[FACT_MODEL] = slice_of(t->info.model);
}

bool txn_stop_admits(struct txn *t, const struct facts *facts, enum step_result *ret)
{
	const struct stop_set *stops = t->worker->stops;
	const struct stop *s;
	struct facts own;
	char why[STOP_SENTENCE_MAX];

	if (LIKELY(!stops))
		return true;
	if (!facts) {
		/* malformed tags are refused elsewhere; who calls is known by then */
		if (!t->head || !t->target.provider || txn_gather_facts(t, &own) < 0)
			facts_now(t, &own);
		facts = &own;
	}
	s = stop_set_find(stops, facts, false);
	if (!s)
		return true;
	stop_sentence(s, why);
	*ret = txn_refuse(t, REFUSE_STOPPED, "%s", why);
	return false;
}

static const struct stop *stop_of_client(const struct client *c, bool only_cut)
{
	const struct worker *w = c->worker;
	const struct principal *p = NULL;
	struct facts f = {0};

	if (!w->stops)
		return NULL;
	if (c->has_proxy_identity)
		p = principal_find(w->principals, c->proxy_digest, loop_wall_ns(w->loop) / NS_PER_S);
	facts_of_principal(p, p ? slice_of(p->key) : SLICE("anonymous"), &f);
	return stop_set_find(w->stops, &f, only_cut);
}

bool txn_stop_client(struct client *c, char *why, size_t why_size)
{
	const struct stop *s = stop_of_client(c, false);
	char text[STOP_SENTENCE_MAX];

	if (!s)
		return false;
	stop_sentence(s, text);
	(void)slice_to_cstr(slice_of(text), why, why_size);
	return true;
}

static void end_call(struct txn *t, const struct stop *s)
{
	bool sent = t->sending && t->sent_all;
	char why[STOP_SENTENCE_MAX];

	stop_sentence(s, why);
	if (!t->client || t->answer_head_sent) {
		txn_cut_off(t, why);
		return;
	}
	if (sent)
		t->end = TXN_END_STOPPED;
	(void)txn_refuse(t, REFUSE_STOPPED, "%s", why);
	txn_run(t);
}

static size_t end_calls(struct worker *w)
{
	struct txn *t, *next;
	struct facts f;
	size_t n = 0;

	for (t = TAILQ_FIRST(&w->txns); t; t = next) {
		const struct stop *s;

		next = TAILQ_NEXT(t, entry);
		facts_now(t, &f);
		s = t->step == TXN_END ? NULL : stop_set_find(w->stops, &f, true);
		if (!s)
			continue;
		end_call(t, s);
		n++;
	}
	return n;
}

void txn_stop_running(struct worker *w)
{
	struct client *c, *next;
	size_t n;

	if (!w->stops)
		return;
	n = end_calls(w);
	for (c = TAILQ_FIRST(&w->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state != CLIENT_TUNNEL || !stop_of_client(c, true))
			continue;
		client_close(c);
		n++;
	}
	if (n > 0)
		log_msg(LOG_WARN, "stop.cut", "%zu running calls and tunnels were ended", n);
}
