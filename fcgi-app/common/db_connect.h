/*
 * db_connect.h: how a connection is asked for. Only for db.c.
 */
#ifndef LONGHAUL_DB_CONNECT_H
#define LONGHAUL_DB_CONNECT_H

#include "buf.h"
#include "db.h"

#include <libpq-fe.h>

/* Begins a connection attempt; `turn` counts those that timed out: with several hosts, each turn
 * starts at the next one. NULL only if memory ended. */
PGconn *db_connect_start(const struct db_config *config, unsigned int turn);

/* What a fresh connection is told before it counts as up: settings and LISTENs. Empty: nothing. */
bool db_session_sql(const struct db_config *config, PGconn *conn, char *const *channels,
		    size_t n_channels, struct buf *sql);

/* One line out of libpq's message of several. */
void db_one_line(const char *message, char *out, size_t size);

#endif
