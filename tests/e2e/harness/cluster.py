"""A private PostgreSQL cluster, reached through a Unix socket in a short temporary folder."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import psycopg2

from . import env
from .process import Daemon

SETTINGS = """
listen_addresses = ''
max_connections = 200
shared_buffers = 128MB
max_wal_size = 4GB
log_min_messages = warning
log_line_prefix = '%m [%p] %a '
"""
# The operating system stays up in these tests, so a killed server finds its log again without it.
FAST = "fsync = off\n"


class Cluster:
    def __init__(self, fsync=False, settings=""):
        self._make_folder()
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(SETTINGS + f"unix_socket_directories = '{self.folder}'\n")
            conf.write(("" if fsync else FAST) + settings)
        self._make_server()

    def _make_folder(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lhpg", dir="/tmp"))
        self.data = self.folder / "data"
        self.user = env.unprivileged()
        self.bin = env.pg_bin()
        if self.user:
            os.chown(self.folder, self.user["user"], self.user["group"])

    def run(self, program, *args):
        """One of PostgreSQL's programs, as the server's user."""
        subprocess.run([self.bin / program, *args], check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **self.user)

    def _make_server(self):
        self.server = Daemon("postgres", [self.bin / "postgres", "-D", self.data],
                             self.folder / "postgres.log", cwd=self.folder, as_user=self.user)
        self.count = 0
        self.template = None

    def environ(self, database, user="postgres"):
        return {"PGHOST": str(self.folder), "PGPORT": "5432", "PGUSER": user, "PGDATABASE": database}

    def conninfo(self, database, user="postgres"):
        return f"host={self.folder} port=5432 dbname={database} user={user}"

    def settings(self, database, user):
        return {}

    def start(self):
        self.server.start()
        self.wait_ready()
        return self

    def wait_ready(self):
        env.wait_until(self._ready, 30, "PostgreSQL to answer", every=0.05)

    def _ready(self):
        assert self.server.alive(), "PostgreSQL ended:\n" + self.server.text()[-2000:]
        try:
            psycopg2.connect(self.conninfo("postgres")).close()
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast. SIGQUIT: at once, as a crash, with recovery at the next start."""
        self.server.stop(how, timeout=60)

    def destroy(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database="postgres", user="postgres"):
        conn = psycopg2.connect(self.conninfo(database, user))
        conn.autocommit = True
        return conn

    def sql(self, statement, database="postgres"):
        conn = self.connect(database)
        try:
            with conn.cursor() as cur:
                cur.execute(statement)
        finally:
            conn.close()

    def migrate(self, database):
        done = subprocess.run([env.ROOT / "sql" / "longhaul-migrate"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, **self.environ(database)}, text=True)
        if done.returncode != 0:
            raise RuntimeError("longhaul-migrate failed:\n" + done.stdout)

    def new_database(self):
        """A database with the schema; the migrations run once, further ones are copies."""
        if self.template is None:
            self.sql("CREATE DATABASE longhaul_template")
            self.migrate("longhaul_template")
            # Log-in roles with nothing but what each program's group role grants.
            self.sql("CREATE ROLE api LOGIN IN ROLE longhaul_api;"
                     "CREATE ROLE worker LOGIN IN ROLE longhaul_worker;"
                     "CREATE ROLE importer LOGIN IN ROLE longhaul_import")
            self.template = "longhaul_template"
        self.count += 1
        name = f"longhaul{self.count}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        return name


class Standby(Cluster):
    """A hot standby of a cluster that runs, made as an administrator would."""

    def __init__(self, primary, settings=""):
        self._make_folder()
        self.primary = primary
        self.run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d",
                 primary.conninfo("postgres"))
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"unix_socket_directories = '{self.folder}'\n" + settings)
        self._make_server()

    def ask(self, statement):
        conn = self.connect()
        try:
            with conn.cursor() as cur:
                cur.execute(statement)
                return cur.fetchone()[0]
        finally:
            conn.close()

    def pause(self):
        """What is committed from now on doesn't show."""
        self.ask("SELECT pg_wal_replay_pause()")
        env.wait_until(lambda: self.ask("SELECT pg_get_wal_replay_pause_state()") == "paused", 20, "the replay to pause")

    def resume(self):
        self.ask("SELECT pg_wal_replay_resume()")

    def catch_up(self):
        conn = self.primary.connect()
        with conn.cursor() as cur:
            cur.execute("SELECT pg_current_wal_insert_lsn()")
            lsn = cur.fetchone()[0]
            # Claims aren't flushed when they commit, and only what is flushed is sent: this commit does it.
            cur.execute("SELECT pg_logical_emit_message(true, 'longhaul', '')")
        conn.close()
        env.wait_until(lambda: self.ask(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'"), 30, "the standby to catch up")

    def promote(self):
        assert self.ask("SELECT pg_promote(true, 60)")
