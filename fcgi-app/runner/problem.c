/*
 * problem.c: makes problem documents from what handlers say, which may be anything.
 */
#include "problem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "common/wire.h"

#define TYPE_MAX 200 /* it may be a URI of somebody else's */
#define TITLE_MAX 400
#define DETAIL_MAX 4000

size_t text_clean(const char *text, size_t max, char *out)
{
	size_t len, n = 0;

	len = text ? strnlen(text, max + 1) : 0;
	if (len > max)
		len = utf8_prefix(text, len, max);
	if (len > 0)
		memcpy(out, text, len);
	out[len] = '\0';
	if (utf8_valid(out, len))
		return len;
	for (; n < len; n++)
		if ((unsigned char)out[n] >= 0x80)
			out[n] = '?';
	return len;
}

/* The handler's list of errors, or NULL if it can't be passed on. */
static struct json_object *errors_parse(const char *errors_json)
{
	struct json_object *errors = NULL;
	const char *why;
	size_t len = strlen(errors_json);

	if (len > WIRE_ERROR_MAX - 4 * DETAIL_MAX) {
		log_warning("errors given to lh_fail are left out reason=\"too long\" bytes=%zu",
			    len);
		return NULL;
	}
	if (!json_parse_strict(errors_json, len, &errors, &why)) {
		log_warning("errors given to lh_fail are left out reason=\"%s\"", why);
		return NULL;
	}
	if (json_object_is_type(errors, json_type_array) && !json_has_nul(errors))
		return errors;
	log_warning(
		"errors given to lh_fail are left out reason=\"not an array, or it holds U+0000\"");
	json_object_put(errors);
	return NULL;
}

static void add_clean(struct json_object *o, const char *key, const char *text, size_t max)
{
	char clean[DETAIL_MAX + 1];
	size_t len = text_clean(text, max, clean);

	json_add_strn(o, key, clean, len);
}

void problem_write(struct buf *out, const char *type, int status, const char *title,
		   const char *detail, const char *errors_json)
{
	struct json_object *o = json_object_new_object();
	struct json_object *errors = errors_json ? errors_parse(errors_json) : NULL;
	size_t len;
	const char *text;

	if (!o)
		abort();
	add_clean(o, "type", type && *type ? type : "handler-failed", TYPE_MAX);
	add_clean(o, "title", title && *title ? title : "The job failed", TITLE_MAX);
	json_add_int(o, "status", status >= 400 && status <= 599 ? status : 500);
	if (detail && *detail)
		add_clean(o, "detail", detail, DETAIL_MAX);
	if (errors)
		json_object_object_add(o, "errors", errors);
	text = json_text(o, &len);
	buf_reset(out);
	/* Escapes can make it several times as long as what was given: then without the list. */
	if (len > WIRE_ERROR_MAX && errors) {
		json_object_object_del(o, "errors");
		text = json_text(o, &len);
	}
	if (len > WIRE_ERROR_MAX) {
		json_object_object_del(o, "detail");
		text = json_text(o, &len);
	}
	if (!text || !buf_add(out, text, len))
		abort();
	json_object_put(o);
}
