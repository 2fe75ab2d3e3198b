"""GET /v1/jobs/statistics: a client's own counts."""

from datetime import datetime, timedelta

from harness.env import wait_until


def statistics(api):
    reply = api.get("/jobs/statistics")
    assert reply.status_code == 200, reply.text
    assert reply.headers["Cache-Control"] == "private, no-store"
    return reply.json()


def counts(api):
    """What ended, over all minutes."""
    minutes = statistics(api)["minutes"]
    return tuple(sum(m[word] for m in minutes) for word in ("completed", "failed", "canceled"))


def test_minutes_come_without_gaps(stack):
    doc = statistics(stack.api("nobody-yet"))
    assert doc["stepSeconds"] == 60
    times = [datetime.fromisoformat(m["time"].replace("Z", "+00:00")) for m in doc["minutes"]]
    assert len(times) == 60
    assert all(b - a == timedelta(minutes=1) for a, b in zip(times, times[1:]))
    assert doc["queued"] == {"count": 0, "atLeast": False}
    assert doc["running"] == {"count": 0}
    assert counts(stack.api("nobody-yet")) == (0, 0, 0)


def test_ended_jobs_are_counted_at_once_and_once(stack):
    api = stack.api("counting")
    for data in (b"{}", b"{}", b'{"exit": 1}'):
        api.ended(api.submit("/test/act", data).headers["Location"])
    waiting = api.submit("/test/idle").headers["Location"]
    assert api.post(waiting + "/cancel").status_code == 200
    assert counts(api) == (2, 1, 1), "seen as soon as the jobs have ended"
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.tally_delta WHERE client = 'counting'") == 0,
               20, "a worker to add them up")
    assert counts(api) == (2, 1, 1), "the same afterwards"


def test_what_lives(stack):
    api = stack.api("living")
    waiting = api.submit("/test/idle")
    api.submit("/test/idle")
    running = api.submit("/test/act", b'{"sleep": 60}').headers["Location"]
    wait_until(lambda: api.document(running)["status"] == "InProgress", 10, "the job to run")
    doc = statistics(api)
    assert doc["queued"]["count"] == 2
    assert doc["queued"]["atLeast"] is False
    made = datetime.fromisoformat(waiting.json()["createdTime"].replace("Z", "+00:00"))
    oldest = datetime.fromisoformat(doc["queued"]["oldestCreatedTime"].replace("Z", "+00:00"))
    assert abs(oldest - made) < timedelta(seconds=5)
    assert doc["running"]["count"] == 1
    assert statistics(stack.api("somebody-else"))["queued"]["count"] == 0
    api.post(running + "/cancel")


def test_it_can_only_be_read(stack):
    assert stack.api("living").post("/jobs/statistics").status_code == 405
    assert stack.api("living").head("/jobs/statistics").status_code == 200
