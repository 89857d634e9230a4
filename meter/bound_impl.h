/* bound_impl.h - a bound in the making. Internal to bound*.c. */
#ifndef METER_BOUND_IMPL_H
#define METER_BOUND_IMPL_H

#include "meter/bound.h"

struct sketch {
	const struct price_model *model;
	enum api_kind kind;
	const struct request_info *q;
	struct quantities n;
	uint64_t input, output; /* tokens */
	uint64_t counted;       /* of all that is in the body; 0: not counted */
	const char *why;
};

/* Sums that stop at UINT64_MAX, which no price takes. */
uint64_t bound_plus(uint64_t a, uint64_t b);
uint64_t bound_times(uint64_t a, uint64_t b);

/* What the request's own bytes can be in tokens. */
uint64_t bound_text(const struct sketch *) NONNULL(1);
/* The model's most: its documented maximum, else its context; 0: neither is known. */
uint64_t bound_model_out(const struct sketch *) NONNULL(1);
/* Pictures and sound that a chat model makes are not kept by the request's bound of text. */
bool bound_is_for_text(const struct sketch *) NONNULL(1);
/* Output of one candidate; 0: not known. */
uint64_t bound_answer(const struct sketch *) NONNULL(1);
enum bound_result bound_unbounded(struct sketch *, const char *why) NONNULL(1, 2);

/* bound_media.c: what is not counted in the tokens of a text. */
enum bound_result bound_images(struct sketch *) NONNULL(1);
enum bound_result bound_predict(struct sketch *) NONNULL(1);
enum bound_result bound_speech(struct sketch *) NONNULL(1);
enum bound_result bound_transcriptions(struct sketch *) NONNULL(1);
enum bound_result bound_ocr(struct sketch *) NONNULL(1);
void bound_rerank(struct sketch *) NONNULL(1);

#endif
