"""Large inputs on their way into the database, piece by piece, as no client behind nginx would send them."""

import hashlib
import time
import uuid

import pytest

from harness import fcgi
from harness.env import wait_until

SIZE = 1000000
BODY = bytes(range(250)) * (SIZE // 250)


@pytest.fixture
def one(make_stack):
    return make_stack(apis=1, workers=0, types=("noop",), api={"streams": 2, "streams_queue": 1})


class Upload:
    """A submit whose body is sent in two parts."""

    def __init__(self, stack):
        self.id = uuid.uuid4().hex
        self.sock = fcgi.connect(stack.socket(1), 60)
        self.sock.sendall(fcgi.begin() + fcgi.params(fcgi.usual(
            "POST", "/v1/noop", BODY, request_id=self.id, msec=f"{time.time():.3f}",
            extra=[("CONTENT_TYPE", "text/plain"), ("HTTP_PREFER", "respond-async")])))

    def first_part(self):
        self.sock.sendall(fcgi.stdin(BODY[:600000], end=False))
        return self

    def second_part(self):
        self.sock.sendall(fcgi.stdin(BODY[600000:]))
        return self

    def status(self):
        with self.sock:
            return fcgi.read_answer(self.sock)[0]


def backends(stack):
    """How many uploads have stored what they have and wait for the rest."""
    return stack.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%%upload%%' "
                       "AND state = 'idle in transaction' AND state_change < clock_timestamp() - interval '300 ms' "
                       "AND datname = current_database()")


def open_transactions(stack):
    return stack.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%%upload%%' "
                       "AND xact_start IS NOT NULL AND datname = current_database()")


def orphans(stack):
    return stack.value("SELECT count(*) FROM longhaul.input_chunk c "
                       "WHERE NOT EXISTS (SELECT FROM longhaul.job j WHERE j.id = c.job_id)")


def stored(stack, upload):
    rows = stack.query("SELECT c.data FROM longhaul.job j JOIN longhaul.input_chunk c ON c.job_id = j.id "
                       "WHERE j.request_id = %s ORDER BY c.seq", [upload.id])
    return hashlib.sha256(b"".join(bytes(r[0]) for r in rows)).digest()


def test_pieces_arrive_in_order_and_only_with_the_job(one):
    upload = Upload(one).first_part()
    wait_until(lambda: backends(one) == 1, 10, "the upload to be under way")
    assert one.value("SELECT count(*) FROM longhaul.input_chunk") == 0
    assert upload.second_part().status() == 202
    assert stored(one, upload) == hashlib.sha256(BODY).digest()
    assert one.value("SELECT max(length(data)) FROM longhaul.input_chunk WHERE seq < 3") == 262144


def test_connection_that_breaks_between_two_pieces_ends_the_upload(one):
    """It comes back by itself, but without the pieces: the rest must not become a job."""
    upload = Upload(one).first_part()
    wait_until(lambda: backends(one) == 1, 10, "the upload to be under way")
    one.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
              "WHERE application_name LIKE '%%upload%%' AND datname = current_database()")
    time.sleep(1)  # until it is connected anew
    assert upload.second_part().status() == 503
    assert one.value("SELECT count(*) FROM longhaul.job") == 0
    assert orphans(one) == 0


def test_client_that_leaves_gives_its_place_back(one):
    for _ in range(6):
        Upload(one).first_part().sock.close()
    wait_until(lambda: open_transactions(one) == 0, 10, "the transactions to be rolled back")
    assert Upload(one).first_part().second_part().status() == 202
    assert orphans(one) == 0
    assert one.value("SELECT count(*) FROM longhaul.job") == 1


def test_more_than_the_pool_wait_and_more_than_the_queue_are_refused(one):
    first = [Upload(one).first_part() for _ in range(2)]
    wait_until(lambda: backends(one) == 2, 10, "both connections to be in use")
    third = Upload(one)
    time.sleep(0.2)
    # It is read to its end before it is refused, as every request is.
    assert Upload(one).first_part().second_part().status() == 503
    for upload in first:
        assert upload.second_part().status() == 202
    assert third.first_part().second_part().status() == 202
    assert one.value("SELECT count(*) FROM longhaul.job") == 3
    assert orphans(one) == 0
