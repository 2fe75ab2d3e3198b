/*
 * outcome.c: turns answers, deaths and stops into verdicts and problem documents.
 */
#include "outcome.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <longhaul/handler.h>

#include "common/mem.h"
#include "common/text.h"
#include "common/times.h"
#include "spool.h"
#include "type.h"

static void clear(struct job *job)
{
	free(job->out.data);
	spool_release(job->out.spooled);
	job->out = (struct outcome){
		.ran_ms = job->out.ran_ms,
		.tries = job->out.tries,
		.fallback = job->out.fallback,
		.retry_ms = -1,
		.result_size = -1,
	};
}

/* How long the handler has run, for outcomes that it doesn't report itself. */
static void set_ran(struct job *job)
{
	int64_t ran = mono_ms() - job->began_ms;

	if (job->begun && job->out.ran_ms < 0)
		job->out.ran_ms = ran > INT32_MAX ? INT32_MAX : (int32_t)ran;
}

void outcome_set(struct job *job, enum verdict verdict)
{
	clear(job);
	set_ran(job);
	job->out.verdict = verdict;
}

/* Fixed texts and numbers only: nothing in them needs escaping. */
static void problem(struct job *job, const char *type, const char *title, const char *detail)
{
	job->out.data = mem_printf("{\"type\":\"%s\",\"title\":\"%s\",\"status\":500%s%s%s}", type,
				   title, detail ? ",\"detail\":\"" : "", detail ? detail : "",
				   detail ? "\"" : "");
	job->out.data_len = strlen(job->out.data) + 1;
	job->out.error = job->out.data;
}

void outcome_fail(struct job *job, const char *type, const char *title, const char *detail)
{
	outcome_set(job, VERDICT_FAILED);
	problem(job, type, title, detail);
}

/* The outcome of a job that stopped because it was told to. */
static void stopped(struct job *job)
{
	char detail[80];

	switch (job->stop) {
	case STOP_CANCEL:
		outcome_set(job, VERDICT_CANCELED);
		break;
	case STOP_TIMEOUT:
		snprintf(detail, sizeof(detail), "It was stopped after %" PRId64 " ms.",
			 mono_ms() - job->began_ms);
		outcome_fail(job, "timeout", "The job ran out of time", detail);
		break;
	case STOP_EXPIRED:
		outcome_fail(job, "expired", "The job did not end within its lifetime", NULL);
		break;
	case STOP_INPUT:
		outcome_fail(job, "input-missing", "A part of the job's input is missing", NULL);
		break;
	case STOP_RESULT:
		outcome_fail(job, "outcome-not-stored", "The result could not be stored", NULL);
		break;
	default:
		outcome_set(job, VERDICT_RELEASED);
		break;
	}
}

void outcome_of_death(struct job *job, const char *how)
{
	char detail[80];

	if (job->stop != STOP_NONE) {
		stopped(job);
		return;
	}
	outcome_set(job, VERDICT_DIED);
	snprintf(detail, sizeof(detail), "Its process ended: %s.", how);
	problem(job, "runner-died", "The process that ran the job died", detail);
}

/* Copies what the answer brought into one piece of memory of the job's. */
static void keep(struct outcome *out, const struct wire_done *done)
{
	size_t media = strlen(done->media_type) + 1, error = strlen(done->error) + 1;
	char *p = mem_alloc(media + error + done->result_len + 1);

	out->data = p;
	out->data_len = media + error + done->result_len;
	if (*done->media_type)
		out->media_type = p;
	memcpy(p, done->media_type, media);
	if (*done->error)
		out->error = p + media;
	memcpy(p + media, done->error, error);
	if (done->result) {
		out->result = p + media + error;
		out->result_len = done->result_len;
		memcpy(p + media + error, done->result, done->result_len);
	}
}

static void keep_progress(struct job *job, const struct wire_done *done)
{
	if (!done->progressed)
		return;
	job->progressed = true;
	job->done = done->done;
	job->total = done->total;
	job_set_message(job, done->message);
}

static void from_answer(struct job *job, const struct wire_done *done)
{
	bool is_done = (done->verdict == LH_DONE && !job->result_cut) || done->verdict == LH_ENDED;

	keep_progress(job, done);
	if (!is_done && job->stop != STOP_NONE) {
		stopped(job);
		return;
	}
	clear(job);
	job->out.ran_ms = (int32_t)(done->ran_us / 1000 > INT32_MAX ? INT32_MAX
								    : done->ran_us / 1000);
	job->out.retry_ms = done->retry_ms;
	job->out.result_size = done->result_size;
	keep(&job->out, done);
	switch (done->verdict) {
	case LH_DONE:
		job->out.verdict = VERDICT_COMPLETED;
		break;
	case LH_ENDED:
		job->out.verdict = VERDICT_COMPLETED;
		job->out.stored = true;
		break;
	case LH_TRY_AGAIN:
		job->out.verdict = VERDICT_TRY_AGAIN;
		break;
	case LH_DIED:
		outcome_set(job, VERDICT_DIED);
		problem(job, "runner-died", "The process that ran the job died", NULL);
		break;
	case LH_CANCELED:
		outcome_fail(job, "handler-failed", "The handler stopped without being told to",
			     NULL);
		break;
	default:
		job->out.verdict = VERDICT_FAILED;
		break;
	}
}

void outcome_from_answer(struct job *job, const struct wire_done *done)
{
	from_answer(job, done);
	outcome_add_log(job, done->log, done->log_len, done->log_cut);
}

/* ---- the log ---------------------------------------------------------------------------------- */

static ptrdiff_t place_of(const struct outcome *o, const char *p)
{
	return p ? p - o->data : -1;
}

/* Where each text begins in the data. */
static void places(const struct outcome *o, ptrdiff_t at[4])
{
	at[0] = place_of(o, o->media_type);
	at[1] = place_of(o, o->error);
	at[2] = place_of(o, o->result);
	at[3] = place_of(o, o->log);
}

static void set_places(struct outcome *o, const ptrdiff_t at[4])
{
	o->media_type = at[0] < 0 ? NULL : o->data + at[0];
	o->error = at[1] < 0 ? NULL : o->data + at[1];
	o->result = at[2] < 0 ? NULL : o->data + at[2];
	o->log = at[3] < 0 ? NULL : o->data + at[3];
}

void outcome_add_log(struct job *job, const char *text, size_t len, bool cut)
{
	static const char note[] = "(what came before this is not kept)\n";
	struct outcome *o = &job->out;
	size_t max = (size_t)job->type->cfg.log_max, from = 0;
	struct buf clean = { 0 };
	ptrdiff_t at[4];

	if (len == 0 || max == 0)
		return;
	for (; cut && from < len && ((unsigned char)text[from] & 0xC0) == 0x80; from++)
		; /* the rest of a character */
	if (!text_add_storable(&clean, text + from, len - from))
		abort();
	from = clean.len > max ? clean.len - max : 0;
	cut = cut || from > 0;
	while (from < clean.len && ((unsigned char)clean.data[from] & 0xC0) == 0x80)
		from++;
	places(o, at);
	at[3] = (ptrdiff_t)o->data_len;
	o->data = mem_realloc(o->data, o->data_len + sizeof(note) + clean.len, 1);
	if (cut) {
		memcpy(o->data + o->data_len, note, sizeof(note) - 1);
		o->data_len += sizeof(note) - 1;
	}
	memcpy(o->data + o->data_len, clean.data + from, clean.len - from + 1);
	o->data_len += clean.len - from + 1;
	set_places(o, at);
	buf_free(&clean);
}

/* ---- the spool -------------------------------------------------------------------------------- */

bool outcome_spill(struct job *job)
{
	struct outcome *o = &job->out;

	if (!o->spooled)
		o->spooled = spool_write(o->data, o->data_len);
	return o->spooled != NULL;
}

void outcome_spilled(struct job *job, bool kept)
{
	struct outcome *o = &job->out;

	if (!kept) {
		spool_release(o->spooled);
		o->spooled = NULL;
		return;
	}
	places(o, o->spool_at);
	o->media_type = o->error = o->result = o->log = NULL;
	free(o->data);
	o->data = NULL;
}

bool outcome_load(struct job *job)
{
	struct outcome *o = &job->out;

	if (!o->spooled || o->data)
		return true;
	o->data = spool_read(o->spooled);
	if (!o->data)
		return false;
	set_places(o, o->spool_at);
	return true;
}
