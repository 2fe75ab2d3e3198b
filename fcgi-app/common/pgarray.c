/*
 * pgarray.c: one-dimensional arrays as binary parameters.
 *
 * On the wire: dimensions, "has nulls" flag, element type, then per dimension its length and lower
 * bound, then each element as length (-1 = null) and bytes. An empty array has no dimension.
 */
#include "pgarray.h"

#include <endian.h>
#include <string.h>

#include "log.h"
#include "times.h"

#define HEADER_FIXED 12 /* dimensions, flag, element type */
#define HEADER_FULL 20  /* with the one dimension */

void pg_put2(void *out, uint16_t v)
{
	v = htobe16(v);
	memcpy(out, &v, sizeof(v));
}

void pg_put4(void *out, uint32_t v)
{
	v = htobe32(v);
	memcpy(out, &v, sizeof(v));
}

void pg_put8(void *out, uint64_t v)
{
	v = htobe64(v);
	memcpy(out, &v, sizeof(v));
}

uint16_t pg_get2(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

uint32_t pg_get4(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

uint64_t pg_get8(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

enum db_type db_array_of(enum db_type elem)
{
	switch (elem) {
	case DB_BOOL:
		return DB_BOOL_ARRAY;
	case DB_BYTEA:
		return DB_BYTEA_ARRAY;
	case DB_INT2:
		return DB_INT2_ARRAY;
	case DB_INT4:
		return DB_INT4_ARRAY;
	case DB_INT8:
		return DB_INT8_ARRAY;
	case DB_FLOAT8:
		return DB_FLOAT8_ARRAY;
	case DB_TIMESTAMPTZ:
		return DB_TIMESTAMPTZ_ARRAY;
	case DB_UUID:
		return DB_UUID_ARRAY;
	case DB_TEXT:
		return DB_TEXT_ARRAY;
	default:
		log_error("no array type for element type %d", (int)elem);
		return DB_TEXT_ARRAY;
	}
}

void pga_init(struct pgarray *a, enum db_type elem)
{
	*a = (struct pgarray){ .elem = elem };
}

void pga_reset(struct pgarray *a)
{
	buf_reset(&a->data);
	a->count = 0;
	a->has_null = a->failed = false;
}

void pga_free(struct pgarray *a)
{
	buf_free(&a->data);
	pga_init(a, a->elem);
}

uint32_t pga_count(const struct pgarray *a)
{
	return a->count;
}

size_t pga_size(const struct pgarray *a)
{
	return a->data.len;
}

/* Appends an element; len -1 is null. */
static void add(struct pgarray *a, enum db_type type, const void *v, int32_t len)
{
	static const char header[HEADER_FULL];
	char head[4];
	size_t need = 4 + (len > 0 ? (size_t)len : 0);

	if (type != a->elem) {
		log_error("an element of type %d for an array of type %d", (int)type, (int)a->elem);
		a->failed = true;
	}
	if (a->failed)
		return;
	if (a->data.len == 0 && !buf_add(&a->data, header, HEADER_FULL))
		goto failed;
	if (!buf_reserve(&a->data, need))
		goto failed;
	pg_put4(head, (uint32_t)len);
	buf_add(&a->data, head, sizeof(head));
	if (len > 0)
		buf_add(&a->data, v, (size_t)len);
	a->count++;
	a->has_null |= len < 0;
	return;
failed:
	log_error("out of memory for an array of %zu bytes", a->data.len + need);
	a->failed = true;
}

void pga_null(struct pgarray *a)
{
	add(a, a->elem, NULL, -1);
}

void pga_bool(struct pgarray *a, bool v)
{
	char c = v ? 1 : 0;

	add(a, DB_BOOL, &c, 1);
}

void pga_int2(struct pgarray *a, int16_t v)
{
	char c[2];

	pg_put2(c, (uint16_t)v);
	add(a, DB_INT2, c, 2);
}

void pga_int4(struct pgarray *a, int32_t v)
{
	char c[4];

	pg_put4(c, (uint32_t)v);
	add(a, DB_INT4, c, 4);
}

void pga_int8(struct pgarray *a, int64_t v)
{
	char c[8];

	pg_put8(c, (uint64_t)v);
	add(a, DB_INT8, c, 8);
}

void pga_float8(struct pgarray *a, double v)
{
	uint64_t bits;
	char c[8];

	memcpy(&bits, &v, sizeof(bits));
	pg_put8(c, bits);
	add(a, DB_FLOAT8, c, 8);
}

void pga_uuid(struct pgarray *a, const struct uuid *v)
{
	add(a, DB_UUID, v, v != NULL ? 16 : -1);
}

void pga_text(struct pgarray *a, const char *v)
{
	pga_textn(a, v, v != NULL ? strlen(v) : 0);
}

/* A byte string as an element: bounded by what PostgreSQL can take at all. */
static void add_bytes(struct pgarray *a, enum db_type type, const void *v, size_t len)
{
	if (v != NULL && len > INT32_MAX / 2) {
		log_error("an array element of %zu bytes is too large", len);
		a->failed = true;
		return;
	}
	add(a, type, v, v != NULL ? (int32_t)len : -1);
}

void pga_textn(struct pgarray *a, const char *v, size_t len)
{
	add_bytes(a, DB_TEXT, v, len);
}

void pga_bytea(struct pgarray *a, const void *v, size_t len)
{
	add_bytes(a, DB_BYTEA, v, len);
}

void pga_timestamptz(struct pgarray *a, int64_t unix_ms)
{
	char c[8];

	pg_put8(c, (uint64_t)unix_ms_to_pg_us(unix_ms));
	add(a, DB_TIMESTAMPTZ, c, 8);
}

const char *pga_encoded(struct pgarray *a, size_t *len)
{
	static const char empty[HEADER_FULL];

	if (a->data.len == 0 && !buf_add(&a->data, empty, HEADER_FULL)) {
		a->failed = true;
		*len = 0;
		return NULL;
	}
	pg_put4(a->data.data, a->count > 0 ? 1 : 0);
	pg_put4(a->data.data + 4, a->has_null ? 1 : 0);
	pg_put4(a->data.data + 8, (uint32_t)a->elem);
	pg_put4(a->data.data + 12, a->count);
	pg_put4(a->data.data + 16, 1);
	*len = a->count > 0 ? a->data.len : HEADER_FIXED;
	return a->data.data;
}
