/*
 * metrics_text.h: Prometheus' text format, version 0.0.4.
 */
#ifndef LONGHAUL_API_METRICS_TEXT_H
#define LONGHAUL_API_METRICS_TEXT_H

#include <stdint.h>

#include "api/counters.h"
#include "common/buf.h"

/* The lines before a family's samples; `type` is counter, gauge or histogram. */
void metrics_family(struct buf *out, const char *name, const char *type, const char *help);
/* metrics_sample(out, name, value, labels…): a sample. Labels come in pairs of name and value; one whose value is
 * NULL is left out. */
#define metrics_sample(out, name, ...) \
	metrics_sample_labels(out, name, __VA_ARGS__, (const char *)NULL)
void metrics_sample_labels(struct buf *out, const char *name, double value, ...)
	__attribute__((sentinel));
/* All samples of a histogram: it has `process` and, if `label` isn't NULL, one more. */
void metrics_histogram(struct buf *out, const char *name, const struct histogram *h,
		       const double bounds[COUNT_BOUNDS], const char *process, const char *label,
		       const char *value);
/* All families of the processes of this host. */
void metrics_processes(struct buf *out);

#endif
