"""Many requests at once, on kept connections: a small HTTP client on asyncio."""

import asyncio
import json
import time


class Answer:
    __slots__ = ("status", "headers", "body", "seconds")

    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    def json(self):
        return json.loads(self.body)


class Connection:
    """One connection; opened when needed, opened again after it was closed. `tls` is an SSLContext, `host` the name
    of the server then."""

    def __init__(self, port, tls=None, host=None):
        self.port, self.tls, self.host = port, tls, host
        self.reader = self.writer = None
        self.fresh = True  # nothing was asked on it before

    async def request(self, method, path, headers=(), body=b""):
        """The answer; raises ConnectionError if none came."""
        begun = time.monotonic()
        await self.open()
        head = [f"{method} {path} HTTP/1.1", f"Host: {self.host or f'127.0.0.1:{self.port}'}"]
        head += [f"{n}: {v}" for n, v in headers]
        if body or method == "POST":
            head.append(f"Content-Length: {len(body)}")
        try:
            self.writer.write("\r\n".join(head).encode("latin1") + b"\r\n\r\n" + body)
            status, answer_headers, answer_body = await self._read(method)
            self.fresh = False
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            await self.close()
            raise ConnectionError(str(error)) from error
        if answer_headers.get("connection") == "close":
            await self.close()
        return Answer(status, answer_headers, answer_body, time.monotonic() - begun)

    async def open(self):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls,
                                                                     server_hostname=self.host if self.tls else None)
            self.fresh = True

    async def _read(self, method):
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin1").split("\r\n")
        headers = {}
        for line in lines:
            if line:
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
        status = int(first.split()[1])
        body = b""
        if method != "HEAD" and status not in (204, 304):
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding") == "chunked":
                while True:
                    size = int(await self.reader.readline(), 16)
                    body += (await self.reader.readexactly(size + 2))[:-2]
                    if size == 0:
                        break
        return status, headers, body

    async def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


def path_of(url):
    """The path of an absolute URL."""
    return "/" + url.split("/", 3)[3]


def run(work, jobs, port, width):
    """Calls `await work(connection, job)` for each of the jobs, `width` at a time, each of them on a
    connection of its own; returns the results in the order of jobs."""

    async def everything():
        results = [None] * len(jobs)
        todo = iter(enumerate(jobs))

        async def lane():
            connection = Connection(port)
            for i, job in todo:
                results[i] = await work(connection, job)
            await connection.close()

        await asyncio.gather(*(lane() for _ in range(min(width, len(jobs)))))
        return results

    return asyncio.run(everything())
