"""Idempotency-Key: the same request twice is one job."""

import threading

import pytest

from harness import raw
from harness.api import assert_problem, job_id
from harness.env import wait_until


def post(api, body=b"{}", key='"k-1"', path="/test/idle", media="application/json", **headers):
    headers = {n.replace("_", "-"): v for n, v in headers.items()}
    return api.post(path, body, media, {"Idempotency-Key": key, "Prefer": "respond-async", **headers})


def test_replay_gives_the_first_answer_again(stack, api):
    first = post(api)
    again = post(api)
    assert first.status_code == again.status_code == 202
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.json()["jobId"] == first.json()["jobId"]
    assert stack.value("SELECT count(*) FROM longhaul.job WHERE client = %s",
                       [api.session.headers["X-Test-Client"]]) == 1


def test_replay_shows_the_current_document(api):
    first = post(api)
    api.post(first.headers["Location"] + "/cancel")
    assert post(api).json()["status"] == "Canceled"


def test_replay_of_a_finished_job_obeys_prefer(api):
    first = post(api, b'{"stdout": "out"}', path="/test/act")
    api.completed(first.headers["Location"])
    waiting = api.post("/test/act", b'{"stdout": "out"}', headers={"Idempotency-Key": '"k-1"', "Prefer": "wait=5"})
    assert waiting.status_code == 200
    assert waiting.content == b"out"
    assert waiting.headers["Idempotent-Replayed"] == "true"
    assert waiting.headers["Location"] == first.headers["Location"]
    assert post(api, b'{"stdout": "out"}', path="/test/act").status_code == 202


@pytest.mark.parametrize("change", [
    {"body": b'{"a": 1}'}, {"Longhaul_Priority": "5"}, {"media": "application/json; charset=utf-8"},
])
def test_reuse_for_another_request_is_refused(api, change):
    first = post(api)
    assert first.status_code == 202
    assert_problem(post(api, **change), 422, "idempotency-key-reused")
    assert post(api).status_code == 202


def test_key_belongs_to_client_and_type(stack, api):
    first = post(api)
    other_type = post(api, path="/noop")
    other_client = post(stack.api("somebody-else-" + job_id(first)))
    assert len({job_id(first), job_id(other_type), job_id(other_client)}) == 3


def test_key_of_a_removed_job_is_gone(api):
    first = post(api)
    url = first.headers["Location"]
    api.post(url + "/cancel")
    assert api.delete(url).status_code == 204
    assert_problem(post(api), 410)


def test_bare_and_quoted_keys(api):
    assert job_id(post(api, key="bare-token")) == job_id(post(api, key='"bare-token"'))
    long = "k" * 255
    assert job_id(post(api, key=f'"{long}"')) == job_id(post(api, key=f'"{long}"'))


@pytest.mark.parametrize("key", ["", '""', '"' + "k" * 256 + '"', '"open', "two words", '"a", "b"', '"caf\\q"', "\x07"])
def test_malformed_keys_are_refused(stack, api, key):
    reply = raw.exchange(stack.port, raw.request(
        "POST", "/v1/test/idle", [("Content-Type", "application/json"), ("Idempotency-Key", key)], b"{}"))
    assert_problem(reply, 400)


def test_key_sent_twice_is_refused(stack):
    reply = raw.exchange(stack.port, raw.request(
        "POST", "/v1/test/idle", [("Content-Type", "application/json"), ("Idempotency-Key", "a"),
                                  ("Idempotency-Key", "b")], b"{}"))
    assert_problem(reply, 400)


def test_many_at_once_make_one_job(stack, api):
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(post(stack.api("racer"), key='"race"')))
               for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r.status_code for r in replies} == {202}
    assert len({job_id(r) for r in replies}) == 1
    assert sum("Idempotent-Replayed" not in r.headers for r in replies) == 1
    assert stack.value("SELECT count(*) FROM longhaul.job WHERE client = 'racer'") == 1


def test_crossing_batches_of_keys_do_not_stick(stack):
    """Requests with the same keys in opposite orders, again and again: no deadlock, no error."""
    keys = [f'"cross-{n}"' for n in range(20)]
    replies = []

    def run(order):
        client = stack.api("crosser")
        for key in order:
            replies.append(post(client, key=key))

    threads = [threading.Thread(target=run, args=(order,)) for order in (keys, keys[::-1]) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r.status_code for r in replies} == {202}
    assert stack.value("SELECT count(*) FROM longhaul.job WHERE client = 'crosser'") == 20


def test_a_key_held_by_an_open_transaction_holds_nobody_else(stack, api):
    """Somebody's open transaction has inserted the key: only that request waits, and not for ever."""
    me = api.session.headers["X-Test-Client"]
    conn = stack.cluster.connect(stack.database)
    conn.autocommit = False
    try:
        with conn.cursor() as cur:
            cur.execute(
                "INSERT INTO longhaul.idempotency_key (client, type_id, key, job_id, fingerprint) "
                "SELECT %s, type_id, 'held', '01890000-0000-7000-8000-000000000000', '\\x00' "
                "FROM longhaul.job_type WHERE name = 'test.idle'", [me])
        replies = []
        held = threading.Thread(target=lambda: replies.append(post(stack.api(me), key='"held"')))
        held.start()
        for n in range(20):
            assert post(api, key=f'"free-{n}"').status_code == 202
        wait_until(lambda: replies, 30, "the request whose key is held")
        held.join()
        assert replies[0].status_code in (409, 503)
        assert_problem(replies[0], replies[0].status_code)
    finally:
        conn.rollback()
        conn.close()
    assert post(api, key='"held"').status_code == 202
