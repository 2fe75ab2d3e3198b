/*
 * openapi_text.c: fills the job types into openapi.json, which is compiled in, so that it can't be of
 * another version than the code.
 *
 * What the file has in place of them:
 *   paths./v1/{submit}    the path of each type, without what differs between types
 *   x-longhaul-common     answers that every operation under /v1/ may give, or every unsafe one
 *   parameters.Collection without the names of the collections
 */
#include "api/openapi_text.h"

#include <stdlib.h>
#include <string.h>

#include "api/jobs.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"

#define TYPES_MAX 300
#define SUBMIT "/v1/{submit}"
#define COMMON "x-longhaul-common"
#define PROBLEM_BASE "urn:longhaul:problem:" /* as it stands in the file */

/* clang-format off */
__asm__(".pushsection .rodata, \"a\"\n"
	"openapi_json: .incbin \"" LONGHAUL_SOURCES "/api/openapi.json\"\n"
	".byte 0\n"
	".popsection\n");
/* clang-format on */
extern const char openapi_json[] __attribute__((visibility("hidden")));

/* ---- json-c, with fewer words ------------------------------------------------------------------------ */

static struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, name, &value);
	return value;
}

static struct json_object *add_object(struct json_object *o, const char *name)
{
	struct json_object *value = json_object_new_object();

	json_object_object_add(o, name, value);
	return value;
}

static struct json_object *add_array(struct json_object *o, const char *name)
{
	struct json_object *value = json_object_new_array();

	json_object_object_add(o, name, value);
	return value;
}

/* Adds a text and gives its memory back. */
static void add_text(struct json_object *o, const char *name, char *text)
{
	json_add_str(o, name, text);
	free(text);
}

/* ---- a job type ---------------------------------------------------------------------------------------- */

/* Calls `each` for the media types that the type takes. */
static void each_media_type(const struct job_type *type, struct json_object *to,
			    void (*each)(struct json_object *to, const char *media))
{
	for (const char *p = type->media_types + strspn(type->media_types, ", "); *p;) {
		char *media = mem_strndup(p, strcspn(p, ", "));

		each(to, media);
		p += strlen(media);
		p += strspn(p, ", ");
		free(media);
	}
}

/* Nothing is said of what an input looks like: only its handler knows. */
static void add_media_content(struct json_object *content, const char *media)
{
	json_object_object_add(add_object(content, media), "schema", json_object_new_object());
}

static void add_media_name(struct json_object *list, const char *media)
{
	json_object_array_add(list, json_object_new_string(media));
}

/* "7 days", or seconds if that doesn't come out even. */
static char *duration_text(int64_t seconds)
{
	bool days = seconds > 0 && seconds % 86400 == 0;
	long long n = days ? seconds / 86400 : seconds;

	return mem_printf("%lld %s%s", n, days ? "day" : "second", n == 1 ? "" : "s");
}

static char *about_type(const struct job_type *type)
{
	char *kept = duration_text(type->retention_s);
	char *wait = type->wait_ms > 0
			     ? mem_printf("waits up to %d ms for the result", type->wait_ms)
			     : mem_strdup("doesn't wait for the result");
	char *text = mem_printf(
		"%s%sAt most %lld bytes of input. The answer %s, unless `Prefer` says "
		"otherwise. Jobs are kept for %s after their end.",
		type->description, *type->description ? "\n\n" : "",
		(long long)type->max_input_bytes, wait, kept);

	free(kept);
	free(wait);
	return text;
}

/* What can be asked about the job that a 202 tells of. */
static void add_links(struct json_object *links, const struct job_type *type)
{
	static const char *const ways[][2] = { { "job", "getJob" },
					       { "events", "getJobEvents" },
					       { "results", "getJobResults" },
					       { "cancel", "cancelJob" } };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct json_object *link = add_object(links, ways[i][0]), *parameters;

		json_add_str(link, "operationId", ways[i][1]);
		parameters = add_object(link, "parameters");
		json_add_str(parameters, "collection", type->collection);
		json_add_str(parameters, "jobId", "$response.body#/jobId");
	}
}

/* Completes a copy of the path item that stands for submits. */
static void fill_submit(struct json_object *item, const struct job_type *type)
{
	struct json_object *post = member(item, "post");
	struct json_object *accepted = member(member(post, "responses"), "202");

	add_text(post, "operationId", mem_printf("submit.%s", type->name));
	add_text(post, "summary", mem_printf("Submit a job of type %s", type->name));
	add_text(post, "description", about_type(type));
	each_media_type(type, add_object(add_object(post, "requestBody"), "content"),
			add_media_content);
	add_links(member(accepted, "links"), type);
}

static void list_type(struct json_object *list, const struct job_type *type)
{
	struct json_object *o = json_object_new_object();

	json_add_str(o, "name", type->name);
	add_text(o, "submitPath", mem_printf("/v1%s", type->submit_path));
	json_add_str(o, "collection", type->collection);
	json_add_str(o, "summary", *type->description ? type->description : NULL);
	each_media_type(type, add_array(o, "mediaTypes"), add_media_name);
	json_add_int(o, "maxInputBytes", type->max_input_bytes);
	json_add_int(o, "waitMs", type->wait_ms);
	json_add_int(o, "retentionSeconds", type->retention_s);
	json_object_array_add(list, o);
}

/* ---- the whole ------------------------------------------------------------------------------------------- */

/* Adds the answers that are missing. */
static void add_answers(struct json_object *responses, struct json_object *more)
{
	json_object_object_foreach(more, status, answer)
	{
		if (!member(responses, status))
			json_object_object_add(responses, status, json_object_get(answer));
	}
}

/* Gives the operations of a path what all of them may answer. */
static void add_common_answers(struct json_object *item, struct json_object *common)
{
	json_object_object_foreach(item, method, operation)
	{
		struct json_object *responses = member(operation, "responses");

		if (!responses)
			continue; /* what belongs to all methods of the path */
		add_answers(responses, member(common, "every"));
		if (strcmp(method, "get") != 0)
			add_answers(responses, member(common, "unsafe"));
	}
}

/* The submit paths of all types, and what tells of the types elsewhere. */
static void add_types(struct json_object *document, struct json_object *paths,
		      struct json_object *submit)
{
	struct json_object *list = add_array(document, "x-longhaul-job-types");
	struct json_object *names = json_object_new_array();
	const struct job_type *type;
	int i;

	for (i = 0; i < TYPES_MAX && (type = type_at(i)); i++) {
		struct json_object *item = NULL;
		char *path = mem_printf("/v1%s", type->submit_path);

		json_object_deep_copy(submit, &item, NULL);
		fill_submit(item, type);
		json_object_object_add(paths, path, item);
		free(path);
		list_type(list, type);
		json_object_array_add(names, json_object_new_string(type->collection));
	}
	if (type_at(i))
		log_warning("openapi.json tells of %d job types only", TYPES_MAX);
	/* An empty list would allow nothing, and isn't allowed. */
	if (i > 0 && !type_at(i))
		json_object_object_add(
			member(member(member(member(document, "components"), "parameters"),
				      "Collection"),
			       "schema"),
			"enum", names);
	else
		json_object_put(names);
}

static void fill(struct json_object *document)
{
	struct json_object *fixed = json_object_get(member(document, "paths"));
	struct json_object *common = json_object_get(member(document, COMMON));
	struct json_object *paths = json_object_new_object();

	json_add_str(member(document, "info"), "version", LONGHAUL_VERSION);
	json_object_object_del(document, COMMON);
	add_types(document, paths, member(fixed, SUBMIT));
	json_object_object_del(fixed, SUBMIT);
	json_object_object_foreach(fixed, path, item)
	{
		json_object_object_add(paths, path, json_object_get(item));
	}
	json_object_object_foreach(paths, any, operations)
	{
		if (strncmp(any, "/v1/", 4) == 0)
			add_common_answers(operations, common);
	}
	json_object_object_add(document, "paths", paths);
	json_object_put(fixed);
	json_object_put(common);
}

/* Appends the text with another base for the types of problems. */
static void write_with_base(struct buf *out, const char *text, const char *base)
{
	const char *found;

	for (; (found = strstr(text, PROBLEM_BASE)); text = found + strlen(PROBLEM_BASE)) {
		buf_add(out, text, (size_t)(found - text));
		buf_adds(out, base);
	}
	buf_adds(out, text);
}

void openapi_write(struct buf *out, const char *problem_base)
{
	struct json_object *document;
	const char *why;
	size_t len;

	if (!json_parse_strict(openapi_json, strlen(openapi_json), &document, &why)) {
		log_error("openapi.json is malformed: %s", why);
		return;
	}
	fill(document);
	write_with_base(out, json_text(document, &len), problem_base);
	json_object_put(document);
}
