/*
 * list.h: lists of jobs; the handlers are in jobs.h.
 */
#ifndef LONGHAUL_API_LIST_H
#define LONGHAUL_API_LIST_H

#include <stddef.h>

size_t lists_pending(void); /* under way in the database */

#endif
