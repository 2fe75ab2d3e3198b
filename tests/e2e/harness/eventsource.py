"""Many event streams at once: asyncio clients that do what a browser's EventSource does."""

import asyncio
import collections
import json

Event = collections.namedtuple("Event", "connection id name data")
Answer = collections.namedtuple("Answer", "status last_event_id")
LINE_MAX = 1 << 20


class EventSource:
    """Connects, takes events, connects again after `retry` with Last-Event-ID whenever the stream ends or
    breaks; 204 ends it for good, and so does any other answer than 200, which is an error: `failed`."""

    def __init__(self, port, path, headers=(), retry=3.0):
        self.port, self.path, self.headers, self.retry = port, path, headers, retry
        self.last_event_id = ""
        self.answers = []   # one a connection that was answered
        self.refused = 0    # connections that failed without an answer
        self.events = []
        self.failed = None  # status and head of the answer that ended it
        self.opened = asyncio.Event()  # set while a stream is open
        self.closed = False            # ended for good by 204
        self.comments = 0

    async def run(self):
        while not self.closed and self.failed is None:
            try:
                await self._connection()
            except (ConnectionError, OSError, asyncio.IncompleteReadError):
                pass
            self.opened.clear()
            if not self.closed and self.failed is None:
                await asyncio.sleep(self.retry)
        return self

    async def _connection(self):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=LINE_MAX)
        except OSError:
            self.refused += 1
            raise
        try:
            await self._request(reader, writer)
        finally:
            writer.close()

    async def _request(self, reader, writer):
        sent = self.last_event_id
        lines = [f"GET {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Accept: text/event-stream",
                 "Cache-Control: no-store", *(f"{n}: {v}" for n, v in self.headers)]
        if sent:
            lines.append(f"Last-Event-ID: {sent}")
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").lower()
        status = int(head.split()[1])
        self.answers.append(Answer(status, sent))
        if status == 204:
            self.closed = True
        elif status != 200 or "\r\ncontent-type: text/event-stream" not in head:
            self.failed = (status, head)
        else:
            self.opened.set()
            await self._stream(reader, "\r\ntransfer-encoding: chunked\r\n" in head)

    async def _stream(self, reader, chunked):
        """Events up to the end of the stream. An event that isn't complete at its end doesn't count."""
        rest = b""
        fields = {}
        while True:
            if chunked:
                size = int(await reader.readline() or b"0", 16)
                data = (await reader.readexactly(size + 2))[:-2]
            else:
                data = await reader.read(1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._line(line.rstrip(b"\r").decode(), fields)

    def _line(self, line, fields):
        if not line:
            if "id" in fields:
                self.last_event_id = fields["id"]
            if "data" in fields:
                self.events.append(Event(len(self.answers), self.last_event_id, fields.get("event", "message"), fields["data"]))
            fields.clear()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "":
            self.comments += 1
        elif name == "retry" and value.isdigit():
            self.retry = int(value) / 1000
        elif name == "data" and "data" in fields:
            fields["data"] += "\n" + value
        else:
            fields[name] = value

    # ---- what it saw ----

    def documents(self):
        return [json.loads(e.data) for e in self.events]

    def versions(self):
        return [int(e.id, 16) for e in self.events]
