/*
 * webhook_input.h: what clients say of a webhook, checked.
 */
#ifndef LONGHAUL_API_WEBHOOK_INPUT_H
#define LONGHAUL_API_WEBHOOK_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/pgarray.h"

struct json_object;

#define WEBHOOK_EVENTS 3

/* A webhook to be. The texts belong to the object that it was read from. */
struct webhook_input {
	const char *url, *description;
	bool all_types;
	bool event[WEBHOOK_EVENTS];
	struct pgarray type_ids, events; /* for the database */
};

/* Reads a webhook from the body of a request. NULL: it is fine; else all that is wrong with it. */
struct json_object *webhook_input_read(struct json_object *body, struct webhook_input *out);
void webhook_input_free(struct webhook_input *input);
/* Reads the body of a rotation (NULL = none): for how long the older secret signs too. As above. */
struct json_object *webhook_overlap_read(struct json_object *body, int64_t *overlap_ms);

#endif
