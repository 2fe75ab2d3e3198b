"""Whose job is next: clients take turns, old jobs of low priority come too, limits hold over all workers.

Orders are read from the fences and from the times in the database; nothing here depends on speed."""

import pytest

from harness import load
from harness.crowd import crowd
from harness.env import scaled, wait_until

JSON = ("Content-Type", "application/json")
NAP = {"command": "/bin/sleep 0.02"}


def ended(stack, client):
    return stack.value("SELECT count(*) FROM longhaul.outcome o JOIN longhaul.job j ON j.id = o.job_id WHERE j.client = %s",
                       [client])


@pytest.mark.limit(120)
def test_a_single_job_does_not_wait_for_twenty_thousand(make_stack):
    slots = 2
    stack = make_stack(types=("test.act",), type_settings={"test.act": {"slots": slots, **NAP}}, workers=1,
                       worker={"drain_ms": 100})
    crowd(stack, scaled(20000, 4000))
    wait_until(lambda: ended(stack, "crowd") > 3, 20, "the crowd's jobs to run")
    for n in range(3):
        api = stack.api(f"single-{n}")
        api.completed(api.submit("/test/act", b"{}").headers["Location"])
    # What was begun after the single job was accepted, and before it.
    rows = stack.query(
        "SELECT count(*) FROM longhaul.job j JOIN longhaul.outcome o ON o.job_id = j.id "
        "JOIN LATERAL (SELECT count(*) AS n FROM longhaul.outcome q JOIN longhaul.job k ON k.id = q.job_id "
        "               WHERE k.client = 'crowd' AND q.started_at > j.created_at AND q.started_at < o.started_at) x ON true "
        "WHERE j.client LIKE 'single-%%' AND x.n <= %s", [claimed_ahead(stack, slots)])
    assert rows[0][0] == 3
    assert stack.value("SELECT count(*) FROM longhaul.ready") > 100, "the crowd still waits"


def claimed_ahead(stack, slots):
    """Most jobs that the worker may have had in hand: prefetch_ms of work, of jobs that take 20 ms at least, for
    each slot; the slots; and a claim that was under way."""
    return slots * 100 // 20 + 2 * slots


@pytest.mark.limit(60)
def test_short_jobs_too(make_stack):
    """With jobs that take no time the worker holds thousands ahead: still the single job isn't behind all."""
    stack = make_stack(types=("noop",), type_settings={"noop": {"slots": 2}}, workers=1,
                       worker={"prefetch": 100, "claim_batch": 100})
    stack.workers[0].stop()
    many = scaled(20000, 4000)
    crowd(stack, many, kind="noop")
    api = stack.api("single")
    url = api.submit("/noop", b"").headers["Location"]
    stack.workers[0].start()
    api.completed(url)
    before = stack.value("SELECT count(*) FROM longhaul.outcome q, longhaul.outcome o JOIN longhaul.job j ON j.id = o.job_id "
                         "WHERE j.client = 'single' AND q.fence < o.fence")
    assert before <= 2


@pytest.mark.limit(60)
def test_backlogs_share_evenly(make_stack):
    """Three clients with standing backlogs, one of them ten times as long, submitted through the API."""
    stack = make_stack(types=("test.act",), type_settings={"test.act": {"slots": 4, **NAP}}, workers=1, apis=2,
                       worker={"drain_ms": 100})
    stack.workers[0].stop()

    async def submit(connection, client):
        return (await connection.request("POST", "/v1/test/act", [JSON, ("X-Test-Client", client),
                                                                   ("Prefer", "respond-async")], b"{}")).status

    for client, jobs in (("long", 600), ("one", 60), ("two", 60)):
        assert set(load.run(submit, [client] * jobs, stack.port, 8)) == {202}
    stack.workers[0].start()
    wait_until(lambda: ended(stack, "one") >= 60 and ended(stack, "two") >= 60, 50, "the short backlogs to be done")
    shares = dict(stack.query("SELECT j.client, count(*) FROM longhaul.outcome o JOIN longhaul.job j ON j.id = o.job_id "
                              "WHERE o.fence <= (SELECT min(last) FROM (SELECT max(q.fence) AS last FROM longhaul.outcome q "
                              "JOIN longhaul.job k ON k.id = q.job_id WHERE k.client <> 'long' GROUP BY k.client) x) GROUP BY 1"))
    assert 30 <= shares["long"] <= 90, shares
    assert shares["one"] >= 50 and shares["two"] >= 50, shares


@pytest.mark.limit(60)
def test_ageing_lets_low_priorities_through(make_stack):
    stack = make_stack(types=("noop",), type_rows={"noop": {"ageing": "1 second"}}, workers=1,
                       worker={"prefetch": 100, "claim_batch": 100})
    stack.workers[0].stop()
    crowd(stack, 1000, "high", kind="noop", priority=10)
    crowd(stack, 1, "old", kind="noop", priority=-10, age="1 minute")
    crowd(stack, 1, "young", kind="noop", priority=-10)
    stack.workers[0].start()
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.outcome") == 1002, 30, "all to be done")
    before = dict(stack.query("SELECT j.client, (SELECT count(*) FROM longhaul.outcome q WHERE q.fence < o.fence) "
                              "FROM longhaul.outcome o JOIN longhaul.job j ON j.id = o.job_id WHERE j.client <> 'high'"))
    assert before == {"old": 0, "young": 1001}


@pytest.mark.limit(60)
def test_a_limit_holds_over_two_workers(make_stack):
    """Three at a time over two hosts with two slots each: never more, and none of the three is left unused."""
    stack = make_stack(types=("test.act",), type_rows={"test.act": {"max_running": 3}},
                       type_settings={"test.act": {"slots": 2, **NAP}}, workers=2)
    crowd(stack, 120)
    wait_until(lambda: ended(stack, "crowd") == 120, 40, "all to be done")
    most = stack.value("SELECT max((SELECT count(*) FROM longhaul.outcome q WHERE q.started_at <= o.started_at "
                       "AND q.ended_at > o.started_at)) FROM longhaul.outcome o")
    assert most == 3
    assert stack.value("SELECT count(DISTINCT boot) FROM longhaul.outcome") == 2


@pytest.mark.limit(60)
def test_a_rate_holds_over_two_workers(make_stack):
    """Ten per half second: ten at once, then one each 50 ms."""
    stack = make_stack(types=("noop",), type_rows={"noop": {"rate_limit": 10, "rate_period": "500 milliseconds"}}, workers=2)
    crowd(stack, 60, kind="noop")
    stack.sql("SELECT longhaul.wake(ARRAY[t.type_id]) FROM longhaul.job_type t")
    wait_until(lambda: ended(stack, "crowd") == 60, 40, "all to be done")
    # From the first of these to the last: 49 intervals, the fiftieth job being one that had to wait.
    seconds = stack.value("SELECT extract(epoch FROM max(o.ended_at) - min(o.ended_at))::float FROM longhaul.outcome o")
    assert seconds >= 2.4
