"""All changes of a client's jobs on one stream: nothing is missing, whatever happens on the way."""

import json
import signal
import threading
import time

import pytest

from harness.api import assert_problem
from harness.crowd import crowd
from harness.env import scaled, wait_until
from harness.sse import Direct, Stream

ENDED = ("Completed", "Failed", "Canceled")


def feed(stack, client, **kw):
    return Stream(stack.port, "/v1/jobs/events", client, **kw)


class Dashboard(threading.Thread):
    """What a dashboard knows: the newest document of each job, over reconnects as EventSource makes them."""

    def __init__(self, stack, client):
        super().__init__(daemon=True)
        self.stack, self.client = stack, client
        self.jobs = {}
        self.last = None
        self.streams = 0
        self.stopped = False
        self.stream = None
        self.error = None
        self.start()

    def run(self):
        try:
            while not self.stopped:
                self.stream = feed(self.stack, self.client, last=self.last)
                self.streams += 1
                self._read()
                time.sleep(0.02)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def _read(self):
        with self.stream as stream:
            assert stream.status == 200
            while not self.stopped:
                try:
                    block = stream.block(60)
                except (AssertionError, OSError):
                    return  # cut off
                if block is None:
                    return
                self.last = block.id or self.last
                if block.lines:
                    document = block.json()
                    self.jobs[document["jobId"]] = document

    def cut(self):
        """Breaks the stream."""
        stream = self.stream
        if stream is not None:
            try:
                stream.sock.shutdown(2)
            except OSError:
                pass

    def states(self):
        assert self.error is None, self.error
        return {i: d["status"] for i, d in list(self.jobs.items())}

    def stop(self):
        self.stopped = True
        self.cut()
        self.join(30)
        assert self.error is None, self.error


@pytest.fixture
def dashboard():
    made = []

    def make(stack, client):
        made.append(Dashboard(stack, client))
        return made[-1]

    yield make
    for it in made:
        it.stop()


def job_of(url):
    return url.rsplit("/", 1)[1]


def truth(stack, client):
    return dict(stack.query("SELECT id::text, status FROM longhaul.jobs WHERE client = %s", [client]))


def test_live_jobs_first_then_changes(stack):
    api, other = stack.api("feed-1"), stack.api("feed-2")
    ended = api.submit("/test/act").headers["Location"]
    api.completed(ended)
    old = api.submit("/test/idle").headers["Location"]
    foreign = other.submit("/test/idle").headers["Location"]
    with feed(stack, "feed-1") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        first = stream.block()
        assert first.retry == 2000
        assert stream.block().id, "a cursor before all else"
        event = stream.next()
        assert event.event == "status" and event.json()["jobId"] == job_of(old)
        new = api.submit("/test/act", b'{"progress": [[1, 2, "half"]], "pace": 0.6}').headers["Location"]
        other.post(foreign + "/cancel")
        seen = []
        while not seen or seen[-1]["status"] not in ENDED:
            d = stream.next().json()
            assert d["jobId"] in (job_of(new), job_of(old), job_of(ended)), "nobody else's"
            if d["jobId"] == job_of(new):
                seen.append(d)
        mine = seen
        assert mine[-1] == api.document(new)
        assert any(d.get("progress", {}).get("message") == "half" for d in mine)
        api.post(old + "/cancel")
        while (event := stream.next().json())["jobId"] != job_of(old) or event["status"] != "Canceled":
            pass


def test_head_and_refusals(stack):
    api = stack.api("feed-3")
    reply = api.head("/jobs/events")
    assert reply.status_code == 200 and reply.headers["Content-Type"] == "text/event-stream"
    assert_problem(api.post("/jobs/events"), 405, "method-not-allowed")
    assert_problem(stack.api(key="wrong").get("/jobs/events"), 401, "unauthorized")


def test_from_now_on(make_stack):
    """Without the beginning, also for who comes back; then every change."""
    stack = make_stack(apis=1, workers=0, types=("test.idle",))
    api = stack.api("c")
    crowd(stack, 300, "c", "test.idle", age="10 minutes")
    old = api.get("/jobs?limit=2").json()["jobs"]
    for job, last in zip(old, (None, "t1")):
        with Stream(stack.port, "/v1/jobs/events?from=now", "c", last=last) as stream:
            assert stream.block().retry and stream.block().id
            api.post(job["_links"]["cancel"]["href"])
            assert stream.next().json() == api.document(job["_links"]["self"]["href"])
            new = api.submit("/test/idle").headers["Location"]
            while stream.next().json()["jobId"] != job_of(new):
                pass
    assert_problem(api.get("/jobs/events?from=then"), 400, "invalid-input")


@pytest.mark.parametrize("last", ["", "nonsense", "200000001", "t", "tzz", "tfffffffffff", "t1"])
def test_any_cursor_is_fine(stack, last):
    api = stack.api("feed-4")
    url = api.submit("/test/idle").headers["Location"]
    with feed(stack, "feed-4", last=last) as stream:
        while job_of(url) != stream.next().json()["jobId"]:
            pass
    api.post(url + "/cancel")


def test_what_ended_meanwhile_is_told(stack):
    api = stack.api("feed-5")
    jobs = [api.submit("/test/idle").headers["Location"] for _ in range(3)]
    with feed(stack, "feed-5") as stream:
        last = [stream.next() for _ in jobs][-1].id
    for url in jobs:
        api.post(url + "/cancel")
    with feed(stack, "feed-5", last=last) as stream:
        states = {d["jobId"]: d["status"] for d in (stream.next().json() for _ in jobs)}
    assert states == {job_of(url): "Canceled" for url in jobs}


def test_the_heartbeat_moves_the_cursor(make_stack):
    stack = make_stack(apis=1, workers=0, types=("test.idle",), api={"events_heartbeat_ms": 50, "tick_ms": 20, "events_pace_ms": 20})
    with feed(stack, "c") as stream:
        ids = []
        while len(set(ids)) < 5:
            if (block := stream.block()).id:
                ids.append(block.id)
        assert ids == sorted(ids)


def test_put_back_and_retried(make_stack):
    """A job that goes back into the queue is a change as any other."""
    stack = make_stack(apis=1, types=("test.act",), type_rows={"test.act": {"backoff_ms": 60000, "backoff_max_ms": 60000}})
    api = stack.api("c")
    with feed(stack, "c") as stream:
        api.submit("/test/act", b'{"exit": 75}')
        seen = []
        while ("Queued", 1) not in seen:
            d = stream.next().json()
            seen.append((d["status"], d.get("attempt", 0)))


def test_many_changes_at_once(make_stack, dashboard):
    """More than one look brings: the pages bring them."""
    stack = make_stack(apis=1, workers=0, types=("test.idle",))
    here = dashboard(stack, "c")
    many = scaled(1500, 400)
    stack.sql("SELECT longhaul.submit('test.idle', '{}', p_client => 'c') FROM generate_series(1, %s)", [many])
    wait_until(lambda: len(here.jobs) == many, 30, "all to be told")
    stack.sql("SELECT longhaul.cancel_job(id, 'c') FROM longhaul.job")
    wait_until(lambda: set(here.states().values()) == {"Canceled"}, 30, "all ends to be told")


def test_a_transaction_that_stays_open(make_stack, dashboard):
    """What it did has times of long ago when it commits."""
    stack = make_stack(apis=1, workers=0, types=("test.idle",), api={"tick_ms": 50, "events_pace_ms": 50})
    early = stack.api("c").submit("/test/idle").headers["Location"]
    here = dashboard(stack, "c")
    wait_until(lambda: here.jobs, 10, "the first job")
    connection = stack.cluster.connect(stack.database)
    connection.autocommit = False
    cursor = connection.cursor()
    cursor.execute("SELECT longhaul.submit('test.idle', '{}', p_client => 'c'), longhaul.cancel_job(%s, 'c')", [job_of(early)])
    late = cursor.fetchone()[0]
    # Other transactions come and go until every time of before is further back than any look goes.
    end = time.monotonic() + 11
    while time.monotonic() < end:
        stack.sql("SELECT longhaul.submit('test.idle', '{}', p_client => 'other')")
        time.sleep(0.1)
    assert here.states() == {job_of(early): "Queued"}
    connection.commit()
    connection.close()
    wait_until(lambda: here.states() == {job_of(early): "Canceled", late: "Queued"}, 10, "what it did")


@pytest.mark.limit(120)
def test_no_gap_over_reconnects_crashes_and_drain(make_stack, dashboard):
    stack = make_stack(apis=2, types=("test.act", "test.idle"), worker={"lease_ms": 1500, "beat_ms": 200},
                       type_settings={"test.act": {"slots": 8}})
    api = stack.api("c")
    boards = [dashboard(stack, "c") for _ in range(4)]
    urls = []
    for n in range(scaled(120, 40)):
        urls.append(api.submit("/test/act" if n % 3 else "/test/idle",
                               json.dumps({"progress": [[1, 2, "x"]], "pace": 0.1, "exit": n % 7 and 0}).encode()).headers["Location"])
        boards[n % 3].cut()
        if n % 3 == 0 and n % 2:
            api.post(urls[-1] + "/cancel")
        if n == 20:
            stack.workers[0].kill()
            stack.workers[0].start()
        if n == 30:
            stack.apis[0].send(signal.SIGTERM)
            stack.apis[0].child.wait(20)
            stack.apis[0].start()
    for n, url in enumerate(urls):
        if n % 3:
            api.ended(url, 60)
    for here in boards:
        wait_until(lambda: here.states() == truth(stack, "c"), 20, "the dashboard to show how it is")
    assert boards[0].streams > 3


@pytest.mark.limit(120)
def test_over_a_crash_of_the_database(make_stack, own_cluster, dashboard):
    stack = make_stack(own_cluster, apis=1, workers=0, types=("test.idle",), api={"events_retry_ms": 50})
    api = stack.api("c")
    urls = [api.submit("/test/idle").headers["Location"] for _ in range(5)]
    here = dashboard(stack, "c")
    wait_until(lambda: len(here.jobs) == 5, 10, "the jobs")
    stack.close()
    own_cluster.stop(signal.SIGQUIT)
    with feed(stack, "c") as refused:
        assert refused.status == 200
        [only] = [b for b in iter(refused.block, None)]
        assert only.retry and refused.ended
    own_cluster.start()
    wait_until(lambda: stack.ask(1, "/readyz") == 200, 20, "the process to be back")
    for url in urls:
        assert api.post(url + "/cancel").status_code == 200
    wait_until(lambda: set(here.states().values()) == {"Canceled"}, 20, "the ends")
    assert here.streams == 1, "it outlived that"


def test_a_slow_reader_gets_the_newest_state(make_stack):
    """What it doesn't take isn't queued for it: it goes through the pages again."""
    stack = make_stack(apis=1, workers=0, types=("test.idle",), api={"events_queue": 16384, "tick_ms": 20, "events_pace_ms": 20})
    many = 900
    stack.sql("SELECT longhaul.submit('test.idle', '{}', p_client => 'c') FROM generate_series(1, %s)", [many])
    with Direct(stack.socket(1), "/v1/jobs/events", client="c") as slow, feed(stack, "c") as quick:
        slow.next()
        for _ in range(many):
            quick.next()
        stack.sql("SELECT longhaul.cancel_job(id, 'c') FROM longhaul.job")
        states = {}
        while len(states) < many:
            d = quick.next().json()
            if d["status"] == "Canceled":
                states[d["jobId"]] = d["status"]
        if stack.apis[0].memory() > 100 << 20:
            assert scaled(False, True), "its memory grows"
        slow_states = {}
        while list(slow_states.values()).count("Canceled") < many:
            d = slow.next().json()
            slow_states[d["jobId"]] = d["status"]


def test_one_statement_for_all_feeds(make_stack):
    stack = make_stack(apis=1, workers=0, types=("test.idle",), api={"tick_ms": 100})
    streams = [Direct(stack.socket(1), "/v1/jobs/events", client=f"c{n % 7}") for n in range(60)]
    for s in streams:
        s.block(), s.block()
    stack.api("c3").submit("/test/idle")
    for n, s in enumerate(streams):
        if n % 7 == 3:
            assert s.next()
    looks = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'longhaul-api' AND query LIKE '%%feed_changes%%'"
    assert stack.value(looks) <= 1
    for s in streams:
        s.close()
