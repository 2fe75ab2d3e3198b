/*
 * handlers.h: the handlers that come with longhaul, for the runner's table.
 */
#ifndef LONGHAUL_HANDLERS_H
#define LONGHAUL_HANDLERS_H

#include <longhaul/handler.h>

/* The configuration is only checked, no job will be run: then a command must be there. One that goes missing later
 * fails its jobs, with their attempts, rather than leave them waiting. */
extern bool handlers_check_only;

/* Reads its input to the end and answers {"bytes":N}: for measuring and trying out. */
extern const struct lh_handler lh_handler_noop;

/* Runs a command: input on its stdin, result from its stdout. */
extern const struct lh_handler lh_handler_exec;

/* Runs jobs by a command that is started once and takes one after the other. */
extern const struct lh_handler lh_handler_command_loop;

/* Loads accounts (NDJSON, a JSON array, CSV) into the database. */
extern const struct lh_handler lh_handler_bulk_import;

/* Calls a function in the database. */
extern const struct lh_handler lh_handler_sql;

/* Forwards the input to an HTTP service, whose answer is the result. */
extern const struct lh_handler lh_handler_http;

#endif
