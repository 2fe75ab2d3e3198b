/*
 * job.h: one job in a runner, from its frame to its answer; behind it, the functions of the handler ABI.
 */
#ifndef LONGHAUL_RUNNER_JOB_H
#define LONGHAUL_RUNNER_JOB_H

#include <longhaul/handler.h>

#include "channel.h"

/* What the runner was set up for. */
struct lh_settings {
	const char *pairs; /* key NUL value NUL …, ended by an empty key */
};

struct runner {
	struct channel channel;
	const struct lh_handler *handler;
	void *state; /* the handler's */
	struct lh_settings settings;
	struct buf setup; /* the message that settings points into */
	char type[256];
	char boot[UUID_TEXT];
	int64_t result_max;
};

/* Runs the job of a WIRE_JOB frame, if it wasn't taken back, and answers. False: not a valid message. */
bool job_run(struct runner *runner, uint32_t ticket, const char *payload, size_t size);

#endif
