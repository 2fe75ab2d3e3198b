"""The demo as its user meets it: start, look, start again, stop, and what goes wrong on the way."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import pytest
import requests

from harness import env
from harness.nginx import free_port

SCRIPT = env.ROOT / "fcgi-app" / "tools" / "demo.sh"
# The script is the same with every build: under the sanitizers the way from start to stop is enough.
script_only = pytest.mark.skipif(env.SANITIZED, reason="about the script, not the programs")
PROCESSES = ["postgres", "api-1", "api-2", "worker", "nginx"]


def alive(pid):
    """Whether the process runs; one that has ended and wasn't waited for doesn't."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Demo:
    def __init__(self, folder, as_user=None):
        self.build = folder / "build"
        self.build.mkdir(parents=True)
        for name in ("longhaul-api", "longhaul-worker", "longhaul-runner", "longhaul-courier"):
            shutil.copy(env.BIN / name, self.build)
        self.port = free_port()
        self.as_user = as_user or {}
        self.pids = {}

    @property
    def folder(self):
        return self.build / "demo"

    def run(self, what, *args, **environ):
        return subprocess.run(
            [SCRIPT, what, *args], capture_output=True, text=True, timeout=120 * env.PATIENCE, **self.as_user,
            env={**os.environ, "LONGHAUL_BUILD": str(self.build), "PORT": str(self.port), "LC_ALL": "C.UTF-8",
                 "ACCOUNTS": str(env.scaled(20000, 3000)), "ASAN_OPTIONS": "detect_leaks=0", **environ})

    def start(self, **environ):
        done = self.run("start", **environ)
        if done.returncode == 0:
            self.pids = {p.stem: int(p.read_text()) for p in self.folder.glob("*.pid")}
        return done

    def stop(self):
        return self.run("stop")

    def running(self):
        return sorted(n for n, p in self.pids.items() if alive(p))


@pytest.fixture
def place():
    """A folder that everybody may enter. (Each session of pytest closes the one of all sessions.)"""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lhdemo", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def demo(place):
    it = Demo(place)
    yield it
    it.stop()


@pytest.mark.limit(240)
def test_from_start_to_stop(demo):
    done = demo.start()
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert done.stderr == ""
    assert "\033" not in said, "plain when not on a terminal"
    count = env.scaled(20000, 3000)
    base = f"http://127.0.0.1:{demo.port}"
    for expected in ("HTTP/1.1 202 Accepted", f"Location: {base}/v1/import-jobs/", "Retry-After: ", '"status": "Completed"',
                     f'{{"imported":{count},"updated":0,"rejected":0,"errors":[]}}', "HTTP/1.1 200 OK",
                     '{"imported":3,"updated":0,"rejected":0,"errors":[]}', "100 %", base, "make psql", "make stop"):
        assert expected in said, expected
    assert sorted(demo.pids) == sorted(PROCESSES)
    assert demo.running() == sorted(PROCESSES)
    if os.geteuid() == 0:
        for pid in demo.pids.values():
            assert os.stat(f"/proc/{pid}").st_uid != 0, "nothing runs as root"

    # The env file, the URLs, and the curl line that it printed.
    sourced = subprocess.run(["sh", "-c", f". {demo.folder}/env && curl -s $BASE_URL/readyz -o /dev/null -w '%{{http_code}} ' "
                              "&& psql -XAtc 'SELECT count(*) FROM longhaul.account'"], capture_output=True, text=True)
    status, stored = sourced.stdout.split()
    assert status == "200" and int(stored) >= count + 3, sourced
    try_it = re.search(r"(curl -i \S+/word-count .*)$", said, re.M).group(1)
    answer = subprocess.run(["sh", "-c", try_it], capture_output=True, text=True).stdout
    assert re.match(r"HTTP/1.1 20[02] ", answer), answer
    assert "202" in answer[:14] or "\nContent-Type: text/plain" in answer.replace("\r", ""), "words to read, not a download"
    look = re.search(r"(\. \S+/env; psql .*)$", said, re.M).group(1)
    assert "accounts.bulk-import" in subprocess.run(["sh", "-c", look], capture_output=True, text=True).stdout
    psql = demo.run("psql", "-XAtc", "SELECT count(*) FROM longhaul.jobs WHERE client = 'demo'")
    assert int(psql.stdout) >= 3, psql

    # Credentials are not overruled by the demo's client.
    assert requests.get(base + "/v1/jobs", timeout=10).status_code == 200
    assert requests.get(base + "/v1/jobs", headers={"Authorization": "Bearer x"}, timeout=10).status_code == 401
    assert requests.get(base + "/", timeout=10).json()["status"] == 404

    # Once more: ends the first, begins anew.
    first = dict(demo.pids)
    again = demo.start(LC_ALL="C")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "running" in again.stdout.splitlines()[0]
    assert f'"imported":{count},' in again.stdout
    assert not [n for n, p in first.items() if alive(p)]

    stopped = demo.stop()
    assert stopped.returncode == 0 and "ended" in stopped.stdout
    assert demo.running() == []
    assert list(demo.folder.glob("*.pid")) == []
    assert (demo.folder / "log").is_dir()
    assert "not running" in demo.stop().stdout
    assert demo.run("psql").returncode != 0


@script_only
@pytest.mark.limit(120)
def test_taken_port_is_named(demo):
    with socket.socket() as other:
        other.bind(("127.0.0.1", demo.port))
        other.listen()
        done = demo.start()
        assert done.returncode == 1
        assert str(demo.port) in done.stderr and "taken" in done.stderr
        assert len(done.stderr.splitlines()) <= 3
    assert demo.start(ACCOUNTS="100").returncode == 0


@script_only
@pytest.mark.parametrize("port", ["abc", "0", "70000", "-1"])
def test_nonsense_as_port(demo, port):
    done = demo.start(PORT=port)
    assert done.returncode == 1
    assert port in done.stderr


@script_only
@pytest.mark.limit(120)
def test_half_dead_run_is_cleaned_up(demo):
    assert demo.start(ACCOUNTS="100").returncode == 0
    old = dict(demo.pids)
    for name in ("postgres", "api-1"):
        os.kill(old[name], 9)
    (demo.folder / "api-2.pid").write_text("garbage\n")
    stray = old.pop("api-2")
    done = demo.start(ACCOUNTS="100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [n for n, p in old.items() if alive(p)]
    os.kill(stray, 15)


@script_only
@pytest.mark.limit(120)
def test_stop_finds_a_postgres_that_was_restarted(demo):
    """Trying out what an outage looks like: its pid is another one then."""
    assert demo.start(ACCOUNTS="100").returncode == 0
    subprocess.run([env.pg_bin() / "pg_ctl", "-D", demo.folder / "data", "-l", demo.folder / "log" / "postgres-2.log",
                    "-m", "fast", "restart"], check=True, stdout=subprocess.DEVNULL, cwd="/", **env.unprivileged())
    demo.pids["postgres"] = int((demo.folder / "data" / "postmaster.pid").read_text().split()[0])
    base = f"http://127.0.0.1:{demo.port}"
    env.wait_until(lambda: requests.get(base + "/readyz", timeout=10).status_code == 200, 20, "the API to be back")
    assert demo.stop().returncode == 0
    assert demo.running() == []


@script_only
@pytest.mark.limit(120)
def test_a_pid_that_went_to_another_process_is_left_alone(demo):
    assert demo.start(ACCOUNTS="100").returncode == 0
    os.kill(demo.pids["worker"], 9)
    innocent = subprocess.Popen(["sleep", "600"])
    try:
        (demo.folder / "worker.pid").write_text(f"{innocent.pid}\n")
        assert demo.stop().returncode == 0
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@script_only
@pytest.mark.limit(120)
def test_what_fails_to_start_is_said_and_nothing_is_left(demo):
    broken = demo.build / "longhaul-worker"
    broken.write_text("#!/bin/sh\necho cannot go on >&2\nexit 4\n")
    done = demo.start()
    assert done.returncode == 1
    assert "worker" in done.stderr and "cannot go on" in done.stderr
    demo.pids = {}
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", demo.port), 1).close()
    assert list(demo.folder.glob("*.pid")) == []


@script_only
@pytest.mark.limit(120)
def test_deep_folder(place):
    """Socket paths have 107 bytes, folders more."""
    deep = Demo(place / ("deep" * 20) / ("deeper" * 15))
    try:
        done = deep.start(ACCOUNTS="100")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        deep.stop()


@script_only
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.limit(120)
def test_checkout_that_only_root_can_enter(place):
    place.chmod(0o700)
    closed = Demo(place)
    try:
        done = closed.start(ACCOUNTS="100")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (closed.build / "demo" / "env").exists()
        far = os.path.realpath(closed.folder)
        assert far.startswith("/var/tmp/")
        assert closed.running() == sorted(PROCESSES)
        again = closed.start(ACCOUNTS="100")
        assert again.returncode == 0, again.stdout + again.stderr
        assert not os.path.exists(far), "the earlier one's data is gone"
    finally:
        closed.stop()
        shutil.rmtree(os.path.realpath(closed.folder), ignore_errors=True)


@script_only
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.limit(120)
def test_without_root(place):
    somebody = env.unprivileged()
    demo = Demo(place, as_user=somebody)
    os.chown(demo.build, somebody["user"], somebody["group"])
    try:
        done = demo.start(ACCOUNTS="100")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        assert demo.stop().returncode == 0
    assert demo.running() == []
