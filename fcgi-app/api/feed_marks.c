/*
 * feed_marks.c: how far a look at the changes of jobs has to go back.
 */
#include "api/feed_marks.h"

#include <string.h>

void feed_marks_begin(struct feed_marks *m, int64_t now)
{
	memset(m, 0, sizeof(*m));
	m->begun = true;
	m->horizon = (struct feed_mark){ now - FEED_RECENT_MS, -1, 0 };
	m->recent[0] = m->recent[1] = m->horizon;
	m->looked_at = m->whole_at = now;
}

struct feed_mark feed_marks_since(struct feed_marks *m)
{
	const struct feed_mark *recent = &m->recent[0];

	/* Behind an old transaction the way back grows and grows: it is gone when that has ended, and now
	 * and then, in a share of the time. */
	m->whole = m->behind || m->horizon.at >= recent->at ||
		   m->looked_at - m->whole_at >= (m->looked_at - m->horizon.at) / 4;
	return m->whole ? m->horizon : *recent;
}

/* Remembers a look, unless there are many: a horizon that moves later is as good. */
static void add(struct feed_marks *m, struct feed_mark mark)
{
	int64_t age = m->n > 0 ? mark.at - m->v[0].at : 0;

	if (m->n == FEED_MARKS ||
	    (m->n > 0 && mark.at - m->v[m->n - 1].at < age / (FEED_MARKS / 2)))
		return;
	m->v[m->n++] = mark;
}

/* How many of the marks lie behind all open transactions. */
static int settled(const struct feed_marks *m, int64_t xmin)
{
	int k = 0;

	while (k < m->n && m->v[k].xid < xmin)
		k++;
	return k;
}

void feed_marks_looked(struct feed_marks *m, struct feed_mark mark, int64_t xmin)
{
	int k = settled(m, xmin);

	m->looked_at = mark.at;
	m->behind = k > 0 && !m->whole;
	if (m->whole) {
		m->whole_at = mark.at;
		if (k > 0) {
			m->horizon = m->v[k - 1];
			m->n -= k;
			memmove(m->v, m->v + k, (size_t)m->n * sizeof(m->v[0]));
		}
	}
	add(m, mark);
	if (mark.at - m->recent[1].at >= FEED_RECENT_MS) {
		m->recent[0] = m->recent[1];
		m->recent[1] = mark;
	}
}
