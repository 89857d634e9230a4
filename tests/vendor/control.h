/* control.h - what tests ask the vendor about itself: "/__bill", "/__hits", "/__last". */
#ifndef VENDOR_CONTROL_H
#define VENDOR_CONTROL_H

#include "base/attr.h"
#include "base/buf.h"
#include "net/h1.h"
#include "tests/vendor/serve.h"

void control_answer(struct server *, struct slice target, struct buf *out) NONNULL(1, 3);
/* {"method":…,"target":…,"fields":[[name,value],…]} into dst; what does not fit is left out. */
void control_head_json(const struct h1_head *, char *dst, size_t size) NONNULL(1, 2);

#endif
