"""Commands as job types."""

import json
import os
import time

import pytest

from harness.env import PATIENCE, wait_until


def submit(api, **what):
    return api.submit("/test/act", json.dumps(what)).headers["Location"]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_output_is_the_result(api):
    assert api.result(submit(api, stdout="hello")).content == b"hello"


def test_environment_is_clean(stack, api, monkeypatch):
    reply = api.submit("/test/act", b'{"env": true}', traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    url = reply.headers["Location"]
    seen = api.result(url).json()
    env = seen["env"]
    assert not [n for n in env if n.startswith("PG")], env
    assert seen["fds"][:4] == [0, 1, 2, 3]
    assert len(seen["fds"]) <= 5, "nothing inherited but stdin, stdout, stderr, progress (and the listing itself)"
    values = set(env.values())
    assert url.rsplit("/", 1)[1] in values, "the job's id"
    assert "1" in values, "the attempt"
    assert "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" in values
    assert "LD_PRELOAD" not in env and "ASAN_OPTIONS" not in env


def test_progress_lines(api):
    url = submit(api, progress=[[1, 4, "one"], [3, 4]], sleep=3)
    doc = wait_until(lambda: (d := api.document(url)).get("percentComplete") == 75 and d, 10, "75 %")
    assert doc["progress"]["done"] == 3 and doc["progress"]["total"] == 4
    api.completed(url)


@pytest.mark.parametrize("line", ["", "x", "-1 5", "5 -1", "1 0", "9" * 400, "1 2 " + "m" * 5000, "1 2 \udcff".encode(
    "utf8", "surrogateescape").decode("latin1"), "\x00", "nan", "1e5 2e5", "7 3"])
def test_nonsense_as_progress_is_harmless(api, line):
    url = submit(api, progress=[line], stdout="ok")
    assert api.result(url).content == b"ok"


def test_exit_codes(api):
    for code in (1, 2, 64, 127, 255):
        doc = api.ended(submit(api, exit=code))
        assert doc["status"] == "Failed" and doc["attempt"] == 1, (code, doc)


def test_death_by_signal_fails_the_job(api):
    doc = api.ended(submit(api, signal=9))
    assert doc["status"] == "Failed"
    assert "/" not in doc["error"].get("detail", ""), "no path in an error"


def test_stderr_is_not_the_result(api):
    assert api.result(submit(api, stdout="out", stderr="err")).content == b"out"


def test_more_output_than_anyone_reads(api):
    assert len(api.result(submit(api, stdout="0123456789", repeat=300000)).content) == 3_000_000


def test_more_stderr_than_is_kept(api):
    api.completed(submit(api, stderr="e" * 80000))


def test_input_that_is_not_read(api):
    """/bin/cat's opposite: a command that ends without having read its input."""
    data = json.dumps({"stdout": "x"}) + " " * 90000
    assert api.result(api.submit("/test/act", data).headers["Location"]).content == b"x"


def test_children_of_the_command_are_ended_with_it(api, tmp_path):
    """On cancel the whole process group goes."""
    url = submit(api, fork=True, sleep=60)
    api.until(url, "InProgress")
    this = url.rsplit("/", 1)[1]

    def family():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if this.encode() in f.read():
                        found.append(int(pid))
            except OSError:
                pass
        return found

    wait_until(lambda: len(family()) >= 2, 10, "the command and its child")
    begun = time.monotonic()
    api.post(url + "/cancel")
    api.until(url, "Canceled")
    wait_until(lambda: not any(alive(p) for p in family()), 10, "all of them to be gone")
    assert time.monotonic() - begun < 10 * PATIENCE


def test_missing_command_is_a_clear_failure(make_stack, tmp_path):
    command = tmp_path / "command"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    stack = make_stack(types=("noop", "test.act"), type_settings={"test.act": {"command": command}},
                       type_rows={"test.act": {"max_attempts": 1}})
    command.unlink()
    api = stack.api()
    doc = api.ended(submit(api))
    assert doc["status"] == "Failed"
    assert str(command) not in json.dumps(doc)
