/*
 * json_body.c: a small JSON object as the body of a request.
 */
#include "api/json_body.h"

#include <string.h>
#include <strings.h>

#include "common/json.h"

static const char media_type[] = "application/json";

struct json_body {
	struct request *req;
	bool optional;
	json_body_fn *done;
	void *ctx;
	size_t len;
	char text[JSON_BODY_MAX];
};

static void refuse_type(struct request *req)
{
	reply_header(req, "Accept-Post", "%s", media_type);
	reply_problem(req, "unsupported-media-type", NULL, "The body must be %s.", media_type);
}

static void too_large(struct request *req)
{
	struct json_object *extra = json_object_new_object();

	json_add_int(extra, "maxBytes", JSON_BODY_MAX);
	reply_problem(req, "input-too-large", extra, "At most %d bytes are taken.", JSON_BODY_MAX);
}

static bool type_fits(struct request *req)
{
	const char *type = req_header(req, "Content-Type");
	const char *coding = req_header(req, "Content-Encoding");
	size_t len = type ? strcspn(type, "; \t") : 0;

	return len == sizeof(media_type) - 1 && strncasecmp(type, media_type, len) == 0 &&
	       (!coding || strcasecmp(coding, "identity") == 0);
}

static bool came(struct request *req, void *ctx, const char *data, size_t len)
{
	struct json_body *body = ctx;

	if (len > sizeof(body->text) - body->len) {
		req_body_discard(req);
		too_large(req);
		return true;
	}
	memcpy(body->text + body->len, data, len);
	body->len += len;
	return true;
}

static void parse(struct json_body *body)
{
	struct json_object *object;
	const char *why;

	if (!json_parse_strict(body->text, body->len, &object, &why)) {
		reply_invalid(body->req, input_error(NULL, "body", why));
		return;
	}
	if (json_object_is_type(object, json_type_object))
		body->done(body->ctx, object);
	else
		reply_invalid(body->req, input_error(NULL, "body", "not a JSON object"));
	json_object_put(object);
}

static void ended(struct request *req, void *ctx, bool complete)
{
	struct json_body *body = ctx;

	if (!complete)
		reply_invalid(req, input_error(NULL, "body", "shorter than its Content-Length"));
	else if (body->len == 0 && body->optional)
		body->done(body->ctx, NULL);
	else if (!type_fits(req))
		refuse_type(req);
	else
		parse(body);
}

void json_body_read(struct request *req, bool optional, json_body_fn *done, void *ctx)
{
	struct json_body *body = req_alloc(req, sizeof(*body));

	body->req = req;
	body->optional = optional;
	body->done = done;
	body->ctx = ctx;
	if (req_content_length(req) > JSON_BODY_MAX) {
		req_body_discard(req);
		too_large(req);
	} else {
		req_body_read(req, came, ended, body);
	}
}
