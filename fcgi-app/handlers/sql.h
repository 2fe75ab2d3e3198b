/*
 * sql.h: the parts of the sql handler that only deal with text.
 */
#ifndef LONGHAUL_HANDLERS_SQL_H
#define LONGHAUL_HANDLERS_SQL_H

#include <stdbool.h>
#include <stdint.h>

/* What longhaul.report_progress says: "DONE TOTAL MESSAGE", TOTAL -1 = unknown. False: it is something else. */
bool sql_progress_parse(const char *text, int64_t *done, int64_t *total, const char **message);

/* The status that an error's SQLSTATE asks for: LH400 … LH599; 0: it is no such error. */
int sql_status_of(const char *sqlstate);

/* True for what can be the type of a problem: 1 to 64 small letters, digits and hyphens. */
bool sql_is_problem_type(const char *text);

#endif
