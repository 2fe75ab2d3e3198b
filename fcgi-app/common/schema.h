/*
 * schema.h: which version of the database's schema this program needs: the newest migration that it was built with.
 * A newer one is fine, because migrations only add to what older programs call.
 */
#ifndef LONGHAUL_SCHEMA_H
#define LONGHAUL_SCHEMA_H

#include <stdbool.h>

struct db_result;

extern const char schema_version_sql[]; /* asks for it */

/* Judges the answer. False: the schema is missing or too old, which has been logged. An outage says nothing. */
bool schema_suffices(const struct db_result *result);

#endif
