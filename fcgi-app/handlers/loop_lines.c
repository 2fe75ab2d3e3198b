/*
 * loop_lines.c: the lines of the conversation with a persistent command.
 */
#include "loop.h"

#include "common/times.h"
#include "common/text.h"

#include <inttypes.h>
#include <string.h>

#define DIGITS_MAX 18 /* fit into 63 bits */

static const char *given(const char *field)
{
	return *field == '\0' || strcmp(field, "-") == 0 ? NULL : field;
}

bool loop_line_parse(char *line, struct loop_line *out)
{
	const char *v[LOOP_FIELDS] = { NULL };
	size_t len = strlen(line);
	int n = 0;

	if (len > 0 && line[len - 1] == '\r')
		line[len - 1] = '\0';
	for (char *p = line; p && n < LOOP_FIELDS; n++) {
		char *tab = strchr(p, '\t');

		if (tab)
			*tab = '\0';
		v[n] = given(p);
		p = tab ? tab + 1 : NULL;
	}
	out->verb = v[0];
	out->id = v[1];
	memcpy(out->field, v + 2, sizeof(out->field));
	return out->verb != NULL;
}

bool loop_number(const char *field, int64_t otherwise, int64_t *out)
{
	size_t len = field ? strspn(field, "0123456789") : 0;

	*out = field ? 0 : otherwise;
	if (!field)
		return true;
	if (len == 0 || len > DIGITS_MAX || field[len] != '\0')
		return false;
	for (; *field; field++)
		*out = *out * 10 + (*field - '0');
	return true;
}

/* What comes from the client can't break the line. */
static bool add_field(struct buf *out, const char *value)
{
	size_t len = strlen(value);

	return buf_adds(out, "\t") &&
	       (len > 0 ? text_add_line(out, value, len) : buf_adds(out, "-"));
}

bool loop_job_line(struct buf *out, const struct lh_job_info *job, const char *folder)
{
	char deadline[RFC3339_TEXT] = "";

	if (job->deadline_ms > 0)
		rfc3339_format(job->deadline_ms, deadline);
	return buf_addf(out, "job\t%s\t%d\t%s/" LOOP_INPUT "\t%s/" LOOP_RESULT, job->id,
			job->attempt, folder, folder) &&
	       add_field(out, job->media_type) && add_field(out, deadline) &&
	       add_field(out, job->traceparent) && add_field(out, job->client) &&
	       add_field(out, job->request_id) && buf_adds(out, "\n");
}
