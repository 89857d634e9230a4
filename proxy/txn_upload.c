/* txn_upload.c - an upload that may become a batch: its body is read as it passes through, and what it can cost is
 * remembered under the id that the vendor's answer gives it. The call itself is unbilled, and goes on whatever its
 * bytes are. */
#include <stdlib.h>

#include "base/log.h"
#include "meter/batch_file.h"
#include "meter/decode.h"
#include "proxy/txn.h"
#include "proxy/uploads.h"

#define ANSWER_BYTES_MAX (64 * 1024)

struct upload {
	struct batch_file *file;
	/* the answer: an object with the file's id */
	bool reading, lost, id_next;
	uint64_t answer_bytes;
	struct decode *decode; /* NULL: it comes in plain */
	struct json_reader json;
	char id[BATCH_INPUT_MAX + 1];
};

/* Of two fields of a name the vendor may take the other one. */
static bool stands_twice(const struct h1_head *h, enum h1_field_id id)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_fields; i++)
		n += h->fields[i].id == id;
	return n > 1;
}

void txn_upload_begin(struct txn *t)
{
	const struct h1_field *type = h1_find(t->head, H1_F_CONTENT_TYPE);
	const struct h1_field *coding = h1_find(t->head, H1_F_CONTENT_ENCODING);
	struct upload *u;

	/* other uploads stay unknown, and so do batches of them */
	if (!type || !multipart_is_form(type->value) || (coding && !decode_is_identity(coding->value)) ||
	    stands_twice(t->head, H1_F_CONTENT_TYPE) || stands_twice(t->head, H1_F_CONTENT_ENCODING))
		return;
	u = calloc(1, sizeof(*u));
	if (!u)
		return;
	u->file = batch_file_new(slice_of(t->target.provider->name), type->value);
	if (!u->file) {
		free(u);
		return;
	}
	t->upload = u;
}

void txn_upload_body(struct txn *t, struct slice piece)
{
	if (t->upload)
		batch_file_feed(t->upload->file, piece.p, piece.n);
}

/* Takes the string behind the key "id" of the answer's own object. */
static int read_answer(void *ctx, const char *p, size_t n)
{
	struct upload *u = ctx;
	enum json_token t;
	size_t i = 0;

	u->answer_bytes += n;
	if (u->answer_bytes > ANSWER_BYTES_MAX)
		return BUR_TOOBIG;
	while ((t = json_next(&u->json, p, n, &i)) != JT_MORE) {
		struct slice text = json_text(&u->json);

		if (t == JT_ERROR)
			return BUR_INVALID;
		if (t == JT_STRING && u->id_next && !u->json.cut && text.n < sizeof(u->id))
			(void)slice_to_cstr(text, u->id, sizeof(u->id));
		u->id_next = t == JT_KEY && u->json.depth == 1 && slice_eq(text, SLICE("id"));
		u->json.want_text = u->id_next;
	}
	return BUR_OK;
}

void txn_upload_answer(struct txn *t, const struct h1_head *h)
{
	const struct h1_field *coding = h1_find(h, H1_F_CONTENT_ENCODING);
	struct upload *u = t->upload;

	if (!u || h->status < 200 || h->status > 299)
		return;
	json_reader_init(&u->json);
	u->reading = true;
	u->lost = coding && !decode_is_identity(coding->value) &&
		  decode_new(coding->value, &DECODE_LIMITS, read_answer, u, &u->decode) < 0;
}

void txn_upload_answer_body(struct txn *t, struct slice piece)
{
	struct upload *u = t->upload;

	if (!u || !u->reading || u->lost)
		return;
	u->lost = (u->decode ? decode_feed(u->decode, piece.p, piece.n) : read_answer(u, piece.p, piece.n)) < 0;
}

/* An upload that the vendor has taken whole. */
void txn_upload_end(struct txn *t)
{
	struct upload *u = t->upload;
	const struct batch_sum *sum;

	if (!u || !u->reading || u->lost || !t->sent_all || (u->decode && decode_finish(u->decode) < 0) ||
	    !json_reader_complete(&u->json) || u->id[0] == '\0')
		return;
	u->reading = false;
	sum = batch_file_end(u->file);
	if (!sum)
		return;
	uploads_put(t->worker->proxy->uploads, slice_of(t->target.provider->name), slice_of(u->id), sum,
		    loop_wall_ns(t->worker->loop) / NS_PER_S);
	if (sum->why[0] != '\0')
		log_limited(LOG_WARN, "batch.file", "%s: batches of the file %s have no upper price: %s", t->id_text,
			    u->id, sum->why);
}

void txn_upload_free(struct txn *t)
{
	struct upload *u = t->upload;

	if (!u)
		return;
	batch_file_free(u->file);
	decode_free(u->decode);
	free(u);
	t->upload = NULL;
}
