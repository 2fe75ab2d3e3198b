/*
 * webhook_report.h: deliveries in hand, and the reports of what became of them.
 */
#ifndef LONGHAUL_WORKER_WEBHOOK_REPORT_H
#define LONGHAUL_WORKER_WEBHOOK_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ids.h"
#include "list.h"
#include "webhook_policy.h"

struct pgarray;
struct share;

struct delivery {
	struct link link;
	struct uuid id;
	int64_t fence;
	int attempt;
	uint32_t ticket;
	struct share *share;
	bool slow;
	int64_t started, started_unix; /* monotonic; wall clock */
	struct webhook_outcome out;
	int32_t duration_ms;
};

/* Text of a delivery for a log line. Valid until the next call. */
const char *delivery_text(const struct delivery *d);

/* `rows`: the most of one statement. */
void reports_open(int rows);
void reports_close(void);
void reports_step(int64_t now);
void reports_up(void); /* the connection came up */

/* It has its outcome and is in no list any more: it waits to be reported, and is freed then. */
void report_add(struct delivery *d);

int reports_waiting(void);
/* Adds the fences of those that aren't known to be reported. */
void reports_fences(struct pgarray *fences);
bool reports_idle(void);
/* The lease is lost: none of them counts any more. */
void reports_forget(void);

#endif
