/* fuzz_repeat - events like the one before, compared and not read: the same result as reading each. First byte: which
 * API; then events, each ended by LF, played three times over. */
#include <stdlib.h>

#include "base/check.h"
#include "meter/repeat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct extract *x, const struct extract *y)
{
	struct usage a, b;

	extract_result(x, true, &a);
	extract_result(y, true, &b);
	CHECK(memcmp(&a, &b, sizeof(a)) == 0);
}

static void play(struct repeat **r, struct extract *x, struct extract *y, const uint8_t *p, size_t n)
{
	char *copy = malloc(n > 0 ? n : 1);
	bool taken;

	CHECK(copy);
	if (n > 0)
		memcpy(copy, p, n);
	taken = repeat_again(*r, x, copy, n) || repeat_read(r, x, copy, n);
	CHECK(extract_whole(y, copy, n) == taken);
	if (taken)
		extract_commit(y);
	else
		repeat_forget(*r);
	check_same(x, y);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum api_kind kinds[] = {API_CHAT,         API_RESPONSES, API_MESSAGES, API_GENERATE,
					      API_COHERE_CHAT,  API_CONVERSE,  API_OLLAMA,   API_REALTIME,
					      API_INTERACTIONS, API_INVOKE,    API_SPEECH,   API_BATCH_RESULTS};
	static struct staged staged; /* one for both: nothing may stay in it */
	struct extract x, y;
	struct repeat *r = NULL;

	if (size < 2)
		return 0;
	extract_init(&x, kinds[data[0] % ARRAY_LEN(kinds)], true);
	extract_init(&y, kinds[data[0] % ARRAY_LEN(kinds)], true);
	x.ev = y.ev = &staged;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 1; i < size;) {
			const uint8_t *lf = memchr(data + i, '\n', size - i);
			size_t n = lf ? (size_t)(lf - data) - i : size - i;

			play(&r, &x, &y, data + i, n);
			i += n + 1;
		}
	}
	repeat_free(r);
	extract_done(&x);
	extract_done(&y);
	return 0;
}
