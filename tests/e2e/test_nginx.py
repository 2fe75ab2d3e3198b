"""The nginx files: what nginx answers by itself, and what an admin is told to change."""

import re
import signal
import subprocess

import pytest

from harness import fcgi, raw
from harness.api import Api, assert_problem
from harness.env import ROOT, wait_until
from harness.nginx import CLIENT_LINE, CLIENT_MAP, binary, free_port


def test_configuration_has_no_warnings(stack, tmp_path):
    code, said = stack.nginx.check()
    assert (code, said) == (0, "")


def test_shipped_files_as_they_are(tmp_path):
    """Untouched, in somebody's nginx.conf."""
    (tmp_path / "longhaul").symlink_to(ROOT / "nginx")
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
                    "http { include longhaul/longhaul-http.conf; access_log off;\n"
                    f"server {{ listen 127.0.0.1:{free_port()}; include longhaul/longhaul-locations.conf; }} }}\n")
    done = subprocess.run([binary(), "-t", "-q", "-c", conf], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_settings_of_the_site_stay_out(make_stack, tmp_path):
    """What an nginx that already runs may have set for all its sites doesn't change the API's answers."""
    site = (f"fastcgi_cache_path {tmp_path}/cache keys_zone=site:1m; fastcgi_cache site; fastcgi_cache_key $request_uri;"
            "fastcgi_cache_valid 200 404 1m; fastcgi_ignore_headers Cache-Control X-Accel-Buffering; expires 1d; charset utf-8; charset_types *;"
            "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; fastcgi_intercept_errors on;"
            "fastcgi_param REMOTE_USER $remote_user; client_max_body_size 10; fastcgi_read_timeout 1;")
    stack = make_stack(nginx_edit=[("nginx.conf", "tcp_nodelay   on;", "tcp_nodelay on; " + site)])
    api = stack.api()
    url = api.submit("/test/cat", b"0123456789 and more", "text/plain").headers["Location"]
    api.completed(url)
    doc = api.get(url)
    assert (doc.headers["Cache-Control"], doc.headers.get("Expires")) == ("private, no-cache", None)
    assert api.get(url, headers={"If-None-Match": doc.headers["ETag"]}).status_code == 304
    part = api.get(url + "/results", headers={"Range": "bytes=2-4", "Accept-Encoding": "gzip"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["Content-Type"] == api.get(url + "/results").headers["Content-Type"] == "application/octet-stream"
    assert stack.api("another").get(url).status_code == 404
    slow = api.post("/test/act", b'{"sleep": 1.5}', headers={"Prefer": "wait=10"})
    assert slow.status_code == 200


def test_every_status_of_nginx_has_its_words():
    http = (ROOT / "nginx" / "longhaul-http.conf").read_text()
    errors = (ROOT / "nginx" / "longhaul-errors.conf").read_text()
    wanted = set()
    for line in re.findall(r"^error_page\s+(.*);", errors, re.M):
        replaced = re.search(r"=(\d+)", line)
        wanted |= {replaced.group(1)} if replaced else set(re.findall(r"\b\d{3}\b", line))
    worded = set(re.findall(r"^\t(\d{3}) '\"type\"", http, re.M))
    assert wanted <= worded, wanted - worded


@pytest.mark.parametrize("data,status", [
    (b"GARBAGE\r\n\r\n", 400), (b"GET /v1/x HTTP/1.1\r\n\r\n", 400),
    (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000 + b"\r\n\r\n", 431),
    (b"POST /v1/noop HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
    (b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n", 404), (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    (b"POST /v1/noop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: rot13\r\n\r\n", 501),
    (b"GET / HTTP/7.0\r\nHost: a\r\n\r\n", 505),
    (b"GET /longhaul-error HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    (b"GET /longhaul-come-back HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n", 404),
])
def test_errors_of_nginx_are_problem_documents(stack, data, status):
    reply = raw.exchange(stack.port, data)
    body = assert_problem(reply, status)
    assert re.match(r"^urn:request:[0-9a-f]{32}$", body["instance"])
    assert ("allow" in dict(reply.headers)) == (status == 405)


def test_quotes_in_the_address_stay_out_of_the_json(stack):
    reply = raw.exchange(stack.port, raw.request("GET", '/%22,"x":"\\', []))
    assert_problem(reply, reply.status)


def test_no_process_is_502_and_back(make_stack):
    stack = make_stack(workers=0)
    for daemon in stack.apis:
        daemon.kill()
    reply = stack.api().post("/noop")
    assert_problem(reply, 502)
    assert int(reply.headers["Retry-After"]) >= 1
    assert reply.headers["Cache-Control"] == "no-store"
    stack.apis[0].start()
    # max_fails=0: nobody is left out after failures.
    wait_until(lambda: stack.api().post("/test/idle").status_code == 202, 10, "service again")
    assert all(stack.api().post("/test/idle").status_code == 202 for _ in range(20))


def test_event_streams_are_told_to_come_back(make_stack):
    """A browser's EventSource would never ask again after an error."""
    stack = make_stack(workers=0, types=("test.idle",), nginx_edit=[
        ("longhaul/longhaul-locations.conf", "limit_conn        longhaul_open 10000;", "limit_conn longhaul_open 1;")])
    api = stack.api()
    url = api.submit("/test/idle").headers["Location"]
    stream = {"Accept": "text/event-stream"}

    def assert_told(reply):
        assert reply.status_code == 200, reply.text
        assert reply.headers["Content-Type"] == "text/event-stream"
        assert reply.headers["Cache-Control"] == "no-store"
        assert 1000 <= int(re.fullmatch(r"retry: (\d+)\n\n", reply.text).group(1)) < 5000

    # The one connection that is allowed, and one more.
    with stack.api().get(url + "/events", headers=stream, stream=True) as first:
        assert first.status_code == 200
        assert_problem(api.get(url), 429, "rate-limited")
        assert_told(api.get(url + "/events", headers=stream))
    for daemon in stack.apis:
        daemon.kill()
    for path, headers in ((url + "/events", {}), ("/jobs/events?x=1", stream), (url, stream)):
        assert_told(api.get(path, headers=headers))
    for path in (url, url + "?/events", url + "/eventsx"):
        assert_problem(api.get(path), 502)
    assert_problem(api.post(url + "/events"), 502)


def test_a_process_that_hangs_is_504(tmp_path, make_stack):
    stack = make_stack(workers=0, nginx_edit=[
        ("longhaul/longhaul-fastcgi.conf", "fastcgi_read_timeout    75s", "fastcgi_read_timeout    1s")])
    for daemon in stack.apis:
        daemon.send(signal.SIGSTOP)
    try:
        reply = stack.api().get("/jobs")
        assert_problem(reply, 504, "outcome-unknown")
        assert "Retry-After" in reply.headers
    finally:
        for daemon in stack.apis:
            daemon.send(signal.SIGCONT)


def test_a_process_that_hangs_is_passed_over(make_stack):
    """The request goes to the other process with the same id, and makes one job."""
    stack = make_stack(workers=0, nginx_edit=[
        ("longhaul/longhaul-fastcgi.conf", "fastcgi_read_timeout    75s", "fastcgi_read_timeout    1s")])
    stack.apis[0].send(signal.SIGSTOP)
    try:
        replies = [stack.api("hung").post("/test/idle") for _ in range(4)]
        assert {r.status_code for r in replies} == {202}
    finally:
        stack.apis[0].send(signal.SIGCONT)
    wait_until(lambda: fcgi.ask(stack.socket(1), fcgi.whole("GET", "/healthz", client="")), 10, "the first again")
    for _ in range(4):
        assert stack.api("hung").get("/jobs").status_code == 200
    # What the stopped process had been given and now works off is the same jobs.
    assert stack.value("SELECT count(*) FROM longhaul.job WHERE client = 'hung'") == 4


def test_rate_limit_is_429(make_stack):
    stack = make_stack(workers=0, nginx_edit=[
        ("longhaul/longhaul-locations.conf", "#limit_req        zone=longhaul_unsafe burst=400 nodelay;",
         "limit_req zone=longhaul_unsafe burst=5 nodelay;"),
        ("longhaul/longhaul-http.conf", "rate=200r/s", "rate=1r/s")])
    api = stack.api()
    replies = [api.post("/test/idle") for _ in range(12)]
    refused = [r for r in replies if r.status_code == 429]
    assert refused
    assert_problem(refused[0], 429, "rate-limited")
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert api.get("/jobs").status_code == 200, "reading is not limited"


def test_health_is_for_the_inside(make_stack):
    stack = make_stack(workers=0, nginx_edit=[
        ("longhaul/longhaul-inside.conf", "allow 127.0.0.0/8;\n", "")])
    api = Api(stack.base)
    assert_problem(api.get("/healthz"), 403)
    assert_problem(api.get("/readyz"), 403)


def test_password_file(make_stack, tmp_path):
    """Example a) of longhaul-locations.conf: nginx checks the password and names the client."""
    tmp_path.chmod(0o755)
    users = tmp_path / "htpasswd"
    users.write_text("alice:{PLAIN}wonderland\n")
    stack = make_stack(workers=0, nginx_edit=[
        ("longhaul/longhaul-locations.conf", CLIENT_LINE.replace("''", "$test_client") + "\n\t#\n",
         f'auth_basic longhaul; auth_basic_user_file {users}; fastcgi_param LONGHAUL_CLIENT $remote_user;\n')])
    api = Api(stack.base)
    reply = api.get("/v1/jobs", auth=("alice", "guess"))
    assert_problem(reply, 401, "unauthorized")
    assert reply.headers["WWW-Authenticate"].startswith("Basic")
    assert_problem(api.get("/v1/jobs"), 401)
    made = api.post("/v1/test/idle", b"{}", auth=("alice", "wonderland"))
    assert made.status_code == 202
    assert stack.value("SELECT DISTINCT client FROM longhaul.job") == "alice"


def test_other_origins(make_stack):
    """The commented CORS example of longhaul-locations.conf, with its marks taken away."""
    text = (ROOT / "nginx" / "longhaul-locations.conf").read_text()
    begin = text.index("\t#add_header Access-Control-Allow-Origin")
    end = text.index("\n\n", begin)
    example = text[begin:end]
    maps = "\n".join(re.findall(r"^\t#   (map .*;.*)$", text, re.M))
    assert maps.count("map ") == 3
    stack = make_stack(workers=0, nginx_edit=[
        ("longhaul/longhaul-locations.conf", example, example.replace("\t#", "\t")),
        ("longhaul/longhaul-http.conf", CLIENT_MAP, CLIENT_MAP + maps)])
    assert stack.nginx.check() == (0, "")
    api = stack.api()
    good = {"Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site"}
    preflight = api.request("OPTIONS", "/test/idle", good)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    made = api.post("/test/idle", b"{}", headers=good)
    assert made.status_code == 202
    assert made.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    evil = api.post("/test/idle", b"{}", headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert_problem(evil, 403)
    assert "Access-Control-Allow-Origin" not in evil.headers
    assert api.post("/test/idle", b"{}").status_code == 202


def test_proxy_header_is_stripped(stack, api):
    url = api.submit("/test/act", b'{"env": true}', Proxy="http://evil.example").headers["Location"]
    assert "evil" not in api.result(url).text


def test_host_of_the_request_line_wins(stack):
    reply = raw.exchange(stack.port, (b"POST http://good.example/v1/test/idle HTTP/1.1\r\nHost: evil.example\r\n"
                                      b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"))
    assert reply.status == 202
    assert reply.header("location").startswith("http://good.example/")


def test_large_results_use_no_temporary_files(stack, api):
    url = api.submit("/test/cat", b"x" * 5_000_000, "text/plain").headers["Location"]
    api.completed(url)
    assert len(api.get(url + "/results").content) == 5_000_000
    assert "temporary file" not in "\n".join(
        line for line in (stack.nginx.folder / "log" / "nginx-error.log").read_text().splitlines()
        if "upstream response" in line)
