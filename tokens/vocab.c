#include "tokens/vocab.h"

#include <sys/mman.h>
#include <unistd.h>

/* The images stand in read-only memory, and cost nothing until they are read. One that was not made is empty. */
#define IMAGE(name)                                                                                                    \
	__asm__(".pushsection .rodata, \"a\"\n"                                                                        \
		".balign 64\n"                                                                                         \
		".globl vocab_image_" #name "\n.hidden vocab_image_" #name "\n"                                        \
		"vocab_image_" #name ": .incbin \"" VOCAB_FOLDER "/" #name ".bin\"\n"                                  \
		".globl vocab_image_" #name "_end\n.hidden vocab_image_" #name "_end\n"                                \
		"vocab_image_" #name "_end: .byte 0\n"                                                                 \
		".popsection");                                                                                        \
	extern const uint8_t vocab_image_##name[] __attribute__((visibility("hidden")));                               \
	extern const uint8_t vocab_image_##name##_end[] __attribute__((visibility("hidden")))

IMAGE(o200k_base);
IMAGE(cl100k_base);

struct image {
	const uint8_t *p, *end;
};

static const struct image images[VOCAB_COUNT] = {
    [VOCAB_O200K] = {vocab_image_o200k_base, vocab_image_o200k_base_end},
    [VOCAB_CL100K] = {vocab_image_cl100k_base, vocab_image_cl100k_base_end},
};

/* The image is aligned, and so are its tables. */
#define TABLE(p, at) ((const void *)((p) + (at)))

bool vocab_get(enum vocab_name name, struct vocab *ret)
{
	const uint8_t *p = images[name].p;
	const struct vocab_header *h = (const void *)p;

	if ((size_t)(images[name].end - p) < sizeof(*h) || h->magic != VOCAB_MAGIC)
		return false;
	*ret = (struct vocab){
	    .trie = TABLE(p, h->trie_at),
	    .inner = TABLE(p, h->inner_at),
	    .token = TABLE(p, h->token_at),
	    .pair = TABLE(p, h->pair_at),
	    .filter = TABLE(p, h->filter_at),
	    .begin = TABLE(p, h->begin_at),
	    .text = p + h->text_at,
	    .n_tokens = h->n_tokens,
	    .trie_root = h->trie_root,
	    .pair_bits = h->pair_bits,
	    .max_token_bytes = h->max_token_bytes,
	};
	return true;
}

void vocab_prepare(enum vocab_name name)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)images[name].p & ~(page - 1);

#ifdef MADV_POPULATE_READ /* Linux 5.14 */
	(void)madvise((void *)begin, (uintptr_t)images[name].end - begin, MADV_POPULATE_READ);
#else
	(void)madvise((void *)begin, (uintptr_t)images[name].end - begin, MADV_WILLNEED);
#endif
}
