/*
 * account.h: what an account is, and what is wrong with one.
 */
#ifndef LONGHAUL_HANDLERS_ACCOUNT_H
#define LONGHAUL_HANDLERS_ACCOUNT_H

#include "common/buf.h"
#include "json_scan.h"

#include <stdbool.h>

#define ACCOUNT_DEPTH_MAX 16  /* nesting of a row, the row itself included */
#define ACCOUNT_NAMED_MAX 200 /* bytes shown of the name of a member */

/*
 * One account. Slices point into the row, into the room or into `more`: they live as long as
 * those stay unchanged. A wrong account has a reason, and a field if the reason is about one.
 */
struct account {
	struct slice email, name, external_id; /* data NULL: absent */
	struct slice extra; /* JSON object of all further members; absent if there are none */
	struct slice field;
	const char *reason; /* NULL: nothing is wrong */
	char reason_text[64];
};

/* Checks email, name and external_id and sets the reason; an empty external_id becomes absent. */
void account_check(struct account *a);

/* Says what is wrong. Returns false. */
bool account_refuse(struct account *a, const char *field, const char *reason);

/* True if the row is UTF-8 without NUL; otherwise the account is refused for it. */
bool account_row_is_text(struct account *a, const char *data, size_t len);

/* Reads an account from JSON text, an object, and checks it. room must have space for len bytes;
 * more is used for the further members. False only when memory ends. */
bool account_from_json(struct account *a, const char *data, size_t len, char *room,
		       struct buf *more);

#endif
