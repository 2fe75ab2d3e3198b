/*
 * sql_text.c: what functions in the database say to the sql handler.
 */
#include "sql.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool sql_progress_parse(const char *text, int64_t *done, int64_t *total, const char **message)
{
	char *end;

	*done = strtoll(text, &end, 10);
	if (end == text || *end != ' ')
		return false;
	text = end + 1;
	*total = strtoll(text, &end, 10);
	if (end == text || *end != ' ')
		return false;
	*message = end[1] ? end + 1 : NULL;
	return true;
}

int sql_status_of(const char *sqlstate)
{
	int status;

	if (strlen(sqlstate) != 5 || strncmp(sqlstate, "LH", 2) != 0 ||
	    strspn(sqlstate + 2, "0123456789") != 3)
		return 0;
	status = (int)strtol(sqlstate + 2, NULL, 10);
	return status >= 400 && status <= 599 ? status : 0;
}

bool sql_is_problem_type(const char *text)
{
	size_t len = strlen(text);

	return len >= 1 && len <= 64 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}
