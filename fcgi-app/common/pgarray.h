/*
 * pgarray.h: one-dimensional arrays as binary parameters (PostgreSQL's array_recv format).
 *
 *	struct pgarray ids;
 *	pga_init(&ids, DB_UUID);
 *	pga_uuid(&ids, &id);
 *	dbp_array(&params, &ids);   (copies)
 *	pga_free(&ids);
 *
 * Adding an element of another type than the array's is a defect: it is logged and marks the
 * array as failed, as running out of memory does; db_query refuses parameters that failed.
 */
#ifndef LONGHAUL_PGARRAY_H
#define LONGHAUL_PGARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "ids.h"

/* Object ids of the types that we speak; they are fixed in PostgreSQL's catalog. */
enum db_type {
	DB_BOOL = 16,
	DB_BYTEA = 17,
	DB_INT8 = 20,
	DB_INT2 = 21,
	DB_INT4 = 23,
	DB_TEXT = 25,
	DB_FLOAT8 = 701,
	DB_TIMESTAMPTZ = 1184,
	DB_UUID = 2950,
	DB_BOOL_ARRAY = 1000,
	DB_BYTEA_ARRAY = 1001,
	DB_INT2_ARRAY = 1005,
	DB_INT4_ARRAY = 1007,
	DB_TEXT_ARRAY = 1009,
	DB_INT8_ARRAY = 1016,
	DB_FLOAT8_ARRAY = 1022,
	DB_TIMESTAMPTZ_ARRAY = 1185,
	DB_UUID_ARRAY = 2951,
};

struct pgarray {
	enum db_type elem;
	uint32_t count;
	bool has_null, failed;
	struct buf data; /* header and elements; the header is completed by pga_encoded */
};

void pga_init(struct pgarray *a, enum db_type elem);
void pga_reset(struct pgarray *a); /* empty again, keeps memory and type */
void pga_free(struct pgarray *a);
uint32_t pga_count(const struct pgarray *a);
size_t pga_size(const struct pgarray *a); /* bytes on the wire, to bound a batch */

void pga_null(struct pgarray *a);
void pga_bool(struct pgarray *a, bool v);
void pga_int2(struct pgarray *a, int16_t v);
void pga_int4(struct pgarray *a, int32_t v);
void pga_int8(struct pgarray *a, int64_t v);
void pga_float8(struct pgarray *a, double v);
/* NULL pointer = SQL null, here and below: an empty value needs a pointer that isn't NULL. */
void pga_uuid(struct pgarray *a, const struct uuid *v);
void pga_text(struct pgarray *a, const char *v);
void pga_textn(struct pgarray *a, const char *v, size_t len); /* must be UTF-8 without NUL */
void pga_bytea(struct pgarray *a, const void *v, size_t len);
void pga_timestamptz(struct pgarray *a, int64_t unix_ms);

/* The encoded value, valid until the array changes. */
const char *pga_encoded(struct pgarray *a, size_t *len);
enum db_type db_array_of(enum db_type elem); /* the array type of an element type */

/* Binary values in network order, shared with the parameters. `out` has room for the value. */
void pg_put2(void *out, uint16_t v);
void pg_put4(void *out, uint32_t v);
void pg_put8(void *out, uint64_t v);
uint16_t pg_get2(const void *p);
uint32_t pg_get4(const void *p);
uint64_t pg_get8(const void *p);

#endif
