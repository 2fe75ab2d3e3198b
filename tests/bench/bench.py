"""Measures longhaul beside limits taken in the same run, on the stack of the end-to-end tests.

Every figure is a ratio: longhaul against something that the reader knows, a few seconds apart on the same machine,
with default durability. Rounds are interleaved and the median is printed.
"""

import asyncio
import datetime
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import env, load  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.process import Daemon  # noqa: E402
from harness.stack import Stack  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS_EACH", "5"))
HOLD = int(os.environ.get("HOLD_SECONDS", "60"))
PARTS = os.environ.get("ONLY", "memory submit poll drain fair idle snapshot import estimates").split()

FIGURES = {}

SUBMIT_SQL = """
SELECT count(*) FROM longhaul.submit_batch(
    ARRAY[(substr(longhaul.uuid_at(clock_timestamp())::text, 1, 13) || '-7' || substr(gen_random_uuid()::text, 16))::uuid],
    ARRAY[{type}], ARRAY['bench'], ARRAY[0::smallint], ARRAY[NULL::timestamptz], ARRAY['application/json'],
    ARRAY[decode(repeat('5a', 200), 'hex')], ARRAY[200::bigint], ARRAY[NULL::text],
    ARRAY[decode(repeat('5a', 32), 'hex')], ARRAY[NULL::bigint], ARRAY[NULL::text],
    ARRAY['0123456789abcdef0123456789abcdef']);
"""

PLAIN_TABLE = """
DROP TABLE IF EXISTS plain;
CREATE TABLE plain (id uuid PRIMARY KEY, type text NOT NULL, state text NOT NULL DEFAULT 'queued',
                    created_at timestamptz NOT NULL DEFAULT now(), payload bytea NOT NULL);
"""
PLAIN_SQL = ("INSERT INTO plain (id, type, payload) VALUES (gen_random_uuid(), 'noop', '\\x" + "5a" * 200 + "');\n")

PRELOAD = """
CREATE OR REPLACE FUNCTION bench_load(p_jobs integer, p_type integer, p_clients integer DEFAULT 1) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    n CONSTANT integer := 500;
BEGIN
    FOR i IN 0 .. p_jobs / n - 1 LOOP
        PERFORM count(*) FROM longhaul.submit_batch(
            ARRAY(SELECT (substr(longhaul.uuid_at(clock_timestamp())::text, 1, 13) || '-7' ||
                          substr(gen_random_uuid()::text, 16))::uuid FROM generate_series(1, n)),
            array_fill(p_type, ARRAY[n]), ARRAY(SELECT 'bench' || mod(i * n + k, p_clients) FROM generate_series(1, n) k),
            array_fill(0::smallint, ARRAY[n]),
            array_fill(NULL::timestamptz, ARRAY[n]), array_fill('application/json'::text, ARRAY[n]),
            array_fill(decode(repeat('5a', 200), 'hex'), ARRAY[n]), array_fill(200::bigint, ARRAY[n]),
            array_fill(NULL::text, ARRAY[n]), array_fill(decode(repeat('5a', 32), 'hex'), ARRAY[n]),
            array_fill(NULL::bigint, ARRAY[n]), array_fill(NULL::text, ARRAY[n]), array_fill(NULL::text, ARRAY[n]),
            p_last => array_fill(longhaul.take_turns(p_type, 0::smallint, 'bench', ceil(n::float / p_clients)::integer), ARRAY[n]),
            p_turn => ARRAY(SELECT 1 + (k - 1) / p_clients FROM generate_series(1, n) k));
    END LOOP;
END
$$;
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def note(name, value):
    FIGURES.setdefault(name, []).append(value)
    say(f"  {name}: {value:,.4g}")


def median(name):
    return statistics.median(FIGURES[name]) if name in FIGURES else None


def settle(stack):
    """What a measurement left behind must not be paid for by the next one."""
    stack.sql("CHECKPOINT")


# ---- tools ----------------------------------------------------------------------------------------


def wrk(stack, script, path, clients, **environ):
    out = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{SECONDS}s", "--latency", "--timeout", "10s", "-s", HERE / script,
         path if path.startswith("http") else stack.base + path],
        env={**os.environ, "BENCH_LUA": str(HERE), **environ}, capture_output=True, text=True, check=True).stdout
    found = json.loads(next(line for line in out.splitlines() if line.startswith("JSON "))[5:])
    if found["errors"]:
        say(f"  {script} {path}: {found['errors']} errors")
    return found


def pgbench(stack, script, clients):
    path = stack.folder / "bench.sql"
    path.write_text(script)
    out = subprocess.run(
        [env.pg_bin() / "pgbench", "-n", "-M", "prepared", "-f", path, "-c", str(clients), "-j", "2", "-T", str(SECONDS)],
        env={**os.environ, **stack.cluster.environ(stack.database)}, capture_output=True, text=True, check=True).stdout
    return float(next(line for line in out.splitlines() if line.startswith("tps = ")).split()[2])


def proportional_memory(pids):
    """PSS in MB of these processes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total / 1024


class Constant:
    """libfcgi and nginx answering a constant, with the same nginx settings."""

    def __init__(self, stack):
        program = stack.folder / "fcgi_constant"
        subprocess.run(["cc", "-O2", "-o", program, HERE / "fcgi_constant.c", "-lfcgi", "-lpthread"], check=True)
        self.daemons = []
        sockets = [stack.folder / f"constant-{n}.sock" for n in (1, 2)]
        for n, path in enumerate(sockets):
            self.daemons.append(Daemon(f"constant-{n}", [program, path, "64"], stack.folder / "constant.log").start())
        from harness.nginx import Nginx
        self.nginx = Nginx(stack.folder / "nginx-constant", [f"unix:{s}" for s in sockets])
        env.wait_until(lambda: all(p.exists() for p in sockets), 10, "the constant")
        self.nginx.start()
        self.url = f"http://127.0.0.1:{self.nginx.port}"

    def stop(self):
        self.nginx.stop()
        for daemon in self.daemons:
            daemon.kill()


# ---- parts ----------------------------------------------------------------------------------------


def memory(stack):
    """Idle, a while after the start."""
    api = stack.api("bench")
    assert api.get("/readyz").status_code == 200
    worker = stack.workers[0].start()
    env.wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.worker WHERE stopped_at IS NULL") > 0, 10, "a worker")
    time.sleep(2)
    note("api.mb", proportional_memory([stack.apis[0].pid]))
    note("worker.mb", proportional_memory([worker.pid, *worker.children()]))
    worker.stop()


def submit(stack, type_id):
    for clients in (32, 64, 256):
        stack.sql(PLAIN_TABLE)
        settle(stack)
        found = wrk(stack, "post.lua", "/v1/noop", clients)
        note(f"submit.{clients}", found["rate"])
        note(f"submit.{clients}.p99", found["p99"])
        settle(stack)
        note(f"function.{clients}", pgbench(stack, SUBMIT_SQL.format(type=type_id), min(clients, 64)))
        if clients < 256:
            settle(stack)
            note(f"insert.{clients}", pgbench(stack, PLAIN_SQL, clients))


def poll(stack, constant):
    paths = stack.folder / "paths"
    rows = stack.query("SELECT id FROM longhaul.job WHERE client = 'tester' ORDER BY id DESC LIMIT 1000")
    if not rows:
        api = stack.api()
        for _ in range(200):
            api.submit("/noop")
        rows = stack.query("SELECT id FROM longhaul.job WHERE client = 'tester' ORDER BY id DESC LIMIT 1000")
    paths.write_text("".join(f"/v1/noops/{row[0]}\n" for row in rows))
    found = wrk(stack, "poll.lua", "/", 64, POLL_PATHS=str(paths))
    note("poll", found["rate"])
    note("poll.p99", found["p99"])
    found = wrk(stack, "poll.lua", constant.url, 64, POLL_PATHS=str(paths))
    note("constant", found["rate"])


def empty(stack):
    """No job waits or runs."""
    stack.sql("TRUNCATE longhaul.ready, longhaul.lease, longhaul.delayed, longhaul.job, longhaul.outcome")


class Counter:
    """Jobs finished, as the workers write it to COUNT_FILE."""

    def __init__(self, stack):
        self.path = stack.folder / "count"
        for old in stack.folder.glob("count.*"):
            old.unlink()

    def value(self):
        total = 0
        for path in self.path.parent.glob("count.*"):
            if not path.suffix[1:].isdigit():
                continue  # being written
            try:
                total += int(path.read_text() or 0)
            except (OSError, ValueError):
                pass
        return total


def start_workers(stack, count):
    counter = Counter(stack)
    for worker in stack.workers[:count]:
        worker.environ["COUNT_FILE"] = str(counter.path)
        worker.start()
    return counter


def stop_workers(stack):
    for worker in stack.workers:
        if worker.alive():
            worker.stop()


def drain_once(stack, type_id, name, jobs=100000, workers=1, clients=1, meanwhile=None):
    """How fast a backlog is worked off."""
    empty(stack)
    stack.sql("SELECT bench_load(%s, %s, %s)", [jobs, type_id, clients])
    stack.sql("VACUUM ANALYZE longhaul.ready")
    settle(stack)
    counter = start_workers(stack, workers)
    env.wait_until(lambda: counter.value() > 0, 30, "the first job", every=0.002)
    first, begun = counter.value(), time.monotonic()
    if meanwhile:
        meanwhile(counter)
    env.wait_until(lambda: counter.value() >= jobs, 120, "the last job", every=0.005)
    note(name, (jobs - first) / (time.monotonic() - begun))
    ended = stack.value("SELECT count(*) FROM longhaul.outcome o JOIN longhaul.job j ON j.id = o.job_id "
                        "WHERE o.status = 3 AND j.client <> 'tester'")
    assert ended == jobs, f"{ended} jobs ended of {jobs}"
    stop_workers(stack)


def drain(stack, type_id):
    for workers in (1, 2):
        drain_once(stack, type_id, f"drain.{workers}", workers=workers)
    stack.sql(PLAIN_TABLE)
    settle(stack)
    note("insert.drain", pgbench(stack, PLAIN_SQL, 64))


def fair(stack, type_id, jobs=100000):
    """What turns and limits cost; and what a client with single jobs notices of another's backlog."""
    import http.client
    seconds, ahead = [], []

    def singles(counter):
        connection = http.client.HTTPConnection("127.0.0.1", stack.port)
        while counter.value() < jobs * 0.9 and len(seconds) < 200:
            done, begun = counter.value(), time.perf_counter()
            connection.request("POST", "/v1/noop", b"{}", {"Content-Type": "application/json", "Prefer": "wait=10"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            seconds.append(time.perf_counter() - begun)
            ahead.append(counter.value() - done)
            time.sleep(0.01)

    drain_once(stack, type_id, "fair.1", jobs)
    drain_once(stack, type_id, "fair.1000", jobs, clients=1000)
    drain_once(stack, type_id, "fair.flood", jobs, meanwhile=singles)
    if seconds:
        note("fair.single", statistics.median(seconds) * 1000)
        note("fair.ahead", statistics.median(ahead))
    try:
        stack.sql("UPDATE longhaul.job_type SET max_running = 1000 WHERE type_id = %s", [type_id])
        drain_once(stack, type_id, "fair.max_running", jobs // 4)
        stack.sql("UPDATE longhaul.job_type SET max_running = NULL, rate_limit = 1000000 WHERE type_id = %s", [type_id])
        drain_once(stack, type_id, "fair.rate_limit", jobs // 4)
    finally:
        stack.sql("UPDATE longhaul.job_type SET max_running = NULL, rate_limit = NULL WHERE type_id = %s", [type_id])


def idle(stack, tries=200):
    """POST to the 200 with the result, one at a time, nothing else going on."""
    import http.client
    empty(stack)
    start_workers(stack, 1)
    connection = http.client.HTTPConnection("127.0.0.1", stack.port)
    seconds, late = [], 0
    for n in range(tries + 20):
        time.sleep(random.uniform(0.005, 0.03))
        begun = time.perf_counter()
        connection.request("POST", "/v1/noop", b'{"a":1}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if n >= 20:
            seconds.append(time.perf_counter() - begun)
            late += answer.status != 200
    stop_workers(stack)
    note("idle.p50", statistics.median(seconds) * 1000)
    note("idle.p99", sorted(seconds)[int(len(seconds) * 0.99)] * 1000)
    note("idle.late", late)


def snapshot(stack, type_id, backlog=5000):
    """Drain rate under a constant backlog, the last ten seconds of a minute, with and without an old snapshot."""
    for held in (False, True):
        empty(stack)
        stack.sql("VACUUM longhaul.ready, longhaul.lease")
        counter = start_workers(stack, 1)
        stopping = threading.Event()
        loaded = [0]

        def feed():
            connection = stack.cluster.connect(stack.database)
            with connection.cursor() as cursor:
                while not stopping.is_set():
                    if loaded[0] - counter.value() < backlog:
                        cursor.execute("SELECT bench_load(1000, %s)", [type_id])
                        loaded[0] += 1000
                    else:
                        time.sleep(0.002)
            connection.close()

        reader = stack.cluster.connect(stack.database)
        reader.autocommit = False
        feeder = threading.Thread(target=feed)
        feeder.start()
        time.sleep(2)
        if held:
            with reader.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("SELECT count(*) FROM longhaul.ready")
        time.sleep(HOLD - 10)
        begun, done = time.monotonic(), counter.value()
        time.sleep(10)
        note("snapshot.held" if held else "snapshot.free", (counter.value() - done) / (time.monotonic() - begun))
        stopping.set()
        feeder.join()
        reader.close()
        stop_workers(stack)


def accounts(path, rows):
    with open(path, "w") as out:
        for n in range(rows):
            out.write(json.dumps({"email": f"user{n}@example.com", "name": f"User Number {n}", "externalId": f"x-{n}",
                                  "department": f"d{n % 17}"}) + "\n")


def bulk_import(stack, rows=100000):
    """From the POST to Completed, against psql's \\copy of the same accounts into the same kind of table."""
    empty(stack)
    stack.sql("TRUNCATE longhaul.account")
    source = stack.folder / "accounts.ndjson"
    table = stack.folder / "accounts.tsv"
    accounts(source, rows)
    with open(table, "w") as out:
        for n in range(rows):
            out.write(f"user{n}@example.com\tUser Number {n}\tx-{n}\t" + json.dumps({"department": f"d{n % 17}"})
                      + "\t00000000-0000-0000-0000-000000000000\n")
    stack.sql("DROP TABLE IF EXISTS copied; CREATE TABLE copied (LIKE longhaul.account INCLUDING ALL)")
    start_workers(stack, 1)
    api = stack.api("bench")
    api.submit("/accounts/bulk-import", b'{"email":"first@example.com","name":"First"}\n', media="application/x-ndjson")
    settle(stack)
    begun = time.monotonic()
    reply = api.submit("/accounts/bulk-import", source.read_bytes(), media="application/x-ndjson")
    api.completed(reply.headers["Location"], timeout=60)
    note("import.s", time.monotonic() - begun)
    assert stack.value("SELECT count(*) FROM longhaul.account") == rows + 1
    stop_workers(stack)
    settle(stack)
    begun = time.monotonic()
    subprocess.run(["psql", "-qX", "-c", f"\\copy copied (email, name, external_id, extra, imported_by) from '{table}'"],
                   env={**os.environ, **stack.cluster.environ(stack.database)}, check=True)
    note("copy.s", time.monotonic() - begun)


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Obedient:
    """A client that polls exactly when it is told to; what it saw on the way."""

    def __init__(self, seconds, with_progress):
        # Three sizes of input for as many lengths of jobs, give or take a fifth.
        size = random.choice((1, 2, 4))
        self.takes = seconds * size * random.lognormvariate(0, 0.2)
        steps = 40 if with_progress else 0
        self.body = {"pad": "x" * (1000 * size), "stdout": "done"}
        if steps:
            self.body |= {"progress": [[n + 1, steps] for n in range(steps)], "pace": self.takes / steps}
        else:
            self.body["sleep"] = self.takes
        self.begins = random.uniform(0, 12 * seconds)
        self.polls = 0
        self.at_quarter = None

    async def run(self, connection):
        await asyncio.sleep(self.begins)
        body = json.dumps(self.body).encode()
        answer = await connection.request("POST", "/v1/test/act", [
            ("Content-Type", "application/json"), ("Prefer", "respond-async"), ("X-Test-Client", "bench")], body)
        path, doc = load.path_of(answer.headers["location"]), answer.json()
        while "completionTime" not in doc:
            await asyncio.sleep(max(0, instant(doc["suggestedNextPollTime"]) - time.time()))
            self.polls += 1
            doc = (await connection.request("GET", path, [("X-Test-Client", "bench")])).json()
            known = time.time()
            if self.at_quarter is None and doc.get("percentComplete", 0) >= 25 and "estimatedCompletionTime" in doc:
                self.at_quarter = instant(doc["estimatedCompletionTime"])
        ended, began = instant(doc["completionTime"]), instant(doc["startedTime"])
        self.late = max(0, known - ended) / (ended - instant(doc["createdTime"]))
        if self.at_quarter is not None:
            self.error = abs(self.at_quarter - ended) / (ended - began)


def estimates(cluster, jobs=150, seconds=2.5):
    """A mixed workload of clients that obey suggestedNextPollTime: how good the estimates are, how many polls a job
    costs and how late its end is seen. Jobs take 2.5 to 10 s; half of them report progress."""
    stack = Stack(cluster, types=("test.act",), worker={"history_ms": 1000, "progress_ms": 250, "beat_ms": 2000},
                  api={"history_refresh_ms": 1000}, type_settings={"test.act": {"slots": 64}})
    try:
        stack.start()
        random.seed(1)
        clients = [Obedient(seconds, n % 2 == 0) for n in range(jobs)]
        load.run(lambda connection, client: client.run(connection), clients, stack.port, jobs)
        known = [c for c in clients if hasattr(c, "error")]
        note("estimate.error", 100 * statistics.median(c.error for c in known))
        note("estimate.polls", statistics.mean(c.polls for c in clients))
        note("estimate.late", 100 * statistics.median(c.late for c in clients))
        note("estimate.late.mean", 100 * statistics.mean(c.late for c in clients))
    finally:
        for complaint in stack.stop():
            say(complaint)


# ---- the table ------------------------------------------------------------------------------------

ROWS = [
    # what, its unit, figure, limit, name of the limit, how they compare, aim
    ("submit, 32 clients", "/s", "submit.32", "function.32", "pgbench, the submit function singly", "more", None),
    ("submit, 64 clients", "/s", "submit.64", "function.64", "pgbench, the submit function singly", "more", 3.0),
    ("submit, 64 clients", "/s", "submit.64", "insert.64", "pgbench, a plain INSERT", "more", None),
    # pgbench is at its best with fewer clients: that is the limit.
    ("submit, 256 clients", "/s", "submit.256", "insert.64", "pgbench, a plain INSERT, 64 clients", "more", 1.0),
    ("poll, 64 clients", "/s", "poll", "constant", "libfcgi answering a constant", "more", 0.8),
    ("drain, 1 worker", "jobs/s", "drain.1", "insert.drain", "pgbench, a plain INSERT", "more", 2.0),
    ("drain, 2 workers", "jobs/s", "drain.2", "insert.drain", "pgbench, a plain INSERT", "more", None),
    ("drain, 1,000 clients in turn", "jobs/s", "fair.1000", "fair.1", "one client", "more", None),
    ("drain, max_running set", "jobs/s", "fair.max_running", "fair.1", "no limit", "more", None),
    ("drain, rate_limit set", "jobs/s", "fair.rate_limit", "fair.1", "no limit", "more", None),
    ("drain, a snapshot held", "jobs/s", "snapshot.held", "snapshot.free", "the same without", "more", 0.8),
    ("bulk import of 100,000", "s", "import.s", "copy.s", "psql \\copy", "less", 0.5),
]
ABSOLUTE = [
    ("POST to 200 with the result, idle, p50", "ms", "idle.p50", 4.0),
    ("POST to 200 with the result, idle, p99", "ms", "idle.p99", None),
    ("POST to 200 while another client's 100,000 wait, p50", "ms", "fair.single", None),
    ("jobs of that one that end meanwhile, p50", "", "fair.ahead", None),
    ("submit, 64 clients, p99", "ms", "submit.64.p99", None),
    ("submit, 256 clients, p99", "ms", "submit.256.p99", None),
    ("poll, 64 clients, p99", "ms", "poll.p99", None),
    ("API process, idle, PSS", "MB", "api.mb", 8.0),
    ("worker with its runners, idle, PSS", "MB", "worker.mb", 8.0),
    ("estimated end at 25 % progress, median error, of the job's duration", "%", "estimate.error", None),
    ("polls a job, by clients that obey", "", "estimate.polls", 6.0),
    ("end seen late, median, of the job's duration", "%", "estimate.late", 5.0),
    ("end seen late, mean, of the job's duration", "%", "estimate.late.mean", None),
]


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def table():
    print("| what | longhaul | limit | ratio | aim |")
    print("|---|---:|---:|---:|---:|")
    for what, unit, figure, limit, name, sense, aim in ROWS:
        ours, theirs = median(figure), median(limit)
        if ours is None or theirs is None:
            continue
        ratio = ours / theirs if sense == "more" else theirs / ours
        print(f"| {what} | {number(ours)} {unit} | {number(theirs)} {unit} ({name}) | {ratio:.2f} | "
              f"{'≥ %.1f' % aim if aim else ''} |")
    for what, unit, figure, aim in ABSOLUTE:
        if median(figure) is not None:
            print(f"| {what} | {number(median(figure))} {unit} | | | {'≤ %g' % aim if aim else ''} |")


def main():
    cluster = Cluster(fsync=True, settings="shared_buffers = 512MB\nmax_wal_size = 8GB\ncheckpoint_timeout = 30min\n").start()
    # Workers are started by the parts that need them.
    stack = Stack(cluster, workers=2, types=("noop", "accounts.bulk-import"),
                  worker={"lease_ms": 30000, "beat_ms": 2000, "poll_ms": 1000, "look_back_ms": 1000, "progress_ms": 250})
    constant = None
    try:
        for daemon in stack.apis:
            daemon.start()
        stack.nginx.start()
        env.wait_until(lambda: all(stack.api().get("/readyz").status_code == 200 for _ in range(4)), 20, "the API")
        stack.sql(PRELOAD)
        type_id = stack.value("SELECT type_id FROM longhaul.job_type WHERE name = 'noop'")
        if "poll" in PARTS:
            constant = Constant(stack)
        if "memory" in PARTS:
            memory(stack)
        for turn in range(ROUNDS):
            say(f"round {turn + 1} of {ROUNDS}")
            if "submit" in PARTS:
                empty(stack)
                submit(stack, type_id)
            if "poll" in PARTS:
                poll(stack, constant)
            if "drain" in PARTS:
                drain(stack, type_id)
            if "fair" in PARTS:
                fair(stack, type_id)
            if "idle" in PARTS:
                idle(stack)
            if "import" in PARTS:
                bulk_import(stack)
        if "snapshot" in PARTS:
            snapshot(stack, type_id)
        if "estimates" in PARTS:
            estimates(cluster)
        table()
    finally:
        if constant:
            constant.stop()
        for complaint in stack.stop():
            say(complaint)
        cluster.destroy()


if __name__ == "__main__":
    main()
