/* batch_file.h - what the requests of an uploaded file can use at most, for the batch that is made of them later.
 *
 * OpenAI's Batch API, and that of its compatibles: a form with the field purpose = "batch" and a file of JSON lines
 * {"custom_id", "method", "url", "body"}, all for one endpoint ("Batch API" guide, files reference). Every body is read
 * by the request scanner. Bytes may come in any pieces with the same result; memory is fixed; nothing of the file is
 * kept. What two readers could read differently bounds nothing. Pure; one owner thread. */
#ifndef METER_BATCH_FILE_H
#define METER_BATCH_FILE_H

#include "base/attr.h"
#include "base/slice.h"
#include "meter/api.h"
#include "meter/reqscan.h"

#define BATCH_MODELS_MAX 8
#define BATCH_WHY_MAX 239

struct batch_sum {
	enum api_kind kind;          /* of all the requests */
	uint64_t items;              /* requests */
	char why[BATCH_WHY_MAX + 1]; /* nothing bounds the file: a sentence for people; "" when something does */
	uint8_t n;                   /* models; none: nothing in it is billed */
	/* Of the requests to one model each, as bound_upper takes it with API_BATCH_SUBMIT. */
	struct request_info of[BATCH_MODELS_MAX];
};
/* Bytes of a sum that holds n models. */
#define BATCH_SUM_BYTES(n) (offsetof(struct batch_sum, of) + (size_t)(n) * sizeof(struct request_info))

struct batch_file;

/* `provider`: shipped name, copied; `content_type`: of the upload. NULL: no memory. */
struct batch_file *batch_file_new(struct slice provider, struct slice content_type) MUST_USE;
void batch_file_free(struct batch_file *);
/* The upload's body as sent. */
void batch_file_feed(struct batch_file *, const char *p, size_t n) NONNULL(1);
/* The upload is over. NULL: the file is no batch. Lives as long as the reader. */
const struct batch_sum *batch_file_end(struct batch_file *) NONNULL(1);
/* Which requests a batch with this endpoint, or a line with this url, is made of. API_UNKNOWN: none that is priced. */
enum api_kind batch_endpoint_kind(struct slice endpoint);

#endif
