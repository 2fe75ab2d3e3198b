"""Prefer: how long the client wants to wait, for a submit and for a poll."""

import threading
import time

import pytest

from harness import raw
from harness.env import PATIENCE

SLOW = b'{"sleep": 1, "stdout": "done"}'


def timed(call):
    begun = time.monotonic()
    reply = call()
    return reply, time.monotonic() - begun


def test_wait_raises_the_budget(api):
    reply = api.post("/test/act", SLOW, headers={"Prefer": "wait=30"})
    assert reply.status_code == 200
    assert reply.content == b"done"
    assert reply.headers["Preference-Applied"] == "wait=30"
    assert "prefer" in reply.headers["Vary"].lower()


@pytest.mark.parametrize("prefer,applied", [("respond-async", "respond-async"), ("wait=0", "wait=0")])
def test_no_waiting_when_asked_so(api, prefer, applied):
    reply, seconds = timed(lambda: api.post("/test/quick", b'{"sleep": 5}', headers={"Prefer": prefer}))
    assert reply.status_code == 202
    assert seconds < 3 * PATIENCE
    assert reply.headers["Preference-Applied"] == applied


def test_respond_async_with_wait_is_up_to(api):
    reply, seconds = timed(lambda: api.post("/test/act", b'{"sleep": 30}', headers={"Prefer": "respond-async, wait=1"}))
    assert reply.status_code == 202
    assert 0.9 <= seconds < 5 * PATIENCE
    applied = {p.strip() for p in reply.headers["Preference-Applied"].split(",")}
    assert applied == {"respond-async", "wait=1"}
    api.post(reply.headers["Location"] + "/cancel")
    assert api.post("/test/act", b'{}', headers={"Prefer": "respond-async, wait=20"}).status_code == 200


def test_wait_is_capped_by_configuration(make_stack):
    api = make_stack(workers=0, api={"wait_max_s": 1}).api()
    for asked in ("50", "99999999999999999999"):
        reply, seconds = timed(lambda: api.post("/test/idle", headers={"Prefer": f"wait={asked}"}))
        assert reply.status_code == 202
        assert 0.9 <= seconds < 5 * PATIENCE
        assert reply.headers["Preference-Applied"] == "wait=1"


@pytest.mark.parametrize("prefer", [
    "wait=abc", "wait=-1", "wait", "wait=", "wait=1.5", ";;;", "=", "return=minimal",
    'wait="x', "respond-asynchronously", "x" * 4000,
])
def test_malformed_preferences_are_ignored(api, prefer):
    reply, seconds = timed(lambda: api.post("/test/idle", headers={"Prefer": prefer}))
    assert reply.status_code == 202
    assert seconds < 5 * PATIENCE
    assert "respond-async" not in reply.headers.get("Preference-Applied", "")


def test_several_prefer_lines_count_as_one(stack):
    reply = raw.exchange(stack.port, raw.request(
        "POST", "/v1/test/quick", [("Content-Type", "application/json"), ("Prefer", "handling=lenient"),
                                   ("Prefer", "respond-async"), ("Prefer", "wait=0")], b'{"sleep": 4}'))
    assert reply.status == 202


def test_the_type_has_its_own_budget(api):
    assert api.post("/test/quick", b'{"stdout": "ok"}').content == b"ok"
    reply, seconds = timed(lambda: api.post("/test/idle"))
    assert reply.status_code == 202
    assert seconds < 1 * PATIENCE
    assert "Preference-Applied" not in reply.headers


def test_long_poll_answers_at_the_change(api):
    url = api.submit("/test/idle").headers["Location"]
    tag = api.get(url).headers["ETag"]
    threading.Timer(0.5, lambda: api.post(url + "/cancel")).start()
    reply, seconds = timed(lambda: api.get(url, headers={"If-None-Match": tag, "Prefer": "wait=40"}))
    assert reply.status_code == 200
    assert reply.json()["status"] == "Canceled"
    assert reply.headers["Preference-Applied"] == "wait=40"
    assert seconds < 10 * PATIENCE


def test_long_poll_ends_with_304(api):
    url = api.submit("/test/idle").headers["Location"]
    tag = api.get(url).headers["ETag"]
    reply, seconds = timed(lambda: api.get(url, headers={"If-None-Match": tag, "Prefer": "wait=1"}))
    assert reply.status_code == 304
    assert 0.9 <= seconds < 5 * PATIENCE
    assert int(reply.headers["Retry-After"]) >= 1


def test_long_poll_of_another_version_answers_at_once(api):
    url = api.submit("/test/idle").headers["Location"]
    reply, seconds = timed(lambda: api.get(url, headers={"If-None-Match": 'W/"0"', "Prefer": "wait=30"}))
    assert reply.status_code == 200
    assert seconds < 5 * PATIENCE


def test_long_poll_without_a_version_waits_too(api):
    url = api.submit("/test/act", SLOW).headers["Location"]
    reply, seconds = timed(lambda: api.get(url, headers={"Prefer": "wait=30"}))
    assert reply.status_code == 200
    assert seconds < 20 * PATIENCE


def test_long_poll_of_an_ended_job_answers_at_once(api):
    url = api.submit("/test/act").headers["Location"]
    api.completed(url)
    tag = api.get(url).headers["ETag"]
    for headers in ({"Prefer": "wait=30"}, {"Prefer": "wait=30", "If-None-Match": tag}):
        reply, seconds = timed(lambda: api.get(url, headers=headers))
        assert reply.status_code == (304 if "If-None-Match" in headers else 200)
        assert seconds < 5 * PATIENCE


def test_a_client_that_leaves_costs_nothing(stack, api):
    url = api.submit("/test/idle").headers["Location"]
    tag = api.get(url).headers["ETag"]
    path = "/v1" + url.split("/v1")[1]
    for _ in range(50):
        with raw.connect(stack.port) as sock:
            sock.sendall(raw.request("GET", path, [("If-None-Match", tag), ("Prefer", "wait=50"),
                                                   ("X-Test-Client", api.session.headers["X-Test-Client"])]))
    assert api.document(url)["status"] == "Queued"
    assert all(p.alive() for p in stack.apis)
