"""longhaul-admin: the real program, as a script and as a person call it."""

import json
import os
import pty
import signal
import subprocess

import pytest

from harness import env
from harness.env import wait_until


class Admin:
    """Calls of the program on a stack's database, as a role with just a DBA's rights."""

    def __init__(self, stack, role="dba"):
        self.stack, self.environ = stack, stack.cluster.environ(stack.database, role)

    def run(self, *words, **kw):
        return subprocess.run([env.BIN / "longhaul-admin", *words], env={**os.environ, **self.environ, **kw.pop("environ", {})},
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60 * env.PATIENCE, **kw)

    def __call__(self, *words, code=0):
        """What --json prints, parsed; the exit code is asserted, and that nothing is said besides."""
        done = self.run("--json", *words)
        assert done.returncode == code, (words, done)
        assert done.stderr == b"", done.stderr
        return json.loads(done.stdout)

    def refused(self, *words, code=1):
        error = self(*words, code=code)["error"]
        assert error["code"] == code and error["message"]
        return error


@pytest.fixture(scope="module")
def dba(stack):
    # Roles belong to the cluster, which other modules share.
    stack.sql("DO $$ BEGIN CREATE ROLE dba LOGIN IN ROLE longhaul_dba; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    return Admin(stack)


def audited(stack, action, what):
    return stack.query("SELECT who, detail FROM longhaul.audit WHERE action = %s AND what = %s ORDER BY id DESC", [action, what])


# ---- every command ------------------------------------------------------------------------------


def commands():
    text = subprocess.run([env.BIN / "longhaul-admin", "--help"], capture_output=True, text=True, check=True).stdout
    return [line[2:19].strip() for line in text.split("\n\n")[1].splitlines()]


def test_help_of_every_command():
    assert len(commands()) > 25
    for command in commands():
        done = subprocess.run([env.BIN / "longhaul-admin", *command.split(), "--help"], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.startswith(f"usage: longhaul-admin [options] {command}"), done.stdout
        assert "Exit codes" in done.stdout


def test_status(stack, dba):
    status = dba("status")
    assert set(status) == {"schemaVersion", "database", "server", "partitions", "hosts", "types", "warnings"}
    assert status["schemaVersion"] == stack.value("SELECT max(version) FROM longhaul.migration")
    assert {t["type"] for t in status["types"]} == set(stack.types)
    host, = status["hosts"]
    assert host["state"] == "alive" and 0 <= host["beatAgeSeconds"] < 60 * env.PATIENCE
    text = dba.run("status").stdout.decode()
    assert "hosts:" in text and "noop 0/8" in text


@pytest.mark.parametrize("command", ["client list", "key list", "type list", "host list", "job list", "schedule list", "audit"])
def test_lists_are_arrays(dba, command):
    assert isinstance(dba(*command.split()), list)
    assert dba.run(*command.split()).returncode == 0


# ---- clients and keys ----------------------------------------------------------------------------


def test_a_client_and_its_key(make_stack):
    stack = make_stack(workers=0, types=("test.idle",), api={"keys_found_ms": 50})
    admin = Admin(stack, "postgres")
    admin("client", "create", "acme", "--note", "by the phone")
    made = admin("key", "create", "acme", "--label=their server")
    assert set(made) == {"keyId", "client", "label", "key"}
    api = stack.api(key=made["key"])
    assert api.get("/jobs").status_code == 200
    key, = admin("key", "list", "acme")
    assert key["keyId"] == made["keyId"] and made["key"] not in json.dumps(key)
    assert stack.value("SELECT sha256 = sha256(%s) FROM longhaul.api_key", [made["key"].encode()])
    # Not for good, then for good.
    assert admin("client", "disable", "acme")["changed"] is True
    wait_until(lambda: api.get("/jobs").status_code == 401, 30, "the disabled client to be refused", every=0.05)
    admin.refused("key", "create", "acme")
    assert admin("client", "enable", "acme")["keys"] == 1
    wait_until(lambda: api.get("/jobs").status_code == 200, 30, "the enabled client to be let in", every=0.05)
    assert "yes" in admin.refused("key", "revoke", made["keyId"], code=2)["hint"]
    assert admin("key", "revoke", made["keyId"], "--yes")["changed"] is True
    wait_until(lambda: api.get("/jobs").status_code == 401, 30, "the revoked key to be refused", every=0.05)
    assert admin("key", "revoke", made["keyId"], "--yes")["changed"] is False
    assert admin("key", "list")[0]["revokedTime"]
    for words in (("client", "create", "acme"), ("key", "create", "nobody"), ("key", "revoke", "0" * 12, "-y"),
                  ("client", "disable", "nobody"), ("key", "list", "nobody")):
        admin.refused(*words)
    for action, n in (("client insert", 1), ("api_key insert", 1), ("client update", 2), ("api_key update", 1)):
        assert len(audited(stack, action, "acme")) == n, action


# ---- types ---------------------------------------------------------------------------------------


def test_a_type_from_its_beginning_to_its_end(stack, dba, api):
    made = dba("type", "add", "texts.sort", "media_types=text/plain, text/csv", "timeout_ms=5000", "retention=2 days")
    assert (made["submitPath"], made["collection"]) == ("/v1/texts/sort", "sort-jobs")
    wait_until(lambda: api.post("/texts/sort", b"b\na\n", "text/csv").status_code == 202, 20, "the type to be known")
    shown = {s["setting"]: s["value"] for s in dba("type", "show", "texts.sort")["settings"]}
    assert shown["media_types"] == ["text/plain", "text/csv"] and shown["timeout_ms"] == 5000 and shown["retention"] == "2 days"
    changed = dba("type", "set", "texts.sort", "timeout_ms=none", "max_queued=7", "media_types={*/*}")["changes"]
    assert {c["setting"]: (c["before"], c["after"]) for c in changed} == {
        "timeout_ms": (5000, None), "max_queued": (None, 7), "media_types": (["text/plain", "text/csv"], ["*/*"])}
    assert all("within seconds" in c["takesEffect"] for c in changed)
    assert "in use" in dba.refused("type", "remove", "texts.sort", "--yes")["message"]
    assert dba("job", "cancel-all", "--type", "texts.sort", "--yes") == {"canceled": 1, "mayBeMore": False}
    assert dba("purge", "--older-than", "0", "--type", "texts.sort", "--yes") == {"removed": 1}
    assert dba("type", "remove", "texts.sort", "--dry-run")["removed"] is True
    assert dba("type", "remove", "texts.sort", "--yes")["removed"] is True
    dba.refused("type", "show", "texts.sort")
    who = [w for a in ("job_type insert", "job_type update", "job_type delete") for w, _ in audited(stack, a, "texts.sort")]
    assert who == ["dba"] * 3


@pytest.mark.parametrize("setting,says", [
    ("wait_ms=abc", "whole number"), ("wait_ms=-1", "wait_ms >= 0"), ("wait_ms=55001", "wait_ms <= 55000"), ("wait_ms=" + "9" * 50, "of this size"),
    ("wait_ms=", "whole number"), ("wait_ms=none", "whole number"), ("nonsense=1", "no setting"), ("type_id=1", "no setting"),
    ("name=other", "no setting"), ("paused=true", "no setting"), ("retention=soon", "span of time"), ("retention=-1 day", "retention >="),
    ("submit_path=/../x", "submit_path"), ("submit_path=/jobs/x", "split_part"), ("submit_path=/test/idle", "another job type"),
    ("collection=idles", "another job type"), ("media_types=", "media_types"), ("poll_min_ms=70000", "poll_min_ms <= poll_max_ms"),
    ("wait_ms=1; DROP TABLE longhaul.job", "whole number"), ("wait_ms = 0, name=1", "no setting"), ("description'=x", "no setting")])
def test_settings_are_refused_with_the_reason(stack, dba, setting, says):
    before = stack.query("SELECT * FROM longhaul.job_type WHERE name = 'noop'")
    error = dba.refused("type", "set", "noop", setting)
    assert says in error["message"], error
    assert stack.query("SELECT * FROM longhaul.job_type WHERE name = 'noop'") == before


def test_pause_and_resume(stack, dba, api):
    assert dba("pause", "test.cat", "--reason", "disk is full") == {"type": "test.cat", "paused": True, "changed": True}
    url = api.submit("/test/cat", b"x", "text/plain").headers["Location"]
    kind = next(t for t in dba("status")["types"] if t["type"] == "test.cat")
    assert kind["paused"] and kind["pausedReason"] == "disk is full" and kind["waiting"] == 1
    assert any("disk is full" in w for w in dba("status")["warnings"])
    assert dba("resume", "test.cat")["changed"] is True
    api.completed(url)
    dba.refused("pause", "nothing")


# ---- jobs ----------------------------------------------------------------------------------------


def test_jobs_of_any_client(stack, dba, api):
    url = api.submit("/test/idle").headers["Location"]
    job = url.rsplit("/", 1)[1]
    assert dba("job", "show", job)["status"] == "Queued"
    assert dba("job", "cancel", job, "--dry-run") == {"jobId": job, "status": "Canceled"}
    assert dba("job", "show", job)["status"] == "Queued", "the dry run has changed nothing"
    assert dba("job", "cancel", job)["status"] == "Canceled"
    assert [j["jobId"] for j in dba("job", "list", "--type=test.idle", "--status=Canceled")] == [job]
    assert dba("job", "retry", job)["status"] == "Queued"
    dba.refused("job", "retry", job)
    dba("job", "cancel", job)
    assert [w for w, _ in audited(stack, "cancel_job", job)] == ["dba", "dba"]
    dba.refused("job", "show", "00000000-0000-7000-8000-000000000000")
    failed = api.ended(api.submit("/test/act", b'{"exit": 3}').headers["Location"])
    assert failed["status"] == "Failed"
    before = dba("job", "retry-all", "--client", stack.value("SELECT client FROM longhaul.job WHERE id = %s", [failed["jobId"]]),
                 "--error", "no such words", "--yes")
    assert before["queued"] == 0
    assert dba("job", "retry-all", "--type", "test.act", "--since", "1 hour", "--yes")["queued"] >= 1
    assert "negative" in dba.refused("purge", "--older-than=-1 day", "-y")["message"]
    assert dba("purge", "--older-than", "1 hour", "-y") == {"removed": 0}
    assert dba("purge", "--older-than", "0", "--status", "Canceled", "--dry-run")["wouldRemove"] >= 1
    assert dba("job", "show", job)["status"] == "Canceled"


def test_a_large_purge_goes_in_steps(make_stack):
    stack = make_stack(apis=1, workers=0, types=("test.idle",))
    admin = Admin(stack, "postgres")
    stack.sql("SELECT count(longhaul.submit('test.idle', '{}'::bytea, p_client => 'c' || least(1, n / 50))) FROM generate_series(1, 1150) n")
    assert admin("job", "cancel-all", "--client", "c0", "--yes") == {"canceled": 49, "mayBeMore": False}
    assert admin("job", "cancel-all", "--client", "c1", "--limit", "700", "--yes") == {"canceled": 700, "mayBeMore": True}
    assert admin("job", "cancel-all", "--client", "c1", "--limit", "700", "--yes") == {"canceled": 401, "mayBeMore": False}
    assert admin("purge", "--older-than", "0", "--client", "c1", "--dry-run") == {"wouldRemove": 1101}
    assert admin("purge", "--older-than", "0", "--client", "c1", "--yes") == {"removed": 1101}
    assert stack.query("SELECT client, count(*) FROM longhaul.job GROUP BY 1") == [("c0", 49)]
    assert stack.query("SELECT (detail ->> 'jobs')::int FROM longhaul.audit WHERE action = 'purge' ORDER BY id") == [(1000,), (101,)]


# ---- hosts ---------------------------------------------------------------------------------------


def test_a_drained_host_claims_no_more(make_stack):
    """What it runs goes on; its worker started anew is drained too; resumed, it goes on where it was."""
    stack = make_stack(types=("test.act",))
    admin = Admin(stack, "postgres")
    api = stack.api()
    running = api.submit("/test/act", b'{"sleep": 1, "stdout": "ended"}').headers["Location"]
    api.until(running, "InProgress")
    host = admin("host", "list")[0]["host"]
    assert admin("host", "drain", host, "--reason", "new disk") == {"host": host, "drained": True, "jobs": 1}
    waiting = [api.submit("/test/act", b'{"stdout": "later"}').headers["Location"] for _ in range(6)]
    assert api.result(running).text == "ended"
    assert admin("host", "list")[0]["reason"] == "new disk"
    stack.workers[0].stop()
    stack.workers[0].start()
    wait_until(lambda: [h["state"] for h in admin("host", "list")] == ["alive"], 20, "the new worker")
    # It asks for jobs (each poll), and gets none.
    asked = stack.value("SELECT clock_timestamp()")
    wait_until(lambda: stack.value("SELECT bool_and(beat_at > %s::timestamptz + interval '1 s') FROM longhaul.worker "
                                   "WHERE stopped_at IS NULL", [asked]), 20, "some beats and polls")
    assert {api.document(u)["status"] for u in waiting} == {"Queued"}
    kind = next(t for t in admin("status")["types"] if t["type"] == "test.act")
    assert kind["waiting"] == 6, "nothing of the queue is passed over"
    assert admin("host", "resume", host)["wasDrained"] is True
    for url in waiting:
        assert api.result(url).text == "later"
    admin.refused("host", "drain", "nowhere")
    assert [n for n, in stack.query("SELECT action FROM longhaul.audit WHERE what = %s ORDER BY id", [host])] == ["drain_host", "resume_host"]


def test_jobs_of_a_dead_host_are_released(make_stack):
    stack = make_stack(workers=2, types=("test.act",), worker={"lease_ms": 60000, "host": "a"}, type_settings={"test.act": {"slots": 1}})
    stack.workers[1].stop()
    admin = Admin(stack, "postgres")
    api = stack.api()
    url = api.submit("/test/act", b'{"sleep": 1, "stdout": "again"}').headers["Location"]
    api.until(url, "InProgress")
    assert "alive" in admin.refused("host", "release", "a", "--yes")["message"]
    for pid in stack.workers[0].runners():
        os.kill(pid, signal.SIGSTOP)
    stack.workers[0].kill()
    stack.sql("UPDATE longhaul.worker SET lease_until = now() WHERE stopped_at IS NULL")
    assert admin("host", "release", "a", "--yes")["jobs"] == 1
    stack.workers[1].start()
    assert api.result(url, 30).text == "again"


# ---- schedules -----------------------------------------------------------------------------------


def test_schedules(stack, dba):
    stack.sql("INSERT INTO longhaul.schedule (name, job_type, cron) VALUES ('yearly', 'noop', '@yearly')")
    assert dba("schedule", "pause", "yearly") == {"schedule": "yearly", "enabled": False, "changed": True, "nextTime": None}
    assert dba("schedule", "pause", "yearly")["changed"] is False
    assert dba("schedule", "resume", "yearly")["nextTime"]
    assert dba("schedule", "list")[0]["schedule"] == "yearly"
    dba.refused("schedule", "pause", "never")


# ---- hostile arguments ---------------------------------------------------------------------------


NASTY = ["'", "''; DROP TABLE longhaul.job; --", '"', "\\", "$1", "%s%n", "{}", "[]", "NULL", "a\nb", "\x1b[31mred", "ü" * 40,
         "x" * 100000, "-5", "--", "\t", " ", "1E+400", "٣"]


@pytest.mark.parametrize("command", ["client disable", "key create", "key list", "key revoke -y", "type show", "type set",
                                     "type add", "type remove -y", "pause", "host drain", "host release -y", "job show", "job cancel",
                                     "job retry", "schedule pause"])
def test_nothing_comes_of_strange_words(stack, dba, command):
    """Refused, or a usage error; never a defect, and nothing is changed."""
    before = stack.query("SELECT count(*) FROM longhaul.job_type"), stack.query("SELECT count(*) FROM longhaul.api_key")
    for word in NASTY:
        words = (*command.split(), "--", word) + (("wait_ms=1",) if command == "type set" else ())
        done = dba.run("--json", *words)
        assert done.returncode in (1, 2), (word[:40], done)
        if done.returncode == 1:
            json.loads(done.stdout)
    assert (stack.query("SELECT count(*) FROM longhaul.job_type"), stack.query("SELECT count(*) FROM longhaul.api_key")) == before


def test_strange_names_are_names(make_stack):
    """Those that a client may have; labels and notes may be anything."""
    stack = make_stack(apis=1, workers=0, types=("test.idle",))
    admin = Admin(stack, "postgres")
    good = [w for w in NASTY if w.isascii() and w.isprintable() and w == w.strip() and 0 < len(w) <= 64]
    assert len(good) >= 8
    for word in NASTY:
        if word not in good:
            assert admin.run("client", "create", "--", word).returncode in (1, 2)
            continue
        assert admin("client", "create", f"--note={word}", "--", word)["client"] == word
        assert admin("key", "create", f"--label={word}", "--", word)["label"] == word
        assert [k["label"] for k in admin("key", "list", "--", word)] == [word]
    assert {c["client"]: c["note"] for c in admin("client", "list")} == {w: w for w in good}
    assert stack.value("SELECT count(*) FROM longhaul.client") == len(good)


def test_bytes_that_are_no_text(dba):
    for words in ([b"client", b"create", b"\xff\xfe"], [b"pause", b"noop", b"--reason", b"\xc3"], [b"type", b"set", b"noop", b"wait_ms=\x80"],
                  [b"client", b"create", b"\xed\xa0\x80"]):
        done = dba.run(*words)
        assert done.returncode == 2 and b"UTF-8" in done.stderr, done


def test_texts_are_no_commands_to_a_terminal(stack, dba):
    dba("pause", "test.quick", "--reason", "\x1b]0;evil\x07 \x9b31m über")
    try:
        text = dba.run("status").stdout.decode()
        assert "\x1b" not in text and "\x9b" not in text and "über" in text
    finally:
        dba("resume", "test.quick")


@pytest.mark.parametrize("words", [
    [], ["client"], ["nonsense"], ["status", "more"], ["pause"], ["--nonsense"], ["status", "--nonsense"], ["type", "set", "noop", "wait_ms"],
    ["type", "set", "noop", "=1"], ["type", "set", "noop", "wait_ms=1", "wait_ms=2"], ["status", "--dry-run"], ["job", "show", ""],
    ["purge"], ["purge", "--older-than"], ["job", "list", "--limit", "many"], ["job", "list", "--days", "-1x"], ["job", "show", "1"],
    ["-c", "/nonexistent", "status"], ["-d", "nonsense", "status"], ["job", "retry-all", "--since", "ages", "-y"],
    ["job", "retry-all", "--error", "(", "-y"], ["purge", "--older-than", "1 day"]])
def test_usage_errors(dba, words):
    done = dba.run(*words)
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.startswith(b"longhaul-admin: "), done


# ---- connections and rights ------------------------------------------------------------------------


def test_where_the_database_is(stack, dba, tmp_path):
    own = stack.cluster.conninfo(stack.database, "api")
    config = tmp_path / "longhaul.conf"
    config.write_text(f"[database]\nconninfo = {own}\n\n[api]\nlisten = unix:/x\n\n[type a]\nhandler = exec\ncommand = /bin/true\n")
    nowhere = {"PGHOST": "/nonexistent", "PGUSER": "nobody"}
    done = dba.run("-c", config, "-d", "user=dba", "--json", "status", environ=nowhere)
    assert json.loads(done.stdout)["database"] == stack.database
    assert dba.run("-d", stack.cluster.conninfo(stack.database, "dba"), "status", environ=nowhere).returncode == 0
    service = tmp_path / "service.conf"
    service.write_text("[here]\n" + "\n".join(stack.cluster.conninfo(stack.database, "dba").split()) + "\n")
    assert dba.run("status", environ={"PGSERVICE": "here", "PGSERVICEFILE": str(service), "PGHOST": ""}).returncode == 0
    assert dba.run("status", environ=nowhere).returncode == 3
    config.write_text("[database]\nconnonfo = x\n")
    done = dba.run("-c", config, "status")
    assert done.returncode == 2 and f"{config}:2".encode() in done.stderr


def test_rights_and_schemas_that_are_missing(stack, dba):
    error = Admin(stack, "api").refused("status", code=4)
    assert "longhaul_dba" in error["hint"] and error["sqlstate"] == "42501"
    empty = Admin(stack)
    empty.environ = stack.cluster.environ("postgres", "postgres")
    assert "migrate" in empty.refused("status", code=4)["hint"]


def test_migrate(stack):
    stack.sql("DROP DATABASE IF EXISTS empty")
    stack.cluster.sql("CREATE DATABASE empty")
    try:
        admin = Admin(stack, "postgres")
        admin.environ["PGDATABASE"] = "empty"
        would = admin("migrate", "--dry-run")["wouldApply"]
        assert would[0] == "0001_tables"
        assert admin("migrate")["applied"] == would
        assert admin("status")["schemaVersion"] == int(would[-1][:4])
        assert admin("migrate", "-n") == {"wouldApply": []}
        assert admin.run("migrate", "-d", "host=/nonexistent").returncode == 3
    finally:
        stack.cluster.sql("DROP DATABASE empty")


# ---- a person at a terminal --------------------------------------------------------------------------


def at_terminal(admin, answer, *words):
    ours, theirs = pty.openpty()
    child = subprocess.Popen([env.BIN / "longhaul-admin", *words], env={**os.environ, **admin.environ}, stdin=theirs,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(theirs)
    os.write(ours, answer)
    out, err = child.communicate(timeout=60 * env.PATIENCE)
    os.close(ours)
    return child.returncode, out.decode(), err.decode()


def test_who_is_asked_decides(stack, dba):
    dba("client", "create", "asked")
    key = dba("key", "create", "asked")["keyId"]
    code, _, said = at_terminal(dba, b"\n", "key", "revoke", key)
    assert code == 2 and "[y/N]" in said and key in said
    assert dba("key", "list", "asked")[0]["revokedTime"] is None
    code, _, said = at_terminal(dba, b"y\n", "key", "revoke", key)
    assert code == 0
    assert dba("key", "list", "asked")[0]["revokedTime"]


# ---- documents -------------------------------------------------------------------------------------


def test_manual_and_completion_know_every_command():
    manual = (env.ROOT / "fcgi-app" / "man" / "longhaul-admin.8").read_text()
    script = env.ROOT / "fcgi-app" / "packaging" / "longhaul-admin.bash"
    for command in commands():
        assert f"\n.It Cm {command}" in manual, command
        options = subprocess.run([env.BIN / "longhaul-admin", *command.split(), "--help"], capture_output=True, text=True).stdout
        for option in (line.split()[0][2:] for line in options.splitlines() if line.startswith("  --")):
            assert f"Fl -{option}" in manual, (command, option)

    def completed(*words):
        quoted = " ".join(f"'{w}'" for w in ("longhaul-admin", *words))
        text = (f"PATH={env.BIN}:$PATH; . {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _longhaul_admin; "
                'echo "${COMPREPLY[*]}"')
        return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout.split()

    assert set(completed("")) == {c.split()[0] for c in commands()}
    assert completed("-c", "x", "--json", "type", "s") == ["show", "set"]
    assert completed("host", "drain", "h", "--r") == ["--reason"]
