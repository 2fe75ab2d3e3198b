"""Cancel, delete, retry, list, run-at, priority."""

import time
from datetime import datetime, timedelta, timezone

import pytest

from harness.api import assert_problem, job_id
from harness.env import PATIENCE, scaled, wait_until


def in_progress(api, url):
    wait_until(lambda: api.document(url)["status"] == "InProgress", 10, "the job to run")


# ---- cancel ----

def test_cancel_queued_is_at_once(api):
    url = api.submit("/test/idle").headers["Location"]
    reply = api.post(url + "/cancel")
    assert reply.status_code == 200
    assert reply.json()["status"] == "Canceled"
    assert api.document(url)["status"] == "Canceled"
    assert api.post(url + "/cancel").status_code == 200, "already canceled"


def test_cancel_running_stops_the_handler(api, tmp_path):
    url = api.submit("/test/act", b'{"sleep": 60}').headers["Location"]
    in_progress(api, url)
    begun = time.monotonic()
    reply = api.post(url + "/cancel")
    assert reply.status_code == 202
    assert reply.json()["jobId"] == url.rsplit("/", 1)[1]
    doc = api.until(url, "Canceled")
    assert time.monotonic() - begun < 10 * PATIENCE
    assert "completionTime" in doc


def test_cancel_kills_what_does_not_listen(api):
    url = api.submit("/test/act", b'{"sleep": 60, "ignore_term": true}').headers["Location"]
    in_progress(api, url)
    assert api.post(url + "/cancel").status_code == 202
    api.until(url, "Canceled")


def test_cancel_of_ended_jobs_is_refused(api):
    done = api.submit("/test/act").headers["Location"]
    api.completed(done)
    assert_problem(api.post(done + "/cancel"), 409, "not-cancelable")
    failed = api.submit("/test/act", b'{"exit": 1}').headers["Location"]
    api.ended(failed)
    assert_problem(api.post(failed + "/cancel"), 409, "not-cancelable")


# ---- delete ----

def test_delete_removes_job_input_and_result(stack, api):
    reply = api.submit("/test/cat", b"x" * 400000, "text/plain")
    url, this = reply.headers["Location"], job_id(reply)
    assert_problem(api.delete(api.submit("/test/idle").headers["Location"]), 409)
    api.completed(url)
    gone = api.delete(url)
    assert gone.status_code == 204 and gone.content == b""
    assert api.get(url).status_code == 404
    assert api.get(url + "/results").status_code == 404
    assert api.delete(url).status_code == 404
    for table in ("job", "outcome", "input_chunk", "result_chunk"):
        column = "id" if table == "job" else "job_id"
        assert stack.value(f"SELECT count(*) FROM longhaul.{table} WHERE {column} = %s", [this]) == 0, table


# ---- retry ----

def test_retry_runs_again(api, tmp_path):
    tmp_path.chmod(0o777)
    url = api.submit("/test/act", b'{"exit": 1, "once": "%s"}' % bytes(tmp_path / "flag")).headers["Location"]
    assert api.ended(url)["status"] == "Failed"
    tag = api.get(url).headers["ETag"]
    reply = api.post(url + "/retry")
    assert reply.status_code == 202
    assert reply.headers["Location"] == url
    doc = api.completed(url)
    assert doc["attempt"] == 2
    assert api.get(url).headers["ETag"] != tag


def test_retry_of_canceled_and_of_others(api):
    url = api.submit("/test/idle").headers["Location"]
    assert_problem(api.post(url + "/retry"), 409)
    api.post(url + "/cancel")
    assert api.post(url + "/retry").status_code == 202
    assert api.document(url)["status"] == "Queued"
    done = api.submit("/test/act").headers["Location"]
    api.completed(done)
    assert_problem(api.post(done + "/retry"), 409)


# ---- list ----

def test_list_newest_first_page_by_page(stack, api):
    made = [job_id(api.submit("/test/idle")) for _ in range(25)]
    made += [job_id(api.submit("/noop")) for _ in range(5)]
    api.completed(f"/noops/{made[-1]}")

    def walk(path):
        found, pages = [], 0
        while path:
            reply = api.get(path)
            assert reply.status_code == 200, reply.text
            body = reply.json()
            listed = body.get("jobs", body.get("items"))
            assert len(listed) <= 10
            found += [j["jobId"] for j in listed]
            pages += 1
            path = body["_links"].get("next", {}).get("href")
            assert (path in reply.headers.get("Link", "")) if path else ('rel="next"' not in reply.headers.get("Link", ""))
            assert pages < 20
        return found

    assert walk("/jobs?limit=10") == made[::-1]
    assert walk("/idles?limit=7") == made[:25][::-1]
    assert walk("/noops") == made[25:][::-1]
    for one in made[:3]:
        api.post(f"/idles/{one}/cancel")
    assert walk("/idles?status=Canceled&limit=10") == made[:3][::-1]
    assert sorted(walk("/jobs?status=Queued&limit=10")) == sorted(made[3:25])
    nobody = stack.api("has-no-jobs").get("/jobs").json()
    assert "next" not in nobody["_links"]


def test_list_created_after(api):
    old = job_id(api.submit("/test/idle"))
    time.sleep(0.02)  # the ids differ by their millisecond
    border = datetime.now(timezone.utc)
    time.sleep(0.02)
    new = job_id(api.submit("/test/idle"))
    stamp = border.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    text = api.get(f"/jobs?createdAfter={stamp}").text
    assert new in text and old not in text
    plus = (border + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "%2B02:00"
    text = api.get(f"/jobs?createdAfter={plus}").text
    assert new in text and old not in text


@pytest.mark.parametrize("query", [
    "status=Done", "status=queued", "limit=0", "limit=-1", "limit=abc", "limit=1e9", "limit=201", "createdAfter=yesterday",
    "createdAfter=2026-13-01T00:00:00Z", "cursor=garbage", "cursor=", "cursor=%00", "status=%ff", "limit=%zz",
    "status=Queued&status=Failed",
])
def test_list_refuses_wrong_queries(api, query):
    reply = api.get("/jobs?" + query)
    if query in ("limit=201",) and reply.status_code == 200:
        return  # capped
    body = assert_problem(reply, 400, "invalid-input")
    assert body["errors"] and all(e["where"] and e["why"] for e in body["errors"])


def test_foreign_cursor_shows_nothing_foreign(stack, api):
    for _ in range(3):
        api.submit("/test/idle")
    link = api.get("/jobs?limit=1").json()["_links"]["next"]["href"]
    stranger = stack.api("stranger").get(link)
    assert stranger.status_code in (200, 400)
    assert api.session.headers["X-Test-Client"] not in stranger.text
    if stranger.status_code == 200:
        assert "jobId" not in stranger.text


# ---- run-at and priority ----

def test_run_at_waits(api):
    due = datetime.now(timezone.utc) + timedelta(seconds=2)
    reply = api.submit("/test/act", b"{}", Longhaul_Run_At=due.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z")
    url = reply.headers["Location"]
    assert api.document(url)["status"] == "Queued"
    doc = api.completed(url)
    assert doc["startedTime"] >= due.strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize("value", ["tomorrow", "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "", "2026-02-30T00:00:00Z"])
def test_wrong_run_at_is_refused(api, value):
    reply = api.post("/test/idle", headers={"Longhaul-Run-At": value})
    body = assert_problem(reply, 400, "invalid-input")
    assert "run-at" in str(body["errors"]).lower()


@pytest.mark.parametrize("value", ["101", "-101", "high", "1.5", "", "99999999999999999999", "1 2"])
def test_wrong_priority_is_refused(api, value):
    body = assert_problem(api.post("/test/idle", headers={"Longhaul-Priority": value}), 400, "invalid-input")
    assert "priority" in str(body["errors"]).lower()


def test_priority_decides_who_is_first(make_stack, tmp_path):
    tmp_path.chmod(0o777)
    stack = make_stack(type_settings={"test.act": {"slots": 1}})
    api = stack.api()
    order = tmp_path / "order"
    blocker = api.submit("/test/act", b'{"sleep": 2}').headers["Location"]
    in_progress(api, blocker)
    urls = {}
    for priority in ("-10", "0", "50", "100"):
        reply = api.submit("/test/act", b'{"append": "%s"}' % bytes(order), Longhaul_Priority=priority)
        urls[job_id(reply)] = int(priority)
        last = reply.headers["Location"]
    for url in urls:
        api.completed(f"/acts/{url}", timeout=40)
    ran = [urls[line] for line in order.read_text().split()]
    assert sorted(ran) == [-10, 0, 50, 100]
    # The worker may have taken one of them ahead, before the others came; the rest come in order.
    rests = [ran[:n] + ran[n + 1:] for n in range(4)]
    assert any(rest == sorted(rest, reverse=True) for rest in rests), ran
    assert last


# ---- limits and states of types ----

def test_queue_full(make_stack):
    stack = make_stack(workers=0, type_rows={"test.idle": {"max_queued": 5}}, api={"state_refresh_ms": 50})
    api = stack.api()
    refused = wait_until(lambda: (r := api.post("/test/idle")).status_code != 202 and r, 20, "the queue to be full")
    assert_problem(refused, refused.status_code, "queue-full")
    assert refused.status_code in (429, 503)
    assert int(refused.headers["Retry-After"]) >= 1
    assert stack.value("SELECT count(*) FROM longhaul.ready") < 2000


def test_paused_type_is_accepted_and_waits(make_stack):
    stack = make_stack(type_rows={"test.act": {"paused": True}})
    api = stack.api()
    url = api.submit("/test/act").headers["Location"]
    assert api.document(url)["status"] == "Queued"
    stack.sql("UPDATE longhaul.job_type SET paused = false WHERE name = 'test.act'")
    api.completed(url)


def test_new_type_is_served_without_a_restart(make_stack):
    stack = make_stack()
    api = stack.api()
    assert_problem(api.post("/added/later"), 404, "not-found")
    stack.sql("INSERT INTO longhaul.job_type (name, submit_path, collection) VALUES ('added', '/added/later', 'addeds')")
    reply = wait_until(lambda: (r := api.post("/added/later")).status_code == 202 and r, 10, "the new type")
    assert "/v1/addeds/" in reply.headers["Location"]
    assert api.get(reply.headers["Location"]).status_code == 200


# ---- failures and attempts ----

def test_a_new_worker_says_at_once_what_it_serves(make_stack):
    """Its types' ids come after its registration; who looks at the workers must not wait for the next beat."""
    stack = make_stack(worker={"beat_ms": 15000, "lease_ms": 40000})
    serves, age = stack.query("SELECT serves, extract(epoch FROM now() - started_at) FROM longhaul.workers")[0]
    assert "test.act" in serves and age < 10


def test_upkeep_holds_up_no_input(make_stack):
    """Upkeep may take seconds: here because somebody has locked a table that only it needs."""
    stack = make_stack(worker={"maintain_ms": 100})
    api = stack.api()
    with stack.cluster.connect(stack.database) as other:
        other.autocommit = False
        other.cursor().execute("LOCK TABLE longhaul.idempotency_key")
        wait_until(lambda: stack.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), 10, "upkeep to wait")
        for size in (300_000, 400_000, 500_000):
            begun = time.monotonic()
            api.completed(api.submit("/test/cat", b"x" * size).headers["Location"])
            assert time.monotonic() - begun < 1.5 * PATIENCE
        other.rollback()


def test_temporary_failure_is_tried_again(api, tmp_path):
    tmp_path.chmod(0o777)
    url = api.submit("/test/act", b'{"exit": 75, "once": "%s"}' % bytes(tmp_path / "flag")).headers["Location"]
    doc = api.completed(url)
    assert doc["attempt"] == 2


def test_attempts_have_an_end(api):
    url = api.submit("/test/act", b'{"exit": 75}').headers["Location"]
    doc = api.ended(url)
    assert doc["status"] == "Failed"
    assert doc["attempt"] == 3


def test_timeout_fails_the_job(make_stack):
    api = make_stack(type_rows={"test.act": {"timeout_ms": 500}}).api()
    url = api.submit("/test/act", b'{"sleep": 60}').headers["Location"]
    doc = api.ended(url)
    assert doc["status"] == "Failed"
    assert doc["error"]["title"]


@pytest.mark.limit(120)
@pytest.mark.direct
def test_each_job_of_a_crowd_ends(stack, api):
    urls = [api.submit("/noop", str(n)).headers["Location"] for n in range(scaled(300, 60))]
    for url in urls:
        api.completed(url, timeout=60)
