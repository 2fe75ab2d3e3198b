"""What we send, as somebody else's library sees it: npm's `standardwebhooks`, the reference library of the
Standard Webhooks text, verifies the bytes and headers that arrived."""

import base64
import json
import time

import pytest

from harness import node
from harness.endpoint import Endpoint
from harness.env import wait_until
from harness.stack import LOCAL_WEBHOOKS, Stack

# The library takes timestamps of five minutes ago to five minutes ahead.
TOLERANCE = 300
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()


@pytest.fixture(scope="module")
def stack(cluster):
    it = Stack(cluster, types=("noop", "test.act"),
               webhook={**LOCAL_WEBHOOKS, "schedule_ms": "1100 1100 1100", "jitter_percent": 0})
    try:
        yield it.start()
    finally:
        problems = it.stop()
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(scope="module")
def verify():
    node.install()
    with node.Verifier() as it:
        yield it


@pytest.fixture
def endpoint():
    with Endpoint() as it:
        yield it


def subscribe(api, endpoint):
    """(URL of the webhook, its secret)"""
    reply = api.post("/webhooks", json.dumps({"url": endpoint.url()}))
    assert reply.status_code == 201, reply.text
    return reply.headers["Location"], reply.json()["secret"]


def rotate(api, url):
    reply = api.post(url + "/secret")
    assert reply.status_code == 201, reply.text
    return reply.json()["secret"]


def one_more(api, endpoint, path="/noop", data=b"{}", **headers):
    """Ends a job; its URL and the delivery that tells of it."""
    count = len(endpoint.deliveries)
    url = api.submit(path, data, **headers).headers["Location"]
    return url, endpoint.wait(count + 1)[count]


def test_what_we_send_verifies(api, endpoint, verify):
    _, secret = subscribe(api, endpoint)
    url, delivery = one_more(api, endpoint)
    payload = verify(secret, delivery.headers, delivery.body)["payload"]
    assert payload["type"] == "job.completed"
    assert payload["data"] == api.document(url)
    assert f'W/"{payload["version"]}"' == api.get(url).headers["ETag"], "one version for all channels"
    assert delivery.headers["content-type"] == "application/json"
    assert verify(OTHER, delivery.headers, delivery.body) == {"error": "No matching signature found"}


def test_letters_of_all_kinds_verify(api, endpoint, verify):
    _, secret = subscribe(api, endpoint)
    words = "Größe ☃ 😀 \\ \" </script> \u2028"
    url, delivery = one_more(api, endpoint, "/test/act", json.dumps(
        {"progress": [[1, 2, words]], "sleep": 0.3, "exit": 3, "stderr": words}).encode())
    payload = verify(secret, delivery.headers, delivery.body)["payload"]
    assert payload["type"] == "job.failed"
    assert payload["data"] == api.document(url)


def test_what_was_changed_does_not_verify(api, endpoint, verify):
    _, secret = subscribe(api, endpoint)
    _, delivery = one_more(api, endpoint)
    assert "payload" in verify(secret, delivery.headers, delivery.body)

    def with_header(name, value):
        return verify(secret, {**delivery.headers, name: value}, delivery.body)

    no_match = {"error": "No matching signature found"}
    assert verify(secret, delivery.headers, delivery.body.replace(b"job.completed", b"job.canceled")) == no_match
    assert verify(secret, delivery.headers, delivery.body + b" ") == no_match
    assert with_header("webhook-id", delivery.id[:-1] + ("0" if delivery.id[-1] != "0" else "1")) == no_match
    sent = int(delivery.headers["webhook-timestamp"])
    assert abs(sent - time.time()) < TOLERANCE / 2
    assert with_header("webhook-timestamp", str(sent - 1)) == no_match
    assert with_header("webhook-timestamp", str(sent - TOLERANCE - 60)) == {"error": "Message timestamp too old"}
    assert with_header("webhook-timestamp", str(sent + TOLERANCE + 60)) == {"error": "Message timestamp too new"}


def test_while_a_secret_is_replaced(api, endpoint, verify):
    """Until the old secret's time is over, whoever has the old one and whoever has the new one can verify."""
    url, old = subscribe(api, endpoint)
    _, before = one_more(api, endpoint)
    new = rotate(api, url)
    assert new != old
    _, during = one_more(api, endpoint)
    assert len(during.headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        assert "payload" in verify(secret, during.headers, during.body)
    assert "payload" in verify(old, before.headers, before.body)
    assert "error" in verify(new, before.headers, before.body)
    assert "error" in verify(OTHER, during.headers, during.body)


def test_a_url_for_one_job(api, endpoint, verify):
    """It is signed with the client's own secret."""
    secret = rotate(api, "/webhooks")
    url, delivery = one_more(api, endpoint, Longhaul_Webhook=endpoint.url("/one"))
    assert delivery.path == "/one"
    assert verify(secret, delivery.headers, delivery.body)["payload"]["data"] == api.document(url)


def test_each_try_is_signed_anew(api, endpoint, verify):
    """The same id and body, the time of the try: what comes late verifies as well."""
    _, secret = subscribe(api, endpoint)
    endpoint.respond = lambda delivery: (503 if len(endpoint.deliveries) < 1 else 204, ())
    one_more(api, endpoint)
    first, second = endpoint.wait(2)
    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    for delivery in (first, second):
        assert "payload" in verify(secret, delivery.headers, delivery.body)


def test_sent_again_on_request(api, endpoint, verify):
    url, secret = subscribe(api, endpoint)
    one_more(api, endpoint)
    wait_until(lambda: api.get(url + "/deliveries").json()["deliveries"][0]["status"] == "delivered", 10, "its record")
    first = endpoint.deliveries[0]
    reply = api.post(f"{url}/deliveries/{first.id}/redeliver")
    assert reply.status_code == 202, reply.text
    second = endpoint.wait(2)[1]
    assert (first.id, first.body) == (second.id, second.body)
    assert "payload" in verify(secret, second.headers, second.body)


def test_ping(api, endpoint, verify):
    url, secret = subscribe(api, endpoint)
    assert api.post(url + "/ping").status_code == 202
    delivery = endpoint.wait(1)[0]
    payload = verify(secret, delivery.headers, delivery.body)["payload"]
    assert payload["type"] == "ping" and payload["data"]["webhookId"] == url.rsplit("/", 1)[1]
