"""Clients that submit in the background while something happens to the stack, and what must be true then."""

import asyncio
import json
import threading
import uuid

from . import load
from .env import wait_until


class Load:
    """Clients that submit in the background until told to stop; what they were answered."""

    def __init__(self, stack, path="/v1/noop", width=16, prefer="respond-async", keyed=False):
        self.stack, self.path, self.width, self.prefer, self.keyed = stack, path, width, prefer, keyed
        self.accepted = []  # (URL, marker)
        self.refused = []   # status
        self.broken = 0     # no answer at all
        self.on = True
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.on = False
        self.thread.join()

    def _run(self):
        async def work(connection, lane):
            while self.on:
                marker = uuid.uuid4().hex
                try:
                    answer = await connection.request("POST", self.path, [
                        ("Content-Type", "application/json"), ("Prefer", self.prefer), ("X-Test-Client", "load")],
                        json.dumps({"marker": marker}).encode())
                except (ConnectionError, OSError):
                    self.broken += 1
                    await asyncio.sleep(0.02)
                    continue
                if answer.status == 202:
                    self.accepted.append((answer.headers["location"], marker))
                else:
                    self.refused.append(answer.status)
                    await asyncio.sleep(0.02)

        load.run(work, list(range(self.width)), self.stack.port, self.width)

    def wait(self, more):
        target = len(self.accepted) + more
        wait_until(lambda: len(self.accepted) >= target, 60, f"{more} more accepted")

    def jobs_in_database(self):
        return dict(self.stack.query("SELECT id::text, convert_from(input, 'UTF8') FROM longhaul.job "
                                     "WHERE client = 'load'"))


def all_ended(stack, client, timeout=90):
    wait_until(lambda: stack.value(
        "SELECT count(*) FROM longhaul.job j WHERE client = %s AND NOT EXISTS "
        "(SELECT FROM longhaul.outcome o WHERE o.job_id = j.id)", [client]) == 0, timeout, "every job to end", every=0.2)


def assert_once_each(run):
    """Each request answered 202 is exactly one job, with the input of that very request."""
    jobs = run.jobs_in_database()
    ids = [url.rsplit("/", 1)[1] for url, _ in run.accepted]
    assert len(ids) == len(set(ids)), "two requests got one job"
    for url, marker in run.accepted:
        assert json.loads(jobs[url.rsplit("/", 1)[1]])["marker"] == marker
    markers = [json.loads(i)["marker"] for i in jobs.values()]
    assert len(markers) == len(set(markers)), "a request made two jobs"
