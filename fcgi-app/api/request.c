/*
 * request.c: a request's memory, its parameters and what is read from them.
 */
#include "api/request.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/app.h"
#include "api/conn.h"
#include "api/counters.h"
#include "api/host.h"
#include "common/ids.h"
#include "common/mem.h"
#include "common/times.h"

#define ARENA_FIRST 768 /* spare room behind a request's parameters: most answers' heads fit */
#define ARENA_BLOCK 2048

/* The first block begins with the request itself. */
struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(max_align_t) char data[];
};

static struct request *dead;

static struct arena_block *arena_block_new(size_t size)
{
	struct arena_block *b = mem_alloc(sizeof(*b) + size);

	b->next = NULL;
	b->used = 0;
	b->size = size;
	return b;
}

static void *arena_take(struct arena_block **arena, size_t size)
{
	struct arena_block *b = *arena;
	void *p;

	size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	if (size > b->size - b->used) {
		b = arena_block_new(size > ARENA_BLOCK ? size : ARENA_BLOCK);
		b->next = *arena;
		*arena = b;
	}
	p = b->data + b->used;
	b->used += size;
	return p;
}

static enum http_method method_of(const char *name)
{
	static const struct {
		const char *name;
		enum http_method method;
	} methods[] = {
		{ "GET", HTTP_GET },
		{ "POST", HTTP_POST },
		{ "HEAD", HTTP_HEAD },
		{ "DELETE", HTTP_DELETE },
	};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(name, methods[i].name) == 0)
			return methods[i].method;
	return HTTP_OTHER;
}

int64_t content_length_parse(const char *text)
{
	int64_t n = 0;

	if (!text || !*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || n > INT64_MAX / 10 - 1)
			return -1;
		n = n * 10 + (*text - '0');
	}
	return n;
}

/* Path and query come from REQUEST_URI, as the client wrote them: DOCUMENT_URI is already decoded, so
 * that an encoded slash couldn't be told from a real one. */
static void request_target(struct request *req)
{
	const char *uri = req_param(req, "REQUEST_URI", NULL);
	size_t n = uri ? strcspn(uri, "?#") : 0;
	char *path = req_alloc(req, n + 1);

	if (uri)
		memcpy(path, uri, n);
	req->path = base_path_strip(path, app.cfg ? app.cfg->base_url : "");
	req->query = uri && uri[n] == '?' ? uri + n + 1 : "";
}

/* nginx's request id if it is one; else one of our own, so that every answer can be found in the log. */
static void request_id(struct request *req)
{
	int count;
	const char *given = req_param(req, "LONGHAUL_REQUEST_ID", &count);
	unsigned char bytes[16];

	if (given && count == 1 && strlen(given) == 32 && hex_decode(given, 32, bytes)) {
		hex_encode(bytes, sizeof(bytes), req->id);
		return;
	}
	if (!random_bytes(bytes, sizeof(bytes)))
		memset(bytes, 0, sizeof(bytes));
	hex_encode(bytes, sizeof(bytes), req->id);
}

/* Copies all strings in one piece behind the request and splits them at their first '='. */
static void params_copy(struct request *req, char *const *envp, char *to)
{
	for (; *envp; envp++) {
		size_t len = strlen(*envp) + 1;
		char *eq = memchr(*envp, '=', len);
		struct param *p = &req->params[req->nparams];

		if (!eq)
			continue;
		memcpy(to, *envp, len);
		p->name = to;
		p->name_len = (uint32_t)(eq - *envp);
		to[p->name_len] = '\0';
		p->value = to + p->name_len + 1;
		to += len;
		req->nparams++;
	}
}

struct request *request_new(char *const *envp)
{
	size_t strings = 0, count = 0, self;
	struct arena_block *block;
	struct request *req;

	for (; envp[count]; count++)
		strings += strlen(envp[count]) + 1;
	self = sizeof(*req) + count * sizeof(req->params[0]);

	block = arena_block_new(self + strings + ARENA_FIRST);
	req = arena_take(&block, self);
	memset(req, 0, self);
	req->arena = block;
	req->refs = 1;
	req->begun = mono_s();
	params_copy(req, envp, arena_take(&req->arena, strings));

	req->method_name = req_param(req, "REQUEST_METHOD", NULL);
	if (!req->method_name)
		req->method_name = "";
	req->method = method_of(req->method_name);
	req->body.length = content_length_parse(req_param(req, "CONTENT_LENGTH", NULL));
	req->client = "";
	request_target(req);
	request_id(req);
	return req;
}

void req_parked(struct request *req)
{
	counters->waiting += !req->waiting;
	req->parked = req->waiting = true;
}

void request_unparked(struct request *req)
{
	counters->waiting -= req->waiting;
	req->waiting = false;
}

void request_detach(struct request *req, bool client_left)
{
	void (*gone)(struct request *, void *) = req->gone;

	req->conn = NULL;
	req->gone = NULL;
	request_unparked(req);
	counters->streams -= req->stream;
	req->stream = false;
	if (client_left && gone)
		gone(req, req->gone_ctx);
	req_unref(req);
}

void request_bury(void)
{
	while (dead) {
		struct request *req = dead;
		struct arena_block *b = req->arena;

		dead = req->next_dead;
		if (req->release)
			req->release(req->release_ctx);
		while (b) {
			struct arena_block *next = b->next;

			free(b);
			b = next;
		}
	}
}

void req_ref(struct request *req)
{
	req->refs++;
}

void req_unref(struct request *req)
{
	if (--req->refs > 0)
		return;
	req->next_dead = dead;
	dead = req;
}

bool req_alive(const struct request *req)
{
	return req->conn != NULL;
}

void req_on_gone(struct request *req, void (*gone)(struct request *, void *), void *ctx)
{
	req->gone = gone;
	req->gone_ctx = ctx;
}

void req_on_release(struct request *req, void (*release)(void *), void *ctx)
{
	req->release = release;
	req->release_ctx = ctx;
}

void *req_alloc(struct request *req, size_t size)
{
	return memset(arena_take(&req->arena, size), 0, size);
}

char *req_printf(struct request *req, const char *fmt, ...)
{
	va_list args;
	char *out;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		n = 0;
	out = req_alloc(req, (size_t)n + 1);
	va_start(args, fmt);
	vsnprintf(out, (size_t)n + 1, fmt, args);
	va_end(args);
	return out;
}

enum http_method req_method(const struct request *req)
{
	return req->method;
}

const char *req_method_name(const struct request *req)
{
	return req->method_name;
}

const char *req_path(const struct request *req)
{
	return req->path;
}

const char *req_query(const struct request *req)
{
	return req->query;
}

const char *req_id(const struct request *req)
{
	return req->id;
}

const char *req_client(const struct request *req)
{
	return req->client;
}

void request_set_client(struct request *req, const char *client)
{
	req->client = client;
}

int64_t req_content_length(const struct request *req)
{
	return req->body.length;
}

const char *req_param(const struct request *req, const char *name, int *count)
{
	const char *found = NULL;
	size_t len = strlen(name);
	int n = 0;

	for (int i = 0; i < req->nparams; i++) {
		const struct param *p = &req->params[i];

		if (p->name_len != len || memcmp(p->name, name, len) != 0)
			continue;
		if (!found)
			found = p->value;
		n++;
		if (!count)
			break;
	}
	if (count)
		*count = n;
	return found;
}

bool header_param_name(const char *header, char *out, size_t size)
{
	size_t at = 0;

	if (strcasecmp(header, "Content-Type") != 0 && strcasecmp(header, "Content-Length") != 0) {
		if (size < 6)
			return false;
		memcpy(out, "HTTP_", 5);
		at = 5;
	}
	for (; *header; header++) {
		if (at + 1 >= size)
			return false;
		out[at++] = *header == '-' ? '_' : (char)toupper((unsigned char)*header);
	}
	out[at] = '\0';
	return true;
}

/* nginx before 1.23 sends a repeated header as several parameters; later ones join them themselves. */
static const char *params_join(struct request *req, const char *name)
{
	size_t len = strlen(name), size = 1;
	char *out, *to;

	for (int i = 0; i < req->nparams; i++)
		if (req->params[i].name_len == len && memcmp(req->params[i].name, name, len) == 0)
			size += strlen(req->params[i].value) + 2;
	out = to = req_alloc(req, size);
	for (int i = 0; i < req->nparams; i++) {
		if (req->params[i].name_len != len || memcmp(req->params[i].name, name, len) != 0)
			continue;
		if (to != out)
			to = stpcpy(to, ", ");
		to = stpcpy(to, req->params[i].value);
	}
	return out;
}

const char *req_header(struct request *req, const char *name)
{
	char param[80];
	const char *value;
	int count;

	if (!header_param_name(name, param, sizeof(param)))
		return NULL;
	value = req_param(req, param, &count);
	if (count > 1)
		value = params_join(req, param);
	/* nginx's CONTENT_TYPE and CONTENT_LENGTH are there, and empty, without such a header */
	if (value && !*value && strncmp(param, "HTTP_", 5) != 0)
		return NULL;
	return value;
}

bool req_job_id(struct request *req, struct uuid *out)
{
	int ids, times;
	const char *id = req_param(req, "LONGHAUL_REQUEST_ID", &ids);
	const char *msec = req_param(req, "LONGHAUL_MSEC", &times);
	unsigned char bytes[16];
	int64_t ms;

	if (id && ids == 1 && strlen(id) == 32 && hex_decode(id, 32, bytes) && times == 1 &&
	    msec_parse(msec, &ms)) {
		uuid7_make(out, ms, bytes);
		return true;
	}
	if (!random_bytes(bytes, sizeof(bytes)))
		return false;
	uuid7_make(out, now_ms(), bytes);
	return true;
}

bool msec_parse(const char *text, int64_t *ms)
{
	int64_t seconds = 0;
	int digits = 0;

	for (; *text >= '0' && *text <= '9' && digits < 12; text++, digits++)
		seconds = seconds * 10 + (*text - '0');
	if (digits == 0 || text[0] != '.' || !isdigit((unsigned char)text[1]) ||
	    !isdigit((unsigned char)text[2]) || !isdigit((unsigned char)text[3]) || text[4])
		return false;
	*ms = seconds * 1000 + (text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0');
	return true;
}

const char *req_base_url(struct request *req)
{
	if (!req->base_url_known) {
		req->base_url_known = true;
		req->base_url = base_url_of(req);
	}
	return req->base_url;
}

void req_body_read(struct request *req, body_data_fn *data, body_end_fn *end, void *ctx)
{
	if (!req->conn || req->body.mode != BODY_WAITING)
		return;
	req->body.data = data;
	req->body.end = end;
	req->body.ctx = ctx;
	req->body.mode = BODY_READING;
	conn_kick(req->conn);
}

void req_body_resume(struct request *req)
{
	req->body.resumed = true;
	if (!req->conn || req->body.mode != BODY_PAUSED)
		return;
	req->body.mode = BODY_READING;
	conn_kick(req->conn);
}

void req_body_discard(struct request *req)
{
	if (!req->conn || req->body.mode == BODY_DISCARDED)
		return;
	req->body.mode = BODY_DISCARDED;
	conn_kick(req->conn);
}
