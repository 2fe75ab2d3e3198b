/*
 * config.c: command line and configuration file of a program.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "exit_codes.h"
#include "mem.h"

#define LINE_MAX_BYTES (1 << 20)

/* A section that comes once per name, as it was met. */
struct instance {
	const struct opt_kind *kind;
	char *name;
	void *base; /* NULL: it was refused, its keys are skipped */
	bool *seen; /* per row: has it been set in the file */
	int line;
	struct buf keys; /* "key LINE;key LINE;", for complaints at the end */
};

/* One load in progress. */
struct load {
	const struct program *prog;
	struct buf *errors;
	bool failed;
	const char *path;
	FILE *file;
	int line;
	bool line_open; /* the reader is in the middle of a long line */

	char *section;            /* the current one, NULL before the first */
	bool skip;                /* it belongs to another program, or was refused */
	struct instance *current; /* if it is one of a kind */
	struct instance *instances;
	size_t n_instances;
	bool **seen; /* per group, per row */
};

/* ---- messages ---- */

/* Adds "file:line: message", or "-o …: message" when line is 0. */
static void complain(struct load *l, const char *where, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void complain(struct load *l, const char *where, int line, const char *fmt, ...)
{
	va_list args;

	l->failed = true;
	if (line > 0)
		buf_addf(l->errors, "%s:%d: ", where, line);
	else
		buf_addf(l->errors, "%s: ", where);
	va_start(args, fmt);
	buf_vaddf(l->errors, fmt, args);
	va_end(args);
	buf_adds(l->errors, "\n");
}

/* ---- sections ---- */

static bool is_group(const struct program *prog, const char *section)
{
	for (size_t g = 0; g < prog->n_groups; g++) {
		for (size_t i = 0; i < prog->groups[g].n; i++) {
			if (strcmp(prog->groups[g].rows[i].section, section) == 0)
				return true;
		}
	}
	return false;
}

/* Compares a section's first word with the names of other programs' sections. */
static bool is_foreign(const struct program *prog, const char *section)
{
	size_t n = strcspn(section, " ");

	for (size_t i = 0; prog->foreign != NULL && prog->foreign[i] != NULL; i++) {
		if (strlen(prog->foreign[i]) == n && strncmp(prog->foreign[i], section, n) == 0)
			return true;
	}
	return false;
}

/* The kind of "type NAME", and where NAME begins; NULL if there is no such kind. */
static const struct opt_kind *find_kind(const struct program *prog, const char *section,
					const char **name)
{
	for (size_t i = 0; i < prog->n_kinds; i++) {
		size_t n = strlen(prog->kinds[i].kind);

		if (strncmp(section, prog->kinds[i].kind, n) != 0 || section[n] != ' ')
			continue;
		*name = section + n + strspn(section + n, " \t");
		return &prog->kinds[i];
	}
	return NULL;
}

static struct instance *find_instance(struct load *l, const struct opt_kind *kind, const char *name)
{
	for (size_t i = 0; i < l->n_instances; i++) {
		if (l->instances[i].kind == kind && strcmp(l->instances[i].name, name) == 0)
			return &l->instances[i];
	}
	return NULL;
}

/* Opens a section of a kind. The instance is there even if the owner refuses it, without a base. */
static struct instance *add_instance(struct load *l, const struct opt_kind *kind, const char *name,
				     const char *where, int line)
{
	char err[256] = "refused";
	struct instance *it;

	l->instances = mem_realloc(l->instances, l->n_instances + 1, sizeof(*l->instances));
	it = &l->instances[l->n_instances++];
	*it = (struct instance){ .kind = kind, .name = mem_strdup(name), .line = line };
	it->seen = mem_zalloc(kind->n * sizeof(*it->seen) + 1);
	it->base = kind->begin(l->prog->ctx, name, err, sizeof(err));
	if (it->base == NULL)
		complain(l, where, line, "[%s %s]: %s", kind->kind, name, err);
	else
		opts_defaults(kind->rows, kind->n, it->base);
	return it;
}

/* A section line of the file. */
static void begin_section(struct load *l, const char *section)
{
	const struct opt_kind *kind;
	const char *name;

	free(l->section);
	l->section = mem_strdup(section);
	l->current = NULL;
	l->skip = false;
	kind = find_kind(l->prog, section, &name);
	if (kind != NULL) {
		l->skip = *name == '\0' || find_instance(l, kind, name) != NULL;
		if (l->skip)
			complain(l, l->path, l->line,
				 *name == '\0' ? "[%s]: a name is missing"
					       : "[%s]: this section was there before",
				 section);
		else
			l->current = add_instance(l, kind, name, l->path, l->line);
	} else if (!is_group(l->prog, section)) {
		l->skip = true;
		if (!is_foreign(l->prog, section))
			complain(l, l->path, l->line, "[%s]: unknown section", section);
	}
}

/* ---- keys ---- */

/* Sets a row; `seen` (may be NULL) refuses a second time. */
static void set_row(struct load *l, const struct opt *row, void *base, bool *seen,
		    const char *value, const char *where, int line)
{
	char err[256];

	if (seen != NULL && *seen)
		complain(l, where, line, "%s: given twice", row->key);
	else if (!opt_set(row, base, value, err, sizeof(err)))
		complain(l, where, line, "%s", err);
	if (seen != NULL)
		*seen = true;
}

static void set_in_instance(struct load *l, struct instance *it, const char *key, const char *value,
			    const char *where, int line)
{
	const struct opt_kind *kind = it->kind;
	const struct opt *row = opt_find(kind->rows, kind->n, kind->kind, key);
	char err[256] = "refused";

	if (it->base == NULL)
		return;
	buf_addf(&it->keys, "%s %d;", key, line);
	if (row != NULL)
		set_row(l, row, it->base, line > 0 ? &it->seen[row - kind->rows] : NULL, value,
			where, line);
	else if (kind->other == NULL)
		complain(l, where, line, "%s: unknown key in [%s %s]", key, kind->kind, it->name);
	else if (!kind->other(l->prog->ctx, it->base, key, value, err, sizeof(err)))
		complain(l, where, line, "%s", err);
}

static void set_in_groups(struct load *l, const char *section, const char *key, const char *value,
			  const char *where, int line)
{
	for (size_t g = 0; g < l->prog->n_groups; g++) {
		const struct opt_group *group = &l->prog->groups[g];
		const struct opt *row = opt_find(group->rows, group->n, section, key);

		if (row == NULL)
			continue;
		set_row(l, row, group->base, line > 0 ? &l->seen[g][row - group->rows] : NULL,
			value, where, line);
		return;
	}
	complain(l, where, line, "%s: unknown key in [%s]", key, section);
}

/* inih has split a line of the current section for us. Always 1: complaints are ours to make. */
static int on_key(void *user, const char *section, const char *key, const char *value)
{
	struct load *l = user;

	(void)section; /* cut at 50 characters: our reader has the whole of it */
	if (l->section == NULL)
		complain(l, l->path, l->line, "%s: before the first [section]", key);
	else if (l->current != NULL)
		set_in_instance(l, l->current, key, value, l->path, l->line);
	else if (!l->skip)
		set_in_groups(l, l->section, key, value, l->path, l->line);
	return 1;
}

/* ---- the file ---- */

/* Sees a [section] line before inih does, which says nothing about a section without keys. */
static void look_for_section(struct load *l, const char *line)
{
	const char *end;
	char *name;

	if (l->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
		line += 3;
	line += strspn(line, " \t");
	end = strchr(line, ']');
	if (*line != '[' || end == NULL)
		return;
	name = mem_strndup(line + 1, (size_t)(end - line - 1));
	begin_section(l, name);
	free(name);
}

/* fgets that counts lines. A line longer than inih's buffer comes in pieces. */
static char *read_line(char *str, int num, void *stream)
{
	struct load *l = stream;
	size_t n;

	if (fgets(str, num, l->file) == NULL)
		return NULL;
	n = strlen(str);
	if (!l->line_open) {
		l->line++;
		look_for_section(l, str);
	}
	l->line_open = n == 0 || str[n - 1] != '\n';
	return str;
}

static void load_file(struct load *l)
{
	int bad;

	l->file = fopen(l->path, "re");
	if (l->file == NULL) {
		complain(l, l->path, 0, "%s", strerror(errno));
		return;
	}
	ini_use_stack = false;
	ini_allow_realloc = true;
	ini_max_line = LINE_MAX_BYTES;
	ini_initial_alloc = 1024;
	ini_allow_multiline = false;       /* an indented key would silently extend the one above */
	ini_allow_inline_comments = false; /* a password may hold " ;" */
	/* inih takes one pointer for both: the reader knows the file through it. */
	bad = ini_parse_stream(read_line, l, on_key, l);
	if (bad > 0)
		complain(l, l->path, bad, "neither a [section] nor a key = value");
	else if (bad < 0)
		complain(l, l->path, 0, "out of memory");
	if (ferror(l->file))
		complain(l, l->path, 0, "can't be read");
	fclose(l->file);
}

/* One -o SECTION.KEY=VALUE. Section names may hold dots, keys don't. */
static void apply_override(struct load *l, const char *text)
{
	const char *eq = strchr(text, '='),
		   *dot = eq != NULL ? memrchr(text, '.', (size_t)(eq - text)) : NULL;
	char *where = mem_printf("-o %.*s", (int)(eq != NULL ? eq - text : (int)strlen(text)),
				 text);
	const struct opt_kind *kind;
	struct instance *it;
	char *section, *key;
	const char *name;

	if (dot == NULL) {
		complain(l, where, 0, "must be SECTION.KEY=VALUE");
		free(where);
		return;
	}
	section = mem_strndup(text, (size_t)(dot - text));
	key = mem_strndup(dot + 1, (size_t)(eq - dot - 1));
	kind = find_kind(l->prog, section, &name);
	if (kind != NULL) {
		it = find_instance(l, kind, name);
		if (it == NULL)
			it = add_instance(l, kind, name, where, 0);
		set_in_instance(l, it, key, eq + 1, where, 0);
	} else if (is_group(l->prog, section)) {
		set_in_groups(l, section, key, eq + 1, where, 0);
	} else if (!is_foreign(l->prog, section)) {
		complain(l, where, 0, "unknown section [%s]", section);
	}
	free(section);
	free(key);
	free(where);
}

/* Completes the sections of a kind, and forgets about them. */
/* The line of the key that a complaint begins with ("key: …"); the section's if it begins otherwise. */
static int line_meant(const struct instance *it, const char *err)
{
	size_t n = strcspn(err, ":"), len;
	const char *p = it->keys.len > 0 ? it->keys.data : "";
	int line = it->line;

	for (; *p; p += strcspn(p, ";") + 1) {
		len = strcspn(p, " ");
		if (len == n && strncmp(p, err, n) == 0)
			line = (int)strtol(p + len, NULL, 10);
	}
	return line;
}

static void end_instances(struct load *l)
{
	for (size_t i = 0; i < l->n_instances; i++) {
		struct instance *it = &l->instances[i];
		char err[600] = "refused";

		if (it->base != NULL && it->kind->end != NULL &&
		    !it->kind->end(l->prog->ctx, it->base, err, sizeof(err))) {
			int line = line_meant(it, err);

			complain(l, line > 0 ? l->path : "-o", line, "[%s %s]: %s", it->kind->kind,
				 it->name, err);
		}
		buf_free(&it->keys);
		free(it->name);
		free(it->seen);
	}
	free(l->instances);
}

bool config_load(const struct program *prog, const struct cmdline *cl, struct buf *errors)
{
	struct load l = { .prog = prog, .errors = errors, .path = cl->config_path };

	l.seen = mem_zalloc((prog->n_groups + 1) * sizeof(*l.seen));
	for (size_t g = 0; g < prog->n_groups; g++) {
		l.seen[g] = mem_zalloc(prog->groups[g].n * sizeof(bool) + 1);
		opts_defaults(prog->groups[g].rows, prog->groups[g].n, prog->groups[g].base);
	}
	if (l.path != NULL)
		load_file(&l);
	for (size_t i = 0; i < cl->n_overrides; i++)
		apply_override(&l, cl->overrides[i]);
	end_instances(&l);
	for (size_t g = 0; g < prog->n_groups; g++)
		free(l.seen[g]);
	free(l.seen);
	free(l.section);
	return !l.failed;
}

void config_take(const struct program *prog, void *live, void *fresh,
		 bool (*stay_fixed)(const struct opt *row), struct buf *changed, struct buf *fixed)
{
	for (size_t g = 0; g < prog->n_groups; g++) {
		const struct opt_group *group = &prog->groups[g];
		char *other = (char *)fresh + ((char *)group->base - (char *)live);

		for (size_t i = 0; i < group->n; i++) {
			const struct opt *row = &group->rows[i];
			struct buf *names = stay_fixed(row) ? fixed : changed;

			if (opt_equal(row, group->base, other))
				continue;
			if (names == changed)
				opt_swap(row, group->base, other);
			buf_addf(names, "%s%s.%s", names->len > 0 ? " " : "", row->section,
				 row->key);
		}
	}
}

void config_free(const struct program *prog)
{
	for (size_t g = 0; g < prog->n_groups; g++)
		opts_free(prog->groups[g].rows, prog->groups[g].n, prog->groups[g].base);
}

/* ---- command line ---- */

static void print_help(const struct program *prog)
{
	const char *section = NULL;

	printf("%s: %s\n\n", prog->name, prog->summary);
	printf("usage: %s [-c FILE] [-o SECTION.KEY=VALUE]... [-t]\n", prog->name);
	printf("  -c, --config FILE   configuration file\n"
	       "  -o, --option SECTION.KEY=VALUE\n"
	       "                      set one option, over what the file says\n"
	       "  -t, --test          check the configuration and exit\n"
	       "      --sample        print a configuration file with all defaults and exit\n"
	       "      --manual        print the options as longhaul.conf(5) has them, in mdoc, and exit\n"
	       "  -h, --help          print this and exit\n"
	       "  -V, --version       print the version and exit\n"
	       "\nOptions of the configuration file, with their defaults:\n");
	for (size_t g = 0; g < prog->n_groups; g++)
		section = opts_help(stdout, section, prog->groups[g].rows, prog->groups[g].n);
	for (size_t i = 0; i < prog->n_kinds; i++) {
		const struct opt_kind *kind = &prog->kinds[i];

		printf("\n[%s NAME]\n", kind->kind);
		opts_wrap(stdout, kind->help, "  ", 78);
		opts_help(stdout, kind->kind, kind->rows, kind->n);
	}
	printf("\nExit codes: 0 fine, 1 internal error, 2 bad usage or configuration, 3 environment,\n"
	       "4 database refused at start.\n");
}

static void print_sample(const struct program *prog)
{
	const char *section = NULL;

	for (size_t g = 0; g < prog->n_groups; g++)
		section = opts_sample(stdout, section, prog->groups[g].rows, prog->groups[g].n);
	for (size_t i = 0; i < prog->n_kinds; i++) {
		const struct opt_kind *kind = &prog->kinds[i];

		printf("\n");
		opts_wrap(stdout, kind->help, "# ", 90);
		printf("#[%s NAME]\n", kind->kind);
		opts_sample(stdout, kind->kind, kind->rows, kind->n);
	}
}

static void print_manual(const struct program *prog)
{
	for (size_t g = 0; g < prog->n_groups; g++) {
		const struct opt_group *group = &prog->groups[g];

		if (g == 0 || strcmp(group->rows->section, group[-1].rows->section) != 0)
			printf(".Ss Section %s\n", group->rows->section);
		opts_manual(stdout, group->rows, group->n);
	}
	for (size_t i = 0; i < prog->n_kinds; i++) {
		printf(".Ss Section %s NAME\n", prog->kinds[i].kind);
		opts_manual(stdout, prog->kinds[i].rows, prog->kinds[i].n);
	}
}

static bool end_with(struct cmdline *cl, int *exit_code, int code)
{
	cmdline_free(cl);
	*exit_code = code;
	return false;
}

bool cmdline_parse(const struct program *prog, int argc, char **argv, struct cmdline *out,
		   int *exit_code)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "option", required_argument, NULL, 'o' },
		{ "test", no_argument, NULL, 't' },
		{ "sample", no_argument, NULL, 's' },
		{ "manual", no_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*out = (struct cmdline){ 0 };
	optind = 0; /* glibc: begin anew, also when called again */
	while ((c = getopt_long(argc, argv, "c:o:thV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			out->config_path = optarg;
			break;
		case 'o':
			out->overrides = mem_realloc(out->overrides, out->n_overrides + 1,
						     sizeof(*out->overrides));
			out->overrides[out->n_overrides++] = optarg;
			break;
		case 't':
			out->check_only = true;
			break;
		case 's':
			print_sample(prog);
			return end_with(out, exit_code, EXIT_OK);
		case 'm':
			print_manual(prog);
			return end_with(out, exit_code, EXIT_OK);
		case 'h':
			print_help(prog);
			return end_with(out, exit_code, EXIT_OK);
		case 'V':
			printf("%s %s\n", prog->name, LONGHAUL_VERSION);
			return end_with(out, exit_code, EXIT_OK);
		default:
			fprintf(stderr, "Try `%s --help`.\n", prog->name);
			return end_with(out, exit_code, EXIT_USAGE);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument \"%s\"\n", prog->name, argv[optind]);
		return end_with(out, exit_code, EXIT_USAGE);
	}
	return true;
}

void cmdline_free(struct cmdline *cl)
{
	free(cl->overrides);
	*cl = (struct cmdline){ 0 };
}
