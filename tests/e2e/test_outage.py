"""The database out of reach: handlers go on, results wait in memory and on disk, and count if the lease does."""

import json
import os
import re
import resource
import signal
import subprocess
import time

import pytest

from harness.cluster import Cluster
from harness.env import PATIENCE, wait_until
from harness.proxy import Proxy

LATE = "the lease has run out and the database can't be asked"


def act(api, **do):
    return api.submit("/test/act", json.dumps(do)).headers["Location"]


def running(stack):
    return stack.value("SELECT count(*) FROM longhaul.lease WHERE boot IS NOT NULL AND started_at IS NOT NULL")


@pytest.fixture(scope="module")
def restarting():
    """A PostgreSQL that the tests of this module stop and start."""
    it = Cluster().start()
    yield it
    it.destroy()


def back(stack):
    stack.cluster.start()
    for n in range(len(stack.apis)):
        stack.wait_api(n + 1)


def away(stack):
    """Stops the server, as for an upgrade."""
    stack.close()
    stack.cluster.stop()


def lines(path):
    return path.read_text().split() if path.exists() else []


def spool_size(worker):
    """Bytes of the file without a name that a worker holds open; None if it has none."""
    for fd in os.listdir(f"/proc/{worker.pid}/fd"):
        path = f"/proc/{worker.pid}/fd/{fd}"
        try:
            target = os.readlink(path)
            if "/spool/" in target and target.endswith("(deleted)"):
                assert os.stat(path).st_mode & 0o777 == 0o600
                return os.stat(path).st_size
        except FileNotFoundError:
            continue
    return None


@pytest.fixture
def scratch(tmp_path):
    """A folder that commands may write to, whoever runs them."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        if folder.stat().st_uid == os.getuid():
            folder.chmod(0o777)
    return tmp_path


@pytest.mark.limit(120)
def test_handlers_go_on_past_the_lease(make_stack, restarting, scratch):
    """The server is away for longer than the leases. Whichever worker is back first, nobody loses a job."""
    lease = int(1500 * PATIENCE)
    stack = make_stack(restarting, workers=2, types=("test.act",), worker={"lease_ms": lease, "beat_ms": 300, "rescue_ms": 100})
    api = stack.api()
    ran = scratch / "ran"
    urls = [act(api, append=str(ran), sleep=(1 + n % 2) * lease / 1000, stdout=f"{n}") for n in range(8)]
    wait_until(lambda: running(stack) == 8, 20, "all to run")
    away(stack)
    for worker in stack.workers:
        wait_until(lambda w=worker: LATE in w.text(), 30, "the leases to run out")
    back(stack)
    for n, url in enumerate(urls):
        assert api.result(url, 40).text == f"{n}"
        assert api.document(url)["attempt"] == 1
    assert len(lines(ran)) == 8, "each ran once"
    assert stack.value("SELECT count(*) FROM longhaul.worker WHERE dead_at IS NOT NULL") == 0
    for worker in stack.workers:
        assert "the lease is renewed late" in worker.text()


@pytest.mark.limit(120)
@pytest.mark.parametrize("short_of", ["memory", "quota", "disk"])
def test_results_wait_in_the_spool(make_stack, restarting, scratch, short_of):
    """More results than memory may hold go to the spool. When that is full too they wait all the same: then
    the slots do. quota: the file may not grow; disk: the file system is full."""
    room = 300000
    spool = scratch / "spool"
    if short_of == "disk":
        if os.geteuid() != 0:
            pytest.skip("needs root, to mount a file system that is small")
        spool.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", spool], check=True)
    try:
        stack = make_stack(restarting, types=("test.act",), type_settings={"test.act": {"slots": 30}},
                           worker={"hold_bytes": 65536, "spool": spool, "lease_ms": int(4000 * PATIENCE)})
        worker, api = stack.workers[0], stack.api()
        if short_of == "quota":
            resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (room, room))
        ended = scratch / "ended"
        urls = [act(api, sleep=2 * PATIENCE, stdout=f"{n:03}", repeat=20000, append_after=str(ended)) for n in range(30)]
        wait_until(lambda: running(stack) == 30, 20, "all to run")
        away(stack)
        wait_until(lambda: len(lines(ended)) == 30, 30, "all to end")
        if short_of == "memory":
            wait_until(lambda: spool_size(worker) >= 28 * 60000, 20, "the results to be in the spool")
        else:
            wait_until(lambda: "the spool can't be written" in worker.text(), 20, "the spool to be full")
            assert spool_size(worker) <= room + 4096
        assert list(spool.iterdir()) == [], "no file that anybody could open, or that outlives the worker"
        back(stack)
        for n, url in enumerate(urls):
            assert api.result(url, 40).text == f"{n:03}" * 20000
            assert api.document(url)["attempt"] == 1
        assert len(lines(ended)) == 30, "each ran once"
        wait_until(lambda: spool_size(worker) == 0, 10, "the spool to be emptied")
        stack.stop()
    finally:
        if short_of == "disk":
            subprocess.run(["umount", "-l", spool], check=True)


@pytest.mark.limit(120)
def test_worker_killed_with_results_in_the_spool(make_stack, restarting, scratch):
    """Nothing of them is left, and nothing is lost: the jobs run again."""
    spool = scratch / "spool"
    stack = make_stack(restarting, types=("test.act",), type_settings={"test.act": {"slots": 10}},
                       worker={"hold_bytes": 65536, "spool": spool, "lease_ms": int(2000 * PATIENCE), "beat_ms": 300,
                               "rescue_ms": 100})
    worker, api = stack.workers[0], stack.api()
    ran = scratch / "ran"
    urls = [act(api, append=str(ran), sleep=PATIENCE, stdout=f"{n:03}", repeat=20000) for n in range(10)]
    wait_until(lambda: running(stack) == 10, 20, "all to run")
    away(stack)
    wait_until(lambda: (spool_size(worker) or 0) > 0, 20, "results to be in the spool")
    worker.kill()
    assert list(spool.iterdir()) == []
    worker.start()
    back(stack)
    for n, url in enumerate(urls):
        assert api.result(url, 60).text == f"{n:03}" * 20000
    assert len(lines(ran)) == 20, "each ran twice"


@pytest.mark.limit(120)
@pytest.mark.parametrize("how", ["cut", "refuse"])
def test_lease_taken_during_the_outage(make_stack, how):
    """One worker alone is cut off: the other takes its jobs. What ended meanwhile is dropped or refused, what
    still runs is killed when the worker learns of it, or after outage_ms."""
    stack = make_stack(workers=2, types=("test.act",), start=False, type_settings={"test.act": {"slots": 8}},
                       database={"query_timeout_ms": 1000, "connect_timeout_ms": 1000},
                       worker={"lease_ms": int(2000 * PATIENCE), "beat_ms": 300, "rescue_ms": 100})
    proxy = Proxy(stack.folder / "between", stack.cluster.folder / ".s.PGSQL.5432")
    try:
        config = stack.folder / "worker-1.conf"
        config.write_text(config.read_text().replace(str(stack.cluster.folder), str(proxy.folder)))
        stack.start()
        first, second = stack.workers
        second.send(signal.SIGSTOP)
        api = stack.api()
        urls = [act(api, sleep=s * PATIENCE, stdout=f"{n}") for n, s in enumerate([1, 1, 1, 5, 5])]
        wait_until(lambda: running(stack) == 5, 20, "the first to run all")
        boot = stack.value("SELECT DISTINCT boot FROM longhaul.lease")
        getattr(proxy, how)()
        second.send(signal.SIGCONT)
        wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.lease WHERE boot = %s", [boot]) == 0, 30,
                   "the other to take the jobs")
        tags = []
        for n, url in enumerate(urls[:3]):
            assert api.result(url, 40).text == f"{n}"
            tags.append(api.get(url).headers["ETag"])
        wait_until(lambda: LATE in first.text(), 20, "the first to notice")
        assert "the lease is lost" not in first.text(), "for all it knows, nobody has taken its jobs"
        assert first.runners() != []
        proxy.heal()
        wait_until(lambda: "the lease is lost: " in first.text(), 20, "the first to learn of it")
        assert [api.get(u).headers["ETag"] for u in urls[:3]] == tags
        for n, url in enumerate(urls):
            assert api.result(url, 40).text == f"{n}"
            assert api.document(url)["attempt"] == 1, "a lost host burns no attempt"
        assert stack.value("SELECT count(*) FROM longhaul.outcome WHERE boot = %s", [boot]) == 0
        # And it works again.
        second.stop()
        assert api.result(act(api, stdout="back"), 40).text == "back"
    finally:
        proxy.close()


@pytest.mark.limit(90)
def test_handlers_are_killed_when_the_outage_lasts(make_stack, restarting, scratch):
    stack = make_stack(restarting, types=("test.act",), worker={"lease_ms": 1000, "beat_ms": 200, "outage_ms": 2000})
    api = stack.api()
    url = act(api, sleep=600)
    wait_until(lambda: running(stack) == 1, 10, "it to run")
    away(stack)
    wait_until(lambda: "the lease is lost: it could not be renewed in time; 1 jobs are dropped" in stack.workers[0].text(), 20,
               "the worker to give up")
    wait_until(lambda: stack.workers[0].runners() == [], 10, "the handler to be killed")
    found = re.search(r"handlers go on jobs=1 for_ms=(\d+)", stack.workers[0].text())
    assert found and int(found.group(1)) <= 1000
    back(stack)
    wait_until(lambda: running(stack) == 1, 20, "it to run again")
    assert api.document(url)["attempt"] == 1
    api.post(url + "/cancel")
    api.until(url, "Canceled")


@pytest.mark.limit(120)
def test_large_result_waits_for_the_database(make_stack, restarting):
    """A result in pieces isn't kept on this host: its handler is held up, which its time limit doesn't count."""
    limit = 4 * PATIENCE
    stack = make_stack(restarting, types=("test.act",), type_settings={"test.act": {"timeout_ms": int(1000 * limit)}},
                       worker={"lease_ms": int(1500 * PATIENCE), "beat_ms": 300})
    api = stack.api()
    urls = [act(api, pieces=30, pace=0.05 * PATIENCE) for _ in range(3)]
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.result_chunk") > 2, 20, "the first pieces")
    away(stack)
    wait_until(lambda: LATE in stack.workers[0].text(), 20, "the lease to run out")
    over = time.monotonic() + limit
    wait_until(lambda: time.monotonic() > over, limit + 5, "the time limit to be passed")
    back(stack)
    for url in urls:
        doc = api.completed(url, 60)
        assert doc["attempt"] == 1
        assert api.get(doc["_links"]["results"]["href"]).text == "".join("%07d\n" % n * 50000 for n in range(30))
