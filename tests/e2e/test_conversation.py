"""The conversation of the contract, word by word: submit, poll, result."""

import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from harness import raw
from harness.api import assert_problem, job_id
from harness.env import wait_until

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


def when(text):
    assert TIME.match(text), text
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def accounts(first, count):
    return "".join(f'{{"email":"a{n}@example.com","name":"Name {n}"}}\n' for n in range(first, first + count))


def test_202_says_where_the_job_is(stack, api):
    reply = api.post("/test/idle", b"{}")
    assert reply.status_code == 202
    doc = reply.json()
    here = f"{stack.base}/v1/idles/{doc['jobId']}"
    assert UUID7.match(doc["jobId"])
    assert reply.headers["Location"] == here
    assert reply.headers["Operation-Location"] == f"{stack.base}/v1/operations/{doc['jobId']}"
    assert re.match(r"^[1-9][0-9]*$", reply.headers["Retry-After"])
    assert reply.headers["Content-Type"] == "application/json"
    assert "prefer" in reply.headers["Vary"].lower()
    assert doc["type"] == "test.idle"
    assert doc["status"] == "Queued"
    assert doc["_links"]["self"]["href"] == here
    assert doc["_links"]["cancel"]["href"] == here + "/cancel"
    assert abs(when(doc["createdTime"]) - datetime.now(timezone.utc)) < timedelta(seconds=30)
    assert when(doc["suggestedNextPollTime"]) > when(doc["createdTime"])
    assert None not in doc.values(), "unknown fields are left out"
    assert "completionTime" not in doc and "startedTime" not in doc
    polled = api.get(here)
    assert polled.status_code == 200
    assert polled.json()["jobId"] == doc["jobId"]


def test_job_id_carries_the_time_of_the_request(api):
    doc = api.post("/test/idle", b"{}").json()
    made = int(doc["jobId"].replace("-", "")[:12], 16) / 1000
    assert abs(made - time.time()) < 10


def test_job_in_progress_shows_how_far(api):
    url = api.submit("/test/act", b'{"progress": [[2500, 10000, "importing"]], "sleep": 3}').headers["Location"]
    doc = wait_until(lambda: (d := api.document(url)).get("progress", {}).get("done") and d, 10, "progress")
    assert doc["status"] == "InProgress"
    assert doc["percentComplete"] == 25
    assert doc["progress"] == {"done": 2500, "total": 10000, "message": "importing"}
    assert doc["attempt"] == 1
    assert when(doc["startedTime"]) >= when(doc["createdTime"])
    assert when(doc["suggestedNextPollTime"]) >= when(doc["startedTime"])
    assert when(doc["estimatedCompletionTime"]) > when(doc["startedTime"])
    assert "results" not in doc["_links"]
    reply = api.get(url)
    assert int(reply.headers["Retry-After"]) >= 1
    assert reply.headers["Cache-Control"] == "private, no-store"
    api.post(url + "/cancel")
    api.ended(url)


def test_completed_job_and_its_result(api):
    url = api.submit("/accounts/bulk-import", accounts(0, 10), "application/x-ndjson").headers["Location"]
    doc = api.completed(url)
    assert when(doc["startedTime"]) <= when(doc["completionTime"]) < when(doc["expiresTime"])
    assert doc["percentComplete"] == 100
    assert "suggestedNextPollTime" not in doc
    assert "estimatedCompletionTime" not in doc
    assert "cancel" not in doc["_links"]
    reply = api.get(url)
    assert "Retry-After" not in reply.headers
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert doc["_links"]["results"]["href"] == url + "/results"
    result = api.get(url + "/results")
    assert result.status_code == 200
    assert result.headers["Content-Type"] == "application/json"
    assert result.json()["imported"] + result.json()["updated"] == 10
    assert result.json()["rejected"] == 0


def test_small_import_is_answered_at_once(make_stack):
    stack = make_stack(type_rows={"accounts.bulk-import": {"wait_ms": 5000}})
    api = stack.api()
    reply = api.post("/accounts/bulk-import", accounts(0, 3), "application/x-ndjson")
    assert reply.status_code == 200
    assert reply.json() == {"imported": 3, "updated": 0, "rejected": 0, "errors": []}
    url = reply.headers["Location"]
    assert reply.headers["Content-Location"] == url + "/results"
    link = reply.headers["Link"]
    assert f"<{url}>" in link and 'rel="monitor"' in link
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert api.get(url + "/results").content == reply.content


def test_failure_within_the_budget_is_a_problem(api):
    reply = api.post("/test/quick", b'{"exit": 3}')
    body = assert_problem(reply, 422)
    url = reply.headers["Location"]
    assert api.document(url)["status"] == "Failed"
    assert job_id(reply) in str(body) or url in reply.headers.get("Link", "")


def test_failed_job_shows_its_error(api):
    url = api.submit("/test/act", b'{"exit": 3}').headers["Location"]
    doc = api.ended(url)
    assert doc["status"] == "Failed"
    assert doc["error"]["status"] >= 400
    assert doc["error"]["type"] and doc["error"]["title"]
    assert "completionTime" in doc and "expiresTime" in doc
    assert "results" not in doc["_links"]


def test_etag_and_304(api):
    url = api.submit("/test/idle").headers["Location"]
    first = api.get(url)
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    again = api.get(url, headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.content == b""
    assert int(again.headers["Retry-After"]) >= 1
    assert again.headers["ETag"] == tag
    # Any of a list, strong comparison not asked for, and "*".
    assert api.get(url, headers={"If-None-Match": f'"other", {tag}'}).status_code == 304
    assert api.get(url, headers={"If-None-Match": tag[2:]}).status_code == 304
    assert api.get(url, headers={"If-None-Match": "*"}).status_code == 304
    assert api.get(url, headers={"If-None-Match": 'W/"other"'}).status_code == 200
    # Each visible change has another tag.
    assert api.post(url + "/cancel").status_code == 200
    changed = api.get(url, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag
    assert changed.json()["status"] == "Canceled"
    assert "Retry-After" not in changed.headers
    assert {"prefer", "accept"} <= {v.strip().lower() for v in changed.headers["Vary"].split(",")}


def test_head_is_get_without_the_body(api):
    url = api.submit("/test/idle").headers["Location"]
    got, head = api.get(url), api.head(url)
    assert head.status_code == 200 and head.content == b""
    for name in ("Content-Type", "ETag", "Cache-Control", "Content-Length"):
        assert head.headers[name] == got.headers[name], name


def test_operation_monitor(stack, api):
    queued = api.submit("/test/idle")
    monitor = queued.headers["Operation-Location"]
    reply = api.get(monitor)
    doc = reply.json()
    assert reply.status_code == 200
    assert doc["id"] == job_id(queued)
    assert doc["status"] == "NotStarted"
    assert when(doc["createdDateTime"])
    assert "error" not in doc
    assert int(reply.headers["Retry-After"]) >= 1
    api.post(queued.headers["Location"] + "/cancel")
    assert api.get(monitor).json()["status"] == "Canceled"

    running = api.submit("/test/act", b'{"sleep": 5, "progress": [[1, 4]]}')
    wait_until(lambda: api.get(running.headers["Operation-Location"]).json()["status"] == "Running", 10, "Running")
    doc = wait_until(lambda: (d := api.get(running.headers["Operation-Location"]).json()).get("percentComplete") and d,
                     10, "percentComplete")
    assert doc["percentComplete"] == 25
    api.post(running.headers["Location"] + "/cancel")
    api.ended(running.headers["Location"])

    done = api.submit("/test/act", b'{"stdout": "x"}')
    api.completed(done.headers["Location"])
    doc = api.get(done.headers["Operation-Location"]).json()
    assert doc["status"] == "Succeeded"
    assert doc["resourceLocation"].startswith(done.headers["Location"])

    failed = api.submit("/test/act", b'{"exit": 1}')
    api.ended(failed.headers["Location"])
    doc = api.get(failed.headers["Operation-Location"]).json()
    assert doc["status"] == "Failed"
    assert doc["error"]


def test_next_poll_time_and_retry_after_agree(api):
    reply = api.submit("/test/idle")
    asked = datetime.now(timezone.utc)
    for reply in (reply, api.get(reply.headers["Location"])):
        suggested = (when(reply.json()["suggestedNextPollTime"]) - asked).total_seconds()
        assert abs(int(reply.headers["Retry-After"]) - suggested) <= 1.5
        assert suggested >= 0.9, "never busier than the floor of the type"


def test_estimate_counts_the_queue_ahead(make_stack):
    stack = make_stack(type_rows={"test.act": {"default_estimate_ms": 60000}},
                       type_settings={"test.act": {"slots": 1}})
    api = stack.api()
    urls = [api.submit("/test/act", b'{"sleep": 30}').headers["Location"] for _ in range(4)]
    wait_until(lambda: api.document(urls[0])["status"] == "InProgress", 10, "the first to run")

    def estimates():
        docs = [api.document(u) for u in urls[1:]]
        return all("estimatedCompletionTime" in d for d in docs) and [when(d["estimatedCompletionTime"]) for d in docs]

    def counts():
        last = (estimates() or [None])[-1]
        return last and (last - datetime.now(timezone.utc)).total_seconds() > 90

    # What runs and waits is read once a second.
    wait_until(counts, 15, "the last of the queue to be told that others go before it")
    for url in urls:
        api.post(url + "/cancel")


@pytest.mark.parametrize("forwarded", ["a/b", "ex ample", "a@b", "a\"b", "-", "a:99999999", "[::1", "a..b", "%61"])
def test_strange_hosts_make_no_links(stack, forwarded):
    reply = raw.exchange(stack.port, raw.request("GET", "/v1/jobs", host=forwarded,
                                                 headers=[("Connection", "close")]))
    assert_problem(reply, 400)


def test_links_follow_the_host_that_was_asked(stack):
    for host in ("api.example.com", "api.example.com:8443", "[::1]:8202", "10.1.2.3"):
        reply = raw.exchange(stack.port, raw.request(
            "POST", "/v1/test/idle", [("Content-Type", "application/json")], b"{}", host=host))
        assert reply.status == 202, reply
        assert reply.header("location").startswith(f"http://{host}/v1/idles/")


def test_configured_base_url_wins(make_stack):
    stack = make_stack(api={"base_url": "https://jobs.example.com"}, workers=0)
    reply = stack.api().post("/test/idle", b"{}")
    assert reply.headers["Location"].startswith("https://jobs.example.com/v1/idles/")
    assert reply.json()["_links"]["self"]["href"] == reply.headers["Location"]
