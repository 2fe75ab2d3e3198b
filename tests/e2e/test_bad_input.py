"""Whatever comes in: the right 4xx as a problem document, and the processes live on."""

import random
import socket

import pytest

from harness import raw
from harness.api import assert_problem
from harness.env import scaled

JSON = [("Content-Type", "application/json")]


@pytest.fixture(autouse=True)
def lives_on(stack):
    before = [(p.pid, p.alive()) for p in stack.apis]
    yield
    assert [(p.pid, p.alive()) for p in stack.apis] == before
    assert all(stack.api().get("/readyz").status_code == 200 for _ in stack.apis)


def send(stack, method, target, headers=(), body=b"", **kw):
    return raw.exchange(stack.port, raw.request(method, target, headers, body, **kw))


# ---- addresses ----

@pytest.mark.parametrize("path", [
    "/v1/", "/v1", "/v1/nothing", "/v1/nothing/here", "/v2/noop", "/v1/noops/", "/v1//noop", "/v1/noop/", "/v1/jobs/",
    "/v1/noops/x/y/z", "/v1/operations", "/v1/operations/", "/v1/webhooksx", "/v1/%6eoop%00", "/v1/noop%2f..",
    "/v1/noops/%00", "/v1/../etc/passwd", "/v1/noop;x=1", "/v1/" + "a/" * 500, "/v1/" + "n" * 3000,
])
def test_unknown_addresses(stack, path):
    reply = send(stack, "GET", path)
    assert reply.status in (400, 404, 405), reply
    assert_problem(reply, reply.status)


# The same in every process that collects the tests.
SOME_ID = "5e593dbc-4679-4d0e-9a35-2f1b7c7f0c11"


@pytest.mark.parametrize("this", [
    "x", "1", "-", "../jobs", SOME_ID.replace("-", ""), SOME_ID + "0", SOME_ID[:-1],
    "{" + SOME_ID + "}", "urn:uuid:" + SOME_ID, "g" * 36, "0" * 36, "%2e%2e", "%ff%fe", "%00",
    "01a2087d-d650-728c-97f1-bca0dc1c81f9'--", "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff", "é", "01a2087d_d650_728c_97f1_bca0dc1c81f9", "%zz",
])
def test_malformed_and_unknown_ids(stack, this):
    this = this.encode().decode("latin1")
    for method, rest in (("GET", ""), ("HEAD", ""), ("GET", "/results"), ("POST", "/cancel"), ("POST", "/retry"),
                         ("DELETE", "")):
        reply = send(stack, method, f"/v1/idles/{this}{rest}")
        assert reply.status in (400, 404, 410), (method, rest, reply)
        if method != "HEAD":
            assert_problem(reply, reply.status)
    assert send(stack, "GET", f"/v1/operations/{this}").status in (400, 404, 410)


def test_ids_have_no_case(api):
    url = api.submit("/test/idle").headers["Location"]
    base, this = url.rsplit("/", 1)
    assert api.get(f"{base}/{this.upper()}").status_code == 200


# ---- methods ----

@pytest.mark.parametrize("method,path,allowed", [
    ("GET", "/v1/noop", {"POST"}), ("PUT", "/v1/noop", {"POST"}), ("DELETE", "/v1/noop", {"POST"}),
    ("PATCH", "/v1/noop", {"POST"}), ("POST", "/v1/noops", {"GET", "HEAD"}), ("POST", "/v1/jobs", {"GET", "HEAD"}),
    ("DELETE", "/v1/jobs", {"GET", "HEAD"}),
    ("PUT", "/v1/noops/01a2087d-d650-728c-97f1-bca0dc1c81f9", {"GET", "HEAD", "DELETE"}),
    ("POST", "/v1/noops/01a2087d-d650-728c-97f1-bca0dc1c81f9/results", {"GET", "HEAD"}),
    ("GET", "/v1/noops/01a2087d-d650-728c-97f1-bca0dc1c81f9/cancel", {"POST"}),
    ("DELETE", "/v1/operations/01a2087d-d650-728c-97f1-bca0dc1c81f9", {"GET", "HEAD"}),
    ("POST", "/healthz", {"GET", "HEAD"}), ("OPTIONS", "/v1/noop", {"POST"}), ("PROPFIND", "/v1/noops", {"GET", "HEAD"}),
])
def test_wrong_methods(stack, method, path, allowed):
    reply = send(stack, method, path)
    assert_problem(reply, 405, "method-not-allowed")
    assert {m.strip() for m in reply.header("allow").split(",")} - {"OPTIONS"} == allowed


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "FOO", "get", "G" * 500, "GET\t", "\x00GET"])
def test_strange_methods(stack, method):
    reply = send(stack, method, "/v1/noop")
    assert reply.status in (400, 405, 501), reply
    assert_problem(reply, reply.status)


# ---- bodies ----

@pytest.mark.parametrize("media", [None, "", "text/plain", "application/xml", "application", "/", "application/json/x",
                                   "*/*", "application/*", ";charset=utf-8", "multipart/form-data; boundary=x", "x" * 2000])
def test_media_types_that_are_not_taken(stack, media):
    headers = [] if media is None else [("Content-Type", media)]
    reply = send(stack, "POST", "/v1/test/act", headers, b"{}")
    if reply.status == 400:  # not a media type at all
        assert_problem(reply, 400, "invalid-input")
        return
    assert_problem(reply, 415, "unsupported-media-type")
    assert "application/json" in reply.header("accept-post")


@pytest.mark.parametrize("media", ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8",
                                   "application/json;charset=\"utf-8\"", " application/json "])
def test_media_types_that_are(stack, media):
    assert send(stack, "POST", "/v1/test/idle", [("Content-Type", media)], b"{}").status == 202


def test_encoded_bodies_are_not_taken(stack):
    reply = send(stack, "POST", "/v1/test/act", JSON + [("Content-Encoding", "gzip")], b"\x1f\x8b\x08\x00")
    assert reply.status in (400, 415)
    assert_problem(reply, reply.status)


def test_too_large_for_the_type(stack):
    """The type's limit, far below nginx's."""
    for size in (100001, 1_000_000, 30_000_000):
        reply = send(stack, "POST", "/v1/test/act", JSON, b" " * size)
        assert_problem(reply, 413, "input-too-large")
    assert send(stack, "POST", "/v1/test/act", JSON, b"{}" + b" " * 99998).status == 202


def test_too_large_for_nginx(stack):
    reply = send(stack, "POST", "/v1/noop", [("Content-Length", str(2 << 30))])
    assert_problem(reply, 413, "input-too-large")


def test_one_gigabyte_declared_ten_bytes_sent(stack):
    """The client goes away: nothing is made of it. While it stays, nobody else waits."""
    before = stack.value("SELECT count(*) FROM longhaul.job")
    clients = [raw.connect(stack.port) for _ in range(20)]
    for client in clients:
        client.sendall(raw.request("POST", "/v1/noop", JSON + [("Content-Length", str(1 << 30))]) + b"0123456789")
    assert stack.api().post("/test/idle").status_code == 202
    for client in clients[:10]:
        client.shutdown(socket.SHUT_WR)
    for client in clients:
        client.close()
    assert stack.value("SELECT count(*) FROM longhaul.job") == before + 1


def test_body_cut_short(stack):
    data = raw.request("POST", "/v1/test/idle", JSON + [("Content-Length", "100")]) + b'{"a":'
    reply = raw.exchange(stack.port, data, half_close=True)
    assert reply is None or reply.status == 400


def test_chunked_bodies(stack):
    good = b"2\r\n{}\r\n0\r\n\r\n"
    assert send(stack, "POST", "/v1/test/idle", JSON + [("Transfer-Encoding", "chunked")], good).status == 202
    for bad in (b"zz\r\n{}\r\n0\r\n\r\n", b"-5\r\n{}\r\n0\r\n\r\n", b"fffffffffffffffffff\r\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n"):
        reply = send(stack, "POST", "/v1/test/idle", JSON + [("Transfer-Encoding", "chunked")], bad)
        assert reply is None or reply.status in (400, 413), (bad, reply)
        if reply is not None:
            assert_problem(reply, reply.status)


@pytest.mark.parametrize("headers", [
    [("Content-Length", "-1")], [("Content-Length", "abc")], [("Content-Length", "1, 1")],
    [("Content-Length", "99999999999999999999999")], [("Content-Length", "2"), ("Content-Length", "3")],
    [("Content-Length", "2"), ("Transfer-Encoding", "chunked")], [("Transfer-Encoding", "gzip")],
    [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], [("Host", "a"), ("Host", "b")],
    [("X", "y" * 9000)], [(f"X-{n}", "y" * 7000) for n in range(8)], [("X y", "z")], [("", "z")],
])
def test_absurd_headers(stack, headers):
    reply = send(stack, "POST", "/v1/test/idle", JSON + headers, b"{}")
    assert reply is None or reply.status in (202, 400, 413, 431, 501), reply
    if reply is not None and reply.status >= 400:
        assert_problem(reply, reply.status)


@pytest.mark.parametrize("name", ["Prefer", "Idempotency-Key", "If-None-Match", "Longhaul-Priority", "Longhaul-Run-At", "Longhaul-Start-By",
                                  "Traceparent", "Range", "If-Range", "Accept", "Cookie", "Authorization", "Origin"])
def test_garbage_in_every_header_that_is_read(stack, name):
    rng = random.Random(name)
    for _ in range(scaled(40, 15)):
        value = bytes(rng.choice([rng.randrange(256), 34, 44, 59, 61, 45]) for _ in range(rng.randrange(1, 200)))
        value = value.replace(b"\0", b"").replace(b"\n", b"").replace(b"\r", b"")
        for method, path in (("POST", "/v1/test/idle"), ("GET", "/v1/idles/01a2087d-d650-728c-97f1-bca0dc1c81f9")):
            reply = send(stack, method, path, JSON + [(name, value)], b"{}" if method == "POST" else b"")
            assert reply is not None and reply.status < 500, (value, reply)


def test_many_headers(stack):
    reply = send(stack, "POST", "/v1/test/idle", JSON + [(f"X-{n}", "1") for n in range(1000)], b"{}")
    assert reply.status in (202, 400, 431)


def test_nul_and_bad_utf8_in_what_is_stored(api, stack):
    """The input is bytes and may be anything; the words around it may not."""
    for body in (b"\0" * 100, b"\xff\xfe\xfd", b'"\\u0000"', b'"\\ud800"'):
        url = api.submit("/noop", body, "application/octet-stream").headers["Location"]
        api.completed(url)
    for media in (b"application/json; a=\xff\xfe", b"application/json; a=\xc3\x28"):
        reply = send(stack, "POST", "/v1/noop", [("Content-Type", media)], b"{}")
        assert reply.status < 500, reply
    for header in ("traceparent", "Idempotency-Key", "Prefer"):
        reply = send(stack, "POST", "/v1/noop", JSON + [(header, b"\xff\xc3\x28\xed\xa0\x80")], b"{}")
        assert reply.status < 500, reply


def test_nul_in_the_head(stack):
    for data in (b"GET /v1/jobs\0 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /v1/jobs HTTP/1.1\r\nHost: a\0b\r\n\r\n",
                 b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nX\0Y: z\r\n\r\n", b"\0\0\0\0\r\n\r\n",
                 b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nPrefer: a\0b\r\n\r\n"):
        reply = raw.exchange(stack.port, data, half_close=True)
        assert reply is None or reply.status in (400, 200, 501), (data, reply)


@pytest.mark.parametrize("data", [
    b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/jobs\r\n", b"GET /v1/jobs HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET /v1/jobs HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET " + b"/v1/" + b"a" * 40000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/%zz%4 HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n" * 100, b"A" * 100000,
])
def test_what_is_no_request(stack, data):
    reply = raw.exchange(stack.port, data, half_close=True)
    if reply is not None and reply.headers:
        assert 400 <= reply.status <= 505
        assert_problem(reply, reply.status)


def test_pipelined_requests_are_answered_in_order(stack, api):
    one = raw.request("GET", "/v1/jobs?limit=1", [("X-Test-Client", "piper")])
    two = raw.request("POST", "/v1/test/idle", JSON + [("X-Test-Client", "piper")], b"{}")
    with raw.connect(stack.port) as sock:
        sock.sendall(one + two + one)
        stream = sock.makefile("rb")
        assert [raw.read_reply(stream).status for _ in range(3)] == [200, 202, 200]


@pytest.mark.parametrize("media,body", [
    ("application/json", b"[" * 100000), ("application/json", b'[{"email":' + b"[" * 50000),
    ("application/json", b'{"a":' * 20000), ("application/x-ndjson", b'{"email":' + b"{" * 100000 + b"\n"),
    ("application/json", b'[{"email":"a@b.c","name":"x"'), ("application/json", b""), ("application/json", b"null"),
    ("application/json", b"[1,2,3]"), ("application/x-ndjson", b"\0\0\0\n"), ("application/x-ndjson", b"\xff\xfe\n"),
    ("text/csv", b"\0,\0\n"), ("text/csv", b"no,such,columns\n1,2,3\n"), ("text/csv", b'email,name\n"open'),
    ("application/json", b'[{"email":"a@b.c","name":"\\u0000"}]'), ("application/x-ndjson", b"x" * 3_000_000),
    ("application/json", b'[{"email":"a@b.c","name":"\\ud800"}]'), ("application/x-ndjson", b'{"email":1e999}\n'),
])
def test_imports_of_nonsense_end_in_a_clear_failure_or_rejects(api, media, body):
    """No crash, no retry for ever, no silence: failed with a problem, or completed with rejected rows."""
    url = api.submit("/accounts/bulk-import", body, media).headers["Location"]
    doc = api.ended(url, timeout=40)
    assert doc["attempt"] == 1
    if doc["status"] == "Failed":
        assert 400 <= doc["error"]["status"] < 500, doc
        assert doc["error"]["title"]
    else:
        result = api.get(url + "/results").json()
        assert result["imported"] == 0, result
