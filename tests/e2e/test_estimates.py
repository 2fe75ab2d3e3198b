"""When a job should be done, and where it stands in the queue: from progress, history and the queue ahead."""

import datetime
import json

from harness.env import wait_until


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_history_of_the_type_makes_estimates(make_stack):
    """By the size of the input: small ones are quick, large ones slow, others lie between."""
    stack = make_stack(types=("test.act",), worker={"history_ms": 50}, api={"history_refresh_ms": 50},
                       type_settings={"test.act": {"slots": 8}})
    api = stack.api()

    def job(pad, **what):
        return api.submit("/test/act", json.dumps({"pad": "x" * pad, **what})).headers["Location"]

    for url in [job(100) for _ in range(3)] + [job(10000, sleep=1) for _ in range(3)]:
        api.completed(url)
    wait_until(lambda: stack.value("SELECT sum(jobs) FROM longhaul.type_history") == 6, 10, "the worker to report")
    rows = stack.query("SELECT input_size, ran_ms FROM longhaul.type_history ORDER BY input_size")
    assert len(rows) == 2
    (small, quick), (large, slow) = rows
    assert 100 < small < 200 < 10000 < large < 10200 and quick < slow and slow >= 1000

    def estimate(pad):
        """How long it should take; None while the process knows nothing."""
        url = job(pad, sleep=600)
        doc = api.until(url, "InProgress")
        api.post(url + "/cancel")
        if "estimatedCompletionTime" not in doc:
            return None
        return 1000 * (instant(doc["estimatedCompletionTime"]) - instant(doc["startedTime"]))

    # The estimate is left out once it is past.
    wait_until(lambda: estimate(20000) is not None, 10, "both processes to know")
    for pad, low, high in ((10000, 0.9 * slow, 1.1 * slow), (20000, 1.8 * slow, 2.2 * slow), (5000, quick, slow)):
        found = wait_until(lambda: estimate(pad), 10, "an estimate")
        assert low <= found <= high, (pad, found, rows)


def test_place_in_the_queue(make_stack):
    stack = make_stack(types=("test.idle",), workers=0, api={"state_refresh_ms": 50}, apis=1)
    api = stack.api()
    urls = [api.submit("/test/idle").headers["Location"] for _ in range(5)]

    def places():
        return [api.document(url).get("queuePosition") for url in urls]

    wait_until(lambda: places() == [1, 2, 3, 4, 5], 10, "all to be counted")
    api.post(urls[0] + "/cancel")
    wait_until(lambda: api.document(urls[4]).get("queuePosition") == 4, 10, "the rest to move up")
