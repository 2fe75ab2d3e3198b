/*
 * openapi.c: GET and HEAD of /openapi.json. The text is made when it is asked for and the job types are
 * others than they were; only the server's address is put in for each answer. It goes out piece by
 * piece, so that however many ask, there is one copy of it.
 */
#include "api/openapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/app.h"
#include "api/conn.h"
#include "api/etag.h"
#include "api/jobs.h"
#include "api/openapi_text.h"
#include "common/mem.h"
#include "common/sha256.h"

#define PIECE 32768

/* A text, freed when neither an answer nor `newest` has it any more. */
struct text {
	int users;
	uint64_t version;   /* of the job types */
	size_t len, server; /* where the server's address belongs */
	unsigned char sha256[SHA256_SIZE];
	char *data;
};

struct answer {
	struct request *req;
	struct text *text;
	size_t at;
};

static struct text *newest;

static void text_release(struct text *text)
{
	if (!text || --text->users > 0)
		return;
	free(text->data);
	free(text);
}

void openapi_stop(void)
{
	text_release(newest);
	newest = NULL;
}

/* The text for the types as they are; NULL if it can't be made (logged). */
static struct text *text_now(void)
{
	struct text *text;
	struct buf out = { 0 };
	char *mark;

	if (newest && newest->version == types_version())
		return newest;
	openapi_write(&out, app.cfg->problem_base);
	mark = out.data ? strstr(out.data, OPENAPI_SERVER) : NULL;
	if (!mark) {
		buf_free(&out);
		return NULL;
	}
	text = mem_zalloc(sizeof(*text));
	text->users = 1;
	text->version = types_version();
	text->server = (size_t)(mark - out.data);
	text->len = out.len - strlen(OPENAPI_SERVER);
	memmove(mark, mark + strlen(OPENAPI_SERVER), text->len - text->server + 1);
	sha256_of(out.data, out.len - strlen(OPENAPI_SERVER), text->sha256);
	text->data = buf_take(&out);
	openapi_stop();
	newest = text;
	return text;
}

/* The text's own digest and that of the address, cut. */
static const char *etag_of(struct request *req, const struct text *text)
{
	const unsigned char *t = text->sha256;
	unsigned char s[SHA256_SIZE];
	const char *base = req_base_url(req);

	sha256_of(base, strlen(base), s);
	return req_printf(req, "\"%02x%02x%02x%02x%02x%02x%02x%02x-%02x%02x%02x%02x\"", t[0], t[1],
			  t[2], t[3], t[4], t[5], t[6], t[7], s[0], s[1], s[2], s[3]);
}

static void go_on(struct request *req, void *ctx)
{
	struct answer *a = ctx;
	const struct text *text = a->text;

	while (a->at < text->len) {
		size_t n = text->len - a->at;

		if (reply_stream_queued(req) >= STREAM_LOW)
			return; /* called again when less waits */
		n = n < PIECE ? n : PIECE;
		reply_stream_write(req, text->data + a->at, n);
		a->at += n;
	}
	reply_stream_end(req);
}

static void answer_released(void *ctx)
{
	struct answer *a = ctx;

	text_release(a->text);
}

static void send_text(struct request *req, struct text *text)
{
	struct answer *a = req_alloc(req, sizeof(*a));
	const char *base = req_base_url(req);

	a->req = req;
	a->text = text;
	text->users++;
	req_on_release(req, answer_released, a);
	reply_header(req, "Content-Type", "application/json");
	reply_stream_on_drain(req, go_on, a);
	reply_stream_begin(req, (int64_t)(text->len + strlen(base)));
	reply_stream_write(req, text->data, text->server);
	reply_stream_write(req, base, strlen(base));
	a->at = text->server;
	go_on(req, a);
}

void openapi_handle(struct request *req, const struct route_match *m)
{
	struct text *text;
	const char *etag;

	(void)m;
	if (!req_base_url(req)) {
		reply_invalid(req, input_error(NULL, "Host",
					       "not a host name or address, maybe with a port"));
		return;
	}
	if (!types_known()) {
		answer_away(req);
		return;
	}
	text = text_now();
	if (!text) {
		reply_problem(req, "internal-error", NULL, "The description can't be made.");
		return;
	}
	etag = etag_of(req, text);
	reply_header(req, "ETag", "%s", etag);
	reply_header(req, "Cache-Control", "no-cache");
	if (etag_listed(req_header(req, "If-None-Match"), etag)) {
		reply_status(req, 304);
		reply_body(req, "", 0);
		return;
	}
	reply_status(req, 200);
	send_text(req, text);
}

void openapi_link(struct request *req)
{
	const char *base = req_base_url(req);

	if (base)
		reply_header(req, "Link", "<%s/openapi.json>; rel=\"service-desc\"", base);
}
