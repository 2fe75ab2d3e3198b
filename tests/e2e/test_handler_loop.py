"""Persistent commands: handler command-loop."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time

import pytest

from harness import env
from harness.env import wait_until
from harness.stack import Stack, ini


def _type(name, command, **settings):
    return {"loop." + name: ({"submit_path": "/loop/" + name, "collection": f"loop-{name}s", "media_types": ["*/*"], "wait_ms": 0,
                              "max_attempts": 3, "backoff_ms": 50, "poll_min_ms": 100, "max_input_bytes": 1 << 30},
                             {"handler": "command-loop", "slots": 1, "grace_ms": 1000, "command": command, **settings})}


def types(**settings):
    act = env.HANDLERS / "loop_act"
    return {**_type("act", act, **settings), **_type("upper", env.HANDLERS / "loop_upper.sh", **settings),
            **_type("sum", env.HANDLERS / "loop_sum.py", **settings), **_type("shown", act, show_stderr="yes", **settings),
            **_type("time", act, timeout_ms=400, **settings)}


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def stack(cluster, work_dir):
    it = Stack(cluster, apis=1, types=(), more_types=types(work_dir=work_dir), worker={"progress_ms": 20})
    try:
        it.start()
        yield it
    finally:
        complaints = it.stop()
        assert complaints == []
        assert os.listdir(work_dir) == [], "nothing is left of inputs and results"


def act(api, path="/loop/act", **what):
    return api.submit(path, json.dumps(what), traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").headers["Location"]


def test_the_example_in_shell(api):
    reply = api.result(api.submit("/loop/upper", b"it's\there\n", "text/plain").headers["Location"])
    assert (reply.content, reply.headers["Content-Type"]) == (b"IT'S\tHERE\n", "text/plain")
    assert api.result(api.submit("/loop/upper", b"a" * 3_000_000, "text/plain").headers["Location"]).content == b"A" * 3_000_000
    assert api.result(api.submit("/loop/upper", b"", "text/plain").headers["Location"]).content == b""


def test_the_example_in_python(api):
    def run(data):
        return api.submit("/loop/sum", data).headers["Location"]

    assert api.result(run(b"[1, 2, 3.5]")).json() == {"sum": 6.5}
    error = api.ended(run(b'["x"]'))["error"]
    assert error["type"].endswith(":invalid-input") and error["status"] == 422
    url = run(json.dumps([1] * 3_000_000))
    wait_until(lambda: 0 < api.document(url).get("percentComplete", 0) < 100, 10, "the sum to be under way", every=0)
    api.post(url + "/cancel")
    api.until(url, "Canceled")
    assert api.result(run(b"[4]")).json() == {"sum": 4}


def test_the_examples_of_the_readme():
    readme = (env.ROOT / "README.md").read_text()
    for name in ("loop_upper.sh", "loop_sum.py"):
        lines = [line.strip() for line in (env.HANDLERS / name).read_text().splitlines()]
        assert [line for line in lines if line not in readme] == []


def test_one_start_for_many_jobs(api):
    seen = [api.result(act(api)).json() for _ in range(5)]
    assert len({s["pid"] for s in seen}) == 1
    assert [s["served"] - seen[0]["served"] for s in seen] == [0, 1, 2, 3, 4]


def test_what_it_is_told(api, work_dir):
    url = act(api)
    seen = api.result(url).json()
    job, attempt, inp, result, media, deadline, traceparent, client, request = seen["fields"]
    assert (job, attempt, media) == (url.rsplit("/", 1)[1], "1", "application/json")
    assert inp.startswith(str(work_dir)) and os.path.dirname(inp) == os.path.dirname(result)
    assert sorted(seen["folder"]) == ["input", "result"]
    assert traceparent.startswith("00-0af7651916cd43dd8448eb211c80319c-") and client.startswith("client-")
    assert not [n for n in seen["env"] if n.startswith(("PG", "LONGHAUL"))]
    assert len(seen["fds"]) <= 6, "nothing inherited but stdin, stdout, stderr"


def test_progress(api):
    url = act(api, say=[["progress", "ID", 1, 4, "one of four", "more"], ["progress", "other", 9, 9]], sleep=2)
    doc = wait_until(lambda: (d := api.document(url)).get("percentComplete") == 25 and d, 10, "25 %")
    assert doc["progress"]["message"] == "one of four"
    api.completed(url)


@pytest.mark.parametrize("what,size", [({"size": 0}, 0), ({"nothing": True}, 0), ({"size": 65537}, 65537), ({"size": 2_000_000}, 2_000_000)])
def test_results(api, what, size):
    assert len(api.result(act(api, **what)).content) == size


def test_media_type_of_the_result(api):
    assert api.result(act(api, size=1, type=["text/x-own"])).headers["Content-Type"] == "text/x-own"
    assert api.result(act(api, size=1)).headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("what", [{"link": "/etc/shadow"}, {"hard": True}, {"link": "/dev/zero"}])
def test_results_that_are_no_files_of_its_own(api, what):
    doc = api.ended(act(api, **what))
    assert doc["status"] == "Failed" and doc["error"]["type"].endswith(":command-failed")


@pytest.mark.parametrize("fields,error", [
    (["failed", "ID"], {"type": "command-failed", "status": 500}),
    (["failed", "ID", 404, "no-such-thing", "There is none", "of these\tthings"],
     {"type": "no-such-thing", "status": 404, "title": "There is none"}),
    (["failed", "ID", "-", "-", "Only a title"], {"type": "command-failed", "status": 500, "title": "Only a title"})])
def test_failures(api, fields, error):
    doc = api.ended(act(api, say=[fields]))
    assert (doc["status"], doc["attempt"]) == ("Failed", 1)
    assert {k: doc["error"][k].rsplit(":", 1)[-1] if k == "type" else doc["error"][k] for k in error} == error


def test_retry(stack, api):
    url = act(api, say=[["retry", "ID", 600000, "Later"]])
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.delayed WHERE job_id = %s AND run_at > now() + interval '500 s'",
                                   [url.rsplit("/", 1)[1]]), 10, "the job to be put off")
    api.post(url + "/cancel")


@pytest.mark.parametrize("raw", ["hello\n", "\n", "done\n", "ready\t1\n", "failed\tID\n", "x" * 9000, "progress\t%s\tmany\n"])
def test_nonsense_fails_the_job_and_ends_the_command(api, raw):
    before = api.result(act(api)).json()["pid"]
    if "%s" in raw:
        url = act(api, say=[["progress", "ID", "many"]], sleep=60)
    elif "ID" in raw:
        url = act(api, say=[["failed", "ID", "99"]], sleep=60)
    else:
        url = act(api, raw=raw, sleep=60)
    doc = api.ended(url)
    assert (doc["status"], doc["attempt"]) == ("Failed", 1)
    assert doc["error"]["type"].endswith(":command-failed") and "protocol" in doc["error"]["detail"]
    assert api.result(act(api)).json()["pid"] != before


def test_a_command_that_dies_takes_down_no_job(api, tmp_path):
    before = api.result(act(api)).json()["pid"]
    url = act(api, first=str(tmp_path / "died"))
    doc = api.completed(url)
    assert doc["attempt"] == 1, "no attempt was burned"
    assert api.get(doc["_links"]["results"]["href"]).json()["pid"] != before


@pytest.mark.parametrize("what", [{"exit": 0}, {"exit": 9}, {"close": True, "sleep": 60}])
def test_a_job_that_kills_the_command_each_time(api, what):
    doc = api.ended(act(api, **what))
    assert doc["status"] == "Failed" and doc["error"]["type"].endswith(":handler-died")
    assert api.completed(act(api))


def test_a_command_that_ends_between_jobs_is_started_again(stack, api):
    first = api.result(act(api, quit=True)).status_code
    assert first == 200
    for _ in range(3):
        doc = api.ended(act(api, quit=True))
        assert (doc["status"], doc["attempt"]) == ("Completed", 1)


def test_cancel_is_told_first(api):
    before = api.result(act(api)).json()["pid"]
    url = act(api, listen=True, say=[["progress", "ID", 1, 2]])
    wait_until(lambda: api.document(url).get("percentComplete") == 50, 10, "the job to run")
    assert api.post(url + "/cancel").status_code == 202
    api.until(url, "Canceled")
    assert api.result(act(api)).json()["pid"] == before, "the command lives"


@pytest.mark.parametrize("ignore", [False, True])
def test_cancel_ends_who_does_not_listen(api, ignore):
    before = api.result(act(api)).json()["pid"]
    url = act(api, sleep=60, fork=True, ignore_term=ignore, say=[["progress", "ID", 1, 2]])
    wait_until(lambda: api.document(url).get("percentComplete") == 50, 10, "the job to run")
    began = time.monotonic()
    assert api.post(url + "/cancel").status_code == 202
    api.until(url, "Canceled")
    assert time.monotonic() - began < 5 * env.PATIENCE
    assert api.result(act(api)).json()["pid"] != before
    wait_until(lambda: not os.path.exists(f"/proc/{before}"), 10, "the old one to be gone")


def test_who_has_fled_ends_with_the_command(api, tmp_path):
    """Away from its group and session: the runner is its parent when the command is dead."""
    url = act(api, escape=str(tmp_path / "pids"), exit=3)
    assert api.ended(url)["error"]["type"].endswith(":handler-died")
    pids = (tmp_path / "pids").read_text().split()
    assert pids
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 10, "them to be gone")


def test_timeout(api):
    doc = api.ended(act(api, path="/loop/time", sleep=60))
    assert doc["status"] == "Failed" and doc["error"]["type"].endswith(":timeout")
    assert api.completed(act(api, path="/loop/time"))


def test_stderr_is_for_the_log(stack, api):
    api.ended(act(api, stderr="deep trouble", say=[["failed", "ID"]]))
    wait_until(lambda: "deep trouble" in stack.logs()["worker-1"], 10, "stderr in the log")
    doc = api.ended(act(api, path="/loop/shown", stderr="shallow trouble", raw="?\n", sleep=60))
    assert "shallow trouble" in doc["error"]["detail"]


def check(tmp_path, **settings):
    config = tmp_path / "worker.conf"
    config.write_text(ini({"worker": {"runner": env.BIN / "longhaul-runner"},
                           "type x": {"handler": "command-loop", "command": "/bin/cat", **settings}}))
    done = subprocess.run([env.BIN / "longhaul-worker", "-t", "-c", config], capture_output=True, text=True)
    if done.returncode != 0:
        key = next(iter(settings))
        line = next(n for n, text in enumerate(config.read_text().splitlines(), 1) if text.startswith(f"{key} ="))
        assert f"{config}:{line}: [type x]: {key}: " in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("settings,why", [
    ({"command": "cat"}, "whole path"), ({"command": "/bin/none-such"}, "command: \"/bin/none-such\": No such file"),
    ({"command": "/etc/passwd"}, "can't be executed"), ({"command": "/bin"}, "is no file"), ({"environment": "A"}, "environment: neither NAME=value"),
    ({"user": "nobody-of-that-name"}, "user: there is no"), ({"directory": "/nowhere"}, "directory: \"/nowhere\": No such file"),
    ({"rlimit_nofile": 3}, "rlimit_nofile: a command has five"), ({"rlimit_as": "much"}, "rlimit_as"),
    ({"work_dir": "/nowhere"}, "No such file"), ({"work_dir": "here"}, "begin with a slash"),
    ({"work_dir": "/etc/passwd"}, "nothing can be written there"), ({"start_ms": "soon"}, "start_ms: not a whole number")])
def test_wrong_settings_are_refused_at_start(tmp_path, settings, why):
    code, said = check(tmp_path, **settings)
    assert code == 2 and why in said


@pytest.mark.parametrize("how,why", [("silent", "not ready in time"), ("ends", "ended before it was ready"),
                                     ("newer", "another version of the protocol")])
def test_commands_that_do_not_start(cluster, how, why):
    it = Stack(cluster, apis=1, types=(), more_types=_type("act", f"{env.HANDLERS / 'loop_act'} {how}", start_ms=500))
    try:
        for daemon in it.daemons:
            daemon.start()
        it.nginx.start()
        it.wait_ready()
        it.api().submit("/loop/act")
        wait_until(lambda: why in it.logs()["worker-1"], 15, "the worker to say why")
    finally:
        it.stop()


def test_folders_of_killed_runners_are_removed(stack, work_dir, api):
    """A folder that nobody holds a lock on, and old: the next runner that starts removes it."""
    left = work_dir / "longhaul-loop-abcdef"
    left.mkdir()
    (left / "input").write_text("somebody's")
    os.utime(left, (1, 1))
    young = work_dir / "longhaul-loop-ghijkl"
    young.mkdir()
    pid = api.result(act(api)).json()["pid"]
    with open(f"/proc/{pid}/stat") as f:
        parent = int(f.read().rsplit(")", 1)[1].split()[1])
    os.kill(parent, 9)
    assert api.completed(act(api))
    wait_until(lambda: not left.exists(), 10, "the old folder to be gone")
    assert young.exists()
    young.rmdir()
    for folder in work_dir.iterdir():  # of the runner that was just killed: too young as yet
        with contextlib.suppress(BlockingIOError):
            fd = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(fd)
