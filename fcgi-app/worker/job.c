/*
 * job.c: the table of jobs in hand.
 */
#include "job.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/pgarray.h"
#include "spool.h"
#include "type.h"
#include "worker.h"

#define BUCKETS_MIN 256
#define TRIM_MS 1000

static struct {
	struct job **buckets;
	size_t n_buckets; /* a power of two */
	int n;
} table;

/* The end of a UUIDv7 is random. */
static size_t bucket(const struct uuid *id)
{
	uint32_t v;

	memcpy(&v, id->b + 12, sizeof(v));
	return v & (table.n_buckets - 1);
}

static void insert(struct job *job)
{
	struct job **at = &table.buckets[bucket(&job->id)];

	job->next_hash = *at;
	*at = job;
}

static void resize(size_t n_buckets)
{
	struct job **old = table.buckets;
	size_t n_old = table.n_buckets;

	table.buckets = mem_zalloc(n_buckets * sizeof(*table.buckets));
	table.n_buckets = n_buckets;
	for (size_t i = 0; i < n_old; i++) {
		for (struct job *job = old[i], *next; job; job = next) {
			next = job->next_hash;
			insert(job);
		}
	}
	free(old);
}

/* Copies `len` bytes and a NUL to *at and moves it on. */
static const char *place(char **at, const char *s, size_t len)
{
	char *p = *at;

	memcpy(p, s, len);
	p[len] = '\0';
	*at = p + len + 1;
	return p;
}

struct job *job_new(const struct uuid *id, struct type *type, const struct job_texts *texts)
{
	size_t client = strlen(texts->client), media_type = strlen(texts->media_type);
	size_t traceparent = strlen(texts->traceparent), request_id = strlen(texts->request_id);
	size_t input = texts->input ? texts->input_len : 0;
	size_t size = sizeof(struct job) + client + media_type + traceparent + request_id + input +
		      5;
	struct job *job = mem_alloc(size);
	char *at = (char *)(job + 1);

	*job = (struct job){ .id = *id, .type = type, .total = -1, .out.ran_ms = -1, .size = size };
	list_init(&job->link);
	job->client = place(&at, texts->client, client);
	job->media_type = place(&at, texts->media_type, media_type);
	job->traceparent = place(&at, texts->traceparent, traceparent);
	job->request_id = place(&at, texts->request_id, request_id);
	if (texts->input) {
		job->input = place(&at, texts->input, input);
		job->input_len = input;
	}
	if ((size_t)table.n >= table.n_buckets)
		resize(table.n_buckets ? 2 * table.n_buckets : BUCKETS_MIN);
	insert(job);
	table.n++;
	type_holds(type, (int64_t)size);
	return job;
}

static void release(struct job *job)
{
	free(job->message);
	free(job->out.data);
	spool_release(job->out.spooled);
	free(job);
}

/* Out of the table and its type's counts. */
static void forget(struct job *job)
{
	struct job **at = &table.buckets[bucket(&job->id)];

	while (*at != job)
		at = &(*at)->next_hash;
	*at = job->next_hash;
	table.n--;
	type_holds(job->type, -(int64_t)job->size);
	if (job->state == JOB_WAITING && !list_empty(&job->link))
		job->type->n_waiting--;
	else if (job->state == JOB_GIVEN)
		job->type->n_given--;
}

void job_free(struct job *job)
{
	if (job->type)
		forget(job);
	list_remove(&job->link);
	release(job);
}

struct job *job_find(const struct uuid *id)
{
	if (table.n == 0)
		return NULL;
	for (struct job *job = table.buckets[bucket(id)]; job; job = job->next_hash)
		if (uuid_equal(&job->id, id))
			return job;
	return NULL;
}

struct job *job_find_claim(const struct uuid *id, int64_t fence)
{
	if (table.n == 0)
		return NULL;
	for (struct job *job = table.buckets[bucket(id)]; job; job = job->next_hash)
		if (job->fence == fence && uuid_equal(&job->id, id))
			return job;
	return NULL;
}

int jobs_held(void)
{
	return table.n;
}

void jobs_fences(struct pgarray *fences)
{
	for (size_t i = 0; i < table.n_buckets; i++)
		for (struct job *job = table.buckets[i]; job; job = job->next_hash)
			pga_int8(fences, job->fence);
}

void jobs_drop_all(void)
{
	for (size_t i = 0; i < table.n_buckets; i++) {
		while (table.buckets[i]) {
			struct job *job = table.buckets[i];

			if (job->state == JOB_WRITING) {
				forget(job);
				job->type = NULL;
			} else {
				job_free(job);
			}
		}
	}
}

void jobs_trim_step(int64_t now)
{
	static int64_t idle_since;
	static bool was_busy;

	if (table.n > 0) {
		was_busy = true;
		idle_since = now;
	} else if (was_busy && now - idle_since < TRIM_MS) {
		worker_wake_at(idle_since + TRIM_MS);
	} else if (was_busy) {
		was_busy = false;
		malloc_trim(0);
	}
}

void job_take_back(struct job *job)
{
	if (job->state == JOB_GIVEN)
		job->type->n_given--;
	job->state = JOB_WAITING;
	job->runner = NULL;
	job->ticket = 0;
	list_prepend(&job->type->waiting, &job->link);
	job->type->n_waiting++;
}

void job_set_message(struct job *job, const char *message)
{
	free(job->message);
	job->message = *message ? mem_strdup(message) : NULL;
}

const char *job_text(const struct job *job)
{
	static char text[512];
	char id[UUID_TEXT];

	uuid_format(&job->id, id);
	snprintf(text, sizeof(text), "job=%s type=%s client=%.64s attempt=%d request=%.100s", id,
		 job->type ? job->type->name : "", job->client, (int)job->attempt,
		 *job->request_id ? job->request_id : "-");
	return text;
}
