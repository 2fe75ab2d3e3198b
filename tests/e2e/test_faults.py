"""Handlers that hang, hide or kill; hosts that freeze; clocks that jump; disks that are full; deploys under load."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from harness.env import PATIENCE, SANITIZED, scaled, wait_until
from harness.traffic import Load, all_ended, assert_once_each

FAKETIME = next(iter(sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


@pytest.fixture
def scratch(tmp_path):
    """A folder that commands may write to, whoever runs them."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        if folder.stat().st_uid == os.getuid():
            folder.chmod(0o777)
    return tmp_path


def act(api, **do):
    return api.submit("/test/act", json.dumps(do)).headers["Location"]


def running(stack):
    return stack.value("SELECT count(*) FROM longhaul.lease WHERE boot IS NOT NULL AND started_at IS NOT NULL")


def lives(pid):
    """Whether the process is there, and no zombie."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def children_of(pid):
    try:
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def runner_of(stack, url):
    """The pid of the runner that has the job's command as its child."""
    this = url.rsplit("/", 1)[1].encode()
    for worker in stack.workers:
        for runner in worker.runners():
            for child in children_of(runner):
                try:
                    if this in pathlib.Path(f"/proc/{child}/environ").read_bytes():
                        return runner
                except OSError:
                    continue
    return None


# ---- handlers -----------------------------------------------------------------------------------


@pytest.mark.limit(60)
@pytest.mark.parametrize("end", ["timeout", "cancel"])
def test_hung_handler_is_killed_after_its_grace(make_stack, end):
    stack = make_stack(types=("test.act",), type_settings={"test.act": {
        "grace_ms": 400, "timeout_ms": int(700 * PATIENCE) if end == "timeout" else 0}})
    api = stack.api()
    url = act(api, ignore_term=True, sleep=600)
    neighbour = act(api, stdout="fine")
    wait_until(lambda: running(stack) >= 1 and runner_of(stack, url), 20, "it to run")
    command = children_of(runner_of(stack, url))[0]
    if end == "cancel":
        api.post(url + "/cancel")
    doc = api.ended(url, 20)
    assert doc["status"] == ("Failed" if end == "timeout" else "Canceled")
    assert doc.get("error", {}).get("type", "").endswith("timeout" if end == "timeout" else "")
    wait_until(lambda: not lives(command), 10, "the command to be gone")
    assert api.result(neighbour).text == "fine"


@pytest.mark.limit(90)
@pytest.mark.parametrize("end", ["done", "cancel", "timeout", "runner", "worker", "stop"])
def test_daemons_of_a_handler_end_with_it(make_stack, scratch, end):
    """What has left session, group and parent (setsid, double fork) is found all the same, however the job ends."""
    stack = make_stack(types=("test.act",), worker={"drain_ms": 100}, type_settings={"test.act": {
        "timeout_ms": int(2000 * PATIENCE) if end == "timeout" else 0}})
    api = stack.api()
    pids = scratch / "pids"
    url = act(api, daemonize=str(pids), sleep=0 if end == "done" else 600, ignore_term=end in ("cancel", "timeout"))
    wait_until(lambda: pids.exists() and pids.read_text().count("\n") == 2, 20, "the daemons to live")
    daemons = [int(p) for p in pids.read_text().split()]
    if end == "cancel":
        api.post(url + "/cancel")
    elif end == "runner":
        os.kill(wait_until(lambda: runner_of(stack, url), 10, "the runner"), signal.SIGKILL)
    elif end == "worker":
        stack.workers[0].kill()
    elif end == "stop":
        assert stack.workers[0].stop() == 0
    else:
        api.ended(url)
    wait_until(lambda: not any(lives(p) for p in daemons), 20, "the daemons to be gone")
    if end == "runner":  # it may be running again by now
        api.post(url + "/cancel")
        api.ended(url)


@pytest.mark.limit(90)
def test_poison_takes_nobody_along(make_stack):
    """A job that kills its runner each time fails after two; jobs beside it burn no attempt and end well."""
    stack = make_stack(types=("test.act", "noop"), type_settings={"test.act": {"slots": 3}})
    api = stack.api()
    poison = [act(api, kill_runner=True) for _ in range(3)]
    good = [act(api, sleep=0.1, stdout=f"{n}") for n in range(12)]
    poison += [act(api, kill_runner=True) for _ in range(3)]
    for url in poison:
        doc = api.ended(url, 40)
        assert doc["status"] == "Failed" and doc["error"]["type"].endswith(":handler-died"), doc
        assert "twice" in doc["error"]["detail"]
    for n, url in enumerate(good):
        assert api.result(url, 40).text == f"{n}"
        assert api.document(url)["attempt"] == 1


@pytest.mark.limit(60)
@pytest.mark.parametrize("slots", [1, 3])
def test_runner_that_begins_nothing(make_stack, slots):
    """Frozen between two jobs: it is killed, and what it was given goes to others, with no attempt burned."""
    stack = make_stack(types=("noop",), type_settings={"noop": {"slots": slots}}, worker={"runner_start_ms": int(500 * PATIENCE)})
    api = stack.api()
    for _ in range(20):
        api.completed(api.submit("/noop").headers["Location"])
    frozen = stack.workers[0].runners()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    stack.sql("SELECT count(longhaul.submit('noop', '{}', p_client => 'many')) FROM generate_series(1, 500)")
    all_ended(stack, "many", 20)
    assert stack.value("SELECT count(*) FROM longhaul.outcome WHERE status <> 3 OR attempt <> 1") == 0
    wait_until(lambda: not any(lives(p) for p in frozen), 20, "the frozen to be killed")


@pytest.mark.limit(60)
def test_commands_on_a_full_disk(make_stack, scratch):
    """A command that can't write its files fails, with its own words; the worker writes none for it."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a file system that is small")
    full = scratch / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "tmpfs", full], check=True)
    try:
        (full / "ballast").write_bytes(bytes(65536))
        stack = make_stack(types=("test.act",), type_settings={"test.act": {
            "environment": f"TMPDIR={full}", "directory": full, "show_stderr": "yes"}})
        api = stack.api()
        doc = api.ended(act(api, temporary=100000))
        assert doc["status"] == "Failed" and doc["error"]["type"].endswith(":command-failed"), doc
        assert "No space left on device" in doc["error"]["detail"]
        # Results and stderr don't need the disk.
        assert api.result(act(api, stdout="x" * 1000, repeat=1000)).text == "x" * 1000000
        assert [p.name for p in full.iterdir()] == ["ballast"]
        stack.stop()
    finally:
        subprocess.run(["umount", "-l", full], check=True)


# ---- hosts --------------------------------------------------------------------------------------


@pytest.mark.limit(120)
def test_host_frozen_past_its_lease(make_stack, scratch):
    """The whole host: daemon, runners, commands. Let go, it tries to write what it has: each write is refused,
    and counted; what it still runs is killed."""
    stack = make_stack(workers=2, types=("test.act",), type_rows={"test.act": {"max_attempts": 1}},
                       type_settings={"test.act": {"slots": 8}},
                       worker={"lease_ms": int(1500 * PATIENCE), "beat_ms": 200, "rescue_ms": 100})
    first, second = stack.workers
    second.send(signal.SIGSTOP)
    api = stack.api()
    go = scratch / "go"
    ending = [act(api, until=str(go), stdout=f"{n}") for n in range(4)]
    long = [act(api, until=str(go), sleep=6 * PATIENCE, stdout=f"{n}") for n in range(2)]
    wait_until(lambda: running(stack) == 6, 20, "the first to run all")
    boot = stack.value("SELECT DISTINCT boot FROM longhaul.lease")
    commands = [c for r in first.runners() for c in children_of(r)]
    assert len(commands) == 6
    # The daemon first: the commands of the first four end, and what they wrote waits in its sockets.
    first.send(signal.SIGSTOP)
    go.write_text("")
    wait_until(lambda: sum(lives(c) for c in commands) == 2, 20, "four to end")
    frozen = [p for p in first.runners() + commands if lives(p)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    second.send(signal.SIGCONT)
    for n, url in enumerate(ending):
        assert api.result(url, 40).text == f"{n}"
    tags = [api.get(u).headers["ETag"] for u in ending]
    for pid in [first.pid, *frozen]:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "the lease is lost: the database has given it up" in first.text(), 20, "it to learn of it")
    wait_until(lambda: not any(lives(p) for p in frozen), 20, "its handlers to be killed")
    refused = first.text().count("an outcome was refused, the lease is lost")
    dropped = int(first.text().rsplit("given it up; ", 1)[1].split()[0])
    assert refused + dropped == 6, f"{refused} refused, {dropped} dropped before they were written"
    assert [api.get(u).headers["ETag"] for u in ending] == tags
    for n, url in enumerate(long):
        assert api.result(url, 60).text == f"{n}"
    for url in ending + long:
        assert api.document(url)["attempt"] == 1
    assert stack.value("SELECT count(*) FROM longhaul.outcome WHERE boot = %s", [boot]) == 0


@pytest.mark.limit(120)
@pytest.mark.skipif(FAKETIME is None, reason="needs Debian's package faketime")
@pytest.mark.skipif(SANITIZED, reason="the sanitizers and faketime both want to come first among the libraries")
def test_clock_jumps(make_stack, scratch):
    """A worker's clock goes an hour ahead and comes back: no lease, no lifetime, no timeout depends on it."""
    stack = make_stack(workers=2, types=("test.act", "noop"),
                       type_rows={"test.act": {"lifetime": "30 minutes", "timeout_ms": int(60000 * PATIENCE)}},
                       worker={"lease_ms": int(2000 * PATIENCE), "beat_ms": 200, "rescue_ms": 100}, start=False)
    offset = scratch / "offset"

    def set_clock(text):
        new = scratch / "offset.new"
        new.write_text(text + "\n")
        new.rename(offset)

    set_clock("+0")
    jumpy, other = stack.workers
    # Durations are not touched, as when an administrator sets the clock.
    jumpy.environ.update(LD_PRELOAD=str(FAKETIME), FAKETIME_TIMESTAMP_FILE=str(offset), FAKETIME_NO_CACHE="1",
                         FAKETIME_DONT_FAKE_MONOTONIC="1")
    stack.start()
    api = stack.api()
    with Load(stack, width=4) as run:
        for n, jump in enumerate(["+3600", "-3600", "+0"]):
            url = act(api, sleep=1.5 * PATIENCE, stdout="before")
            wait_until(lambda: running(stack) >= 1, 20, "it to run")
            set_clock(jump)
            later = time.monotonic() + 2.5 * PATIENCE  # longer than a lease
            assert api.result(url, 30).text == "before"
            assert api.result(act(api, sleep=0.1, stdout="after"), 30).text == "after"
            wait_until(lambda: time.monotonic() > later, 10, "a lease's length to pass")
            run.wait(scaled(50, 10))
    assert stack.value("SELECT count(*) FROM longhaul.worker WHERE dead_at IS NOT NULL OR stopped_at IS NOT NULL") == 0, \
        "nobody was taken for dead, nobody gave up"
    set_clock("+3600")
    jumpy.send(signal.SIGHUP)
    line = wait_until(lambda: [t for t in jumpy.text().splitlines() if "SIGHUP" in t], 10, "a line with its time")[0]
    ahead = time.mktime(time.strptime(line[:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())
    assert 3500 < ahead < 3700, f"the clock did jump: {line}"
    assert stack.value("SELECT count(*) FROM longhaul.outcome WHERE status <> 3 OR attempt <> 1") == 0
    assert run.refused == [] and run.broken == 0
    assert_once_each(run)
    all_ended(stack, "load")


# ---- deploys ------------------------------------------------------------------------------------


@pytest.mark.limit(150)
def test_rolling_restart_of_all_workers(make_stack):
    """Under load, one after the other: no job fails, none burns an attempt, what was interrupted is back at once."""
    stack = make_stack(workers=3, types=("noop", "test.act"), worker={"drain_ms": 300, "lease_ms": 60000},
                       type_rows={"test.act": {"max_attempts": 1}}, type_settings={"test.act": {"slots": 4}})
    api = stack.api()
    with Load(stack) as run:
        long = [act(api, sleep=1.5, stdout=f"{n}") for n in range(10)]
        wait_until(lambda: running(stack) >= 4, 20, "some to run")
        for worker in stack.workers:
            begun = time.monotonic()
            assert worker.stop() == 0
            assert time.monotonic() - begun < 10 * PATIENCE
            worker.start()
            run.wait(scaled(200, 30))
        interrupted = stack.value("SELECT count(*) FROM longhaul.lease WHERE gen > 2") + stack.value(
            "SELECT count(*) FROM longhaul.outcome WHERE gen > 3")
    assert interrupted > 0, "some were put back"
    for n, url in enumerate(long):
        assert api.result(url, 40).text == f"{n}"
        assert api.document(url)["attempt"] == 1
    assert run.refused == [] and run.broken == 0
    assert_once_each(run)
    all_ended(stack, "load")
    assert stack.value("SELECT count(*) FROM longhaul.outcome WHERE status <> 3 OR attempt <> 1") == 0
    assert stack.value("SELECT count(*) FROM longhaul.worker WHERE dead_at IS NOT NULL") == 0
