"""The handler http: a service of somebody else's does the work."""

import http.server
import json
import os
import socketserver
import ssl
import subprocess
import threading

import pytest

from harness import env
from harness.env import wait_until
from harness.stack import Stack, ini


class Service(http.server.BaseHTTPRequestHandler):
    """Does what the body says; what it was asked is in server.seen."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status=200, headers=(), body=b"", length=True):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        server = self.server
        body = self.read_body()
        server.seen.append({"method": self.command, "path": self.path, "headers": self.headers, "size": len(body)})
        if self.path == "/echo":
            return self.answer(headers={"Content-Type": self.headers.get("Content-Type", "none/none")}, body=body)
        do = json.loads(body or b"{}")
        if "first" in do and sum(s["headers"]["X-Longhaul-Job"] == self.headers["X-Longhaul-Job"] for s in server.seen) == 1:
            do = do["first"]
        if do.get("hang"):
            server.hanging.append(self.connection)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            while self.connection.recv(1):  # until the client has gone
                pass
            server.hanging.remove(self.connection)
            self.close_connection = True
            return None
        if do.get("silent"):
            self.close_connection = True
            return None
        if "short" in do:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"x" * do["short"])
            self.close_connection = True
            return None
        return self.answer(do.get("status", 200), do.get("headers", {}), do.get("body", "").encode() * do.get("repeat", 1))

    do_POST = do_PUT = do_GET = serve


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self, tls=None, address=("127.0.0.1", 0), family=None):
        self.seen, self.hanging = [], []
        if family:
            self.address_family = family
        super().__init__(address, Service)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # without a look-up of our name
        self.server_name, self.server_port = "test", 0

    def handle_error(self, request, client_address):
        pass

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def of(self, url):
        return [s for s in self.seen if s["headers"]["X-Longhaul-Job"] == url.rsplit("/", 1)[1]]


def _type(path, **settings):
    return ({"submit_path": "/http/" + path, "collection": "http-" + path + "s", "media_types": ["*/*"], "wait_ms": 0,
             "max_attempts": 3, "backoff_ms": 50, "poll_min_ms": 100, "max_input_bytes": 1 << 30},
            {"handler": "http", "slots": 3, "grace_ms": 500, **settings})


@pytest.fixture(scope="module")
def service():
    it = Server()
    yield it
    it.shutdown()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "cert"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    it = Server(context)
    it.ca_file = folder / "cert"
    yield it
    it.shutdown()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    path = tmp_path_factory.mktemp("unix") / "s"
    it = Server(address=str(path), family=__import__("socket").AF_UNIX)
    it.path = path
    yield it
    it.shutdown()


@pytest.fixture(scope="module")
def stack(cluster, service, tls, local):
    base = f"http://127.0.0.1:{service.port}"
    types = {
        "http.act": _type("act", url=base + "/act", headers="'Authorization: Bearer s3cret' X-Longhaul-Client:"),
        "http.echo": _type("echo", url=base + "/echo", method="PUT"),
        "http.post": _type("post", url=base + "/echo"),
        "http.follow": _type("follow", url=base + "/act", redirects=1),
        "http.time": _type("time", url=base + "/act", timeout_ms=400),
        "http.tls": _type("tls", url=f"https://127.0.0.1:{tls.port}/echo", ca_file=tls.ca_file),
        "http.distrust": _type("distrust", url=f"https://127.0.0.1:{tls.port}/echo"),
        "http.unix": _type("unix", url="http://anything/echo", unix_socket=local.path),
        "http.away": _type("away", url="http://127.0.0.1:1/"),
    }
    rows = {name: {"max_attempts": 1} for name in ("http.time", "http.distrust", "http.away")}
    it = Stack(cluster, apis=1, types=(), more_types=types, type_rows=rows, worker={"progress_ms": 20})
    try:
        it.start()
        yield it
    finally:
        assert it.stop() == []


def act(api, path="/http/act", **what):
    return api.submit(path, json.dumps(what)).headers["Location"]


def test_the_request(service, api):
    reply = api.submit("/http/act", b'{"body": "done", "headers": {"Content-Type": "text/x-done"}}',
                       traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    url = reply.headers["Location"]
    result = api.result(url)
    assert (result.text, result.headers["Content-Type"]) == ("done", "text/x-done")
    (seen,) = service.of(url)
    headers = seen["headers"]
    this = url.rsplit("/", 1)[1]
    assert seen["method"] == "POST" and seen["path"] == "/act"
    assert headers["Idempotency-Key"] == f'"{this}"'
    assert headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert headers["Content-Type"] == "application/json" and headers["X-Longhaul-Attempt"] == "1"
    assert headers["Authorization"] == "Bearer s3cret" and headers["X-Longhaul-Type"] == "http.act"
    assert "X-Longhaul-Client" not in headers and headers["User-Agent"].startswith("longhaul/")


@pytest.mark.parametrize("path", ["echo", "post", "unix", "tls"])
@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_000])
def test_input_and_answer_pass_whole(api, path, size):
    data = os.urandom(size)
    reply = api.result(api.submit("/http/" + path, data, "image/x-test").headers["Location"])
    assert reply.content == data
    if size:
        assert reply.headers["Content-Type"] == "image/x-test"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_statuses_to_try_again(service, api, status):
    url = act(api, first={"status": status}, body="ok")
    assert api.result(url).text == "ok"
    first, second = service.of(url)
    assert (first["headers"]["X-Longhaul-Attempt"], second["headers"]["X-Longhaul-Attempt"]) == ("1", "2")
    assert first["headers"]["Idempotency-Key"] == second["headers"]["Idempotency-Key"]


def test_retry_after_is_honoured(stack, api):
    url = act(api, first={"status": 429, "headers": {"Retry-After": "600"}})
    wait_until(lambda: stack.value("SELECT count(*) FROM longhaul.delayed WHERE job_id = %s AND run_at BETWEEN now() + "
                                   "interval '500 s' AND now() + interval '600 s'", [url.rsplit("/", 1)[1]]), 10, "the job to be put off")
    assert api.post(url + "/cancel").status_code == 200


@pytest.mark.parametrize("how", [{"silent": True}, {"short": 10}, {"short": 500000}])
def test_answers_that_break_off(service, api, how):
    url = act(api, first=how, body="whole")
    assert api.result(url).text == "whole"
    assert len(service.of(url)) == 2


@pytest.mark.parametrize("status", [400, 404, 501])
def test_problems_are_passed_on(api, status):
    problem = {"type": "https://api.example/out-of-stock", "title": "Out of stock", "detail": "None left.",
               "errors": [{"line": 3}], "status": status}
    doc = api.ended(act(api, status=status, headers={"Content-Type": "application/problem+json"}, body=json.dumps(problem)))
    assert (doc["status"], doc["attempt"]) == ("Failed", 1)
    assert {k: doc["error"][k] for k in problem} == problem


@pytest.mark.parametrize("status,shown", [(400, 400), (401, 502), (404, 502), (413, 413), (422, 422), (501, 502), (302, 502)])
def test_other_refusals_tell_nothing(api, status, shown):
    doc = api.ended(act(api, status=status, headers={"Content-Type": "text/html", "Location": "http://internal.example/"},
                        body="Traceback: secret in internal.example\n", repeat=5000))
    assert (doc["status"], doc["attempt"], doc["error"]["status"]) == ("Failed", 1, shown)
    assert doc["error"]["type"].endswith(":upstream-refused")
    text = json.dumps(doc["error"])
    assert "secret" not in text and "internal" not in text and "127.0.0.1" not in text


def test_redirects_only_if_configured(service, api):
    away = {"status": 307, "headers": {"Location": "/echo"}}
    url = act(api, **away)
    assert api.ended(url)["status"] == "Failed" and len(service.of(url)) == 1
    url = act(api, path="/http/follow", **away)
    assert api.result(url).json() == away, "the input was sent once more"
    assert [s["path"] for s in service.of(url)] == ["/act", "/echo"]
    url = act(api, path="/http/follow", status=307, headers={"Location": "/act"})
    assert api.ended(url)["error"]["status"] == 502
    assert len(service.of(url)) == 2, "one redirect, not more"


def test_progress_and_cancel(service, api):
    url = act(api, hang=True)
    doc = wait_until(lambda: (d := api.document(url)).get("percentComplete") == 50 and d, 10, "half of the answer")
    assert doc["progress"]["done"] == 4 and doc["progress"]["total"] == 8
    assert len(service.hanging) == 1
    assert api.post(url + "/cancel").status_code == 202
    api.until(url, "Canceled")
    wait_until(lambda: not service.hanging, 10, "the transfer to be broken off")
    assert api.result(act(api, body="next")).text == "next"


def test_timeout(service, api):
    doc = api.ended(act(api, path="/http/time", hang=True))
    assert doc["status"] == "Failed" and doc["error"]["type"].endswith(":timeout")
    wait_until(lambda: not service.hanging, 10, "the transfer to be broken off")


@pytest.mark.parametrize("path", ["away", "distrust"])
def test_services_that_cannot_be_reached_or_trusted(api, path):
    doc = api.ended(api.submit("/http/" + path).headers["Location"])
    assert doc["status"] == "Failed" and doc["error"]["status"] == 503
    assert "127.0.0.1" not in json.dumps(doc["error"])


@pytest.mark.parametrize("settings,why", [
    ({"url": "ftp://x/"}, "url: must begin with http"), ({}, "url: is missing"),
    ({"url": "http://x/", "success": "2xx"}, "success: must be statuses"),
    ({"url": "http://x/", "headers": "'a b'"}, "headers: not 'Name: value'"),
    ({"url": "http://x/", "ca_file": "/nowhere"}, "ca_file: "), ({"url": "http://x/", "command": "/bin/true"}, 'no key "command"')])
def test_wrong_settings_are_refused_at_start(tmp_path, settings, why):
    config = tmp_path / "worker.conf"
    config.write_text(ini({"worker": {"runner": env.BIN / "longhaul-runner"}, "type x": {"handler": "http", **settings}}))
    done = subprocess.run([env.BIN / "longhaul-worker", "-t", "-c", config], capture_output=True, text=True)
    assert done.returncode == 2
    # Each is complained about in its own line; what is missing, in that of the section.
    line = 4 if not settings else 5 + len(settings)
    assert f"{config}:{line}: " in done.stderr and why in done.stderr, done.stderr
