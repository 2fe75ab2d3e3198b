"""Delivery of webhooks: what is sent, what endpoints can do, where it must not go, and who waits for whom.

In this stack 127.0.0.2 and 127.0.0.3 stand for the world outside, and 127.0.0.1 for what is inside."""

import base64
import collections
import contextlib
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import signal
import ssl
import subprocess
import threading
import time
import uuid

import pytest
from harness import env
from harness.dns import Dns
from harness.receiver import Receiver, answer, at, endless, never, raw
from harness.stack import Stack

Hook = collections.namedtuple("Hook", "id client secret")
WAITS = [40, 80, 120]  # so there are four tries
TIMEOUT = 1500

NAMES = {
    "good.test": [["127.0.0.2"]],
    "wrong.test": [["127.0.0.2"]],
    "inside.test": [["127.0.0.1"]],
    "rebind.test": [["127.0.0.2"], ["127.0.0.1"]],
    "mixed.test": [["127.0.0.2", "10.1.2.3"]],
    "mixed6.test": [["127.0.0.2", "::1"]],
    "mapped.test": [["::ffff:127.0.0.2"]],
    "two.test": [["127.0.0.3", "127.0.0.2"]],
    "silent.test": [None],
}


# ---- the stack -----------------------------------------------------------------------------------

def openssl(folder, *args):
    subprocess.run(["openssl", *map(str, args)], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA and a certificate of it for good.test, and one that nobody vouches for."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "san").write_text("subjectAltName=DNS:good.test,IP:127.0.0.2")
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl(folder, *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA",
            "-addext", "keyUsage=keyCertSign")
    openssl(folder, *new, "-keyout", "self.key", "-out", "self.pem", "-subj", "/CN=good.test",
            "-addext", "subjectAltName=DNS:good.test")
    openssl(folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "good.key", "-out", "good.csr", "-subj", "/CN=good.test")
    openssl(folder, "x509", "-req", "-in", "good.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "san", "-out", "good.pem")
    return folder


def server_tls(folder, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


@pytest.fixture(scope="module")
def dns():
    with Dns(NAMES) as it:
        yield it


def webhook_settings(**more):
    return {"allow_http": True, "allow": "127.0.0.2 127.0.0.3", "poll_ms": 50, "timeout_ms": TIMEOUT,
            "connect_ms": 700, "slow_ms": 300, "schedule_ms": " ".join(map(str, WAITS)),
            "retry_after_max_ms": 3000, **more}


@pytest.fixture(scope="module")
def stack(cluster, dns, certificates):
    it = Stack(cluster, apis=1, workers=1, types=("test.act", "test.quick"),
               worker={"lease_ms": 2000, "beat_ms": 200, "rescue_ms": 100, "drain_ms": 3000},
               webhook=webhook_settings(dns_servers=dns.address, ca_file=certificates / "ca.pem", concurrency=16))
    # A proxy in the environment is none of the courier's business.
    it.workers[0].environ.update(http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9",
                                 ALL_PROXY="http://127.0.0.1:9", SSLKEYLOGFILE="/dev/full")
    try:
        it.start()
        yield it
    finally:
        complaints = it.stop()
        if complaints:
            pytest.fail("\n".join(complaints), pytrace=False)


@pytest.fixture
def client(request):
    """A name that no other test uses."""
    return f"c-{request.node.name}-{uuid.uuid4().hex[:6]}"


# ---- webhooks by SQL: what the API does with them has its own tests ---------------------------------

def new_id(stack):
    return stack.value("SELECT longhaul.uuid_v7()::text")


def subscribe(stack, client, url):
    secret = os.urandom(32)
    hook = Hook(new_id(stack), client, secret)
    assert stack.value(
        "SELECT longhaul.webhook_create(%s, %s, %s, NULL, '{job.completed,job.failed,job.canceled}', '', "
        "'https://api.example.com', 'urn:p:', %s)", [hook.id, client, url, secret]) == 1
    return hook


def ping(stack, hook):
    """Queues a test event; its delivery's id."""
    delivery = new_id(stack)
    assert stack.value("SELECT longhaul.webhook_ping(%s, %s, %s)", [hook.client, hook.id, delivery]) == 1
    return delivery


def tries(stack, delivery):
    """(status code, error) of each try."""
    return stack.query("SELECT status_code, error FROM longhaul.webhook_try WHERE delivery_id = %s ORDER BY attempt",
                       [delivery])


PENDING, DELIVERED, FAILED, DROPPED = 1, 2, 3, 4


def state(stack, delivery):
    return stack.value("SELECT status FROM longhaul.webhook_delivery WHERE id = %s", [delivery])


def wait_state(stack, delivery, wanted, timeout=20):
    env.wait_until(lambda: state(stack, delivery) == wanted, timeout, f"delivery in state {wanted}")


def wait_try(stack, delivery, count=1):
    """The tries, once there are so many."""
    env.wait_until(lambda: len(tries(stack, delivery)) >= count, 20, f"{count} tries")
    return tries(stack, delivery)


def expected(secret, request):
    signed = b".".join([request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(),
                        request.body])
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def deliver(stack, client, url):
    """A ping to that URL; its delivery's id."""
    return ping(stack, subscribe(stack, client, url))


# ---- what is sent -----------------------------------------------------------------------------------

def test_what_is_sent(stack, client):
    api = stack.api(client)
    with Receiver() as receiver:
        hook = subscribe(stack, client, receiver.url("/a/b?c=d"))
        before = int(time.time())
        reply = api.submit("/test/act", b"{}", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        document = api.completed(reply.headers["Location"])
        request, = receiver.wait()
        delivery = request.headers["webhook-id"]
        wait_state(stack, delivery, DELIVERED)
    assert request.line == "POST /a/b?c=d HTTP/1.1"
    assert request.headers["host"] == f"127.0.0.2:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("longhaul/")
    assert request.headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert set(request.headers) == {
        "host", "accept", "user-agent", "content-type", "content-length", "traceparent",
        "webhook-id", "webhook-timestamp", "webhook-signature"}
    assert before <= int(request.headers["webhook-timestamp"]) <= time.time()
    assert request.headers["webhook-signature"] == expected(hook.secret, request)
    payload = json.loads(request.body)
    assert payload["type"] == "job.completed"
    assert payload["data"]["jobId"] == document["jobId"] and payload["data"]["status"] == "Completed"
    assert tries(stack, delivery) == [(204, None)]


def test_repeat_has_same_id_and_new_signature(stack, client):
    with Receiver(answer(500), answer(200)) as receiver:
        hook = subscribe(stack, client, receiver.url())
        delivery = ping(stack, hook)
        first, second = receiver.wait(2)
        wait_state(stack, delivery, DELIVERED)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery
    assert first.body == second.body
    for request in (first, second):
        assert abs(request.at - int(request.headers["webhook-timestamp"])) < 5 * env.PATIENCE
        assert request.headers["webhook-signature"] == expected(hook.secret, request)
    assert second.at - first.at >= WAITS[0] / 1000
    assert tries(stack, delivery) == [(500, "http-error"), (200, None)]


def test_schedule_runs_out(stack, client):
    with Receiver(answer(500, b"the endpoint's own secret words")) as receiver:
        hook = subscribe(stack, client, receiver.url())
        delivery = ping(stack, hook)
        wait_state(stack, delivery, FAILED)
        times = [r.at for r in receiver.requests]
        assert len(times) == len(WAITS) + 1
        for wait, first, second in zip(WAITS, times, times[1:]):
            assert second - first >= wait / 1000
        # Nothing of what it answered is kept, but the status.
        rows = stack.query("SELECT * FROM longhaul.webhook_deliveries(%s, %s, NULL, NULL, NULL, 10)", [client, hook.id])
        assert "secret words" not in str(rows) and '500' in str(rows)
        assert "secret words" not in str(stack.logs())
        # Sent again: its attempts start anew, its tries go on counting.
        assert stack.value("SELECT longhaul.webhook_redeliver(%s, %s, NULL, %s)", [client, hook.id, delivery]) == 1
        receiver.wait(len(times) + 1)
        wait_state(stack, delivery, FAILED)
        assert {r.headers["webhook-id"] for r in receiver.requests} == {delivery}
    assert len(tries(stack, delivery)) == 2 * len(times)


def test_rotation(stack, client):
    with Receiver() as receiver:
        hook = subscribe(stack, client, receiver.url())
        new = os.urandom(32)
        assert stack.value("SELECT longhaul.webhook_rotate(%s, %s, %s, 3600000)", [client, hook.id, new]) == 1
        delivery = ping(stack, hook)
        request, = receiver.wait()
        wait_state(stack, delivery, DELIVERED)
    assert request.headers["webhook-signature"].split(" ") == [expected(new, request), expected(hook.secret, request)]


# ---- what endpoints can do --------------------------------------------------------------------------

def test_later_in_seconds(stack, client):
    with Receiver(answer(429, Retry_After="1"), answer()) as receiver:
        delivery = deliver(stack, client, receiver.url())
        first, second = receiver.wait(2)
        wait_state(stack, delivery, DELIVERED)
    assert second.at - first.at >= 1
    assert tries(stack, delivery) == [(429, "http-error"), (204, None)]


def test_later_by_date(stack, client):
    def in_two_seconds(connection, request, receiver):
        receiver.until = int(time.time()) + 2
        answer(503, Retry_After=at(receiver.until))(connection, request, receiver)

    with Receiver(in_two_seconds, answer()) as receiver:
        delivery = deliver(stack, client, receiver.url())
        receiver.wait(2)
        wait_state(stack, delivery, DELIVERED)
        # A hundredth of a second for clocks that are read at different places.
        assert receiver.requests[1].at >= receiver.until - 0.01


def test_gone(stack, client):
    with Receiver(answer(500), answer(410)) as receiver:
        hook = subscribe(stack, client, receiver.url())
        delivery = ping(stack, hook)
        wait_state(stack, delivery, FAILED)
        assert tries(stack, delivery) == [(500, "http-error"), (410, "http-error")]
        assert stack.query("SELECT disabled_reason FROM longhaul.webhook WHERE id = %s", [hook.id]) == [("gone",)]
        assert stack.value("SELECT longhaul.webhook_ping(%s, %s, %s)", [client, hook.id, new_id(stack)]) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(stack, client, status):
    with Receiver() as elsewhere, Receiver(answer(status, Location=elsewhere.url("/moved")), answer()) as receiver:
        delivery = deliver(stack, client, receiver.url())
        wait_state(stack, delivery, DELIVERED)
        assert elsewhere.connected == 0
    assert tries(stack, delivery) == [(status, "redirect"), (204, None)]


HEAD = b"HTTP/1.1 200 Fine\r\n"
BAD_ANSWERS = {
    "never answers": (never, (None, "timeout")),
    "answers byte by byte": (endless(HEAD + b"X-Slow: ", b".", every=0.05), (None, "timeout")),
    "hangs up": (raw(b""), (None, "connection-lost")),
    "hangs up within the headers": (raw(HEAD + b"Content-"), (None, "connection-lost")),
    "speaks something else": (raw(b"220 mail.example.com ESMTP\r\n"), (None, "bad-answer")),
    "huge headers": (endless(HEAD, b"X-Header: " + b"x" * 1000 + b"\r\n"), (None, "bad-answer")),
    "one huge header": (endless(HEAD + b"X-Header: ", b"x" * 1000), (None, "bad-answer")),
    "interim answers without end": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), (None, "bad-answer")),
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_bad_answers(stack, client, kind):
    give, result = BAD_ANSWERS[kind]
    with Receiver(give, answer()) as receiver:
        delivery = deliver(stack, client, receiver.url())
        wait_state(stack, delivery, DELIVERED)
        first, second = receiver.requests
        assert second.headers["webhook-id"] == first.headers["webhook-id"]
        assert second.at - first.at < (TIMEOUT / 1000 + 8) * env.PATIENCE
        assert receiver.sent < 50 << 20
    assert tries(stack, delivery) == [result, (204, None)]


GOOD_ANSWERS = {
    "10 GB": endless(HEAD + b"Content-Length: 10737418240\r\n\r\n", b"x" * 65536),
    "chunks without end": endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "content byte by byte": endless(HEAD + b"Content-Length: 1000000\r\n\r\n", b".", every=0.05),
    "content cut off": raw(HEAD + b"Content-Length: 1000\r\n\r\nabc"),
    "an interim answer first": raw(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 0\r\n\r\n"),
    "old HTTP": raw(b"HTTP/1.0 200 OK\r\n\r\nfine"),
}


@pytest.mark.parametrize("kind", GOOD_ANSWERS)
def test_status_counts_whatever_follows(stack, client, kind):
    with Receiver(GOOD_ANSWERS[kind]) as receiver:
        delivery = deliver(stack, client, receiver.url())
        wait_state(stack, delivery, DELIVERED)
        # What the kernels had on their way, and no more.
        assert len(receiver.requests) == 1 and receiver.sent < 50 << 20
    assert tries(stack, delivery) == [(200, None)]


def test_nobody_listens(stack, client):
    with Receiver() as receiver:
        url = receiver.url()
    delivery = deliver(stack, client, url)
    wait_state(stack, delivery, FAILED)
    assert tries(stack, delivery) == [(None, "connect")] * (len(WAITS) + 1)


# ---- TLS --------------------------------------------------------------------------------------------

def test_tls(stack, client, certificates):
    with Receiver(tls=server_tls(certificates, "good")) as receiver:
        by_name = deliver(stack, client, receiver.url(host="good.test"))
        by_address = deliver(stack, client, receiver.url())
        wait_state(stack, by_name, DELIVERED)
        wait_state(stack, by_address, DELIVERED)
        hosts = {r.headers["host"] for r in receiver.requests}
    assert hosts == {f"good.test:{receiver.port}", f"127.0.0.2:{receiver.port}"}


@pytest.mark.parametrize("certificate, host", [("self", "good.test"), ("good", "wrong.test"), ("self", "127.0.0.2")])
def test_tls_without_trust(stack, client, certificates, certificate, host):
    with Receiver(tls=server_tls(certificates, certificate)) as receiver:
        delivery = deliver(stack, client, receiver.url(host=host))
        wait_state(stack, delivery, FAILED)
        assert receiver.connected == len(WAITS) + 1 and not receiver.requests
    assert tries(stack, delivery) == [(None, "tls")] * (len(WAITS) + 1)


def test_no_tls_there(stack, client):
    with Receiver(raw(b"HTTP/1.1 400 What\r\n\r\n"), reads=False) as receiver:
        delivery = deliver(stack, client, receiver.url(host="good.test").replace("http:", "https:"))
        assert wait_try(stack, delivery)[0] == (None, "tls")


# ---- where it must not go ---------------------------------------------------------------------------

def test_rebinding(stack, client, dns):
    """A name that leads outside at first, and inside when it is tried again."""
    with Receiver(answer(500)) as outside, Receiver(host="127.0.0.1", port=outside.port) as inside:
        delivery = deliver(stack, client, outside.url(host="rebind.test"))
        wait_state(stack, delivery, FAILED)
        assert outside.connected == 1 and inside.connected == 0
    assert tries(stack, delivery) == [(500, "http-error")] + [(None, "address-refused")] * len(WAITS)
    # One lookup a try: there is no second answer that could be another.
    assert dns.lookups("rebind.test") == {"A": len(WAITS) + 1, "AAAA": len(WAITS) + 1}


@pytest.mark.parametrize("host", ["inside.test", "mixed.test", "mixed6.test", "mapped.test", "127.0.0.1", "0x7f000001",
                                  "localhost", "127.1", "[::1]", "[::ffff:127.0.0.2]"])
def test_refused_addresses(stack, client, host):
    with Receiver() as outside, Receiver(host="127.0.0.1", port=outside.port) as inside:
        delivery = deliver(stack, client, outside.url(host=host))
        wait_state(stack, delivery, FAILED)
        assert outside.connected == 0 and inside.connected == 0
    assert set(tries(stack, delivery)) == {(None, "address-refused")}


@pytest.mark.parametrize("url", ["ftp://127.0.0.2/", "file:///etc/passwd", "http://user:pw@127.0.0.2/",
                                 "gopher://127.0.0.2/"])
def test_bad_urls(stack, client, url):
    """The API takes none of these; but what stands in the table is not believed."""
    delivery = deliver(stack, client, url)
    assert wait_try(stack, delivery)[0] == (None, "bad-url")


@pytest.mark.parametrize("host", ["nowhere.test", "silent.test"])
def test_names_without_addresses(stack, client, host):
    delivery = deliver(stack, client, f"http://{host}/")
    assert wait_try(stack, delivery)[0] == (None, "dns")


def test_next_address_when_nobody_listens_at_the_first(stack, client):
    with Receiver() as receiver:
        delivery = deliver(stack, client, receiver.url(host="two.test"))
        wait_state(stack, delivery, DELIVERED)
        assert receiver.requests[0].headers["host"] == f"two.test:{receiver.port}"
    assert tries(stack, delivery) == [(204, None)]


# ---- who waits for whom -----------------------------------------------------------------------------

def at_once(requests):
    """How many of the requests, all of which hung until their time was out, were there at a time. Half of that time
    is taken, for they may be noticed late on a busy machine."""
    changes = sorted([(r.at, 1) for r in requests] + [(r.at + TIMEOUT / 2000, -1) for r in requests])
    return max(itertools.accumulate(change for _, change in changes))


def test_slow_endpoints_of_one_client_delay_no_other(stack, client):
    """All that one client has hangs; another's delivery arrives meanwhile."""
    with Receiver(never) as tarpit, Receiver() as quick:
        slow = [subscribe(stack, client, tarpit.url(f"/{n}")) for n in range(6)]
        hanging = [ping(stack, hook) for hook in slow for _ in range(12)]
        # A quarter of the 16 slots, though much is due for 6 endpoints.
        env.wait_until(lambda: tarpit.holding() == 4, 20, "the slow client's share to be used up")
        for n in range(5):
            delivery = deliver(stack, f"{client}-other-{n}", quick.url())
            wait_state(stack, delivery, DELIVERED)
        assert at_once(tarpit.requests) <= 4
        ended = sum(bool(tries(stack, d)) for d in hanging)
        assert ended < len(hanging), "all had been tried before the others came: nothing was tested"
        stack.sql("UPDATE longhaul.webhook SET deleted_at = now() WHERE client = %s", [client])


def test_slow_clients_leave_half_of_the_slots(stack, client):
    with Receiver(never) as tarpit, Receiver() as quick:
        for n in range(4):
            for m in range(2):
                hook = subscribe(stack, f"{client}-{n}", tarpit.url(f"/{n}/{m}"))
                for _ in range(6):
                    ping(stack, hook)
        # They may have all slots once, while nobody knows them. From then on it is half of them.
        env.wait_until(lambda: len(tarpit.requests) > 16, 20, "their second round")
        for n in range(3):
            delivery = deliver(stack, f"{client}-other-{n}", quick.url())
            wait_state(stack, delivery, DELIVERED)
        env.wait_until(lambda: len(tarpit.requests) > 32, 30, "more rounds")
        assert at_once(tarpit.requests[16:]) <= 8
        stack.sql("UPDATE longhaul.webhook SET deleted_at = now() WHERE client LIKE %s", [client + "-%"])


def test_one_endpoint_has_its_own_limit(make_stack, client, dns):
    """With slots for all, no more than per_endpoint go to one endpoint, by all workers together."""
    stack = make_stack(apis=1, workers=2, types=("test.quick",),
                       webhook=webhook_settings(dns_servers=dns.address, per_endpoint=2))
    with Receiver(never) as tarpit:
        hook = subscribe(stack, client, tarpit.url())
        for _ in range(6):
            ping(stack, hook)
        def listed():
            return stack.query("SELECT extract(epoch FROM started_at)::float8, duration_ms FROM longhaul.webhook_try t "
                               "JOIN longhaul.webhook_delivery d ON d.id = t.delivery_id WHERE d.webhook_id = %s", [hook.id])
        # By the couriers' own times: the endpoint may see a request long after its time has begun to count.
        found = env.wait_until(lambda: len(listed()) >= 4 and listed(), 20, "two rounds to be over")
        in_flight = []
        for _, change in sorted([(at, 1) for at, _ in found] + [(at + (ms - 2) / 1000, -1) for at, ms in found]):
            in_flight.append((in_flight[-1] if in_flight else 0) + change)
        assert max(in_flight) <= 2
        stack.sql("UPDATE longhaul.webhook SET deleted_at = now() WHERE client = %s", [client])


# ---- crashes and ends -------------------------------------------------------------------------------

def courier_of(worker):
    """The pid of that worker's courier, or None."""
    for pid in worker.children():
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("longhaul-courie"):
                return pid
    return None


def test_courier_dies(stack, client):
    """What it had under way is tried again; the attempt counts, once. A new courier comes."""
    worker, = stack.workers
    with Receiver(never, answer()) as receiver:
        delivery = deliver(stack, client, receiver.url())
        receiver.wait()
        before = courier_of(worker)
        os.kill(before, signal.SIGKILL)
        wait_state(stack, delivery, DELIVERED)
        assert len(receiver.requests) == 2
    assert tries(stack, delivery) == [(None, "courier-died"), (204, None)]
    assert courier_of(worker) not in (None, before) and worker.alive()


def test_courier_knows_nothing(stack):
    """It has no database, no secrets and little of an environment."""
    pid = env.wait_until(lambda: courier_of(stack.workers[0]), 20, "a courier")
    environ = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert {e.split(b"=")[0] for e in environ if e} <= {
        b"PATH", b"LANG", b"LC_ALL", b"TZ", b"ASAN_OPTIONS", b"LSAN_OPTIONS", b"UBSAN_OPTIONS"}
    assert b"conninfo" not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()


def test_worker_dies(stack, client):
    """Killed in the middle of a try: another identity makes it again, and no attempt is burned."""
    worker, = stack.workers
    with Receiver(never, answer()) as receiver:
        delivery = deliver(stack, client, receiver.url())
        receiver.wait()
        courier = courier_of(worker)
        worker.kill()
        env.wait_until(lambda: not pathlib.Path(f"/proc/{courier}").exists(), 20, "the courier to end as well")
        worker.start()
        wait_state(stack, delivery, DELIVERED)
        first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery
    assert tries(stack, delivery) == [(204, None)]


def test_drain(make_stack, client):
    """At SIGTERM a try may end within the drain time; one that doesn't is put back without burning an attempt."""
    settings = webhook_settings(timeout_ms=60000)
    stack = make_stack(apis=1, types=("test.quick",), worker={"drain_ms": 1000}, webhook=settings)
    worker, = stack.workers

    def later(connection, request, receiver):
        receiver.go.wait(20 * env.PATIENCE)
        answer()(connection, request, receiver)

    with Receiver(later) as slow, Receiver(never, answer()) as tarpit:
        slow.go = threading.Event()
        ends = deliver(stack, client, slow.url())
        stays = deliver(stack, client, tarpit.url())
        slow.wait()
        tarpit.wait()
        worker.send(signal.SIGTERM)
        env.wait_until(lambda: "draining" in worker.text(), 20, "the drain to begin")
        slow.go.set()
        worker.child.wait(30 * env.PATIENCE)
        assert state(stack, ends) == DELIVERED
        assert state(stack, stays) == PENDING and tries(stack, stays) == []
        worker.start()
        wait_state(stack, stays, DELIVERED)
        assert tries(stack, stays) == [(204, None)]


def test_database_away(own_cluster, make_stack, client):
    """A try that ends while the database is away is reported when it is back: it isn't made again."""
    stack = make_stack(own_cluster, apis=1, types=("test.quick",), worker={"lease_ms": 60000, "beat_ms": 200},
                       webhook=webhook_settings(timeout_ms=60000))
    go = threading.Event()

    def later(connection, request, receiver):
        go.wait(60 * env.PATIENCE)
        answer()(connection, request, receiver)

    with Receiver(later) as receiver:
        delivery = deliver(stack, client, receiver.url())
        receiver.wait()
        stack.close()
        own_cluster.server.send(signal.SIGINT)
        own_cluster.server.child.wait(60)
        go.set()
        env.wait_until(lambda: receiver.holding() == 0, 20, "the answer to be taken")
        own_cluster.server.start()
        own_cluster.wait_ready()
        wait_state(stack, delivery, DELIVERED)
        assert len(receiver.requests) == 1
    assert tries(stack, delivery) == [(204, None)]


def test_connection_cut_again_and_again(stack, client):
    """Claims and reports whose answers are lost: everything is delivered nevertheless, nothing is stranded."""
    with Receiver() as receiver:
        hooks = [subscribe(stack, f"{client}-{n}", receiver.url(f"/{n}")) for n in range(10)]
        deliveries = []
        for _ in range(12):
            deliveries += [ping(stack, hook) for hook in hooks]
            stack.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND application_name = 'longhaul-worker webhook'")
        env.wait_until(lambda: stack.value(
            "SELECT count(*) FROM longhaul.webhook_delivery WHERE id = ANY (%s::uuid[]) AND status = 2",
            [deliveries]) == len(deliveries), 30, "all to be delivered")
    assert {r.headers["webhook-id"] for r in receiver.requests} == set(deliveries)
