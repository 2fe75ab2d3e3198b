/*
 * page.c: the arguments that all lists have: ?limit= and ?cursor=.
 */
#include "api/page.h"

#include <stdlib.h>
#include <string.h>

#include "api/jobdoc.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200

static struct json_object *read_limit(struct page *page, const char *text,
				      struct json_object *errors)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || v < 1 || v > LIMIT_MAX)
		return input_error(errors, "limit", "not a whole number from 1 to 200");
	page->limit = (int)v;
	return errors;
}

struct json_object *page_read(struct request *req, struct page *page, struct json_object *errors)
{
	const char *wrong = NULL;
	char *text = req_query_arg(req, "limit", &wrong);

	page->limit = LIMIT_DEFAULT;
	page->has_before = false;
	if (wrong)
		errors = input_error(errors, "limit", wrong);
	else if (text)
		errors = read_limit(page, text, errors);
	wrong = NULL;
	text = req_query_arg(req, "cursor", &wrong);
	if (!wrong && text && !cursor_read(text, &page->before))
		wrong = "not one that a list gave";
	if (wrong)
		return input_error(errors, "cursor", wrong);
	page->has_before = text != NULL;
	return errors;
}

void page_before(struct db_params *params, const struct page *page)
{
	if (page->has_before)
		dbp_uuid(params, &page->before);
	else
		dbp_null(params, DB_UUID);
}

const char *page_url(struct request *req, const char *list, const struct page *page,
		     const struct uuid *before)
{
	char cursor[CURSOR_TEXT] = "";

	if (before)
		cursor_write(before, cursor);
	return req_printf(req, "%s?limit=%d%s%s", list, page->limit, before ? "&cursor=" : "",
			  cursor);
}

static void put_link(struct buf *out, const char *key, const char *url)
{
	buf_adds(out, key);
	jobdoc_string(out, url, strlen(url));
	buf_adds(out, "}");
}

void page_links(struct request *req, struct buf *out, const char *self, const char *next)
{
	put_link(out, ",\"_links\":{\"self\":{\"href\":", self);
	if (next) {
		put_link(out, ",\"next\":{\"href\":", next);
		reply_header(req, "Link", "<%s>; rel=\"next\"", next);
	}
	buf_adds(out, "}");
}
