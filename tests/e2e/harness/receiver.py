"""A webhook endpoint that answers as it is told: rightly, wrongly, slowly or never. A thread per connection."""

import collections
import itertools
import socket
import ssl
import threading
import time

from . import env

Request = collections.namedtuple("Request", "line headers body at")


# ---- what it can answer: functions of the connection, the request and the receiver ----

def answer(status=204, body=b"", **headers):
    """A whole answer. Names of headers are written with underscores."""
    def give(connection, request, receiver):
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close",
                 *(f"{n.replace('_', '-')}: {v}" for n, v in headers.items())]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return give


def raw(data):
    """These bytes, whatever they are; then it hangs up."""
    def give(connection, request, receiver):
        connection.sendall(data)
    return give


def never(connection, request, receiver):
    """Takes the request and says nothing, until the other side or the test gives up."""
    receiver.hold(connection)


def endless(start, piece, every=0.0):
    """`start`, then `piece` again and again until nobody takes it; counts the bytes in receiver.sent."""
    def give(connection, request, receiver):
        connection.sendall(start)
        while not receiver.ending.wait(every):
            connection.sendall(piece)
            receiver.sent += len(piece)
    return give


def at(date):
    """Unix seconds as an HTTP date."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(date))


class Receiver:
    """Answers the n-th request by the n-th of `answers`, all further ones by the last. What came is in `requests`;
    `connected` counts connections, also those that sent nothing. With reads=False it answers whatever comes."""

    def __init__(self, *answers, host="127.0.0.2", port=0, tls=None, reads=True):
        answers = answers or (answer(),)
        self.answers = itertools.chain(answers, itertools.repeat(answers[-1]))
        self.host = host
        self.tls = tls
        self.reads = reads
        self.requests = []
        self.connected = 0
        self.sent = 0
        self.ending = threading.Event()
        self.lock = threading.Lock()
        self.open = set()
        self.listener = socket.create_server((host, port), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        with self.lock:
            left = list(self.open)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def url(self, path="/hook", host=None):
        return f"{'https' if self.tls else 'http'}://{host or self.host}:{self.port}{path}"

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connected += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with self.lock:
            self.open.add(connection)
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            request = self._read(connection) if self.reads else Request("", {}, b"", time.time())
            if request:
                with self.lock:
                    self.requests.append(request)
                    give = next(self.answers)
                give(connection, request, self)
        except (OSError, ssl.SSLError):
            pass
        finally:
            with self.lock:
                self.open = {c for c in self.open if c.fileno() not in (-1, connection.fileno())}
            connection.close()

    @staticmethod
    def _read(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin1").split("\r\n")
        headers = [(n.strip().lower(), v.strip()) for n, _, v in (x.partition(":") for x in lines)]
        assert len(headers) == len(dict(headers)), f"a header came twice: {headers}"
        while len(body) < int(dict(headers).get("content-length", 0)):
            more = connection.recv(65536)
            if not more:
                return None
            body += more
        return Request(line, dict(headers), body, time.time())

    def hold(self, connection):
        """Until the other side hangs up."""
        connection.recv(1)

    def holding(self):
        """Connections that are open."""
        with self.lock:
            return len(self.open)

    def wait(self, count=1, timeout=20):
        """The requests, once there are so many."""
        env.wait_until(lambda: len(self.requests) >= count, timeout, f"{count} requests, not {len(self.requests)}")
        return self.requests
