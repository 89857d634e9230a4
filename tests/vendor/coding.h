/* coding.h - gzip of answers, as they come or spoiled. */
#ifndef VENDOR_CODING_H
#define VENDOR_CODING_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

struct z_stream_s;

struct z_stream_s *gzip_begin(void) MUST_USE;
/* Appends what comes out; `last` ends it, else it is flushed so that the other end can read all. */
void gzip_add(struct z_stream_s *, struct slice data, bool last, struct buf *to) NONNULL(1, 4);
void gzip_end(struct z_stream_s *); /* NULL is fine */
void gzip_whole(struct slice data, struct buf *to) NONNULL(2);
/* A quarter of a gigabyte of spaces before the data. */
void gzip_bomb(struct slice data, struct buf *to) NONNULL(2);

#endif
