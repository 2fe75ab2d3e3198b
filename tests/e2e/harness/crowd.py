"""Thousands of jobs at once, by SQL."""

# As an API process does for one client: turn after turn.
BATCH = """
SELECT count(*) FROM longhaul.job_type t, generate_series(0, %(jobs)s - 1, 1000) AS b(done),
LATERAL (SELECT least(1000, %(jobs)s - b.done) AS n) x,
LATERAL longhaul.submit_batch(
    ARRAY(SELECT (substr(longhaul.uuid_at(clock_timestamp() - %(age)s::interval)::text, 1, 13) || '-7' || substr(gen_random_uuid()::text, 16))::uuid
            FROM generate_series(1, n)),
    array_fill(t.type_id, ARRAY[n]), array_fill(%(client)s::text, ARRAY[n]), array_fill(%(priority)s::smallint, ARRAY[n]),
    array_fill(NULL::timestamptz, ARRAY[n]), array_fill('application/json'::text, ARRAY[n]), array_fill('{}'::bytea, ARRAY[n]),
    array_fill(2::bigint, ARRAY[n]), array_fill(NULL::text, ARRAY[n]), array_fill(sha256('{}'), ARRAY[n]),
    array_fill(NULL::bigint, ARRAY[n]), array_fill(NULL::text, ARRAY[n]), array_fill(NULL::text, ARRAY[n]),
    p_last => array_fill(b.done::bigint, ARRAY[n]), p_turn => ARRAY(SELECT generate_series(1, n))) s
WHERE t.name = %(kind)s"""


def crowd(stack, jobs, client="crowd", kind="test.act", priority=0, age="0"):
    """Queues so many jobs of a client; the queue's clock has not begun to run."""
    stack.sql(BATCH, {"jobs": jobs, "client": client, "kind": kind, "priority": priority, "age": age})
