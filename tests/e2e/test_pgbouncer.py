"""Behind PgBouncer in transaction mode: no session belongs to anybody for longer than a transaction."""

import json
import os
import signal
import subprocess
import threading

import psycopg2
import pytest

from harness import env
from harness.cluster import Cluster
from harness.env import PATIENCE, wait_until
from harness.pgbouncer import PgBouncer
from harness.receiver import Receiver
from harness.sse import Stream
from harness.stack import LOCAL_WEBHOOKS

SQL_TYPES = {
    "sql.same": ({"submit_path": "/sql/same", "collection": "sames", "media_types": ["*/*"], "max_input_bytes": 1 << 30},
                 {"handler": "sql", "function": "app.same", "slots": 2}),
    "sql.raise": ({"submit_path": "/sql/raise-prices", "collection": "raises"},
                  {"handler": "sql", "function": "app.raise_prices", "slots": 2}),
}
LARGE = bytes(range(256)) * 12000  # 3 MB: in chunks, over a connection of its own


@pytest.fixture
def bouncer(cluster, request):
    it = PgBouncer(cluster, request.param).start()
    yield it
    it.destroy()


@pytest.fixture(scope="module")
def restarting():
    it = Cluster().start()
    yield it
    it.destroy()


@pytest.fixture
def restarting_bouncer(restarting):
    it = PgBouncer(restarting, "none").start()
    yield it
    it.destroy()


def act(api, **do):
    return api.submit("/test/act", json.dumps(do)).headers["Location"]


def converse(stack, api):
    """What a client can say, with an answer to each."""
    quick = api.post("/test/quick", json.dumps({"stdout": "at once"}))
    assert (quick.status_code, quick.text) == (200, "at once")
    urls = [act(api, sleep=0.2, stdout=f"{n}") for n in range(8)]
    with Stream(stack.port, urls[0].removeprefix(stack.base) + "/events", client="ada") as events:
        assert events.rest()[-1].json()["status"] == "Completed"
    for n, url in enumerate(urls):
        assert api.result(url).text == f"{n}"

    long = act(api, sleep=600)
    api.until(long, "InProgress")
    assert api.post(long + "/cancel").status_code == 202
    assert api.ended(long)["status"] == "Canceled"


def move_much(stack):
    """Large inputs and results at a time, more than there are server connections."""
    got = []

    def one():
        mine = stack.api()
        reply = mine.submit("/test/cat", LARGE, "application/octet-stream")
        got.append(mine.result(reply.headers["Location"], 40).content == LARGE)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [True] * 4


def use_handlers(api):
    """Those with transactions of their own: COPY into a staging table, and a function under the job's lease."""
    lines = "".join(json.dumps({"email": f"bouncer{n}@example.com", "name": f"Name {n}"}) + "\n" for n in range(2000))
    result = api.result(api.submit("/accounts/bulk-import", lines, "application/x-ndjson").headers["Location"]).json()
    assert (result["imported"], result["rejected"]) == (2000, 0)
    raised = api.submit("/sql/raise-prices", b'{"percent": 10}').headers["Location"]
    same = api.submit("/sql/same", LARGE, "application/octet-stream").headers["Location"]
    assert api.result(raised).json() == {"raised": 1000}
    assert api.result(same).content == LARGE


def leaks(bouncer, database, user):
    """What the pool's server sessions have kept. All of them are looked at, because each is held meanwhile."""
    conns = [psycopg2.connect(bouncer.conninfo(database, user)) for _ in range(bouncer.pool_size)]
    found, pids = [], set()
    for conn in conns:
        with conn.cursor() as cur:
            cur.execute("SELECT pg_backend_pid()")
            pids.add(cur.fetchone()[0])
            cur.execute("""
                SELECT 'prepared ' || statement FROM pg_prepared_statements
                UNION ALL SELECT 'channel ' || c FROM pg_listening_channels() c
                UNION ALL SELECT 'cursor ' || name FROM pg_cursors
                UNION ALL SELECT 'lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
                UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()
                UNION ALL SELECT 'setting ' || name FROM pg_settings WHERE source = 'session' AND name NOT IN
                    ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')""")
            found += [row[0] for row in cur.fetchall()]
    assert len(pids) == bouncer.pool_size
    for conn in conns:
        conn.close()
    return found


@pytest.mark.limit(120)
@pytest.mark.parametrize("bouncer", ["direct", "none"], indirect=True)
def test_everything_through_it(bouncer, make_stack):
    """With fewer server connections than the programs have, and no state left behind in any of them."""
    stack = make_stack(entry=bouncer, more_types=SQL_TYPES, webhook=LOCAL_WEBHOOKS, start=False)
    stack.sql((env.HANDLERS / "functions.sql").read_text())
    stack.start()
    api = stack.api("ada")
    with Receiver() as hook:
        assert api.post("/webhooks", json.dumps({"url": hook.url()})).status_code == 201
        converse(stack, api)
        hook.wait(9)
    move_much(stack)
    use_handlers(api)
    for daemon in stack.daemons:
        assert daemon.stop(signal.SIGTERM, timeout=40) == 0
    for user in ("api", "worker", "importer"):
        assert leaks(bouncer, stack.database, user) == []


def all_complete(api, urls):
    for n, url in enumerate(urls):
        assert api.result(url, 60).text == f"{n}"


@pytest.mark.limit(120)
def test_restarts_and_a_lost_lease(restarting, restarting_bouncer, make_stack, tmp_path):
    """PgBouncer restarts, then the server behind it, then a worker is frozen for longer than its lease: each
    job ends once all the same."""
    lease = int(1500 * PATIENCE)
    bouncer = restarting_bouncer
    stack = make_stack(restarting, entry=bouncer, apis=1, workers=2, types=("test.act",),
                       worker={"lease_ms": lease, "beat_ms": 300, "rescue_ms": 100})
    api = stack.api()
    urls = [act(api, sleep=0.6, stdout=f"{n}") for n in range(8)]
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.lease WHERE started_at IS NOT NULL") > 0, 20, "some to run")
    bouncer.stop()
    bouncer.start()
    stack.wait_api(1)
    all_complete(api, urls)

    urls = [act(api, sleep=0.6, stdout=f"{n}") for n in range(8)]
    stack.close()
    restarting.stop()
    restarting.start()
    stack.wait_api(1)
    wait_until(lambda: api.get(urls[0]).status_code == 200, 30, "polls to be answered")
    all_complete(api, urls)
    assert {api.document(url)["attempt"] for url in urls} == {1}

    go = tmp_path / "go"
    urls = [act(api, until=str(go), stdout=f"{n}") for n in range(12)]
    wait_until(lambda: stack.value("SELECT count(DISTINCT boot) FROM longhaul.lease WHERE started_at IS NOT NULL") == 2, 20,
               "both to work")
    stack.workers[0].send(signal.SIGSTOP)
    go.touch()
    all_complete(api, urls)
    stack.workers[0].send(signal.SIGCONT)
    wait_until(lambda: "the lease is lost" in stack.workers[0].text(), 30, "the frozen one to learn of it")
    assert stack.value("SELECT count(*) FROM longhaul.lease") == 0


def test_a_bouncer_that_nobody_was_told_of(make_stack):
    """LISTEN would stay behind in a session that belongs to nobody: without prepared statements it must be said
    where to listen."""
    stack = make_stack(apis=1, workers=0, types=(), database={"prepared": False}, start=False)
    for program in ("longhaul-api", "longhaul-worker"):
        done = subprocess.run([env.BIN / program, "-t", "-o", "database.prepared=no", "-c", os.devnull],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "database.listen_conninfo: with prepared=no it must be said" in done.stderr
    assert stack.apis[0].start().child.wait(20 * PATIENCE) == 2
