"""Webhooks as clients see them: subscribing, secrets, what was delivered, and who may see it."""

import base64
import json

import pytest

from harness import raw
from harness.api import assert_problem, job_id
from harness.endpoint import Endpoint
from harness.env import wait_until
from harness.stack import LOCAL_WEBHOOKS, Stack

URL = "https://example.com/hook?a=b"
UNKNOWN = "01a2087d-d650-728c-97f1-bca0dc1c81f9"


@pytest.fixture(scope="module")
def stack(cluster):
    it = Stack(cluster, webhook={**LOCAL_WEBHOOKS, "schedule_ms": "100 100", "max_per_client": 5})
    try:
        yield it.start()
    finally:
        problems = it.stop()
    assert not problems, problems


@pytest.fixture
def endpoint():
    with Endpoint() as it:
        yield it


def create(api, url=URL, **members):
    reply = api.post("/webhooks", json.dumps({"url": url, **members}))
    assert reply.status_code == 201, reply.text
    return reply


def delivered(api, url, count=1, status="delivered"):
    """The deliveries listed there, once `count` of them have come so far."""
    def look():
        found = api.get(url).json()["deliveries"]
        return len([d for d in found if d["status"] == status]) >= count and found
    return wait_until(look, 20, f"{count} deliveries {status} at {url}")


# ---- subscribing ----

def test_create_get_list_delete(stack, api):
    reply = create(api, types=["test.act", "noop"], events=["job.failed", "job.completed"], description="Ünser \"Haken\"")
    made = reply.json()
    assert reply.headers["Location"] == made["_links"]["self"]["href"] == f"{stack.base}/v1/webhooks/{made['webhookId']}"
    assert reply.headers["Cache-Control"] == "private, no-store"
    assert made["secret"].startswith("whsec_")
    assert len(base64.b64decode(made.pop("secret")[6:], validate=True)) == 32
    assert {k: made[k] for k in ("url", "types", "events", "description")} == {
        "url": URL, "types": ["noop", "test.act"], "events": ["job.completed", "job.failed"], "description": "Ünser \"Haken\""}
    assert set(made) == {"webhookId", "url", "types", "events", "description", "createdTime", "_links"}
    assert set(made["_links"]) == {"self", "deliveries", "ping", "secret"}
    url = reply.headers["Location"]
    assert api.get(url).json() == made
    assert api.head(url).status_code == 200
    second = create(api).json()
    assert "types" not in second
    assert second["events"] == ["job.completed", "job.failed", "job.canceled"]
    listed = api.get("/webhooks").json()
    assert [w["webhookId"] for w in listed["webhooks"]] == [second["webhookId"], made["webhookId"]]
    assert listed["webhooks"][1] == made
    assert api.delete(url).status_code == 204
    assert_problem(api.get(url), 404, "not-found")
    assert_problem(api.delete(url), 404, "not-found")
    assert len(api.get("/webhooks").json()["webhooks"]) == 1


def test_list_page_by_page(api):
    made = [create(api).json()["webhookId"] for _ in range(5)]
    seen, url = [], "/webhooks?limit=2"
    while url:
        reply = api.get(url)
        seen += [w["webhookId"] for w in reply.json()["webhooks"]]
        url = reply.json()["_links"].get("next", {}).get("href")
        assert (reply.links.get("next") or {}).get("url") == url
    assert seen == made[::-1]


def test_limit_of_webhooks(api):
    made = [create(api) for _ in range(5)]
    assert_problem(api.post("/webhooks", json.dumps({"url": URL})), 409, "too-many-webhooks")
    assert api.delete(made[0].headers["Location"]).status_code == 204
    create(api)


@pytest.mark.parametrize("body,where", [
    ("{}", "url"), ("[]", "body"), ("", "body"), ("{", "body"), ("null", "body"), ('"x"', "body"), ('{"url": 5}', "url"),
    ('{"url": null}', "url"), ('{"url": "https://e.example/", "x": 1}', "x"), ('{"url": "ftp://e.example/"}', "url"),
    ('{"url": "https://user:pw@e.example/"}', "url"), ('{"url": "https://10.0.0.1/"}', "url"), ('{"url": "https://[::ffff:10.0.0.1]/"}', "url"),
    ('{"url": "https://e.example/\\u0000"}', "url"), ('{"url": "/hook"}', "url"), ('{"url": "https://e.example/", "types": []}', "types"),
    ('{"url": "https://e.example/", "types": "noop"}', "types"), ('{"url": "https://e.example/", "types": ["nope"]}', "types[0]"),
    ('{"url": "https://e.example/", "types": ["noop", 5]}', "types[1]"), ('{"url": "https://e.example/", "events": ["job.started"]}', "events[0]"),
    ('{"url": "https://e.example/", "events": {}}', "events"), ('{"url": "https://e.example/", "description": 5}', "description"),
    ('{"url": "https://e.example/", "description": "' + "x" * 1001 + '"}', "description"), ('{"url": "https://e.example/\xff"}', "body"),
])
def test_wrong_bodies(api, body, where):
    errors = assert_problem(api.post("/webhooks", body.encode("latin1")), 400, "invalid-input")["errors"]
    assert [e["where"] for e in errors] == [where], errors
    assert api.get("/webhooks").json()["webhooks"] == []


def test_all_that_is_wrong_is_named(api):
    reply = api.post("/webhooks", '{"types": ["a", "noop"], "events": [1, "x"], "more": {}, "url": "http:x"}')
    assert {e["where"] for e in assert_problem(reply, 400)["errors"]} == {"types[0]", "events[0]", "events[1]", "more", "url"}


def test_body_limits(stack, api):
    reply = api.post("/webhooks", json.dumps({"url": URL}), "text/plain")
    assert_problem(reply, 415, "unsupported-media-type")
    assert reply.headers["Accept-Post"] == "application/json"
    assert_problem(api.post("/webhooks", json.dumps({"url": URL}), None), 415)
    assert_problem(api.post("/webhooks", b" " * 16385), 413, "input-too-large")
    big = raw.exchange(stack.port, raw.request("POST", "/v1/webhooks", [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")],
                                               b"5000\r\n" + b" " * 0x5000 + b"\r\n0\r\n\r\n"))
    assert_problem(big, 413, "input-too-large")
    assert api.post("/webhooks", json.dumps({"url": URL}), "Application/JSON; charset=utf-8").status_code == 201


def test_pages_of_other_origins(api):
    made = create(api)
    for method, url in (("POST", "/webhooks"), ("DELETE", made.headers["Location"]), ("POST", made.headers["Location"] + "/ping")):
        assert_problem(api.request(method, url, {"Origin": "https://evil.example"}), 403, "forbidden")


def test_methods(api):
    made = create(api).headers["Location"]
    for method, url, allowed in (("PUT", "/webhooks", "GET, HEAD, POST"), ("POST", made, "GET, HEAD, DELETE"),
                                 ("GET", made + "/ping", "POST"), ("POST", made + "/deliveries", "GET, HEAD"),
                                 ("GET", "/webhooks/secret", "POST")):
        reply = api.request(method, url)
        assert_problem(reply, 405, "method-not-allowed")
        assert reply.headers["Allow"] == allowed


# ---- whose it is ----

def test_another_client_finds_nothing(stack, api, endpoint):
    url = create(api, endpoint.url()).headers["Location"]
    job = api.submit("/noop").headers["Location"]
    api.completed(job)
    mine = delivered(api, url + "/deliveries")[0]["deliveryId"]
    other = stack.api("another-client")
    for method, path in (("GET", url), ("DELETE", url), ("POST", url + "/ping"), ("POST", url + "/enable"), ("POST", url + "/secret"),
                         ("GET", url + "/deliveries"), ("POST", f"{url}/deliveries/{mine}/redeliver"),
                         ("GET", job + "/deliveries"), ("POST", f"{job}/deliveries/{mine}/redeliver")):
        assert_problem(other.request(method, path), 404, "not-found")
    assert other.get("/webhooks").json()["webhooks"] == []
    # Nor is a delivery found below another webhook or job of the same client.
    second = create(api).headers["Location"]
    assert_problem(api.post(f"{second}/deliveries/{mine}/redeliver"), 404, "not-found")
    assert_problem(api.post(f"{api.submit('/noop').headers['Location']}/deliveries/{mine}/redeliver"), 404, "not-found")
    assert_problem(api.get(f"{job.replace('/noops/', '/acts/')}/deliveries"), 404, "not-found")
    assert_problem(api.get(f"/webhooks/{UNKNOWN}/deliveries"), 404, "not-found")


# ---- secrets ----

def test_secrets_are_shown_once(stack, api, endpoint):
    made = create(api, endpoint.url())
    url = made.headers["Location"]
    secrets = [made.json()["secret"]]
    for path in (url + "/secret", "/webhooks/secret", "/webhooks/secret"):
        reply = api.post(path, "{}")
        assert reply.status_code == 201
        assert reply.headers["Cache-Control"] == "private, no-store"
        assert "olderSecretsExpireTime" in reply.json()
        secrets.append(reply.json()["secret"])
    reply = api.post(url + "/secret", '{"overlapSeconds": 0}')
    assert set(reply.json()) == {"secret"}
    secrets.append(reply.json()["secret"])
    assert api.post(url + "/secret", b"", None).status_code == 201  # the body may be left out
    assert len(set(secrets)) == 5
    api.completed(api.submit("/noop").headers["Location"])
    delivered(api, url + "/deliveries")
    texts = [api.get(p).text for p in (url, "/webhooks", url + "/deliveries")] + list(stack.logs().values())
    for secret in secrets:
        assert not any(secret[6:] in text for text in texts)
        assert not any(base64.b64decode(secret[6:]).hex() in text for text in texts)


def test_dbas_see_no_secret(stack, api):
    create(api)
    with stack.cluster.connect(stack.database) as connection, connection.cursor() as cur:
        cur.execute("SET ROLE longhaul_dba")
        cur.execute("SELECT client, webhook_id FROM longhaul.webhook_secret")
        assert cur.fetchall()
        cur.execute("SELECT * FROM longhaul.webhook_endpoints")
        assert cur.fetchall()
        for statement in ("SELECT secret FROM longhaul.webhook_secret", "SELECT * FROM longhaul.webhook_secret",
                          "SELECT webhook_secret FROM longhaul.webhook_secret",
                          "SELECT * FROM longhaul.webhook_claim(gen_random_uuid(), 1, 1, 1, NULL, 1, '{}', '{}')",
                          "UPDATE longhaul.webhook_secret SET secret = 'x' RETURNING secret", "COPY longhaul.webhook_secret TO STDOUT"):
            with pytest.raises(Exception) as refused:
                cur.execute("SAVEPOINT s")
                cur.execute(statement)
            assert "permission denied" in str(refused.value)
            cur.execute("ROLLBACK TO s")


@pytest.mark.parametrize("body,where", [
    ('{"overlapSeconds": -1}', "overlapSeconds"), ('{"overlapSeconds": 604801}', "overlapSeconds"), ('{"overlapSeconds": "1"}', "overlapSeconds"),
    ('{"overlapSeconds": 1.5}', "overlapSeconds"), ('{"seconds": 1}', "seconds"), ("[]", "body"),
])
def test_wrong_rotations(api, body, where):
    url = create(api).headers["Location"]
    assert [e["where"] for e in assert_problem(api.post(url + "/secret", body), 400)["errors"]] == [where]
    assert_problem(api.post(f"/webhooks/{UNKNOWN}/secret", "{}"), 404, "not-found")


# ---- what is told ----

def payload_of(endpoint, job):
    wait_until(lambda: [d for d in endpoint.deliveries if job in d.body.decode()], 20, "the delivery")
    return json.loads(next(d for d in endpoint.deliveries if job in d.body.decode()).body)


def check_told(api, endpoint, reply, event):
    """The payload about a job that has ended is made of its document and version, as GET shows them."""
    url = reply.headers["Location"]
    document = api.ended(url)
    told = payload_of(endpoint, job_id(reply))
    shown = api.get(url)
    assert shown.json() == document
    assert told == {"type": event, "timestamp": document["completionTime"], "version": shown.headers["ETag"][3:-1], "data": document}
    return document


@pytest.mark.parametrize("own", [False, True])
def test_payload_is_the_document(api, endpoint, own):
    headers = {"Longhaul_Webhook": endpoint.url()} if own else {}
    if not own:
        create(api, endpoint.url())
    progress = {"progress": [[1, 3, 'Ü "x" \\ \U0001F600']], "stdout": "done"}
    check_told(api, endpoint, api.submit("/test/act", json.dumps(progress), **headers), "job.completed")
    failed = check_told(api, endpoint, api.submit("/test/act", json.dumps({**progress, "stderr": "no \"way\"\n\u00e9", "exit": 3}), **headers), "job.failed")
    assert failed["error"]["type"].startswith("urn:longhaul:problem:")
    assert failed["percentComplete"] == 33.3
    rejected = api.submit("/accounts/bulk-import", b"\xff\xfe", "text/csv", **headers)
    check_told(api, endpoint, rejected, "job.failed" if api.ended(rejected.headers["Location"])["status"] == "Failed" else "job.completed")
    idle = api.submit("/test/idle", **headers)
    assert api.post(idle.headers["Location"] + "/cancel").status_code == 200
    check_told(api, endpoint, idle, "job.canceled")


def test_custom_errors_are_told_as_shown(stack, api, endpoint):
    """Errors as handlers of all kinds may leave them: with their own members, large, or odd."""
    create(api, endpoint.url())
    for error in ({"type": "own-word", "title": "T", "status": 409, "detail": "d", "more": [None, {"a": "\u2028\u00e9\"\\"}], "n": None, "x": 1.5},
                  {"type": "https://e.example/x", "title": 5}, {"title": "é" * 3000, "detail": "😀" * 3000, "status": 418, "more": 1}, {"type": ""}):
        reply = api.submit("/test/idle")
        stack.sql("SELECT count(longhaul.end_jobs(ARRAY[%s]::uuid[], 4::smallint, ARRAY[%s]::jsonb[]))", [job_id(reply), json.dumps(error)])
        stack.sql("DELETE FROM longhaul.ready WHERE job_id = %s", [job_id(reply)])
        check_told(api, endpoint, reply, "job.failed")


def test_webhook_of_one_job(stack, api, endpoint):
    reply = api.submit("/noop", Longhaul_Webhook=endpoint.url())
    url = reply.headers["Location"]
    found = delivered(api, url + "/deliveries")
    assert len(found) == 1 and found[0]["jobId"] == job_id(reply)
    assert_problem(api.post("/noop", "{}", headers={"Longhaul-Webhook": "http://10.1.2.3/"}), 400, "invalid-input")
    assert_problem(api.post("/noop", "{}", headers={"Longhaul-Webhook": "nothing"}), 400, "invalid-input")
    # A large input goes another way into the database.
    large = api.submit("/noop", b"x" * 300000, "a/b", Longhaul_Webhook=endpoint.url())
    delivered(api, large.headers["Location"] + "/deliveries")
    # The URL is a part of the request.
    key = {"Idempotency-Key": '"k"', "Prefer": "respond-async", "Longhaul-Webhook": endpoint.url()}
    assert api.post("/noop", "{}", headers=key).status_code == 202
    assert api.post("/noop", "{}", headers=key).headers["Idempotent-Replayed"] == "true"
    assert_problem(api.post("/noop", "{}", headers={**key, "Longhaul-Webhook": endpoint.url("/other")}), 422, "idempotency-key-reused")
    assert api.delete(url).status_code == 204
    assert_problem(api.get(url + "/deliveries"), 404)
    assert stack.value("SELECT count(*) FROM longhaul.job_webhook WHERE job_id = %s", [job_id(reply)]) == 0


# ---- deliveries ----

def test_deliveries_and_redelivery(api, endpoint):
    answers = [500, 503, 204]
    endpoint.respond = lambda delivery: (answers.pop(0) if answers else 200, ())
    url = create(api, endpoint.url()).headers["Location"]
    assert api.get(url + "/deliveries").json() == {
        "deliveries": [], "_links": {"self": {"href": url + "/deliveries?limit=50"}}}
    reply = api.submit("/noop")
    item = delivered(api, url + "/deliveries")[0]
    assert set(item) == {"deliveryId", "event", "jobId", "status", "createdTime", "tries", "_links"}
    assert (item["event"], item["jobId"]) == ("job.completed", job_id(reply))
    assert [(t["attempt"], t["statusCode"], "error" in t) for t in item["tries"]] == [(1, 500, True), (2, 503, True), (3, 204, False)]
    assert all(set(t) <= {"attempt", "time", "durationMs", "statusCode", "error"} for t in item["tries"])
    assert api.get(reply.headers["Location"] + "/deliveries").json()["deliveries"][0]["deliveryId"] == item["deliveryId"]
    again = api.post(item["_links"]["redeliver"]["href"])
    assert again.status_code == 202
    assert again.json() == {"deliveryId": item["deliveryId"], "status": "pending"}
    came = endpoint.wait(4)
    assert {d.id for d in came} == {item["deliveryId"]}
    assert len({d.body for d in came}) == 1
    wait_until(lambda: len(api.get(url + "/deliveries").json()["deliveries"][0]["tries"]) == 4, 20, "its fourth try to be listed")
    assert api.post(reply.headers["Location"] + f"/deliveries/{item['deliveryId']}/redeliver").status_code == 202
    endpoint.wait(5)


def test_deliveries_page_by_page(api, endpoint):
    url = create(api, endpoint.url()).headers["Location"]
    for _ in range(5):
        api.submit("/noop")
    everything = [d["deliveryId"] for d in delivered(api, url + "/deliveries", 5)]
    assert everything == sorted(everything, reverse=True)
    seen, at = [], url + "/deliveries?limit=2"
    while at:
        page = api.get(at).json()
        seen += [d["deliveryId"] for d in page["deliveries"]]
        at = page["_links"].get("next", {}).get("href")
    assert seen == everything
    assert_problem(api.get(url + "/deliveries?limit=0"), 400, "invalid-input")
    assert_problem(api.get(url + "/deliveries?cursor=x"), 400, "invalid-input")


def test_ping_and_a_pending_delivery(api, endpoint):
    endpoint.down()
    url = create(api, endpoint.url(), events=["job.failed"]).headers["Location"]
    reply = api.post(url + "/ping")
    assert reply.status_code == 202
    assert reply.json()["status"] == "pending"
    ping = delivered(api, url + "/deliveries", status="failed")[0]
    assert ping["deliveryId"] == reply.json()["deliveryId"]
    assert [("statusCode" in t, "error" in t) for t in ping["tries"]] == [(False, True)] * 3
    endpoint.up()
    assert api.post(ping["_links"]["redeliver"]["href"]).status_code == 202
    told = json.loads(endpoint.wait(1)[0].body)
    assert told["type"] == "ping"
    assert told["data"] == {"webhookId": url.rsplit("/", 1)[1]}


def test_gone_endpoints_are_disabled(api, endpoint):
    endpoint.respond = lambda delivery: (410, ())
    url = create(api, endpoint.url()).headers["Location"]
    api.post(url + "/ping")
    failed = delivered(api, url + "/deliveries", status="failed")[0]
    found = api.get(url).json()
    assert found["disabledReason"] == "gone" and found["disabledTime"]
    assert_problem(api.post(url + "/ping"), 409, "webhook-disabled")
    assert_problem(api.post(failed["_links"]["redeliver"]["href"]), 409, "webhook-disabled")
    api.completed(api.submit("/noop").headers["Location"])
    assert len(api.get(url + "/deliveries").json()["deliveries"]) == 1
    enabled = api.post(found["_links"]["enable"]["href"])
    assert enabled.status_code == 200 and "disabledTime" not in enabled.json()
    endpoint.respond = lambda delivery: (200, ())
    assert api.post(failed["_links"]["redeliver"]["href"]).status_code == 202
    delivered(api, url + "/deliveries")


# ---- the database is away ----

def test_without_the_database(make_stack, own_cluster):
    it = make_stack(own_cluster=own_cluster, webhook=LOCAL_WEBHOOKS)
    api = it.api("someone")
    url = create(api).headers["Location"]
    own_cluster.stop()
    for method, path, body in (("GET", "/webhooks", None), ("POST", "/webhooks", json.dumps({"url": URL})), ("GET", url, None), ("DELETE", url, None),
                               ("POST", url + "/ping", None), ("GET", url + "/deliveries", None), ("POST", url + "/secret", "{}")):
        reply = api.request(method, path, {"Content-Type": "application/json"}, data=body)
        assert_problem(reply, 503, "unavailable")
        assert reply.headers["Retry-After"]
    own_cluster.start()
    wait_until(lambda: api.get(url).status_code == 200, 20, "the database to be back")
