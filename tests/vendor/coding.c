#include "tests/vendor/coding.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/check.h"
#include "base/error.h"

#define BOMB_BYTES (256u * 1024 * 1024)

struct z_stream_s *gzip_begin(void)
{
	z_stream *z = calloc(1, sizeof(*z));

	CHECK(z != NULL);
	CHECK(deflateInit2(z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	return z;
}

static void add(z_stream *z, struct slice data, int flush, struct buf *to)
{
	unsigned char block[16384];

	z->next_in = (unsigned char *)(uintptr_t)data.p; /* zlib only reads it */
	z->avail_in = (unsigned)data.n;
	do {
		z->next_out = block;
		z->avail_out = sizeof(block);
		CHECK(deflate(z, flush) != Z_STREAM_ERROR);
		CHECK(buf_append(to, block, sizeof(block) - z->avail_out) == BUR_OK);
	} while (z->avail_out == 0);
}

void gzip_add(struct z_stream_s *z, struct slice data, bool last, struct buf *to)
{
	add(z, data, last ? Z_FINISH : Z_SYNC_FLUSH, to);
}

void gzip_end(struct z_stream_s *z)
{
	if (!z)
		return;
	(void)deflateEnd(z);
	free(z);
}

void gzip_whole(struct slice data, struct buf *to)
{
	z_stream *z = gzip_begin();

	add(z, data, Z_FINISH, to);
	gzip_end(z);
}

void gzip_bomb(struct slice data, struct buf *to)
{
	static char spaces[65536];
	z_stream *z = gzip_begin();

	memset(spaces, ' ', sizeof(spaces));
	for (size_t n = 0; n < BOMB_BYTES; n += sizeof(spaces))
		add(z, slice_mem(spaces, sizeof(spaces)), Z_NO_FLUSH, to);
	add(z, data, Z_FINISH, to);
	gzip_end(z);
}
