"""PgBouncer in transaction mode before a cluster, reached through a Unix socket."""

import os
import pathlib
import shutil
import signal
import tempfile

import psycopg2

from . import env
from .process import Daemon

PROGRAM = "/usr/sbin/pgbouncer"
USERS = ("api", "worker", "importer", "postgres")


class PgBouncer:
    """`listen`: "direct" has the programs listen on the server itself, "none" has them poll."""

    def __init__(self, cluster, listen, pool_size=3):
        self.cluster = cluster
        self.listen = listen
        self.pool_size = pool_size
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lhpb", dir="/tmp"))
        user = env.unprivileged()
        (self.folder / "users").write_text("".join(f'"{u}" ""\n' for u in USERS))
        (self.folder / "ini").write_text(f"""
[databases]
* = host={cluster.folder} port=5432
[pgbouncer]
pool_mode = transaction
default_pool_size = {pool_size}
listen_addr =
unix_socket_dir = {self.folder}
listen_port = 5432
auth_type = trust
auth_file = {self.folder}/users
max_client_conn = 500
server_login_retry = 1
query_wait_timeout = 5
""")
        for path in (self.folder, self.folder / "ini", self.folder / "users"):
            path.chmod(0o755)
            if user:
                os.chown(path, user["user"], user["group"])
        self.daemon = Daemon("pgbouncer", [PROGRAM, self.folder / "ini"], self.folder / "log", cwd=self.folder,
                             as_user=user)

    def start(self):
        self.daemon.start()
        env.wait_until(self._ready, 20, "PgBouncer to answer")
        return self

    def _ready(self):
        assert self.daemon.alive(), self.daemon.text()
        try:
            psycopg2.connect(self.conninfo("postgres", "postgres")).close()
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self):
        self.daemon.stop(signal.SIGTERM)  # at once, whoever is connected

    def destroy(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def conninfo(self, database, user):
        return f"host={self.folder} port=5432 dbname={database} user={user}"

    def settings(self, database, user):
        direct = self.cluster.conninfo(database, user)
        return {"prepared": False, "listen_conninfo": direct if self.listen == "direct" else "none"}
