"""longhaul behind an nginx that already serves another site: README, "Behind an nginx you already run".

The API processes listen on ports, as on two hosts; everything goes through TLS."""

import asyncio
import collections
import json
import re
import ssl
import threading

import pytest

from harness import load, sse
from harness.api import assert_problem
from harness.env import scaled, wait_until
from harness.site import Site
from harness.stack import Stack

JSON = ("-H", "Content-Type: application/json")
ALICE = ("-u", "alice:wonderland")
CAROL = ("-H", "Cookie: session=good")


@pytest.fixture(scope="module")
def beside(cluster):
    """The stack, its nginx being that of the site."""
    it = Stack(cluster, workers=0, types=("test.idle",), tcp=True)
    it.folder.chmod(0o755)
    it.nginx = Site(it.folder / "site", [it.address(1), it.address(2)])
    try:
        it.start()
        yield it
    finally:
        assert it.stop() == []


@pytest.fixture
def site(beside):
    return beside.nginx


def submit(site, name, *words, data="{}"):
    made = site.curl(f"https://{name}/v1/test/idle", *JSON, "-d", data, "-H", "Prefer: respond-async", *words)
    assert made.status == 202, made.text
    return made


def client_of(stack, made):
    return stack.value("SELECT client FROM longhaul.job WHERE id = %s", [made.json()["jobId"]])


# ---- the other site ---------------------------------------------------------------------------


def visit(site):
    """What a visitor of the shop sees, all of its protections tried: status, headers and body of each answer."""
    shop = "https://shop.example"
    seen = {}
    for n, (path, *words) in enumerate([
            ("/",), ("/missing",), ("/app/x",), ("/prices.json",), ("/v1beta/",), ("/v1.1",), ("/healthzz",), ("/ready",),
            ("/private/",), ("/private/", "-u", "bob:wrong"), ("/private/", "-u", "bob:builder"),
            ("/members/",), ("/members/", *CAROL), ("/limited/",), ("/limited/",), ("/limited/",), ("/limited/",), ("/limited/",),
            ("/", "-d", "x" * 2000), ("/", "-X", "DELETE"), ("/_session",), ("/", "--http1.1", "-H", "Bad Header: x" * 2000)]):
        answer = site.curl(shop + path, *words)
        headers = [(h, v) for h, v in answer.pairs if h not in ("date", "last-modified", "expires", "etag")]
        seen[n, path] = (answer.version, answer.status, headers, answer.text)
    return seen


def test_the_other_site_is_as_it_was(site, tmp_path):
    """Every answer of the shop is the same as from an nginx without the include."""
    tmp_path.chmod(0o755)
    before = Site(tmp_path, [], longhaul=False)
    before.start()
    try:
        without = visit(before)
    finally:
        before.stop()
    assert visit(site) == without
    status = collections.Counter(s for _, s, _, _ in without.values())
    assert status[200] >= 8 and status[401] == 3 and status[502] == 1 and status[413] == 1, status
    assert [s for (_, path), (_, s, _, _) in without.items() if path == "/limited/"] == [200, 200, 200, 503, 503]


def test_configuration_has_no_warnings(site):
    assert site.check() == (0, "")


# ---- ours under its server, and in servers of its own --------------------------------------------


def test_under_the_sites_own_server(beside, site):
    beside.add_key("acme", "shop-key")
    made = submit(site, "shop.example", "-H", "Authorization: Bearer shop-key")
    assert client_of(beside, made) == "acme"
    assert made.version == "HTTP/2"
    body = made.json()
    for url in (made.header("location"), made.header("operation-location"), *(x["href"] for x in body["_links"].values())):
        assert url.startswith("https://shop.example/v1/"), url
    assert made.header("expires") is None, "the site's cache times are not for answers"
    polled = site.curl(made.header("location"), "-H", "Authorization: Bearer shop-key")
    assert (polled.status, polled.json()["status"]) == (200, "Queued")
    assert_problem(site.curl("https://shop.example/v1/jobs"), 401, "unauthorized")
    assert_problem(site.curl("https://shop.example/v1"), 404, "not-found")
    assert_problem(site.curl("https://shop.example/v1/nothing", "-H", "Authorization: Bearer shop-key"), 404, "not-found")
    for path in ("/healthz", "/readyz"):
        assert site.curl("https://shop.example" + path).status == 200


def test_an_input_larger_than_the_site_takes(beside, site):
    body = site.folder / "input.json"
    body.write_text(json.dumps({"text": "x" * 50000}))
    made = submit(site, "basic.example", *ALICE, data=f"@{body}")
    assert beside.value("SELECT input_size FROM longhaul.job WHERE id = %s", [made.json()["jobId"]]) == body.stat().st_size


SPOOFS = [w for h in ("LONGHAUL_CLIENT", "Longhaul-Client", "HTTP_LONGHAUL_CLIENT", "X-Client", "Remote-User", "X-Remote-User",
                      "longhaul_client") for w in ("-H", f"{h}: eve")]


@pytest.mark.parametrize("name,words,client", [
    ("basic.example", ALICE, "alice"), ("sso.example", CAROL, "carol"),
    ("cert.example", ("--cert", "dora.pem", "--key", "dora.key"), "dora")], ids=lambda v: v if isinstance(v, str) else "")
def test_the_client_is_whom_nginx_has_verified(beside, site, name, words, client):
    """And nothing that a client sends says otherwise; nor does anything without the proof."""
    made = submit(site, name, *words, *SPOOFS)
    assert client_of(beside, made) == client
    assert made.header("location").startswith(f"https://{name}/v1/idles/")
    assert site.curl(made.header("location"), *words).status == 200
    refused = site.curl(made.header("location"), *SPOOFS)
    assert_problem(refused, 401, "unauthorized")
    assert site.curl(f"https://{name}/v1/jobs?a=1", *SPOOFS, "-H", f"Cookie: client={client}").status == 401


def test_wrong_proofs(site):
    for words in (("-u", "alice:guess"), ("-u", "mallory:wonderland"), ("-u", "bob:builder"), ("-H", "Authorization: Bearer alice")):
        answer = site.curl("https://basic.example/v1/jobs", *words)
        assert_problem(answer, 401, "unauthorized")
        assert answer.header("www-authenticate").startswith("Basic"), "the shop allows its neighbours; /v1/ asks them all"
    assert_problem(site.curl("https://sso.example/v1/jobs", "-H", "Cookie: session=bad"), 401, "unauthorized")
    # A certificate of the same name from somebody else's authority, which this server lets in unverified.
    forged = site.curl("https://cert.example/v1/jobs", "--cert", "forged.pem", "--key", "forged.key")
    assert_problem(forged, 401, "unauthorized")


def test_limits_are_problems(site):
    words = ("-H", "Authorization: Bearer nobody", "-d", "{}", *JSON)
    answers = [site.curl("https://shop.example/v1/test/idle", *words) for _ in range(8)]
    refused = [a for a in answers if a.status == 429]
    assert 0 < len(refused) < 8, [a.status for a in answers]
    assert_problem(refused[0], 429, "rate-limited")
    assert int(refused[0].header("retry-after")) >= 1
    assert site.curl("https://shop.example/v1/jobs", *words[:2]).status == 401, "reading is not limited"


def test_event_streams_come_as_they_are_said(site):
    """Through TLS and HTTP/2, although the site has its gzip on and ignores X-Accel-Buffering: the job never ends by itself."""
    made = submit(site, "basic.example", *ALICE)
    with site.curl_stream(made.header("location") + "/events", *ALICE, "-D", "stream.head") as curl:
        try:
            block = []
            for line in curl.stdout:
                if line != "\n":
                    block.append(line.rstrip("\n"))
                    continue
                event = sse.parse("\n".join(block))
                block = []
                if event.lines and event.json()["status"] == "Queued":
                    assert site.curl(made.header("location") + "/cancel", *ALICE, "-X", "POST").status == 200
                elif event.lines:
                    break
            assert event.json()["status"] == "Canceled"
            assert curl.wait(60) == 0
        finally:
            curl.kill()
    head = (site.folder / "stream.head").read_text()
    assert head.startswith("HTTP/2 200") and "content-encoding" not in head, head


# ---- API hosts that come and go ---------------------------------------------------------------------


class Visitors:
    """Clients of plain.example in the background: submits, polls, long polls and streams, each answer counted."""

    def __init__(self, site, width=4):
        self.site, self.width = site, width
        self.tls = ssl.create_default_context(cafile=str(site.folder / "ca.pem"))
        self.good = collections.Counter()
        self.bad = []
        self.again = 0
        self.accepted = []
        self.on = True
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.on = False
        self.thread.join()

    def wait(self, more=scaled(100, 20)):
        """Until so many more submits and polls, and some long polls, have been answered."""
        target = {"submit": self.good["submit"] + more, "poll": self.good["poll"] + more, "long poll": self.good["long poll"] + 1}
        wait_until(lambda: self.bad or all(self.good[k] >= n for k, n in target.items()), 60, f"{more} more of each")

    async def _ask(self, connection, kind, expected, *request):
        """An answer, or None. A kept connection that the server has closed meanwhile is no answer and no failure: clients
        ask once more on a new one (RFC 9110, 9.2.2); each such case is counted."""
        for _ in range(2):
            await connection.open()
            kept = not connection.fresh
            try:
                answer = await connection.request(*request)
            except ConnectionError as error:
                if kept:
                    self.again += 1
                    continue
                self.bad.append((kind, str(error)))
                return None
            if answer.status in expected:
                self.good[kind] += 1
                return answer
            self.bad.append((kind, answer.status, answer.body[:200]))
            return None
        self.bad.append((kind, "no answer twice"))
        return None

    async def _submits_and_polls(self, n):
        connection = load.Connection(self.site.port, self.tls, "plain.example")
        count = 0
        while self.on:
            count += 1
            answer = await self._ask(connection, "submit", (202,), "POST", "/v1/test/idle", [
                ("Content-Type", "application/json"), ("Prefer", "respond-async"),
                ("Idempotency-Key", f'"{n}-{count}"')], b"{}")
            if answer:
                self.accepted.append(answer.json()["jobId"])
                await self._ask(connection, "poll", (200,), "GET", load.path_of(answer.headers["location"]))
        await connection.close()

    async def _long_polls(self):
        connection = load.Connection(self.site.port, self.tls, "plain.example")
        while self.on:
            if not self.accepted:
                await asyncio.sleep(0.01)
                continue
            path = "/v1/idles/" + self.accepted[-1]
            first = await self._ask(connection, "poll", (200,), "GET", path)
            if first:
                await self._ask(connection, "long poll", (200, 304), "GET", path, [
                    ("Prefer", "wait=1"), ("If-None-Match", first.headers["etag"])])
        await connection.close()

    async def _streams(self):
        """As an EventSource: comes back whenever the stream ends; any answer but 200 would be its last."""
        while self.on:
            if not self.accepted:
                await asyncio.sleep(0.01)
                continue
            connection = load.Connection(self.site.port, self.tls, "plain.example")
            await connection.open()
            connection.writer.write(f"GET /v1/idles/{self.accepted[-1]}/events HTTP/1.1\r\nHost: plain.example\r\n\r\n".encode())
            try:
                head = await connection.reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200"):
                    self.bad.append(("stream", head))
                while self.on:
                    try:
                        piece = await asyncio.wait_for(connection.reader.read(65536), 0.2)
                    except asyncio.TimeoutError:
                        continue
                    if b"event: status" in piece:
                        self.good["stream"] += 1
                    if not piece or piece.endswith(b"\r\n0\r\n\r\n"):
                        break
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self.bad.append(("stream", repr(error)))
            await connection.close()

    async def _all(self):
        await asyncio.gather(*(self._submits_and_polls(n) for n in range(self.width)), *(self._long_polls() for _ in range(6)),
                             *(self._streams() for _ in range(4)))


@pytest.fixture
def visitors(beside, site):
    """What they were answered is asserted at the end: nobody has noticed anything."""
    beside.sql("DELETE FROM longhaul.job WHERE client = 'load'")
    beside.sql("DELETE FROM longhaul.idempotency_key WHERE client = 'load'")
    run = Visitors(site)
    with run:
        run.wait()
        yield run
        if not run.bad:
            run.wait()
    print(dict(run.good), "asked again on a new connection:", run.again)
    assert run.bad == []
    assert run.good["stream"] >= 4
    stored = {i for i, in beside.query("SELECT id::text FROM longhaul.job WHERE client = 'load'")}
    assert set(run.accepted) == stored and len(run.accepted) == len(stored), "each accepted submit is one job"


@pytest.mark.limit(120)
def test_rolling_restart_of_the_api_pool(beside, visitors):
    for n, daemon in enumerate(beside.apis, 1):
        assert daemon.stop() == 0
        visitors.wait()
        daemon.start()
        beside.wait_api(n)
    assert visitors.again == 0, "nobody's connection was closed: that was nginx's own"


@pytest.mark.limit(120)
def test_an_api_host_that_is_gone(beside, visitors):
    """Killed amid requests; then away, then back."""
    beside.apis[0].kill()
    visitors.wait()
    beside.apis[0].start()
    beside.wait_api(1)


@pytest.mark.limit(120)
def test_nginx_reads_its_configuration_again(site, visitors):
    for _ in range(3):
        site.reload()
    visitors.wait()


def test_both_api_hosts_gone(beside, site):
    """The last test of the module: ours is a problem document then, the shop's page its own."""
    for daemon in beside.apis:
        daemon.kill()
    assert_problem(site.curl("https://basic.example/v1/jobs", *ALICE), 502, "outcome-unknown")
    assert site.curl("https://shop.example/app/x").text == "the shop is tired\n"
    stream = site.curl("https://basic.example/v1/jobs/events", *ALICE)
    assert stream.status == 200 and re.fullmatch(r"retry: \d+\n\n", stream.text)
