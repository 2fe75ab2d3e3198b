/*
 * config.h: command line and configuration file of a program.
 *
 * One INI file serves all programs: each reads its own sections and skips those of the others.
 * Comments stand on lines of their own (';' or '#'); values are taken as they are.
 *
 *	int main(int argc, char **argv)
 *	{
 *		struct cmdline cl;
 *		struct buf errors = { 0 };
 *		int rc;
 *
 *		if (!cmdline_parse(&program, argc, argv, &cl, &rc))
 *			return rc;
 *		if (!config_load(&program, &cl, &errors)) {
 *			fputs(errors.data, stderr);
 *			return EXIT_USAGE;
 *		}
 *		if (cl.check_only)
 *			return EXIT_OK;
 *		…
 *	}
 */
#ifndef LONGHAUL_CONFIG_H
#define LONGHAUL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "options.h"

/* [database], [log] and [webhook], the same in every program. */
struct database_config {
	char *conninfo, *listen_conninfo, *read_conninfo;
	bool prepared;
	int reconnect_min_ms, reconnect_max_ms, connect_timeout_ms;
	int query_timeout_ms, statement_timeout_ms;
};

struct log_config {
	int level; /* enum log_level */
};

/* [webhook]: the guard is for all, the rest for those who deliver. */
struct webhook_config {
	bool enabled, allow_http;
	char *allow, *schedule_ms, *dns_servers, *ca_file, *courier;
	int max_per_client, concurrency, per_endpoint, timeout_ms, connect_ms;
	int jitter_percent, retry_after_max_ms, poll_ms, slow_ms;
	int64_t response_max;
};

/* What can be wrong with the options taken together: a line for each goes to *errors. */
bool database_config_check(const struct database_config *cfg, struct buf *errors);

/* Their tables, for OPT_GROUP(database_opts, &config.database). */
#define DATABASE_OPTS 9
#define LOG_OPTS 1
#define WEBHOOK_OPTS 17
extern const struct opt database_opts[DATABASE_OPTS];
extern const struct opt log_opts[LOG_OPTS];
extern const struct opt webhook_opts[WEBHOOK_OPTS];

/* Sections that come once per name, like [type accounts.bulk-import]. */
struct opt_kind {
	const char *kind;       /* "type" */
	const char *help;       /* a sentence about the section */
	const struct opt *rows; /* their section is the kind */
	size_t n;
	/* A new section: returns the structure that its rows fill (config_load sets the defaults),
	 * or NULL and a message in err. A section that comes twice is refused before. */
	void *(*begin)(void *ctx, const char *name, char *err, size_t errsize);
	/* A key that isn't in rows; false and a message in err refuses it. NULL: all such are
	 * errors. */
	bool (*other)(void *ctx, void *base, const char *key, const char *value, char *err,
		      size_t errsize);
	/* The section is complete; false and a message in err refuses it: "KEY: …" if it is about a key's value. May
	 * be NULL. */
	bool (*end)(void *ctx, void *base, char *err, size_t errsize);
};

struct program {
	const char *name;    /* "longhaul-api" */
	const char *summary; /* one sentence for --help */
	const struct opt_group *groups;
	size_t n_groups;
	const struct opt_kind *kinds;
	size_t n_kinds;
	const char *const
		*foreign; /* sections and kinds of other programs: skipped; ends in NULL */
	void *ctx;        /* for the kinds' functions */
};

struct cmdline {
	const char *config_path; /* -c; NULL: no file, defaults and overrides only */
	bool check_only;         /* -t */
	char **overrides;        /* -o section.key=value, in order */
	size_t n_overrides;
};

/*
 * Reads the command line: -c FILE, -o SECTION.KEY=VALUE, -t, -h/--help, -V/--version, --sample, --manual.
 * Returns true to go on. False: *exit_code says how to end (help was printed: 0; bad usage, said on
 * stderr: EXIT_USAGE).
 */
bool cmdline_parse(const struct program *prog, int argc, char **argv, struct cmdline *out,
		   int *exit_code);
void cmdline_free(struct cmdline *cl);

/*
 * Defaults, then the file, then the overrides. The groups' structures are zeroed before the first
 * load. All that is wrong goes into *errors, a line each
 * ("file:line: message"). May be called again with other bases, to load a changed file.
 */
bool config_load(const struct program *prog, const struct cmdline *cl, struct buf *errors);
/*
 * Compares two configurations of a program, the one in use and one that was loaded anew, and exchanges
 * the members that differ, but for those that stay_fixed() names. The groups' bases lie in *live; *fresh
 * is a structure of the same type. The names of what was exchanged go to *changed, of what wasn't to
 * *fixed, separated by blanks.
 */
void config_take(const struct program *prog, void *live, void *fresh,
		 bool (*stay_fixed)(const struct opt *row), struct buf *changed, struct buf *fixed);
/* Frees the strings of the groups; what the kinds hold is their owner's. */
void config_free(const struct program *prog);

#endif
