/*
 * actions.h: cancel, delete and retry; the handlers are in jobs.h.
 */
#ifndef LONGHAUL_API_ACTIONS_H
#define LONGHAUL_API_ACTIONS_H

#include <stddef.h>

size_t actions_pending(void); /* under way in the database */

#endif
