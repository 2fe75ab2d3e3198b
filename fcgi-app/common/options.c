/*
 * options.c: setting members of a structure from a table of options, and describing the table.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "exit_codes.h"
#include "log.h"
#include "mem.h"

static void *member(const struct opt *row, void *base)
{
	return (char *)base + row->offset;
}

/* Reads a whole decimal number with an optional binary unit (if allowed). False if it is none. */
static bool read_number(const char *s, int radix, bool units, int64_t *out)
{
	static const struct {
		const char *name;
		int shift;
	} unit[] = { { "", 0 }, { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 } };
	char *end;
	long long v;

	if (!isdigit((unsigned char)s[0]) && !(s[0] == '-' && isdigit((unsigned char)s[1])))
		return false;
	errno = 0;
	v = strtoll(s, &end, radix);
	if (errno != 0)
		return false;
	while (units && *end == ' ')
		end++;
	for (size_t i = 0; i < (units ? 4 : 1); i++) {
		if (strcasecmp(end, unit[i].name) == 0)
			return !__builtin_mul_overflow(v, (int64_t)1 << unit[i].shift, out);
	}
	return false;
}

static bool set_number(const struct opt *row, void *base, const char *value, char *err,
		       size_t errsize)
{
	bool size = row->type == OPT_SIZE, octal = row->type == OPT_OCTAL;
	int64_t v;

	if (!read_number(value, octal ? 8 : 10, size, &v)) {
		snprintf(err, errsize, "%s: not %s: \"%.60s\"", row->key,
			 octal  ? "an octal number"
			 : size ? "a size in bytes (KiB, MiB, GiB)"
				: "a whole number",
			 value);
		return false;
	}
	if (v < row->min || v > row->max) {
		snprintf(err, errsize,
			 octal ? "%s: must be between %" PRIo64 " and %" PRIo64
			       : "%s: must be between %" PRId64 " and %" PRId64,
			 row->key, row->min, row->max);
		return false;
	}
	if (size)
		*(int64_t *)member(row, base) = v;
	else
		*(int *)member(row, base) = (int)v;
	return true;
}

static bool set_bool(const struct opt *row, void *base, const char *value, char *err,
		     size_t errsize)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (size_t i = 0; i < 8; i++) {
		if (strcasecmp(value, words[i]) == 0) {
			*(bool *)member(row, base) = i % 2 != 0;
			return true;
		}
	}
	snprintf(err, errsize, "%s: must be yes or no, not \"%.60s\"", row->key, value);
	return false;
}

static bool set_choice(const struct opt *row, void *base, const char *value, char *err,
		       size_t errsize)
{
	size_t len = strlen(value);
	const char *p = row->choices;

	for (int i = 0; p != NULL; i++) {
		size_t n = strcspn(p, "|");

		if (n == len && strncmp(p, value, n) == 0) {
			*(int *)member(row, base) = i;
			return true;
		}
		p = p[n] == '|' ? p + n + 1 : NULL;
	}
	snprintf(err, errsize, "%s: must be one of %s, not \"%.60s\"", row->key, row->choices,
		 value);
	return false;
}

static void set_string(const struct opt *row, void *base, const char *value)
{
	char **s = member(row, base);
	char *copy = mem_strdup(value);

	free(*s);
	*s = copy;
}

bool opt_set(const struct opt *row, void *base, const char *value, char *err, size_t errsize)
{
	switch (row->type) {
	case OPT_STRING:
		set_string(row, base, value);
		return true;
	case OPT_BOOL:
		return set_bool(row, base, value, err, errsize);
	case OPT_CHOICE:
		return set_choice(row, base, value, err, errsize);
	case OPT_INT:
	case OPT_SIZE:
	case OPT_OCTAL:
		return set_number(row, base, value, err, errsize);
	}
	snprintf(err, errsize, "%s: unknown kind of option", row->key);
	return false;
}

void opts_defaults(const struct opt *rows, size_t n, void *base)
{
	char err[256];

	for (size_t i = 0; i < n; i++) {
		if (opt_set(&rows[i], base, rows[i].def, err, sizeof(err)))
			continue;
		log_error("the default of [%s] %s", rows[i].section, err);
		exit(EXIT_INTERNAL);
	}
}

static size_t member_size(const struct opt *row)
{
	switch (row->type) {
	case OPT_STRING:
		return sizeof(char *);
	case OPT_BOOL:
		return sizeof(bool);
	case OPT_SIZE:
		return sizeof(int64_t);
	default:
		return sizeof(int);
	}
}

bool opt_equal(const struct opt *row, const void *a, const void *b)
{
	const char *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;

	if (row->type == OPT_STRING)
		return strcmp(*(char *const *)(const void *)x, *(char *const *)(const void *)y) ==
		       0;
	return memcmp(x, y, member_size(row)) == 0;
}

void opt_swap(const struct opt *row, void *a, void *b)
{
	char kept[sizeof(int64_t)];
	size_t n = member_size(row);

	memcpy(kept, member(row, a), n);
	memcpy(member(row, a), member(row, b), n);
	memcpy(member(row, b), kept, n);
}

const struct opt *opt_find(const struct opt *rows, size_t n, const char *section, const char *key)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].key, key) == 0)
			return &rows[i];
	}
	return NULL;
}

void opts_free(const struct opt *rows, size_t n, void *base)
{
	for (size_t i = 0; i < n; i++) {
		char **s = member(&rows[i], base);

		if (rows[i].type != OPT_STRING)
			continue;
		free(*s);
		*s = NULL;
	}
}

void opts_wrap(FILE *out, const char *text, const char *indent, size_t width)
{
	while (*text != '\0') {
		size_t n = strlen(text);

		if (n > width) {
			for (n = width; n > 0 && text[n] != ' '; n--)
				;
			if (n == 0)
				n = strcspn(text, " ");
		}
		fprintf(out, "%s%.*s\n", indent, (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
}

/* What a value may be, in words; "" if anything. */
static void describe_range(const struct opt *row, char *out, size_t size)
{
	out[0] = '\0';
	if (row->type == OPT_INT || row->type == OPT_SIZE)
		snprintf(out, size, "%" PRId64 "-%" PRId64, row->min, row->max);
	else if (row->type == OPT_CHOICE)
		snprintf(out, size, "%s", row->choices);
	else if (row->type == OPT_BOOL)
		snprintf(out, size, "yes|no");
	else if (row->type == OPT_OCTAL)
		snprintf(out, size, "octal");
}

const char *opts_help(FILE *out, const char *above, const struct opt *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char range[80];

		if (above == NULL || strcmp(rows[i].section, above) != 0)
			fprintf(out, "\n[%s]\n", rows[i].section);
		above = rows[i].section;
		describe_range(&rows[i], range, sizeof(range));
		fprintf(out, "  %s =%s%s", rows[i].key, rows[i].def[0] != '\0' ? " " : "",
			rows[i].def);
		fprintf(out, range[0] != '\0' ? "   (%s)\n" : "%s\n", range);
		opts_wrap(out, rows[i].help, "      ", 74);
	}
	return above;
}

const char *opts_sample(FILE *out, const char *above, const struct opt *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char range[80];

		fputc('\n', out);
		if (above == NULL || strcmp(rows[i].section, above) != 0)
			fprintf(out, "[%s]\n", rows[i].section);
		above = rows[i].section;
		opts_wrap(out, rows[i].help, "# ", 90);
		describe_range(&rows[i], range, sizeof(range));
		if (range[0] != '\0')
			fprintf(out, "# (%s)\n", range);
		fprintf(out, "#%s =%s%s\n", rows[i].key, rows[i].def[0] != '\0' ? " " : "",
			rows[i].def);
	}
	return above;
}

/* Text that is neither a macro nor an escape to mdoc, a sentence a line. */
static void manual_text(FILE *out, const char *text)
{
	bool begin = true;

	for (; *text != '\0'; text++) {
		if (begin && (*text == '.' || *text == '\''))
			fputs("\\&", out);
		begin = false;
		if (*text == '\\') {
			fputs("\\e", out);
		} else if (*text == ' ' && strchr(".?", text[-1]) &&
			   isupper((unsigned char)text[1])) {
			fputc('\n', out);
			begin = true;
		} else {
			fputc(*text, out);
		}
	}
	fputc('\n', out);
}

void opts_manual(FILE *out, const struct opt *rows, size_t n)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (size_t i = 0; i < n; i++) {
		char range[80];

		describe_range(&rows[i], range, sizeof(range));
		fprintf(out, ".It Va %s", rows[i].key);
		if (rows[i].def[0] != '\0')
			fprintf(out, " No = Li \"%s\"", rows[i].def);
		fputc('\n', out);
		manual_text(out, rows[i].help);
		if (range[0] != '\0')
			fprintf(out, ".Pq %s\n", range);
	}
	fputs(".El\n", out);
}
