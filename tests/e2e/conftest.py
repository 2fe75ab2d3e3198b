"""Fixtures, and what is attached to a test that failed: the end of every log of its stack."""

import faulthandler
import signal

import pytest

from harness import env, node
from harness.cluster import Cluster
from harness.stack import Stack

LOG_TAIL = 6000


@pytest.fixture(scope="session", autouse=True)
def built():
    programs = ("longhaul-api", "longhaul-worker", "longhaul-runner", "longhaul-courier", "longhaul-admin")
    missing = [n for n in programs if not (env.BIN / n).exists()]
    if missing:
        pytest.exit(f"not built: {', '.join(missing)} in {env.BIN} (run make, or set LONGHAUL_BIN)", 3)


@pytest.fixture(scope="session", autouse=env.VIA == "proxy")
def packages():
    """The npm packages. A fixture of the session, as fetching them may take longer than a test may."""
    node.install()


@pytest.fixture(scope="session")
def cluster():
    """The PostgreSQL that most tests share. What restarts or breaks its server makes its own."""
    it = Cluster().start()
    yield it
    it.destroy()


def pytest_collection_modifyitems(config, items):
    """Where openapi.json is compared, tests with stacks of their own are left out: each would need its proxy."""
    if env.VIA != "proxy":
        return
    left_out = [i for i in items if "make_stack" in i.fixturenames or i.get_closest_marker("direct")]
    items[:] = [i for i in items if i not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_make_parametrize_id(val):
    """Short names for tests whose parameters are long or strange."""
    if isinstance(val, (str, bytes)):
        return ascii(val).strip("b'\"")[:24] or "empty"
    return None


def _ended(stack):
    complaints = stack.stop()
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest.fixture(scope="module")
def stack(cluster):
    """Two API processes, one worker and nginx, shared by the tests of a module."""
    it = Stack(cluster)
    try:
        it.start()
        yield it
    finally:
        _ended(it)


class StackMaker:
    """Makes stacks with settings of their own, which end with the test."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.made = []

    def __call__(self, own_cluster=None, start=True, **settings):
        it = Stack(own_cluster or self.cluster, **settings)
        self.made.append(it)
        return it.start() if start else it


@pytest.fixture
def make_stack(cluster):
    maker = StackMaker(cluster)
    yield maker
    problems = [p for it in maker.made for p in it.stop()]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def own_cluster():
    """A PostgreSQL that the test may stop, kill and start: with fsync, as in service."""
    it = Cluster(fsync=True).start()
    yield it
    it.destroy()


@pytest.fixture
def api(stack):
    """A client that no other test uses."""
    api.count += 1
    return stack.api(f"client-{api.count}")


api.count = 0


def _stacks(item):
    found = []
    for value in getattr(item, "funcargs", {}).values():
        if isinstance(value, Stack):
            found.append(value)
        elif isinstance(value, StackMaker):
            found += value.made
    return found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if not report.failed:
        return
    for stack in _stacks(item):
        for name, text in stack.logs().items():
            if text.strip():
                tail = LOG_TAIL // 4 if "access" in name else LOG_TAIL
                report.sections.append((f"log of {name}", text[-tail:]))


@pytest.fixture(autouse=True)
def watch(request):
    """A test has an end, whatever hangs; and no sanitizer may have complained meanwhile."""
    marker = request.node.get_closest_marker("limit")
    seconds = int((marker.args[0] if marker else 60) * env.PATIENCE)

    def too_long(signum, frame):
        faulthandler.dump_traceback()
        raise TimeoutError(f"the test took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    found = [r for s in _stacks(request.node) for r in s.sanitizer_reports()]
    if found:
        pytest.fail("\n".join(found), pytrace=False)
