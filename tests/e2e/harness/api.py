"""The client's side: requests to the stack's nginx, and what a client does with the answers."""

import time
import uuid

import requests

from . import env

PROBLEM = "urn:longhaul:problem:"


class Api:
    """Requests of one client. `client` is who nginx says it is; `key` is an API key instead."""

    def __init__(self, base, client=None, key=None):
        self.base = base
        self.session = requests.Session()
        self.session.headers.update({"User-Agent": "e2e", "Accept-Encoding": "identity"})
        if client is not None:
            self.session.headers["X-Test-Client"] = client
        if key is not None:
            self.session.headers["Authorization"] = f"Bearer {key}"

    def url(self, path):
        return path if path.startswith("http") else self.base + path

    def request(self, method, path, headers=None, **kw):
        kw.setdefault("timeout", 90)
        kw.setdefault("allow_redirects", False)
        return self.session.request(method, self.url(path), headers=headers or {}, **kw)

    def get(self, path, headers=None, **kw):
        return self.request("GET", path, headers, **kw)

    def head(self, path, headers=None, **kw):
        return self.request("HEAD", path, headers, **kw)

    def delete(self, path, headers=None, **kw):
        return self.request("DELETE", path, headers, **kw)

    def post(self, path, data=b"", media="application/json", headers=None, **kw):
        headers = dict(headers or {})
        if media is not None:
            headers.setdefault("Content-Type", media)
        return self.request("POST", path, headers, data=data, **kw)

    def submit(self, path, data=b"{}", media="application/json", **headers):
        """A job, asynchronously: the 202. Header names are written with underscores."""
        headers = {n.replace("_", "-"): v for n, v in headers.items()}
        headers.setdefault("Prefer", "respond-async")
        reply = self.post(path, data, media, headers)
        assert reply.status_code == 202, f"{reply.status_code} {reply.text}"
        return reply

    def document(self, url):
        reply = self.get(url)
        assert reply.status_code == 200, f"{reply.status_code} {reply.text}"
        return reply.json()

    def until(self, url, *states, timeout=20):
        """The job document once the job is in one of the states, by long polls as a client would."""
        end = time.monotonic() + timeout * env.PATIENCE
        headers = {}
        doc = None
        while time.monotonic() < end:
            reply = self.get(url, headers={**headers, "Prefer": "wait=2"})
            if reply.status_code == 200:
                doc = reply.json()
                if doc["status"] in states:
                    return doc
                assert doc["status"] in ("Queued", "InProgress"), doc
                headers = {"If-None-Match": reply.headers["ETag"]}
            else:
                assert reply.status_code == 304, f"{reply.status_code} {reply.text}"
        raise AssertionError(f"no {states} within {timeout * env.PATIENCE:g} s: {doc}")

    def ended(self, url, timeout=20):
        return self.until(url, "Completed", "Failed", "Canceled", timeout=timeout)

    def completed(self, url, timeout=20):
        doc = self.ended(url, timeout)
        assert doc["status"] == "Completed", doc
        return doc

    def result(self, url, timeout=20):
        """The result's answer of a job that completes."""
        doc = self.completed(url, timeout)
        reply = self.get(doc["_links"]["results"]["href"])
        assert reply.status_code == 200, f"{reply.status_code} {reply.text}"
        return reply


def assert_problem(reply, status, kind=None):
    """That an answer is a well-formed problem document of this status (and type)."""
    body = reply.json()
    code = getattr(reply, "status_code", None) or reply.status
    media = reply.headers["Content-Type"] if hasattr(reply, "status_code") else reply.header("content-type")
    assert code == status, f"{code}, not {status}: {body}"
    assert media == "application/problem+json", media
    assert set(body) >= {"type", "title", "status", "detail", "instance"}, body
    assert body["status"] == status
    assert body["type"].startswith(PROBLEM), body
    # The request; or the job, where the answer is about that.
    assert body["instance"].startswith(("urn:request:", "http")), body
    if kind is not None:
        assert body["type"] == PROBLEM + kind, body
    text = str(body)
    for secret in ("SELECT", "longhaul.", "pg_", "/run/", "/tmp/", "libpq", ".c:"):
        assert secret not in text, text
    return body


def job_id(reply):
    return str(uuid.UUID(reply.headers["Location"].rsplit("/", 1)[1]))
