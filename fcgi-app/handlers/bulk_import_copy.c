/*
 * bulk_import_copy.c: encodes rows for COPY … (FORMAT binary), which needs no escapes.
 */
#include "bulk_import_copy.h"

#include "common/text.h"

#include <endian.h>
#include <string.h>

#define COLUMNS 8

static bool add_int16(struct buf *out, int16_t v)
{
	uint16_t be = htobe16((uint16_t)v);

	return buf_add(out, &be, sizeof(be));
}

static bool add_int32(struct buf *out, int32_t v)
{
	uint32_t be = htobe32((uint32_t)v);

	return buf_add(out, &be, sizeof(be));
}

static bool add_null(struct buf *out)
{
	return add_int32(out, -1);
}

static bool add_text(struct buf *out, struct slice s)
{
	if (!s.data)
		return add_null(out);
	return add_int32(out, (int32_t)s.len) && buf_add(out, s.data, s.len);
}

/* The row as it came. What a text column can't hold becomes U+FFFD, so the length comes last. */
static bool add_raw(struct buf *out, struct slice raw)
{
	size_t at = out->len;
	uint32_t be;

	if (!add_int32(out, 0) || !text_add_storable(out, raw.data, raw.len))
		return false;
	be = htobe32((uint32_t)(out->len - at - sizeof(be)));
	memcpy(out->data + at, &be, sizeof(be));
	return true;
}

bool import_copy_head(struct buf *out)
{
	static const char signature[] = "PGCOPY\n\377\r\n"; /* its NUL belongs to it */

	/* no flags, no header extension */
	return buf_add(out, signature, sizeof(signature)) && add_int32(out, 0) && add_int32(out, 0);
}

bool import_copy_tail(struct buf *out)
{
	return add_int16(out, -1);
}

bool import_copy_row(struct buf *out, const struct import_row *row)
{
	const struct account *a = &row->account;
	uint64_t line = htobe64((uint64_t)row->line);
	struct slice reason = { a->reason, 0 };

	if (!add_int16(out, COLUMNS) || !add_int32(out, sizeof(line)) ||
	    !buf_add(out, &line, sizeof(line)))
		return false;
	if (!a->reason)
		return add_text(out, a->email) && add_text(out, a->name) &&
		       add_text(out, a->external_id) && add_text(out, a->extra) && add_null(out) &&
		       add_null(out) && add_null(out);
	reason.len = strlen(a->reason);
	return add_null(out) && add_null(out) && add_null(out) && add_null(out) &&
	       add_text(out, a->field) && add_text(out, reason) && add_raw(out, row->raw);
}
