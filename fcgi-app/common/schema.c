/*
 * schema.c: whether the database's schema is new enough; see schema.h.
 */
#include "schema.h"

#include <string.h>

#include "db.h"
#include "log.h"

const char schema_version_sql[] = "SELECT longhaul.schema_version()";

bool schema_suffices(const struct db_result *result)
{
	int found = 0;

	if (result->outcome == DB_OK)
		found = dbr_int4(result->res, 0, 0);
	/* Neither the function nor the schema: nothing was migrated. */
	else if (result->outcome != DB_ERROR ||
		 (strcmp(result->sqlstate, "42883") != 0 && strcmp(result->sqlstate, "3F000") != 0))
		return true;
	if (found >= LONGHAUL_SCHEMA)
		return true;
	log_error("the database's schema has version %d, this program needs %d: run "
		  "longhaul-migrate",
		  found, LONGHAUL_SCHEMA);
	return false;
}
