"""Longhaul-Start-By: a job that nobody has begun by then has failed, and is never begun."""

from datetime import datetime, timedelta, timezone

import pytest

from harness.api import assert_problem
from harness.env import PATIENCE, wait_until


def at(seconds, now=None):
    when = (now or datetime.now(timezone.utc)) + timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def assert_too_late(doc):
    assert doc["status"] == "Failed", doc
    assert doc["error"]["type"].endswith(":expired") and "started in time" in doc["error"]["title"]
    assert "startedTime" not in doc and "startByTime" not in doc and "attempt" not in doc


@pytest.mark.parametrize("start_by, run_at", [
    ("tomorrow", None), ("", None), ("2020-01-01T00:00:00Z", None), ("2999-01-01T00:00:00Z", None),
    (3600, 7200), (3600, 3600),
])
def test_wrong_times_are_refused(api, start_by, run_at):
    """Numbers are seconds from now."""
    now = datetime.now(timezone.utc)
    headers = {"Longhaul-Start-By": start_by if isinstance(start_by, str) else at(start_by, now)}
    if run_at is not None:
        headers["Longhaul-Run-At"] = at(run_at, now)
    body = assert_problem(api.post("/test/idle", headers=headers), 400, "invalid-input")
    assert "start-by" in str(body["errors"]).lower()


def test_a_job_that_nobody_serves(api):
    by = at(2)
    reply = api.submit("/test/idle", Longhaul_Start_By=by)
    url = reply.headers["Location"]
    assert reply.json()["startByTime"] == by
    assert api.document(url)["startByTime"] == by
    assert api.get("/idles").json()["jobs"][0]["startByTime"] == by
    doc = api.ended(url)
    assert_too_late(doc)
    assert by <= doc["completionTime"] < at(5 * PATIENCE)
    assert by in doc["error"]["detail"]
    operation = api.get(reply.headers["Operation-Location"]).json()
    assert (operation["status"], operation["error"]["code"]) == ("Failed", "expired")


def test_who_waits_is_told(api):
    reply = api.post("/test/idle", b"{}", headers={"Longhaul-Start-By": at(1), "Prefer": "wait=30"})
    assert_problem(reply, 422, "expired")


def test_it_is_never_begun(make_stack, tmp_path):
    """Behind a job that takes all the slots, of a paused type, and with a time before which it mustn't run."""
    tmp_path.chmod(0o777)
    stack = make_stack(apis=1, type_settings={"test.act": {"slots": 1}}, type_rows={"test.quick": {"paused": True}})
    api = stack.api()
    blocker = api.submit("/test/act", b'{"sleep": 3}').headers["Location"]
    wait_until(lambda: api.document(blocker)["status"] == "InProgress", 10, "the slot to be taken")
    mark = b'{"append": "%s"}' % bytes(tmp_path / "ran")
    urls = [api.submit("/test/act", mark, Longhaul_Start_By=at(1), Longhaul_Priority=p).headers["Location"] for p in ("0", "5")]
    urls.append(api.submit("/test/act", mark, Longhaul_Run_At=at(1), Longhaul_Start_By=at(1.5)).headers["Location"])
    urls.append(api.submit("/test/quick", mark, Longhaul_Start_By=at(1)).headers["Location"])
    for url in urls:
        assert_too_late(api.ended(url))
    api.completed(blocker)
    after = api.submit("/test/act", mark, Longhaul_Start_By=at(3600)).headers["Location"]
    assert api.completed(after)["startedTime"]
    assert (tmp_path / "ran").read_text().split() == [after.rsplit("/", 1)[1]]
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.job_deadline WHERE start_by < now()") == 0, 10, "the rest to be forgotten")


def test_once_begun_it_goes_on(api, tmp_path):
    """It runs past its time; and its second attempt comes after it."""
    tmp_path.chmod(0o777)
    long = api.submit("/test/act", b'{"sleep": 2}', Longhaul_Start_By=at(1)).headers["Location"]
    assert api.completed(long)["attempt"] == 1
    again = api.submit("/test/act", b'{"sleep": 1.5, "once": "%s"}' % bytes(tmp_path / "flag"), Longhaul_Start_By=at(1)).headers["Location"]
    doc = api.completed(again)
    assert doc["attempt"] == 2


def test_a_failed_one_can_be_retried(api):
    url = api.submit("/test/idle", Longhaul_Start_By=at(0.5)).headers["Location"]
    assert_too_late(api.ended(url))
    assert api.post(url + "/retry").status_code == 202
    doc = api.document(url)
    assert doc["status"] == "Queued" and "startByTime" not in doc


def test_the_key_covers_it(api):
    headers = {"Idempotency-Key": '"deadline"', "Prefer": "respond-async"}
    by = at(3600)
    first = api.post("/test/idle", b"{}", headers={**headers, "Longhaul-Start-By": by})
    same = api.post("/test/idle", b"{}", headers={**headers, "Longhaul-Start-By": by})
    assert first.headers["Location"] == same.headers["Location"]
    assert_problem(api.post("/test/idle", b"{}", headers=headers), 422, "idempotency-key-reused")
