/*
 * openapi_text.h: the static part of the API's description, made from the job types that exist.
 */
#ifndef LONGHAUL_API_OPENAPI_TEXT_H
#define LONGHAUL_API_OPENAPI_TEXT_H

#include <stdint.h>

#include "common/buf.h"

/* Stands in the text once, where the server's address belongs. */
#define OPENAPI_SERVER "@SERVER@"

/* Appends the description: openapi.json with what is known of the job types filled in. Problem types
 * begin with problem_base. Its size is bounded: of more than 300 types the rest is left out. */
void openapi_write(struct buf *out, const char *problem_base);

#endif
