"""Push in numbers: a thousand streams that move house, ten thousand webhooks through every kind of trouble."""

import asyncio
import base64
import collections
import hmac
import json
import random
import signal
import threading

import pytest

from harness import load
from harness.cluster import Cluster
from harness.endpoint import Endpoint
from harness.eventsource import EventSource
from harness.env import PATIENCE, scaled, wait_until
from harness.stack import LOCAL_WEBHOOKS

JSON = ("Content-Type", "application/json")
ENDED = ("Completed", "Failed", "Canceled")


def make_jobs(stack, path, client, count):
    """Paths of queued jobs, submitted over HTTP."""
    async def work(connection, n):
        answer = await connection.request("POST", path, [JSON, ("Prefer", "respond-async"), ("X-Test-Client", client)], b"{}")
        assert answer.status == 202, answer.body
        return load.path_of(answer.headers["location"])

    return load.run(work, list(range(count)), stack.port, 32)


@pytest.mark.heavy
@pytest.mark.limit(180)
def test_draining_under_a_thousand_streams(make_stack):
    """All clients go over to another process by themselves, and none misses the end of its job: jobs end before
    the drain, while it is under way and after it."""
    stack = make_stack(apis=2, workers=1, types=("noop", "test.idle"), start=False)
    old, new = stack.apis
    old.start()
    stack.nginx.start()
    stack.wait_api(1)
    client = ("X-Test-Client", "watcher")
    many = scaled(1000, 200)
    # One half ends when the worker starts, the other by being canceled, in turn.
    canceled = make_jobs(stack, "/v1/test/idle", "watcher", many // 2)
    completed = make_jobs(stack, "/v1/noop", "watcher", many - many // 2)
    random.shuffle(canceled)

    async def cancel(paths):
        async def lane(some):
            connection = load.Connection(stack.port)
            for path in some:
                answer = await connection.request("POST", path + "/cancel", [client])
                assert answer.status == 200, answer.body
            await connection.close()
        await asyncio.gather(*(lane(paths[n::8]) for n in range(8)))

    async def everything():
        sources = {path: EventSource(stack.port, path + "/events", [client]) for path in canceled + completed}
        tasks = [asyncio.create_task(source.run()) for source in sources.values()]
        await asyncio.wait_for(asyncio.gather(*(s.opened.wait() for s in sources.values())), 60 * PATIENCE)
        await cancel(canceled[:many // 10])
        new.start()
        await asyncio.to_thread(stack.wait_api, 2)
        # From here on every stream is cut, and every new one is with the other process.
        drained = asyncio.create_task(asyncio.to_thread(old.stop))
        stack.workers[0].start()
        await cancel(canceled[many // 10:many // 4])
        assert await drained == 0
        await cancel(canceled[many // 4:])
        await asyncio.wait_for(asyncio.gather(*tasks), 60 * PATIENCE)
        return sources

    sources = asyncio.run(everything())
    for path, source in sources.items():
        assert source.failed is None and source.closed, (path, source.failed)
        assert source.events, path
        last = source.documents()[-1]
        assert last["status"] == ("Canceled" if "/idles/" in path else "Completed"), (path, source.events)
        assert sum(doc["status"] in ENDED for doc in source.documents()) == 1, "the end is told once"
        versions = source.versions()
        assert versions == sorted(versions), path
        assert source.answers[-1] == (204, source.events[-1].id)
        assert source.refused == 0, "nginx was there all the time"
    moved = [s for s in sources.values() if [a.status for a in s.answers].count(200) > 1]
    assert len(moved) >= many // 2, "they moved while their jobs went on"


class Submitter:
    """Submits jobs in the background until so many exist; a request whose fate is not known is sent again with
    its key, so that it is one job all the same."""

    def __init__(self, stack, client, count, width=8, headers=()):
        self.stack, self.client, self.count, self.width, self.headers = stack, client, count, width, headers
        self.jobs = []  # paths
        self.on = True
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, error, *_):
        self.on = error is None
        self.thread.join()

    def _run(self):
        async def work(connection, n):
            headers = [JSON, ("Prefer", "respond-async"), ("X-Test-Client", self.client),
                       ("Idempotency-Key", f'"{self.client}-{n}"'), *self.headers]
            while self.on:
                try:
                    answer = await connection.request("POST", "/v1/noop", headers, b"{}")
                    if answer.status == 202:
                        self.jobs.append(load.path_of(answer.headers["location"]))
                        return
                except (ConnectionError, OSError):
                    pass
                await asyncio.sleep(0.05)

        load.run(work, list(range(self.count)), self.stack.port, self.width)


def signed_by(secret, delivery):
    """Whether one of the signatures is this secret's."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([delivery.id.encode(), delivery.headers["webhook-timestamp"].encode(), delivery.body])
    mine = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return mine in delivery.headers["webhook-signature"].split(" ")


@pytest.fixture
def crashing_cluster():
    """A PostgreSQL of its own, without fsync: the operating system doesn't crash."""
    it = Cluster().start()
    yield it
    it.destroy()


@pytest.mark.heavy
@pytest.mark.limit(240)
def test_ten_thousand_webhooks_through_all_trouble(make_stack, crashing_cluster):
    """Each ended job is told of at least once, always under one id and in the same words, although the endpoint
    refuses, fails and is away, workers are killed and PostgreSQL crashes."""
    stack = make_stack(crashing_cluster, apis=2, workers=2, types=("noop",),
                       worker={"lease_ms": int(3000 * PATIENCE), "beat_ms": 300, "rescue_ms": 300},
                       webhook={**LOCAL_WEBHOOKS, "schedule_ms": "300 1000" + " 2000" * 20, "timeout_ms": 5000,
                                "concurrency": 128, "per_endpoint": 32})
    many = scaled(10000, 1000)
    ended = "SELECT count(*) FROM longhaul.outcome"

    with Endpoint() as endpoint:
        # One in twenty fails on the side of the endpoint, one in forty after it has taken the event in.
        endpoint.respond = lambda delivery: (random.choices([204, 500, 200, 503], [90, 3, 5, 2])[0], ())
        api = stack.api("bulk")
        reply = api.post("/webhooks", json.dumps({"url": endpoint.url()}))
        assert reply.status_code == 201, reply.text
        secret = reply.json()["secret"]

        def more(share):
            target = len(endpoint.deliveries) + many * share
            wait_until(lambda: len(endpoint.deliveries) >= target, 60, f"{target} deliveries")

        def kill(n):
            stack.workers[n].kill()
            more(0.05)
            stack.workers[n].start()

        with Submitter(stack, "bulk", many) as submitter:
            more(0.1)
            kill(0)
            endpoint.down()
            before = stack.value(ended)
            wait_until(lambda: stack.value(ended) >= min(before + many * 0.1, many), 60, "jobs to end meanwhile")
            stack.close()
            crashing_cluster.stop(signal.SIGQUIT)
            crashing_cluster.start()
            endpoint.up()
            more(0.1)
            kill(1)
            crashing_cluster.stop(signal.SIGQUIT)
            endpoint.down()
            crashing_cluster.start()
            stack.workers[0].kill()
            endpoint.up()
            more(0.05)
            stack.workers[0].start()
        jobs = {path.rsplit("/", 1)[1]: path for path in submitter.jobs}
        assert len(jobs) == len(submitter.jobs) == many

        def told():
            return {json.loads(d.body)["data"]["jobId"] for d in endpoint.deliveries if d.status < 300}

        wait_until(lambda: len(told()) >= many, 90, "all jobs to be told of", every=0.5)
        wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.webhook_queue") == 0, 30, "nothing to be left")
        deliveries = list(endpoint.deliveries)

    by_id = collections.defaultdict(list)
    for delivery in deliveries:
        assert signed_by(secret, delivery)
        by_id[delivery.id].append(delivery)
    payloads = {}
    for tries in by_id.values():
        assert len({d.body for d in tries}) == 1, "each try says the same"
        assert any(d.status < 300 for d in tries)
        payload = json.loads(tries[0].body)
        assert payload["type"] == "job.completed"
        assert payload["data"]["jobId"] not in payloads, "a job has one event, under one id"
        payloads[payload["data"]["jobId"]] = payload
    assert set(payloads) == set(jobs)
    # The version of the event is the one that a poll has in its ETag; so are the words.
    polled = dict(zip(jobs, load.run(lambda connection, path: connection.request(
        "GET", path, [("X-Test-Client", "bulk")]), list(jobs.values()), stack.port, 32)))
    for this, answer in polled.items():
        assert answer.headers["etag"] == f'W/"{payloads[this]["version"]}"'
        assert answer.json() == payloads[this]["data"]
