"""Pausing a type: claims stop, what runs goes on, what comes waits; and it goes on at once."""

import time

from harness.env import PATIENCE, wait_until


def test_pause_and_resume(make_stack):
    # Polling would take a minute: what happens sooner is because of the notification.
    slow = {"poll_ms": 60000, "look_back_ms": 60000, "types_ms": 60000, "beat_ms": 500}
    stack = make_stack(apis=1, workers=2, worker=slow, type_rows={"test.act": {"default_estimate_ms": 500}})
    api = stack.api()
    wait_until(lambda: all("type test.act id=" in w.text() for w in stack.workers), 10, "the workers to know the type")
    running = api.submit("/test/act", b'{"sleep": 3, "stdout": "done"}').headers["Location"]
    wait_until(lambda: api.document(running)["status"] == "InProgress", 10, "the job to run")

    assert stack.value("SELECT longhaul.pause_type('test.act', 'the disk is full')") is True
    for worker in stack.workers:
        wait_until(lambda w=worker: "paused=yes" in w.text(), 5, "the worker to be told")
    urls = [api.submit("/test/act", b'{"stdout": "late"}').headers["Location"] for _ in range(5)]
    # The API process hears of it, too.
    wait_until(lambda: "estimatedCompletionTime" not in api.document(urls[0]), 5, "the estimate to be left out")
    begun = time.monotonic()
    reply = api.post("/test/act", b'{}', headers={"Prefer": "wait=30"})
    assert reply.status_code == 202 and time.monotonic() - begun < 5 * PATIENCE, "nobody waits for what can't come"
    urls.append(reply.headers["Location"])
    doc = api.document(urls[0])
    assert doc["status"] == "Queued" and "suggestedNextPollTime" in doc and "queuePosition" not in doc
    assert api.result(running).text == "done", "what runs goes on"
    assert {api.document(u)["status"] for u in urls} == {"Queued"}
    row = stack.query("SELECT depth, paused, paused_reason, paused_since < now() FROM longhaul.queue_depth WHERE type = 'test.act'")[0]
    assert row == (6, True, "the disk is full", True)
    assert stack.value("SELECT count(*) FROM longhaul.stuck WHERE why = 'the type is paused: the disk is full'") == 1

    begun = time.monotonic()
    assert stack.value("SELECT longhaul.resume_type('test.act')") is True
    for url in urls:
        api.completed(url)
    assert time.monotonic() - begun < 8 * PATIENCE, "at once, not at the next poll"
    assert stack.value("SELECT count(*) FROM longhaul.stuck WHERE why LIKE 'the type is paused%%'") == 0
