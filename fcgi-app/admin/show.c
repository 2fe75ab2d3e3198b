/*
 * show.c: a JSON value for people: lines and tables.
 */
#include "admin/show.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "common/buf.h"

/* "beatAgeSeconds" becomes "beat age", "createdTime" "created": the unit is in the value. */
static void add_label(struct buf *b, const char *key)
{
	static const char *const units[] = { "Seconds", "Time" };
	size_t len = strlen(key);

	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(units[i]);

		if (len > n && strcmp(key + len - n, units[i]) == 0)
			len -= n;
	}
	for (size_t i = 0; i < len; i++) {
		if (isupper((unsigned char)key[i]))
			buf_addf(b, " %c", tolower((unsigned char)key[i]));
		else
			buf_add(b, &key[i], 1);
	}
}

static bool ends_with(const char *key, const char *end)
{
	size_t n = strlen(key), m = strlen(end);

	return n >= m && strcmp(key + n - m, end) == 0;
}

static void add_seconds(struct buf *b, double s)
{
	if (s < 100)
		buf_addf(b, "%.1f s", s);
	else if (s < 6000)
		buf_addf(b, "%.0f min", s / 60);
	else if (s < 100 * 3600)
		buf_addf(b, "%.1f h", s / 3600);
	else
		buf_addf(b, "%.1f d", s / 86400);
}

static void add_text(struct buf *b, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		/* Of the C1 controls the second byte is below 0xa0. */
		bool c1 = c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0;

		if (c1)
			s++;
		if (c < ' ' || c == 0x7f || c1)
			buf_adds(b, "?");
		else
			buf_add(b, s, 1);
	}
}

/* One value in a line or a cell. */
static void add_value(struct buf *b, const char *key, struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_null:
		buf_adds(b, "-");
		return;
	case json_type_boolean:
		buf_adds(b, json_object_get_boolean(v) ? "yes" : "no");
		return;
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(v); i++) {
			buf_adds(b, i > 0 ? ", " : "");
			add_value(b, key, json_object_array_get_idx(v, i));
		}
		return;
	case json_type_object: {
		const char *comma = "";

		json_object_object_foreach(v, name, member)
		{
			buf_adds(b, comma);
			add_label(b, name);
			buf_adds(b, " ");
			add_value(b, name, member);
			comma = ", ";
		}
		return;
	}
	default:
		if (ends_with(key, "Seconds"))
			add_seconds(b, json_object_get_double(v));
		else
			add_text(b, json_object_get_string(v));
	}
}

/* Characters, not bytes; wide ones count as one. */
static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void put(FILE *out, const char *s, size_t width, bool last)
{
	size_t n = width_of(s);

	fputs(s, out);
	for (; !last && n < width + 2; n++)
		fputc(' ', out);
}

/* Whether no row has anything there: such columns are left out. */
static bool is_empty(struct json_object *rows, const char *key)
{
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *v;

		if (json_object_object_get_ex(json_object_array_get_idx(rows, i), key, &v) && v &&
		    !(json_object_is_type(v, json_type_string) &&
		      json_object_get_string_len(v) == 0))
			return false;
	}
	return true;
}

#define COLUMNS_MAX 24

static void show_table(FILE *out, struct json_object *rows)
{
	const char *keys[COLUMNS_MAX];
	size_t widths[COLUMNS_MAX], n = 0, count = json_object_array_length(rows);
	struct buf cell = { 0 };

	/* All rows have the same members, in the same order. */
	json_object_object_foreach(json_object_array_get_idx(rows, 0), key, value)
	{
		(void)value;
		if (n < COLUMNS_MAX && !is_empty(rows, key))
			keys[n++] = key;
	}
	/* The line -1 has the names, the pass before the first line measures. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t row = 0; row <= count; row++) {
			for (size_t i = 0; i < n; i++) {
				struct json_object *v = NULL;

				buf_reset(&cell);
				buf_adds(&cell, "");
				if (row == 0) {
					add_label(&cell, keys[i]);
					for (char *c = cell.data; *c; c++)
						*c = (char)toupper((unsigned char)*c);
				} else {
					json_object_object_get_ex(
						json_object_array_get_idx(rows, row - 1), keys[i],
						&v);
					add_value(&cell, keys[i], v);
				}
				if (pass == 1)
					put(out, cell.data, widths[i], i + 1 == n);
				else if (row == 0 || width_of(cell.data) > widths[i])
					widths[i] = width_of(cell.data);
			}
			if (pass == 1)
				fputc('\n', out);
		}
	}
	buf_free(&cell);
}

static bool is_table(struct json_object *v)
{
	return json_object_is_type(v, json_type_array) && json_object_array_length(v) > 0 &&
	       json_object_is_type(json_object_array_get_idx(v, 0), json_type_object);
}

static void show_array(FILE *out, struct json_object *v)
{
	struct buf line = { 0 };

	if (is_table(v)) {
		show_table(out, v);
	} else if (json_object_array_length(v) == 0) {
		fputs("none\n", out);
	}
	for (size_t i = 0; !is_table(v) && i < json_object_array_length(v); i++) {
		buf_reset(&line);
		add_value(&line, "", json_object_array_get_idx(v, i));
		fprintf(out, "%s\n", line.data ? line.data : "");
	}
	buf_free(&line);
}

static void show_object(FILE *out, struct json_object *o)
{
	struct buf label = { 0 }, text = { 0 };
	size_t width = 0;

	for (int pass = 0; pass < 2; pass++) {
		json_object_object_foreach(o, key, value)
		{
			buf_reset(&label);
			add_label(&label, key);
			if (json_object_is_type(value, json_type_array))
				continue;
			if (pass == 0) {
				width = width_of(label.data) > width ? width_of(label.data) : width;
				continue;
			}
			buf_reset(&text);
			add_value(&text, key, value);
			put(out, label.data, width, false);
			fprintf(out, "%s\n", text.data ? text.data : "");
		}
	}
	json_object_object_foreach(o, name, member)
	{
		if (!json_object_is_type(member, json_type_array))
			continue;
		buf_reset(&label);
		add_label(&label, name);
		fprintf(out, "\n%s:\n", label.data);
		show_array(out, member);
	}
	buf_free(&label);
	buf_free(&text);
}

void show(FILE *out, struct json_object *value)
{
	if (json_object_is_type(value, json_type_array))
		show_array(out, value);
	else
		show_object(out, value);
}
