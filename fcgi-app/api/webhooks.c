/*
 * webhooks.c: subscribing endpoints, and what can be done with one.
 *
 * A secret is made here, goes into the answer and into the database, and is kept nowhere else.
 */
#include "api/webhooks.h"

#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "api/answer.h"
#include "api/app.h"
#include "api/call.h"
#include "api/json_body.h"
#include "api/page.h"
#include "api/webhook_input.h"
#include "common/json.h"
#include "common/times.h"

#define SECRET_BYTES 32
#define SECRET_TEXT (6 + (SECRET_BYTES + 2) / 3 * 4 + 1) /* whsec_, base64, NUL */

/* Columns of webhook_get() and webhook_list(). */
enum { C_ID, C_URL, C_TYPES, C_EVENTS, C_DESCRIPTION, C_CREATED_AT, C_DISABLED_AT, C_REASON };

struct hook {
	struct call call; /* first */
	struct request *req;
	bool has_id; /* else it is about the client's own secret, or about all of its webhooks */
	struct uuid id;
	struct uuid delivery; /* a ping's */
	int status;           /* of the answer that shows the document */
	struct page page;
	int64_t overlap_ms;
	char secret[SECRET_TEXT]; /* "" = none to be shown */
};

static struct hook *hook_new(struct request *req, const struct route_match *m)
{
	struct hook *hook = req_alloc(req, sizeof(*hook));

	hook->req = req;
	hook->has_id = m->nseg > 0;
	if (hook->has_id)
		uuid_parse(m->seg[0], strlen(m->seg[0]), &hook->id);
	return hook;
}

/* Parameters that begin with the client and the webhook's id (SQL null if there is none). */
static struct db_params *params_of(struct hook *hook)
{
	struct db_params *params = call_params(&hook->call, hook->req);

	dbp_text(params, req_client(hook->req));
	if (hook->has_id)
		dbp_uuid(params, &hook->id);
	else
		dbp_null(params, DB_UUID);
	return params;
}

static void answer_no_webhook(struct request *req)
{
	reply_problem(req, "not-found", NULL, "There is no such webhook.");
}

static void answer_json(struct request *req, int status, struct json_object *value)
{
	reply_header(req, "Cache-Control", "private, no-store");
	reply_json(req, status, "application/json", value);
}

/* ---- the document --------------------------------------------------------------------------------- */

/* "a,b" as a list; names and events have no commas in them. */
static struct json_object *list_of(const char *text)
{
	struct json_object *list = json_object_new_array();

	while (*text) {
		size_t len = strcspn(text, ",");

		json_object_array_add(list, json_object_new_string_len(text, (int)len));
		text += len + (text[len] == ',');
	}
	return list;
}

static void add_link(struct json_object *links, const char *name, const char *href)
{
	struct json_object *link = json_object_new_object();

	json_add_str(link, "href", href);
	json_object_object_add(links, name, link);
}

static struct json_object *links_of(struct request *req, const char *self, bool disabled)
{
	static const char *const names[] = { "deliveries", "ping", "secret" };
	struct json_object *links = json_object_new_object();

	add_link(links, "self", self);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		add_link(links, names[i], req_printf(req, "%s/%s", self, names[i]));
	if (disabled)
		add_link(links, "enable", req_printf(req, "%s/enable", self));
	return links;
}

static const char *webhook_url(struct request *req, const struct uuid *id)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	return req_printf(req, "%s/v1/webhooks/%s", req_base_url(req), text);
}

/* The document of the webhook in row i. */
static struct json_object *document_of(struct request *req, const PGresult *res, int i)
{
	struct json_object *o = json_object_new_object();
	struct uuid id = dbr_uuid(res, i, C_ID);
	bool disabled = !dbr_null(res, i, C_DISABLED_AT);
	char text[UUID_TEXT];

	uuid_format(&id, text);
	json_add_str(o, "webhookId", text);
	json_add_str(o, "url", dbr_text(res, i, C_URL, NULL));
	if (!dbr_null(res, i, C_TYPES))
		json_object_object_add(o, "types", list_of(dbr_text(res, i, C_TYPES, NULL)));
	json_object_object_add(o, "events", list_of(dbr_text(res, i, C_EVENTS, NULL)));
	json_add_str(o, "description", dbr_text(res, i, C_DESCRIPTION, NULL));
	json_add_time(o, "createdTime", dbr_ms(res, i, C_CREATED_AT));
	if (disabled) {
		json_add_time(o, "disabledTime", dbr_ms(res, i, C_DISABLED_AT));
		if (!dbr_null(res, i, C_REASON))
			json_add_str(o, "disabledReason", dbr_text(res, i, C_REASON, NULL));
	}
	json_object_object_add(o, "_links", links_of(req, webhook_url(req, &id), disabled));
	return o;
}

static void document_came(struct call *call, const PGresult *res)
{
	struct hook *hook = (struct hook *)call;
	struct json_object *document;

	if (!res)
		return;
	if (dbr_rows(res) == 0) {
		answer_no_webhook(hook->req);
		return;
	}
	document = document_of(hook->req, res, 0);
	if (*hook->secret)
		json_add_str(document, "secret", hook->secret);
	if (hook->status == 201)
		reply_header(hook->req, "Location", "%s", webhook_url(hook->req, &hook->id));
	answer_json(hook->req, hook->status, document);
}

/* Answers with the webhook's document, as it is now. */
static void show(struct hook *hook, int status)
{
	hook->status = status;
	params_of(hook);
	call_send(&hook->call, app.write, "SELECT * FROM longhaul.webhook_get($1, $2)",
		  document_came);
}

void webhook_get_handle(struct request *req, const struct route_match *m)
{
	show(hook_new(req, m), 200);
}

/* ---- the list ---------------------------------------------------------------------------------------- */

static void list_came(struct call *call, const PGresult *res)
{
	struct hook *hook = (struct hook *)call;
	struct request *req = hook->req;
	const char *list = req_printf(req, "%s/v1/webhooks", req_base_url(req)), *next = NULL;
	struct buf out = { 0 };
	int rows = res ? dbr_rows(res) : 0;

	if (!res)
		return;
	buf_adds(&out, "{\"webhooks\":[");
	for (int i = 0; i < rows && i < hook->page.limit; i++) {
		struct json_object *document = document_of(req, res, i);
		size_t len;
		const char *text = json_text(document, &len);

		buf_adds(&out, i > 0 ? "," : "");
		buf_add(&out, text, len);
		json_object_put(document);
	}
	buf_adds(&out, "]");
	if (rows > hook->page.limit) {
		struct uuid last = dbr_uuid(res, hook->page.limit - 1, C_ID);

		next = page_url(req, list, &hook->page, &last);
	}
	page_links(
		req, &out,
		page_url(req, list, &hook->page, hook->page.has_before ? &hook->page.before : NULL),
		next);
	buf_adds(&out, "}");
	reply_status(req, 200);
	reply_header(req, "Content-Type", "application/json");
	reply_header(req, "Cache-Control", "private, no-store");
	reply_body(req, out.data, out.len);
	buf_free(&out);
}

void webhook_list_handle(struct request *req, const struct route_match *m)
{
	struct hook *hook = hook_new(req, m);
	struct json_object *errors = page_read(req, &hook->page, NULL);
	struct db_params *params;

	if (errors) {
		reply_invalid(req, errors);
		return;
	}
	params = call_params(&hook->call, req);
	dbp_text(params, req_client(req));
	page_before(params, &hook->page);
	dbp_int4(params, hook->page.limit + 1); /* one more tells whether there is a next page */
	call_send(&hook->call, app.bulk, "SELECT * FROM longhaul.webhook_list($1, $2, $3)",
		  list_came);
}

/* ---- secrets ------------------------------------------------------------------------------------------ */

/* Makes a secret: the bytes as a parameter, the text to be shown. False: there is no randomness, and that was
 * answered. */
static bool add_secret(struct hook *hook, struct db_params *params)
{
	unsigned char bytes[SECRET_BYTES];

	if (!random_bytes(bytes, sizeof(bytes))) {
		reply_problem(hook->req, "internal-error", NULL, "No secret could be made.");
		return false;
	}
	dbp_bytea(params, bytes, sizeof(bytes));
	memcpy(hook->secret, "whsec_", 6);
	EVP_EncodeBlock((unsigned char *)hook->secret + 6, bytes, sizeof(bytes));
	explicit_bzero(bytes, sizeof(bytes));
	return true;
}

static void rotated(struct call *call, const PGresult *res)
{
	struct hook *hook = (struct hook *)call;
	struct json_object *o;

	if (!res)
		return;
	if (dbr_int2(res, 0, 0) == 0) {
		answer_no_webhook(hook->req);
		return;
	}
	o = json_object_new_object();
	json_add_str(o, "secret", hook->secret);
	if (hook->overlap_ms > 0)
		json_add_time(o, "olderSecretsExpireTime", now_ms() + hook->overlap_ms);
	answer_json(hook->req, 201, o);
}

static void secret_body_came(void *ctx, struct json_object *body)
{
	struct hook *hook = ctx;
	struct json_object *errors = webhook_overlap_read(body, &hook->overlap_ms);
	struct db_params *params;

	if (errors) {
		reply_invalid(hook->req, errors);
		return;
	}
	params = params_of(hook);
	if (!add_secret(hook, params)) {
		db_params_free(params);
		return;
	}
	dbp_int8(params, hook->overlap_ms);
	call_send(&hook->call, app.write, "SELECT longhaul.webhook_rotate($1, $2, $3, $4)",
		  rotated);
}

void webhook_secret_handle(struct request *req, const struct route_match *m)
{
	json_body_read(req, true, secret_body_came, hook_new(req, m));
}

/* ---- making one ------------------------------------------------------------------------------------- */

static void created(struct call *call, const PGresult *res)
{
	struct hook *hook = (struct hook *)call;

	if (!res)
		return;
	if (dbr_int2(res, 0, 0) == 0)
		reply_problem(hook->req, "too-many-webhooks", NULL,
			      "A client can have %d webhooks: remove one first.",
			      app.cfg->webhook.max_per_client);
	else
		show(hook, 201);
}

static void create(struct hook *hook, struct webhook_input *in)
{
	struct db_params *params = call_params(&hook->call, hook->req);

	dbp_uuid(params, &hook->id);
	dbp_text(params, req_client(hook->req));
	dbp_text(params, in->url);
	if (in->all_types)
		dbp_null(params, DB_INT4_ARRAY);
	else
		dbp_array(params, &in->type_ids);
	dbp_array(params, &in->events);
	dbp_text(params, in->description);
	dbp_text(params, req_base_url(hook->req));
	dbp_text(params, app.cfg->problem_base);
	if (!add_secret(hook, params)) {
		db_params_free(params);
		return;
	}
	dbp_int4(params, app.cfg->webhook.max_per_client);
	call_send(&hook->call, app.write,
		  "SELECT longhaul.webhook_create($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		  created);
}

static void create_body_came(void *ctx, struct json_object *body)
{
	struct hook *hook = ctx;
	struct webhook_input in;
	struct json_object *errors = webhook_input_read(body, &in);

	if (errors)
		reply_invalid(hook->req, errors);
	else
		create(hook, &in);
	webhook_input_free(&in);
}

void webhook_create_handle(struct request *req, const struct route_match *m)
{
	struct hook *hook = hook_new(req, m);

	hook->has_id = true;
	if (!req_job_id(req, &hook->id))
		reply_problem(req, "internal-error", NULL, "The webhook could not be given an id.");
	else if (!types_known())
		answer_away(req);
	else
		json_body_read(req, false, create_body_came, hook);
}

/* ---- what can be done with one --------------------------------------------------------------------- */

static void deleted(struct call *call, const PGresult *res)
{
	if (!res)
		return;
	/* Gone is gone: the first call's answer may have been lost. */
	if (dbr_int2(res, 0, 0) == 0 && !call->doubted) {
		answer_no_webhook(call->req);
		return;
	}
	reply_status(call->req, 204);
	reply_body(call->req, "", 0);
}

void webhook_delete_handle(struct request *req, const struct route_match *m)
{
	struct hook *hook = hook_new(req, m);

	params_of(hook);
	call_send(&hook->call, app.write, "SELECT longhaul.webhook_delete($1, $2)", deleted);
}

static void enabled(struct call *call, const PGresult *res)
{
	struct hook *hook = (struct hook *)call;

	if (!res)
		return;
	if (dbr_int2(res, 0, 0) == 0)
		answer_no_webhook(hook->req);
	else
		show(hook, 200);
}

void webhook_enable_handle(struct request *req, const struct route_match *m)
{
	struct hook *hook = hook_new(req, m);

	params_of(hook);
	call_send(&hook->call, app.write, "SELECT longhaul.webhook_enable($1, $2)", enabled);
}

static void pinged(struct call *call, const PGresult *res)
{
	struct hook *hook = (struct hook *)call;
	struct json_object *o, *links;
	char text[UUID_TEXT];

	if (!res)
		return;
	switch (dbr_int2(res, 0, 0)) {
	case 0:
		answer_no_webhook(hook->req);
		return;
	case 2:
		reply_problem(hook->req, "webhook-disabled", NULL,
			      "The webhook is disabled: enable it first.");
		return;
	default:
		break;
	}
	uuid_format(&hook->delivery, text);
	o = json_object_new_object();
	links = json_object_new_object();
	json_add_str(o, "deliveryId", text);
	json_add_str(o, "event", "ping");
	json_add_str(o, "status", "pending");
	add_link(links, "deliveries",
		 req_printf(hook->req, "%s/deliveries", webhook_url(hook->req, &hook->id)));
	json_object_object_add(o, "_links", links);
	answer_json(hook->req, 202, o);
}

void webhook_ping_handle(struct request *req, const struct route_match *m)
{
	struct hook *hook = hook_new(req, m);

	if (!req_job_id(req, &hook->delivery)) {
		reply_problem(req, "internal-error", NULL, "The ping could not be given an id.");
		return;
	}
	dbp_uuid(params_of(hook), &hook->delivery);
	call_send(&hook->call, app.write, "SELECT longhaul.webhook_ping($1, $2, $3)", pinged);
}
