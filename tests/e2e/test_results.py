"""Results: whole, in part, not yet, never, no more."""

import hashlib
import os

import pytest

from harness.api import assert_problem
from harness.env import wait_until


@pytest.fixture
def cat(api):
    """Submits bytes to `cat` and returns the URL of the job when it is done."""

    def run(data, media="application/octet-stream"):
        url = api.submit("/test/cat", data, media).headers["Location"]
        api.completed(url)
        return url

    return run


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 262143, 262144, 262145, 3 * 262144, 1000003])
def test_results_of_every_size_come_back_as_they_were(api, cat, size):
    data = os.urandom(size)
    url = cat(data)
    reply = api.get(url + "/results")
    assert reply.status_code == 200
    assert int(reply.headers["Content-Length"]) == size
    assert hashlib.sha256(reply.content).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("size", [1000, 600000])
def test_ranges(api, cat, size):
    data = os.urandom(size)
    url = cat(data) + "/results"
    whole = api.get(url)
    tag = whole.headers["ETag"]
    assert tag.startswith('"')
    assert whole.headers["Accept-Ranges"] == "bytes"

    def part(spec, **headers):
        return api.get(url, headers={"Range": spec, **{n.replace("_", "-"): v for n, v in headers.items()}})

    for spec, first, last in [
        ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=500-", 500, size - 1), ("bytes=-10", size - 10, size - 1),
        (f"bytes={size - 1}-", size - 1, size - 1), (f"bytes=5-{10 * size}", 5, size - 1),
        (f"bytes=-{10 * size}", 0, size - 1),
    ]:
        reply = part(spec)
        assert reply.status_code == 206, spec
        assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert int(reply.headers["Content-Length"]) == last - first + 1
        assert reply.content == data[first:last + 1], spec
        assert reply.headers["ETag"] == tag
    if size > 300000:
        assert part("bytes=262140-262150").content == data[262140:262151], "across two stored pieces"

    for spec in (f"bytes={size}-", f"bytes={10 * size}-{11 * size}", "bytes=-0"):
        reply = part(spec)
        assert_problem(reply, 416)
        assert reply.headers["Content-Range"] == f"bytes */{size}"
    # What isn't understood, or is more than one range, is as if it weren't there.
    for spec in ("bytes=5-2", "items=0-5", "bytes=a-b", "bytes", "bytes=", "bytes=0-1,5-6", "bytes=--5",
                 "bytes=99999999999999999999999-"):
        reply = part(spec)
        assert reply.status_code in (200, 416), spec
        if reply.status_code == 200:
            assert reply.content == data

    assert part("bytes=0-9", If_Range=tag).status_code == 206
    assert part("bytes=0-9", If_Range='"other"').status_code == 200
    assert part("bytes=0-9", If_Range="W/" + tag).status_code == 200
    assert part("bytes=0-9", If_None_Match=tag).status_code == 304
    assert api.get(url, headers={"If-None-Match": tag}).status_code == 304

    # A client that resumes may insist on the result that it has begun.
    for good in (tag, "*", '"other", ' + tag):
        assert part("bytes=0-9", If_Match=good).status_code == 206
    for bad in ('"other"', "W/" + tag, "", "garbage"):
        assert_problem(part("bytes=0-9", If_Match=bad), 412, "precondition-failed")
    assert part("bytes=0-9", If_Match='"other"', If_None_Match=tag).status_code == 412


def test_head_of_a_result(api, cat):
    url = cat(b"x" * 100000) + "/results"
    reply = api.head(url)
    assert reply.status_code == 200
    assert reply.headers["Content-Length"] == "100000"
    assert reply.content == b""
    assert reply.headers["ETag"] == api.get(url).headers["ETag"]


def test_a_result_is_no_page_of_ours(api, stack):
    """Media type as stored, but nothing that a browser would run on our origin."""
    url = api.submit("/test/cat", b"<script>alert(1)</script>", "text/html").headers["Location"]
    api.completed(url)
    reply = api.get(url + "/results")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in reply.headers["Content-Security-Policy"]
    assert reply.headers["Content-Type"] in ("application/octet-stream", "text/html")
    assert reply.headers["Content-Disposition"].startswith("attachment")
    shown = api.submit("/accounts/bulk-import", b"email,name\na@example.com,A\n", "text/csv").headers["Location"]
    api.completed(shown)
    reply = api.get(shown + "/results")
    assert reply.headers["Content-Type"] == "application/json"
    assert "attachment" not in reply.headers.get("Content-Disposition", "")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_not_finished_is_409(api):
    url = api.submit("/test/idle").headers["Location"]
    reply = api.get(url + "/results")
    assert_problem(reply, 409, "result-not-ready")
    assert int(reply.headers["Retry-After"]) >= 1


def test_failed_and_canceled_are_409_with_the_error(api):
    failed = api.submit("/test/act", b'{"exit": 1}').headers["Location"]
    error = api.ended(failed)["error"]
    reply = api.get(failed + "/results")
    body = assert_problem(reply, 409)
    assert body["error"]["type"] == error["type"]
    assert reply.headers["Cache-Control"] == "no-store"
    canceled = api.submit("/test/idle").headers["Location"]
    api.post(canceled + "/cancel")
    reply = api.get(canceled + "/results")
    assert_problem(reply, 409)
    assert "Retry-After" not in reply.headers


def test_expired_is_410(make_stack):
    stack = make_stack(type_rows={"test.act": {"retention": "1 second"}})
    api = stack.api()
    url = api.submit("/test/act", b'{"stdout": "short-lived"}').headers["Location"]
    api.completed(url)
    gone = wait_until(lambda: (r := api.get(url + "/results")).status_code == 410 and r, 20, "the result to expire")
    assert_problem(gone, 410, "result-expired")
    assert_problem(wait_until(lambda: (r := api.get(url)).status_code == 410 and r, 20, "the job to expire"), 410)


@pytest.mark.direct
def test_a_reader_that_leaves_midway_hurts_nobody(stack, api, cat):
    from_where = cat(os.urandom(20_000_000)) + "/results"
    for _ in range(20):
        with api.get(from_where, stream=True) as reply:
            next(reply.iter_content(1000))
    assert len(api.get(from_where).content) == 20_000_000
    assert all(p.alive() for p in stack.apis)


@pytest.mark.direct
def test_a_slow_reader_holds_up_nobody(stack, api, cat):
    url = cat(os.urandom(8_000_000)) + "/results"
    slow = [api.get(url, stream=True) for _ in range(8)]
    try:
        readers = [r.iter_content(1000) for r in slow]
        for reader in readers:
            next(reader)
        for _ in range(20):
            assert api.get(url.removesuffix("/results")).elapsed.total_seconds() < 2
        assert len(api.get(url).content) == 8_000_000
    finally:
        for reply in slow:
            reply.close()
