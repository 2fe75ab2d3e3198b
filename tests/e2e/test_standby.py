"""A hot standby: polls are answered from it, and it takes over when the primary is lost."""

import json
import signal
import uuid

import pytest

from harness.api import assert_problem
from harness.cluster import Cluster, Standby
from harness.env import wait_until
from harness.sse import Stream

ON, OFF = "polls go to the standby", "polls go to the primary"
ANY_LAG = {"standby_lag_ms": 600000}


class ReadsFrom:
    """The programs' database, with a standby for polls."""

    def __init__(self, primary, standby):
        self.conninfo = primary.conninfo
        self.standby = standby

    def settings(self, database, user):
        return {"read_conninfo": self.standby.conninfo(database, user)}


class Either:
    """Whichever of several servers can be written to."""

    def __init__(self, *servers):
        self.servers = servers

    def conninfo(self, database, user):
        hosts = ",".join(str(s.folder) for s in self.servers)
        ports = ",".join("5432" for _ in self.servers)
        return f"host={hosts} port={ports} dbname={database} user={user} target_session_attrs=read-write"

    def settings(self, database, user):
        return {}


class Pair:
    def __init__(self):
        self.primary = Cluster(settings="wal_keep_size = 1GB\n").start()
        self.standby = Standby(self.primary).start()

    def destroy(self):
        self.standby.destroy()
        self.primary.destroy()


@pytest.fixture(scope="module")
def pair():
    it = Pair()
    yield it
    it.destroy()


@pytest.fixture
def own_pair():
    """One that can be broken."""
    it = Pair()
    yield it
    it.destroy()


@pytest.fixture
def reading(pair, make_stack):
    """Makes stacks whose polls go to the standby."""
    def make(**kw):
        stack = make_stack(pair.primary, entry=ReadsFrom(pair.primary, pair.standby), apis=1, types=("test.act",), **kw)
        says(stack, ON)
        return stack

    yield make
    if not pair.primary.server.alive():
        pair.primary.start()
    if not pair.standby.server.alive():
        pair.standby.start()
    pair.standby.resume()


def says(stack, what):
    """That the last thing said about the standby becomes this."""
    def last():
        text = stack.apis[0].text()
        return text.rfind(what) > max(text.rfind(w) for w in (ON, OFF) if w != what)

    wait_until(last, 30, what)


def act(api, **do):
    return api.submit("/test/act", json.dumps(do)).headers["Location"]


def test_a_standby_that_is_behind(reading, pair, tmp_path):
    """However old what the standby shows: a job that was accepted is found, and no client goes back in time."""
    stack = reading(api=ANY_LAG)
    api = stack.api("ada")
    known = act(api, until=str(tmp_path / "go"))
    api.until(known, "InProgress")
    pair.standby.catch_up()
    pair.standby.pause()
    before = api.get(known)
    etag = before.headers["ETag"]
    fresh = act(api, stdout="fresh")
    assert api.get(fresh).status_code == 200, "a miss on the standby isn't believed"
    assert api.result(fresh).text == "fresh"

    (tmp_path / "go").touch()
    ended = wait_until(lambda: _ended(api, known, etag), 20, "long polls to tell of the end")
    assert api.get(known).json()["status"] == "InProgress", "polls are answered by the standby"
    for url in (known, known.replace("/acts/", "/operations/")):
        assert api.get(url, headers={"If-None-Match": ended.headers["ETag"]}).status_code == 304
    both = f'{etag}, {ended.headers["ETag"]}'
    assert api.get(known, headers={"If-None-Match": both}).headers["ETag"] == ended.headers["ETag"]
    assert api.get(known, headers={"Prefer": "wait=5"}).json()["status"] == "Completed"
    path = known.removeprefix(stack.base) + "/events"
    with Stream(stack.port, path, client="ada") as events:
        last = events.rest()[-1]
    assert last.json()["status"] == "Completed"
    assert api.get(known + "/events", headers={"Last-Event-ID": last.id}).status_code == 204
    assert api.get(ended.json()["_links"]["results"]["href"]).status_code == 200
    assert_problem(api.get(f"/acts/{uuid.uuid4()}"), 404, "not-found")
    pair.standby.resume()
    pair.standby.catch_up()
    assert api.get(known).json()["status"] == "Completed"


def _ended(api, url, etag):
    """Long polls from this version on, from one change to the next."""
    reply = api.get(url, headers={"If-None-Match": etag, "Prefer": "wait=5"})
    while reply.status_code == 200 and reply.json()["status"] != "Completed":
        assert reply.headers["ETag"] != etag
        etag = reply.headers["ETag"]
        reply = api.get(url, headers={"If-None-Match": etag, "Prefer": "wait=5"})
    return reply if reply.status_code == 200 else None


def test_too_far_behind(reading, pair):
    """One that is further behind than it may be isn't asked, until it has caught up."""
    stack = reading(api={"standby_lag_ms": 400})
    api = stack.api()
    url = act(api, sleep=0.3)
    api.until(url, "InProgress")
    pair.standby.catch_up()
    pair.standby.pause()
    api.completed(url)
    says(stack, OFF)
    assert api.get(url).json()["status"] == "Completed"
    pair.standby.resume()
    says(stack, ON)


@pytest.mark.limit(90)
def test_one_of_them_is_away(reading, pair):
    """Without the standby the primary answers; without the primary the standby does what it can."""
    stack = reading(api=ANY_LAG)
    api = stack.api()
    url = act(api, stdout="x")
    api.completed(url)
    # As the server says it when a query was in the way of what it replays.
    stack.sql("""ALTER FUNCTION longhaul.status_batch(uuid[], text[], boolean) RENAME TO status_really;
        CREATE FUNCTION longhaul.status_batch(p_ids uuid[], p_clients text[], p_with_result boolean)
        RETURNS SETOF longhaul.job_status LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
        BEGIN
            IF pg_is_in_recovery() THEN
                RAISE EXCEPTION 'canceling statement due to conflict with recovery' USING ERRCODE = '40001';
            END IF;
            RETURN QUERY SELECT * FROM longhaul.status_really(p_ids, p_clients, p_with_result);
        END $$""")
    pair.standby.catch_up()
    assert api.get(url).json()["status"] == "Completed"
    stack.sql("DROP FUNCTION longhaul.status_batch(uuid[], text[], boolean);"
              "ALTER FUNCTION longhaul.status_really(uuid[], text[], boolean) RENAME TO status_batch")

    pair.standby.stop()
    assert api.get(url).status_code == 200
    says(stack, OFF)
    pair.standby.start()
    says(stack, ON)

    pair.standby.catch_up()
    stack.close()
    pair.primary.stop()
    wait_until(lambda: stack.ask(1, "/readyz") == 503, 20, "the outage to be noticed")
    assert api.get(url).json()["status"] == "Completed"
    assert_problem(api.get(f"/acts/{uuid.uuid4()}"), 503, "unavailable")
    assert api.get(url, headers={"If-None-Match": 'W/"fffffffffff"'}).status_code == 503
    pair.primary.start()
    stack.wait_api(1)
    assert_problem(api.get(f"/acts/{uuid.uuid4()}"), 404, "not-found")


def fail_over(stack, pair):
    """The primary is killed, and the standby promoted, as a fail-over manager would."""
    stack.close()
    pair.primary.stop(signal.SIGQUIT)
    if not pair.standby.server.alive():
        pair.standby.start()
    pair.standby.promote()
    stack.cluster = pair.standby
    for n in range(len(stack.apis)):
        stack.wait_api(n + 1)


@pytest.mark.limit(120)
def test_fail_over_loses_nothing(own_pair, make_stack):
    """With synchronous replication, what was accepted is there, and ends once. Nothing is configured anew."""
    pair = own_pair
    pair.primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    pair.primary.sql("SELECT pg_reload_conf()")
    stack = make_stack(pair.primary, entry=Either(pair.primary, pair.standby), workers=2, types=("test.act",))
    api = stack.api()
    urls = [act(api, sleep=0.1 * (n % 8), stdout=f"{n}") for n in range(40)]
    fail_over(stack, pair)
    urls += [act(api, stdout=f"{n}") for n in range(40, 44)]
    for n, url in enumerate(urls):
        assert api.result(url, 60).text == f"{n}"
    assert stack.value("SELECT count(*) FROM longhaul.outcome") == len(urls)
    assert stack.value("SELECT count(*) FROM longhaul.lease") == 0


@pytest.mark.limit(120)
def test_fail_over_to_the_past(pair, make_stack, tmp_path):
    """The last of this file: nothing is left of the pair. With asynchronous replication the newest moments may be gone. A job whose end was lost runs again: its
    worker lives and has forgotten it, so nobody could take it away from that."""
    stack = make_stack(pair.primary, entry=Either(pair.primary, pair.standby), apis=1, types=("test.act",))
    api = stack.api()
    url = act(api, until=str(tmp_path / "go"), stdout="done")
    api.until(url, "InProgress")
    pair.standby.catch_up()
    pair.standby.stop()
    (tmp_path / "go").touch()
    assert api.result(url).text == "done"
    lost = act(api, stdout="never seen again")
    fail_over(stack, pair)
    assert api.result(url, 60).text == "done"
    assert api.get(lost).status_code == 404
    assert "jobs that the database thought to be ours are put back n=1" in stack.workers[0].text()
    assert stack.workers[0].alive()
