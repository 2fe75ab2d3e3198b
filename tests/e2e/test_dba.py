"""What DBAs do by hand, with workers at work: a host's jobs are taken from it; partitions go under readers and submits."""

import signal
import threading

from harness.env import wait_until

# Nothing happens by itself within a test: what does, does because somebody was told.
PATIENT = {"lease_ms": 300000, "beat_ms": 60000, "poll_ms": 200, "look_back_ms": 200, "rescue_ms": 60000}


def as_dba(stack, statement, *args):
    """The first value of a statement of a DBA's own login role."""
    if not stack.value("SELECT count(*) FROM pg_roles WHERE rolname = 'carla'"):
        stack.sql("CREATE ROLE carla LOGIN IN ROLE longhaul_dba")
    conn = stack.cluster.connect(stack.database, "carla")
    try:
        with conn.cursor() as cur:
            cur.execute(statement, args)
            return cur.fetchone()[0]
    finally:
        conn.close()


def two_hosts(make_stack):
    stack = make_stack(apis=1, workers=2, worker=PATIENT, start=False, type_settings={"test.act": {"slots": 1}})
    for n, worker in enumerate(stack.workers):
        sections = stack.worker_sections()
        sections["worker"] = {**sections["worker"], "host": f"host{n + 1}"}
        stack._config(worker.name, sections)
    return stack.start()


def holder(stack, job):
    rows = stack.query("SELECT w.host, l.started_at IS NOT NULL FROM longhaul.lease l JOIN longhaul.worker w USING (boot) WHERE job_id = %s", [job])
    return rows[0][0] if rows and rows[0][1] else None


def test_release_a_host_that_lives(make_stack):
    stack = make_stack(apis=1, workers=1, worker=PATIENT)
    api = stack.api()
    url = api.submit("/test/act", b'{"sleep": 600, "append": "%s"}' % str(stack.folder / "began").encode()).headers["Location"]
    job = url.rsplit("/", 1)[1]
    wait_until(lambda: (stack.folder / "began").exists(), 20, "the handler to begin")
    host = wait_until(lambda: holder(stack, job), 20, "the job to run")
    first = stack.value("SELECT boot FROM longhaul.lease WHERE job_id = %s", [job])

    assert as_dba(stack, "SELECT longhaul.release_host(%s)", host) == 1
    # The daemon hears of it, lets go of everything, and begins anew under another identity.
    wait_until(lambda: "the lease is lost: the database has given it up; 1 jobs are dropped" in stack.workers[0].text(), 20,
               "the worker to let go")
    wait_until(lambda: stack.value("SELECT boot FROM longhaul.lease WHERE job_id = %s", [job]) not in (None, first), 20,
               "the job to be claimed again")
    wait_until(lambda: holder(stack, job) == host, 20, "and begun")
    assert api.document(url)["attempt"] == 1, "no attempt is burned"
    assert as_dba(stack, "SELECT longhaul.cancel_job(%s::uuid)", job) == "InProgress"
    assert api.ended(url)["status"] == "Canceled"
    assert stack.query("SELECT who, action, what FROM longhaul.audit WHERE who = 'carla' ORDER BY id") == [
        ("carla", "release_host", host), ("carla", "cancel_job", job)]


def test_release_a_frozen_host(make_stack):
    stack = two_hosts(make_stack)
    api = stack.api()
    url = api.submit("/test/act", b'{"sleep": 1, "stdout": "done"}').headers["Location"]
    job = url.rsplit("/", 1)[1]
    host = wait_until(lambda: holder(stack, job), 20, "the job to run")
    frozen = stack.workers[int(host[-1]) - 1]
    try:
        frozen.send(signal.SIGSTOP)
        assert as_dba(stack, "SELECT longhaul.release_host(%s)", host) == 1
        assert stack.query("SELECT host, state FROM longhaul.dead_hosts") == [(host, "dead")]
        api.completed(url)
        other = stack.value("SELECT host FROM longhaul.jobs WHERE id = %s", [job])
        assert other != host, "the other host has done it, long before the lease would have ended"
    finally:
        frozen.send(signal.SIGCONT)
    wait_until(lambda: "the lease is lost" in frozen.text(), 20, "the thawed worker to let go")
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.dead_hosts") == 0, 20, "it to be back")
    assert stack.value("SELECT host FROM longhaul.jobs WHERE id = %s", [job]) == other, "what it wrote was refused"
    assert api.result(url).text == "done"


def days(stack):
    return [d for d, in stack.query("SELECT day - (now() AT TIME ZONE 'UTC')::date FROM longhaul.partitions ORDER BY day")]


def test_partitions_come_and_go_under_readers(make_stack):
    """Three hosts look after the partitions at once. A report that stays open keeps them from dropping days; nothing
    queues behind them while they try, and the days to come are made."""
    stack = make_stack(apis=2, workers=3, worker={"maintain_ms": 100}, start=False)
    day = stack.value("SELECT to_char((now() AT TIME ZONE 'UTC')::date + 3, 'YYYYMMDD')")
    stack.sql("DROP TABLE " + ", ".join(f"longhaul.{p}_{day}" for p in ("job", "outcome", "input_chunk", "result_chunk")))
    stack.sql("SELECT longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date - 9, (now() AT TIME ZONE 'UTC')::date - 8)")
    report = stack.cluster.connect(stack.database)
    report.autocommit = False
    tries, over = [], threading.Event()

    def hammer():
        conn = stack.cluster.connect(stack.database)
        with conn, conn.cursor() as cur:
            while not over.is_set():
                cur.execute("SELECT longhaul.drop_partitions()")
                tries.append(cur.fetchone()[0])
        conn.close()

    thread = threading.Thread(target=hammer)
    try:
        with report.cursor() as cur:
            # A drop locks the parents in the order of their names: with the last one held, it waits with the others in hand.
            cur.execute("SELECT count(*) FROM longhaul.result_chunk WHERE job_id = '00000000-0000-7000-8000-000000000000'")
        stack.start()
        api = stack.api()
        thread.start()
        done = 0
        while done < 40 or len(tries) < 20:
            # A 503 promises that nothing was accepted: on a slow machine a submit may meet its own limit.
            reply = wait_until(lambda: (r := api.post("/noop", b"x" * 100)).status_code in (200, 202) and r, 20,
                               "a submit to be accepted")
            api.completed(reply.headers["Location"])
            done += 1
        assert thread.is_alive() and set(tries) == {0}, "nobody drops a day under the report"
        wait_until(lambda: days(stack) == [-9, -8, -1, 0, 1, 2, 3], 20, "the day to come to be made")
    finally:
        over.set()
        report.rollback()
        if thread.ident:
            thread.join()
    wait_until(lambda: days(stack) == [-1, 0, 1, 2, 3], 20, "the old days to go")
    report.close()
    for worker in stack.workers:
        assert "sqlstate=" not in worker.text(), "what can't be locked is no error"
