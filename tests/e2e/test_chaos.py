"""Everything at once: workers, runners and the database killed, frozen and restarted while jobs run."""

import os
import pathlib
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter

import psycopg2
import pytest

from harness import env
from harness.cluster import Cluster
from harness.env import PATIENCE, scaled, wait_until
from harness.traffic import Load, all_ended, assert_once_each

JOBS = scaled(50000, 3000)
SUBMIT_FOR = 12 * PATIENCE  # seconds
CALM_AFTER = 16 * PATIENCE  # seconds at most until nothing more is broken
LEASE_MS = int(1000 * PATIENCE)

# Most jobs take no time, a few a while.
SUBMIT = """
SELECT s.job_id::text FROM (
    SELECT array_agg(longhaul.uuid_v7()) AS ids, count(*)::integer AS n, array_agg((random() * 2)::smallint) AS priorities,
           array_agg(convert_to((CASE WHEN random() < 0.005 THEN random() * 200000 ELSE random() * 500 END)::integer::text,
                                'UTF8')) AS inputs
      FROM generate_series(1, %s)) g
  CROSS JOIN LATERAL longhaul.submit_batch(
    g.ids, array_fill((SELECT type_id FROM longhaul.job_type WHERE name = 'test.witness'), ARRAY[g.n]),
    array_fill('chaos'::text, ARRAY[g.n]), g.priorities, array_fill(NULL::timestamptz, ARRAY[g.n]),
    array_fill('text/plain'::text, ARRAY[g.n]), g.inputs, ARRAY(SELECT length(i)::bigint FROM unnest(g.inputs) i),
    array_fill(NULL::text, ARRAY[g.n]), array_fill('\\x00'::bytea, ARRAY[g.n]), array_fill(NULL::bigint, ARRAY[g.n]),
    array_fill(NULL::text, ARRAY[g.n]), array_fill(NULL::text, ARRAY[g.n])) s
 WHERE s.code = 0
"""

# Sees every end of a job and every lease that goes, in the transaction in which it happens.
AUDIT = """
CREATE TABLE ends (job_id uuid, gen integer, boot uuid, fence bigint, status smallint);
CREATE TABLE leases_gone (job_id uuid, gen integer, boot uuid, fence bigint);
CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.ends VALUES (NEW.job_id, NEW.gen, NEW.boot, NEW.fence, NEW.status); RETURN NULL; END $$;
CREATE TABLE leases_taken (job_id uuid, boot uuid, fence bigint, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION note_taken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.leases_taken VALUES (OLD.job_id, OLD.boot, OLD.fence); RETURN NULL; END $$;
CREATE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.leases_gone VALUES (OLD.job_id, OLD.gen, OLD.boot, OLD.fence); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT ON longhaul.outcome FOR EACH ROW EXECUTE FUNCTION note_end();
CREATE TRIGGER note AFTER DELETE ON longhaul.lease FOR EACH ROW EXECUTE FUNCTION note_lease();
CREATE TRIGGER taken AFTER UPDATE OF boot ON longhaul.lease FOR EACH ROW
    WHEN (OLD.boot IS NOT NULL AND NEW.boot IS DISTINCT FROM OLD.boot) EXECUTE FUNCTION note_taken();
GRANT INSERT ON ends, leases_gone, leases_taken TO PUBLIC;
"""

# What the losers of leases might still write.
STALE = """
SELECT f.code FROM (
    SELECT boot, array_agg(job_id) AS ids, array_agg(fence) AS fences, count(*)::integer AS n
      FROM (SELECT * FROM leases_taken ORDER BY at DESC LIMIT 200) t GROUP BY boot) t
  CROSS JOIN LATERAL longhaul.finish_batch(
    t.boot, t.ids, t.fences, array_fill(1::smallint, ARRAY[t.n]), array_fill(1, ARRAY[t.n]),
    array_fill('text/plain'::text, ARRAY[t.n]), array_fill('a ghost wrote this'::bytea, ARRAY[t.n]),
    array_fill(18::bigint, ARRAY[t.n]), array_fill(NULL::text, ARRAY[t.n]), array_fill(NULL::bigint, ARRAY[t.n]),
    array_fill(NULL::bigint, ARRAY[t.n]), array_fill(NULL::bigint, ARRAY[t.n]), array_fill(NULL::text, ARRAY[t.n])) f
"""


@pytest.fixture
def restarting():
    it = Cluster().start()
    yield it
    it.destroy()


@pytest.fixture
def handlers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handlers")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-I", env.ROOT / "fcgi-app" / "include", "-o", folder / "witness.so",
                    env.HANDLERS / "witness.c"], check=True)
    return folder


class Chaos:
    """What may happen to a stack, chosen by a seeded generator."""

    def __init__(self, stack, seed):
        self.stack, self.random = stack, random.Random(seed)
        self.done = Counter()
        self.frozen = {}  # worker → when it goes on
        self.stopped = []  # runners
        self.stale = Counter()  # code of finish_batch → how many
        self.database_next = time.monotonic() + 3

    def run(self, until):
        """Breaks things until the condition is met; then everything goes on and is there again."""
        acts = [(self.kill_worker, 3), (self.freeze_worker, 5), (self.restart_worker, 2), (self.hang_up, 1),
                (self.kill_runner, 2), (self.freeze_runner, 2), (self.cut_sessions, 1),
                (self.write_stale, 4)]
        while not until():
            now = time.monotonic()
            if now >= self.database_next:
                self.restart_database()
                self.database_next = time.monotonic() + self.random.uniform(4, 7)
            act = self.random.choices([a for a, _ in acts], [w for _, w in acts])[0]
            if act():
                self.done[act.__name__] += 1
            pause = now + self.random.uniform(0.1, 0.5) * PATIENCE
            wait_until(lambda: time.monotonic() >= pause or until(), 10)
            self.thaw(time.monotonic())
        self.thaw(float("inf"))

    def thaw(self, now):
        for worker, at in list(self.frozen.items()):
            if now >= at:
                worker.send(signal.SIGCONT)
                del self.frozen[worker]

    def _worker(self):
        """One that runs, not the last one."""
        free = [w for w in self.stack.workers if w not in self.frozen]
        return self.random.choice(free) if len(free) > 1 else None

    def kill_worker(self):
        worker = self._worker()
        if worker:
            worker.kill()
            worker.start()
        return worker

    def freeze_worker(self):
        """For less than its lease, or for longer: its runners go on meanwhile."""
        worker = self._worker()
        if worker:
            worker.send(signal.SIGSTOP)
            self.frozen[worker] = time.monotonic() + self.random.uniform(0.3, 2.5) * LEASE_MS / 1000
        return worker

    def restart_worker(self):
        worker = self._worker()
        if worker:
            # It may have been started a moment ago, and not have got so far as to drain.
            assert worker.stop() in (0, -signal.SIGTERM)
            worker.start()
        return worker

    def hang_up(self):
        worker = self._worker()
        if worker:
            worker.send(signal.SIGHUP)
        return worker

    def _runner(self):
        runners = [r for w in self.stack.workers if w not in self.frozen for r in w.runners()]
        return self.random.choice(runners) if runners else None

    def kill_runner(self):
        runner = self._runner()
        if runner:
            os.kill(runner, signal.SIGKILL)
        return runner

    def freeze_runner(self):
        """For good: its job's time runs out, and it is killed."""
        runner = self._runner()
        if runner:
            os.kill(runner, signal.SIGSTOP)
            self.stopped.append(runner)
        return runner

    def close(self):
        """A runner that stands still can't notice that its daemon has died."""
        for pid in self.stopped:
            try:
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "longhaul-runner":
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                continue

    def cut_sessions(self):
        try:
            self.stack.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'longhaul%%' "
                             "AND random() < 0.5")
        except psycopg2.Error:
            self.stack.close()
        return True

    def write_stale(self):
        """As a worker would that doesn't know yet that its leases were taken: the last of them, all again."""
        try:
            self.stale.update(code for code, in self.stack.query(STALE))
        except psycopg2.Error:
            self.stack.close()
        return True

    def restart_database(self):
        how = self.random.choice([signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
        self.stack.close()
        server = self.stack.cluster.server
        sessions = server.children()
        server.send(how)
        server.child.wait(60)
        wait_until(lambda: not any(pathlib.Path(f"/proc/{p}").exists() for p in sessions), 30, "the last session to end")
        away = time.monotonic() + self.random.uniform(0, 1.5) * LEASE_MS / 1000
        wait_until(lambda: time.monotonic() >= away, 10)
        self.thaw(time.monotonic())
        self.stack.cluster.start()
        self.done[f"database {how.name}"] += 1


class Submitter(threading.Thread):
    """Submits from SQL, a few hundred jobs a transaction, whatever happens to the database."""

    def __init__(self, stack, seed):
        super().__init__()
        self.stack, self.seed = stack, seed
        self.accepted = []

    def run(self):
        rng = random.Random(self.seed)
        connection = None
        begun = time.monotonic()
        while len(self.accepted) < JOBS:
            n = min(rng.randrange(200, 900), JOBS - len(self.accepted))
            try:
                if connection is None:
                    connection = self.stack.cluster.connect(self.stack.database)
                with connection.cursor() as cur:
                    cur.execute(SUBMIT, [n])
                    self.accepted += [r[0] for r in cur.fetchall()]
                    # No faster than the jobs can be run: something is to be under way while things break.
                    wait_until(lambda: len(self.accepted) < JOBS * (time.monotonic() - begun) / SUBMIT_FOR, 30)
            except psycopg2.Error:
                connection = None
                wait_until(self._is_back, 60, "the database")
        connection.close()

    def _is_back(self):
        try:
            self.stack.cluster.connect().close()
            return True
        except psycopg2.OperationalError:
            return False


def left(stack):
    """How many jobs haven't ended; None while the database can't say."""
    try:
        return stack.value("SELECT (SELECT count(*) FROM longhaul.ready) + (SELECT count(*) FROM longhaul.delayed) + "
                           "(SELECT count(*) FROM longhaul.lease WHERE boot IS NOT NULL)")
    except psycopg2.Error:
        stack.close()
        return None


def wait_for_the_rest(stack, seconds):
    """As long as it gets less. Says what is left if it doesn't."""
    least, until = None, time.monotonic() + seconds * PATIENCE
    while (now := left(stack)) != 0:
        if least is None or (now is not None and now < least):
            least, until = now, time.monotonic() + seconds * PATIENCE
        assert time.monotonic() < until, "stuck: " + str([stack.query(q) for q in (
            "SELECT type_id, priority, count(*), min(seq), max(seq), max(gen) FROM longhaul.ready GROUP BY 1, 2",
            "SELECT count(*), min(run_at - now()) FROM longhaul.delayed",
            "SELECT boot, count(*), count(started_at), max(now() - claimed_at) FROM longhaul.lease GROUP BY 1",
            "SELECT boot, pid, lease_until - now(), dead_at, stopped_at FROM longhaul.worker ORDER BY started_at DESC LIMIT 6",
            "SELECT boot, type_id, slots, running, finish_per_s, mean_ms FROM longhaul.worker_type")])
        time.sleep(0.1)


def lease_was_lost(stack):
    """On a slow machine the generator may not have come so far when its time is up."""
    return any("the lease is lost: " in w.text() for w in stack.workers)


@pytest.mark.heavy
@pytest.mark.limit(150)
def test_every_job_ends_once(make_stack, restarting, handlers):
    seed = int(os.environ.get("LONGHAUL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"seed: LONGHAUL_SEED={seed}")
    stack = make_stack(
        restarting, apis=2, workers=4, types=("noop",), type_settings={"noop": {"slots": 2}},
        more_types={"test.witness": (
            {"submit_path": "/test/witness", "collection": "witnesses", "max_attempts": 3, "backoff_ms": 50,
             "timeout_ms": int(2000 * PATIENCE), "media_types": ["*/*"]},
            {"handler": "witness", "slots": 3, "grace_ms": 100})},
        worker={"handlers_dir": handlers, "lease_ms": LEASE_MS, "beat_ms": LEASE_MS // 5, "rescue_ms": 200, "drain_ms": 500,
                "runner_start_ms": int(2000 * PATIENCE),
                "outage_ms": 3 * LEASE_MS, "hold_bytes": 65536, "spool": handlers / "spool"},
        database={"query_timeout_ms": int(3000 * PATIENCE)})
    stack.sql(AUDIT)
    chaos, submitter = Chaos(stack, seed), Submitter(stack, seed)
    begun = time.monotonic()
    try:
        with Load(stack, width=2) as run:
            submitter.start()
            chaos.run(lambda: time.monotonic() > begun + CALM_AFTER and lease_was_lost(stack))
            submitter.join()
    finally:
        chaos.close()
    calm = time.monotonic()
    wait_for_the_rest(stack, 10)
    all_ended(stack, "load", 20)
    ended = time.monotonic()
    chaos.write_stale()

    # Each accepted job is there and has ended, once.
    assert len(submitter.accepted) == len(set(submitter.accepted)) == JOBS
    assert stack.value("SELECT count(*) FROM unnest(%s::uuid[]) AS a(id) WHERE NOT EXISTS "
                       "(SELECT FROM longhaul.outcome o WHERE o.job_id = a.id)", [submitter.accepted]) == 0
    assert_once_each(run)
    jobs = stack.value("SELECT count(*) FROM longhaul.job")
    assert stack.value("SELECT count(*) FROM longhaul.outcome") == jobs
    assert stack.query("SELECT job_id, count(*) FROM ends GROUP BY job_id HAVING count(*) > 1") == []
    assert stack.value("SELECT count(*) FROM ends") == jobs
    assert stack.value("SELECT count(*) FROM longhaul.lease") == 0

    # By the one who held the lease, in the generation after its claim, with what that very claim's handler wrote.
    assert stack.query("SELECT e.* FROM ends e WHERE e.boot IS NOT NULL AND NOT EXISTS (SELECT FROM leases_gone l WHERE "
                       "l.job_id = e.job_id AND l.boot = e.boot AND l.fence = e.fence AND l.gen + 1 = e.gen)") == []
    assert stack.query("SELECT l.job_id FROM leases_gone l GROUP BY l.job_id HAVING count(*) > 1") == []
    assert stack.query(
        "SELECT o.job_id, convert_from(o.result, 'UTF8'), o.boot, o.fence, o.attempt FROM longhaul.outcome o JOIN longhaul.job j "
        "ON j.id = o.job_id WHERE j.client = 'chaos' AND o.status = 3 AND (o.result IS NULL OR "
        "convert_from(o.result, 'UTF8') NOT LIKE o.boot || ' ' || o.fence || ' ' || o.attempt || ' %%')") == []

    # Nothing of one who had lost it.
    assert set(chaos.stale) <= {0}, f"a stale write was accepted: {chaos.stale}"

    # What failed was killed twice with its runner, or frozen with it until its time was up; and these are few.
    errors = dict(stack.query("SELECT coalesce(error->>'type', ''), count(*) FROM longhaul.outcome WHERE status <> 3 GROUP BY 1"))
    assert set(errors) <= {"handler-died", "timeout", "host-lost"}, errors
    assert sum(errors.values()) <= JOBS / 100, errors

    logs = "".join(w.text() for w in stack.workers)
    refused = logs.count("an outcome was refused, the lease is lost") + logs.count("the lease of a job is lost")
    lost = [int(n) for n in re.findall(r"the lease is lost: [^;]*; (\d+) jobs are dropped", logs)]
    attempts = stack.value("SELECT sum(gen / 2) FROM longhaul.outcome")
    print(f"jobs={jobs} claims={attempts} chaos={calm - begun:.1f}s all={ended - begun:.1f}s failed={errors} "
          f"stale writes refused={refused}+{chaos.stale[0]} leases lost={len(lost)} with jobs={sum(lost)} {dict(chaos.done)}")
    assert lost and chaos.stale[0] > 0, "nothing was tried"
