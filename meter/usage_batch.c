/* Batches: the object that tells how far one is, and the lines of its results. */
#include "meter/usage_openai.h"

static bool is_one_of(const char *word, const char *const *list)
{
	while (*list && strcmp(*list, word) != 0)
		list++;
	return *list != NULL;
}

/* It was refused as a whole, or ended before one of its requests was done: there is no file of results whose lines
 * could tell of any. */
static bool nothing_ran(const struct extract *x)
{
	const struct staged *ev = x->ev;
	static const char *const early[] = {"expired", "cancelled", NULL};

	return strcmp(ev->status, "failed") == 0 ||
	       (is_one_of(ev->status, early) && counts_get(&ev->entry, RAW_REQUESTS) == 0 && ev->names.file[0] == '\0');
}

/* Until a batch has ended it stands for no run, and its usage is only a floor. */
static void commit_batch(struct extract *x)
{
	static const char *const ended[] = {"completed", "failed", "expired", "cancelled", NULL};
	struct staged *ev = x->ev;
	bool over = is_one_of(ev->status, ended);

	counts_set(&ev->found, RAW_REQUESTS, over ? counts_get(&ev->entry, RAW_REQUESTS) : 0);
	if (!ev->usage && nothing_ran(x)) {
		ev->usage = true;
		counts_set(&ev->counts, RAW_INPUT, 0);
		counts_set(&ev->counts, RAW_OUTPUT, 0);
	}
	x->final = over && ev->usage;
}

static bool line_succeeded(const struct extract *x)
{
	uint64_t status = counts_get(&x->ev->entry, RAW_REQUESTS);

	return strcmp(x->ev->status, "succeeded") == 0 || (status >= 200 && status <= 299);
}

/* Long-context prices go by each request's input, not by their sum. */
static void note_input(struct extract *x, const struct counts *counts)
{
	struct counts c = *counts;
	struct usage u = {.model = ""};

	counts_settle(&c, false);
	counts_to_usage(&c, &u);
	if (u.input_tokens > x->call_input)
		x->call_input = u.input_tokens;
}

/* The tokens of the model that the first line names are the answer's; those of others stand beside. */
static void take_line(struct extract *x)
{
	struct staged *ev = x->ev;
	const char *model = ev->names.model, *known = extract_word(x, WORD_MODEL);

	counts_add(&ev->found, RAW_REQUESTS, 1);
	if (ev->parts_seen) { /* of this line only: added like its usage */
		counts_sum(&ev->counts, &ev->sum);
		extract_add_others(x, &ev->others);
		ev->parts_seen = false;
	}
	if (ev->list_seen) /* vectors: there is no output */
		counts_set(&ev->counts, RAW_OUTPUT, counts_get(&ev->counts, RAW_OUTPUT));
	x->lost |= !ev->usage;
	note_input(x, &ev->counts);
	if (!ev->usage || known[0] == '\0' || model[0] == '\0' || strcmp(model, known) == 0)
		return;
	counts_settle(&ev->counts, false);
	extract_add_other(x, model, "", &ev->counts);
	ev->usage = false;
	ev->names.model[0] = '\0';
}

static void commit_line(struct extract *x)
{
	struct staged *ev = x->ev;

	if (line_succeeded(x)) {
		take_line(x);
		return;
	}
	ev->usage = ev->parts_seen = false; /* what failed is not billed */
	ev->found.have = 0;
	ev->names.model[0] = '\0';
}

const struct extract_ops extract_batch = {
    .places = openai_places,
    .root = PL_BATCH,
    .take = TAKE_REPLACE,
    .final = FINAL_HOOK,
    .commit = commit_batch,
};
const struct extract_ops extract_batch_results = {
    .places = openai_places,
    .root = PL_LINE,
    .take = TAKE_ADD,
    .final = FINAL_HOOK,
    .zero = ZERO_RUNS,
    .end = openai_end,
    .commit = commit_line,
};
