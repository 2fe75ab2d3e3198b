"""Who asks, and what others may see."""

import uuid

import pytest

from harness import fcgi, raw
from harness.api import Api, assert_problem
from harness.env import wait_until


@pytest.fixture(scope="module")
def key(stack):
    stack.add_key("keyed", "secret-key-1")
    return "secret-key-1"


def test_foreign_jobs_do_not_exist(stack, api):
    url = api.submit("/test/act", b'{"stdout": "private"}').headers["Location"]
    api.completed(url)
    stranger = stack.api("stranger")
    for reply in (stranger.get(url), stranger.get(url + "/results"), stranger.post(url + "/cancel"),
                  stranger.post(url + "/retry"), stranger.delete(url),
                  stranger.get(url.replace("/acts/", "/operations/")),
                  stranger.get(url, headers={"Prefer": "wait=1", "If-None-Match": api.get(url).headers["ETag"]})):
        assert_problem(reply, 404, "not-found")
    assert "private" not in stranger.get("/jobs").text
    assert api.get(url).status_code == 200


def test_a_foreign_job_looks_like_one_that_never_was(stack, api):
    url = api.submit("/test/idle").headers["Location"]
    never = url.rsplit("/", 1)[0] + "/" + str(uuid.uuid4())
    stranger = stack.api("stranger")

    def words(reply):
        return {k: v for k, v in reply.json().items() if k != "instance"}

    assert words(stranger.get(url)) == words(stranger.get(never)) or \
        words(stranger.get(url))["type"] == words(stranger.get(never))["type"]


def test_a_job_is_found_only_in_its_collection(api):
    url = api.submit("/test/idle").headers["Location"]
    assert_problem(api.get(url.replace("/idles/", "/acts/")), 404, "not-found")


def test_api_key(stack, key):
    keyed = stack.api(key=key)
    url = keyed.submit("/test/idle").headers["Location"]
    assert keyed.get(url).status_code == 200
    assert stack.value("SELECT client FROM longhaul.job WHERE id = %s", [url.rsplit("/", 1)[1]]) == "keyed"
    assert_problem(stack.api("somebody").get(url), 404)


@pytest.mark.parametrize("authorization", [
    "Bearer wrong", "Bearer ", "Bearer", "Basic YWRtaW46YW55dGhpbmc=", "secret-key-1", "Bearer " + "x" * 3000,
    "Bearer secret-key-1 x", "Bearer\tsecret-key-1",
])
def test_wrong_credentials(stack, key, authorization):
    reply = raw.exchange(stack.port, raw.request("GET", "/v1/jobs", [("Authorization", authorization)]))
    assert_problem(reply, 401, "unauthorized")
    assert reply.header("www-authenticate", "").startswith("Bearer")


def test_scheme_of_credentials_has_no_case(stack, key):
    reply = raw.exchange(stack.port, raw.request("GET", "/v1/jobs", [("Authorization", "bearer " + key)]))
    assert reply.status == 200


def test_revoked_key(stack):
    stack.add_key("leaver", "leaving-key")
    api = stack.api(key="leaving-key")
    assert api.get("/jobs").status_code == 200
    stack.sql("UPDATE longhaul.api_key SET revoked_at = now() WHERE client = 'leaver'")
    wait_until(lambda: api.get("/jobs").status_code == 401, 30, "the revoked key to be refused", every=0.2)


def test_nobody_is_not_let_in(stack):
    reply = fcgi.ask(stack.socket(1), fcgi.whole("GET", "/v1/jobs", client=""))
    assert reply[0] == 401
    reply = fcgi.ask(stack.socket(1), fcgi.whole("GET", "/v1/jobs", client=None))
    assert reply[0] == 401


def test_remote_user_is_never_believed(stack):
    """nginx fills it from any Basic header, checked or not."""
    for name in ("REMOTE_USER", "HTTP_REMOTE_USER", "HTTP_LONGHAUL_CLIENT", "AUTH_USER"):
        reply = fcgi.ask(stack.socket(1), fcgi.whole("GET", "/v1/jobs", client="", extra=[(name, "tester")]))
        assert reply[0] == 401, name


def test_longhaul_client_twice_is_refused(stack):
    for second in ("tester", "other", ""):
        reply = fcgi.ask(stack.socket(1), fcgi.whole("GET", "/v1/jobs", client="tester",
                                                     extra=[("LONGHAUL_CLIENT", second)]))
        assert reply[0] >= 400, second


def test_headers_of_the_client_do_not_name_it(stack, api):
    url = api.submit("/test/idle").headers["Location"]
    name = api.session.headers["X-Test-Client"]
    path = "/v1" + url.split("/v1")[1]
    for header in ("Longhaul-Client", "LONGHAUL_CLIENT", "Longhaul_Client", "X-Remote-User", "Remote-User"):
        reply = raw.exchange(stack.port, raw.request("GET", path, [("X-Test-Client", "stranger"), (header, name)]))
        assert reply.status == 404, header


def test_basic_credentials_of_nobody(stack):
    assert_problem(Api(stack.base).get("/v1/jobs", auth=("admin", "anything")), 401)


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:1"},
])
def test_foreign_pages_change_nothing(stack, api, headers):
    url = api.submit("/test/idle").headers["Location"]
    assert_problem(api.post("/test/idle", headers=headers), 403)
    assert_problem(api.post(url + "/cancel", headers=headers), 403)
    assert_problem(api.delete(url, headers=headers), 403)
    assert api.document(url)["status"] == "Queued"
    assert api.get(url, headers=headers).status_code == 200


def test_own_pages_may(stack, api):
    assert api.post("/test/idle", headers={"Origin": stack.base, "Sec-Fetch-Site": "same-origin"}).status_code == 202
    assert api.post("/test/idle", headers={"Sec-Fetch-Site": "none"}).status_code == 202
