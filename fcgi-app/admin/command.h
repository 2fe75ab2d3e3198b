/*
 * command.h: the subcommands of longhaul-admin: a row each, most of them one call of a database function.
 */
#ifndef LONGHAUL_ADMIN_COMMAND_H
#define LONGHAUL_ADMIN_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#define ARGS_MAX 8

/* Scripts may rely on these numbers. */
enum admin_exit {
	ADMIN_OK = 0,
	ADMIN_REFUSED = 1,     /* there is no such thing, or it can't be done to it as it is */
	ADMIN_USAGE = 2,       /* bad command line, configuration file or value; not confirmed */
	ADMIN_UNREACHABLE = 3, /* no connection to the database, or it was lost */
	ADMIN_DATABASE =
		4, /* the database can't do it: a right is missing, the schema is absent or old */
	ADMIN_INTERNAL = 5, /* a defect */
};

enum arg_kind {
	ARG_WORD,     /* a word that must be there */
	ARG_MAY,      /* a word that may be left out */
	ARG_VALUE,    /* --name VALUE */
	ARG_FLAG,     /* --name: "true", else "false" */
	ARG_SETTINGS, /* NAME=VALUE, as many as there are: an object of texts */
	ARG_FIXED,    /* not on the command line: always its default */
};

struct arg {
	enum arg_kind kind;
	const char *name; /* "CLIENT", "label" */
	const char *def;  /* NULL: the function gets NULL */
	const char *help;
};

struct call;

struct command {
	const char *words;   /* "client create" */
	const char *summary; /* for the list of all */
	const char *more;    /* further sentences for its own help, or NULL */
	const char *sql;     /* gets the arguments in the order of args; returns one JSON value */
	bool changes;        /* knows --dry-run */
	bool destroys;       /* wants to be confirmed, or --yes */
	const char *note;    /* for people, behind the result */
	int (*run)(struct call *call); /* in place of sql */
	struct arg args[ARGS_MAX];
};

extern const struct command commands[];
extern const size_t n_commands;

/* One run of a command. */
struct call {
	const struct command *command;
	char *values[ARGS_MAX]; /* parameters, in the order of args; owned, may be NULL */
	bool json, dry_run, yes;
};

/* The value of an argument, or NULL. */
const char *call_value(const struct call *call, const char *name);

/* Commands that are more than one call of a function; they return an exit code. */
int run_migrate(struct call *call);
int run_purge(struct call *call);

#endif
