#include "tests/vendor/shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/vendor/request.h"

struct shelf {
	size_t next;
	struct {
		char id[OBJECT_ID_MAX + 1];
		char *p;
		size_t n;
	} places[SHELF_PLACES];
};

struct shelf *shelf_new(void)
{
	return calloc(1, sizeof(struct shelf));
}

void shelf_free(struct shelf *s)
{
	for (size_t i = 0; s && i < SHELF_PLACES; i++)
		free(s->places[i].p);
	free(s);
}

void shelf_put(struct shelf *s, const char *id, struct slice bytes)
{
	size_t at = s->next;

	for (size_t i = 0; i < SHELF_PLACES; i++) {
		if (strcmp(s->places[i].id, id) == 0)
			at = i;
	}
	if (at == s->next)
		s->next = (s->next + 1) % SHELF_PLACES;
	free(s->places[at].p);
	s->places[at].p = malloc(bytes.n + 1);
	CHECK(s->places[at].p != NULL);
	if (bytes.n)
		memcpy(s->places[at].p, bytes.p, bytes.n);
	s->places[at].n = bytes.n;
	CHECK(strlen(id) <= OBJECT_ID_MAX);
	(void)snprintf(s->places[at].id, sizeof(s->places[at].id), "%s", id);
}

struct slice shelf_get(const struct shelf *s, const char *id)
{
	for (size_t i = 0; i < SHELF_PLACES; i++) {
		if (s->places[i].p && strcmp(s->places[i].id, id) == 0)
			return slice_mem(s->places[i].p, s->places[i].n);
	}
	return (struct slice){NULL, 0};
}
