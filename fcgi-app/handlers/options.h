/*
 * options.h: the keys that the built-in handlers understand in the section of a type, for the manual.
 */
#ifndef LONGHAUL_HANDLERS_OPTIONS_H
#define LONGHAUL_HANDLERS_OPTIONS_H

#include "common/options.h"

#define EXEC_OPTIONS 11
#define LOOP_OPTIONS 2 /* beside those of exec */
#define BULK_IMPORT_OPTIONS 1
#define SQL_OPTIONS 4
#define HTTP_OPTIONS 10

extern const struct opt exec_options[EXEC_OPTIONS];
extern const struct opt loop_options[LOOP_OPTIONS];
extern const struct opt bulk_import_options[BULK_IMPORT_OPTIONS];
extern const struct opt sql_options[SQL_OPTIONS];
extern const struct opt http_options[HTTP_OPTIONS];

#endif
