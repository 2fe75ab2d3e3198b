/*
 * webhook_share.c: counts of deliveries under way, by client.
 *
 * Only clients with something under way, or whose last one was slow, are known here: few, so a list will do.
 */
#include "webhook_share.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/pgarray.h"

#define KNOWN_MAX 1000 /* slow clients with nothing under way beyond these are forgotten */

struct share {
	struct share *next;
	char *client;
	int under_way, slow; /* of those */
	bool was_slow;       /* the last one that ended */
};

static struct {
	struct share *first;
	int slots, under_way, known;
	int of_slow; /* under way for clients who are slow */
} shares;

static bool is_slow(const struct share *s)
{
	return s->slow > 0 || s->was_slow;
}

static int at_least_one(int n)
{
	return n > 0 ? n : 1;
}

/* How many more deliveries may begin for a client like this. */
static int room_of(const struct share *s)
{
	int room = shares_per_client() - s->under_way,
	    of_slow = at_least_one(shares.slots / 2) - shares.of_slow;

	if (is_slow(s) && of_slow < room)
		room = of_slow;
	return room > 0 ? room : 0;
}

void shares_open(int slots)
{
	shares.slots = slots;
}

static void forget(struct share **at)
{
	struct share *s = *at;

	*at = s->next;
	shares.known--;
	free(s->client);
	free(s);
}

void shares_close(void)
{
	while (shares.first)
		forget(&shares.first);
	memset(&shares, 0, sizeof(shares));
}

/* Forgets the client if there is nothing to know. */
static void tidy(struct share *s)
{
	struct share **at = &shares.first;

	if (s->under_way > 0 || (s->was_slow && shares.known <= KNOWN_MAX))
		return;
	while (*at != s)
		at = &(*at)->next;
	forget(at);
}

struct share *share_begin(const char *client)
{
	struct share *s = shares.first;

	while (s && strcmp(s->client, client) != 0)
		s = s->next;
	if (!s) {
		s = mem_zalloc(sizeof(*s));
		s->client = mem_strdup(client);
		s->next = shares.first;
		shares.first = s;
		shares.known++;
	}
	if (room_of(s) == 0 || shares_room() == 0) {
		tidy(s);
		return NULL;
	}
	s->under_way++;
	shares.under_way++;
	if (is_slow(s))
		shares.of_slow++;
	return s;
}

/* A client may become slow or quick: all that it has under way changes its place. */
static void recount(const struct share *s, bool before)
{
	if (is_slow(s) != before)
		shares.of_slow += before ? -s->under_way : s->under_way;
}

void share_slow(struct share *s)
{
	bool before = is_slow(s);

	s->slow++;
	recount(s, before);
}

void share_end(struct share *s, bool was_slow, bool judge)
{
	bool before = is_slow(s);

	if (before)
		shares.of_slow--;
	s->under_way--;
	shares.under_way--;
	if (was_slow)
		s->slow--;
	if (judge)
		s->was_slow = was_slow;
	recount(s, before);
	tidy(s);
}

int shares_room(void)
{
	return shares.slots - shares.under_way;
}

int shares_per_client(void)
{
	return at_least_one(shares.slots / 4);
}

void shares_limits(struct pgarray *clients, struct pgarray *room)
{
	for (const struct share *s = shares.first; s; s = s->next) {
		pga_text(clients, s->client);
		pga_int4(room, room_of(s));
	}
}
