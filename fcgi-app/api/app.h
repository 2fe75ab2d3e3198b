/*
 * app.h: what the API process is made of: its configuration, its loop, its database connections.
 *
 * main() fills in cfg and loop and calls app_start(); everything else here belongs to the jobs
 * side. There is one struct app in a process; it is passed to those who need it at start.
 */
#ifndef LONGHAUL_API_APP_H
#define LONGHAUL_API_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"

struct ev_loop;
struct db;

/* Filled from the option tables; the numbers in comments are the defaults. */
struct api_config {
	struct database_config database; /* read_conninfo may name a standby, for polls */
	struct log_config log;
	struct webhook_config webhook;

	/* [api], the transport's part */
	char *listen;
	int socket_mode;
	char *base_url;
	char *problem_base;
	char *client_param;  /* LONGHAUL_CLIENT: the parameter in which nginx names the client */
	int max_connections; /* 10240: beyond it nobody is accepted */
	int max_requests;    /* 8192: requests under way, parked ones too; further ones get 503 */
	int io_timeout_ms;   /* 60000: a peer that neither sends nor takes what it owes */
	int drain_ms;        /* 10000: the longest wait for requests under way at the end */
	char *metrics_dir;
	int metrics_ms, metrics_refresh_ms;
	int ready_ms; /* 2000: the longest wait of /readyz for the database */

	/* [api], the jobs' part */
	int wait_max_s;      /* 55: the longest Prefer: wait */
	int batch_rows;      /* 500: rows in one submit or status statement */
	int64_t batch_bytes; /* 4 MiB: input bytes in one submit statement */
	int64_t inline_max;  /* 64 KiB: larger inputs go over a streaming connection */
	int streams;         /* 4: connections for large inputs and results */
	int streams_queue;   /* 64: requests that may wait for one of them; further ones get 503 */
	int queue_max; /* 20000: requests that may wait for a statement; further ones get 503 */
	int tick_ms;   /* 250: parked jobs are read again this often, notified or not */
	int types_refresh_ms;    /* 2000: job types are read again this often */
	int history_refresh_ms;  /* 10000: history() is asked at most this often */
	int state_refresh_ms;    /* 1000: queue_state() is asked at most this often */
	int standby_lag_ms;      /* 5000: a standby further behind isn't asked */
	int settle_ms;           /* 5000: how long a submit with an unknown outcome is sent again */
	int wake_ms;             /* 10: least time between two wakes of the workers */
	int keys_max;            /* 10000: API keys remembered */
	int keys_found_ms;       /* 10000: how long a known key is remembered */
	int keys_unknown_ms;     /* 2000: how long an unknown key is remembered */
	int events_heartbeat_ms; /* 15000: an event stream is never silent for longer */
	int events_pace_ms;      /* 250: least time between two events of one job on one stream */
	int events_retry_ms;     /* 2000: after this a client whose stream broke off comes back */
	int events_drain_ms;     /* 500: the longest that one waits when this process ends */
	int64_t events_queue;    /* 256 KiB: a reader with more than this before it is dropped */
};

struct app {
	const struct api_config *cfg;
	struct ev_loop *loop;
	struct db *write;   /* submits, cancel, delete, retry; always the primary */
	struct db *read;    /* polls, on the primary */
	struct db *replica; /* polls go here first when read_conninfo is set; else NULL */
	struct db *
		side; /* LISTEN, wakes, job types, keys, queue state: short and not to be held up */
	struct db *bulk; /* lists and results, chunk by chunk */
	int64_t waiter;  /* this process's name to the database, random, never 0 */
	int exit_code;   /* enum exit_code: why the loop was left */
	bool draining;   /* parked requests are answered now, nothing new is parked */
};

extern struct app app;

#endif
