"""Under a service manager: notifications, watchdog, a socket that is handed over, the journal."""

import json
import os
import re
import shutil
import signal

import pytest

from harness import env, fcgi
from harness.env import wait_until
from harness.service import Manager, give
from harness.stack import ini


@pytest.fixture
def managed(make_stack):
    """A stack that isn't started, with one API process and one worker, and their manager."""
    stack = make_stack(start=False, apis=1, types=("noop", "test.quick"))
    with Manager(stack.folder) as manager:
        yield stack, manager


def lines(daemon):
    return daemon.text().splitlines()


def test_api_tells_how_it_is(managed):
    stack, manager = managed
    api = stack.apis[0]
    manager.manage(api)
    manager.give_sockets(api, stack.socket(1))
    api.start()
    manager.wait("READY")
    wait_until(lambda: any(m.get("STATUS", "").startswith("serving:") for m in manager.messages()), 20, "a status")
    manager.wait("WATCHDOG", more_than=2)
    stack.wait_api(1)
    assert "the socket is the service manager's" in api.text()

    api.send(signal.SIGHUP)
    manager.wait("RELOADING")
    manager.wait("READY", more_than=1)
    assert all(int(m["MONOTONIC_USEC"]) > 0 for m in manager.messages() if "RELOADING" in m)

    # Who connects while there is no process is served by the next one.
    assert api.stop() == 0
    assert manager.count("STOPPING") == 1
    assert [int(m["EXTEND_TIMEOUT_USEC"]) for m in manager.messages() if "STOPPING" in m][0] > 10_000_000
    assert stack.socket(1).exists(), "the socket isn't the daemon's to remove"
    waiting = fcgi.connect(stack.socket(1))
    waiting.sendall(fcgi.whole("GET", "/healthz", client=""))
    api.start()
    assert fcgi.read_answer(waiting)[0] == 200
    waiting.close()


@pytest.mark.parametrize("handed", ["two", "a file"])
def test_api_refuses_what_is_no_socket(managed, handed, tmp_path):
    stack, manager = managed
    api = stack.apis[0]
    if handed == "two":
        manager.give_sockets(api, stack.folder / "one.sock", stack.folder / "two.sock")
        api.start()
    else:
        with open(tmp_path / "file", "w+b") as file:
            give(api, file.fileno())
            api.start()
    assert api.child.wait(30) == 3
    assert "isn't one listening stream socket" in api.text()


def test_worker_tells_how_it_is(managed):
    stack, manager = managed
    worker = stack.workers[0]
    manager.manage(worker)
    worker.start()
    manager.wait("READY")
    manager.wait("STATUS", "at work: 0 jobs in hand")
    manager.wait("WATCHDOG", more_than=2)

    config = stack.folder / "worker-1.conf"
    good = config.read_text()
    for turn, text in enumerate((good.replace("slots = 4", "slots = 3"), "[nonsense]\n", good)):
        config.write_text(text)
        worker.send(signal.SIGHUP)
        manager.wait("RELOADING", more_than=turn)
        manager.wait("READY", more_than=turn + 1)
    assert worker.text().count("the new configuration is in use") == 2
    assert worker.stop() == 0
    assert manager.count("STOPPING") == 1
    # drain_ms, grace_ms and the last writes
    assert [int(m["EXTEND_TIMEOUT_USEC"]) for m in manager.messages() if "STOPPING" in m][0] >= 35_000_000


def test_worker_starts_without_a_database(managed):
    stack, manager = managed
    worker = stack.workers[0]
    sections = stack.worker_sections()
    sections["database"]["conninfo"] = f"host={stack.folder} dbname=nowhere"
    (stack.folder / "worker-1.conf").write_text(ini(sections))
    manager.manage(worker)
    worker.start()
    manager.wait("READY")
    manager.wait("STATUS", "not registered: 0 jobs in hand, the database can't be reached")
    manager.wait("WATCHDOG", more_than=2)


def test_upgraded_files_are_for_the_next_start(make_stack, tmp_path):
    """A worker that runs goes on with the runner that it was started with."""
    runner = tmp_path / "longhaul-runner"
    shutil.copy(env.BIN / "longhaul-runner", runner)
    tmp_path.chmod(0o755)
    stack = make_stack(apis=1, types=("noop",), worker={"runner": runner})
    worker, = stack.workers
    api = stack.api()
    api.completed(api.submit("/noop").headers["Location"])
    shutil.copy("/bin/false", tmp_path / "new")
    (tmp_path / "new").rename(runner)
    old = worker.runners()
    assert old
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(old) & set(worker.children()), 20, "the runners to be gone")
    api.completed(api.submit("/noop").headers["Location"])
    assert worker.runners()


def test_journal(managed):
    """Levels in place of times; runners name themselves; the request that a job came with is in all its lines."""
    stack, manager = managed
    for daemon in stack.daemons:
        manager.give_journal(daemon)
    stack.start()
    text = "a\nb\x1b[31m\u0085c\xff"
    api = stack.api()
    reply = api.submit("/test/quick", json.dumps({"stderr": text, "exit": 3}))
    job = reply.headers["Location"].rsplit("/", 1)[1]
    assert api.ended(reply.headers["Location"])["status"] == "Failed"
    worker, = stack.workers
    request = stack.value("SELECT request_id FROM longhaul.job WHERE id = %s", [job])
    about = [line for line in lines(worker) if job in line]
    assert all(f"job={job}" in line and f"request={request}" in line for line in about), about
    said = [line for line in about if "a command failed" in line]
    assert len(said) == 1 and re.match(r"<4>longhaul-runner\[\d+\]: ", said[0]), about
    assert any(line.startswith("<6>job failed ") for line in about), about
    assert stack.stop() == []
    for daemon in stack.daemons:
        log = stack.logs()[daemon.name]
        assert log and all(re.match(r"<[3-7]>\S", line) for line in log.split("\n")[:-1]), log
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", log)
