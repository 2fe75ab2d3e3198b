"""The handler sql: functions in the database as jobs."""

import json
import os
import signal
import subprocess

import pytest

from harness import env
from harness.env import wait_until
from harness.stack import Stack, ini


def _type(function, **row):
    name = "sql." + function
    return {name: ({"submit_path": "/sql/" + function.replace("_", "-"), "collection": function.replace("_", "-") + "s",
                    "media_types": ["*/*"], "wait_ms": 0, "max_attempts": 12, "backoff_ms": 50, "poll_min_ms": 100,
                    "max_input_bytes": 1 << 30, **row},
                   {"handler": "sql", "function": "app." + function, "slots": 2, "grace_ms": 500})}


TYPES = {}
for _name in ("raise_prices", "act", "upper", "same", "nothing"):
    TYPES.update(_type(_name))
FUNCTIONS = (env.HANDLERS / "functions.sql").read_text()


def make(cluster, **kw):
    it = Stack(cluster, apis=1, types=(), more_types=TYPES, worker={"progress_ms": 20, "rescue_ms": 100, **kw.pop("worker", {})}, **kw)
    it.sql(FUNCTIONS)
    return it


@pytest.fixture(scope="module")
def stack(cluster):
    it = make(cluster)
    try:
        it.start()
        yield it
    finally:
        assert it.stop() == []


def act(api, **what):
    return api.submit("/sql/act", json.dumps(what)).headers["Location"]


def notes(stack, note):
    return stack.value("SELECT count(*) FROM app.done WHERE what = %s", [note])


def proceed(stack, note):
    stack.sql("INSERT INTO app.done VALUES (NULL, %s)", [note])


def test_the_example(stack, api):
    reply = api.result(api.submit("/sql/raise-prices", b'{"percent": 10}').headers["Location"])
    assert reply.json() == {"raised": 1000}
    assert reply.headers["Content-Type"] == "application/json"
    assert stack.value("SELECT count(*) FROM app.price WHERE cents = 110") == 1000
    error = api.ended(api.submit("/sql/raise-prices", b'{"percent": 80}').headers["Location"])["error"]
    assert error["type"].endswith(":invalid-percentage") and error["status"] == 422
    assert (error["title"], error["detail"]) == ("The percentage can't be used", "percent must be from 0 to 50.")


@pytest.mark.parametrize("path,data,result,media", [
    ("upper", b"it's \xe2\x98\x83", b"IT'S \xe2\x98\x83", "text/plain; charset=utf-8"),
    ("upper", b"", b"", None),
    ("same", bytes(range(256)), bytes(range(256)), "application/octet-stream"),
    ("same", b"\\x00'", b"\\x00'", "application/octet-stream"),
    ("nothing", b"[1]", b"", None),
])
def test_types_of_input_and_result(api, path, data, result, media):
    reply = api.result(api.submit("/sql/" + path, data, "application/octet-stream").headers["Location"])
    assert reply.content == result
    if media:
        assert reply.headers["Content-Type"] == media


def test_large_inputs_and_results(api):
    data = os.urandom(3_000_000)
    assert api.result(api.submit("/sql/same", data, "application/octet-stream").headers["Location"]).content == data
    assert len(api.result(act(api, repeat=1_000_000)).json()) == 1_000_000


@pytest.mark.parametrize("path,data", [
    ("act", b"{broken"), ("act", b'"\\u0000"'), ("act", b""), ("act", b"\xff"), ("nothing", b"{} {}"), ("upper", b"\xff\xfe"),
    ("upper", b"a\x00b")])
def test_input_that_the_parameter_cannot_hold(api, path, data):
    doc = api.ended(api.submit("/sql/" + path, data).headers["Location"])
    assert doc["status"] == "Failed" and doc["attempt"] == 1
    assert doc["error"]["type"].endswith(":invalid-input") and doc["error"]["status"] == 422, doc


def test_progress_is_seen_while_the_transaction_is_open(stack, api):
    url = act(api, note="p1", progress=[[1, 4, "one"], [3, 4, "three of four"]], wait="go-p1")
    doc = wait_until(lambda: (d := api.document(url)).get("percentComplete") == 75 and d, 10, "75 %")
    assert doc["progress"] == {"done": 3, "total": 4, "message": "three of four"}
    assert notes(stack, "p1") == 0, "nothing is committed yet"
    proceed(stack, "go-p1")
    api.completed(url)
    assert notes(stack, "p1") == 1


def test_cancel_ends_the_statement(stack, api):
    url = act(api, note="c1", progress=[[1, 2]], wait="never")
    wait_until(lambda: api.document(url).get("percentComplete") == 50, 10, "the function to run")
    assert api.post(url + "/cancel").status_code == 202
    assert api.until(url, "Canceled")
    assert notes(stack, "c1") == 0
    assert api.completed(act(api)), "the runner is fit for the next"


def test_timeout_ends_the_statement(make_stack, cluster):
    it = make(cluster, type_settings={"sql.act": {"timeout_ms": 300}}, type_rows={"sql.act": {"max_attempts": 1}})
    try:
        it.start()
        api = it.api()
        doc = api.ended(act(api, note="t1", wait="never"))
        assert doc["status"] == "Failed" and doc["error"]["type"].endswith(":timeout")
        wait_until(lambda: it.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = current_database() "
                                    "AND application_name = 'longhaul-sql'") == 0, 10, "the statement to end")
        assert notes(it, "t1") == 0
    finally:
        assert it.stop() == []


@pytest.mark.parametrize("code,status", [("LH400", 400), ("LH409", 409), ("LH500", 500), ("LH599", 599)])
def test_errors_that_the_function_chose(stack, api, code, status):
    doc = api.ended(act(api, note=code, code=code, message="Title", detail="Détail", hint="Not A Type"))
    assert (doc["status"], doc["attempt"]) == ("Failed", 1)
    assert doc["error"]["status"] == status and doc["error"]["type"].endswith(":function-failed")
    assert (doc["error"]["title"], doc["error"]["detail"]) == ("Title", "Détail")
    assert notes(stack, code) == 0


@pytest.mark.parametrize("code", ["P0001", "22012", "LH600", "LH4xx", "42883"])
def test_other_errors_say_nothing(stack, api, code):
    doc = api.ended(act(api, code=code, detail="secret"))
    assert (doc["status"], doc["attempt"], doc["error"]["status"]) == ("Failed", 1, 500)
    text = json.dumps(doc["error"])
    assert not [w for w in ("secret", "app.act", code, "SELECT") if w in text], text


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "LH503"])
def test_what_is_tried_again(stack, api, code):
    url = act(api, code=code, until="again-" + code)
    wait_until(lambda: [a for a in api.get(url + "/attempts").json()["attempts"] if a["status"] == "Failed"], 10, "the first attempt's end")
    proceed(stack, "again-" + code)
    assert api.completed(url)["attempt"] >= 2


def test_frozen_runner_applies_nothing_twice(cluster):
    """The first host is frozen, its runner too, while the function runs; the job is done by another attempt or by
    that transaction, once."""
    it = make(cluster, workers=2, worker={"lease_ms": 1500, "beat_ms": 200})
    try:
        it.start()
        api = it.api()
        url = act(api, note="f1", progress=[[1, 2]], wait="go-f1")
        wait_until(lambda: api.document(url).get("percentComplete") == 50, 10, "the function to run")
        pid = it.value("SELECT pid FROM longhaul.lease JOIN longhaul.worker USING (boot)")
        frozen = [pid, *next(d for d in it.workers if d.pid == pid).children()]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: it.value("SELECT count(*) FROM longhaul.worker WHERE dead_at IS NOT NULL") == 1, 20, "the frozen host to be dead")
        proceed(it, "go-f1")
        for pid in reversed(frozen):
            os.kill(pid, signal.SIGCONT)
        api.completed(url, timeout=40)
        assert notes(it, "f1") == 1
    finally:
        it.stop()


def test_rescued_after_its_worker_was_killed(cluster):
    it = make(cluster, workers=2, worker={"lease_ms": 1000, "beat_ms": 100})
    try:
        it.start()
        api = it.api()
        url = act(api, note="k1", progress=[[1, 2]], wait="go-k1")
        wait_until(lambda: api.document(url).get("percentComplete") == 50, 10, "the function to run")
        pid = it.value("SELECT pid FROM longhaul.lease JOIN longhaul.worker USING (boot)")
        next(d for d in it.workers if d.pid == pid).stop(signal.SIGKILL)
        proceed(it, "go-k1")
        api.completed(url, timeout=40)
        assert notes(it, "k1") == 1
    finally:
        it.stop()


@pytest.mark.parametrize("function,database,why", [
    ("app.none", None, "there is no such function"),
    ("app.number", None, "it must take (uuid, and jsonb, json, text or bytea) and return"),
    ("upper", None, "the name must be SCHEMA.FUNCTION"),
    ("", None, "function: is missing"),
    ("app.upper", "api", "longhaul_import"),
])
def test_wrong_settings_are_refused_at_start(stack, tmp_path, function, database, why):
    sections = {"worker": {"runner": env.BIN / "longhaul-runner"},
                "type x": {"handler": "sql", "function": function,
                           "database": stack.cluster.conninfo(stack.database, database or "importer")}}
    config = tmp_path / "worker.conf"
    config.write_text(ini(sections))
    done = subprocess.run([env.BIN / "longhaul-worker", "-t", "-c", config], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{config}:" in done.stderr and ": [type x]: " in done.stderr and why in done.stderr, done.stderr


def test_a_database_that_is_away_refuses_nothing(tmp_path):
    config = tmp_path / "worker.conf"
    config.write_text(ini({"worker": {"runner": env.BIN / "longhaul-runner"},
                           "type x": {"handler": "sql", "function": "app.upper", "database": "host=/nowhere"}}))
    done = subprocess.run([env.BIN / "longhaul-worker", "-t", "-c", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
