"""The API's description of itself: made of the job types that exist, without a fault in the eyes of others, and
true. (That requests and answers are as it says is seen where LONGHAUL_VIA=proxy runs other tests.)"""

import json
import re
import subprocess

import pytest
import requests

from harness import env, node
from harness.api import Api, assert_problem
from harness.endpoint import Endpoint
from harness.env import wait_until
from harness.prism import Prism, described
from harness.sse import Stream
from harness.stack import LOCAL_WEBHOOKS, Stack

SOURCES = env.ROOT / "fcgi-app" / "api"
OF_THE_TEXT = pytest.mark.skipif(env.SANITIZED, reason="the text is the same from any build")


@pytest.fixture(scope="module")
def stack(cluster):
    it = Stack(cluster, webhook=LOCAL_WEBHOOKS)
    try:
        yield it.start()
    finally:
        problems = it.stop()
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(scope="module")
def document(stack):
    return described(stack.base)


@pytest.fixture(scope="module")
def document_file(document, tmp_path_factory):
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def validate(document_file, packages):
    with node.Validator(document_file) as it:
        yield it


def operations(document):
    for path, item in document["paths"].items():
        for method in {"get", "post", "delete"} & set(item):
            yield path, method, item[method]


# ---- what it is made of ----

def test_tells_of_the_job_types(stack, document):
    listed = {t["name"]: t for t in document["x-longhaul-job-types"]}
    assert set(listed) == set(stack.types)
    assert listed["accounts.bulk-import"] == {
        "name": "accounts.bulk-import", "submitPath": "/v1/accounts/bulk-import", "collection": "import-jobs",
        "mediaTypes": ["application/x-ndjson", "application/json", "text/csv"], "maxInputBytes": 1 << 30, "waitMs": 50,
        "retentionSeconds": 7 * 86400}
    submit = document["paths"]["/v1/accounts/bulk-import"]["post"]
    assert list(submit["requestBody"]["content"]) == listed["accounts.bulk-import"]["mediaTypes"]
    assert "1073741824 bytes" in submit["description"] and "7 days" in submit["description"]
    links = submit["responses"]["202"]["links"]
    assert links["results"] == {"operationId": "getJobResults",
                                "parameters": {"collection": "import-jobs", "jobId": "$response.body#/jobId"}}
    assert set(document["components"]["parameters"]["Collection"]["schema"]["enum"]) == {t["collection"] for t in listed.values()}
    assert not re.search(r"@[A-Z]+@|filled in|\{submit\}|x-longhaul-common", json.dumps(document))


def test_a_type_comes_and_goes(stack):
    url = stack.base + "/openapi.json"
    before = requests.get(url)
    assert requests.get(url, headers={"If-None-Match": before.headers["ETag"]}).status_code == 304

    def changed(reply):
        return wait_until(lambda: (r := requests.get(url, headers={"If-None-Match": reply.headers["ETag"]})).status_code == 200
                          and r, 10, "another description")

    stack.sql("INSERT INTO longhaul.job_type (name, submit_path, collection, description, media_types, wait_ms) "
              "VALUES ('late', '/late/comer', 'lates', 'Comes \"late\".', '{text/csv}', 0)")
    there = changed(before)
    assert there.headers["ETag"] != before.headers["ETag"]
    assert there.json()["paths"]["/v1/late/comer"]["post"]["description"].startswith('Comes "late".\n\n')
    assert [t["summary"] for t in there.json()["x-longhaul-job-types"] if "summary" in t] == ['Comes "late".']
    stack.sql("DELETE FROM longhaul.job_type WHERE name = 'late'")
    gone = changed(there)
    if gone.headers["ETag"] != before.headers["ETag"]:  # the other process may not have seen it come
        gone = wait_until(lambda: (r := requests.get(url)).headers["ETag"] == before.headers["ETag"] and r, 10, "the first one")
    assert gone.content == before.content


def test_many_types(make_stack):
    """More than it tells of, and more than is sent at once; with none there is no path to submit to."""
    stack = make_stack(types=(), workers=0)
    document = described(stack.base)
    assert document["x-longhaul-job-types"] == []
    assert "enum" not in document["components"]["parameters"]["Collection"]["schema"]
    stack.sql("INSERT INTO longhaul.job_type (name, submit_path, collection) "
              "SELECT 't' || i, '/many/t' || i, 'ts' || i FROM generate_series(1, 320) i")
    reply = wait_until(lambda: len((r := requests.get(stack.base + "/openapi.json")).json()["x-longhaul-job-types"]) == 300 and r,
                       10, "the types")
    assert len(reply.content) == int(reply.headers["Content-Length"]) > 500_000
    assert sum(p.startswith("/v1/many/") for p in reply.json()["paths"]) == 300


def test_head_and_conditions(stack):
    url = stack.base + "/openapi.json"
    whole, head = requests.get(url), requests.head(url)
    assert head.content == b"" and head.headers["Content-Length"] == str(len(whole.content))
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert whole.headers["Content-Type"] == "application/json" and whole.headers["Cache-Control"] == "no-cache"


def test_server_is_what_the_client_asked(stack, document):
    assert document["servers"] == [{"url": stack.base}]
    other = requests.get(stack.base + "/openapi.json", headers={"Host": "other.example:8080"})
    assert other.json()["servers"] == [{"url": "http://other.example:8080"}]
    assert_problem(requests.get(stack.base + "/openapi.json", headers={"Host": "a..b"}), 400, "invalid-input")


def test_configured_base_url_and_problem_base(make_stack):
    stack = make_stack(types=("noop",), workers=0, api={
        "base_url": "https://api.example.com/x", "problem_base": "https://errors.example.com/"})
    document = described(stack.base)
    assert document["servers"] == [{"url": "https://api.example.com/x"}]
    text = json.dumps(document)
    assert "urn:longhaul:problem:" not in text and "https://errors.example.com/not-found" in text


def test_who_has_lost_the_way_is_told(stack):
    link = f'<{stack.base}/openapi.json>; rel="service-desc"'
    assert requests.get(stack.base + "/v1/nothing/here").headers["Link"] == link
    assert requests.put(stack.base + "/v1/jobs").headers["Link"] == link
    assert link in requests.get(stack.base + "/v1/jobs").headers["Link"]


# ---- whether it is complete ----

def test_every_route_is_described(document):
    found = re.findall(r"\{ (HTTP_[A-Z_ |]+), (?:true|false), \"(/[^\"]*)\"", (SOURCES / "router.c").read_text())
    assert len(found) > 20
    routes = {(path, "get" if "GET" in methods else methods[5:].lower()) for methods, path in found}
    template = json.loads((SOURCES / "openapi.json").read_text())
    paths = {(re.sub(r"\{\w+Id\}", "{id}", path), method) for path, method, _ in operations(template)}
    assert paths == routes


def test_every_problem_is_described(document):
    problems = set(re.findall(r"^\t\{ \"([a-z-]+)\", (\d{3}), \d+, \"", (SOURCES / "problem.c").read_text(), re.M))
    assert len(problems) > 20
    said = set()
    for answer in document["components"]["responses"].values():
        for media in answer.get("content", {}).values():
            for kind in re.findall(r"urn:longhaul:problem:([a-z-]+)", json.dumps(media.get("schema", {}))):
                said.add(kind)
    # What is answered to methods that aren't described isn't; the problem of a job that failed may be any.
    missing = {kind for kind, _ in problems} - said - {"method-not-allowed", "idempotency-key-reused"}
    assert not missing
    assert said <= {kind for kind, _ in problems}


def test_each_path_answers_to_the_methods_described(stack, document):
    values = {"{collection}": "noops", "{jobId}": "01a20965-7001-7794-b8f8-6693b33163a1",
              "{webhookId}": "01a20965-7001-7794-b8f8-6693b33163a1", "{deliveryId}": "01a20965-7001-7794-b8f8-6693b33163a1"}
    for path, item in document["paths"].items():
        real = re.sub(r"\{\w+\}", lambda m: values[m.group()], path)
        reply = requests.put(stack.base + real)
        assert reply.status_code == 405, f"{path}: {reply.status_code}"
        allowed = {m.lower() for m in reply.headers["Allow"].split(", ")} - {"head"}
        assert allowed == {"get", "post", "delete"} & set(item), path


def test_other_origins_may_use_all_headers(document):
    """Of those that nginx is told to trust, in the example of longhaul-locations.conf."""
    conf = (env.ROOT / "nginx" / "longhaul-locations.conf").read_text()

    def listed(name):
        return set(re.search(rf"#add_header {name} +'([^']*)'", conf).group(1).lower().split(", "))

    components = document["components"]
    sent = {p["name"].lower() for n, p in components["parameters"].items() if p["in"] == "header" and not n.startswith("Delivery")}
    assert listed("Access-Control-Allow-Headers") == sent | {"authorization", "content-type"}
    answered = {name.lower() for answer in components["responses"].values() for name in answer.get("headers", {})}
    # What scripts may see always, and what is for browsers and caches.
    answered -= {"cache-control", "vary", "content-security-policy", "accept-encoding", "www-authenticate"}
    assert listed("Access-Control-Expose-Headers") == answered | {"allow"}


# ---- in the eyes of others ----

@OF_THE_TEXT
def test_no_warning_of_a_linter(document_file, packages):
    done = subprocess.run([node.program("spectral"), "lint", "--ruleset", node.FOLDER / "spectral.yaml", "--fail-severity=hint",
                           document_file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No results with a severity of 'hint' or higher found!" in done.stdout


@OF_THE_TEXT
def test_types_for_a_client_compile(document_file, packages, tmp_path):
    made = subprocess.run([node.program("openapi-typescript"), document_file, "-o", tmp_path / "openapi.d.ts"],
                          capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    (tmp_path / "client.ts").write_text((node.FOLDER / "client.ts").read_text())
    done = subprocess.run([node.program("tsc"), "--strict", "--noEmit", "--target", "es2022",
                           tmp_path / "client.ts"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@OF_THE_TEXT
def test_the_proxy_notices_what_is_otherwise(stack, packages, tmp_path):
    """That the tests behind it find no deviation says something only if it would find one."""
    def edit(document):
        schemas, answers = document["components"]["schemas"], document["components"]["responses"]
        schemas["Health"]["properties"]["status"] = {"type": "integer"}
        schemas["JobList"]["properties"]["_links"]["required"].append("other")
        answers["Webhook"]["headers"]["X-Missing"] = {"required": True, "schema": {"type": "string"}}
        del answers["WebhookList"]["headers"]["Cache-Control"]
        document["paths"]["/v1/{collection}/{jobId}"]["get"]["responses"].pop("404")

    prism = Prism(stack.base, tmp_path, edit)
    api = Api(stack.base + "/v1", "noticed")
    hook = api.post("/webhooks", '{"url":"https://example.com/"}').headers["Location"]
    try:
        for path, wrong in ((stack.base + "/healthz", "must be integer"), ("/jobs", "must have required property 'other'"), (hook, "x-missing"),
                            ("/webhooks", "headers that openapi.json doesn't"),
                            ("/noops/01a20965-7001-7794-b8f8-6693b33163a1", "deviates")):
            with pytest.raises(AssertionError, match=wrong):
                prism.request(api.request, "GET", api.url(path), {})
        reply = prism.request(api.request, "GET", api.url("/operations/x"), {})
        assert reply.status_code == 404, "a request that isn't as described, and was refused, is none"
    finally:
        prism.stop()


# ---- what doesn't go through the proxy ----

def test_events_are_as_described(stack, validate):
    api = stack.api("streams")
    url = api.submit("/test/act", b'{"progress": [[1, 4, "a"], [2, 4, "b"]], "sleep": 1}').headers["Location"]
    with Stream(stack.port, url[len(stack.base):] + "/events", client="streams") as stream:
        events = [e for e in stream.rest(30) if e.event]
    assert events and events[-1].json()["status"] == "Completed"
    for event in events:
        assert event.event == "status"
        assert validate("Job", event.json()) == []
    assert validate("Job", {**events[-1].json(), "status": "Done"}) != []


def test_webhooks_are_as_described(stack, document, validate):
    api = stack.api("told")
    with Endpoint() as endpoint:
        hook = api.post("/webhooks", json.dumps({"url": endpoint.url()})).json()
        api.submit("/noop")
        api.submit("/test/act", b'{"exit": 3}', Longhaul_Webhook=endpoint.url("/one"))
        api.post(f"/webhooks/{hook['webhookId']}/ping")
        deliveries = endpoint.wait(4)
    kinds = []
    for delivery in deliveries:
        body = json.loads(delivery.body)
        kinds.append(body["type"])
        name = "ping" if body["type"] == "ping" else "jobEnded"
        assert validate("Ping" if name == "ping" else "JobEnded", body) == [], body
        for parameter in document["webhooks"][name]["post"]["parameters"]:
            header = document["components"]["parameters"][parameter["$ref"].rsplit("/", 1)[1]]
            value = delivery.headers.get(header["name"])
            assert value is not None or not header.get("required"), header["name"]
            if "pattern" in header["schema"]:
                assert re.search(header["schema"]["pattern"], value)
    assert sorted(kinds) == ["job.completed", "job.failed", "job.failed", "ping"]
