/*
 * options.h: the table of a program's options, the one truth for defaults, parsing, --help and
 * the sample file.
 *
 *	struct api_config { char *listen; int tick_ms; … };
 *	static const struct opt api_opts[] = {
 *		OPT_STR("api", "listen", struct api_config, listen, "127.0.0.1:9000", "Where."),
 *		OPT_NUM("api", "tick_ms", struct api_config, tick_ms, "250", 10, 60000, "How often."),
 *	};
 *
 * The macros check that the member's type fits the option's.
 */
#ifndef LONGHAUL_OPTIONS_H
#define LONGHAUL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum opt_type {
	OPT_STRING, /* char *, owned by the configuration, never NULL once loaded */
	OPT_BOOL,   /* bool: yes no true false on off 1 0 */
	OPT_INT,    /* int */
	OPT_SIZE,   /* int64_t, bytes: a number with an optional KiB, MiB or GiB */
	OPT_CHOICE, /* int: index into choices */
	OPT_OCTAL,  /* int: file modes */
};

struct opt {
	const char *section, *key;
	enum opt_type type;
	const char *def; /* as it would stand in the file */
	int64_t min, max;
	const char *choices; /* OPT_CHOICE: "error|warning|info" */
	size_t offset;       /* of the member, in the group's base */
	const char *help;    /* one or more sentences; wrapped when printed */
};

/* clang-format off */
#define OPT_MEMBER_(s, m, t) (offsetof(s, m) + 0 * sizeof(char[_Generic(((s *)0)->m, t: 1)]))
#define OPT_STR(sec, key, s, m, def, help) \
	{ sec, key, OPT_STRING, def, 0, 0, NULL, OPT_MEMBER_(s, m, char *), help }
#define OPT_YES_NO(sec, key, s, m, def, help) \
	{ sec, key, OPT_BOOL, def, 0, 0, NULL, OPT_MEMBER_(s, m, bool), help }
#define OPT_NUM(sec, key, s, m, def, min, max, help) \
	{ sec, key, OPT_INT, def, min, max, NULL, OPT_MEMBER_(s, m, int), help }
#define OPT_BYTES(sec, key, s, m, def, min, max, help) \
	{ sec, key, OPT_SIZE, def, min, max, NULL, OPT_MEMBER_(s, m, int64_t), help }
#define OPT_ONE_OF(sec, key, s, m, def, choices, help) \
	{ sec, key, OPT_CHOICE, def, 0, 0, choices, OPT_MEMBER_(s, m, int), help }
#define OPT_MODE(sec, key, s, m, def, help) \
	{ sec, key, OPT_OCTAL, def, 0, 07777, NULL, OPT_MEMBER_(s, m, int), help }
/* clang-format on */

/* Rows of a table and the structure that they fill. */
struct opt_group {
	const struct opt *rows;
	size_t n;
	void *base;
};

#define OPT_GROUP(table, base)                                  \
	{                                                       \
		table, sizeof(table) / sizeof((table)[0]), base \
	}

/* Sets the members to their defaults. The structure is zeroed before its first use: strings that it
 * holds are freed. A default that its own row refuses is a defect and ends the program. */
void opts_defaults(const struct opt *rows, size_t n, void *base);
/* Sets one member from text. False and a message in err if the value is refused. */
bool opt_set(const struct opt *row, void *base, const char *value, char *err, size_t errsize);
/* Whether the members of two structures have the same value. */
bool opt_equal(const struct opt *row, const void *a, const void *b);
/* Exchanges them: strings change their owners. */
void opt_swap(const struct opt *row, void *a, void *b);
/* The row of that name, or NULL. */
const struct opt *opt_find(const struct opt *rows, size_t n, const char *section, const char *key);
/* Frees the strings. */
void opts_free(const struct opt *rows, size_t n, void *base);

/* What --help and the sample file say about rows. `above` is the section whose line was printed
 * last, NULL if none was; returns the same for the next call. */
const char *opts_help(FILE *out, const char *above, const struct opt *rows, size_t n);
const char *opts_sample(FILE *out, const char *above, const struct opt *rows, size_t n);
/* A list of the rows for the manual, in mdoc. */
void opts_manual(FILE *out, const struct opt *rows, size_t n);
/* Prints text in lines of at most `width` characters, each behind `indent`. */
void opts_wrap(FILE *out, const char *text, const char *indent, size_t width);

#endif
