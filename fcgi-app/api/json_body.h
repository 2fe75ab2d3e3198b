/*
 * json_body.h: a small JSON object as the body of a request.
 */
#ifndef LONGHAUL_API_JSON_BODY_H
#define LONGHAUL_API_JSON_BODY_H

#include <stdbool.h>

#include "api/http.h"

struct json_object;

#define JSON_BODY_MAX 16384 /* bytes */

/* The object; NULL if there was no body. It is put by the caller of this. */
typedef void json_body_fn(void *ctx, struct json_object *object);
/* Takes the body in and calls back once; or never, if it isn't such an object (or is missing, unless `optional`),
 * and that was answered. */
void json_body_read(struct request *req, bool optional, json_body_fn *done, void *ctx);

#endif
