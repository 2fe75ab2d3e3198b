/*
 * stream.h: inputs and results that are too large for a frame, piece by piece between a runner and
 * the database.
 */
#ifndef LONGHAUL_WORKER_STREAM_H
#define LONGHAUL_WORKER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job;
struct runner;

/* The runner gets a job whose input is in chunks: the first is fetched at once. */
void stream_begin(struct runner *r, struct job *job);
/* The runner asks for the next chunk of the input. */
void stream_want(struct runner *r, struct job *job);
/* The runner has sent a chunk of the result: stores it, and pauses the runner until that is done. */
void stream_result(struct runner *r, struct job *job, const char *data, size_t size);
/* The runner's job has ended or is to stop. What is still on its way is let go. */
void stream_end(struct runner *r);

/* Whether the runner's handler waits for the database. */
bool stream_is_stalled(const struct runner *r);

/* Sends again what the database had no ear for. */
void stream_step(int64_t now);

#endif
