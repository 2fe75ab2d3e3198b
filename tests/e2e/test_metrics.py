"""GET /metrics: what it says is what was done."""

import json
import signal

import pytest

from harness.api import assert_problem
from harness.cluster import Cluster
from harness.env import wait_until
from harness.metrics import scrape
from harness.stack import Stack
from harness.traffic import Load

REQUESTS = "longhaul_api_requests_total"
SUBMIT = "/v1/{submit}"
AT_ONCE = {"metrics_refresh_ms": 10}  # the database is asked at each scrape


@pytest.fixture(scope="module")
def restarting():
    it = Cluster().start()
    yield it
    it.destroy()


@pytest.fixture(scope="module")
def stack(cluster):
    it = Stack(cluster, api=AT_ONCE)
    try:
        it.start()
        yield it
    finally:
        problems = it.stop()
    assert not problems


def test_prometheus_has_nothing_against_it(stack):
    api = stack.api("checked")
    api.completed(api.submit("/test/act").headers["Location"])
    code, said = scrape(stack).check()
    assert code == 0 and not said, said


def test_what_was_done_is_counted(stack):
    before = scrape(stack)

    def more(name, **labels):
        """What has come to it since."""
        return (now.sum(name, **labels) or 0) - (before.sum(name, **labels) or 0)

    api = stack.api("counted")
    for data in (b"{}", b"{}", b"{}", b'{"exit": 1}'):
        api.ended(api.submit("/test/act", data).headers["Location"])
    idle = api.submit("/test/idle").headers["Location"]
    assert api.get("/nothing/here").status_code == 404
    assert api.post("/test/act", b"x", media="text/plain").status_code == 415
    now = scrape(stack)
    assert more(REQUESTS, route=SUBMIT, method="POST", code="2xx") == 5
    assert more(REQUESTS, route=SUBMIT, code="4xx") == 1
    assert more(REQUESTS, route="other", code="4xx") == 1
    assert more(REQUESTS, route="/metrics") == 1, "a scrape is counted once it is answered"
    assert more("longhaul_api_batch_items_sum", kind="submit") == 5
    assert more("longhaul_jobs_ended_total", type="test.act", status="completed") == 3
    assert more("longhaul_jobs_ended_total", type="test.act", status="failed") == 1
    assert more("longhaul_jobs_ended_total") == 4
    assert more("longhaul_jobs_run_seconds_total", type="test.act") > 0
    assert more("longhaul_worker_claimed_jobs_total") == 4
    assert more("longhaul_jobs_queued", type="test.idle") == 1
    assert now.sum("longhaul_worker_up") == 1
    assert now.sum("longhaul_worker_lease_losses_total") == 0
    assert now.sum("longhaul_schema_version") == stack.value("SELECT longhaul.schema_version()")
    answers = sum(now.sum(n) for n in ("longhaul_api_request_duration_seconds_count",
                                       "longhaul_api_wait_duration_seconds_count"))
    assert answers == now.sum(REQUESTS)
    assert api.post(idle + "/cancel").status_code == 200
    now = scrape(stack)
    assert more("longhaul_jobs_ended_total", type="test.idle", status="canceled") == 1
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.tally_delta") == 0, 20, "a worker to add up")
    now = scrape(stack)
    assert more("longhaul_jobs_ended_total") == 5, "the same when they were added up"


def test_what_is_under_way(stack):
    api = stack.api("open")
    running = api.submit("/test/act", b'{"sleep": 60}').headers["Location"]
    with api.get(running + "/events", stream=True) as events:
        lines = events.iter_lines()
        assert next(lines)
        assert scrape(stack).sum("longhaul_api_streams") == 1
        assert scrape(stack).sum("longhaul_api_requests_in_progress") == 2, "the stream and this one"
    wait_until(lambda: scrape(stack).sum("longhaul_api_streams") == 0, 10, "the stream to be gone")
    wait_until(lambda: scrape(stack).sum("longhaul_jobs_running", type="test.act") == 1, 10, "a beat to tell")
    api.post(running + "/cancel")


def test_webhook_tries(make_stack):
    stack = make_stack(api=AT_ONCE, webhook={"allow_http": True, "allow": "127.0.0.0/8", "schedule_ms": "60000"})
    api = stack.api("told")
    # Nobody listens on port 1.
    api.ended(api.submit("/test/act", Longhaul_Webhook="http://127.0.0.1:1/").headers["Location"])
    wait_until(lambda: scrape(stack).sum("longhaul_webhook_tries_total", outcome="again") == 1, 20, "a try")
    assert scrape(stack).sum("longhaul_webhook_deliveries_pending") == 1
    assert scrape(stack).sum("longhaul_webhook_tries_total", outcome="delivered") == 0


def test_a_process_that_was_killed(make_stack):
    stack = make_stack(workers=0, api=AT_ONCE)
    api = stack.api("killer")
    for _ in range(8):
        api.submit("/test/idle")
    both = scrape(stack)
    assert both.sum("longhaul_api_up") == 2
    assert both.sum(REQUESTS, route=SUBMIT) == 8
    assert min(both.sum(REQUESTS, route=SUBMIT, process=f"api-{n}") or 0 for n in (1, 2)) > 0, "nginx asks both"
    stack.apis[0].kill()
    one = scrape(stack)
    assert one.sum("longhaul_api_up", process="api-1") == 0
    assert one.sum("longhaul_api_up", process="api-2") == 1
    assert one.sum(REQUESTS, route=SUBMIT) == 8, "what it counted is not lost"
    assert one.sum("longhaul_api_connections", process="api-1") is None, "but it has nothing open"
    stack.apis[0].start()
    stack.wait_api(1)
    again = scrape(stack)
    assert again.sum("longhaul_api_up") == 2
    assert not again.sum(REQUESTS, route=SUBMIT, process="api-1"), "it begins anew"
    stack.apis[0].stop(signal.SIGTERM)
    assert scrape(stack).sum("longhaul_api_up", process="api-1") is None, "who takes its leave is forgotten"


def test_while_the_database_is_away(make_stack, restarting):
    stack = make_stack(restarting, api=AT_ONCE)
    api = stack.api("outage")
    api.completed(api.submit("/test/act").headers["Location"])
    before = scrape(stack)
    assert before.sum("longhaul_database_up") == 1
    stack.close()
    restarting.stop()
    wait_until(lambda: scrape(stack).sum("longhaul_database_up") == 0, 20, "the outage to be seen")
    away = scrape(stack)
    assert away.sum(REQUESTS, route=SUBMIT) == 1
    assert away.sum("longhaul_jobs_ended_total") is None
    wait_until(lambda: scrape(stack).sum("longhaul_api_database_connected") == 0, 20, "all to be disconnected")
    restarting.start()
    for n in (1, 2):
        stack.wait_api(n)
    wait_until(lambda: scrape(stack).sum("longhaul_database_up") == 1, 20, "the database to be back")
    after = scrape(stack)
    assert after.sum("longhaul_jobs_ended_total") == 1
    assert after.sum("longhaul_api_database_connects_total") > before.sum("longhaul_api_database_connects_total")


def test_counters_never_go_back_under_load(stack):
    last = {}
    begin = scrape(stack)
    with Load(stack) as load:
        load.wait(20)
        for _ in range(10):
            now = scrape(stack)
            counters = now.counters()
            assert all(counters.get(key, -1) >= value for key, value in last.items()), "a counter went back"
            last = counters
            load.wait(20)
    done = len(load.accepted)
    wait_until(lambda: scrape(stack).sum("longhaul_jobs_ended_total", type="noop", status="completed") == done,
               30, "all to have ended")
    final = scrape(stack)
    for name, labels in ((REQUESTS, {"route": SUBMIT, "code": "2xx"}), ("longhaul_worker_claimed_jobs_total", {})):
        assert final.sum(name, **labels) - (begin.sum(name, **labels) or 0) == done, name
    assert final.check() == (0, "")


def test_not_for_everybody(make_stack):
    closed = make_stack(apis=1, workers=0, nginx_edit=[
        ("longhaul/longhaul-locations.conf", "\tallow 127.0.0.1;\n\tallow ::1;\n\tdeny  all;\n", "\tdeny all;\n")])
    assert_problem(closed.api().get("/metrics"), 403)


def test_labels_are_bounded(stack):
    api = stack.api('a"b')
    for n in range(3):
        api.submit("/test/idle", json.dumps({"n": n}).encode())
        api.get(f"/nowhere/{n}")
        api.request("PATCH", f"/acts/{n}")
    text = scrape(stack).text
    assert "nowhere" not in text and 'a\\"b' not in text and "PATCH" not in text
