/*
 * page.h: the arguments that all lists have: ?limit= and ?cursor=.
 */
#ifndef LONGHAUL_API_PAGE_H
#define LONGHAUL_API_PAGE_H

#include <stdbool.h>

#include "api/cursor.h"
#include "api/http.h"
#include "common/buf.h"
#include "common/db.h"

struct json_object;

struct page {
	int limit;
	bool has_before; /* else from the newest */
	struct uuid before;
};

/* Reads them from the query; what is wrong is added to `errors`, which is returned. */
struct json_object *page_read(struct request *req, struct page *page, struct json_object *errors);
/* Adds `before` as a parameter, SQL null if there is none. */
void page_before(struct db_params *params, const struct page *page);
/* The address of the page of `list` (an absolute URL without a query) that starts below `before` (NULL: of the
 * first). It belongs to the request. */
const char *page_url(struct request *req, const char *list, const struct page *page,
		     const struct uuid *before);
/* Appends `,"_links":{"self":…,"next":…}` and sets the header Link; next NULL = this is the last page. */
void page_links(struct request *req, struct buf *out, const char *self, const char *next);

#endif
