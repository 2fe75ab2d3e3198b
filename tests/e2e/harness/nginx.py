"""The nginx under test: the shipped files, with only the places and the client filled in.

The client is what the request header X-Test-Client says, "tester" without it, and nobody when the
request has an Authorization header."""

import os
import resource
import shutil
import signal
import socket
import subprocess

from . import env
from .process import Daemon

CLIENT_LINE = "fastcgi_param LONGHAUL_CLIENT '';"
CLIENT_MAP = """
map $http_x_test_client $test_name { default $http_x_test_client; '' tester; }
map $http_authorization $test_client { default ''; '' $test_name; }
"""


def binary():
    """nginx lies in sbin, which isn't in everybody's PATH."""
    return shutil.which("nginx") or "/usr/sbin/nginx"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Nginx:
    """`edit` is a list of (file name, old text, new text) for tests of what an admin may change."""

    def __init__(self, folder, addresses, port=None, edit=()):
        self.folder = folder
        self.port = port or free_port()
        self.conf = folder / "nginx.conf"
        self.daemon = None
        for sub in ("longhaul", "log", "tmp"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        source = env.ROOT / "nginx"
        for path in source.glob("longhaul-*.conf"):
            shutil.copy(path, folder / "longhaul")
        self._edit("longhaul/longhaul-http.conf", [
            ("\tserver unix:/run/longhaul/api-1.sock max_fails=0;\n",
             "".join(f"\tserver {a} max_fails=0;\n" for a in addresses)),
            ("\tserver unix:/run/longhaul/api-2.sock max_fails=0;\n", ""),
        ])
        self._edit("longhaul/longhaul-locations.conf",
                   [(CLIENT_LINE, CLIENT_LINE.replace("''", "$test_client"))])
        self._edit("longhaul/longhaul-ui.conf", [("/usr/local/share/longhaul/ui/", f"{source}/ui/")])
        with open(folder / "longhaul" / "longhaul-http.conf", "a") as f:
            f.write(CLIENT_MAP)
        text = (source / "demo.conf.in").read_text()
        open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        for mark, value in {
            "DEMO": str(folder), "PORT": str(self.port), "NGINX_WORKERS": "1",
            "CONNECTIONS": str(min(16384, open_files)),
            "NGINX_USER": "user root root;" if os.geteuid() == 0 else "",
        }.items():
            text = text.replace(f"@{mark}@", value)
        self.conf.write_text(text)
        for name, old, new in edit:
            self._edit(name, [(old, new)])

    def _edit(self, name, changes):
        path = self.folder / name
        text = path.read_text()
        for old, new in changes:
            assert old in text, f"{name} has no {old!r}"
            text = text.replace(old, new)
        path.write_text(text)

    def check(self):
        """What `nginx -t` says."""
        done = subprocess.run([binary(), "-t", "-q", "-c", self.conf], capture_output=True, text=True)
        return done.returncode, done.stderr

    def start(self):
        self.daemon = Daemon("nginx", [binary(), "-c", self.conf, "-g", "daemon off;"],
                             self.folder / "log" / "nginx.log", cwd=self.folder)
        self.daemon.start()
        env.wait_until(self._answers, 10, "nginx to listen")
        return self

    def _answers(self):
        assert self.daemon.alive(), "nginx ended:\n" + self.daemon.text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self.daemon is not None:
            self.daemon.stop(signal.SIGTERM)

    def logs(self):
        return {f"nginx {p.name}": p for p in sorted((self.folder / "log").glob("*"))}
