"""SIGHUP: a changed configuration is taken while jobs run, and none of them is lost or begins again."""

import json
import os
import signal

import pytest

from harness.env import scaled, wait_until
from harness.stack import ini
from harness.traffic import Load, all_ended, assert_once_each


def write(stack, text=None):
    """The configuration of the first worker, as the stack's settings are now, or as the text says."""
    path = stack.folder / "worker-1.conf"
    path.write_text(ini(stack.worker_sections()) if text is None else text)
    return path


def reload(stack, text=None, expect="the new configuration is in use"):
    """Writes it, says so, and waits for the line in the log."""
    worker = stack.workers[0]
    before = worker.text().count(expect)
    path = write(stack, text)
    worker.send(signal.SIGHUP)
    wait_until(lambda: worker.text().count(expect) > before, 20, f"the log to say: {expect}")
    return path


def slots(stack):
    return dict(stack.query("SELECT t.name, w.slots FROM longhaul.worker_type w JOIN longhaul.job_type t USING (type_id)"))


def running(stack, name):
    return stack.value("SELECT count(*) FROM longhaul.lease l JOIN longhaul.job_type t USING (type_id) "
                       "WHERE t.name = %s AND l.boot IS NOT NULL AND l.started_at IS NOT NULL", [name])


def act(api, **do):
    return api.submit("/test/act", json.dumps(do)).headers["Location"]


def assert_first_attempts(stack):
    assert stack.value("SELECT count(*) FROM longhaul.outcome WHERE attempt <> 1 OR status <> 3") == 0


@pytest.mark.limit(120)
def test_type_added_and_slots_changed_under_load(make_stack):
    stack = make_stack(types=("noop", "test.act", "test.quick"))
    every = stack.types
    stack.types = ("noop", "test.act")
    stack.workers[0].stop()
    write(stack)
    stack.workers[0].start()
    stack.wait_ready()
    api = stack.api()
    waiting = api.submit("/test/quick", b'{"stdout": "now"}').headers["Location"]
    with Load(stack) as run:
        long = [act(api, sleep=2, stdout=f"{n}") for n in range(6)]
        run.wait(scaled(100, 20))
        for n in range(4):
            stack.types = every if n % 2 == 1 else ("noop", "test.act")
            stack.type_settings["test.act"] = {"slots": 2 + n}
            stack.type_settings["noop"] = {"slots": 8 - n}
            reload(stack)
            expected = {"noop": 8 - n, "test.act": 2 + n, **({"test.quick": 4} if n % 2 == 1 else {})}
            wait_until(lambda: slots(stack) == expected, 10, f"the database to know {expected}")
            run.wait(scaled(100, 20))
    assert api.result(waiting).text == "now"
    for n, url in enumerate(long):
        assert api.result(url, 30).text == f"{n}"
    assert run.refused == [] and run.broken == 0
    assert_once_each(run)
    all_ended(stack, "load")
    assert_first_attempts(stack)
    assert stack.value("SELECT count(DISTINCT boot) FROM longhaul.outcome") == 1, "the worker went on under its lease"


@pytest.mark.limit(90)
def test_changed_settings_are_for_jobs_that_begin(make_stack):
    """The old runners finish what they have begun and end; new ones have the new settings."""
    stack = make_stack(types=("test.act",), type_settings={"test.act": {"slots": 4, "environment": "COLOUR=old"}})
    api = stack.api()
    old = [act(api, sleep=2, env=True) for _ in range(2)]
    wait_until(lambda: running(stack, "test.act") == 2, 10, "both to run")
    runners = set(stack.workers[0].runners())
    stack.type_settings["test.act"] = {"slots": 4, "environment": "COLOUR=new"}
    reload(stack)
    new = act(api, env=True)
    assert json.loads(api.result(new).text)["env"]["COLOUR"] == "new"
    for url in old:
        assert json.loads(api.result(url).text)["env"]["COLOUR"] == "old"
    wait_until(lambda: not runners & set(stack.workers[0].runners()), 10, "the old runners to end")
    # The same words again: nothing to do.
    kept = set(stack.workers[0].runners())
    reload(stack)
    assert json.loads(api.result(act(api, env=True)).text)["env"]["COLOUR"] == "new"
    assert kept <= set(stack.workers[0].runners())
    assert_first_attempts(stack)


@pytest.mark.limit(90)
def test_fewer_slots_stop_nothing(make_stack):
    stack = make_stack(types=("test.act",), type_settings={"test.act": {"slots": 4}}, worker={"give_back_ms": 200})
    api = stack.api()
    first = [act(api, sleep=1.5, stdout=f"{n}") for n in range(4)]
    wait_until(lambda: running(stack, "test.act") == 4, 10, "four to run")
    stack.type_settings["test.act"] = {"slots": 1}
    reload(stack)
    more = [act(api, sleep=0.3, stdout=f"{n}") for n in range(4)]
    for n, url in enumerate(first):
        assert api.result(url).text == f"{n}"
    for n, url in enumerate(more):
        assert api.result(url).text == f"{n}"
    assert_first_attempts(stack)
    spans = stack.query("SELECT started_at, ended_at FROM longhaul.outcome WHERE job_id = ANY (%s::uuid[]) ORDER BY started_at",
                        [[u.rsplit("/", 1)[1] for u in more]])
    for (_, ended), (started, _) in zip(spans, spans[1:]):
        assert (started - ended).total_seconds() > -0.1, "one at a time"
    wait_until(lambda: len(stack.workers[0].runners()) == 1, 10, "the other runners to end")


@pytest.mark.limit(90)
def test_removed_type_ends_what_it_runs(make_stack):
    stack = make_stack(types=("noop", "test.act"), type_settings={"test.act": {"slots": 1}})
    api = stack.api()
    url = act(api, sleep=2, stdout="to the end")
    queued = act(api, stdout="later")
    api.until(url, "InProgress")
    stack.types = ("noop",)
    reload(stack)
    assert "type test.act is served no more" in stack.workers[0].text()
    api.completed(api.submit("/noop").headers["Location"])
    assert api.result(url).text == "to the end"
    wait_until(lambda: "type test.act is gone" in stack.workers[0].text(), 10, "it to be gone")
    assert slots(stack) == {"noop": 8}
    assert api.document(queued)["status"] == "Queued"
    stack.types = ("noop", "test.act")
    reload(stack)
    assert api.result(queued).text == "later"
    # Gone and back while a job of it runs.
    url = act(api, sleep=2, stdout="still there")
    api.until(url, "InProgress")
    stack.types = ("noop",)
    reload(stack)
    stack.types = ("noop", "test.act")
    reload(stack)
    assert api.result(url).text == "still there"
    assert_first_attempts(stack)


@pytest.mark.limit(90)
def test_wrong_configuration_is_refused(make_stack):
    """File, line and reason are in the log; the worker goes on as it was."""
    stack = make_stack(types=("test.act",))
    api = stack.api()
    url = act(api, sleep=2, stdout="undisturbed")
    api.until(url, "InProgress")
    good = ini(stack.worker_sections())
    lines = good.splitlines()
    for wrong, line, reason in [
            (good.replace("slots = 4", "slots = many"), lines.index("slots = 4") + 1, "slots"),
            (good.replace("handler = exec", "handler = exe"), lines.index("handler = exec") + 1, 'there is no handler "exe"'),
            (good + "\n[tipe x]\n", len(lines) + 2, "unknown section"),
            # Only the handler itself can know this.
            (good.replace("slots = 4", "slots = 4\nuser = nobody-of-that-name"), lines.index("slots = 4") + 2, "user")]:
        assert wrong != good
        path = reload(stack, wrong, expect="is refused, the old one stays")
        last = [t for t in stack.workers[0].text().splitlines() if "is refused" in t][-1]
        assert f"{path}:{line}: " in last and reason in last, last
    reload(stack, "[worker]\nlease_ms = 1000\nbeat_ms = 900\n", expect="beat_ms must be less than half")
    (stack.folder / "worker-1.conf").unlink()
    before = stack.workers[0].text().count("is refused")
    stack.workers[0].send(signal.SIGHUP)
    wait_until(lambda: stack.workers[0].text().count("is refused") > before, 20, "a missing file to be refused")
    assert slots(stack) == {"test.act": 4}
    assert api.result(url).text == "undisturbed"
    assert api.result(act(api, stdout="next")).text == "next"
    # And the same is refused at the start.
    for text in ("[type x]\nhandler = exe\n", "[worker]\nno_such_key = 1\n"):
        path = write(stack, text)
        stack.workers[0].stop()
        stack.workers[0].start()
        assert stack.workers[0].child.wait(20) == 2
        assert f"{path}:" in stack.workers[0].text()
    write(stack, good)
    stack.workers[0].start()
    stack.wait_ready()


@pytest.mark.limit(60)
def test_options_that_change_and_that_do_not(make_stack):
    stack = make_stack(types=("noop",))
    api = stack.api()
    worker = stack.workers[0]
    api.completed(api.submit("/noop").headers["Location"])
    assert " debug " not in worker.text()
    stack.settings["log"] = {"level": "debug"}
    stack.settings["worker"]["lease_ms"] = 20000
    stack.settings["worker"]["poll_ms"] = 150
    stack.settings["database"]["reconnect_max_ms"] = 300
    reload(stack)
    text = worker.text()
    assert "options changed: log.level worker.poll_ms" in text
    assert "options that take a restart to change, unchanged for now: database.reconnect_max_ms worker.lease_ms" in text
    api.completed(api.submit("/noop").headers["Location"])
    wait_until(lambda: " debug " in worker.text(), 10, "what only debugging shows")
    assert stack.value("SELECT max(lease_until - beat_at) FROM longhaul.worker").total_seconds() < 11


def test_api_takes_its_log_level(make_stack):
    stack = make_stack(types=("noop",), apis=1)
    api = stack.api()
    daemon = stack.apis[0]
    path = stack.folder / "api-1.conf"
    text = path.read_text()
    assert "level = info" in text
    path.write_text(text.replace("level = info", "level = debug").replace("types_refresh_ms = 200", "types_refresh_ms = 300"))
    daemon.send(signal.SIGHUP)
    wait_until(lambda: "options changed: log.level" in daemon.text(), 10, "the level to be taken")
    assert "unchanged for now: api.types_refresh_ms" in daemon.text()
    path.write_text("[api]\nnonsense\n")
    daemon.send(signal.SIGHUP)
    wait_until(lambda: f"the old one stays: {path}:2: " in daemon.text(), 10, "the line at fault")
    api.completed(api.submit("/noop").headers["Location"])


def hang_up_while_it_reads(daemon, path, said):
    """SIGHUP at a moment when the program reads its first configuration; it takes the second one then."""
    text = path.read_text()
    daemon.stop()
    later = path.with_suffix(".later")
    later.write_text(text.replace("level = info", "level = debug"))
    path.unlink()
    os.mkfifo(path)
    daemon.start()
    with open(path, "w") as first:  # opens when the program has opened it
        later.rename(path)
        daemon.send(signal.SIGHUP)
        first.write(text)
    wait_until(lambda: said in daemon.text() or not daemon.alive(), 20, "the configuration to be read again")
    assert said in daemon.text()


def test_hangup_at_the_start(make_stack):
    """Someone edits the file and says so at once after a start: that ends neither program, nor is it lost."""
    stack = make_stack(types=("noop",), apis=1)
    stack.settings["log"] = {"level": "info"}
    write(stack)
    hang_up_while_it_reads(stack.workers[0], stack.folder / "worker-1.conf", "options changed: log.level")
    hang_up_while_it_reads(stack.apis[0], stack.folder / "api-1.conf", "options changed: log.level")
    stack.wait_ready()
    api = stack.api()
    api.completed(api.submit("/noop").headers["Location"])
