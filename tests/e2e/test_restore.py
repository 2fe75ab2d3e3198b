"""A dump of a database in use, restored into another cluster, where the service goes on."""

import json
import subprocess

import pytest

from harness.cluster import Cluster
from harness.env import PATIENCE, wait_until


class Restored(Cluster):
    """A new cluster with the dump of a database: roles first, because they belong to none."""

    def take(self, source, database):
        self.database = database
        self.start()
        for program, *args in (["pg_dumpall", "--roles-only"], ["pg_dump", "--create", "-d", database]):
            dump = subprocess.run([source.bin / program, *args, "-h", source.folder, "-U", "postgres"], check=True,
                                  capture_output=True, text=True).stdout
            dump = dump.replace("CREATE ROLE postgres;\n", "")  # which every cluster has
            done = subprocess.run([self.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U",
                                   "postgres", "-d", "postgres"], input=dump, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        self.sql("ANALYZE", database)

    def new_database(self):
        return self.database


@pytest.fixture
def restored():
    it = Restored()
    yield it
    it.destroy()


def act(api, **do):
    return api.submit("/test/act", json.dumps(do)).headers["Location"]


def path(url):
    return url.split("/v1", 1)[1]


def running(api, urls):
    return [u for u in urls if api.get(u).json()["status"] == "InProgress"]


@pytest.mark.limit(120)
def test_a_dump_of_a_live_database(cluster, restored, make_stack, tmp_path):
    """What waited is run, what ran is run again, and what had ended stays as it was."""
    settings = {"types": ("test.act", "test.idle"), "type_settings": {"test.act": {"slots": 2}}, "apis": 1,
                "worker": {"lease_ms": int(1500 * PATIENCE), "beat_ms": 300, "rescue_ms": 100, "drain_ms": 100}}
    go = tmp_path / "go"
    stack = make_stack(**settings)
    api = stack.api("ada")
    ended = [act(api, stdout=f"ended {n}") for n in range(4)]
    for url in ended:
        api.completed(url)
    answers = {path(url): api.get(url) for url in ended}
    key = {"Idempotency_Key": '"once"'}
    keyed = api.submit("/test/idle", b"{}", **key).headers["Location"]
    canceled = api.submit("/test/idle", b"{}").headers["Location"]
    assert api.post(canceled + "/cancel").status_code == 200
    live = [act(api, until=str(go), stdout=f"live {n}") for n in range(6)]
    wait_until(lambda: len(running(api, live)) == 2, 20, "two to run")
    restored.take(cluster, stack.database)
    assert stack.stop() == []

    copy = make_stack(restored, **settings)
    api = copy.api("ada")
    go.touch()
    for at, before in answers.items():
        now = api.get(at)
        assert now.headers["ETag"] == before.headers["ETag"]
        assert now.text == before.text.replace(stack.base, copy.base)
        assert api.get(at + "/results").text.startswith("ended ")
    for n, url in enumerate(live):
        assert api.result(path(url), 40).text == f"live {n}"
        assert api.document(path(url))["attempt"] == 1, "no attempt is burned"
    again = api.submit("/test/idle", b"{}", **key)
    assert (path(again.headers["Location"]), again.headers["Idempotent-Replayed"]) == (path(keyed), "true")
    assert api.document(path(keyed))["status"] == "Queued"
    assert api.document(path(canceled))["status"] == "Canceled"
    assert api.result(act(api, stdout="new")).text == "new"
    assert copy.value("SELECT count(*) FROM longhaul.outcome") == len(ended) + len(live) + 2
    assert copy.value("SELECT count(*) FROM longhaul.lease") == 0
    assert copy.value("SELECT count(*) FROM longhaul.ready") == 1
