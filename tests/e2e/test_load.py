"""Numbers: many at once, large ones, and what they cost."""

import asyncio
import hashlib
import os
import statistics
import time

import pytest

from harness import load
from harness.env import PATIENCE, SANITIZED, scaled, wait_until

MEGABYTE = 1 << 20
JSON = ("Content-Type", "application/json")


@pytest.mark.heavy
@pytest.mark.limit(180)
def test_a_poll_in_the_same_instant_finds_the_job(stack):
    tries = scaled(10000, 2000)

    async def work(connection, n):
        made = await connection.request("POST", "/v1/test/idle", [JSON, ("Prefer", "respond-async")], b"{}")
        if made.status != 202:
            return made.status, None
        polled = await connection.request("GET", load.path_of(made.headers["location"]))
        return made.status, polled.status

    results = load.run(work, list(range(tries)), stack.port, 32)
    assert set(results) == {(202, 200)}


@pytest.mark.heavy
@pytest.mark.limit(180)
def test_two_thousand_parked_and_a_poll_meanwhile(make_stack):
    stack = make_stack(apis=2, workers=0, types=("test.idle",))
    many = scaled(2000, 600)
    wait = scaled(10, 12)
    api = stack.api()
    url = load.path_of(api.submit("/test/idle").headers["Location"])
    tag = api.get(url[3:]).headers["ETag"]
    polls = []

    async def park(connection, n):
        if n % 2:
            return await connection.request("GET", url, [("If-None-Match", tag), ("Prefer", f"wait={wait}")])
        return await connection.request("POST", "/v1/test/idle", [JSON, ("Prefer", f"respond-async, wait={wait}")], b"{}")

    async def everything():
        parked = [asyncio.create_task(park(load.Connection(stack.port), n)) for n in range(many)]
        # All are parked once their jobs are there.
        for _ in range(600):
            await asyncio.sleep(0.05)
            if stack.value("SELECT count(*) FROM longhaul.ready") > many // 2 - 1:
                break
        probe = load.Connection(stack.port)
        await probe.request("GET", url)
        for _ in range(200):
            answer = await probe.request("GET", url)
            assert answer.status == 200
            polls.append(answer.seconds)
        early = sum(task.done() for task in parked)
        answers = await asyncio.gather(*parked)
        return early, answers

    early, answers = asyncio.run(everything())
    assert early == 0, "they were parked while the polls went through"
    for n, answer in enumerate(answers):
        assert answer.status == (304 if n % 2 else 202)
    assert statistics.median(polls) < 0.010 * PATIENCE, f"median {statistics.median(polls) * 1000:.1f} ms"
    if not SANITIZED:
        for daemon in stack.apis:
            assert daemon.memory() < 100 * MEGABYTE


@pytest.mark.limit(120)
def test_parked_waits_are_all_answered_with_results(make_stack):
    """Many short waits at once that do end: each gets its own result."""
    stack = make_stack(types=("noop",), type_rows={"noop": {"wait_ms": 20000}}, type_settings={"noop": {"slots": 16}},
                       apis=2)

    async def work(connection, n):
        return await connection.request("POST", "/v1/noop", [JSON, ("Prefer", "wait=50")], b"{}")

    answers = load.run(work, list(range(scaled(4000, 600))), stack.port, scaled(1000, 200))
    assert {a.status for a in answers} == {200}


@pytest.mark.heavy
@pytest.mark.limit(300)
def test_large_upload_and_result_in_little_memory(make_stack, tmp_path):
    size = int(os.environ.get("LONGHAUL_LARGE_MB", scaled(200, 40))) * MEGABYTE
    stack = make_stack(types=("test.cat",), apis=2)
    line = b'{"email":"somebody@example.com","name":"Somebody with a name","note":"' + b"x" * 180 + b'"}\n'
    source = tmp_path / "upload.ndjson"
    sent = hashlib.sha256()
    with source.open("wb") as f:
        written = 0
        block = line * 4000
        while written < size:
            piece = block[:size - written]
            f.write(piece)
            sent.update(piece)
            written += len(piece)
    api = stack.api()
    with source.open("rb") as f:
        url = api.submit("/test/cat", f, "application/x-ndjson").headers["Location"]
    api.completed(url, 200)
    received = hashlib.sha256()
    with api.get(url + "/results", stream=True) as reply:
        assert reply.status_code == 200
        assert int(reply.headers["Content-Length"]) == size
        for piece in reply.iter_content(1 << 18):
            received.update(piece)
    assert received.digest() == sent.digest()
    middle = api.get(url + "/results", headers={"Range": f"bytes={size // 2}-{size // 2 + 99}"})
    assert middle.status_code == 206 and len(middle.content) == 100
    if not SANITIZED:
        for daemon in stack.apis:
            assert daemon.memory_peak() < 64 * MEGABYTE, f"{daemon.name}: {daemon.memory_peak() / MEGABYTE:.0f} MB"


@pytest.mark.heavy
@pytest.mark.limit(180)
def test_large_uploads_at_once_in_little_memory(make_stack):
    """More of them than there are streaming connections: they take turns."""
    stack = make_stack(types=("test.idle",), type_rows={"test.idle": {"max_input_bytes": 1 << 30, "media_types": ["*/*"]}},
                       apis=1, workers=0, api={"streams": 2})
    body = os.urandom(scaled(8, 3) * MEGABYTE)

    async def work(connection, n):
        return await connection.request("POST", "/v1/test/idle", [("Content-Type", "application/octet-stream"),
                                                                ("Prefer", "respond-async")], body)

    answers = load.run(work, list(range(24)), stack.port, 12)
    assert {a.status for a in answers} == {202}
    stored = stack.query("SELECT sum(length(data)), count(DISTINCT job_id) FROM longhaul.input_chunk")[0]
    assert stored == (24 * len(body), 24)
    if not SANITIZED:
        assert stack.apis[0].memory_peak() < 64 * MEGABYTE


@pytest.mark.heavy
@pytest.mark.limit(120)
def test_memory_does_not_grow_with_requests(make_stack):
    if SANITIZED:
        pytest.skip("the sanitizer keeps freed memory")
    stack = make_stack(types=("test.idle",), apis=1, workers=0)

    async def work(connection, n):
        made = await connection.request("POST", "/v1/test/idle", [JSON, ("Prefer", "respond-async")], b"{}" * 100)
        return (await connection.request("GET", load.path_of(made.headers["location"]))).status

    load.run(work, list(range(4000)), stack.port, 32)
    before = stack.apis[0].memory()
    load.run(work, list(range(8000)), stack.port, 32)
    assert stack.apis[0].memory() - before < 4 * MEGABYTE


def test_idle_processes_are_small(make_stack):
    if SANITIZED:
        pytest.skip("the sanitizer has memory of its own")
    stack = make_stack(types=("noop",), apis=1)
    api = stack.api()
    api.completed(api.submit("/noop").headers["Location"])

    def pss(pid):
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Pss:"))

    assert pss(stack.apis[0].pid) < 8 * MEGABYTE
    assert pss(stack.workers[0].pid) < 8 * MEGABYTE


@pytest.mark.limit(60)
def test_deep_queue_is_not_waited_for(make_stack):
    """With hours of work ahead, the wait budget can't be met: 202 at once."""
    stack = make_stack(types=("test.act",), type_rows={"test.act": {"wait_ms": 5000, "default_estimate_ms": 60000}},
                       type_settings={"test.act": {"slots": 1}}, api={"state_refresh_ms": 50}, worker={"drain_ms": 100})
    api = stack.api()
    stack.sql("SELECT count(longhaul.submit('test.act', '{\"sleep\": 60}', p_client => 'crowd')) FROM generate_series(1, 500)")

    def quick():
        begun = time.monotonic()
        reply = api.post("/test/act", b'{"sleep": 60}')
        assert reply.status_code == 202
        return time.monotonic() - begun < 1 * PATIENCE

    wait_until(quick, 20, "an answer without waiting")
