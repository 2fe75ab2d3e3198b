"""Event streams as clients of others read them, through nginx, while the processes behind it are restarted
and killed."""

import collections
import json
import signal

import pytest

from harness import env, node
from harness.browser import Browser
from harness.env import PATIENCE
from harness.stack import Stack

ENDED = ("Completed", "Failed", "Canceled")
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def stack(cluster):
    node.install()
    it = Stack(cluster, apis=2, workers=2, types=("accounts.bulk-import", "test.act"), api={"events_retry_ms": 300},
               worker={"lease_ms": int(2000 * PATIENCE), "beat_ms": 200, "rescue_ms": 200, "progress_ms": 20},
               type_rows={"test.act": {"max_attempts": 5}})
    try:
        yield it.start()
    finally:
        problems = it.stop()
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def held_accounts(stack):
    """While it is held, imports get as far as the merge; call it to let them go."""
    connection = stack.cluster.connect(stack.database)
    connection.autocommit = False
    connection.cursor().execute("LOCK TABLE longhaul.account IN EXCLUSIVE MODE")
    yield connection.rollback
    connection.close()


def rows(count, prefix):
    return "".join('{"email":"%s%d@example.com","name":"Name %d"}\n' % (prefix, n, n) for n in range(count))


def streams(source):
    """How many connections brought an event."""
    connections = [[]]
    for said in source.said:
        if said["is"] == "open":
            connections.append([])
        elif said["is"] == "event":
            connections[-1].append(said)
    return sum(bool(c) for c in connections)


def reconnected(source, disturb):
    """Does something to the stream, and waits until the client has another one."""
    before = streams(source)
    disturb()
    source.wait(lambda s: streams(s) > before, 30, "the client to come back")


def assert_whole(source, final):
    """Versions grow strictly; only a new connection may begin with the one that was known already. The last
    one, and only that, is the end."""
    last, connection = 0, []
    for said in source.said:
        if said["is"] == "open":
            connection = []
        elif said["is"] == "event":
            this = int(said["id"], 16)
            assert this > last or (not connection and this == last), f"{this:x} after {last:x}: {source.said}"
            connection.append(this)
            last = this
    events = source.events()
    assert [doc["status"] in ENDED for _, doc in events] == [False] * (len(events) - 1) + [True]
    assert events[-1][1] == final


def assert_ended_by_itself(source, api, url):
    """The server ended the stream after the terminal event; asked again with that id it said 204, once."""
    source.wait_end()
    tag = api.get(url).headers["ETag"]
    events = source.events()
    assert tag == f'W/"{events[-1][0]}"', "one version for all channels"
    assert_whole(source, api.document(url))
    assert source.of("request")[-1]["lastEventId"] == events[-1][0]
    assert [a["status"] for a in source.of("answer")][-1] == 204
    assert source.said[-1] == {"is": "error", "status": 204, "readyState": node.CLOSED}
    assert {a["status"] for a in source.of("answer")} == {200, 204}
    return events


class ApiTrouble:
    """What can happen to API processes."""

    def __init__(self, stack):
        self.stack = stack

    def restart_all(self, number):
        """One after the other, so that one of them is always there."""
        for n, daemon in enumerate(self.stack.apis):
            if number == signal.SIGKILL:
                daemon.kill()
            else:
                assert daemon.stop(number) == 0
            daemon.start()
            self.stack.wait_api(n + 1)

    def away(self, source):
        """None of them there, until the client has asked once more and been told by nginx to come back."""
        for daemon in self.stack.apis:
            daemon.kill()
        before = len(source.of("answer"))
        source.wait(lambda s: len(s.of("answer")) > before, 20, "the client to ask again")
        for n, daemon in enumerate(self.stack.apis):
            daemon.start()
            self.stack.wait_api(n + 1)


@pytest.mark.limit(120)
def test_import_while_api_processes_come_and_go(stack, held_accounts):
    api = stack.api("importer")
    url = api.submit("/accounts/bulk-import", rows(20000, "es"), NDJSON).headers["Location"]
    trouble = ApiTrouble(stack)
    with node.EventSource(url + "/events", "importer") as source:
        source.wait(lambda s: any(doc["status"] == "InProgress" for _, doc in s.events()), 20, "the import to begin")
        reconnected(source, lambda: trouble.restart_all(signal.SIGTERM))
        reconnected(source, lambda: trouble.restart_all(signal.SIGKILL))
        reconnected(source, lambda: trouble.away(source))
        assert api.document(url)["status"] == "InProgress"
        held_accounts()
        events = assert_ended_by_itself(source, api, url)
    assert events[-1][1]["status"] == "Completed"
    assert api.get(events[-1][1]["_links"]["results"]["href"]).json()["imported"] == 20000


@pytest.mark.limit(60)
def test_each_step_of_a_job_is_seen(stack):
    """Changes slower than the stream's pace: none is left out, none comes twice."""
    api = stack.api("stepper")
    steps = 4
    url = api.submit("/test/act", json.dumps({"progress": [[n, steps, f"step {n}"] for n in range(1, steps + 1)],
                                              "pace": 0.6, "stdout": "done"})).headers["Location"]
    with node.EventSource(url + "/events", "stepper") as source:
        events = assert_ended_by_itself(source, api, url)
    done = [doc["progress"]["done"] for _, doc in events[:-1] if "progress" in doc]
    assert sorted(set(done)) == list(range(1, steps + 1)) and done == sorted(done)


@pytest.mark.limit(120)
def test_job_whose_worker_is_killed(stack):
    """The stream goes on: the job is queued again, runs again, ends."""
    api = stack.api("unlucky")
    url = api.submit("/test/act", json.dumps({"progress": [[n, 20] for n in range(1, 21)], "pace": 0.1,
                                              "stdout": "done"})).headers["Location"]
    with node.EventSource(url + "/events", "unlucky") as source:
        source.wait(lambda s: any("progress" in doc for _, doc in s.events()), 20, "progress")
        pid = stack.value("SELECT w.pid FROM longhaul.lease l JOIN longhaul.worker w USING (boot) WHERE l.job_id = %s",
                          [url.rsplit("/", 1)[1]])
        victim = next(w for w in stack.workers if w.pid == pid)
        victim.kill()
        try:
            events = assert_ended_by_itself(source, api, url)
        finally:
            victim.start()
    assert events[-1][1]["status"] == "Completed"
    assert len(source.of("request")) == 2, "the API was not disturbed: one stream, and the 204"
    assert len({doc["startedTime"] for _, doc in events if "startedTime" in doc}) == 2, "both runs were shown"


def test_stream_of_an_ended_job(stack):
    """One event, then the end; and nothing for who has seen it."""
    api = stack.api()
    url = api.submit("/test/act", b'{"exit": 1}').headers["Location"]
    api.ended(url)
    with node.EventSource(url + "/events") as source:
        events = assert_ended_by_itself(source, api, url)
    assert len(events) == 1 and events[0][1]["status"] == "Failed"


# ---- a browser ----

def the_page():
    """The page in the README, which is to work as it stands there."""
    lines = (env.ROOT / "README.md").read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if line.lower().startswith("    <!doctype html>"))
    end = next(n for n in range(begin, len(lines)) if lines[n] and not lines[n].startswith("    "))
    return "\n".join(line[4:] for line in lines[begin:end]).strip() + "\n"


@pytest.fixture(scope="module")
def browser():
    it = Browser()
    yield it
    it.close()


# A second EventSource on the page's job, which is never closed by the page, and what it saw.
WATCH = """
    window.seen = [];
    window.other = new EventSource(%s);
    other.addEventListener('status', event => seen.push([event.lastEventId, JSON.parse(event.data).status]));
"""


@pytest.mark.limit(120)
def test_the_page_of_the_readme(stack, browser, held_accounts, tmp_path):
    """It imports a file and shows how far it is, while the API processes are killed and are all away."""
    (stack.nginx.folder / "www").mkdir(exist_ok=True)
    (stack.nginx.folder / "www" / "import.html").write_text(the_page())
    (tmp_path / "accounts.ndjson").write_text(rows(20000, "page"))
    trouble = ApiTrouble(stack)

    page = browser.page(stack.base + "/import.html")
    page.wait(lambda p: p.value("document.title === 'Import' && !!file.onchange"), 20, "the page")
    page.choose_file("#file", tmp_path / "accounts.ndjson")
    page.wait(lambda p: p.value("bar.value > 0") and "InProgress" in p.text(), 30, "progress on the page")
    page.screenshot(env.BIN / "screenshots" / "import-running.png")
    url = next(r["response"]["url"] for r in page.happened["Network.responseReceived"]
               if r["response"]["mimeType"] == "text/event-stream")
    page.value(WATCH % json.dumps(url))

    def known():
        return len(page.events())

    page.wait(lambda p: p.value("seen.length") > 0, 20, "the second EventSource")
    before = known()
    trouble.restart_all(signal.SIGKILL)
    page.wait(lambda p: known() >= before + 2, 30, "both streams again")
    for daemon in stack.apis:
        daemon.kill()
    page.wait(lambda p: p.value("other.readyState") == node.CONNECTING, 20, "the page to notice")
    for n, daemon in enumerate(stack.apis):
        daemon.start()
        stack.wait_api(n + 1)
    held_accounts()
    page.wait(lambda p: p.value("text.textContent").startswith("Completed"), 30, "the end on the page")
    assert page.value("text.textContent") == "Completed 20000 rows"
    assert page.value("bar.value") == 100
    page.screenshot(env.BIN / "screenshots" / "import-completed.png")

    # The one that wasn't closed by the page has stopped by itself, too: a 204 after the end.
    page.wait(lambda p: p.value("other.readyState") == node.CLOSED, 20, "the second EventSource to stop")
    seen = page.value("seen")
    assert [status in ENDED for _, status in seen] == [False] * (len(seen) - 1) + [True]
    assert f'W/"{seen[-1][0]}"' == stack.api().get(url.removesuffix("/events")).headers["ETag"]
    versions = [int(number, 16) for number, _ in seen]
    assert versions == sorted(versions)
    connections = collections.defaultdict(list)
    for event in page.happened["Network.eventSourceMessageReceived"]:
        connections[event["requestId"]].append(int(event["eventId"], 16))
    assert len(connections) >= 4
    assert all(ids == sorted(set(ids)) for ids in connections.values()), "nothing twice on one stream"
    assert not page.happened["Runtime.exceptionThrown"]
    page.close()
