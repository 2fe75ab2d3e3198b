/*
 * args.h: the command line of longhaul-admin.
 */
#ifndef LONGHAUL_ADMIN_ARGS_H
#define LONGHAUL_ADMIN_ARGS_H

#include "admin/command.h"

/* What holds for all commands. */
struct globals {
	const char *config_path, *conninfo;
};

/* Reads the command line. Returns true to go on; else *exit_code, all having been said. */
bool args_parse(int argc, char **argv, struct globals *globals, struct call *call, int *exit_code);
void args_free(struct call *call);

#endif
