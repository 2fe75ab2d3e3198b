/*
 * webhook_input.c: what clients say of a webhook, checked.
 */
#include "api/webhook_input.h"

#include <stdio.h>
#include <string.h>

#include "api/http.h"
#include "api/jobs.h"
#include "api/settings.h"
#include "common/json.h"

#define DESCRIPTION_MAX 1000 /* bytes */
#define TYPES_MAX 200
#define OVERLAP_DEFAULT_S 86400
#define OVERLAP_MAX_S (7 * 86400)

static const char *const events[WEBHOOK_EVENTS] = { "job.completed", "job.failed", "job.canceled" };

/* A text without NUL; NULL and an error if the value is none. */
static const char *read_text(struct json_object *value, const char *where,
			     struct json_object **errors)
{
	const char *text = json_object_get_string(value);

	if (json_object_is_type(value, json_type_string) &&
	    strlen(text) == (size_t)json_object_get_string_len(value))
		return text;
	*errors = input_error(*errors, where, "not a text");
	return NULL;
}

static void read_url(struct json_object *value, struct webhook_input *in,
		     struct json_object **errors)
{
	const char *text = read_text(value, "url", errors), *why;

	if (text && !webhook_url_check(text, &api_webhook_guard, &why))
		*errors = input_error(*errors, "url", why);
	in->url = text;
}

static void read_description(struct json_object *value, struct webhook_input *in,
			     struct json_object **errors)
{
	const char *text = read_text(value, "description", errors);

	if (text && strlen(text) > DESCRIPTION_MAX)
		*errors = input_error(*errors, "description", "longer than 1000 bytes");
	in->description = text;
}

/* A list of 1 to `max` texts; `each` is called for those that are texts, and says what is wrong with one. */
static void read_list(struct json_object *value, const char *name, size_t max,
		      const char *(*each)(const char *text, struct webhook_input *in),
		      struct webhook_input *in, struct json_object **errors)
{
	size_t n = json_object_is_type(value, json_type_array) ? json_object_array_length(value)
							       : 0;
	char where[40];

	if (n == 0 || n > max) {
		*errors = input_error(*errors, name,
				      n == 0 ? "not a list of texts, one at least (without it: all)"
					     : "too long a list");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const char *text, *why;

		snprintf(where, sizeof(where), "%s[%zu]", name, i);
		text = read_text(json_object_array_get_idx(value, i), where, errors);
		why = text ? each(text, in) : NULL;
		if (why)
			*errors = input_error(*errors, where, why);
	}
}

static const char *add_type(const char *text, struct webhook_input *in)
{
	const struct job_type *type = type_by_name(text);

	if (!type)
		return "there is no such job type";
	in->all_types = false;
	pga_int4(&in->type_ids, type->type_id);
	return NULL;
}

static const char *add_event(const char *text, struct webhook_input *in)
{
	for (size_t i = 0; i < WEBHOOK_EVENTS; i++) {
		if (strcmp(text, events[i]) == 0) {
			in->event[i] = true;
			return NULL;
		}
	}
	return "not one of job.completed, job.failed, job.canceled";
}

static void read_member(const char *name, struct json_object *value, struct webhook_input *in,
			struct json_object **errors)
{
	if (strcmp(name, "url") == 0)
		read_url(value, in, errors);
	else if (strcmp(name, "description") == 0)
		read_description(value, in, errors);
	else if (strcmp(name, "types") == 0)
		read_list(value, name, TYPES_MAX, add_type, in, errors);
	else if (strcmp(name, "events") == 0)
		read_list(value, name, WEBHOOK_EVENTS, add_event, in, errors);
	else
		*errors = input_error(*errors, name, "there is no such member");
}

struct json_object *webhook_input_read(struct json_object *body, struct webhook_input *out)
{
	struct json_object *errors = NULL;

	memset(out, 0, sizeof(*out));
	out->description = "";
	out->all_types = true;
	pga_init(&out->type_ids, DB_INT4);
	pga_init(&out->events, DB_TEXT);
	json_object_object_foreach(body, name, value)
	{
		read_member(name, value, out, &errors);
	}
	if (!json_object_object_get_ex(body, "url", NULL))
		errors = input_error(errors, "url", "missing");
	for (size_t i = 0; i < WEBHOOK_EVENTS; i++)
		if (out->event[i] || !json_object_object_get_ex(body, "events", NULL))
			pga_text(&out->events, events[i]);
	return errors;
}

void webhook_input_free(struct webhook_input *input)
{
	pga_free(&input->type_ids);
	pga_free(&input->events);
}

struct json_object *webhook_overlap_read(struct json_object *body, int64_t *overlap_ms)
{
	struct json_object *errors = NULL;
	int64_t seconds = OVERLAP_DEFAULT_S;

	if (body) {
		json_object_object_foreach(body, name, value)
		{
			(void)value;
			if (strcmp(name, "overlapSeconds") != 0) {
				errors = input_error(errors, name, "there is no such member");
				continue;
			}
			seconds = json_get_int(body, name, -1);
			if (seconds < 0 || seconds > OVERLAP_MAX_S)
				errors = input_error(errors, name,
						     "not a whole number from 0 to 604800");
		}
	}
	*overlap_ms = seconds * 1000;
	return errors;
}
