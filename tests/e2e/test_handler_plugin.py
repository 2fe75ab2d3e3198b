"""Handlers from shared objects."""

import os
import signal
import subprocess

import pytest

from harness import env
from harness.stack import Stack, ini

EXAMPLE = env.HANDLERS / "example_plugin.c"
COPY = """#include <longhaul/handler.h>
static enum lh_verdict run(struct lh_job *job, void *state)
{
    char data[65536];
    ssize_t n;

    while ((n = lh_read(job, data, sizeof(data))) > 0)
        if (!lh_write(job, data, (size_t)n))
            break;
    return n == 0 ? LH_DONE : LH_CANCELED;
}
const struct lh_handler lh_handler = { .abi = LH_HANDLER_ABI, .name = "copy", .run = run };
"""


def build(folder, name, source):
    """With nothing of longhaul but the public header."""
    code = folder / f"{name}.c"
    code.write_text(source)
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-shared", "-fPIC", "-I",
                    env.ROOT / "fcgi-app" / "include", "-o", folder / f"{name}.so", code], check=True)


@pytest.fixture(scope="module")
def handlers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handlers")
    build(folder, "words", EXAMPLE.read_text())
    build(folder, "copy", COPY)
    build(folder, "newer", COPY.replace("LH_HANDLER_ABI, ", "LH_HANDLER_ABI + 1, ").replace('"copy"', '"newer"'))
    build(folder, "misnamed", COPY)
    build(folder, "strange", "int lh_handle = 1;\n")
    build(folder, "lazy", '#include <longhaul/handler.h>\nconst struct lh_handler lh_handler = '
          '{ .abi = LH_HANDLER_ABI, .name = "lazy" };\n')
    build(folder, "unresolved", "void lh_no_such(void);\nvoid f(void);\nvoid f(void) { lh_no_such(); }\n")
    (folder / "text.so").write_text("not an object")
    (folder / "folder.so").mkdir()
    (folder / "link.so").symlink_to("copy.so")
    build(folder, "open", COPY.replace('"copy"', '"open"'))
    (folder / "open.so").chmod(0o757)
    return folder


def _type(handler, **settings):
    return {f"so.{handler}": ({"submit_path": f"/so/{handler}", "collection": f"so-{handler}s", "media_types": ["*/*"], "wait_ms": 0,
                               "max_attempts": 1, "max_input_bytes": 1 << 30}, {"handler": handler, "slots": 2, **settings})}


@pytest.fixture(scope="module")
def stack(cluster, handlers):
    it = Stack(cluster, apis=1, types=("noop",), more_types={**_type("words", least=2), **_type("copy")},
               worker={"handlers_dir": handlers})
    try:
        it.start()
        yield it
    finally:
        assert it.stop() == []


def test_the_example(stack, api):
    def run(text):
        return api.submit("/so/words", text, "text/plain").headers["Location"]

    url = run(b" one two\nthree")
    assert api.result(url).json() == {"words": 3}
    assert stack.value("SELECT longhaul.job_log(%s)", [url.rsplit("/", 1)[1]]) == "3 words in 14 bytes\n"
    doc = api.completed(run(b"a bc " * 100000))
    assert doc["progress"]["message"] == "counting" and doc["progress"]["done"] == 500000
    assert api.ended(run(b"one"))["error"]["type"].endswith(":too-short")


def test_the_example_of_the_readme(api):
    readme = (env.ROOT / "README.md").read_text()
    lines = [line.strip() for line in COPY.splitlines()]
    assert all(line in readme for line in lines), "it is the one that is tested"
    data = os.urandom(1_000_000)
    assert api.result(api.submit("/so/copy", data, "a/b").headers["Location"]).content == data


def check(tmp_path, handler, handlers_dir, **settings):
    config = tmp_path / "worker.conf"
    worker = {"runner": env.BIN / "longhaul-runner"}
    if handlers_dir:
        worker["handlers_dir"] = handlers_dir
    config.write_text(ini({"type x": {"handler": handler, **settings}, "worker": worker}))
    done = subprocess.run([env.BIN / "longhaul-worker", "-t", "-c", config], capture_output=True, text=True)
    assert done.returncode == 0 or f"{config}:" in done.stderr and ": [type x]: " in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("handler,why", [
    ("none", "none.so: No such file or directory"), ("newer", "is made for version 2 of the handler ABI, this is version 1"),
    ("misnamed", 'its handler is named "copy"'), ("strange", "has no symbol lh_handler"), ("lazy", "has no run function"),
    ("unresolved", "undefined symbol: lh_no_such"), ("text", "text.so: "), ("folder", "is no file"),
    ("link", "is a symbolic link"), ("open", "open.so: everybody can write to it"), ("../x", 'there is no handler "../x"'),
    ("a/b", "there is no handler"), ("/tmp/x", "there is no handler")])
def test_what_is_refused(handlers, tmp_path, handler, why):
    code, said = check(tmp_path, handler, handlers)
    assert code == 2 and why in said, said


def test_settings_are_the_handlers_own(handlers, tmp_path):
    assert check(tmp_path, "words", handlers, least=3)[0] == 0
    code, said = check(tmp_path, "words", handlers, least="many")
    assert code == 2 and "least: must be a number" in said
    assert check(tmp_path, "words", handlers, anything="goes")[0] == 0


def test_folders_that_are_refused(handlers, tmp_path):
    assert 'there is no handler "words"' in check(tmp_path, "words", None)[1]
    assert "must begin with a slash" in check(tmp_path, "words", "here")[1]
    assert "No such file" in check(tmp_path, "words", tmp_path / "nowhere")[1]
    shared = tmp_path / "shared"
    shared.mkdir()
    build(shared, "copy", COPY)
    assert check(tmp_path, "copy", shared)[0] == 0
    shared.chmod(0o1777)
    assert "shared: everybody can write to it" in check(tmp_path, "copy", shared)[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_others_are_refused(tmp_path):
    build(tmp_path, "copy", COPY)
    os.chown(tmp_path / "copy.so", 65534, 65534)
    assert "belongs neither to root nor" in check(tmp_path, "copy", tmp_path)[1]


def test_an_object_that_goes_bad_is_not_served(cluster, handlers, tmp_path):
    """The runner looks again: the worker says why, and takes no jobs of the type."""
    build(tmp_path, "copy", COPY)
    it = Stack(cluster, apis=1, types=(), more_types=_type("copy"), worker={"handlers_dir": tmp_path})
    try:
        (tmp_path / "copy.so").chmod(0o755)
        for daemon in it.daemons:
            daemon.start()
        it.nginx.start()
        it.wait_ready()
        (tmp_path / "copy.so").chmod(0o757)
        it.api().submit("/so/copy", b"x")
        env.wait_until(lambda: "everybody can write to it" in it.logs()["worker-1"], 10, "the worker to say why")
    finally:
        it.stop()


def test_a_new_version_is_loaded_at_a_hangup(cluster, tmp_path):
    handlers, new = tmp_path / "handlers", tmp_path / "new"
    handlers.mkdir(), new.mkdir()
    build(handlers, "copy", COPY)
    build(new, "copy", COPY.replace("    return n == 0", '    lh_write(job, " anew", 5);\n    return n == 0'))
    it = Stack(cluster, apis=1, types=(), more_types=_type("copy"), worker={"handlers_dir": handlers})
    try:
        api = it.start().api()

        def run():
            return api.result(api.submit("/so/copy", b"copied", "a/b").headers["Location"]).content

        assert run() == b"copied"
        os.rename(new / "copy.so", handlers / "copy.so")
        worker = it.workers[0]
        worker.send(signal.SIGHUP)
        env.wait_until(lambda: "the new configuration is in use" in worker.text(), 20, "the new configuration")
        assert run() == b"copied anew"
        assert "type so.copy has new settings" in worker.text()
    finally:
        assert it.stop() == []
