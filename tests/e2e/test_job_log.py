"""The attempts of a job, and what they have written to stderr."""

import json

import pytest

from harness import env
from harness.api import assert_problem
from harness.env import wait_until
from harness.stack import ACT, Stack

LOUD = {"log_for_clients": True}


def _type(name, row, settings):
    return {name: ({"submit_path": "/" + name.replace(".", "/"), "collection": name.replace(".", "-"), "wait_ms": 0, "max_attempts": 3,
                    "backoff_ms": 20, "poll_min_ms": 100, **row}, {"slots": 2, "grace_ms": 500, **settings})}


@pytest.fixture(scope="module")
def stack(cluster):
    act = {"handler": "exec", "command": ACT}
    it = Stack(cluster, apis=1, worker={"progress_ms": 20, "promote_ms": 20}, types=(), more_types={
        **_type("log.loud", LOUD, act), **_type("log.silent", {}, act), **_type("log.short", LOUD, {**act, "log_max": 10}),
        **_type("log.none", LOUD, {**act, "log_max": 0}), **_type("log.time", LOUD, {**act, "timeout_ms": 1500}),
        **_type("log.loop", LOUD, {"handler": "command-loop", "slots": 1, "command": env.HANDLERS / "loop_act"})})
    try:
        it.start()
        yield it
    finally:
        complaints = it.stop()
        assert complaints == []


def submit(api, path="/log/loud", **what):
    return api.submit(path, json.dumps(what)).headers["Location"]


def attempts(api, url):
    return api.get(url + "/attempts").json()["attempts"]


def log(api, url, attempt=None):
    reply = api.get(url + "/log" + (f"?attempt={attempt}" if attempt else ""))
    assert reply.status_code == 200, reply.text
    return reply.content


def logged(api, path, go, **what):
    """A job whose log has certainly reached the daemon; it goes on when the file is there."""
    url = submit(api, path, progress=[[1, 4], [2, 4]], pace=0.2, until=str(go), **what)
    wait_until(lambda: api.document(url).get("progress", {}).get("done") == 2, 10, "its second step")
    return url


def test_each_attempt_has_its_log(api, tmp_path):
    url = submit(api, log="words\n", once=str(tmp_path / "once"))
    doc = api.completed(url)
    assert doc["_links"]["log"]["href"] == url + "/log"
    reply = api.get(url + "/attempts")
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/json")
    whole = reply.json()
    assert whole["jobId"] == doc["jobId"] and whole["inputSize"] > 10 and whole["inputType"] == "application/json"
    first, second = whole["attempts"]
    assert (first["attempt"], first["status"], first["logSize"]) == (1, "Failed", 6)
    assert (second["attempt"], second["status"], second["logSize"]) == (2, "Completed", 6)
    assert first["error"]["type"].endswith(":try-again") and "error" not in second
    assert doc["createdTime"] <= first["startedTime"] <= first["endedTime"] <= second["startedTime"] <= second["endedTime"]
    assert second["endedTime"] == doc["completionTime"]
    reply = api.get(url + "/log")
    assert (reply.content, reply.headers["Longhaul-Attempt"]) == (b"words\n", "2")
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    reply = api.get(url + "/log?attempt=1")
    assert (reply.content, reply.headers["Longhaul-Attempt"]) == (b"words\n", "1")
    head = api.head(url + "/log")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "6", b"")


def test_what_is_not_there(stack, api):
    url = submit(api)
    api.completed(url)
    assert_problem(api.get(url + "/log"), 404, "not-found")
    assert "logSize" not in attempts(api, url)[0]
    url = submit(api, log="mine")
    api.completed(url)
    assert_problem(api.get(url + "/log?attempt=2"), 404, "not-found")
    for wrong in ("0", "-1", "x", "1x", "99999999999", "%00"):
        assert_problem(api.get(url + "/log?attempt=" + wrong), 400, "invalid-input")
    other = stack.api("somebody-else")
    assert_problem(other.get(url + "/log"), 404, "not-found")
    assert_problem(other.get(url + "/attempts"), 404, "not-found")
    assert_problem(api.get(url.replace("log-loud", "log-silent") + "/log"), 404, "not-found")
    assert_problem(api.post(url + "/log"), 405, "method-not-allowed")


def test_bytes_that_are_no_text(stack, api):
    url = submit(api, log="a\0b\xff\xfec \xe2\x82\xac \xe2\x82")
    api.completed(url)
    assert log(api, url).decode() == "a\ufffdb\ufffd\ufffdc € \ufffd\ufffd"
    assert stack.value("SELECT longhaul.job_log(%s)", [api.document(url)["jobId"]]) == log(api, url).decode()


def test_the_end_is_kept(api):
    url = submit(api, log="".join("%07d\n" % n for n in range(20000)))
    api.completed(url)
    lines = log(api, url).decode().splitlines()
    assert lines[0] == "(what came before this is not kept)" and lines[-1] == "0019999"
    assert len(lines) == 1 + 65536 // 8 and lines[1] == "%07d" % (20000 - 65536 // 8)
    url = submit(api, log="e" * 65536)
    api.completed(url)
    assert log(api, url) == b"e" * 65536, "all of it"
    url = submit(api, log="\xff" * 60000 + "x")
    api.completed(url)
    text = log(api, url).decode()
    assert text.startswith("(what") and text.endswith("\ufffdx") and len(text.encode()) <= 65536 + 40
    url = submit(api, "/log/short", log="x€€€".encode().decode("latin-1") + "12345")
    api.completed(url)
    assert log(api, url).decode().splitlines()[1] == "€12345"
    url = submit(api, "/log/none", log="nothing of this")
    api.completed(url)
    assert_problem(api.get(url + "/log"), 404, "not-found")


def test_log_of_a_failed_job(api):
    url = submit(api, log="so that is why", exit=3)
    assert api.ended(url)["status"] == "Failed"
    assert log(api, url) == b"so that is why"
    (attempt,) = attempts(api, url)
    assert attempt["status"] == "Failed" and attempt["error"]["type"].endswith(":command-failed")


def test_log_of_a_canceled_job(api, tmp_path):
    url = logged(api, "/log/loud", tmp_path / "never", log="working")
    assert attempts(api, url)[0]["status"] == "InProgress"
    assert_problem(api.get(url + "/log"), 404, "not-found")
    api.post(url + "/cancel")
    api.until(url, "Canceled")
    assert log(api, url) == b"working"
    assert [a["status"] for a in attempts(api, url)] == ["Canceled"]


def test_log_of_a_job_out_of_time(api, tmp_path):
    url = submit(api, "/log/time", log="slow", until=str(tmp_path / "never"), ignore_term=True)
    assert api.ended(url)["error"]["type"].endswith(":timeout")
    assert log(api, url) == b"slow"


def test_log_of_a_job_that_killed_its_runner(api, tmp_path):
    url = logged(api, "/log/loud", tmp_path / "go", log="last words", kill_runner=True)
    (tmp_path / "go").touch()
    assert api.ended(url)["error"]["type"].endswith(":handler-died")
    first, second = attempts(api, url)
    assert (first["status"], second["status"]) == ("Interrupted", "Failed")
    assert first["error"]["type"].endswith(":runner-died")
    assert log(api, url, 1) == b"last words", "out of the memory that the runner left"
    assert api.document(url)["attempt"] == 1, "of which one counted"


def test_an_attempt_after_a_retry_by_hand(api):
    url = submit(api, log="once", exit=3)
    api.until(url, "Failed")
    assert api.post(url + "/retry").status_code == 202
    wait_until(lambda: len(attempts(api, url)) == 2 and attempts(api, url)[1]["status"] == "Failed", 10, "the second attempt")
    assert [a["attempt"] for a in attempts(api, url)] == [1, 2]
    assert log(api, url, 1) == log(api, url, 2) == b"once"


def test_types_that_do_not_show_it(stack, api):
    url = submit(api, "/log/silent", log="for the DBA only")
    doc = api.completed(url)
    assert "log" not in doc["_links"]
    assert_problem(api.get(url + "/log"), 404, "not-found")
    assert "logSize" not in attempts(api, url)[0]
    assert stack.value("SELECT longhaul.job_log(%s)", [doc["jobId"]]) == "for the DBA only"


def test_the_link_is_in_the_document_of_webhooks_too(stack, api):
    for path in ("/log/loud", "/log/silent"):
        for end in ({}, {"exit": 3}):
            doc = api.ended(submit(api, path, **end))
            base = doc["_links"]["self"]["href"].rsplit("/v1/", 1)[0]
            told = stack.value("SELECT longhaul.job_document(%s, %s, 'urn:longhaul:problem:')", [doc["jobId"], base])
            assert json.loads(told) == doc


def test_a_deleted_job_takes_its_logs_along(stack, api, tmp_path):
    url = submit(api, log="gone", once=str(tmp_path / "once"))
    job = api.completed(url)["jobId"]
    assert stack.value("SELECT count(*) FROM longhaul.attempt_log WHERE job_id = %s", [job]) == 2
    assert api.delete(url).status_code == 204
    assert_problem(api.get(url + "/log"), 404, "not-found")
    assert stack.value("SELECT (SELECT count(*) FROM longhaul.attempt_log WHERE job_id = %s) + "
                       "(SELECT count(*) FROM longhaul.attempt WHERE job_id = %s)", [job, job]) == 0


def test_a_persistent_command_has_a_log_for_each_job(api):
    for n in range(3):
        url = submit(api, "/log/loop", stderr=f"job {n}")
        api.completed(url)
        assert log(api, url) == f"job {n}\n".encode()
    url = submit(api, "/log/loop", stderr="dying", exit=3)
    assert api.ended(url)["error"]["type"].endswith(":handler-died")
    assert [log(api, url, n) for n in (1, 2)] == [b"dying\n"] * 2
