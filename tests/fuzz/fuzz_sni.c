/* Hostile ClientHellos: no prefix may crash, and more bytes never turn a decided answer into another. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "net/sni.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[256], first[256];
	int r, decided = BUR_AGAIN;

	for (size_t n = 0; n <= size && n <= SNI_PEEK_MAX; n += 1 + size / 64) {
		uint8_t *copy = malloc(n + 1); /* exact, so that the sanitizer sees a byte too far */

		memcpy(copy, data, n);
		r = sni_peek(copy, n, name, sizeof(name));
		free(copy);
		if (decided == BUR_AGAIN && r == BUR_OK)
			memcpy(first, name, sizeof(first));
		if (decided == BUR_OK && (r != BUR_OK || strcmp(first, name) != 0))
			abort();
		decided = r;
	}
	return 0;
}
