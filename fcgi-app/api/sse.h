/*
 * sse.h: server-sent events: their form as text, and what makes an answer one.
 */
#ifndef LONGHAUL_API_SSE_H
#define LONGHAUL_API_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct request;

#define SSE_ID_TEXT 24

/* Appends an event; `event` NULL: unnamed, `id` NULL: none, `data` NULL: it only sets the id. */
void sse_event(struct buf *out, const char *event, const char *id, const char *data, size_t len);
/* Appends how long a client waits before it comes back. */
void sse_retry(struct buf *out, int ms);
/* Appends a comment, which clients pass over. */
void sse_comment(struct buf *out);

/* A job's version as an event's id, and back: -1 if it isn't one, NULL included. */
void sse_version_write(int64_t version, char out[SSE_ID_TEXT]);
int64_t sse_version_read(const char *id);

/* A time (Unix ms) as the id of an event of many jobs, and back: 0 if it isn't one, NULL included. */
void sse_cursor_write(int64_t ms, char out[SSE_ID_TEXT]);
int64_t sse_cursor_read(const char *id);

/* True if an Accept header (NULL = absent) prefers an event stream to JSON. */
bool sse_accepted(const char *accept);
/* True if the request is for an event stream, whatever becomes of it. */
bool sse_asked(struct request *req);

/* Sends the head of a stream, status 200. */
void sse_begin(struct request *req);
/* Answers that there is no stream now: the client is to come back. 200, because a browser's EventSource
 * gives up for ever at anything else. */
void sse_come_back(struct request *req);
/* From half of ms to one and a half: so that not all come back in the same instant. */
int sse_spread(int ms);

#endif
