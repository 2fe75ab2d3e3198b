"""One database with its API processes, workers and nginx, each a process of ours."""

import contextlib
import hashlib
import pathlib
import shutil
import signal
import tempfile

from . import env, fcgi
from .api import Api
from .nginx import Nginx, free_port
from .prism import Prism
from .process import Daemon

ACT = env.HANDLERS / "act"

# For webhooks to endpoints of a test: on the loopback addresses, without TLS.
LOCAL_WEBHOOKS = {"allow_http": True, "allow": "127.0.0.0/8 ::1"}

# Job types: the row in the database, and how the worker serves it (handler settings).
TYPES = {
    "noop": (
        {"submit_path": "/noop", "collection": "noops", "media_types": ["*/*"],
         "max_input_bytes": 1 << 30},
        {"handler": "noop", "slots": 8}),
    "accounts.bulk-import": (
        {"submit_path": "/accounts/bulk-import", "collection": "import-jobs",
         "media_types": ["application/x-ndjson", "application/json", "text/csv"],
         "max_input_bytes": 1 << 30},
        {"handler": "bulk-import", "slots": 2}),
    # Does what its input says: see handlers/act.
    "test.act": (
        {"submit_path": "/test/act", "collection": "acts", "wait_ms": 0, "max_attempts": 3,
         "backoff_ms": 100, "poll_min_ms": 100, "max_input_bytes": 100000},
        {"handler": "exec", "slots": 4, "command": ACT, "grace_ms": 500}),
    # The same with time to wait for it.
    "test.quick": (
        {"submit_path": "/test/quick", "collection": "quicks", "wait_ms": 5000, "max_attempts": 1,
         "media_types": ["application/json", "text/*"]},
        {"handler": "exec", "slots": 4, "command": ACT, "grace_ms": 500}),
    "test.cat": (
        {"submit_path": "/test/cat", "collection": "cats", "wait_ms": 0, "media_types": ["*/*"],
         "max_input_bytes": 1 << 30},
        {"handler": "exec", "slots": 2, "command": "/bin/cat", "timeout_ms": 600000}),
    # Nobody serves it: its jobs stay queued.
    "test.idle": (
        {"submit_path": "/test/idle", "collection": "idles", "wait_ms": 50, "poll_min_ms": 1000},
        None),
}


def ini(sections):
    out = []
    for section, keys in sections.items():
        out.append(f"[{section}]")
        for key, value in keys.items():
            if isinstance(value, bool):
                value = "yes" if value else "no"
            out.append(f"{key} = {value}")
        out.append("")
    return "\n".join(out)


class Stack:
    """Settings are dictionaries of the configuration's sections; `types` names what exists, with changes of
    a type's row in `type_rows` and of its section in `type_settings`; `more_types` are like TYPES, and exist too.
    `tcp`: the API processes listen on ports, as on hosts of their own. `entry` is what the
    programs reach the cluster through: it gives conninfo() and further settings() of a role."""

    def __init__(self, cluster, apis=2, workers=1, api=None, worker=None, database=None,
                 webhook=None, types=tuple(TYPES), type_rows=None, type_settings=None, more_types=None, nginx_edit=(), tcp=False,
                 entry=None):
        self.cluster = cluster
        self.entry = entry or cluster
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lh", dir="/tmp"))
        self.database = cluster.new_database()
        self.daemons = []
        self._connection = None
        self._logs = None
        self._prism = None
        self.catalog = {**TYPES, **(more_types or {})}
        self.types = (*types, *(more_types or {}))
        self.type_settings = type_settings or {}
        self.settings = {
            "database": {"reconnect_min_ms": 20, "reconnect_max_ms": 200, **(database or {})},
            "log": {"level": "info"},
            "api": {"types_refresh_ms": 200, **(api or {})},
            "worker": {"lease_ms": 10000, "beat_ms": 500, "poll_ms": 200, "look_back_ms": 200,
                       "progress_ms": 50, "runner": env.BIN / "longhaul-runner", **(worker or {})},
            "webhook": {"poll_ms": 100, **(webhook or {})},
        }
        self.write_types(type_rows or {})
        self.ports = [free_port() for _ in range(apis)] if tcp else None
        self.apis = [self._api(n + 1) for n in range(apis)]
        self.workers = [self._worker(n + 1) for n in range(workers)]
        self.nginx = Nginx(self.folder / "nginx", [self.address(n + 1) for n in range(apis)],
                           edit=nginx_edit)

    # ---- the parts ----

    def socket(self, n):
        """Where API process n listens: a path, or a pair of host and port."""
        return ("127.0.0.1", self.ports[n - 1]) if self.ports else self.folder / f"api-{n}.sock"

    def address(self, n):
        """The same, as configuration files name it."""
        return f"127.0.0.1:{self.ports[n - 1]}" if self.ports else f"unix:{self.socket(n)}"

    def _config(self, name, sections):
        path = self.folder / f"{name}.conf"
        path.write_text(ini(sections))
        return path

    def _database_section(self, role):
        return {"conninfo": self.entry.conninfo(self.database, role), **self.entry.settings(self.database, role),
                **self.settings["database"]}

    def _daemon(self, program, name, config):
        daemon = Daemon(name, [env.BIN / program, "-c", config], self.folder / f"{name}.log", cwd=self.folder,
                        environ={"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
                                 "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99"})
        self.daemons.append(daemon)
        return daemon

    def _api(self, n):
        config = self._config(f"api-{n}", {
            "database": self._database_section("api"), "log": self.settings["log"],
            "webhook": self.settings["webhook"],
            "api": {"listen": self.address(n), "socket_mode": "0666", **self.settings["api"]}})
        return self._daemon("longhaul-api", f"api-{n}", config)

    def worker_sections(self):
        sections = {"database": self._database_section("worker"), "log": self.settings["log"],
                    "worker": self.settings["worker"], "webhook": self.settings["webhook"]}
        for name in self.types:
            settings = {**(self.catalog[name][1] or {}), **self.type_settings.get(name, {})}
            if settings:
                if settings["handler"] in ("bulk-import", "sql"):
                    settings.setdefault("database", self.entry.conninfo(self.database, "importer"))
                sections[f"type {name}"] = settings
        return sections

    def _worker(self, n):
        return self._daemon("longhaul-worker", f"worker-{n}", self._config(f"worker-{n}", self.worker_sections()))

    def write_types(self, changes):
        for name in self.types:
            row = {"name": name, **self.catalog[name][0], **changes.get(name, {})}
            columns = ", ".join(row)
            marks = ", ".join(["%s"] * len(row))
            self.sql(f"INSERT INTO longhaul.job_type ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING",
                     list(row.values()))

    # ---- starting and ending ----

    def start(self):
        for daemon in self.daemons:
            daemon.start()
        self.nginx.start()
        self.wait_ready()
        return self

    def wait_ready(self):
        for n, daemon in enumerate(self.apis):
            if daemon.alive():
                self.wait_api(n + 1)
        if self.workers:
            expected = len(self.workers)
            env.wait_until(lambda: self.value(
                "SELECT count(DISTINCT boot) FROM longhaul.worker_type JOIN longhaul.worker USING (boot) "
                "WHERE stopped_at IS NULL AND dead_at IS NULL") >= expected, 20, "the workers to serve")

    def wait_api(self, n):
        """Until API process n takes requests and reaches the database."""
        env.wait_until(lambda: self.ask(n, "/readyz") == 200, 20, f"API process {n} to be ready")

    def ask(self, n, uri):
        """The status that API process n answers to a GET on its own socket; None if it doesn't."""
        try:
            answer = fcgi.ask(self.socket(n), fcgi.whole("GET", uri, client=""))
        except OSError:
            return None
        return answer and answer[0]

    def stop(self):
        """Ends everything as a service manager would; says what didn't end as it should."""
        complaints = []
        with contextlib.ExitStack() as last:
            last.callback(shutil.rmtree, self.folder, ignore_errors=True)
            last.callback(self.close)
            last.callback(self.nginx.stop)
            if self._prism is not None:
                last.callback(self._prism.stop)
            for daemon in self.daemons:
                if not daemon.alive():
                    continue
                try:
                    code = daemon.stop(signal.SIGTERM, timeout=40)
                    if code != 0:
                        complaints.append(f"{daemon.name} ended with {code}")
                except AssertionError as error:
                    complaints.append(str(error))
            complaints += self.sanitizer_reports()
            self._logs = self.logs()
        return complaints

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def sanitizer_reports(self):
        return [f"{d.name}: {r}" for d in self.daemons for r in [d.sanitizer_reports()] if r]

    def logs(self):
        """The texts of all logs, also after the end."""
        if self._logs is not None:
            return self._logs
        found = {d.name: d.log for d in self.daemons}
        found.update(self.nginx.logs())
        found["postgres"] = self.cluster.server.log
        return {name: path.read_text(errors="replace") for name, path in found.items() if path.exists()}

    # ---- using it ----

    @property
    def base(self):
        return f"http://127.0.0.1:{self.nginx.port}"

    @property
    def port(self):
        return self.nginx.port

    def api(self, client=None, key=None):
        """A client of /v1: paths are relative to it, except /healthz, /readyz and /metrics."""
        return _V1(self, client, key)

    def through_prism(self):
        """The proxy that compares with openapi.json, started when it is needed first."""
        if self._prism is None:
            self._prism = Prism(self.base, self.folder)
        return self._prism

    def query(self, statement, args=()):
        """Rows, on a superuser's connection that is opened again when it was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = self.cluster.connect(self.database)
        with self._connection.cursor() as cur:
            cur.execute(statement, args)
            return cur.fetchall() if cur.description else []

    def sql(self, statement, args=()):
        return self.query(statement, args)

    def value(self, statement, args=()):
        return self.query(statement, args)[0][0]

    def add_key(self, client, key):
        self.sql("INSERT INTO longhaul.client (name) VALUES (%s) ON CONFLICT DO NOTHING", [client])
        self.sql("INSERT INTO longhaul.api_key (sha256, client) VALUES (%s, %s)",
                 [hashlib.sha256(key.encode()).digest(), client])


class _V1(Api):
    def __init__(self, stack, client=None, key=None):
        super().__init__(stack.base, client, key)
        self.stack = stack

    def request(self, method, path, headers=None, **kw):
        if env.VIA != "proxy":
            return super().request(method, path, headers, **kw)
        return self.stack.through_prism().request(super().request, method, self.url(path), headers or {}, **kw)

    def url(self, path):
        if path.startswith("http"):
            return path
        return self.base + (path if path in ("/healthz", "/readyz", "/metrics") else "/v1" + path)
