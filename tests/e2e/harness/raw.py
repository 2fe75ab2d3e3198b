"""HTTP by hand: bytes as a client library would refuse to send them, and answers as they came."""

import json
import socket


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # list of (name in lower case, value)
        self.body = body

    def header(self, name, otherwise=None):
        return next((v for n, v in self.headers if n == name.lower()), otherwise)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<Reply {self.status} {self.headers} {self.body[:400]!r}>"


def connect(port, timeout=30):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def read_reply(sock_file, head=False):
    """One answer from a file made of the socket; None if the connection was closed without one."""
    line = sock_file.readline()
    if not line:
        return None
    if not line.startswith(b"HTTP/"):
        return Reply(0, [], line + sock_file.read())  # as in HTTP/0.9
    status = int(line.split()[1])
    headers = []
    while True:
        line = sock_file.readline()
        if line in (b"\r\n", b""):
            break
        name, _, value = line.decode("latin1").rstrip("\r\n").partition(":")
        headers.append((name.lower(), value.strip()))
    reply = Reply(status, headers, b"")
    if head or status in (204, 304) or status < 200:
        return reply
    if reply.header("transfer-encoding") == "chunked":
        while True:
            size = int(sock_file.readline().split(b";")[0], 16)
            reply.body += sock_file.read(size)
            sock_file.readline()
            if size == 0:
                return reply
    length = reply.header("content-length")
    reply.body = sock_file.read() if length is None else sock_file.read(int(length))
    return reply


def exchange(port, data, half_close=False, timeout=30):
    """Sends bytes, returns the first answer or None."""
    with connect(port, timeout) as sock:
        try:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered before all was read
        try:
            return read_reply(sock.makefile("rb"), head=data.startswith(b"HEAD "))
        except ConnectionResetError:
            return None


def request(method, target, headers=(), body=b"", host="127.0.0.1", version="HTTP/1.1"):
    """The bytes of a request; a Content-Length is added if there is a body and none is given."""
    lines = [f"{method} {target} {version}".encode("latin1")]
    if host is not None:
        lines.append(b"Host: " + host.encode("latin1"))
    names = set()
    for name, value in headers:
        names.add(name.lower())
        value = value if isinstance(value, bytes) else value.encode("utf-8")
        lines.append(name.encode("latin1") + b": " + value)
    if body and "content-length" not in names and "transfer-encoding" not in names:
        lines.append(f"Content-Length: {len(body)}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
