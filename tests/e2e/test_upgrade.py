"""The schema changes under programs that run: migrations never stand in the way, and who needs a newer schema says so."""

import os
import shutil
import subprocess
import threading

import pytest

from harness import env
from harness.env import PATIENCE, wait_until


def migrate(stack, folder, *args):
    """Begins to migrate, as an administrator in a shell."""
    return subprocess.Popen([env.ROOT / "sql" / "longhaul-migrate", *args], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT,
                            env={**os.environ, **stack.cluster.environ(stack.database), "LONGHAUL_MIGRATIONS": str(folder)})


@pytest.fixture
def release(tmp_path):
    """The migrations of a release to come: a column more, and a function that has changed inside."""
    folder = tmp_path / "migrations"
    shutil.copytree(env.ROOT / "sql" / "migrations", folder)
    (folder / "9001_more.sql").write_text("""
        ALTER TABLE longhaul.job ADD COLUMN note text;
        COMMENT ON COLUMN longhaul.job.note IS 'a remark';
        ALTER TABLE longhaul.job_type ADD COLUMN note text;
        ALTER TABLE longhaul.worker ADD COLUMN note text;""")
    return folder


class Traffic(threading.Thread):
    """A client that submits and polls, and counts what it is answered."""

    def __init__(self, api):
        super().__init__()
        self.api = api
        self.stopped = threading.Event()
        self.rounds = 0
        self.wrong = []

    def run(self):
        while not self.stopped.is_set():
            reply = self.api.post("/noop", b"x", headers={"Prefer": "wait=10"})
            if reply.status_code != 200 or self.api.get(reply.headers["Location"]).status_code != 200:
                self.wrong.append(reply.text)
            self.rounds += 1

    def goes_on(self):
        """Some rounds from now on."""
        rounds = self.rounds
        wait_until(lambda: self.rounds > rounds + 5, 30, "the traffic to go on")


@pytest.mark.limit(90)
def test_migrations_wait_without_being_in_the_way(make_stack, release):
    """An open transaction has read a table that a migration must lock. The migration waits for it, but nobody
    waits for the migration; and old programs go on with the new schema."""
    stack = make_stack(types=("noop",))
    traffic = Traffic(stack.api())
    reader = stack.cluster.connect(stack.database)
    reader.autocommit = False
    reader.cursor().execute("SELECT count(*) FROM longhaul.worker, longhaul.job")
    traffic.start()
    try:
        both = [migrate(stack, release, "-w", "600") for _ in range(2)]
        said = both[0].stdout.readline() + both[1].stdout.readline()
        traffic.goes_on()
        assert [m.poll() for m in both] == [None, None]
        reader.rollback()
        said += "".join(m.communicate(timeout=60 * PATIENCE)[0] for m in both)
        assert [m.returncode for m in both] == [0, 0], said
        assert "a table is locked by a transaction; trying again" in said
        traffic.goes_on()
    finally:
        reader.close()
        traffic.stopped.set()
        traffic.join()
    assert traffic.wrong == []
    assert stack.value("SELECT longhaul.schema_version()") == 9001
    assert migrate(stack, release).wait(60) == 0, "again: nothing to do"
    for daemon in (*stack.apis, *stack.workers):
        assert " error " not in daemon.text(), daemon.text()
    # Programs of now that start with the schema of a later release are fine with it.
    assert stack.apis[0].stop() == 0
    stack.apis[0].start()
    stack.wait_api(1)
    assert stack.api().post("/noop", b"x", headers={"Prefer": "wait=10"}).status_code == 200


def test_patience_ends(make_stack, release):
    stack = make_stack(types=("noop",), start=False)
    reader = stack.cluster.connect(stack.database)
    reader.autocommit = False
    reader.cursor().execute("SELECT FROM longhaul.worker")
    failed = migrate(stack, release, "-w", "0")
    said = failed.communicate(timeout=60 * PATIENCE)[0]
    reader.close()
    assert failed.returncode == 1
    assert "lock timeout" in said
    assert stack.value("SELECT longhaul.schema_version()") < 9001


def test_a_schema_that_is_too_old(make_stack):
    """Programs of the next release started before its migrations."""
    stack = make_stack(apis=1, types=("noop",), start=False)
    stack.sql("DELETE FROM longhaul.migration WHERE version = longhaul.schema_version()")
    for daemon in (stack.apis[0], stack.workers[0]):
        daemon.start()
        assert daemon.child.wait(30 * PATIENCE) == 4
        assert "run longhaul-migrate" in daemon.text()
    assert stack.value("SELECT count(*) FROM longhaul.worker") == 0, "it was not even registered"
