/* fuzz_multipart - forms: whole and split must agree. First byte: the split; then a content type's boundary up to a
 * NUL, then the body. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "meter/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that the reader says, data joined. */
static size_t read_form(const char *type, const char *p, size_t n, size_t split, char *out, bool *ret_complete)
{
	static struct multipart m;
	size_t at = 0, i, k;
	struct slice run;

	*ret_complete = false;
	if (multipart_init(&m, slice_of(type)) < 0)
		return 0;
	for (i = 0; i < n; i += k) {
		size_t used = 0;
		char *piece;
		enum multipart_event e;

		k = split == 0 || split > n - i ? n - i : split;
		piece = malloc(k);
		CHECK(piece);
		memcpy(piece, p + i, k);
		while ((e = multipart_next(&m, piece, k, &used, &run)) != MULTIPART_MORE && e != MULTIPART_ERROR) {
			if (e == MULTIPART_DATA) {
				memcpy(out + at, run.p, run.n);
				at += run.n;
			} else if (e == MULTIPART_PART) {
				at += (size_t)snprintf(out + at, sizeof(m.name) + 3, "%c%s", m.is_file ? 4 : 2, m.name);
			} else {
				out[at++] = 1;
			}
		}
		CHECK(e == MULTIPART_ERROR || used == k);
		free(piece);
		if (e == MULTIPART_ERROR) {
			CHECK(!multipart_complete(&m));
			out[at++] = 3;
			return at;
		}
	}
	*ret_complete = multipart_complete(&m);
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char type[128], *one, *two;
	const uint8_t *nul = size > 1 ? memchr(data + 1, 0, size - 1) : NULL;
	size_t body_n, n;
	bool complete, complete_split;

	if (!nul || nul - data > 80)
		return 0;
	(void)snprintf(type, sizeof(type), "multipart/form-data; boundary=%s", (const char *)data + 1);
	body_n = size - (size_t)(nul + 1 - data);
	one = calloc(3, size + 200);
	two = calloc(3, size + 200);
	CHECK(one && two);
	n = read_form(type, (const char *)nul + 1, body_n, 0, one, &complete);
	CHECK(read_form(type, (const char *)nul + 1, body_n, 1 + data[0] % 9, two, &complete_split) == n);
	CHECK(complete == complete_split && memcmp(one, two, n) == 0);
	free(one);
	free(two);
	return 0;
}
