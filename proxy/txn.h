/* txn.h - one call: from its head to its ledger row.
 *
 * A table of named steps; each ends with MORE (go on), WAIT (an event will re-enter) or DONE. Whatever happens, the
 * hold is resolved exactly once: txn_retire checks it. Private to the proxy room; worker's thread only. */
#ifndef PROXY_TXN_H
#define PROXY_TXN_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "meter/batch_file.h"
#include "meter/bound.h"
#include "meter/envelope.h"
#include "meter/generic_call.h"
#include "meter/tap.h"
#include "meter/tap_edge.h"
#include "meter/usage_hide.h"
#include "policy/rung.h"
#include "proxy/client.h"
#include "proxy/route.h"
#include "proxy/upstream.h"

#define TXN_STEPS(X)                                                                                                   \
	X(ROUTE, route)                                                                                                \
	X(PRINCIPAL, principal)                                                                                        \
	X(BODY, body)                                                                                                  \
	X(PRICE, price)                                                                                                \
	X(HOLD, hold) X(PACE, pace) X(DIAL, dial) X(SEND, send) X(ANSWER, answer) X(END, end)

enum txn_step {
#define X(uc, lc) TXN_##uc,
	TXN_STEPS(X)
#undef X
};

/* Who ended the call, and in which phase. Money, log and metrics hang on it. */
#define TXN_ENDS(X)                                                                                                    \
	X(NONE, "none")                                                                                                \
	X(COMPLETE, "complete") /* answer passed on whole */                                                           \
	X(REFUSED, "refused")   /* by bursar; the log line names the reason */                                         \
	X(CLIENT_BODY, "client_gone_in_request")                                                                       \
	X(CLIENT_WAIT, "client_gone_before_answer")                                                                    \
	X(CLIENT_ANSWER, "client_gone_in_answer")                                                                      \
	X(CLIENT_SLOW, "client_too_slow")                                                                              \
	X(BUDGET_CUT, "budget_cut") /* by bursar, while it ran: the money was gone, or somebody said so */             \
	X(UPSTREAM_CONNECT, "upstream_connect")                                                                        \
	X(UPSTREAM_TLS, "upstream_tls")                                                                                \
	X(UPSTREAM_SEND, "upstream_gone_in_request")                                                                   \
	X(UPSTREAM_HEAD, "upstream_gone_before_answer")                                                                \
	X(UPSTREAM_ANSWER, "upstream_gone_in_answer")                                                                  \
	X(UPSTREAM_PROTOCOL, "upstream_protocol")                                                                      \
	X(UPSTREAM_TIMEOUT, "upstream_timeout")                                                                        \
	X(SHUTDOWN, "shutdown")                                                                                        \
	X(STOPPED, "stopped") /* by a person, while it ran */

enum txn_end {
#define X(uc, text) TXN_END_##uc,
	TXN_ENDS(X)
#undef X
	    TXN_END_COUNT
};

/* How the answer's body is framed towards the client. */
enum out_framing { OUT_NONE, OUT_LENGTH, OUT_CHUNKED, OUT_CLOSE };

/* What the request's body is changed for; one edit of each. */
enum txn_edit_what { EDIT_USAGE, EDIT_MAX_OUT, EDIT_THINKING, EDIT_MODEL, TXN_EDITS_MAX };
/* A replacement of bytes [from, to) of the body; `text` is static or in the call's arena. */
struct txn_edit {
	enum txn_edit_what what;
	uint64_t from, to;
	struct slice text;
};
#define TXN_BODY_PIECES_MAX (3 * TXN_EDITS_MAX + 1) /* what stands between, the edits, commas */

#define TXN_ID_TEXT 37
#define TXN_PIECES_MAX 64

struct txn {
	unsigned magic;
	enum txn_step step;
	enum txn_end end;
	struct worker *worker;
	struct client *client; /* NULL once it has left */
	struct arena arena;
	uint64_t number;
	uint8_t uid[16];
	char id_text[TXN_ID_TEXT]; /* "req_" + hex of uid */
	int64_t start_mono_ns, start_wall_ns, sent_mono_ns, first_byte_mono_ns;

	/* the request */
	struct h1_head *head; /* copy in the arena; NULL once the call is compact */
	struct slice method;
	char *kept; /* what a compact call keeps of its texts */
	struct target target;
	const struct principal *principal; /* NULL: fingerprint of the vendor's key */
	struct principal_dir *principals;  /* keeps it alive */
	struct slice key_name;
	struct slice tags_json; /* members for the ledger's `extra`; empty without tags */
	struct slice
	    vendor_credential; /* to send upstream in place of the virtual key; empty = as the client sent it */
	bool swap_credential;
	bool refused_early; /* answered before the request was read whole: the connection closes */
	bool running, timed_out;

	/* the body */
	struct h1_body body_in;
	bool body_begun, body_complete, body_in_place; /* in place: body points into client->in */
	size_t body_scanned;
	bool stream_body; /* passes through as it comes; not scanned */
	struct buf body_buf;
	struct slice body;
	size_t in_place_bytes;       /* of client->in, to consume once sent */
	int64_t body_reserved_bytes; /* counted in proxy->body_bytes */
	uint64_t body_last_total;
	struct reqscan *scan;
	struct slice body_coding; /* Content-Encoding of a body that is looked into; empty: plain */
	struct decode *body_decode;
	bool body_made_plain; /* it came compressed and leaves in plain */
	struct request_info info;
	struct txn_edit edits[TXN_EDITS_MAX]; /* ascending, see txn_edit.c */
	size_t n_edits;

	/* the ladder (txn_ladder.c, txn_pace.c) */
	struct slice degraded_from; /* the model that was asked for; empty: it is the one that is called */
	uint64_t clamped_to;        /* output tokens that were put into the request; 0: none */
	bool default_out;           /* they are a budget's default: none were asked for */
	bool no_rungs;              /* no other model is tried any more */
	bool asked_has_max_out;     /* what the request itself says, before anything was changed */
	uint64_t asked_max_out;
	unsigned degrades, reserves;
	struct rung_used { /* degrade steps that are to be told; see txn_tell.c */
		uint64_t uid;
		int64_t win_start;
		size_t step;
	} rungs_used[RUNG_DEGRADES_MAX];
	size_t n_rungs_used;
	int64_t delay_ns;        /* it waited before it left, or must */
	struct waiting *waiting; /* NULL: it is neither throttled nor paced */
	/* what stops calls beside their budgets (txn_guard.c); NULL: nothing watches this call */
	struct guarded *guarded;
	uint64_t once_key;  /* calls with the same one are one bill, see once.h; 0: none */
	uint32_t sdk_retry; /* which try of its SDK this is; 0: the first, or it does not say */
	/* a hold that grows with the answer (txn_grow.c); NULL: the hold is for all of it */
	struct growing *growing;

	/* the money */
	struct batch_sum *batch; /* of a batch by file: what its requests can use; in the arena, gone once it is sent */
	const struct price_model *price;
	struct price_book *book;
	bool inherited_price, no_price, unbounded, metered, hard;
	bool tightened;            /* the exact count of the prompt was asked for */
	struct counting *counting; /* it is being made, in slices */
	uint64_t counted_tokens;   /* of its text, for learning; 0: not counted */
	enum script counted_script;
	bool priced_as_answer;        /* the model that the answer names was charged */
	struct generic_call *generic; /* NULL unless a rule under `meters` covers the call */
	struct bound bound;           /* what is held, or will be */
	struct bound full_bound;      /* of the whole call, also where it begins with less (txn_grow.c) */
	struct prompt_count count;    /* of the prompt, where the bound stands on it */
	bool has_count;
	struct hold hold;
	bool has_slot;
	uint32_t slot;
	uint32_t row_flags;
	int64_t cost_nanousd;
	int64_t book_cost_nanousd; /* beside a cost that the vendor reported; 0: none */
	bool settled;
	uint64_t input_tokens, output_tokens;
	const char *tightest_budget;
	int64_t tightest_left_nanousd;
	bool over_budget;
	enum refusal_reason refusal;
	const char *refused_by; /* a budget that refuses without being used up; NULL: see refusal_budgets */
	struct refusal_budget *refusal_budgets;
	size_t n_refusal_budgets;
	int retry_after_s;

	/* the upstream */
	struct upstream up;
	struct buf send;   /* request head, later bytes of a streamed body */
	size_t sent_bytes; /* of head + body */
	bool sent_all, sending, dialling, retried, waits_for_client;
	struct iovec request_iov[TXN_BODY_PIECES_MAX + 1];
	int n_request_iov;
	size_t request_bytes;

	/* the answer */
	struct buf answer_in; /* a head that has not arrived whole */
	struct h1_scan answer_scan;
	struct h1_body answer_body;
	bool answer_head_seen, answer_head_sent, answer_ended, upstream_keep_alive, client_keep_alive;
	int answer_status;
	enum out_framing out_framing;
	struct tap *tap;
	struct tap_edge edge; /* of what the client was given of the answer */
	bool answer_coded;    /* it is compressed */
	bool counts_words;    /* the tap counts as the vendor does */
	char *cut_why;        /* it is to be cut off behind the event at hand, and why; else NULL */
	uint64_t cut_at_bytes;
	struct usage_hide *hide;
	struct upload *upload; /* NULL unless it is a file that may become a batch (txn_upload.c) */
	struct buf hidden;     /* output of the filter */
	uint64_t answer_bytes;
	bool answer_ready;
	bool paused; /* upstream is stopped because the client reads slowly */
	bool draining;

	struct deadline deadline;
	TAILQ_ENTRY(txn) entry;
	struct loop_free_node free_node;
};
#define TXN_MAGIC 0x54584e31u

/* Starts a call on a client whose head is complete in worker->head. */
void txn_start(struct client *);
void txn_run(struct txn *);
/* Events. */
void txn_client_readable(struct txn *); /* more of the request, or the client's end */
void txn_client_writable(struct txn *); /* `out` has left: the answer may go on */
void txn_client_gone(struct txn *);     /* t->client is cleared */
void txn_abort(struct txn *, enum txn_end);
/* A stream goes on for minutes: what only its beginning needed is given back. */
void txn_compact(struct txn *);
void txn_deadline(struct deadline *);
/* Refuses the call: ends its hold, answers, ends. What ended it stands in t->end before, if it was not bursar. Always
 * leaves the step at END. */
enum step_result { STEP_MORE, STEP_WAIT, STEP_DONE };
enum step_result txn_refuse(struct txn *, enum refusal_reason, const char *fmt, ...) PRINTF_LIKE(3, 4);
const char *txn_end_name(enum txn_end);
void txn_metrics_register(void); /* once, before the workers start */

/* txn_price.c */
enum step_result txn_step_price(struct txn *);
/* A bill of an earlier call is fetched: nothing is spent now. */
bool txn_is_late(const struct txn *);
/* Model runs that the call stands for, before its answer tells. */
uint64_t txn_requests(const struct txn *);
bool txn_is_residency(const struct txn *);
/* t->bound and t->full_bound of t->info at t->price. */
enum bound_result txn_find_bound(struct txn *, const char **ret_why);
/* The price of a model of this call's provider; NULL: unknown. */
const struct price_model *txn_find_price(struct txn *, const char *model, bool *ret_inherited);
/* The budgets of the call and its facts, into the worker's scratch. False: *ret is what becomes of the call. */
bool txn_match_budgets(struct txn *, enum step_result *ret);

/* txn_count.c */
enum tighten {
	TIGHTEN_NOT, /* there is no closer bound, or it is in use already */
	TIGHTEN_DONE,
	TIGHTEN_LATER,   /* the prompt is long: the step runs again for each slice, until it is another result */
	TIGHTEN_REFUSED, /* the call has ended meanwhile */
};
/* Replaces the bound by a closer one, from an exact count. After LATER the match is made anew. */
enum tighten txn_tighten(struct txn *);
void txn_count_free(struct txn *);
void txn_count_turn(void *worker); /* counts the next slice of a call that waits */

/* txn_batch.c: the requests of a batch stand in a file at the vendor. */
enum txn_batch { TXN_BATCH_BOUNDED, TXN_BATCH_FREE, TXN_BATCH_UNBOUNDED };
/* BOUNDED: t->batch is set, and t->info is of its first model now. UNBOUNDED: `why` is a sentence for people. */
enum txn_batch txn_batch_take(struct txn *, char *why, size_t why_size);
/* Do all models of the file fall under the same budgets? After those of the first were matched; t->hard becomes true
 * when some are hard. */
bool txn_batch_same_budgets(struct txn *);
/* A batch was ordered: what is known of it goes under its own id. */
void txn_batch_ordered(struct txn *, struct slice id);
/* Its object is fetched: a sum of many requests, whose long-context prices go by the size of each. */
void txn_batch_fetched(struct txn *, struct usage *inout) NONNULL(1, 2);
/* Adds to the bound what the file's other models may cost. */
enum bound_result txn_batch_rest(struct txn *, const char **ret_why);

/* txn_upload.c: none of these ever fails the call. */
void txn_upload_begin(struct txn *);
void txn_upload_body(struct txn *, struct slice piece);
void txn_upload_answer(struct txn *, const struct h1_head *answer);
void txn_upload_answer_body(struct txn *, struct slice piece);
void txn_upload_end(struct txn *); /* request and answer are whole; before the client can know */
void txn_upload_free(struct txn *);

/* txn_hold.c */
enum step_result txn_step_hold(struct txn *);
/* Those that block, for the refusal. False: out of memory. */
bool txn_list_blocked(struct txn *, const struct decision *);
/* The first byte is about to leave: slot and hold become SENT. */
void txn_money_sent(struct txn *);

/* txn_tell.c: what people are told of, each once for a counter, window and step; and once a day for a model. */
void txn_tell_events(struct txn *, const struct engine_event *, size_t n);
/* Budgets that refuse at their limit without a step that says so. */
void txn_tell_limits(struct txn *, const struct decision *);
/* It waits, or was refused because it had to wait too long: the rungs that did it. */
void txn_tell_delay(struct txn *, const struct reached *);
/* Another model is called in the place of the one that was asked for; told when the call is admitted. */
void txn_tell_degrade(struct txn *, const struct decision *);
void txn_tell_degrades(struct txn *);
/* It is refused, for it has no price. */
void txn_tell_unknown_model(struct txn *);

/* txn_edit.c: what is changed in the body before it leaves. */
/* In place of an earlier edit of that purpose. `text` is static or in the arena. BUR_INVALID: the body may not be
 * changed (signed by the client, streamed), or the range is not in it or inside another edit's. Or why a compressed
 * body could not be made plain. */
int txn_edit_set(struct txn *, enum txn_edit_what, uint64_t from, uint64_t to, struct slice text) MUST_USE;
void txn_edit_drop(struct txn *, enum txn_edit_what);
bool txn_edit_allowed(const struct txn *);
uint64_t txn_edit_length(const struct txn *); /* of the body as it leaves */
/* The body as it leaves, piece by piece, at most TXN_BODY_PIECES_MAX of them. */
void txn_edit_pieces(const struct txn *, void (*add)(void *ctx, struct slice), void *ctx);

/* txn_ladder.c: from the engine's decision to what is done about the call. */
/* A request without a bound of its output gets the budgets' default. After price and match are known. */
void txn_ladder_default_out(struct txn *);
/* The hold was refused: a cheaper model or fewer output tokens? TRUE: t->info, t->bound, the match and the edits are
 * changed; reserve again. False with t->end set: the call was refused meanwhile. */
bool txn_ladder_bend(struct txn *, const struct decision *);
/* What was done, for people: fields of the answer's head, members of the row's `extra`, words of the log line. */
void txn_ladder_fields(const struct txn *, struct h1_writer *);
struct slice txn_ladder_extra(const struct txn *, char *dst, size_t dst_size);
void txn_ladder_log(const struct txn *, struct log_line *);

/* txn_pace.c: throttled and paced calls wait before they leave. */
/* The hold was taken: how long must it wait? False: it must wait too long; the hold is voided, the call refused (429),
 * *ret says how it goes on. */
bool txn_ladder_pace(struct txn *, const struct decision *, enum step_result *ret);
enum step_result txn_step_pace(struct txn *); /* waits, then dials */
/* Idempotent, for every exit: what was not used is given back to the pacing. */
void txn_ladder_end(struct txn *, int64_t actual_nanousd);
void txn_pace_metrics(void);
/* The worker takes no more calls: those that wait are refused. */
void txn_pace_drain(struct worker *);

/* The time that the engine believes in. */
int64_t txn_engine_time_s(struct txn *);

/* txn_grow.c: holds that grow. What is needed after txn_compact is not in the arena. */
/* Before the first reserve, and again when the ladder changed the call: may this stream hold less than all it can
 * cost? Then t->bound becomes what it begins with. */
void txn_grow_begin(struct txn *);
/* The beginning does not fit. True: t->bound is smaller (down to what is worth a call), try once more. */
bool txn_grow_begin_with(struct txn *, const struct amounts *room);
/* After each piece of the answer went to the tap. False: the money is gone; the call must be cut off. */
bool txn_grow_on(struct txn *);
/* The answer has begun; it is over: how long answers are is learned from it. */
void txn_grow_first(struct txn *);
void txn_grow_last(struct txn *, uint64_t output_tokens);
/* Then: which budgets, and how far it got. */
const char *txn_grow_why(const struct txn *);
/* The hold becomes that of the whole call, which then needs not be watched. False: there is no money for it. */
bool txn_grow_whole(struct txn *);
/* Output tokens that may be on the wire, and billed, when a call is hung up on. */
uint64_t txn_grow_allowance(const struct txn *);
void txn_grow_free(struct txn *);

/* txn_guard.c: kill switches, breakers, loops. Each: false: refused, *ret is what becomes of the call. */
bool txn_guard_principal(struct txn *, enum step_result *ret); /* who calls is known */
bool txn_guard_admit(struct txn *, enum step_result *ret);     /* the hold is taken; it is voided when refused */
bool txn_guard_dial(struct txn *, enum step_result *ret);      /* is the upstream well? */
/* Idempotent, for every exit, after the hold was resolved. */
void txn_guard_end(struct txn *, int64_t actual_nanousd);
/* The head of the vendor's answer is in: how long does it ask us to wait? */
void txn_guard_answer(struct txn *, const struct h1_head *);
/* The user of a client that may name one, when it is another than its key's; empty: the key's. */
struct slice txn_guard_user(const struct txn *);

/* The request's body where it lies now: a call that waited may find the connection's buffer moved. */
static inline struct slice txn_body(const struct txn *t)
{
	if (t->body_in_place && t->client)
		return slice_sub(buf_slice(&t->client->in), 0, t->body.n);
	return t->body;
}

/* txn_once.c: when the body is there. Sets once_key where the vendor bills repeats of this call once. */
void txn_once_find(struct txn *);

/* txn_stop.c: kill switches; nothing is asked of them while nothing is stopped. */
/* False: refused, *ret is what becomes of the call. `facts` of the call, or NULL: as far as its head tells them. */
bool txn_stop_admits(struct txn *, const struct facts *, enum step_result *ret);
/* Is who asks for a tunnel stopped? Then the sentence to refuse it with. */
bool txn_stop_client(struct client *, char *why, size_t why_size);
/* Ends the calls and tunnels that a stop with `cut` covers. */
void txn_stop_running(struct worker *);

/* As much of a count as the journal has room for. */
static inline uint32_t clip_u32(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* txn_settle.c */
/* Resolves the hold, whatever it is: by usage, estimate, worst case, or nothing. Idempotent. */
void txn_settle(struct txn *);

/* txn_body.c */
enum step_result txn_step_body(struct txn *);
/* A compressed body that must be edited leaves in plain. BUR_OK at once when it is plain. */
int txn_body_make_plain(struct txn *) MUST_USE;
void txn_free_scan(struct txn *);
/* Does a field stand more than once? Two readers may then read two things. */
bool txn_field_repeats(const struct h1_head *, enum h1_field_id);

/* txn_request.c */
enum step_result txn_step_principal(struct txn *);
/* Everything known of the call that budgets match on. BUR_INVALID: malformed tags of the client. */
int txn_gather_facts(struct txn *, struct facts *ret) MUST_USE;
enum step_result txn_step_route(struct txn *);
/* Does the vendor get this field of the client's? */
bool txn_field_crosses(const struct txn *, const struct h1_field *);
int txn_write_request_head(struct txn *) MUST_USE;
/* Points request_iov at head and body again; the connection's buffer may have moved. */
void txn_gather_request(struct txn *);

/* txn_send.c */
enum step_result txn_step_dial(struct txn *);
enum step_result txn_step_send(struct txn *);
/* A pooled connection that the vendor had closed meanwhile: true when the call starts once more on a new one. */
bool txn_send_again(struct txn *);

/* txn_answer.c */
/* Reads past interim answers. BUR_OK: the final head is in worker->head and *s stands at the body. */
int txn_answer_head(struct txn *, struct slice *s) MUST_USE;
int txn_answer_write_head(struct txn *, struct buf *out) MUST_USE;

/* txn_relay.c */
enum step_result txn_step_answer(struct txn *);
/* The one place that says what we want of the vendor's socket. */
void txn_relay_interest(struct txn *);
enum step_result txn_relay_read(struct txn *);
/* The vendor's side failed after its head: the client must see a broken answer, not a short one. */
enum step_result txn_relay_cut(struct txn *, enum txn_end);
/* Ends a call at once from outside its steps, wherever it is: a running stream in the vendor's own words, behind the
 * event that the client is reading (whose rest it gets first), else by a refusal, or where nothing can be said any more
 * by a broken connection. The vendor is hung up on; what was used is charged, and the hold ends. `why` is a sentence
 * for people. The call may be gone on return. */
void txn_cut_off(struct txn *, const char *why);
extern struct metric metric_streams_cut;

#endif
