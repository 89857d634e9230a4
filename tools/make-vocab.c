/* make-vocab - turns a .tiktoken file (a line for each token: base64 of its bytes, space, rank) into the tables of
 * tokens/vocab.h. Usage: make-vocab FILE.tiktoken OUT. It checks what the encoder relies on: ranks are 0..n-1, every
 * byte is a token, and every other token is the merge of two tokens of lower rank. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokens/vocab.h"

#define TOKENS_MAX (1u << VOCAB_ID_BITS)
#define TOKEN_BYTES_MAX 255
#define TRIE_MAX (1u << 20)
#define NODES_MAX (1u << 20)
#define PASSED_MAX 64

struct token {
	uint8_t *p;
	uint32_t n, left, right;
};

struct node {
	uint32_t child, sibling; /* 0: none; node 0 is the root */
	uint32_t token_1, base;
	uint8_t byte;
};

static struct token tokens[TOKENS_MAX];
static uint32_t n_tokens;
static uint32_t by_text[4 * TOKENS_MAX]; /* id + 1 */
static struct node nodes[NODES_MAX];
static uint32_t n_nodes = 1;
static uint32_t trie[TRIE_MAX + 256], inner[TRIE_MAX + 256];
static bool base_used[TRIE_MAX];
static uint32_t next_free[TRIE_MAX + 1], prev_free[TRIE_MAX + 1]; /* a ring through 0, the first 256 left out */
static uint32_t trie_end;

static void die(const char *what, unsigned long where)
{
	(void)fprintf(stderr, "make-vocab: %s (%lu)\n", what, where);
	exit(1);
}

/* --- reading the file --------------------------------------------------------------------------------------------- */
static int sextet(int c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c == 0 ? NULL : strchr(digits, c);

	return at ? (int)(at - digits) : -1;
}

static uint32_t base64(const char *s, size_t n, uint8_t *dst)
{
	uint32_t bits = 0, n_bits = 0, out = 0;

	for (size_t i = 0; i < n && s[i] != '='; i++) {
		int v = sextet(s[i]);

		if (v < 0 || out >= TOKEN_BYTES_MAX)
			die("not base64, or too long", i);
		bits = bits << 6 | (uint32_t)v;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			dst[out++] = (uint8_t)(bits >> n_bits);
		}
	}
	return out;
}

static void read_line(char *line, unsigned long number)
{
	char *space = strchr(line, ' '), *end;
	uint8_t text[TOKEN_BYTES_MAX + 1];
	unsigned long rank;
	struct token *t;

	if (!space)
		die("no rank in line", number);
	rank = strtoul(space + 1, &end, 10);
	if (rank >= TOKENS_MAX - 1 || (*end != '\n' && *end != '\0') || tokens[rank].p)
		die("bad rank in line", number);
	t = &tokens[rank];
	t->n = base64(line, (size_t)(space - line), text);
	t->p = malloc(t->n + 1);
	if (!t->p || t->n == 0)
		die("empty token in line", number);
	memcpy(t->p, text, t->n);
	n_tokens = rank >= n_tokens ? (uint32_t)rank + 1 : n_tokens;
}

static void read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[1024];
	unsigned long n = 0;

	if (!f)
		die("cannot open the vocabulary", 0);
	while (fgets(line, sizeof(line), f))
		read_line(line, ++n);
	(void)fclose(f);
	if (n == 0 || n != n_tokens)
		die("ranks are not 0..n-1", n);
}

/* --- token by its bytes, and how it is merged --------------------------------------------------------------------- */
static uint32_t *find(const uint8_t *p, uint32_t n)
{
	uint64_t h = 0xcbf29ce484222325ull;
	uint32_t i;

	for (i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15ull;
	for (i = (uint32_t)(h >> 40) % (4 * TOKENS_MAX); by_text[i] != 0; i = (i + 1) % (4 * TOKENS_MAX)) {
		const struct token *t = &tokens[by_text[i] - 1];

		if (t->n == n && memcmp(t->p, p, n) == 0)
			break;
	}
	return &by_text[i];
}

static void index_tokens(void)
{
	for (uint32_t id = 0; id < n_tokens; id++) {
		uint32_t *at = find(tokens[id].p, tokens[id].n);

		if (*at != 0)
			die("two tokens with the same bytes", id);
		*at = id + 1;
	}
}

/* The plain algorithm on the token's own bytes, with tokens of lower rank only: it ends with two parts. */
static void split(uint32_t id)
{
	struct token *t = &tokens[id];
	uint32_t begin[TOKEN_BYTES_MAX + 2], n = t->n;

	t->left = t->right = id;
	for (uint32_t i = 0; i <= n; i++)
		begin[i] = i;
	while (n > 2) {
		uint32_t best = id, at = 0;

		for (uint32_t i = 0; i + 2 <= n; i++) {
			uint32_t found = *find(t->p + begin[i], begin[i + 2] - begin[i]);

			if (found != 0 && found - 1 < best) {
				best = found - 1;
				at = i;
			}
		}
		if (best == id)
			die("a token is no merge of two others", id);
		memmove(&begin[at + 1], &begin[at + 2], (n - at - 1) * sizeof(begin[0]));
		n--;
	}
	if (n == 2) {
		t->left = *find(t->p, begin[1]) - 1;
		t->right = *find(t->p + begin[1], begin[2] - begin[1]) - 1;
		if (t->left >= id || t->right >= id)
			die("a token's parts have no lower rank", id);
	}
}

/* --- the trie ----------------------------------------------------------------------------------------------------- */
static uint32_t child_of(uint32_t node, uint8_t byte)
{
	uint32_t i = nodes[node].child;

	while (i != 0 && nodes[i].byte != byte)
		i = nodes[i].sibling;
	return i;
}

static void add_to_trie(uint32_t id)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < tokens[id].n; i++) {
		uint32_t next = child_of(at, tokens[id].p[i]);

		if (next == 0) {
			if (n_nodes == NODES_MAX)
				die("too many nodes", id);
			next = n_nodes++;
			nodes[next] = (struct node){.byte = tokens[id].p[i], .sibling = nodes[at].child};
			nodes[at].child = next;
		}
		at = next;
	}
	nodes[at].token_1 = id + 1;
}

static bool fits(uint32_t node, uint32_t base)
{
	if (base == 0 || base_used[base])
		return false;
	for (uint32_t c = nodes[node].child; c != 0; c = nodes[c].sibling)
		if (trie[base ^ nodes[c].byte] != 0)
			return false;
	return true;
}

static void drop_free(uint32_t slot)
{
	next_free[prev_free[slot]] = next_free[slot];
	prev_free[next_free[slot]] = prev_free[slot];
}

/* Finds room for the children of a node. Free slots are tried in order; one that was passed over often is given up. */
static void place_children(uint32_t node)
{
	static uint8_t passed[TRIE_MAX];
	uint8_t first = nodes[nodes[node].child].byte;
	uint32_t slot = next_free[0];

	for (; !fits(node, slot ^ first); slot = next_free[slot]) {
		if (++passed[slot] == PASSED_MAX)
			drop_free(slot);
		if (slot + 256 >= TRIE_MAX)
			die("the trie needs more room", node);
	}
	nodes[node].base = slot ^ first;
	base_used[slot ^ first] = true;
	for (uint32_t c = nodes[node].child; c != 0; c = nodes[c].sibling) {
		slot = nodes[node].base ^ nodes[c].byte;
		trie[slot] = nodes[c].child ? TRIE_SLOT(0, nodes[c].byte)
					    : TRIE_SLOT(nodes[c].token_1 - 1, nodes[c].byte) | TRIE_LEAF;
		if (passed[slot] < PASSED_MAX)
			drop_free(slot);
		trie_end = slot >= trie_end ? slot + 1 : trie_end;
	}
}

/* In order of rank: what is used most lies together. */
static void build_trie(void)
{
	for (uint32_t id = 0; id < n_tokens; id++)
		add_to_trie(id);
	for (uint32_t slot = 256; slot <= TRIE_MAX; slot++)
		prev_free[next_free[slot == 256 ? 0 : slot - 1] = slot] = slot == 256 ? 0 : slot - 1;
	place_children(0);
	for (uint32_t id = 0; id < n_tokens; id++) {
		uint32_t at = 0;

		for (uint32_t i = 0; i < tokens[id].n; i++) {
			uint32_t base = nodes[at].base;

			at = child_of(at, tokens[id].p[i]);
			if (nodes[at].child != 0 && nodes[at].base == 0) {
				place_children(at);
				trie[base ^ nodes[at].byte] |= nodes[at].base;
				if (nodes[at].token_1 != 0) {
					trie[base ^ nodes[at].byte] |= TRIE_HAS_TOKEN;
					inner[nodes[at].base] = nodes[at].token_1 - 1;
				}
			}
		}
	}
	trie_end = (trie_end | 255) + 1; /* any base ^ byte is inside */
}

/* --- writing ------------------------------------------------------------------------------------------------------ */
static FILE *out;
static uint32_t written;

static void put(const void *p, size_t n)
{
	if (fwrite(p, 1, n, out) != n)
		die("cannot write", written);
	written += (uint32_t)n;
}

static uint32_t align_up(uint32_t n)
{
	return (n + VOCAB_ALIGN - 1) / VOCAB_ALIGN * VOCAB_ALIGN;
}

static void put_at(uint32_t at, const void *p, size_t n)
{
	static const char zeros[VOCAB_ALIGN];

	put(zeros, at - written);
	put(p, n);
}

static uint64_t *token_table(uint32_t *ret_max)
{
	uint64_t *table = calloc(n_tokens, sizeof(*table));

	for (uint32_t id = 0; table && id < n_tokens; id++) {
		const struct token *t = &tokens[id];
		uint32_t prefix = VOCAB_NONE;

		for (uint32_t n = t->n - 1; n > 0 && prefix == VOCAB_NONE; n--)
			prefix = (*find(t->p, n) - 1) & VOCAB_NONE; /* 0 - 1: none */
		table[id] = TOKEN_OF(t->left, t->right, prefix, t->n);
		*ret_max = t->n > *ret_max ? t->n : *ret_max;
	}
	return table;
}

static uint32_t *pair_table(uint32_t bits)
{
	size_t n = (size_t)1 << bits;
	uint32_t *table = malloc(n * sizeof(*table));

	if (!table)
		return NULL;
	memset(table, 0xff, n * sizeof(*table));
	for (uint32_t id = 0; id < n_tokens; id++) {
		uint64_t hash = PAIR_HASH(tokens[id].left, tokens[id].right);
		size_t i = PAIR_SLOT(hash, bits);

		if (tokens[id].n == 1)
			continue;
		while (table[i] != PAIR_FREE)
			i = (i + 1) % n;
		table[i] = PAIR_TAG(hash) | id;
	}
	return table;
}

static uint64_t *pair_filter(uint32_t bits)
{
	uint64_t *filter = calloc((size_t)1 << (bits + 3) >> 6, sizeof(*filter));

	for (uint32_t id = 0; filter && id < n_tokens; id++) {
		uint32_t bit = FILTER_BIT(PAIR_HASH(tokens[id].left, tokens[id].right), bits);

		if (tokens[id].n > 1)
			filter[bit / 64] |= 1ull << (bit % 64);
	}
	return filter;
}

static void write_image(void)
{
	uint32_t max = 0, text_n = 0, *begin = calloc(n_tokens + 1, sizeof(*begin));
	struct vocab_header h = {
	    .magic = VOCAB_MAGIC, .n_tokens = n_tokens, .trie_root = nodes[0].base, .trie_n = trie_end};
	uint64_t *token = token_table(&max), *filter;
	uint32_t *pair;

	for (h.pair_bits = 4; (1u << h.pair_bits) * 4 / 5 < n_tokens; h.pair_bits++)
		;
	pair = pair_table(h.pair_bits);
	filter = pair_filter(h.pair_bits);
	if (!begin || !token || !pair || !filter)
		die("out of memory", 0);
	for (uint32_t id = 0; id < n_tokens; id++)
		begin[id + 1] = text_n += tokens[id].n;
	h.max_token_bytes = max;
	h.trie_at = align_up(sizeof(h));
	h.inner_at = align_up(h.trie_at + trie_end * 4);
	h.token_at = align_up(h.inner_at + trie_end * 4);
	h.pair_at = align_up(h.token_at + n_tokens * 8);
	h.filter_at = align_up(h.pair_at + (4u << h.pair_bits));
	h.begin_at = align_up(h.filter_at + (8u << h.pair_bits) / 8);
	h.text_at = align_up(h.begin_at + (n_tokens + 1) * 4);
	h.size_bytes = h.text_at + text_n;
	put(&h, sizeof(h));
	put_at(h.trie_at, trie, trie_end * sizeof(trie[0]));
	put_at(h.inner_at, inner, trie_end * sizeof(inner[0]));
	put_at(h.token_at, token, n_tokens * sizeof(*token));
	put_at(h.pair_at, pair, sizeof(*pair) << h.pair_bits);
	put_at(h.filter_at, filter, (8u << h.pair_bits) / 8);
	put_at(h.begin_at, begin, (n_tokens + 1) * sizeof(*begin));
	put_at(h.text_at, NULL, 0);
	for (uint32_t id = 0; id < n_tokens; id++)
		put(tokens[id].p, tokens[id].n);
	free(begin);
	free(token);
	free(pair);
	free(filter);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		die("usage: make-vocab FILE.tiktoken OUT", 0);
	read_file(argv[1]);
	index_tokens();
	for (int c = 0; c < 256; c++)
		if (*find(&(uint8_t){(uint8_t)c}, 1) == 0)
			die("a byte is no token", (unsigned long)c);
	for (uint32_t id = 0; id < n_tokens; id++)
		split(id);
	build_trie();
	out = fopen(argv[2], "wb");
	if (!out)
		die("cannot open the output", 0);
	write_image();
	if (fclose(out) != 0)
		die("cannot write", written);
	return 0;
}
