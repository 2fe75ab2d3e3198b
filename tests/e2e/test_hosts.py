"""Worker hosts in network namespaces of their own, on one database that they reach by TCP; one is cut off."""

import json
import os
import pathlib

import pytest

from harness import netns
from harness.cluster import Cluster
from harness.env import PATIENCE, wait_until
from harness.traffic import Load, all_ended, assert_once_each

WHY_NOT = netns.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")
LEASE_MS = int(2000 * PATIENCE)


@pytest.fixture
def network():
    it = netns.Network(2)
    yield it
    it.close()


@pytest.fixture
def remote(network):
    """A PostgreSQL that listens on the address between here and the hosts."""
    it = Cluster(settings=f"listen_addresses = '{network.address}'\n")
    with open(it.data / "pg_hba.conf", "a") as hba:
        hba.write(f"host all all {network.net}.0/24 trust\n")
    it.start()
    yield it
    it.destroy()


def act(api, **do):
    return api.submit("/test/act", json.dumps(do)).headers["Location"]


def holders(stack):
    """How many jobs each host runs."""
    return dict(stack.query("SELECT w.host, count(*) FROM longhaul.lease l JOIN longhaul.worker w USING (boot) "
                            "WHERE l.started_at IS NOT NULL GROUP BY 1"))


def lives(pid):
    return os.path.exists(f"/proc/{pid}") and ") Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.limit(150)
@pytest.mark.parametrize("how, outage_ms", [("unplug", 0), ("swallow", 60000)], ids=["unplugged", "swallowed"])
def test_host_cut_off_and_healed(make_stack, network, remote, how, outage_ms):
    """Its jobs are taken over when its lease has run out; it kills its handlers (by itself then, with outage_ms = 0;
    else when it learns of it), and works again once it is healed. Jobs go on ending all the while."""
    stack = make_stack(remote, workers=2, types=("test.act", "noop"), start=False,
                       type_settings={"test.act": {"slots": 4}, "noop": {"slots": 4}},
                       database={"query_timeout_ms": LEASE_MS, "connect_timeout_ms": 1000},
                       worker={"lease_ms": LEASE_MS, "beat_ms": 400, "rescue_ms": 200, "outage_ms": outage_ms})
    for n, worker in enumerate(stack.workers):
        sections = stack.worker_sections()
        sections["worker"]["host"] = f"host{n + 1}"
        sections["database"]["conninfo"] = (f"host={network.address} port=5432 dbname={stack.database} user=worker "
                                            f"tcp_user_timeout={LEASE_MS}")
        stack._config(f"worker-{n + 1}", sections)
        worker.argv = network.enter(n, worker.argv)
    stack.start()
    cut, other = stack.workers
    api = stack.api()
    long = [act(api, sleep=3 * LEASE_MS / 1000, stdout=f"{n}") for n in range(4)]
    wait_until(lambda: sum(holders(stack).values()) == 4, 20, "four to run")
    more = [act(api, sleep=3 * LEASE_MS / 1000, stdout=f"{n + 4}") for n in range(4)]
    wait_until(lambda: holders(stack) == {"host1": 4, "host2": 4}, 20, "both to be full")
    urls = long + more
    boot = stack.value("SELECT boot FROM longhaul.worker WHERE host = 'host1'")
    with Load(stack, width=4) as run:
        runners = cut.runners()
        getattr(network, how)(0)
        wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.worker WHERE boot = %s AND dead_at IS NOT NULL", [boot]) == 1,
                   20, "the other to take over")
        if outage_ms == 0:
            wait_until(lambda: "the lease is lost: it could not be renewed in time" in cut.text(), 20, "it to notice")
            wait_until(lambda: not any(lives(r) for r in runners), 20, "its handlers to be killed")
        else:
            wait_until(lambda: "the lease has run out and the database can't be asked" in cut.text(), 20, "it to notice")
        run.wait(100)
        for n, url in enumerate(urls):
            assert api.result(url, 60).text == f"{n}"
            assert api.document(url)["attempt"] == 1, "a lost host burns no attempt"
        tags = [api.get(u).headers["ETag"] for u in urls]
        getattr(network, {"unplug": "plug", "swallow": "pass_on"}[how])(0)
        wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.worker WHERE host = 'host1' AND dead_at IS NULL") == 1, 30,
                   "it to be back")
        wait_until(lambda: not any(lives(r) for r in runners), 20, "its old handlers to be gone")
        run.wait(100)
    again = [act(api, sleep=0.5 * PATIENCE, stdout=f"{n}") for n in range(8)]
    wait_until(lambda: holders(stack).get("host1", 0) > 0, 20, "it to work again")
    for n, url in enumerate(again):
        assert api.result(url, 40).text == f"{n}"
    assert [api.get(u).headers["ETag"] for u in urls] == tags
    # Of its old self nothing was accepted.
    assert stack.value("SELECT count(*) FROM longhaul.outcome WHERE boot = %s AND job_id = ANY (%s::uuid[])",
                       [boot, [u.rsplit("/", 1)[1] for u in urls]]) == 0
    assert run.refused == [] and run.broken == 0
    assert_once_each(run)
    all_ended(stack, "load")
    assert stack.value("SELECT count(*) FROM longhaul.outcome WHERE status <> 3 OR attempt <> 1") == 0
