/*
 * types.h: the job types, as the database has them; the look-ups are in jobs.h.
 */
#ifndef LONGHAUL_API_TYPES_H
#define LONGHAUL_API_TYPES_H

#include <stdbool.h>

struct app;
struct job_type;

void types_start(struct app *a);
void types_stop(void);
void types_refresh(
	void); /* reads them now: the connection came up, or one is said to have changed */

/* True if a Content-Type (NULL = none was sent) is one that the type accepts. */
bool type_accepts(const struct job_type *type, const char *content_type);

#endif
