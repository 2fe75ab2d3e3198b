"""FastCGI by hand: records to an API process as nginx would never send them."""

import socket
import struct

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, GET_VALUES_RESULT, UNKNOWN = range(1, 12)
KEEP_CONN = 1


def record(kind, content=b"", request=1, padding=0, version=1):
    return struct.pack(">BBHHBB", version, kind, request, len(content), padding, 0) + content + b"\0" * padding


def begin(request=1, role=1, flags=KEEP_CONN):
    return record(BEGIN, struct.pack(">HB5x", role, flags), request)


def pair(name, value):
    name = name if isinstance(name, bytes) else name.encode()
    value = value if isinstance(value, bytes) else value.encode()

    def size(n):
        return struct.pack(">I", n | 0x80000000) if n > 127 else bytes([n])

    return size(len(name)) + size(len(value)) + name + value


def params(pairs, request=1):
    """PARAMS records with the end mark."""
    data = b"".join(pair(n, v) for n, v in pairs)
    out = b""
    while data:
        out += record(PARAMS, data[:65535], request)
        data = data[65535:]
    return out + record(PARAMS, b"", request)


def stdin(data, request=1, end=True):
    out = b""
    while data:
        out += record(STDIN, data[:32768], request)
        data = data[32768:]
    return out + (record(STDIN, b"", request) if end else b"")


def usual(method, uri, body=b"", client="tester", extra=(), request_id=None, msec=None):
    """The params that nginx sends, for one request."""
    pairs = [
        ("GATEWAY_INTERFACE", "CGI/1.1"), ("SERVER_PROTOCOL", "HTTP/1.1"), ("REQUEST_METHOD", method),
        ("REQUEST_SCHEME", "http"), ("REQUEST_URI", uri), ("QUERY_STRING", uri.partition("?")[2]),
        ("CONTENT_LENGTH", str(len(body)) if body else ""), ("REMOTE_ADDR", "127.0.0.1"),
        ("HTTP_HOST", "127.0.0.1"),
    ]
    if client is not None:
        pairs.append(("LONGHAUL_CLIENT", client))
    if request_id is not None:
        pairs.append(("LONGHAUL_REQUEST_ID", request_id))
    if msec is not None:
        pairs.append(("LONGHAUL_MSEC", msec))
    return pairs + list(extra)


def whole(method, uri, body=b"", flags=KEEP_CONN, **kw):
    """A complete request."""
    return begin(flags=flags) + params(usual(method, uri, body, **kw)) + stdin(body)


def connect(place, timeout=20):
    """To the path of a socket, or to a pair of host and port."""
    if isinstance(place, tuple):
        return socket.create_connection(place, timeout)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(str(place))
    return sock


def _exactly(sock, size):
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def read_record(sock):
    _, kind, request, length, padding, _ = struct.unpack(">BBHHBB", _exactly(sock, 8))
    content = _exactly(sock, length)
    _exactly(sock, padding)
    return kind, request, content


def read_answer(sock):
    """(status, headers as a dict in lower case, body) of one request; None if the peer hung up."""
    out = b""
    try:
        while True:
            kind, _, content = read_record(sock)
            if kind == STDOUT:
                out += content
            elif kind == END:
                break
    except (EOFError, ConnectionResetError):
        return None
    head, _, body = out.partition(b"\r\n\r\n")
    headers = {}
    for line in head.decode("latin1").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(headers["status"].split()[0]), headers, body


def ask(path, data, timeout=20):
    """Sends bytes on a new connection, returns the answer or None."""
    with connect(path, timeout) as sock:
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_answer(sock)
