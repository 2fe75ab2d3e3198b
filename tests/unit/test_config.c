/*
 * test_config.c: option tables, configuration files and the command line.
 */
#include "test.h"

#include <unistd.h>

#include "common/config.h"
#include "common/exit_codes.h"
#include "common/log.h"
#include "common/mem.h"

struct demo_config {
	char *name;
	bool flag;
	int count, level, mode;
	int64_t size;
};

static const struct opt demo_opts[] = {
	OPT_STR("demo", "name", struct demo_config, name, "somebody", "A name."),
	OPT_YES_NO("demo", "flag", struct demo_config, flag, "yes", "A flag."),
	OPT_NUM("demo", "count", struct demo_config, count, "5", 1, 10, "How many."),
	OPT_ONE_OF("demo", "level", struct demo_config, level, "info", LOG_LEVELS, "A level."),
	OPT_MODE("demo", "mode", struct demo_config, mode, "0660", "A mode."),
	OPT_BYTES("demo", "size", struct demo_config, size, "4MiB", 1, 1 << 30, "A size."),
};

struct type_config {
	char name[64];
	char *handler;
	int slots;
	char extra[64];
};

static const struct opt type_opts[] = {
	OPT_STR("type", "handler", struct type_config, handler, "", "The handler."),
	OPT_NUM("type", "slots", struct type_config, slots, "1", 1, 1000, "At once."),
};

static struct demo_config demo;
static struct database_config database;
static struct type_config types[8];
static size_t n_types;

static void *type_begin(void *ctx, const char *name, char *err, size_t errsize)
{
	(void)ctx;
	if (strcmp(name, "bad") == 0) {
		snprintf(err, errsize, "no such name");
		return NULL;
	}
	snprintf(types[n_types].name, sizeof(types[0].name), "%s", name);
	return &types[n_types++];
}

static bool type_other(void *ctx, void *base, const char *key, const char *value, char *err,
		       size_t errsize)
{
	struct type_config *t = base;

	(void)ctx;
	if (strcmp(key, "command") != 0) {
		snprintf(err, errsize, "%s: not known to the handler", key);
		return false;
	}
	snprintf(t->extra, sizeof(t->extra), "%s", value);
	return true;
}

static bool type_end(void *ctx, void *base, char *err, size_t errsize)
{
	struct type_config *t = base;

	(void)ctx;
	if (t->handler[0] != '\0')
		return true;
	snprintf(err, errsize, "handler is missing");
	return false;
}

static const struct opt_group groups[] = {
	OPT_GROUP(demo_opts, &demo),
	OPT_GROUP(database_opts, &database),
};

static const struct opt_kind kinds[] = {
	{ .kind = "type",
	  .help = "A type.",
	  .rows = type_opts,
	  .n = 2,
	  .begin = type_begin,
	  .other = type_other,
	  .end = type_end },
};

static const char *const foreign[] = { "api", "plugin", NULL };

static const struct program program = {
	.name = "test",
	.summary = "a test",
	.groups = groups,
	.n_groups = 2,
	.kinds = kinds,
	.n_kinds = 1,
	.foreign = foreign,
};

static struct buf errors;

/* Writes a file, loads it with the overrides; errors are in `errors`, with the file's name as "F". */
static bool load(const char *text, char **overrides, size_t n)
{
	char path[] = "/tmp/longhaul-test-XXXXXX";
	struct cmdline cl = { .config_path = path, .overrides = overrides, .n_overrides = n };
	int fd = mkstemp(path);
	bool ok;
	char *at;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	buf_free(&errors);
	n_types = 0;
	ok = config_load(&program, &cl, &errors);
	unlink(path);
	while (errors.data != NULL && (at = strstr(errors.data, path)) != NULL) {
		*at = 'F';
		memmove(at + 1, at + strlen(path), strlen(at + strlen(path)) + 1);
	}
	return ok;
}

static int clean_up(void **state)
{
	(void)state;
	buf_free(&errors);
	config_free(&program);
	for (size_t i = 0; i < 8; i++)
		opts_free(type_opts, 2, &types[i]);
	return 0;
}

static void defaults(void **state)
{
	(void)state;
	assert_true(load("", NULL, 0));
	assert_string_equal(demo.name, "somebody");
	assert_true(demo.flag);
	assert_int_equal(demo.count, 5);
	assert_int_equal(demo.level, LOG_LEVEL_INFO);
	assert_int_equal(demo.mode, 0660);
	assert_int_equal(demo.size, 4 << 20);
	assert_string_equal(database.conninfo, "");
	assert_true(database.prepared);
}

static void reads_a_file(void **state)
{
	(void)state;
	assert_true(load("# comment\n"
			 "; comment\n"
			 "[demo]\n"
			 "  name =  a ; b # c  \n"
			 "flag=OFF\n"
			 "count = 10\n"
			 "level = debug\r\n"
			 "mode = 0600\n"
			 "size = 64 KiB\n"
			 "[api]\n"
			 "whatever = 1\n"
			 "[plugin x]\n"
			 "whatever = 1\n"
			 "[database]\n"
			 "conninfo = host=/tmp password='a=b:c'\n"
			 "[type noop]\n"
			 "handler = noop\n"
			 "[type accounts.bulk-import]\n"
			 "handler = exec\n"
			 "slots = 1000\n"
			 "command = /bin/sh -c 'a; b'",
			 NULL, 0));
	assert_null(errors.data);
	assert_string_equal(demo.name, "a ; b # c");
	assert_false(demo.flag);
	assert_int_equal(demo.count, 10);
	assert_int_equal(demo.level, LOG_LEVEL_DEBUG);
	assert_int_equal(demo.mode, 0600);
	assert_int_equal(demo.size, 65536);
	assert_string_equal(database.conninfo, "host=/tmp password='a=b:c'");
	assert_int_equal(n_types, 2);
	assert_string_equal(types[0].name, "noop");
	assert_int_equal(types[0].slots, 1);
	assert_string_equal(types[1].name, "accounts.bulk-import");
	assert_int_equal(types[1].slots, 1000);
	assert_string_equal(types[1].extra, "/bin/sh -c 'a; b'");
}

static void says_file_and_line(void **state)
{
	(void)state;
	assert_false(load("early = 1\n"
			  "[demo]\n"
			  "cuont = 3\n"
			  "count = 11\n"
			  "[demo]\n"
			  "count = 7x\n"
			  "flag = maybe\n"
			  "level = loud\n"
			  "mode = 0999\n"
			  "size = 1 parsec\n"
			  "name = a\n"
			  "name = b\n"
			  "[nothing]\n"
			  "key = 1\n"
			  "[type bad]\n"
			  "handler = x\n"
			  "[type t]\n"
			  "handler = x\n"
			  "colour = red\n"
			  "[type t]\n"
			  "[type ]\n"
			  "[type u]\n",
			  NULL, 0));
	assert_string_equal(errors.data,
			    "F:1: early: before the first [section]\n"
			    "F:3: cuont: unknown key in [demo]\n"
			    "F:4: count: must be between 1 and 10\n"
			    "F:6: count: given twice\n"
			    "F:7: flag: must be yes or no, not \"maybe\"\n"
			    "F:8: level: must be one of error|warning|info|debug, not \"loud\"\n"
			    "F:9: mode: not an octal number: \"0999\"\n"
			    "F:10: size: not a size in bytes (KiB, MiB, GiB): \"1 parsec\"\n"
			    "F:12: name: given twice\n"
			    "F:13: [nothing]: unknown section\n"
			    "F:15: [type bad]: no such name\n"
			    "F:19: colour: not known to the handler\n"
			    "F:20: [type t]: this section was there before\n"
			    "F:21: [type ]: a name is missing\n"
			    "F:22: [type u]: handler is missing\n");
}

static void says_where_the_syntax_is_wrong(void **state)
{
	(void)state;
	assert_false(load("[demo]\n\nwhat is this\nname = x\n", NULL, 0));
	assert_string_equal(errors.data, "F:3: neither a [section] nor a key = value\n");
	assert_false(load("[demo\nname = x\n", NULL, 0));
	assert_non_null(strstr(errors.data, "F:1: neither"));
}

static void refuses_numbers_that_are_none(void **state)
{
	static const char *const bad[] = {
		"", " ", "x", "1.5", "1e3", "99999999999999999999", "--1", "0x10", "1 1", "-1", "+1"
	};
	char err[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(opt_set(&demo_opts[2], &demo, bad[i], err, sizeof(err)));
	assert_false(opt_set(&demo_opts[5], &demo, "9999999999999GiB", err, sizeof(err)));
	assert_true(opt_set(&demo_opts[5], &demo, "1kib", err, sizeof(err)));
	assert_int_equal(demo.size, 1024);
}

static void long_lines_and_long_names(void **state)
{
	char *value = mem_alloc(50001), *text;
	char name[101];

	(void)state;
	memset(value, 'x', 50000);
	value[50000] = '\0';
	memset(name, 'n', 60);
	name[60] = '\0';
	text = mem_printf("[demo]\nname = %s\ncount = 11\n[type %s]\nhandler = h\n", value, name);
	assert_false(load(text, NULL, 0));
	assert_string_equal(errors.data, "F:3: count: must be between 1 and 10\n");
	assert_string_equal(demo.name, value);
	assert_string_equal(types[0].name, name);
	free(text);
	free(value);
}

static void overrides_win(void **state)
{
	char *overrides[] = { "demo.count=7",
			      "type accounts.bulk-import.slots=9",
			      "type accounts.bulk-import.command=a=b",
			      "api.listen=x",
			      "type new.handler=noop",
			      "demo.count=8" };

	(void)state;
	assert_true(
		load("[demo]\ncount = 3\n[type accounts.bulk-import]\nhandler = exec\nslots = 2\n",
		     overrides, 6));
	assert_int_equal(demo.count, 8);
	assert_int_equal(types[0].slots, 9);
	assert_string_equal(types[0].extra, "a=b");
	assert_string_equal(types[1].name, "new");
}

static void overrides_can_be_wrong(void **state)
{
	char *overrides[] = { "demo.count",      "count=1",      "demo.nothing=1",
			      "nothing.count=1", "demo.count=0", "type x.slots=2" };

	(void)state;
	assert_false(load("", overrides, 6));
	assert_string_equal(errors.data, "-o demo.count: must be SECTION.KEY=VALUE\n"
					 "-o count: must be SECTION.KEY=VALUE\n"
					 "-o demo.nothing: nothing: unknown key in [demo]\n"
					 "-o nothing.count: unknown section [nothing]\n"
					 "-o demo.count: count: must be between 1 and 10\n"
					 "-o: [type x]: handler is missing\n");
}

static void missing_file(void **state)
{
	struct cmdline cl = { .config_path = "/nonexistent/x.conf" };

	(void)state;
	buf_free(&errors);
	assert_false(config_load(&program, &cl, &errors));
	assert_string_equal(errors.data, "/nonexistent/x.conf: No such file or directory\n");
	cl.config_path = "/";
	buf_free(&errors);
	assert_false(config_load(&program, &cl, &errors));
}

static bool name_stays(const struct opt *row)
{
	return strcmp(row->key, "name") == 0;
}

/* What a changed file changes, and what it can't. */
static void takes_what_changed(void **state)
{
	static const struct opt_group demo_group[] = { OPT_GROUP(demo_opts, &demo) };
	static const struct program one = { .name = "demo", .groups = demo_group, .n_groups = 1 };
	struct demo_config fresh = { 0 };
	struct buf changed = { 0 }, fixed = { 0 };

	(void)state;
	assert_true(load("[demo]\nname = old\ncount = 3\n", NULL, 0));
	opts_defaults(demo_opts, 6, &fresh);
	fresh.count = 4;
	fresh.size = 5;
	config_take(&one, &demo, &fresh, name_stays, &changed, &fixed);
	assert_string_equal(changed.data, "demo.count demo.size");
	assert_string_equal(fixed.data, "demo.name");
	assert_string_equal(demo.name, "old");
	assert_int_equal(demo.count, 4);
	assert_int_equal(demo.size, 5);
	assert_int_equal(fresh.count, 3);
	buf_reset(&changed);
	opts_free(demo_opts, 6, &fresh);
	memset(&fresh, 0, sizeof(fresh));
	opts_defaults(demo_opts, 6, &fresh);
	opt_swap(&demo_opts[0], &demo, &fresh);
	assert_string_equal(demo.name, "somebody");
	assert_string_equal(fresh.name, "old");
	assert_false(opt_equal(&demo_opts[0], &demo, &fresh));
	opts_free(demo_opts, 6, &fresh);
	buf_free(&changed);
	buf_free(&fixed);
}

static void command_line(void **state)
{
	char *argv[] = { "test",         "-t",       "-c",           "f", "-o",
			 "demo.count=1", "--option", "demo.count=2", NULL };
	char *bad[] = { "test", "surplus", NULL };
	struct cmdline cl;
	int rc = -1;

	(void)state;
	assert_true(cmdline_parse(&program, 8, argv, &cl, &rc));
	assert_true(cl.check_only);
	assert_string_equal(cl.config_path, "f");
	assert_int_equal(cl.n_overrides, 2);
	assert_string_equal(cl.overrides[1], "demo.count=2");
	cmdline_free(&cl);
	assert_false(cmdline_parse(&program, 2, bad, &cl, &rc));
	assert_int_equal(rc, EXIT_USAGE);
}

/* The sample and the help name every option, and the sample loads as it is. */
static void sample_is_complete(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_string_equal(opts_sample(out, NULL, demo_opts, 6), "demo");
	fclose(out);
	assert_non_null(strstr(text, "[demo]\n# A name.\n#name = somebody\n\n# A flag."));
	assert_non_null(strstr(text, "# A size.\n# (1-1073741824)\n#size = 4MiB\n"));
	assert_true(load(text, NULL, 0));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(reads_a_file),
		cmocka_unit_test(says_file_and_line),
		cmocka_unit_test(says_where_the_syntax_is_wrong),
		cmocka_unit_test(refuses_numbers_that_are_none),
		cmocka_unit_test(long_lines_and_long_names),
		cmocka_unit_test(overrides_win),
		cmocka_unit_test(overrides_can_be_wrong),
		cmocka_unit_test(missing_file),
		cmocka_unit_test(takes_what_changed),
		cmocka_unit_test(command_line),
		cmocka_unit_test(sample_is_complete),
	};

	return cmocka_run_group_tests(tests, NULL, clean_up);
}
