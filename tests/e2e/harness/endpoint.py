"""A webhook endpoint that takes thousands of deliveries: an HTTP server on asyncio in a thread."""

import asyncio
import collections
import threading
import time

from . import env

Delivery = collections.namedtuple("Delivery", "id headers body path at status")


class _Connection(asyncio.Protocol):
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.buffer = b""
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self.endpoint.connections.add(self)

    def connection_lost(self, error):
        self.endpoint.connections.discard(self)

    def data_received(self, data):
        self.buffer += data
        while True:
            head, mark, rest = self.buffer.partition(b"\r\n\r\n")
            if not mark:
                return
            first, *lines = head.decode("latin1").split("\r\n")
            headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", 0))
            if headers.get("expect") == "100-continue" and len(rest) < length:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                del headers["expect"]
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.answer(first.split()[1], headers, rest[:length])

    def answer(self, path, headers, body):
        delivery = Delivery(headers.get("webhook-id"), headers, body, path, time.monotonic(), None)
        status, extra = self.endpoint.respond(delivery)
        self.endpoint.deliveries.append(delivery._replace(status=status))
        lines = [f"HTTP/1.1 {status} Whatever", "Content-Length: 0", *(f"{n}: {v}" for n, v in extra)]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n")


class Endpoint:
    """What came is in `deliveries`, in order, with the status that was answered. `respond(delivery)` says what
    to answer: status and headers. down() refuses connections and drops the open ones, up() undoes it."""

    def __init__(self, respond=lambda delivery: (204, ())):
        self.respond = respond
        self.deliveries = []
        self.connections = set()
        self.server = None
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def up(self):
        async def listen():
            self.server = await self.loop.create_server(
                lambda: _Connection(self), "127.0.0.1", self.port, backlog=1024, reuse_address=True)
            self.port = self.server.sockets[0].getsockname()[1]
        self._do(listen())

    def down(self):
        async def close():
            if self.server:
                self.server.close()
                self.server = None
            for connection in list(self.connections):
                connection.transport.abort()
        self._do(close())

    def url(self, path="/hook"):
        return f"http://127.0.0.1:{self.port}{path}"

    def wait(self, count, timeout=20):
        """The deliveries, once there are so many."""
        env.wait_until(lambda: len(self.deliveries) >= count, timeout, f"{count} deliveries")
        return self.deliveries
