/* repeat.h - the short way for the events of a stream that say nothing new. Internal to the meter room.
 *
 * Nearly all events of a stream are the one before with other words in it. Once an event was read and changed nothing
 * but the count of text, the next one that is the same but for such words, and for values that nobody reads, needs only
 * be compared: its words are measured, and that is all. The result is the same as extract_whole's and
 * extract_commit's. Memory is taken with the second event. One owner thread. */
#ifndef METER_REPEAT_H
#define METER_REPEAT_H

#include "base/attr.h"
#include "meter/extract.h"

struct repeat;

/* p[0..n) is a whole event: when it is like the one before, takes it over; needs nothing lent. False: it is not, and
 * repeat_read must follow. `r` may be NULL. */
bool repeat_again(struct repeat *r, struct extract *, const char *p, size_t n) NONNULL(2, 3) MUST_USE;
/* Reads it and takes it over. False: nothing was done, the reader must look at it. *r is NULL at first. */
bool repeat_read(struct repeat **r, struct extract *, const char *p, size_t n) NONNULL(1, 2, 3) MUST_USE;
/* To be called when an event goes another way, or anything else may have changed what the extractor knows. */
void repeat_forget(struct repeat *);
void repeat_free(struct repeat *);

#endif
