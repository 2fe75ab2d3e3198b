/*
 * args.c: the command line of longhaul-admin.
 */
#include "admin/args.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/options.h"

#define PROGRAM "longhaul-admin"
#define VALUE_MAX 4096
#define SETTINGS_MAX (1 << 20)
#define FIRST_ARG 1000 /* getopt's value of the first of a command's own options */

static const struct option global_options[] = {
	{ "config", required_argument, NULL, 'c' }, { "conninfo", required_argument, NULL, 'd' },
	{ "json", no_argument, NULL, 'j' },         { "dry-run", no_argument, NULL, 'n' },
	{ "yes", no_argument, NULL, 'y' },          { "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
};
#define N_GLOBAL (sizeof(global_options) / sizeof(global_options[0]))

/* ---- help ------------------------------------------------------------------------------------- */

static void print_globals(void)
{
	printf("  -c, --config FILE     connect as [database] conninfo of this file says\n"
	       "  -d, --conninfo TEXT   a connection string or URI; what it says counts more than the file.\n"
	       "                        Without both: PGHOST, PGSERVICE, PGUSER …, as for psql\n"
	       "  -j, --json            print JSON\n"
	       "  -n, --dry-run         do it and undo it: say what would have been done\n"
	       "  -y, --yes             don't ask before what can't be undone\n"
	       "  -h, --help            print this, or the help of a command\n"
	       "  -V, --version         print the version\n");
}

static void print_exit_codes(void)
{
	printf("\nExit codes: 0 done, 1 refused or not found, 2 usage or not confirmed, 3 database not reached,\n"
	       "4 the database can't (no right, no schema), 5 a defect.\n");
}

static void print_help(void)
{
	printf("usage: " PROGRAM " [options] COMMAND [options and arguments]\n\n");
	for (size_t i = 0; i < n_commands; i++)
		printf("  %-17s %s\n", commands[i].words, commands[i].summary);
	printf("\n" PROGRAM " COMMAND --help explains one of them.\n\nOptions:\n");
	print_globals();
	print_exit_codes();
}

static void print_synopsis(const struct command *c)
{
	static const struct {
		const char *before, *behind;
	} marks[] = {
		[ARG_WORD] = { "", "" },           [ARG_MAY] = { "[", "]" },
		[ARG_VALUE] = { "[--", " TEXT]" }, [ARG_FLAG] = { "[--", "]" },
		[ARG_SETTINGS] = { "", " ..." },   [ARG_FIXED] = { "", "" },
	};

	printf("usage: " PROGRAM " [options] %s", c->words);
	for (size_t i = 0; i < ARGS_MAX; i++)
		if (c->args[i].name)
			printf(" %s%s%s", marks[c->args[i].kind].before, c->args[i].name,
			       marks[c->args[i].kind].behind);
	printf("\n");
}

static void print_command_help(const struct command *c)
{
	print_synopsis(c);
	printf("\n");
	opts_wrap(stdout, c->summary, "  ", 90);
	if (c->more)
		opts_wrap(stdout, c->more, "  ", 90);
	if (c->destroys)
		opts_wrap(stdout, "Asks before it does it; --yes answers.", "  ", 90);
	if (c->args[0].name)
		printf("\n");
	for (size_t i = 0; i < ARGS_MAX; i++) {
		const struct arg *a = &c->args[i];
		bool option = a->kind == ARG_VALUE || a->kind == ARG_FLAG;

		if (!a->name)
			continue;
		printf("  %s%-*s %s", option ? "--" : "", option ? 15 : 17, a->name, a->help);
		if (a->kind == ARG_VALUE && a->def && *a->def)
			printf(" (%s)", a->def);
		printf("\n");
	}
	printf("\nOptions:\n");
	print_globals();
	print_exit_codes();
}

/* ---- errors ----------------------------------------------------------------------------------- */

static bool usage(const struct command *c, int *exit_code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool usage(const struct command *c, int *exit_code, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, PROGRAM ": ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nTry `" PROGRAM "%s%s --help`.\n", c ? " " : "", c ? c->words : "");
	*exit_code = ADMIN_USAGE;
	return false;
}

static bool end_well(int *exit_code)
{
	*exit_code = ADMIN_OK;
	return false;
}

/* ---- parsing ---------------------------------------------------------------------------------- */

/* Takes in an option that all commands have. Returns 'h' if help is wanted, '?' at an error, 0 else. */
static int global(int c, struct globals *g, struct call *call)
{
	switch (c) {
	case 'c':
		g->config_path = optarg;
		return 0;
	case 'd':
		g->conninfo = optarg;
		return 0;
	case 'j':
		call->json = true;
		return 0;
	case 'n':
		call->dry_run = true;
		return 0;
	case 'y':
		call->yes = true;
		return 0;
	case 'V':
		printf(PROGRAM " " LONGHAUL_VERSION "\n");
		return 'V';
	default:
		return c == 'h' ? 'h' : '?';
	}
}

/* The command that the words begin with, and in *used how many of them it is. */
static const struct command *find(char **words, int n, int *used)
{
	for (size_t i = 0; i < n_commands; i++) {
		const char *name = commands[i].words, *blank = strchr(name, ' ');
		size_t first = blank ? (size_t)(blank - name) : strlen(name);

		if (n < (blank ? 2 : 1) || strlen(words[0]) != first ||
		    strncmp(words[0], name, first) != 0 ||
		    (blank && strcmp(words[1], blank + 1) != 0))
			continue;
		*used = blank ? 2 : 1;
		return &commands[i];
	}
	return NULL;
}

/* "client" is no command, but client create is one. */
static bool begins_some(const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i < n_commands; i++)
		if (strncmp(commands[i].words, word, n) == 0 && commands[i].words[n] == ' ')
			return true;
	return false;
}

static void set(struct call *call, size_t i, const char *value)
{
	free(call->values[i]);
	call->values[i] = value ? mem_strdup(value) : NULL;
}

/* The options behind the command's words: those of all, and its own. */
static bool parse_options(int argc, char **argv, struct globals *g, struct call *call,
			  int *exit_code)
{
	const struct command *command = call->command;
	struct option longs[N_GLOBAL + ARGS_MAX + 1];
	size_t n = N_GLOBAL;
	int c, what;

	memcpy(longs, global_options, sizeof(global_options));
	for (size_t i = 0; i < ARGS_MAX; i++) {
		const struct arg *a = &command->args[i];

		set(call, i, a->def);
		if (a->kind == ARG_VALUE || a->kind == ARG_FLAG)
			longs[n++] = (struct option){ a->name,
						      a->kind == ARG_VALUE ? required_argument
									   : no_argument,
						      NULL, FIRST_ARG + (int)i };
	}
	longs[n] = (struct option){ NULL, 0, NULL, 0 };
	optind = 0; /* glibc: begin anew */
	while ((c = getopt_long(argc, argv, "c:d:jnyhV", longs, NULL)) != -1) {
		if (c >= FIRST_ARG) {
			set(call, (size_t)(c - FIRST_ARG), optarg ? optarg : "true");
			continue;
		}
		what = global(c, g, call);
		if (what == 'h') {
			print_command_help(command);
			return end_well(exit_code);
		}
		if (what == 'V')
			return end_well(exit_code);
		if (what != 0) {
			fprintf(stderr, "Try `" PROGRAM " %s --help`.\n", command->words);
			*exit_code = ADMIN_USAGE;
			return false;
		}
	}
	return true;
}

/* NAME=VALUE words as an object of texts. */
static bool parse_settings(struct call *call, size_t at, char **words, int n, int *exit_code)
{
	struct json_object *all = json_object_new_object();
	bool good = true;

	for (int i = 0; i < n && good; i++) {
		char *equals = strchr(words[i], '=');

		if (!equals || equals == words[i]) {
			good = usage(call->command, exit_code, "\"%s\" is not SETTING=VALUE",
				     words[i]);
			continue;
		}
		*equals = '\0';
		if (json_object_object_get_ex(all, words[i], NULL))
			good = usage(call->command, exit_code, "%s is given twice", words[i]);
		else
			json_add_str(all, words[i], equals + 1);
	}
	set(call, at, json_text(all, NULL));
	json_object_put(all);
	return good;
}

/* Words that belong to no option, in the order of the arguments. */
static bool parse_words(char **words, int n, struct call *call, int *exit_code)
{
	const struct command *c = call->command;

	for (int i = 0; i < n; i++)
		if (!utf8_valid(words[i], strlen(words[i])))
			return usage(c, exit_code, "an argument is not UTF-8");
	for (size_t i = 0; i < ARGS_MAX; i++) {
		const struct arg *a = &c->args[i];

		if (a->kind == ARG_SETTINGS) {
			if (!parse_settings(call, i, words, n, exit_code))
				return false;
			n = 0;
		} else if (a->name && (a->kind == ARG_WORD || a->kind == ARG_MAY) && n > 0) {
			set(call, i, words[0]);
			words++;
			n--;
		} else if (a->name && a->kind == ARG_WORD) {
			return usage(c, exit_code, "%s is missing", a->name);
		}
	}
	return n == 0 || usage(c, exit_code, "\"%s\" is one argument too many", words[0]);
}

static bool check(struct call *call, int *exit_code)
{
	const struct command *c = call->command;

	for (size_t i = 0; i < ARGS_MAX; i++) {
		const char *v = call->values[i];

		if (v && !utf8_valid(v, strlen(v)))
			return usage(c, exit_code, "--%s is not UTF-8", c->args[i].name);
		if (v && strlen(v) > (c->args[i].kind == ARG_SETTINGS ? SETTINGS_MAX : VALUE_MAX))
			return usage(c, exit_code, "%s is too long", c->args[i].name);
		if (v && !*v && c->args[i].kind == ARG_WORD)
			return usage(c, exit_code, "%s is empty", c->args[i].name);
	}
	if (call->dry_run && !c->changes)
		return usage(c, exit_code, "%s changes nothing: there is no --dry-run of it",
			     c->words);
	return true;
}

bool args_parse(int argc, char **argv, struct globals *g, struct call *call, int *exit_code)
{
	static char program[] = PROGRAM;
	int c, what, used = 0;

	*g = (struct globals){ 0 };
	*call = (struct call){ 0 };
	optind = 0;
	if (argc > 0)
		argv[0] = program; /* getopt's messages begin with it */
	while ((c = getopt_long(argc, argv, "+c:d:jnyhV", global_options, NULL)) != -1) {
		what = global(c, g, call);
		if (what == 'h')
			print_help();
		if (what == 'h' || what == 'V')
			return end_well(exit_code);
		if (what != 0) {
			fprintf(stderr, "Try `" PROGRAM " --help`.\n");
			*exit_code = ADMIN_USAGE;
			return false;
		}
	}
	argc -= optind;
	argv += optind;
	if (argc <= 0)
		return usage(NULL, exit_code, "a command is missing");
	call->command = find(argv, argc, &used);
	if (!call->command)
		return usage(NULL, exit_code,
			     begins_some(argv[0]) ? "%s: it takes one more word, like list"
						  : "there is no command \"%.60s\"",
			     argv[0]);
	/* getopt skips the first word as the program's name. */
	argv += used - 1;
	argc -= used - 1;
	argv[0] = program;
	return parse_options(argc, argv, g, call, exit_code) &&
	       parse_words(argv + optind, argc - optind, call, exit_code) && check(call, exit_code);
}

void args_free(struct call *call)
{
	for (size_t i = 0; i < ARGS_MAX; i++)
		free(call->values[i]);
}
