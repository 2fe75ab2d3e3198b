"""FastCGI records as nginx would never send them, straight to an API process."""

import os
import random
import socket
import struct
import time
import uuid

import pytest

from harness import fcgi
from harness.env import PATIENCE, scaled, wait_until


@pytest.fixture(autouse=True)
def lives_on(stack):
    pids = [p.pid for p in stack.apis]
    yield
    assert [p.pid for p in stack.apis if p.alive()] == pids
    for n in range(len(stack.apis)):
        reply = fcgi.ask(stack.socket(n + 1), fcgi.whole("GET", "/healthz", client=""))
        assert reply is not None and reply[0] == 200


def healthy(stack):
    """A request on another connection is answered at once."""
    begun = time.monotonic()
    reply = fcgi.ask(stack.socket(1), fcgi.whole("GET", "/healthz", client=""))
    assert reply[0] == 200
    assert time.monotonic() - begun < 2 * PATIENCE


def test_a_usual_request(stack):
    status, headers, _ = fcgi.ask(stack.socket(1), fcgi.whole(
        "POST", "/v1/test/idle", b"{}", extra=[("CONTENT_TYPE", "application/json")]))
    assert status == 202
    assert headers["location"].startswith("http://127.0.0.1/v1/idles/")


def test_half_a_head_holds_up_nobody(stack):
    data = fcgi.whole("GET", "/v1/jobs")
    held = []
    for cut in list(range(1, len(data), 7)):
        sock = fcgi.connect(stack.socket(1))
        sock.sendall(data[:cut])
        held.append(sock)
    healthy(stack)
    for sock in held:
        sock.close()
    healthy(stack)


def test_a_head_in_single_bytes(stack):
    data = fcgi.whole("GET", "/v1/jobs?limit=1")
    with fcgi.connect(stack.socket(1)) as sock:
        for n in range(0, len(data)):
            sock.sendall(data[n:n + 1])
        assert fcgi.read_answer(sock)[0] == 200


def test_a_body_in_single_bytes(stack):
    body = b'{"a": "' + b"x" * 300 + b'"}'
    head = fcgi.begin() + fcgi.params(fcgi.usual("POST", "/v1/test/idle", body,
                                                 extra=[("CONTENT_TYPE", "application/json")]))
    with fcgi.connect(stack.socket(1)) as sock:
        sock.sendall(head)
        for n in range(len(body)):
            sock.sendall(fcgi.record(fcgi.STDIN, body[n:n + 1], padding=n % 8))
        healthy(stack)
        sock.sendall(fcgi.record(fcgi.STDIN))
        assert fcgi.read_answer(sock)[0] == 202


def test_many_requests_on_one_connection(stack):
    with fcgi.connect(stack.socket(1)) as sock:
        for n in range(200):
            body = b'{"n": %d}' % n
            sock.sendall(fcgi.whole("POST", "/v1/noop", body, extra=[("CONTENT_TYPE", "application/json"),
                                                                    ("HTTP_PREFER", "respond-async")]))
            assert fcgi.read_answer(sock)[0] == 202


def test_connection_is_closed_when_not_kept(stack):
    with fcgi.connect(stack.socket(1)) as sock:
        sock.sendall(fcgi.whole("GET", "/healthz", client="", flags=0))
        assert fcgi.read_answer(sock)[0] == 200
        assert sock.recv(1) == b""


@pytest.mark.parametrize("junk", [
    b"\0" * 8, b"\xff" * 8, b"GET / HTTP/1.1\r\n\r\n", b"\x01", b"\x01\x01\x00\x01\x00\x08\x00",
    fcgi.record(fcgi.PARAMS, b"x" * 100), fcgi.record(fcgi.STDIN, b"x"), fcgi.record(fcgi.END, b"\0" * 8),
    fcgi.record(99, b"x"), fcgi.record(fcgi.BEGIN, b"", 1), fcgi.record(fcgi.BEGIN, b"\0" * 3, 1),
    fcgi.record(fcgi.BEGIN, struct.pack(">HB5x", 1, 1), version=9), fcgi.begin(role=2), fcgi.begin(role=3), fcgi.begin(role=77),
    fcgi.begin() * 5, fcgi.begin() + fcgi.record(fcgi.ABORT),
    fcgi.begin() + fcgi.record(fcgi.PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xffabc") + fcgi.record(fcgi.PARAMS),
    fcgi.begin() + fcgi.record(fcgi.PARAMS, b"\x80\x00\x00\x05\x7fab") + fcgi.record(fcgi.PARAMS),
    fcgi.begin() + fcgi.record(fcgi.PARAMS, b"\x05\x00") + fcgi.record(fcgi.PARAMS) + fcgi.record(fcgi.STDIN),
    fcgi.begin() + fcgi.record(fcgi.PARAMS) + fcgi.record(fcgi.STDIN),
    fcgi.begin(1) + fcgi.begin(2) + fcgi.params([], 2) + fcgi.params([], 1),
    fcgi.begin() + fcgi.params([("", ""), ("A", ""), ("", "B")]) + fcgi.stdin(b""),
    fcgi.begin() + fcgi.params([("REQUEST_METHOD", "GET")]) + fcgi.stdin(b""),
    fcgi.record(fcgi.GET_VALUES, fcgi.pair("FCGI_MAX_CONNS", "") + fcgi.pair("FCGI_MPXS_CONNS", ""), request=0),
    fcgi.begin() + fcgi.params(fcgi.usual("GET", "/v1/jobs")) + fcgi.record(fcgi.BEGIN, b"\0" * 8),
    fcgi.begin() + fcgi.params(fcgi.usual("POST", "/v1/noop", b"x" * 50)) + fcgi.record(fcgi.PARAMS, b"late"),
    fcgi.begin() + b"".join(fcgi.record(fcgi.PARAMS, b"x" * 65535) for _ in range(200)),
])
def test_junk_on_the_socket(stack, junk):
    with fcgi.connect(stack.socket(1), timeout=2) as sock:
        try:
            sock.sendall(junk)
            healthy(stack)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(100000)
        except OSError:
            pass
    healthy(stack)


def test_random_damage_to_a_good_request(stack):
    rng = random.Random(8202)
    good = fcgi.whole("POST", "/v1/noop", b'{"a": 1}', extra=[("CONTENT_TYPE", "application/json"),
                                                             ("HTTP_PREFER", "respond-async")])
    for _ in range(scaled(600, 200)):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            how = rng.randrange(3)
            at = rng.randrange(len(data))
            if how == 0:
                data[at] = rng.randrange(256)
            elif how == 1:
                del data[at:at + rng.randrange(1, 20)]
            else:
                data[at:at] = os.urandom(rng.randrange(1, 20))
        with fcgi.connect(stack.socket(1), timeout=5) as sock:
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
    healthy(stack)


def test_body_cut_short_makes_no_job(stack):
    this = uuid.uuid4().hex
    data = fcgi.begin() + fcgi.params(fcgi.usual("POST", "/v1/noop", b"x" * 500000, request_id=this, msec=f"{time.time():.3f}",
                                                 extra=[("CONTENT_TYPE", "text/plain")]))
    for body in (b"", b"x" * 10, b"x" * 300000):
        with fcgi.connect(stack.socket(1)) as sock:
            sock.sendall(data + fcgi.stdin(body, end=False))
    for body in (b"x" * 10, b"x" * 300000):
        reply = fcgi.ask(stack.socket(1), data + fcgi.stdin(body))
        assert reply is None or reply[0] == 400, reply
    healthy(stack)
    assert stack.value("SELECT count(*) FROM longhaul.job WHERE request_id = %s", [this]) == 0
    assert stack.value("SELECT count(*) FROM longhaul.input_chunk c WHERE NOT EXISTS (SELECT FROM longhaul.job j "
                       "WHERE j.id = c.job_id)") == 0


def test_the_same_request_on_two_processes_is_one_job(stack):
    """What nginx does when a process dies: the same id and time, to another one."""
    for n, body in enumerate((b"{}", b"x" * 300000)):
        this, msec = uuid.uuid4().hex, f"{time.time():.3f}"
        data = fcgi.whole("POST", "/v1/noop", body, request_id=this, msec=msec,
                          extra=[("CONTENT_TYPE", "text/plain"), ("HTTP_PREFER", "respond-async")])
        places = [fcgi.ask(stack.socket(1 + i % 2), data)[1]["location"] for i in range(4)]
        assert len(set(places)) == 1
        assert stack.value("SELECT count(*) FROM longhaul.job WHERE request_id = %s", [this]) == 1


def test_a_repeat_that_cannot_be_read_is_still_accepted(make_stack):
    """The job exists: a 503 would promise that nothing was accepted."""
    stack = make_stack(types=("noop",))
    data = fcgi.whole("POST", "/v1/noop", b"{}", request_id=uuid.uuid4().hex, msec=f"{time.time():.3f}",
                      extra=[("CONTENT_TYPE", "application/json"), ("HTTP_PREFER", "respond-async")])
    first = fcgi.ask(stack.socket(1), data)
    stack.sql("ALTER FUNCTION longhaul.status_batch(uuid[], text[], boolean) RENAME TO status_batch_away")
    again = fcgi.ask(stack.socket(2), data)
    assert (first[0], again[0]) == (202, 202), again
    assert again[1]["location"] == first[1]["location"]


def test_the_same_id_for_another_request_is_an_error(stack):
    this, msec = uuid.uuid4().hex, f"{time.time():.3f}"

    def ask(body, client="tester"):
        return fcgi.ask(stack.socket(1), fcgi.whole(
            "POST", "/v1/noop", body, request_id=this, msec=msec, client=client,
            extra=[("CONTENT_TYPE", "text/plain"), ("HTTP_PREFER", "respond-async")]))

    assert ask(b"one")[0] == 202
    for reply in (ask(b"two"), ask(b"one", client="other")):
        assert 400 <= reply[0] < 600 and "location" not in reply[1], reply
    assert stack.value("SELECT count(*) FROM longhaul.job WHERE request_id = %s", [this]) == 1


@pytest.mark.parametrize("msec", ["", "0", "-1", "99999999999.000", "abc", "1e9", "nan", "1700000000", "1700000000.5x"])
@pytest.mark.parametrize("request_id", [None, "", "zz", "A" * 31, "0" * 32, "f" * 500])
def test_wrong_ids_and_times_of_the_proxy(stack, msec, request_id):
    """A clock that is wrong, a proxy that sends none: a job with an id of today all the same."""
    reply = fcgi.ask(stack.socket(1), fcgi.whole(
        "POST", "/v1/test/idle", b"{}", request_id=request_id, msec=msec, extra=[("CONTENT_TYPE", "application/json")]))
    if request_id == "0" * 32 and reply[0] != 202:
        return  # the same id again for a request that differs in nothing but its time
    assert reply[0] in (202, 400), reply
    if reply[0] == 202:
        made = int(reply[1]["location"].rsplit("/", 1)[1].replace("-", "")[:12], 16) / 1000
        assert abs(made - time.time()) < 3 * 86400


def test_a_flood_of_connections_is_survived(stack):
    """More connections than the process may hold: refused or waiting, but it lives, and recovers."""
    held = []
    try:
        for _ in range(scaled(1500, 500)):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(5)
            try:
                sock.connect(str(stack.socket(1)))
            except OSError:
                sock.close()
                break
            held.append(sock)
        assert len(held) > 100
    finally:
        for sock in held:
            sock.close()
    wait_until(lambda: fcgi.ask(stack.socket(1), fcgi.whole("GET", "/healthz", client="")), 10, "an answer")


def test_answers_that_nobody_reads_hold_up_nobody(stack):
    """Requests sent, answers left unread on the connection."""
    held = []
    for _ in range(10):
        sock = fcgi.connect(stack.socket(1), timeout=2)
        try:
            for _ in range(2000):
                sock.sendall(fcgi.whole("GET", "/v1/jobs?limit=200", client="unread"))
        except OSError:
            pass
        held.append(sock)
    healthy(stack)
    for sock in held:
        sock.close()
