"""Where things are, and how patient to be."""

import glob
import os
import pathlib
import pwd
import shutil
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("LONGHAUL_BIN", ROOT / "build")).resolve()
HANDLERS = ROOT / "tests" / "e2e" / "handlers"

# Somebody's own PGHOST, PGPORT … must reach neither the server nor the programs under test.
for _name in [n for n in os.environ if n.startswith("PG")]:
    del os.environ[_name]


def _is_sanitized():
    """Whether the binaries under test are the sanitizer build."""
    api = BIN / "longhaul-api"
    return api.exists() and b"__asan_init" in api.read_bytes()


SANITIZED = _is_sanitized()
# Instrumented code on a busy machine: everything takes its time.
PATIENCE = float(os.environ.get("LONGHAUL_PATIENCE", "4" if SANITIZED else "1"))


# "proxy": requests go through a proxy that compares them, and what is answered, with openapi.json.
VIA = os.environ.get("LONGHAUL_VIA", "")


def scaled(normal, sanitized):
    """A number of repetitions: the sanitizer build looks for memory errors, not for throughput."""
    return sanitized if SANITIZED else normal


def pg_bin():
    """The folder of initdb and postgres: the newest that Debian has installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
    if found:
        return pathlib.Path(found[-1]).parent
    initdb = shutil.which("initdb")
    if not initdb:
        raise RuntimeError("PostgreSQL is not installed: initdb was not found")
    return pathlib.Path(initdb).resolve().parent


def unprivileged():
    """Keyword arguments for subprocess that run a program as somebody whom PostgreSQL accepts."""
    if os.geteuid() != 0:
        return {}
    try:
        who = pwd.getpwnam("postgres")
    except KeyError:
        who = pwd.getpwnam("nobody")
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}


def wait_until(condition, timeout=10, what="the condition", every=0.01):
    """Calls condition() until it returns something that isn't None, False, 0 or empty; returns that.
    (An HTTP answer counts whatever its status: such objects are false when they are errors.)"""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        value = condition()
        if value or hasattr(value, "status_code"):
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout * PATIENCE:g} s in vain for {what}")
        time.sleep(every)
