/* Sockets of OpenAI's shape: realtime, and responses one after the other. Each response is a run with usage of its own.
 */
#include "meter/usage_openai.h"

static bool run_ends(const struct extract *x)
{
	static const char *const ends[] = {"response.done", "response.completed", "response.incomplete",
					   "response.failed"};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (event_is(x, ends[i]))
			return true;
	return false;
}

/* Runs are counted as they begin; one whose beginning was not seen, when it ends. */
static void count_run(struct extract *x, bool ends)
{
	if (event_is(x, "response.created")) {
		x->open_runs++;
		counts_add(extract_known(x, &x->found), RAW_REQUESTS, 1);
	} else if (ends && x->open_runs > 0) {
		x->open_runs--;
	} else if (ends) {
		counts_add(extract_known(x, &x->found), RAW_REQUESTS, 1);
	}
}

/* What the caller says is written down by a model of its own, beside the response. */
static void take_transcription(struct extract *x)
{
	counts_settle(&x->ev->counts, false);
	extract_add_other(x, extract_word(x, WORD_SIDE_MODEL), "input_audio_transcription", &x->ev->counts);
}

static void commit(struct extract *x)
{
	struct staged *ev = x->ev;
	bool ends = run_ends(x);

	count_run(x, ends);
	if (ends) {
		ev->names.id[0] = '\0'; /* a socket has many responses: none names the bill */
		x->lost |= !ev->usage;
		return;
	}
	if (ev->usage && event_is(x, "conversation.item.input_audio_transcription.completed"))
		take_transcription(x);
	ev->usage = false;
	ev->found.have = 0; /* the response that ends repeats its items */
	ev->names.id[0] = '\0';
}

const struct extract_ops extract_realtime = {
    .places = openai_places,
    .root = PL_SOCKET,
    .take = TAKE_ADD,
    .final = FINAL_HOOK,
    .zero = ZERO_RUNS,
    .deltas_only = true,
    .end = openai_end,
    .commit = commit,
};
