"""Server-sent events of a job: what a stream shows, when it ends, and what it survives."""

import json
import signal
import subprocess
import time

import pytest

from harness import fcgi, load, sse
from harness.api import assert_problem
from harness.env import SANITIZED, scaled, wait_until
from harness.sse import Direct, Stream

UNKNOWN = "01a2087d-d650-728c-97f1-bca0dc1c81f9"


def client_of(api):
    return api.session.headers["X-Test-Client"]


def path_of(url):
    return load.path_of(url) + "/events"


def watch(stack, api, url, **kw):
    return Stream(stack.port, path_of(url), client_of(api), **kw)


def submitted(api, path="/test/idle", data=b"{}"):
    return api.submit(path, data).headers["Location"]


def progress(steps, pace=0.4, **more):
    return json.dumps({"progress": [[n + 1, steps, f"step {n + 1}"] for n in range(steps)], "pace": pace, **more}).encode()


def etag_version(etag):
    return etag[3:-1]


# ---- a whole stream ----

def test_snapshot_progress_end(stack, api):
    url = submitted(api, "/test/act", progress(3, stdout="done"))
    assert api.document(url)["_links"]["events"]["href"] == url + "/events"
    with watch(stack, api, url) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert "content-encoding" not in stream.headers
        first = stream.block()
        assert first.retry == 2000 and not first.lines
        events = stream.rest(30)
        assert stream.ended, "and then it ends by itself"
    assert {e.event for e in events} == {"status"}
    documents = [e.json() for e in events]
    assert documents[0]["status"] in ("Queued", "InProgress")
    assert [d["progress"]["done"] for d in documents if d["status"] == "InProgress" and "progress" in d][-1] == 3
    assert documents[-1]["status"] == "Completed" and documents[-1]["_links"]["results"]
    assert [d["status"] for d in documents].count("Completed") == 1
    assert "events" not in documents[-1]["_links"]
    versions = [int(e.id, 16) for e in events]
    assert versions == sorted(set(versions)), "each change once, in order"
    assert events[-1].id == etag_version(api.get(url).headers["ETag"]), "one version for all ways"
    assert documents[-1] == api.document(url)


def test_the_job_url_with_accept(stack, api):
    url = submitted(api, "/test/act")
    api.completed(url)
    with Stream(stack.port, load.path_of(url), client_of(api)) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert "accept" in stream.headers["vary"].lower()
        assert [e.json()["status"] for e in stream.rest()] == ["Completed"]
    reply = api.get(url, headers={"Accept": "application/json, text/event-stream;q=0.5"})
    assert reply.headers["Content-Type"] == "application/json"
    assert "accept" in reply.headers["Vary"].lower()


def test_curl_shows_it_as_it_comes(stack, api):
    url = submitted(api, "/test/act", progress(2, 0.2))
    done = subprocess.run(["curl", "-sN", "-H", f"X-Test-Client: {client_of(api)}", url + "/events"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stdout.startswith("retry: 2000\n\nevent: status\nid: ")
    assert '"status":"Completed"' in done.stdout.rstrip("\n").split("\n")[-1]


def test_head(stack, api):
    url = submitted(api)
    reply = api.head(url + "/events")
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "text/event-stream"
    assert api.head(f"/idles/{UNKNOWN}/events").status_code == 404


# ---- coming back ----

def test_last_event_id(stack, api):
    url = submitted(api, "/test/act")
    api.completed(url)
    with watch(stack, api, url) as stream:
        [end] = stream.rest()
    with watch(stack, api, url, last=end.id) as again:
        assert again.status == 204, "EventSource stops for good"
    for other in ("100000000", "fffffff00000000", "", "nonsense", "x" * 3000, end.id + "0"):
        with watch(stack, api, url, last=other) as again:
            assert again.status == 200, other
            assert [e.id for e in again.rest()] == [end.id]


def test_resume_in_the_middle(stack, api):
    url = submitted(api, "/test/act", progress(4, 0.3))
    with watch(stack, api, url) as stream:
        seen = stream.next()
    with watch(stack, api, url, last=seen.id) as stream:
        events = stream.rest(30)
    assert int(events[0].id, 16) >= int(seen.id, 16), "the snapshot first, whatever was seen"
    assert events[-1].json()["status"] == "Completed"


def test_retry_is_a_new_stream(stack, api):
    url = submitted(api, "/test/act", b'{"exit": 1}')
    with watch(stack, api, url) as stream:
        failed = stream.rest()[-1]
    assert failed.json()["status"] == "Failed" and failed.json()["error"]
    assert api.post(url + "/retry").status_code == 202
    with watch(stack, api, url, last=failed.id) as stream:
        assert stream.status == 200, "its last event is no longer the job's end"
        again = stream.rest()
    assert again[-1].json()["status"] == "Failed" and int(again[-1].id, 16) > int(failed.id, 16)


# ---- refusals ----

def test_refusals_stay_what_they_are(stack, api):
    url = submitted(api)
    other = stack.api("somebody-else")
    assert_problem(other.get(url + "/events"), 404, "not-found")
    assert_problem(api.get(f"/idles/{UNKNOWN}/events"), 404, "not-found")
    assert_problem(api.get("/nothing/events"), 404, "not-found")
    assert_problem(api.get(url.replace("/idles/", "/acts/") + "/events"), 404, "not-found")
    assert_problem(stack.api(key="wrong").get(url + "/events"), 401, "unauthorized")
    for method in ("POST", "DELETE"):
        reply = api.request(method, url + "/events")
        assert_problem(reply, 405, "method-not-allowed")
        assert reply.headers["Allow"] == "GET, HEAD"


# ---- what a reader doesn't see coming ----

def test_heartbeats(make_stack):
    stack = make_stack(apis=1, workers=0, types=("test.idle",), api={"events_heartbeat_ms": 60})
    api = stack.api("c")
    with watch(stack, api, submitted(api)) as stream:
        assert stream.next()
        for _ in range(3):
            beat = stream.block()
            assert beat.comments == 1 and not beat.lines and beat.id is None


def test_deleted_under_the_stream(stack, api):
    url = submitted(api)
    with watch(stack, api, url) as stream:
        stream.next()
        # A job can be deleted when it has ended, and the end is told; this one just isn't there any more.
        this = url.rsplit("/", 1)[1]
        stack.sql("WITH r AS (DELETE FROM longhaul.ready WHERE job_id = %s) DELETE FROM longhaul.job WHERE id = %s", [this, this])
        [gone] = stream.rest()
        assert stream.ended
    assert gone.event == "gone" and gone.json()["jobId"] == this
    assert api.get(url + "/events").status_code == 404


def test_canceled_by_another(stack, api):
    url = submitted(api)
    with watch(stack, api, url) as stream, watch(stack, api, url) as second:
        stream.next(), second.next()
        assert api.post(url + "/cancel").status_code == 200
        assert [e.json()["status"] for e in stream.rest()] == ["Canceled"]
        assert [e.json()["status"] for e in second.rest()] == ["Canceled"]


def test_four_a_second_at_most_and_the_last_state(make_stack):
    stack = make_stack(apis=1, types=("test.act",), api={"tick_ms": 10, "events_pace_ms": 400}, worker={"progress_ms": 10})
    api = stack.api("c")
    url = submitted(api, "/test/act", progress(40, 0.05))
    begun = time.monotonic()
    with watch(stack, api, url) as stream:
        events = stream.rest(60)
    seconds = time.monotonic() - begun
    # The first, the last, and one per 400 ms (a tenth early at most) between.
    assert len(events) <= 3 + seconds / 0.36, f"{len(events)} in {seconds:.1f} s"
    assert len(events) >= 4
    assert events[-1].json()["status"] == "Completed"


# ---- notifications are not needed ----

@pytest.mark.parametrize("settings", [{}, {"listen_conninfo": "none"}])
def test_with_and_without_notifications(make_stack, settings):
    stack = make_stack(apis=1, types=("test.act",), database=settings, api={"tick_ms": 100})
    api = stack.api("c")
    url = submitted(api, "/test/act", progress(2, 0.3))
    with watch(stack, api, url) as stream:
        assert stream.rest(30)[-1].json()["status"] == "Completed"


def test_an_end_is_told_by_notification(make_stack):
    """With a tick of a minute only that can bring it."""
    stack = make_stack(apis=1, types=("test.act",), api={"tick_ms": 60000})
    api = stack.api("c")
    url = submitted(api, "/test/act", b'{"sleep": 1}')
    with watch(stack, api, url) as stream:
        assert stream.rest(30)[-1].json()["status"] == "Completed"


# ---- readers ----

def change(stack, url, message):
    """A visible change of a job that no worker knows of."""
    stack.sql("""
        INSERT INTO longhaul.lease AS l (job_id, boot, fence, type_id, priority, gen, attempt, seq, started_at, message)
        SELECT id, id, 1, type_id, priority, 2, 1, seq, now(), %(m)s FROM longhaul.job WHERE id = %(id)s
        ON CONFLICT (job_id) DO UPDATE SET change = l.change + 1, message = %(m)s""",
              {"id": url.rsplit("/", 1)[1], "m": message})


def test_a_reader_that_stops_is_dropped_and_hurts_nobody(make_stack):
    stack = make_stack(apis=1, workers=0, types=("test.idle",),
                       api={"events_queue": 16384, "tick_ms": 20, "events_pace_ms": 0})
    api = stack.api("c")
    url = submitted(api)
    with Direct(stack.socket(1), path_of(url), client="c") as stalled, watch(stack, api, url) as other:
        assert stalled.next() and other.next()
        n = 0
        while "doesn't keep up" not in stack.apis[0].text():
            n += 1
            change(stack, url, f"{n} " + "x" * 6000)
            while not other.next().json()["progress"]["message"].startswith(f"{n} "):
                pass
        assert n < 200
        assert [e for e in stalled.rest() if e.id] and not stalled.ended, "cut off"
        change(stack, url, "still there")
        assert other.next().json()["progress"]["message"] == "still there"


def requests_of(stack, n):
    """Connections to process n's socket, ours excepted."""
    out = subprocess.run(["ss", "-xH", "src", str(stack.socket(n))], capture_output=True, text=True, check=True).stdout
    return sum(1 for line in out.splitlines() if " ESTAB " in line)


def test_a_client_that_leaves_is_noticed(make_stack):
    stack = make_stack(apis=1, workers=0, types=("test.idle",))
    api = stack.api("c")
    api.document(url := submitted(api))
    before = requests_of(stack, 1)
    streams = [watch(stack, api, url) for _ in range(10)]
    assert all(s.next() for s in streams)
    assert requests_of(stack, 1) >= 10
    for s in streams:
        s.close()
    wait_until(lambda: requests_of(stack, 1) <= before, 10, "the connections to be closed")


# ---- drain, overload, outage ----

def come_back(stream, most, least=1):
    [only] = [b for b in iter(stream.block, None)]
    assert only.retry is not None and least <= only.retry <= most and not only.lines
    assert stream.ended


def test_drain_sends_clients_elsewhere(make_stack):
    stack = make_stack(apis=2, types=("test.act",), api={"events_drain_ms": 300})
    api = stack.api("c")
    url = submitted(api, "/test/act", b'{"sleep": 2}')
    streams = [Direct(stack.socket(1), path_of(url), client="c") for _ in range(20)]
    last = [s.next().id for s in streams]
    stack.apis[0].send(signal.SIGTERM)
    for s in streams:
        rest = [b for b in iter(s.block, None)]
        assert s.ended, "not cut off"
        assert 1 <= rest[-1].retry <= 300
    assert stack.apis[0].child.wait(20) == 0
    again = [watch(stack, api, url, last=i) for i in last]
    assert [s.rest()[-1].json()["status"] for s in again] == ["Completed"] * 20


def test_overload_is_no_reason_to_give_up(make_stack):
    stack = make_stack(apis=1, workers=0, types=("test.idle",), api={"max_requests": 3, "events_retry_ms": 400})
    api = stack.api("c")
    url = submitted(api)
    held = [watch(stack, api, url) for _ in range(3)]
    assert all(s.next() for s in held)
    with watch(stack, api, url) as refused:
        assert refused.status == 200 and refused.headers["content-type"] == "text/event-stream"
        come_back(refused, 600, 200)
    with Stream(stack.port, load.path_of(url), "c") as refused:
        come_back(refused, 600, 200)
    assert_problem(api.get(url), 503, "unavailable")
    for s in held:
        s.close()
    wait_until(lambda: api.get(url).status_code == 200, 10, "room")


@pytest.mark.limit(120)
def test_a_stream_outlives_the_database(make_stack, own_cluster):
    stack = make_stack(own_cluster, apis=1, types=("test.act",), api={"events_heartbeat_ms": 100, "events_retry_ms": 100})
    stack.add_key("keyed", "key-1")
    api = stack.api("c")
    url = submitted(api, "/test/act", b'{"sleep": 3}')
    with watch(stack, api, url) as stream:
        assert stream.next()
        own_cluster.stop()
        with watch(stack, api, url) as refused:
            assert refused.status == 200
            come_back(refused, 150, 50)
        with Stream(stack.port, path_of(url), headers=[("Authorization", "Bearer key-1")]) as refused:
            assert refused.status == 200, "the key can't be checked"
            come_back(refused, 150, 50)
        for _ in range(3):
            assert stream.block().comments
        own_cluster.start()
        assert stream.rest(60)[-1].json()["status"] == "Completed"


def test_before_the_types_are_known(make_stack, own_cluster):
    stack = make_stack(own_cluster, apis=1, workers=0, types=("test.idle",), start=False)
    own_cluster.stop(signal.SIGQUIT)
    stack.apis[0].start()
    wait_until(lambda: stack.ask(1, "/healthz") == 200, 20, "the process to answer")
    with Direct(stack.socket(1), f"/v1/idles/{UNKNOWN}/events") as stream:
        assert stream.status == 200
        come_back(stream, 3000)
    assert fcgi.ask(stack.socket(1), fcgi.whole("GET", f"/v1/idles/{UNKNOWN}"))[0] == 503
    own_cluster.start()


# ---- numbers ----

@pytest.mark.heavy
@pytest.mark.limit(240)
def test_five_thousand_streams_on_one_process(make_stack):
    """On 2,500 jobs: small in memory, and one statement a tick, however many there are."""
    many = scaled(5000, 500)
    stack = make_stack(apis=1, workers=0, types=("test.idle",))
    stack.sql("ALTER SYSTEM SET track_functions = 'pl'")
    stack.sql("SELECT pg_reload_conf()")
    ids = [row[0] for row in stack.query(
        "SELECT longhaul.submit('test.idle', '{}', p_client => 'c')::text FROM generate_series(1, %s)", [many // 2])]
    streams = [Direct(stack.socket(1), f"/v1/idles/{ids[n % len(ids)]}/events", client="c") for n in range(many)]
    for s in streams:
        assert s.next().json()["status"] == "Queued"
    if not SANITIZED:
        assert stack.apis[0].memory_peak() < 200 << 20

    def ticks():
        return stack.value("SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname = 'changed_batch'")

    def registered():
        return stack.value("SELECT count(*) FROM longhaul.waiter") == len(ids)

    wait_until(registered, 30, "all jobs to be registered")
    # Whatever the load does to their pace: far fewer statements than jobs, and no more than four a second.
    begun, before = time.monotonic(), ticks()
    wait_until(lambda: ticks() - before >= 4, 30, "some ticks")
    assert ticks() - before <= 4 * (time.monotonic() - begun) + 6
    for i in ids[::7]:
        assert stack.value("SELECT longhaul.cancel_job(%s, 'c')", [i]) == 1
    canceled = set(ids[::7])
    for n, s in enumerate(streams):
        if ids[n % len(ids)] in canceled:
            assert [e.json()["status"] for e in s.rest(60)] == ["Canceled"]
        s.close()
    wait_until(lambda: requests_of(stack, 1) <= 130, 30, "the connections to be closed")


# ---- through nginx ----

def test_all_processes_down_then_up(make_stack):
    """nginx's own errors don't end an event stream for good; for everything else they stay what they are."""
    stack = make_stack(apis=2, types=("test.act",))
    api = stack.api("c")
    url = submitted(api, "/test/act", b'{"sleep": 2}')
    for daemon in stack.apis:
        daemon.kill()
    assert_problem(api.get(url), 502, "outcome-unknown")
    assert_problem(api.post(url + "/events"), 502, "outcome-unknown")
    assert api.head(url + "/events").status_code == 200
    for path in (path_of(url), path_of(url) + "?x=1", load.path_of(url), "/v1/jobs/events"):
        with Stream(stack.port, path, "c") as stream:
            assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream"), path
            assert stream.headers["cache-control"] == "no-store" and "retry-after" not in stream.headers
            come_back(stream, 3200, 1600)
    with Stream(stack.port, path_of(url), "c", headers=[("Accept", "*/*")]) as stream:
        come_back(stream, 3200, 1600)
    stack.apis[1].start()
    stack.wait_api(2)
    with watch(stack, api, url) as stream:
        assert stream.rest(30)[-1].json()["status"] == "Completed"


def test_too_many_at_nginx(make_stack):
    stack = make_stack(apis=1, workers=0, types=("test.idle",),
                       nginx_edit=[("longhaul/longhaul-locations.conf", "longhaul_open 10000;", "longhaul_open 2;")])
    api = stack.api("c")
    url = submitted(api)
    with watch(stack, api, url) as first, watch(stack, api, url) as second:
        assert first.next() and second.next()
        with watch(stack, api, url) as third:
            assert third.status == 200
            come_back(third, 3200, 1600)
        assert_problem(api.get(url), 429, "rate-limited")
