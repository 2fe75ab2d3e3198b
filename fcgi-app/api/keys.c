/*
 * keys.c: remembers for a few seconds which client an API key belongs to, or that it belongs to
 * nobody. Both memories are bounded, apart from each other, so that a flood of made-up keys
 * doesn't drive out the real ones; in each, the entry not used for longest goes first.
 */
#include "api/keys.h"

#include <stdlib.h>
#include <string.h>

#include "api/app.h"
#include "api/jobs.h"
#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/sha256.h"
#include "common/times.h"

#define BUCKETS 4096 /* a power of two */
/* Look-ups under way at a time; further callers are told that the database is away. */
#define UNDER_WAY_MAX 2000

struct waiting {
	struct waiting *next;
	client_key_fn *done;
	void *ctx;
};

/* In one of three states: being looked up (in no list), found, unknown. */
struct key {
	unsigned char sha256[SHA256_SIZE];
	struct key *bucket_next;
	struct key *newer, *older; /* by use */
	char *client;              /* NULL = nobody's */
	int64_t expires_at;        /* monotonic */
	struct waiting *waiting;   /* callers, while it is being looked up */
	bool looking;
};

struct memory {
	struct key *newest, *oldest;
	int n;
};

static struct app *owner;
static struct key *buckets[BUCKETS];
static struct memory found, unknown;
static int under_way;

static struct key **bucket_of(const unsigned char sha256[SHA256_SIZE])
{
	return &buckets[(sha256[0] | (unsigned)sha256[1] << 8) & (BUCKETS - 1)];
}

static struct key *find_key(const unsigned char sha256[SHA256_SIZE])
{
	for (struct key *k = *bucket_of(sha256); k; k = k->bucket_next)
		if (memcmp(k->sha256, sha256, SHA256_SIZE) == 0)
			return k;
	return NULL;
}

static void memory_remove(struct memory *m, struct key *k)
{
	*(k->newer ? &k->newer->older : &m->newest) = k->older;
	*(k->older ? &k->older->newer : &m->oldest) = k->newer;
	k->newer = k->older = NULL;
	m->n--;
}

static void memory_add(struct memory *m, struct key *k)
{
	k->older = m->newest;
	k->newer = NULL;
	*(m->newest ? &m->newest->newer : &m->oldest) = k;
	m->newest = k;
	m->n++;
}

static struct memory *memory_of(const struct key *k)
{
	return k->client ? &found : &unknown;
}

/* Frees a key that is in no memory (any more). */
static void key_free(struct key *k)
{
	struct key **at = bucket_of(k->sha256);

	while (*at != k)
		at = &(*at)->bucket_next;
	*at = k->bucket_next;
	free(k->client);
	free(k);
}

static void forget(struct key *k)
{
	memory_remove(memory_of(k), k);
	key_free(k);
}

static void answer_waiting(struct waiting *w, int outcome, const char *client)
{
	while (w) {
		struct waiting *next = w->next;

		w->done(w->ctx, outcome, client);
		free(w);
		w = next;
	}
}

static void key_came(void *ctx, const struct db_result *result)
{
	struct key *k = ctx;
	struct waiting *waiting = k->waiting;
	struct memory *memory;
	char *client = NULL;

	under_way--;
	k->waiting = NULL;
	k->looking = false;
	if (result->outcome != DB_OK) {
		if (result->outcome == DB_ERROR)
			log_warning("an API key can't be looked up sqlstate=%s", result->sqlstate);
		key_free(k);
		answer_waiting(waiting, -1, NULL);
		return;
	}
	if (dbr_rows(result->res) > 0 && !dbr_null(result->res, 0, 0))
		client = mem_strdup(dbr_text(result->res, 0, 0, NULL));
	k->client = client ? mem_strdup(client) : NULL;
	k->expires_at = mono_ms() +
			(client ? owner->cfg->keys_found_ms : owner->cfg->keys_unknown_ms);
	memory = memory_of(k);
	memory_add(memory, k);
	while (memory->n > owner->cfg->keys_max)
		forget(memory->oldest);
	/* The callbacks may look up further keys, so nothing of k is used from here on. */
	answer_waiting(waiting, client != NULL, client);
	free(client);
}

/* Asks the database; the caller waits with the key. False if it can't be asked. */
static bool look_up(struct key *k)
{
	struct db_params params;
	bool sent;

	if (under_way >= UNDER_WAY_MAX)
		return false;
	db_params_init(&params);
	dbp_bytea(&params, k->sha256, SHA256_SIZE);
	sent = db_query(owner->side, "SELECT longhaul.client_of_key($1)", &params, key_came, k);
	db_params_free(&params);
	if (sent) {
		k->looking = true;
		under_way++;
	}
	return sent;
}

static void wait_for(struct key *k, client_key_fn *done, void *ctx)
{
	struct waiting *w = mem_alloc(sizeof(*w));

	*w = (struct waiting){ k->waiting, done, ctx };
	k->waiting = w;
}

void client_key_lookup(const unsigned char sha256[SHA256_SIZE], client_key_fn *done, void *ctx)
{
	struct key *k = find_key(sha256);

	if (k && !k->looking && k->expires_at <= mono_ms()) {
		forget(k);
		k = NULL;
	}
	if (k && !k->looking) {
		memory_remove(memory_of(k), k);
		memory_add(memory_of(k), k);
		done(ctx, k->client != NULL, k->client);
		return;
	}
	if (!k) {
		k = mem_zalloc(sizeof(*k));
		memcpy(k->sha256, sha256, SHA256_SIZE);
		k->bucket_next = *bucket_of(sha256);
		*bucket_of(sha256) = k;
		if (!look_up(k)) {
			key_free(k);
			done(ctx, -1, NULL);
			return;
		}
	}
	wait_for(k, done, ctx);
}

void keys_start(struct app *a)
{
	owner = a;
}

/* The connection has been closed: nothing is being looked up any more. */
void keys_stop(void)
{
	while (found.newest)
		forget(found.newest);
	while (unknown.newest)
		forget(unknown.newest);
}
