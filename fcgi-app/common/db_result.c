/*
 * db_result.c: reading binary results, with every type and length checked.
 */
#include "db.h"

#include <string.h>

#include <libpq-fe.h>

#include "log.h"
#include "times.h"

int dbr_rows(const PGresult *res)
{
	return PQntuples(res);
}

bool dbr_null(const PGresult *res, int row, int col)
{
	return row >= PQntuples(res) || col >= PQnfields(res) || PQgetisnull(res, row, col);
}

/* The bytes of a value of that type; size 0 = any length. NULL if it is null, missing or of another
 * type, which is logged: the C code and the SQL functions don't fit together then. */
static const char *value(const PGresult *res, int row, int col, enum db_type type, int size)
{
	Oid oid;

	if (row < 0 || col < 0 || row >= PQntuples(res) || col >= PQnfields(res)) {
		log_error("a result has no row %d, column %d", row, col);
		return NULL;
	}
	if (PQgetisnull(res, row, col))
		return NULL;
	oid = PQftype(res, col);
	if (oid != (Oid)type || PQfformat(res, col) != 1 ||
	    (size > 0 && PQgetlength(res, row, col) != size)) {
		log_error("column %s is of type %u, not of type %d in binary", PQfname(res, col),
			  oid, (int)type);
		return NULL;
	}
	return PQgetvalue(res, row, col);
}

bool dbr_bool(const PGresult *res, int row, int col)
{
	const char *v = value(res, row, col, DB_BOOL, 1);

	return v != NULL && *v != 0;
}

int16_t dbr_int2(const PGresult *res, int row, int col)
{
	const char *v = value(res, row, col, DB_INT2, 2);

	return v != NULL ? (int16_t)pg_get2(v) : 0;
}

int32_t dbr_int4(const PGresult *res, int row, int col)
{
	const char *v = value(res, row, col, DB_INT4, 4);

	return v != NULL ? (int32_t)pg_get4(v) : 0;
}

int64_t dbr_int8(const PGresult *res, int row, int col)
{
	const char *v = value(res, row, col, DB_INT8, 8);

	return v != NULL ? (int64_t)pg_get8(v) : 0;
}

double dbr_float8(const PGresult *res, int row, int col)
{
	const char *v = value(res, row, col, DB_FLOAT8, 8);
	uint64_t bits;
	double d;

	if (v == NULL)
		return 0;
	bits = pg_get8(v);
	memcpy(&d, &bits, sizeof(d));
	return d;
}

const char *dbr_text(const PGresult *res, int row, int col, size_t *len)
{
	const char *v = value(res, row, col, DB_TEXT, 0);

	if (len != NULL)
		*len = v != NULL ? (size_t)PQgetlength(res, row, col) : 0;
	return v != NULL ? v : "";
}

const unsigned char *dbr_bytea(const PGresult *res, int row, int col, size_t *len)
{
	const char *v = value(res, row, col, DB_BYTEA, 0);

	*len = v != NULL ? (size_t)PQgetlength(res, row, col) : 0;
	return (const unsigned char *)v;
}

struct uuid dbr_uuid(const PGresult *res, int row, int col)
{
	const char *v = value(res, row, col, DB_UUID, 16);
	struct uuid id = { { 0 } };

	if (v != NULL)
		memcpy(id.b, v, 16);
	return id;
}

int64_t dbr_ms(const PGresult *res, int row, int col)
{
	const char *v = value(res, row, col, DB_TIMESTAMPTZ, 8);

	return v != NULL ? pg_us_to_unix_ms((int64_t)pg_get8(v)) : 0;
}

bool db_is_outage(const struct db_result *result)
{
	static const char *const classes[] = { "08", "53", "57P", "25006" };

	if (result->outcome == DB_LOST || result->outcome == DB_TIMEOUT)
		return true;
	if (result->outcome == DB_OK)
		return false;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strncmp(result->sqlstate, classes[i], strlen(classes[i])) == 0)
			return true;
	}
	return false;
}
