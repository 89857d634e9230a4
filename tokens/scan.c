#include "tokens/scan.h"

#include "tokens/unicode.h"

/* Classes are bits here, so that a set of them is one test. */
#define BIT(class) (1u << (class))
#define UPPER BIT(UC_UPPER)
#define LOWER BIT(UC_LOWER)
#define UNCASED (BIT(UC_LETTER) | BIT(UC_MARK)) /* o200k: stand on both sides of the seam between cases */
#define LETTERS (UPPER | LOWER | BIT(UC_LETTER))
#define NUMBER BIT(UC_NUMBER)
#define NEWLINE BIT(UC_NEWLINE)
#define WHITE (BIT(UC_SPACE) | NEWLINE)
#define PUNCT (BIT(UC_OTHER) | BIT(UC_MARK)) /* [^\s\p{L}\p{N}] */
#define MAY_LEAD (PUNCT | BIT(UC_SPACE))     /* [^\r\n\p{L}\p{N}] */
#define NOTHING 0u                           /* the end of the text */

struct text {
	const uint8_t *end;
	bool *open;
};

static inline unsigned class_at(const struct text *t, const uint8_t *p, size_t *ret_n)
{
	if (p >= t->end) {
		*t->open = true;
		*ret_n = 0;
		return NOTHING;
	}
	return BIT(unicode_class(utf8_read(p, ret_n)));
}

/* The end of the run of these classes. */
static inline const uint8_t *run(const struct text *t, const uint8_t *p, unsigned classes)
{
	size_t n;

	while (class_at(t, p, &n) & classes)
		p += n;
	return p;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d): its length, or 0. Case-insensitive s is also U+017F. */
static size_t contraction(const struct text *t, const uint8_t *p)
{
	size_t n = (size_t)(t->end - p);
	uint8_t a, b;

	if (n > 0 && p[0] != '\'')
		return 0;
	if (n < 3)
		*t->open = true;
	if (n < 2)
		return 0;
	a = p[1] | 0x20;
	b = n > 2 ? p[2] | 0x20 : 0;
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return 2;
	if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l'))
		return 3;
	return n > 2 && p[1] == 0xc5 && p[2] == 0xbf ? 3 : 0;
}

static size_t number(const struct text *t, const uint8_t *p)
{
	size_t n, len = 0;

	for (int i = 0; i < 3 && (class_at(t, p + len, &n) & NUMBER); i++)
		len += n;
	return len;
}

/* \s*[\r\n]+ | \s+(?!\S) | \s+ : behind the last newline of the run; else all but the last, which leads what follows;
 * else all. */
static size_t white(const struct text *t, const uint8_t *p)
{
	const uint8_t *q = p, *last = p, *newline = NULL;
	unsigned class;
	size_t n;

	while ((class = class_at(t, q, &n)) & WHITE) {
		last = q;
		q += n;
		if (class & NEWLINE)
			newline = q;
	}
	if (newline)
		return (size_t)(newline - p);
	if (class == NOTHING || last == p)
		return (size_t)(q - p);
	return (size_t)(last - p);
}

/*  ?[^\s\p{L}\p{N}]+ and what may hang on: `tail` newlines, and in o200k slashes between them. 0: none here. */
static size_t punctuation(const struct text *t, const uint8_t *p, bool tail_has_slash)
{
	const uint8_t *begin = p[0] == ' ' ? p + 1 : p, *q = run(t, begin, PUNCT);

	if (q == begin)
		return 0;
	while (q < t->end && (*q == '\r' || *q == '\n' || (tail_has_slash && *q == '/')))
		q++;
	if (q == t->end)
		*t->open = true;
	return (size_t)(q - p);
}

/* o200k, a word without what leads it: [Lu Lt Lm Lo M]*[Ll Lm Lo M]+, the first part giving back what the second needs,
 * or failing that, when `alone`, upper case only. NULL: neither. */
static const uint8_t *cased_word(const struct text *t, const uint8_t *p, bool alone)
{
	const uint8_t *q = p, *uncased = NULL;
	unsigned class;
	size_t n;

	while ((class = class_at(t, q, &n)) & (UPPER | UNCASED)) {
		q += n;
		if (class & UNCASED)
			uncased = q;
	}
	if (class & LOWER)
		return run(t, q, LOWER | UNCASED);
	if (uncased)
		return uncased;
	return alone && q > p ? q : NULL;
}

size_t scan_o200k(const uint8_t *p, const uint8_t *end, bool *inout_open)
{
	struct text t = {end, inout_open};
	const uint8_t *word = NULL;
	size_t n, len;
	unsigned class = class_at(&t, p, &n);

	if (class & NUMBER)
		return number(&t, p);
	/* A mark may lead a word or be of it; to lead upper case alone is the second choice. */
	if (class & MAY_LEAD)
		word = cased_word(&t, p + n, !(class & UNCASED));
	if (!word && (class & (LETTERS | UNCASED)))
		word = cased_word(&t, p, true);
	if (word)
		return (size_t)(word - p) + contraction(&t, word);
	len = punctuation(&t, p, true);
	return len > 0 ? len : white(&t, p);
}

size_t scan_cl100k(const uint8_t *p, const uint8_t *end, bool *inout_open)
{
	struct text t = {end, inout_open};
	const uint8_t *word;
	size_t n, len = contraction(&t, p);
	unsigned class;

	if (len > 0)
		return len;
	class = class_at(&t, p, &n);
	if (class & NUMBER)
		return number(&t, p);
	if (class & LETTERS)
		return (size_t)(run(&t, p, LETTERS) - p);
	word = class & MAY_LEAD ? run(&t, p + n, LETTERS) : p + n;
	if (word > p + n)
		return (size_t)(word - p);
	len = punctuation(&t, p, false);
	return len > 0 ? len : white(&t, p);
}
