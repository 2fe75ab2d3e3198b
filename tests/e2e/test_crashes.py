"""Processes killed and servers restarted under load: what was answered 202 is kept, once."""

import json
import os
import signal
import threading
from collections import Counter

import pytest

from harness.api import assert_problem
from harness.env import PATIENCE, scaled, wait_until
from harness.traffic import Load, all_ended, assert_once_each


@pytest.mark.limit(150)
def test_api_process_killed_under_load(make_stack):
    stack = make_stack(apis=2, types=("noop",))
    with Load(stack) as run:
        run.wait(scaled(500, 100))
        for n in range(6):
            victim = stack.apis[n % 2]
            victim.kill()
            run.wait(scaled(200, 30))
            victim.start()
            stack.wait_api(n % 2 + 1)
            run.wait(scaled(200, 30))
    assert run.refused == [] and run.broken == 0, (run.refused[:20], run.broken)
    assert_once_each(run)
    assert len(run.jobs_in_database()) == len(run.accepted)
    all_ended(stack, "load")


@pytest.mark.limit(120)
def test_api_process_ended_by_sigterm_under_load(make_stack):
    """A restart of the pool, one by one: nobody notices, whoever waits is answered."""
    stack = make_stack(apis=2, types=("noop", "test.idle"))
    waiting = stack.api("waiter")
    url = waiting.submit("/test/idle").headers["Location"]
    tag = waiting.get(url).headers["ETag"]
    parked = []
    polls = [threading.Thread(target=lambda: parked.append(stack.api("waiter").get(
        url, headers={"If-None-Match": tag, "Prefer": "wait=30"}))) for _ in range(8)]
    for poll in polls:
        poll.start()
    with Load(stack) as run:
        for n in range(4):
            run.wait(scaled(200, 30))
            assert stack.apis[n % 2].stop() == 0
            stack.apis[n % 2].start()
            stack.wait_api(n % 2 + 1)
    for poll in polls:
        poll.join()
    assert {r.status_code for r in parked} <= {200, 304}
    assert run.refused == [] and run.broken == 0, (run.refused[:20], run.broken)
    assert_once_each(run)


@pytest.mark.limit(180)
def test_worker_killed_amid_jobs(make_stack, tmp_path):
    """The other one finishes them, once; nothing that the dead one's children still write is accepted."""
    tmp_path.chmod(0o777)
    stack = make_stack(workers=2, worker={"lease_ms": int(3000 * PATIENCE), "beat_ms": 300}, types=("test.act", "noop"),
                       type_rows={"test.act": {"max_attempts": 5}})
    api = stack.api("victim")
    urls = [api.submit("/test/act", json.dumps({"sleep": 2, "stdout": f"{n}"})).headers["Location"] for n in range(12)]
    wait_until(lambda: stack.value("SELECT count(DISTINCT boot) FROM longhaul.lease WHERE started_at IS NOT NULL") == 2,
               20, "both workers to run jobs")
    stack.workers[0].kill()
    for n, url in enumerate(urls):
        assert api.result(url, 60).text == f"{n}"
    assert stack.value("SELECT count(*) FROM longhaul.worker WHERE dead_at IS NOT NULL") == 1
    stack.workers[0].start()
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.worker WHERE dead_at IS NULL") == 2, 20, "the first again")


@pytest.mark.heavy
@pytest.mark.limit(180)
def test_worker_killed_amid_an_import(make_stack):
    stack = make_stack(workers=2, worker={"lease_ms": int(3000 * PATIENCE), "beat_ms": 300, "progress_ms": 20},
                       types=("accounts.bulk-import",))
    api = stack.api()
    count = scaled(300000, 60000)
    data = "".join('{"email":"k%d@example.com","name":"K %d"}\n' % (n, n) for n in range(count))
    for _ in range(2):
        stack.sql("TRUNCATE longhaul.account")
        url = api.submit("/accounts/bulk-import", data, "application/x-ndjson").headers["Location"]
        wait_until(lambda: api.document(url).get("percentComplete", 0) > 0, 30, "progress")
        pid = stack.value("SELECT w.pid FROM longhaul.lease l JOIN longhaul.worker w USING (boot) WHERE l.job_id = %s",
                           [url.rsplit("/", 1)[1]])
        victim = next(w for w in stack.workers if w.pid == pid)
        victim.kill()
        api.completed(url, 90)
        assert stack.value("SELECT w.pid FROM longhaul.outcome o JOIN longhaul.worker w USING (boot) WHERE o.job_id = %s",
                           [url.rsplit("/", 1)[1]]) != pid, "another worker finished it"
        assert api.get(url + "/results").json() == {"imported": count, "updated": 0, "rejected": 0, "errors": []}
        assert stack.value("SELECT count(*) FROM longhaul.account") == count
        assert stack.value("SELECT count(*) FROM longhaul.account WHERE imported_by <> %s", [url.rsplit("/", 1)[1]]) == 0
        victim.start()
        wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.worker WHERE pid = %s", [victim.pid]) == 1, 20,
                   "the worker to be back")


@pytest.mark.limit(180)
def test_frozen_worker_has_lost_its_jobs(make_stack):
    """Stopped for longer than its lease, then let go: what it does then counts for nothing."""
    stack = make_stack(workers=2, worker={"lease_ms": int(2000 * PATIENCE), "beat_ms": 300}, types=("test.act", "noop"),
                       type_rows={"test.act": {"max_attempts": 5}})
    api = stack.api()
    urls = [api.submit("/test/act", json.dumps({"sleep": 1, "stdout": f"{n}"})).headers["Location"] for n in range(8)]
    wait_until(lambda: stack.value("SELECT count(DISTINCT boot) FROM longhaul.lease WHERE started_at IS NOT NULL") == 2,
               20, "both workers to run jobs")
    stack.workers[0].send(signal.SIGSTOP)
    try:
        for n, url in enumerate(urls):
            assert api.result(url, 60).text == f"{n}"
        tags = [api.get(u).headers["ETag"] for u in urls]
    finally:
        stack.workers[0].send(signal.SIGCONT)
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.worker WHERE dead_at IS NULL AND stopped_at IS NULL") == 2,
               30, "the frozen one to start anew")
    assert [api.get(u).headers["ETag"] for u in urls] == tags
    done = api.submit("/test/act", b'{"stdout": "more"}').headers["Location"]
    assert api.result(done).text == "more"


@pytest.mark.limit(120)
def test_worker_drains_on_sigterm(make_stack):
    """What runs may end; what hasn't begun goes back without an attempt burned."""
    stack = make_stack(worker={"drain_ms": 20000}, types=("test.act", "noop"), type_settings={"test.act": {"slots": 2}})
    api = stack.api()
    urls = [api.submit("/test/act", json.dumps({"sleep": 1.5, "stdout": f"{n}"})).headers["Location"] for n in range(8)]
    wait_until(lambda: api.document(urls[0])["status"] == "InProgress", 10, "the first to run")
    assert stack.workers[0].stop(timeout=30) == 0
    docs = [api.document(u) for u in urls]
    assert {d["status"] for d in docs} == {"Completed", "Queued"}
    assert stack.value("SELECT count(*) FROM longhaul.lease WHERE boot IS NOT NULL") == 0
    stack.workers[0].start()
    for n, url in enumerate(urls):
        assert api.completed(url, 40)["attempt"] == 1
        assert api.get(url + "/results").text == f"{n}"


@pytest.mark.limit(120)
def test_worker_that_cannot_drain_gives_jobs_back(make_stack):
    stack = make_stack(worker={"drain_ms": 300}, types=("test.act",))
    api = stack.api()
    url = api.submit("/test/act", b'{"sleep": 600}').headers["Location"]
    api.until(url, "InProgress")
    assert stack.workers[0].stop(timeout=30) == 0
    assert api.document(url)["status"] == "Queued"
    api.post(url + "/cancel")


@pytest.mark.limit(90)
def test_runner_that_dies_takes_down_one_job(make_stack):
    """Killed twice in the same job: the job is failed with a clear error; its neighbours end well."""
    stack = make_stack(worker={"beat_ms": 200}, types=("test.act", "noop"))
    api = stack.api()
    poison = api.submit("/test/act", b'{"sleep": 600}').headers["Location"]
    this = poison.rsplit("/", 1)[1]

    def runner_of_poison():
        for runner in stack.workers[0].children():
            try:
                with open(f"/proc/{runner}/task/{runner}/children") as f:
                    for child in f.read().split():
                        with open(f"/proc/{child}/environ", "rb") as e:
                            if this.encode() in e.read():
                                return runner
            except OSError:
                continue
        return None

    good = []
    for _ in range(2):
        runner = wait_until(runner_of_poison, 20, "the runner of the job")
        good.append(api.submit("/test/act", b'{"stdout": "fine"}').headers["Location"])
        os.kill(runner, signal.SIGKILL)
        wait_until(lambda: runner not in stack.workers[0].children(), 10, "the runner to be gone")
    doc = api.ended(poison, 40)
    assert doc["status"] == "Failed"
    assert doc["error"]["title"]
    for url in good:
        assert api.result(url).text == "fine"


def jobs_lost(stack, run):
    have = {r[0] for r in stack.query("SELECT id::text FROM longhaul.job WHERE client = 'load'")}
    return [u for u, _ in run.accepted if u.rsplit("/", 1)[1] not in have]


@pytest.mark.heavy
@pytest.mark.limit(240)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["fast", "immediate", "kill"])
def test_database_restarted_under_load(make_stack, own_cluster, how):
    stack = make_stack(own_cluster, types=("noop", "test.act"), worker={"lease_ms": 30000})
    api = stack.api("steady")
    running = api.submit("/test/act", b'{"sleep": 4, "stdout": "through"}').headers["Location"]
    api.until(running, "InProgress")
    with Load(stack) as run:
        run.wait(scaled(300, 60))
        stack.close()
        sessions = own_cluster.server.children()
        own_cluster.server.send(how)
        own_cluster.server.child.wait(60)
        # Sessions may outlive a killed server for a moment, and what they commit counts.
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in sessions), 20, "the last session to end")
        wait_until(lambda: 503 in run.refused or 504 in run.refused, 20, "refusals while it is away")
        wait_until(lambda: all(api.get("/readyz").status_code == 503 for _ in range(8)), 20, "each process to notice")
        reply = api.post("/noop", headers={"Prefer": "respond-async"})
        body = assert_problem(reply, 503, "unavailable")
        assert int(reply.headers["Retry-After"]) >= 1 and body["detail"]
        assert_problem(api.get(running), 503, "unavailable")
        assert api.get("/healthz").status_code == 200
        assert api.get("/readyz").status_code == 503
        own_cluster.server.start()
        own_cluster.wait_ready()
        run.wait(scaled(300, 60))
        # Submits work as soon as one connection is back; polls have another.
        wait_until(lambda: all(api.get("/readyz").status_code == 200 for _ in range(8)), 20, "each process to be back")
    assert set(run.refused) <= {503, 504}, Counter(run.refused)
    assert run.broken == 0
    assert jobs_lost(stack, run) == []
    assert_once_each(run)
    assert api.result(running, 40).text == "through"
    assert api.document(running)["attempt"] == 1, "the handler went on while the database was away"
    all_ended(stack, "load")


@pytest.mark.limit(120)
def test_a_claim_that_a_crash_has_undone(make_stack, tmp_path):
    """What a crash of the server may do to a claim, which isn't flushed: the job waits again, and the same worker
    claims it while it still runs the first claim. The second one counts, and it is the first that is ended."""
    stack = make_stack(types=("test.act",), worker={"progress_ms": 200, "poll_ms": 50, "look_back_ms": 50},
                       type_settings={"test.act": {"slots": 3}})
    api = stack.api()
    speak, end = tmp_path / "speak", tmp_path / "end"
    tmp_path.chmod(0o777)
    url = api.submit("/test/act", json.dumps({"after": str(speak), "progress": [[1, 4]], "until": str(end),
                                              "stdout": "once"})).headers["Location"]
    this = url.rsplit("/", 1)[1]
    held = "SELECT fence FROM longhaul.lease WHERE job_id = %s AND boot IS NOT NULL AND started_at IS NOT NULL"
    wait_until(lambda: stack.query(held, [this]), 20, "the job to be run")
    first = stack.value(held, [this])
    # It says nothing meanwhile: what it said would be refused, and it would be ended before the second claim.
    stack.sql("WITH l AS (DELETE FROM longhaul.lease WHERE job_id = %s RETURNING *) "
              "INSERT INTO longhaul.ready (type_id, priority, gen, attempt, seq, job_id) "
              "SELECT type_id, priority, gen - 1, attempt - 1, seq, job_id FROM l", [this])
    # A new connection for claims looks for everything; the one that asks for leases is left alone meanwhile.
    assert stack.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                       "AND application_name LIKE '%%claim'") == [(True,)]
    wait_until(lambda: stack.query(held, [this]), 20, "the job to be claimed anew")
    second = stack.value(held, [this])
    assert second != first
    speak.touch()
    lost = "the lease of a job is lost"
    wait_until(lambda: lost in stack.workers[0].text(), 20, "the first claim to be found lost")
    end.touch()
    assert api.result(url, 60).text == "once"
    assert stack.value("SELECT fence FROM longhaul.outcome WHERE job_id = %s", [this]) == second
    assert api.document(url)["attempt"] == 1
    assert stack.workers[0].text().count(lost) == 1


@pytest.mark.limit(120)
def test_connections_cut_one_by_one(make_stack):
    """An administrator ends the sessions: every program is back by itself."""
    stack = make_stack(types=("noop",))
    with Load(stack) as run:
        for _ in range(5):
            run.wait(scaled(200, 40))
            stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                      "AND pid <> pg_backend_pid()")
        run.wait(scaled(200, 40))
    assert set(run.refused) <= {503, 504}
    assert run.broken == 0
    assert jobs_lost(stack, run) == []
    assert_once_each(run)
    all_ended(stack, "load")


def test_started_before_the_database(make_stack, own_cluster):
    stack = make_stack(own_cluster, start=False, types=("noop",))
    stack.close()
    own_cluster.stop()
    for daemon in stack.daemons:
        daemon.start()
    stack.nginx.start()
    api = stack.api()
    wait_until(lambda: api.get("/healthz").status_code == 200, 10, "the API to live")
    reply = api.post("/noop")
    assert_problem(reply, 503, "unavailable")
    own_cluster.start()
    stack.wait_ready()
    api.completed(api.submit("/noop").headers["Location"])


@pytest.mark.limit(120)
@pytest.mark.parametrize("parked", [0, 20])
def test_programs_end_while_the_database_is_away(make_stack, own_cluster, parked):
    """SIGTERM ends them soon, whatever was under way or waits for the database."""
    stack = make_stack(own_cluster, types=("test.idle", "test.act"), worker={"drain_ms": 500})
    api = stack.api()
    url = api.submit("/test/idle").headers["Location"]
    tag = api.get(url).headers["ETag"]
    running = api.submit("/test/act", b'{"sleep": 600}').headers["Location"]
    api.until(running, "InProgress")
    replies = []
    threads = [threading.Thread(target=lambda n=n: replies.append(
        stack.api().get(url, headers={"If-None-Match": tag, "Prefer": "wait=50"}) if n % 2 else
        stack.api().post("/test/idle", headers={"Prefer": "wait=50"}))) for n in range(parked)]
    for thread in threads:
        thread.start()
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.ready") == 1 + parked // 2, 10, "them to be parked")
    stack.close()
    own_cluster.stop(signal.SIGKILL)
    wait_until(lambda: api.get("/readyz").status_code == 503, 10, "it to be noticed")
    for daemon in stack.daemons:
        assert daemon.stop(timeout=15) == 0, daemon.name
    for thread in threads:
        thread.join()
    # A submit that was accepted is a 202 all the same.
    assert {r.status_code for r in replies} <= {202, 304, 503}


def test_notify_lost_is_slower_not_stuck(make_stack):
    stack = make_stack(database={"listen_conninfo": "none"}, types=("noop", "test.act", "accounts.bulk-import"))
    api = stack.api()
    reply = api.post("/test/act", b'{"stdout": "polled"}', headers={"Prefer": "wait=20"})
    assert reply.status_code == 200 and reply.text == "polled"
    url = api.submit("/test/act", b'{"sleep": 30}').headers["Location"]
    api.until(url, "InProgress")
    api.post(url + "/cancel")
    api.until(url, "Canceled")


@pytest.mark.heavy
@pytest.mark.limit(180)
def test_two_workers_run_no_job_twice(make_stack, tmp_path):
    stack = make_stack(workers=2, apis=1, types=("noop",), type_settings={"noop": {"slots": 16}})
    count = scaled(20000, 3000)
    stack.sql("CREATE TABLE ends (job_id uuid, at timestamptz DEFAULT clock_timestamp());"
              "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
              "$$ BEGIN INSERT INTO public.ends (job_id) VALUES (NEW.job_id); RETURN NEW; END $$;"
              "CREATE TRIGGER note BEFORE INSERT ON longhaul.outcome FOR EACH ROW EXECUTE FUNCTION note();"
              "GRANT INSERT ON ends TO PUBLIC")
    stack.sql("SELECT count(longhaul.submit('noop', '{}', p_client => 'drain')) FROM generate_series(1, %s)", [count])
    all_ended(stack, "drain", 120)
    assert stack.value("SELECT count(*) FROM longhaul.outcome WHERE status = 3") == count
    assert stack.value("SELECT count(*) FROM ends") == count
    assert stack.value("SELECT count(DISTINCT job_id) FROM ends") == count
    assert stack.value("SELECT count(DISTINCT boot) FROM longhaul.outcome") == 2, "both had a share"
    assert stack.value("SELECT count(*) FROM longhaul.lease") == 0
