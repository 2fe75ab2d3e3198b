"""What a daemon's service manager does: hears its notifications, hands it a socket, gives it a journal."""

import socket

from . import env


class Manager:
    """For daemons of a stack that haven't been started. `folder` must exist."""

    def __init__(self, folder):
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)
        self.heard = []
        self.listening = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        for each in self.listening:
            each.close()

    def manage(self, daemon, watchdog_ms=300):
        daemon.environ.update(NOTIFY_SOCKET=str(self.path), WATCHDOG_USEC=str(watchdog_ms * 1000))

    def give_sockets(self, daemon, *paths):
        """Binds them, and has the daemon started with them."""
        for path in paths:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(path))
            path.chmod(0o666)
            listener.listen(64)
            self.listening.append(listener)
        give(daemon, *(each.fileno() for each in self.listening))

    def give_journal(self, daemon):
        """Its log is the journal from now on."""
        daemon.log.touch()
        stat = daemon.log.stat()
        daemon.environ["JOURNAL_STREAM"] = f"{stat.st_dev}:{stat.st_ino}"

    def messages(self):
        """All so far, each as a dictionary."""
        while True:
            try:
                text = self.socket.recv(4096).decode()
            except BlockingIOError:
                return self.heard
            self.heard.append(dict(line.split("=", 1) for line in text.splitlines()))

    def count(self, key, value=None):
        return sum(key in m and value in (None, m[key]) for m in self.messages())

    def wait(self, key, value=None, more_than=0, timeout=20):
        env.wait_until(lambda: self.count(key, value) > more_than, timeout, f"the daemon to say {key}={value or ''}")


def give(daemon, *descriptors):
    """Starts of the daemon pass these on from 3; LISTEN_PID is the pid that the daemon will have."""
    moves = "".join(f"exec {3 + n}<&{fd}; " for n, fd in enumerate(descriptors))
    daemon.argv = ["bash", "-c", f'{moves}LISTEN_PID=$$ LISTEN_FDS={len(descriptors)} exec "$@"', "manager", *daemon.argv]
    daemon.pass_fds = descriptors
