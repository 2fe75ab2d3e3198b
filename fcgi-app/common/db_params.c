/*
 * db_params.c: building the binary parameters of a query.
 */
#include "db.h"

#include <string.h>

#include "log.h"
#include "times.h"

void db_params_init(struct db_params *p)
{
	*p = (struct db_params){ 0 };
}

void db_params_reset(struct db_params *p)
{
	buf_reset(&p->data);
	p->n = 0;
	p->failed = false;
}

void db_params_free(struct db_params *p)
{
	buf_free(&p->data);
	p->n = 0;
	p->failed = false;
}

/* Appends a value; NULL is SQL's null. */
static void add(struct db_params *p, enum db_type type, const void *v, size_t len)
{
	struct db_param *param;

	if (p->n == DB_PARAMS_MAX || len > INT32_MAX / 2) {
		log_error("a query with too many or too large parameters: %d, %zu bytes", p->n,
			  len);
		p->failed = true;
	}
	if (p->failed)
		return;
	param = &p->v[p->n++];
	*param = (struct db_param){ .type = type, .len = -1, .at = p->data.len };
	if (v == NULL)
		return;
	param->len = (int32_t)len;
	if (!buf_add(&p->data, v, len)) {
		log_error("out of memory for %zu bytes of parameters", p->data.len + len);
		p->failed = true;
	}
}

void dbp_null(struct db_params *p, enum db_type type)
{
	add(p, type, NULL, 0);
}

void dbp_bool(struct db_params *p, bool v)
{
	char c = v ? 1 : 0;

	add(p, DB_BOOL, &c, 1);
}

void dbp_int2(struct db_params *p, int16_t v)
{
	char c[2];

	pg_put2(c, (uint16_t)v);
	add(p, DB_INT2, c, sizeof(c));
}

void dbp_int4(struct db_params *p, int32_t v)
{
	char c[4];

	pg_put4(c, (uint32_t)v);
	add(p, DB_INT4, c, sizeof(c));
}

void dbp_int8(struct db_params *p, int64_t v)
{
	char c[8];

	pg_put8(c, (uint64_t)v);
	add(p, DB_INT8, c, sizeof(c));
}

void dbp_float8(struct db_params *p, double v)
{
	uint64_t bits;
	char c[8];

	memcpy(&bits, &v, sizeof(bits));
	pg_put8(c, bits);
	add(p, DB_FLOAT8, c, sizeof(c));
}

void dbp_text(struct db_params *p, const char *v)
{
	add(p, DB_TEXT, v, v != NULL ? strlen(v) : 0);
}

void dbp_textn(struct db_params *p, const char *v, size_t len)
{
	add(p, DB_TEXT, v, len);
}

void dbp_bytea(struct db_params *p, const void *v, size_t len)
{
	add(p, DB_BYTEA, v, len);
}

void dbp_uuid(struct db_params *p, const struct uuid *v)
{
	add(p, DB_UUID, v, 16);
}

void dbp_timestamptz(struct db_params *p, int64_t unix_ms)
{
	char c[8];

	pg_put8(c, (uint64_t)unix_ms_to_pg_us(unix_ms));
	add(p, DB_TIMESTAMPTZ, c, sizeof(c));
}

void dbp_array(struct db_params *p, struct pgarray *a)
{
	size_t len;
	const char *data = pga_encoded(a, &len);

	if (a->failed || data == NULL)
		p->failed = true;
	else
		add(p, db_array_of(a->elem), data, len);
}
