"""Server-sent events: a client by hand, through nginx or to an API process directly, and what an event is."""

import json
import socket
import time

from . import env, fcgi, raw


class Event:
    def __init__(self):
        self.event = self.id = self.retry = None
        self.lines = []
        self.comments = 0

    @property
    def data(self):
        return "\n".join(self.lines)

    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"<Event {self.event} id={self.id} retry={self.retry} {self.data[:200]}>"


def parse(block):
    """One block of lines, which an empty one has ended."""
    found = Event()
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "":
            found.comments += 1
        elif name == "data":
            found.lines.append(value)
        elif name in ("event", "id"):
            setattr(found, name, value)
        elif name == "retry":
            found.retry = int(value)
        else:
            raise AssertionError(f"a field that isn't one: {line!r}")
    return found


class _Body:
    """What both ways have in common: text as it comes, cut into blocks."""

    def __init__(self):
        self.text = ""
        self.ended = False  # as it should, not cut off
        self.status = None
        self.headers = {}

    def _more(self):
        """Reads something; False at the end."""
        raise NotImplementedError

    def block(self, timeout=20):
        """The next event, retry or comment; None at the end."""
        end = time.monotonic() + timeout * env.PATIENCE
        while "\n\n" not in self.text:
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            try:
                if not self._more():
                    assert self.text == "", f"cut off in {self.text!r}"
                    return None
            except socket.timeout:
                raise AssertionError(f"nothing came within {timeout * env.PATIENCE:g} s") from None
        block, _, self.text = self.text.partition("\n\n")
        return parse(block)

    def next(self, timeout=20):
        """The next event that has data; None at the end."""
        while True:
            found = self.block(timeout)
            if found is None or found.lines:
                return found

    def rest(self, timeout=20):
        """All events with data up to the end."""
        out = []
        while (found := self.next(timeout)) is not None:
            out.append(found)
        return out

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Stream(_Body):
    """GET of an event stream through nginx."""

    def __init__(self, port, path, client=None, last=None, headers=(), method="GET"):
        super().__init__()
        lines = list(headers) + [("Accept", "text/event-stream")]
        if client is not None:
            lines.append(("X-Test-Client", client))
        if last is not None:
            lines.append(("Last-Event-ID", last))
        self.sock = raw.connect(port, 20 * env.PATIENCE)
        self.sock.sendall(raw.request(method, path, lines, host=f"127.0.0.1:{port}"))
        self.raw = b""
        while b"\r\n\r\n" not in self.raw:
            piece = self.sock.recv(65536)
            assert piece, f"no answer: {self.raw!r}"
            self.raw += piece
        head, _, self.raw = self.raw.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in rest)}
        self.chunked = self.headers.get("transfer-encoding") == "chunked"
        self.left = int(self.headers.get("content-length", -1))
        self._take()

    def _take(self):
        """Moves what is complete from the raw bytes to the text."""
        if not self.chunked:
            self.text += self.raw.decode()
            self.left -= len(self.raw)
            self.ended = self.left == 0
            self.raw = b""
            return
        while b"\r\n" in self.raw:
            size, _, rest = self.raw.partition(b"\r\n")
            size = int(size, 16)
            if len(rest) < size + 2:
                return
            self.text += rest[:size].decode()
            self.raw = rest[size + 2:]
            if size == 0:
                self.ended = True

    def _more(self):
        if self.ended:
            return False
        try:
            piece = self.sock.recv(65536)
        except ConnectionResetError:
            return False
        if not piece:
            self.ended = not self.chunked
            return False
        self.raw += piece
        self._take()
        return True


class Direct(_Body):
    """The same of one API process, over FastCGI."""

    def __init__(self, path, uri, last=None, extra=(), method="GET", **kw):
        super().__init__()
        extra = list(extra) + [("HTTP_ACCEPT", "text/event-stream")]
        if last is not None:
            extra.append(("HTTP_LAST_EVENT_ID", last))
        self.sock = fcgi.connect(path, 20 * env.PATIENCE)
        self.sock.sendall(fcgi.whole(method, uri, extra=extra, **kw))
        self.raw = b""
        while "\r\n\r\n" not in self.text:
            assert self._more(), f"no answer: {self.text!r}"
        head, _, self.text = self.text.partition("\r\n\r\n")
        self.headers = {n.strip().lower(): v.strip() for n, _, v in
                        (line.partition(":") for line in head.split("\r\n"))}
        self.status = int(self.headers["status"].split()[0])

    def _more(self):
        if self.ended:
            return False
        try:
            piece = self.sock.recv(65536)
        except ConnectionResetError:
            return False
        if not piece:
            return False
        self.raw += piece
        while len(self.raw) >= 8:
            size = 8 + int.from_bytes(self.raw[4:6], "big") + self.raw[6]
            if len(self.raw) < size:
                break
            kind, content = self.raw[1], self.raw[8:8 + int.from_bytes(self.raw[4:6], "big")]
            self.raw = self.raw[size:]
            if kind == fcgi.STDOUT:
                self.text += content.decode()
            elif kind == fcgi.END:
                self.ended = True
        return True
