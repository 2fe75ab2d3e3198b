/*
 * wire.c: frames and shared memory between the daemon and a runner.
 */
#include "wire.h"
#include "wire_internal.h"

#include <string.h>

bool wire_put(struct buf *out, enum wire_kind kind, uint32_t ticket, const void *payload,
	      size_t size)
{
	struct wire_head head = { .size = (uint32_t)size, .kind = kind, .ticket = ticket };

	return buf_reserve(out, sizeof(head) + size) && buf_add(out, &head, sizeof(head)) &&
	       (size == 0 || buf_add(out, payload, size));
}

int wire_next(const char *data, size_t len, struct wire_head *head, const char **payload)
{
	if (len < sizeof(*head))
		return 0;
	memcpy(head, data, sizeof(*head));
	if (head->size > WIRE_FRAME_MAX || head->kind < WIRE_SETUP || head->kind > WIRE_POSTED)
		return -1;
	if (len - sizeof(*head) < head->size)
		return 0;
	*payload = data + sizeof(*head);
	return 1;
}

bool wire_frames(struct buf *in, bool (*take)(const struct wire_head *head, const char *payload))
{
	struct wire_head head;
	const char *payload;
	size_t at = 0;
	int whole;

	while ((whole = wire_next(in->data + at, in->len - at, &head, &payload)) > 0) {
		if (!take(&head, payload))
			return false;
		at += sizeof(head) + head.size;
	}
	buf_consume(in, at);
	if (in->len == 0)
		buf_reset(in);
	return whole == 0;
}

/* The fixed part of each message; texts follow it, each with its NUL, then the bytes. */
struct setup_fixed {
	int64_t result_max;
	struct uuid boot;
	int32_t log_level;
	uint32_t handler_len, type_len, settings_len;
};

struct job_fixed {
	int64_t fence, input_size, deadline_ms;
	struct uuid id;
	int32_t attempt;
	uint32_t client_len, media_type_len, traceparent_len, request_id_len;
	uint32_t input_len; /* NO_INPUT = in chunks */
};

struct done_fixed {
	int64_t ran_us, retry_ms, result_size, done, total;
	int32_t verdict;
	uint32_t chunked, progressed;
	uint32_t message_len, media_type_len, error_len;
	uint32_t result_len; /* NO_INPUT = none here */
	uint32_t log_len, log_cut;
};

#define NO_INPUT UINT32_MAX

const char *wire_take(struct wire_reader *r, size_t n)
{
	const char *p = r->at;

	if (r->bad || n > r->left) {
		r->bad = true;
		return "";
	}
	r->at += n;
	r->left -= n;
	return p;
}

const char *wire_take_text(struct wire_reader *r, size_t n)
{
	const char *p = wire_take(r, n + 1);

	if (!r->bad && (p[n] != '\0' || memchr(p, '\0', n))) {
		r->bad = true;
		return "";
	}
	return p;
}

bool wire_begin_frame(struct buf *out, enum wire_kind kind, uint32_t ticket, const void *fixed,
		      size_t fixed_size, size_t more)
{
	struct wire_head head = { .size = (uint32_t)(fixed_size + more),
				  .kind = kind,
				  .ticket = ticket };

	return buf_reserve(out, sizeof(head) + head.size) && buf_add(out, &head, sizeof(head)) &&
	       buf_add(out, fixed, fixed_size);
}

bool wire_put_setup(struct buf *out, const struct wire_setup *setup)
{
	struct setup_fixed f = {
		.result_max = setup->result_max,
		.boot = setup->boot,
		.log_level = setup->log_level,
		.handler_len = (uint32_t)strlen(setup->handler),
		.type_len = (uint32_t)strlen(setup->type),
		.settings_len = (uint32_t)setup->settings_len,
	};

	return wire_begin_frame(out, WIRE_SETUP, 0, &f, sizeof(f),
				(size_t)f.handler_len + 1 + f.type_len + 1 + f.settings_len) &&
	       buf_add(out, setup->handler, f.handler_len + 1) &&
	       buf_add(out, setup->type, f.type_len + 1) &&
	       buf_add(out, setup->settings, f.settings_len);
}

bool wire_get_setup(const char *payload, size_t size, struct wire_setup *setup)
{
	struct wire_reader r = { .at = payload, .left = size };
	struct setup_fixed f;
	const char *fixed = wire_take(&r, sizeof(f));

	if (r.bad)
		return false;
	memcpy(&f, fixed, sizeof(f));
	setup->result_max = f.result_max;
	setup->boot = f.boot;
	setup->log_level = f.log_level;
	setup->handler = wire_take_text(&r, f.handler_len);
	setup->type = wire_take_text(&r, f.type_len);
	setup->settings = wire_take(&r, f.settings_len);
	setup->settings_len = f.settings_len;
	return !r.bad && r.left == 0 && f.settings_len > 0 &&
	       setup->settings[f.settings_len - 1] == '\0';
}

bool wire_put_job(struct buf *out, uint32_t ticket, const struct wire_job *job)
{
	struct job_fixed f = {
		.fence = job->fence,
		.input_size = job->input_size,
		.deadline_ms = job->deadline_ms,
		.id = job->id,
		.attempt = job->attempt,
		.client_len = (uint32_t)strlen(job->client),
		.media_type_len = (uint32_t)strlen(job->media_type),
		.traceparent_len = (uint32_t)strlen(job->traceparent),
		.request_id_len = (uint32_t)strlen(job->request_id),
		.input_len = job->input ? (uint32_t)job->input_len : NO_INPUT,
	};
	size_t input_len = job->input ? job->input_len : 0;

	return wire_begin_frame(out, WIRE_JOB, ticket, &f, sizeof(f),
				(size_t)f.client_len + f.media_type_len + f.traceparent_len +
					f.request_id_len + 4 + input_len) &&
	       buf_add(out, job->client, f.client_len + 1) &&
	       buf_add(out, job->media_type, f.media_type_len + 1) &&
	       buf_add(out, job->traceparent, f.traceparent_len + 1) &&
	       buf_add(out, job->request_id, f.request_id_len + 1) &&
	       (input_len == 0 || buf_add(out, job->input, input_len));
}

bool wire_get_job(const char *payload, size_t size, struct wire_job *job)
{
	struct wire_reader r = { .at = payload, .left = size };
	struct job_fixed f;
	const char *fixed = wire_take(&r, sizeof(f));

	if (r.bad)
		return false;
	memcpy(&f, fixed, sizeof(f));
	*job = (struct wire_job){
		.id = f.id,
		.fence = f.fence,
		.input_size = f.input_size,
		.deadline_ms = f.deadline_ms,
		.attempt = f.attempt,
	};
	job->client = wire_take_text(&r, f.client_len);
	job->media_type = wire_take_text(&r, f.media_type_len);
	job->traceparent = wire_take_text(&r, f.traceparent_len);
	job->request_id = wire_take_text(&r, f.request_id_len);
	if (f.input_len != NO_INPUT) {
		job->input = wire_take(&r, f.input_len);
		job->input_len = f.input_len;
	}
	return !r.bad && r.left == 0;
}

bool wire_put_done(struct buf *out, uint32_t ticket, const struct wire_done *done)
{
	struct done_fixed f = {
		.ran_us = done->ran_us,
		.retry_ms = done->retry_ms,
		.result_size = done->result_size,
		.done = done->done,
		.total = done->total,
		.verdict = done->verdict,
		.chunked = done->chunked,
		.progressed = done->progressed,
		.message_len = (uint32_t)strlen(done->message),
		.media_type_len = (uint32_t)strlen(done->media_type),
		.error_len = (uint32_t)strlen(done->error),
		.result_len = done->result ? (uint32_t)done->result_len : NO_INPUT,
		.log_len = (uint32_t)done->log_len,
		.log_cut = done->log_cut,
	};
	size_t result_len = done->result ? done->result_len : 0;

	return wire_begin_frame(out, WIRE_DONE, ticket, &f, sizeof(f),
				(size_t)f.message_len + f.media_type_len + f.error_len + 3 +
					result_len + f.log_len) &&
	       buf_add(out, done->message, f.message_len + 1) &&
	       buf_add(out, done->media_type, f.media_type_len + 1) &&
	       buf_add(out, done->error, f.error_len + 1) &&
	       (result_len == 0 || buf_add(out, done->result, result_len)) &&
	       (f.log_len == 0 || buf_add(out, done->log, f.log_len));
}

bool wire_get_done(const char *payload, size_t size, struct wire_done *done)
{
	struct wire_reader r = { .at = payload, .left = size };
	struct done_fixed f;
	const char *fixed = wire_take(&r, sizeof(f));

	if (r.bad)
		return false;
	memcpy(&f, fixed, sizeof(f));
	*done = (struct wire_done){
		.verdict = f.verdict,
		.chunked = f.chunked != 0,
		.progressed = f.progressed != 0,
		.ran_us = f.ran_us,
		.retry_ms = f.retry_ms,
		.result_size = f.result_size,
		.done = f.done,
		.total = f.total,
		.log_len = f.log_len,
		.log_cut = f.log_cut != 0,
	};
	done->message = wire_take_text(&r, f.message_len);
	done->media_type = wire_take_text(&r, f.media_type_len);
	done->error = wire_take_text(&r, f.error_len);
	if (f.result_len != NO_INPUT) {
		done->result = wire_take(&r, f.result_len);
		done->result_len = f.result_len;
	}
	done->log = wire_take(&r, f.log_len);
	return !r.bad && r.left == 0;
}

static uint64_t ticket_word(uint32_t ticket, enum wire_ticket_state state)
{
	return (uint64_t)ticket << 8 | state;
}

void wire_offer(struct wire_page *page, uint32_t ticket)
{
	atomic_store(&page->tickets[ticket % WIRE_TICKETS], ticket_word(ticket, WIRE_OFFERED));
}

/* Turns OFFERED into `to`: whoever of the two sides comes first wins. */
static bool decide(struct wire_page *page, uint32_t ticket, enum wire_ticket_state to)
{
	uint64_t offered = ticket_word(ticket, WIRE_OFFERED);

	return atomic_compare_exchange_strong(&page->tickets[ticket % WIRE_TICKETS], &offered,
					      ticket_word(ticket, to));
}

bool wire_begin(struct wire_page *page, uint32_t ticket)
{
	return decide(page, ticket, WIRE_BEGUN);
}

bool wire_withdraw(struct wire_page *page, uint32_t ticket)
{
	return decide(page, ticket, WIRE_WITHDRAWN);
}

bool wire_has_begun(struct wire_page *page, uint32_t ticket)
{
	return atomic_load(&page->tickets[ticket % WIRE_TICKETS]) ==
	       ticket_word(ticket, WIRE_BEGUN);
}

void wire_stop(struct wire_page *page, uint32_t ticket, enum wire_stop why)
{
	atomic_store(&page->stop, (uint64_t)ticket << 8 | why);
}

enum wire_stop wire_stopped(struct wire_page *page, uint32_t ticket)
{
	uint64_t word = atomic_load(&page->stop);

	return word >> 8 == ticket ? (enum wire_stop)(word & 0xff) : WIRE_GO_ON;
}

bool wire_ring_put(struct wire_page *page, const void *data, size_t len)
{
	uint32_t head = atomic_load_explicit(&page->ring_head, memory_order_relaxed);
	uint32_t tail = atomic_load_explicit(&page->ring_tail, memory_order_acquire);
	size_t at = head % WIRE_RING, first = WIRE_RING - at;

	if (len > WIRE_RING - (head - tail))
		return false;
	if (first > len)
		first = len;
	memcpy(page->ring + at, data, first);
	memcpy(page->ring, (const char *)data + first, len - first);
	atomic_store_explicit(&page->ring_head, head + (uint32_t)len, memory_order_release);
	return true;
}

size_t wire_ring_used(struct wire_page *page)
{
	return atomic_load(&page->ring_head) - atomic_load(&page->ring_tail);
}

bool wire_ring_get(struct wire_page *page, uint32_t *tail, struct buf *out)
{
	uint32_t head = atomic_load_explicit(&page->ring_head, memory_order_acquire);
	uint32_t used = head - *tail;
	size_t at = *tail % WIRE_RING, first = WIRE_RING - at;

	if (used > WIRE_RING || !buf_reserve(out, used))
		return false;
	if (first > used)
		first = used;
	if (used > 0 &&
	    (!buf_add(out, page->ring + at, first) || !buf_add(out, page->ring, used - first)))
		return false;
	*tail = head;
	atomic_store_explicit(&page->ring_tail, head, memory_order_release);
	return true;
}

void wire_log_begin(struct wire_page *page, uint32_t ticket)
{
	atomic_store_explicit(&page->log_bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&page->log_ticket, ticket, memory_order_release);
}

void wire_log_add(struct wire_page *page, const char *data, size_t len)
{
	uint64_t bytes = atomic_load_explicit(&page->log_bytes, memory_order_relaxed) + len;
	size_t at, first;

	if (len > WIRE_LOG) {
		data += len - WIRE_LOG;
		len = WIRE_LOG;
	}
	at = (size_t)((bytes - len) % WIRE_LOG);
	first = WIRE_LOG - at < len ? WIRE_LOG - at : len;
	memcpy(page->log + at, data, first);
	memcpy(page->log, data + first, len - first);
	atomic_store_explicit(&page->log_bytes, bytes, memory_order_release);
}

bool wire_log_get(struct wire_page *page, uint32_t ticket, struct buf *out, bool *cut)
{
	uint64_t bytes = atomic_load_explicit(&page->log_bytes, memory_order_acquire);
	size_t len = bytes < WIRE_LOG ? (size_t)bytes : WIRE_LOG, at, first;

	*cut = bytes > WIRE_LOG;
	if (len == 0 || atomic_load_explicit(&page->log_ticket, memory_order_acquire) != ticket)
		return true;
	at = (size_t)((bytes - len) % WIRE_LOG);
	first = WIRE_LOG - at < len ? WIRE_LOG - at : len;
	return buf_add(out, page->log + at, first) && buf_add(out, page->log, len - first);
}

void wire_progress_set(struct wire_page *page, uint32_t ticket, int64_t done, int64_t total,
		       const char *message, size_t len)
{
	uint32_t seq = atomic_load_explicit(&page->progress_seq, memory_order_relaxed);

	atomic_store_explicit(&page->progress_seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	page->progress_ticket = ticket;
	page->progress_done = done;
	page->progress_total = total;
	page->progress_len = (uint32_t)(len < WIRE_MESSAGE ? len : WIRE_MESSAGE);
	memcpy(page->progress_message, message, page->progress_len);
	atomic_store_explicit(&page->progress_seq, seq + 2, memory_order_release);
}

bool wire_progress_get(struct wire_page *page, uint32_t ticket, uint32_t *seen,
		       struct wire_progress *out)
{
	uint32_t seq = atomic_load_explicit(&page->progress_seq, memory_order_acquire);
	uint32_t of = page->progress_ticket, len = page->progress_len;

	if (seq == *seen || seq % 2 != 0 || of != ticket)
		return false;
	out->done = page->progress_done;
	out->total = page->progress_total;
	if (len > WIRE_MESSAGE)
		len = WIRE_MESSAGE;
	memcpy(out->message, page->progress_message, len);
	out->message[len] = '\0';
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&page->progress_seq, memory_order_relaxed) != seq)
		return false;
	*seen = seq;
	return true;
}
