"""Stoplight's Prism between the tests and nginx: a proxy that compares each request and each answer, its
status, headers and body, with openapi.json.

It tells of differences in a header, `sl-violations`. (With its option --errors it would answer by itself
what it takes for wrong, and the API's own refusals would never be seen.) A deviation is:

- an answer that isn't as described, an undescribed status or header included;
- a request that isn't as described, and wasn't refused.

What Prism can't pass on goes around it: HEAD, event streams, large or streamed bodies, bytes that aren't
text, and what says that it is JSON and isn't."""

import copy
import json
import re
import signal
import subprocess

import requests

from . import env, node
from .nginx import free_port
from .process import Daemon

LARGE = 1 << 20
# Said of all answers at once in the description, or the business of HTTP itself.
EVERYWHERE = {"x-content-type-options", "content-type", "content-length", "transfer-encoding", "connection", "keep-alive",
              "date", "server", "sl-violations"}
TEXT = ("application/json", "application/problem+json", "text/")


def described(base):
    """The document that the API serves."""
    reply = requests.get(base + "/openapi.json", timeout=30)
    assert reply.status_code == 200, reply.text
    return reply.json()


def closed(document):
    """The same with the members of answers that it names, and no others: to clients it says that more may come."""
    document = copy.deepcopy(document)

    def close(schema):
        if isinstance(schema, dict):
            if "properties" in schema and schema.get("type") == "object":
                schema.setdefault("additionalProperties", False)
            for value in schema.values():
                close(value)

    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        # Problems have members of their own.
        if name not in ("Problem", "JobError", "Operation"):
            close(schema)
    return document


class Prism:
    """`edit` changes the document, to see that what is otherwise is noticed."""

    def __init__(self, upstream, folder, edit=lambda document: None):
        self.upstream, self.folder, self.edit = upstream, folder, edit
        self.daemon = None
        self.start()

    def start(self):
        self.document = described(self.upstream)
        self.edit(self.document)
        self.paths = self._paths()
        self.base = f"http://127.0.0.1:{free_port()}"
        path = self.folder / "openapi.json"
        path.write_text(json.dumps(closed(self.document)))
        self.daemon = Daemon("prism", [
            node.program("prism"), "proxy", path, self.upstream, "--port", self.base.rsplit(":", 1)[1], "--cors=false",
            "--verboseLevel=error"], self.folder / "prism.log", cwd=self.folder)
        self.daemon.start()
        env.wait_until(self._answers, 60, "Prism to answer", every=0.05)

    def _answers(self):
        assert self.daemon.alive(), "Prism ended:\n" + self.daemon.text()[-2000:]
        try:
            return requests.get(self.base + "/healthz", timeout=30)
        except requests.ConnectionError:
            return None

    def stop(self):
        try:
            self.daemon.stop(signal.SIGTERM, timeout=10)
        except (AssertionError, subprocess.TimeoutExpired):
            pass  # it waits for connections that are kept alive; it is dead now

    def refresh(self):
        """Begins anew if the document has changed: there may be a type more."""
        before = copy.deepcopy(self.document)
        after = described(self.upstream)
        self.edit(after)
        if after != before:
            self.stop()
            self.start()

    # ---- which operation of the document an answer belongs to ----

    def _paths(self):
        """(pattern, path item), those with the fewest parameters first."""
        found = []
        for path, item in self.document["paths"].items():
            pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", path))
            found.append((path.count("{"), re.compile(pattern + "$"), item))
        return [(pattern, item) for _, pattern, item in sorted(found, key=lambda f: f[0])]

    def operation(self, method, path):
        item = next((item for pattern, item in self.paths if pattern.match(path)), {})
        return item.get(method.lower())

    def answer_of(self, method, path, status):
        """What the document says of it; None if it knows no such operation."""
        operation = self.operation(method, path)
        if operation is None:
            return None
        responses = operation["responses"]
        found = responses.get(str(status)) or responses.get(f"{str(status)[0]}XX")
        assert found, f"{method} {path}: status {status} isn't described"
        return self.resolved(found)

    def resolved(self, what):
        while "$ref" in what:
            target = self.document
            for part in what["$ref"][2:].split("/"):
                target = target[part]
            what = target
        return what

    # ---- a request ----

    def request(self, send, method, url, headers, **kw):
        if not url.startswith(self.upstream) or self._around(method, url, headers, kw):
            return send(method, url, headers, **kw)
        path = requests.utils.urlparse(url).path
        if self.operation(method, path) is None:
            self.refresh()
        reply = send(method, self.base + url[len(self.upstream):], headers, **kw)
        self.check(method, path, reply)
        reply.url = url
        if method == "GET" and path.endswith("/results") and not reply.headers.get("Content-Type", "").startswith(TEXT):
            return send(method, url, headers, **kw)
        return reply

    def _around(self, method, url, headers, kw):
        if method == "HEAD" or "stream" in kw or url.split("?")[0].endswith("/events"):
            return True
        if "event-stream" in str(headers.get("Accept", "")):
            return True
        data = kw.get("data") or b""
        if not isinstance(data, (bytes, str)) or len(data) > LARGE:
            return True
        try:
            text = data if isinstance(data, str) else data.decode()
            if text and "json" in headers.get("Content-Type", ""):
                json.loads(text)
            return False
        except (ValueError, RecursionError):
            return True

    def check(self, method, path, reply):
        """Raises an AssertionError for a deviation. (Of 405 the document only says that it is the answer to what it
        doesn't describe.)"""
        if reply.status_code == 405:
            return
        what = f"{method} {path} → {reply.status_code}"
        told = json.loads(reply.headers.get("sl-violations", "[]"))
        wrong = [v for v in told if v["location"][0] == "response" or reply.status_code < 400]
        assert not wrong, f"{what} deviates from openapi.json: {wrong}\n{reply.text[:2000]}"
        answer = self.answer_of(method, path, reply.status_code)
        if answer is None:
            assert reply.status_code == 404, f"{what}: openapi.json has no such operation"
            return
        known = {name.lower() for name in answer.get("headers", {})} | EVERYWHERE
        more = sorted(set(map(str.lower, reply.headers)) - known)
        assert not more, f"{what} has headers that openapi.json doesn't: {', '.join(more)}"
