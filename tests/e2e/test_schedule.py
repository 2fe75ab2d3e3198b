"""Recurring jobs: made when they are due, once however many workers look, and by policy when nobody was there."""

from datetime import datetime, timedelta, timezone

import pytest

from harness.env import wait_until


@pytest.fixture
def three(make_stack):
    return make_stack(apis=1, workers=3)


def add(stack, name, cron, **row):
    row = {"name": name, "job_type": "test.act", "cron": cron, "client": "clock", **row}
    stack.sql(f"INSERT INTO longhaul.schedule ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values()))


def overdue(stack, name, by):
    stack.sql("UPDATE longhaul.schedule SET next_at = date_trunc('second', now()) - %s::interval WHERE name = %s", [by, name])


def ticks(stack, name):
    """The times for which jobs were made, in order."""
    rows = stack.query("SELECT request_id FROM longhaul.job WHERE request_id LIKE %s ORDER BY 1", [f"schedule/{name}/%"])
    return [datetime.strptime(r[0].split("/")[2], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc) for r in rows]


def test_a_job_is_made_and_runs(three):
    add(three, "nightly", "30 2 * * *", time_zone="Europe/Berlin", input=b'{"env": true}')
    assert not ticks(three, "nightly")
    overdue(three, "nightly", "1 second")
    job = str(wait_until(lambda: three.value("SELECT last_job FROM longhaul.schedule"), 10, "the job"))
    api = three.api("clock")
    result = api.result(f"/acts/{job}").json()
    tick = ticks(three, "nightly")[0].strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert result["env"]["LONGHAUL_REQUEST_ID"] == f"schedule/nightly/{tick}", "the handler knows for which time it runs"
    assert api.get("/jobs").json()["jobs"][0]["jobId"] == job, "the client sees it"
    assert three.api("other").get(f"/acts/{job}").status_code == 404, "and no other does"
    row = three.query("SELECT last_status, next_local::time::text, last_error FROM longhaul.schedules")[0]
    assert row == ("Completed", "02:30:00", None)
    assert len(ticks(three, "nightly")) == 1


def test_each_time_once_with_three_workers(three):
    """Every second, and all workers look all the time."""
    add(three, "quick", "@every 1s")
    made = wait_until(lambda: len(t := ticks(three, "quick")) >= 4 and t, 20, "four times")
    assert all(b - a == timedelta(seconds=1) for a, b in zip(made, made[1:])), made
    keys, jobs = three.query("SELECT count(DISTINCT request_id), count(*) FROM longhaul.job WHERE request_id LIKE 'schedule/quick/%%'")[0]
    assert keys == jobs, "no time twice"
    late = three.value("SELECT max(created_at - replace(split_part(request_id, '/', 3), 'Z', '+00')::timestamptz) FROM longhaul.job"
                       " WHERE request_id LIKE 'schedule/quick/%%'")
    assert late < timedelta(seconds=5)


def test_missed_times_after_all_workers_were_off(make_stack):
    stack = make_stack(apis=1)
    add(stack, "runs", "@every 1s")
    wait_until(lambda: ticks(stack, "runs"), 10, "the first time")
    assert stack.workers[0].stop() == 0
    stack.sql("DELETE FROM longhaul.schedule")
    for policy in ("skip", "once", "all"):
        add(stack, policy, "@hourly", missed=policy, missed_max=5)
        overdue(stack, policy, "24 hours 90 seconds")
    stack.workers[0].start()
    wait_until(lambda: stack.value("SELECT bool_and(next_at > now()) FROM longhaul.schedule"), 20, "the worker to catch up")
    latest = stack.value("SELECT max(at) FROM generate_series(date_trunc('hour', now()), now(), '1 hour') at")
    # Unless the hour has just begun, which isn't missed yet.
    assert len(ticks(stack, "skip")) == 0 or datetime.now(timezone.utc) - latest < timedelta(minutes=2)
    assert ticks(stack, "once") == [latest]
    assert ticks(stack, "all") == [latest - timedelta(hours=n) for n in (4, 3, 2, 1, 0)]


def test_a_schedule_that_cannot_be_made_keeps_no_other_back(three):
    add(three, "bad", "@daily")
    add(three, "good", "@daily")
    three.sql("UPDATE longhaul.schedule SET input = '{}', media_type = 'application/json'")
    # What was accepted when it was entered no longer is.
    three.sql("UPDATE longhaul.job_type SET max_input_bytes = 2 WHERE name = 'test.act'")
    three.sql("ALTER TABLE longhaul.schedule DISABLE TRIGGER schedule_changed")
    three.sql("UPDATE longhaul.schedule SET input = '{   }' WHERE name = 'bad'")
    three.sql("ALTER TABLE longhaul.schedule ENABLE TRIGGER schedule_changed")
    overdue(three, "bad", "1 second")
    overdue(three, "good", "1 second")
    wait_until(lambda: ticks(three, "good"), 10, "the good one")
    why = wait_until(lambda: three.value("SELECT last_error FROM longhaul.schedules WHERE name = 'bad'"), 10, "the reason")
    assert "larger than the 2 bytes" in why
    assert not ticks(three, "bad")
    three.sql("UPDATE longhaul.schedule SET input = '{}' WHERE name = 'bad'")
    wait_until(lambda: ticks(three, "bad"), 10, "the repaired one")


def test_run_now_and_preview(three):
    add(three, "yearly", "@yearly", enabled=False)
    job = three.value("SELECT longhaul.schedule_run('yearly')")
    three.api("clock").completed(f"/acts/{job}")
    shown = [r[0] for r in three.query("SELECT at FROM longhaul.schedule_next('yearly', 2)")]
    assert [(d.month, d.day) for d in shown] == [(1, 1), (1, 1)] and shown[1].year == shown[0].year + 1
