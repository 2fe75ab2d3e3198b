"""A child process with its log. It is ended by its own pid, never by a name."""

import os
import re
import signal
import subprocess

from . import env

SANITIZER = re.compile(
    r"ERROR: (Address|Leak|UndefinedBehavior)Sanitizer|runtime error:|SUMMARY: \w+Sanitizer"
)


class Daemon:
    def __init__(self, name, argv, log, environ=None, cwd=None, as_user=None):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.log = log
        self.environ = {**os.environ, **(environ or {})}
        self.cwd = cwd
        self.as_user = as_user or {}
        self.pass_fds = ()
        self.child = None

    def start(self):
        assert not self.alive(), f"{self.name} runs already"
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.environ,
                cwd=self.cwd, start_new_session=True, pass_fds=self.pass_fds, **self.as_user)
        return self

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def send(self, number):
        self.child.send_signal(number)

    def kill(self):
        """As a crash: no warning, no clean-up."""
        self.send(signal.SIGKILL)
        self.child.wait(30)

    def stop(self, number=signal.SIGTERM, timeout=20):
        """Asks it to end; returns its exit code. Kills and complains if it doesn't end in time."""
        if self.child is None:
            return None
        if self.alive():
            self.send(number)
        try:
            return self.child.wait(timeout * env.PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {timeout} s of signal {number}")

    def children(self):
        """The pids of its child processes."""
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
                return [int(p) for p in f.read().split()]
        except FileNotFoundError:
            return []

    def runners(self):
        """The pids of a worker's runners."""
        found = []
        for pid in self.children():
            try:
                with open(f"/proc/{pid}/comm") as f:
                    if f.read().strip() == "longhaul-runner":
                        found.append(pid)
            except OSError:
                continue  # it has ended meanwhile
        return found

    def memory_peak(self):
        """Peak resident memory in bytes."""
        return self._status("VmHWM")

    def memory(self):
        return self._status("VmRSS")

    def _status(self, key):
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
        raise KeyError(key)

    def text(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def sanitizer_reports(self):
        """What the sanitizers found, from the first report on."""
        text = self.text()
        found = SANITIZER.search(text)
        return text[max(0, text.rfind("\n", 0, found.start())):][:6000] if found else ""
