/*
 * types.c: the job types, read from the database at start, every few seconds and when it says
 * that one has changed. While the database is away the last ones known stay.
 */
#include "api/types.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <ev.h>

#include "api/app.h"
#include "api/jobs.h"
#include "common/buf.h"
#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/sha256.h"

static struct app *owner;
static struct job_type *types; /* ordered by submit path */
static int n_types;
static bool known;
static uint64_t version; /* of what is documented of them */
static unsigned char version_sha256[SHA256_SIZE];
static bool reading, read_again;
static ev_timer refresh_timer;

static void free_types(struct job_type *list, int n)
{
	for (int i = 0; i < n; i++) {
		free(list[i].name);
		free(list[i].submit_path);
		free(list[i].collection);
		free(list[i].media_types);
		free(list[i].description);
	}
	free(list);
}

static int by_submit_path(const void *a, const void *b)
{
	return strcmp(((const struct job_type *)a)->submit_path,
		      ((const struct job_type *)b)->submit_path);
}

/* Columns of api_types(). */
enum {
	C_TYPE_ID,
	C_NAME,
	C_SUBMIT_PATH,
	C_COLLECTION,
	C_WAIT_MS,
	C_MEDIA_TYPES,
	C_MAX_INPUT_BYTES,
	C_RETENTION_S,
	C_POLL_MIN_MS,
	C_POLL_MAX_MS,
	C_PAUSED,
	C_MAX_QUEUED,
	C_DEFAULT_ESTIMATE_MS,
	C_LOG_FOR_CLIENTS,
	C_DESCRIPTION,
};

static char *text_of(const PGresult *res, int row, int col)
{
	return mem_strdup(dbr_null(res, row, col) ? "" : dbr_text(res, row, col, NULL));
}

static void read_type(const PGresult *res, int i, struct job_type *t)
{
	t->type_id = dbr_int4(res, i, C_TYPE_ID);
	t->name = text_of(res, i, C_NAME);
	t->submit_path = text_of(res, i, C_SUBMIT_PATH);
	t->collection = text_of(res, i, C_COLLECTION);
	t->wait_ms = dbr_int4(res, i, C_WAIT_MS);
	t->media_types = text_of(res, i, C_MEDIA_TYPES);
	t->max_input_bytes = dbr_int8(res, i, C_MAX_INPUT_BYTES);
	t->retention_s = dbr_int8(res, i, C_RETENTION_S);
	t->poll_min_ms = dbr_int4(res, i, C_POLL_MIN_MS);
	t->poll_max_ms = dbr_int4(res, i, C_POLL_MAX_MS);
	t->paused = dbr_bool(res, i, C_PAUSED);
	t->max_queued = dbr_null(res, i, C_MAX_QUEUED) ? -1 : dbr_int8(res, i, C_MAX_QUEUED);
	t->default_estimate_ms = dbr_null(res, i, C_DEFAULT_ESTIMATE_MS)
					 ? -1
					 : dbr_int4(res, i, C_DEFAULT_ESTIMATE_MS);
	t->log_for_clients = dbr_bool(res, i, C_LOG_FOR_CLIENTS);
	t->description = text_of(res, i, C_DESCRIPTION);
}

/* Gives the types another version if they aren't what they were. */
static void note_version(const struct job_type *list, int n)
{
	unsigned char sha256[SHA256_SIZE];
	struct buf text = { 0 };

	for (int i = 0; i < n; i++) {
		const struct job_type *t = &list[i];

		buf_addf(&text, "%d %s %s %s %s %d %lld %lld %zu %s", t->type_id, t->name,
			 t->submit_path, t->collection, t->media_types, t->wait_ms,
			 (long long)t->max_input_bytes, (long long)t->retention_s,
			 strlen(t->description), t->description);
	}
	sha256_of(text.data, text.len, sha256);
	buf_free(&text);
	if (version > 0 && memcmp(sha256, version_sha256, sizeof(sha256)) == 0)
		return;
	memcpy(version_sha256, sha256, sizeof(sha256));
	version++;
}

static void types_came(void *ctx, const struct db_result *result)
{
	struct job_type *list;
	int n;

	(void)ctx;
	reading = false;
	if (result->outcome == DB_OK) {
		n = dbr_rows(result->res);
		list = mem_zalloc(((size_t)n + 1) * sizeof(*list));
		for (int i = 0; i < n; i++)
			read_type(result->res, i, &list[i]);
		qsort(list, (size_t)n, sizeof(*list), by_submit_path);
		note_version(list, n);
		free_types(types, n_types);
		types = list;
		n_types = n;
		known = true;
	} else if (result->outcome == DB_ERROR) {
		log_error("job types can't be read sqlstate=%s error=\"%s\"", result->sqlstate,
			  result->message);
	}
	if (read_again) {
		read_again = false;
		types_refresh();
	}
}

void types_refresh(void)
{
	if (reading) {
		read_again = true; /* what is on its way may be the old state */
		return;
	}
	reading = db_query(owner->side, "SELECT * FROM longhaul.api_types()", NULL, types_came,
			   NULL);
}

static void refresh_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	if (!reading)
		types_refresh();
}

void types_start(struct app *a)
{
	double every = (double)a->cfg->types_refresh_ms / 1000;

	owner = a;
	ev_timer_init(&refresh_timer, refresh_due, every, every);
	ev_timer_start(a->loop, &refresh_timer);
}

void types_stop(void)
{
	ev_timer_stop(owner->loop, &refresh_timer);
	free_types(types, n_types);
	types = NULL;
	n_types = 0;
	known = false;
}

bool types_known(void)
{
	return known;
}

uint64_t types_version(void)
{
	return version;
}

const struct job_type *type_at(int i)
{
	return i >= 0 && i < n_types ? &types[i] : NULL;
}

const struct job_type *type_by_submit_path(const char *path)
{
	int low = 0, high = n_types;

	while (low < high) {
		int mid = (low + high) / 2, order = strcmp(path, types[mid].submit_path);

		if (order == 0)
			return &types[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

const struct job_type *type_by_collection(const char *seg)
{
	for (int i = 0; i < n_types; i++)
		if (strcmp(types[i].collection, seg) == 0)
			return &types[i];
	return NULL;
}

const struct job_type *type_by_id(int32_t type_id)
{
	for (int i = 0; i < n_types; i++)
		if (types[i].type_id == type_id)
			return &types[i];
	return NULL;
}

const struct job_type *type_by_name(const char *name)
{
	for (int i = 0; i < n_types; i++)
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	return NULL;
}

/* One entry of a type's list against a media type without its parameters. */
static bool media_matches(const char *pattern, size_t plen, const char *media, size_t mlen)
{
	if (plen == 3 && memcmp(pattern, "*/*", 3) == 0)
		return true;
	if (plen > 2 && memcmp(pattern + plen - 2, "/*", 2) == 0)
		return mlen >= plen - 1 && strncasecmp(pattern, media, plen - 1) == 0;
	return plen == mlen && strncasecmp(pattern, media, plen) == 0;
}

bool type_accepts(const struct job_type *type, const char *content_type)
{
	const char *media = content_type ? content_type : "application/octet-stream";
	size_t mlen = strcspn(media, "; \t");

	for (const char *p = type->media_types; *p;) {
		size_t plen = strcspn(p, ", \t;");

		if (plen > 0 && media_matches(p, plen, media, mlen))
			return true;
		p += plen;
		p += strcspn(p, ",");
		p += strspn(p, ", \t");
	}
	return false;
}
