"""The dashboard at /ui/ in a browser: what is seen, what the keyboard does, and what must never happen."""

import gzip
import json

import pytest
import requests

from harness import env, node
from harness.browser import Browser
from harness.crowd import crowd
from harness.nginx import Nginx
from harness.stack import Stack

AXE = node.FOLDER / "node_modules" / "axe-core" / "axe.min.js"
MARKUP = "<img src=x onerror=\"window.__ran=1\"><script>window.__ran=1</script>"
DESKTOP, PHONE = (1280, 900), (360, 780)

# Before anything of the page runs: collects what the Content-Security-Policy has refused, and counts events.
WATCH = """
    window.__refused = [], window.__told = 0;
    window.EventSource = class extends EventSource {
        constructor(url) { super(url); this.addEventListener('status', () => __told++); }
    };
    document.addEventListener('securitypolicyviolation', e => __refused.push(`${e.violatedDirective} ${e.blockedURI}`));
"""


@pytest.fixture(scope="module")
def stack(cluster):
    node.install()
    it = Stack(cluster, apis=1, types=("test.act", "test.cat", "test.idle"), api={"events_retry_ms": 300},
               type_rows={"test.act": {"max_attempts": 1, "log_for_clients": True}})
    try:
        yield it.start()
    finally:
        problems = it.stop()
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(scope="module")
def browser():
    it = Browser()
    yield it
    it.close()


class Dashboard:
    """Pages of the dashboard, each of a client; at the end of the test nothing may have been complained about."""

    def __init__(self, stack, browser):
        self.stack, self.browser, self.pages = stack, browser, []

    def __call__(self, client, address="", size=DESKTOP, base=None, **features):
        page = self.browser.page("about:blank")
        self.pages.append(page)
        if client:
            page.headers({"X-Test-Client": client})
        else:  # the one without a name; nothing is told of the network then, which takes long for many events
            page.call("Network.disable")
        page.screen(*size, **features)
        page.call("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        page.go(f"{base or self.stack.base}/ui/{address}")
        page.wait(lambda p: p.value("document.readyState === 'complete' && !!document.querySelector('main > *')"), 20, "the page")
        return page

    def complaints(self):
        said = []
        for page in self.pages:
            said += page.value("window.__refused") or []
            said += [e["entry"] for e in page.happened["Log.entryAdded"] if e["entry"]["level"] in ("error", "warning")]
            said += [e for e in page.happened["Runtime.consoleAPICalled"] if e["type"] in ("error", "warning", "assert")]
            said += page.happened["Runtime.exceptionThrown"]
            if page.value("window.__ran"):
                said.append("markup of the server was run")
        return said


@pytest.fixture
def ui(stack, browser):
    it = Dashboard(stack, browser)
    it.expected = []
    yield it
    said = [s for s in it.complaints() if not any(word in str(s) for word in it.expected)]
    for page in it.pages:
        page.close()
    assert said == []


def live(page):
    page.wait(lambda p: p.value("document.querySelector('#link-state').dataset.state") == "live", 20, "the event stream")


def rows(page):
    """(type, status word, end of the id) of each row, from the top."""
    return page.value("[...document.querySelectorAll('.rows .row')].map(row => ['.job-link', '.badge', '.mono']"
                      ".map(part => row.querySelector(part).textContent))")


def top(page, others):
    """Whether the first row is one of the others."""
    return any(row in others for row in rows(page)[:1])


def shown(page, *statuses):
    page.wait(lambda p: [r[1] for r in rows(p)] == list(statuses), 20, f"{statuses}, not {rows(page)}")


def has(page, *texts):
    page.wait(lambda p: all(t in p.text() for t in texts), 20, f"{texts} in {page.text()}")


def focus(page):
    return page.value("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent")


def short(url):
    return "…" + url[-12:]


def job_address(url):
    return "#/job/" + url.split("/v1/")[1]


def test_live_progress_from_nothing(stack, ui, tmp_path):
    """An empty page, to which a job comes, goes on and ends, without anything being done there."""
    page = ui("newcomer")
    has(page, "No jobs yet")
    live(page)
    go = tmp_path / "go"
    url = stack.api("newcomer").submit("/test/act", json.dumps(
        {"progress": [[1, 4, "a quarter " + MARKUP]], "until": str(go)})).headers["Location"]
    shown(page, "In progress")
    page.wait(lambda p: p.value("document.querySelector('.rows progress').value") == 25, 20, "progress")
    has(page, "a quarter " + MARKUP, "25 %")
    bar = page.value("(b => [b.getAttribute('aria-label'), b.max, b.hidden])(document.querySelector('.rows progress'))")
    assert bar == [f"Progress of test.act {url[-12:]}", 100, False]
    # The page of a job is as alive as the list.
    other = ui("newcomer", job_address(url))
    has(other, "a quarter", "25 %")
    go.touch()
    shown(page, "Completed")
    other.wait(lambda p: p.value("document.querySelector('.job-page .badge').textContent") == "Completed", 20, "the end")
    page.wait(lambda p: "1 job completed" in p.value("document.querySelector('#announce').textContent"), 20, "an announcement")


def test_three_jobs_by_keyboard(stack, ui):
    """Canceled and queued again with the keyboard alone; the focus never gets lost."""
    api = stack.api("keys")
    done, failed = (api.submit("/test/act", body).headers["Location"] for body in (b"{}", b'{"exit": 1}'))
    assert [api.ended(url)["status"] for url in (done, failed)] == ["Completed", "Failed"]
    waiting = api.submit("/test/idle").headers["Location"]
    page = ui("keys")
    shown(page, "Queued", "Failed", "Completed")
    assert [r[2] for r in rows(page)] == [short(u) for u in (waiting, failed, done)]
    live(page)

    # The list: j goes to the first job, Tab to its button.
    page.press("j", "Tab")
    assert focus(page) == f"Cancel test.idle {short(waiting)}"
    page.press("Enter")
    assert focus(page) == "Keep it", "what destroys is not the default"
    page.press("Enter")
    page.wait(lambda p: p.value("!document.querySelector('dialog')"), 20, "the question to go")
    assert api.document(waiting)["status"] == "Queued"
    page.press("Enter", "Tab", "Enter")
    shown(page, "Canceled", "Failed", "Completed")
    assert api.document(waiting)["status"] == "Canceled"
    assert focus(page) == f"Retry test.idle {short(waiting)}"
    page.press("Enter")
    shown(page, "Queued", "Failed", "Completed")

    # The page of a job, and its shortcuts; Escape leads back.
    page.press("k", "Enter")
    page.wait(lambda p: p.value("location.hash") == job_address(waiting), 20, "the job's page")
    has(page, waiting.rsplit("/", 1)[1], "Cancel")
    page.press("c", "Tab", "Enter")
    page.wait(lambda p: p.value("document.querySelector('.job-page .badge').textContent") == "Canceled", 20, "the cancel")
    page.press("Delete", "Tab", "Enter")
    page.wait(lambda p: p.value("location.hash") == "#/", 20, "the list")
    shown(page, "Failed", "Completed")
    assert api.get(waiting).status_code in (404, 410)

    # The list of shortcuts closes, and gives the focus back.
    page.press("?")
    has(page, "Keyboard shortcuts", "Change the theme")
    page.press("Escape")
    page.wait(lambda p: p.value("!document.querySelector('dialog')"), 20, "the list of keys to close")


def test_filters_are_in_the_address(stack, ui):
    api = stack.api("filters")
    urls = [api.submit(path, body).headers["Location"] for path, body in (
        ("/test/act", b'{"exit": 1}'), ("/test/act", b"{}"), ("/test/cat", b"text"), ("/test/idle", b"{}"))]
    for url in urls[:3]:
        api.ended(url)
    page = ui("filters")
    shown(page, "Queued", "Completed", "Completed", "Failed")
    page.click(".chip[data-status=Completed]")
    shown(page, "Completed", "Completed")
    assert page.value("location.hash") == "#/?status=Completed"
    page.value("(s => { s.value = 'test.cat'; s.dispatchEvent(new Event('change')); })(document.querySelector('#filter-type'))")
    page.wait(lambda p: [r[0] for r in rows(p)] == ["test.cat"], 20, "one type")
    assert page.value("location.hash") == "#/?status=Completed&type=test.cat"
    page.value("(s => { s.value = '1h'; s.dispatchEvent(new Event('change')); })(document.querySelector('#filter-since'))")
    page.wait(lambda p: p.value("location.hash").endswith("&since=1h"), 20, "the address")
    shown(page, "Completed")

    # Shared, it shows the same; jobs that don't match don't come in, those that do come.
    other = ui("filters", page.value("location.hash"))
    shown(other, "Completed")
    assert other.value("[document.querySelector('#filter-type').value, document.querySelector('#filter-since').value]") == ["test.cat", "1h"]
    live(other)
    api.ended(api.submit("/test/act").headers["Location"])
    api.ended(api.submit("/test/cat", b"more").headers["Location"])
    shown(other, "Completed", "Completed")
    assert {r[0] for r in rows(other)} == {"test.cat"}
    page.value("history.back()")
    page.wait(lambda p: "since" not in p.value("location.hash"), 20, "the way back")
    future = ui("filters", "#/?since=2999-01-01T00:00:00.000Z")
    has(future, "No jobs match", "Clear filters")


def test_page_of_a_job(stack, ui):
    """All that is known of it; and whatever the server says stays text."""
    api = stack.api("reader")
    body = json.dumps({"stderr": f"reading\n{MARKUP}\n", "stdout": json.dumps({"html": MARKUP}), "progress": [[1, 1, MARKUP]]})
    url = api.submit("/test/act", body).headers["Location"]
    api.completed(url)
    page = ui("reader", job_address(url))
    has(page, "test.act", url.rsplit("/", 1)[1], "Completed", "Kept until", "Result", "Download", MARKUP,
        f"{len(body)} bytes, application/json")
    page.wait(lambda p: p.value("document.querySelector('.log').textContent") == f"reading\n{MARKUP}\n", 20, "the log")
    assert page.value("document.querySelector('[aria-label=Attempts] .badge').textContent") == "Completed"
    link = page.value("(a => [a.getAttribute('href'), a.download])(document.querySelector('a.primary'))")
    assert link == [url[len(stack.base):] + "/results", url.rsplit("/", 1)[1]]
    assert page.value("document.querySelectorAll('main img, main script').length") == 0

    # A failed one shows its problem; nobody else's is shown.
    url = api.submit("/test/act", b'{"exit": 3}').headers["Location"]
    api.ended(url)
    page.go(f"{stack.base}/ui/{job_address(url)}")
    has(page, "The command failed", "exit status 3", "urn:longhaul:problem:command-failed", "Retry")
    ui.expected.append("404")
    stranger = ui("stranger", job_address(url))
    has(stranger, "Not found")
    assert "test.act" not in stranger.text()


@pytest.mark.limit(120)
def test_fifty_thousand_jobs(stack, ui):
    """The page holds some of them, however many there are and come."""
    crowd(stack, 50000, "tester", "test.idle", age="10 minutes")
    page = ui(None)
    page.wait(lambda p: len(rows(p)) == 50, 20, "a page of jobs")
    live(page)

    # Page by page, and back.
    first = rows(page)
    page.click(".pager .older")
    page.wait(lambda p: len(rows(p)) == 50 and not top(p, first), 20, "older jobs")
    second = rows(page)
    assert not [r for r in second if r in first]
    page.click(".pager .older")
    page.wait(lambda p: len(rows(p)) == 50 and not top(p, second), 20, "still older jobs")
    page.click(".pager a:nth-child(2)")
    page.wait(lambda p: rows(p) == second, 20, "newer jobs again")
    page.click(".pager a:nth-child(1)")
    page.wait(lambda p: rows(p) == first, 20, "the newest")

    # One more is seen at the top; a flood neither fills the page nor hides what comes after it.
    live(page)
    page.call("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": 5, "y": 5})
    url = stack.api().submit("/test/idle").headers["Location"]
    page.wait(lambda p: [r[2] for r in rows(p)[:1]] == [short(url)], 30, "the new job")
    crowd(stack, 3000, "tester", "test.idle")
    url = stack.api().submit("/test/idle").headers["Location"]
    page.wait(lambda p: [r[2] for r in rows(p)[:1]] == [short(url)], 30, "the newest job after a flood")
    # The flood was more than the stream has at hand, so it has told of all jobs there are.
    page.wait(lambda p: p.value("__told") >= 50000, 60, "the stream to have told of all")
    assert len(rows(page)) <= 100
    assert page.value("document.querySelectorAll('*').length") < 4000
    page.call("Performance.enable")
    page.call("HeapProfiler.collectGarbage")
    assert next(m["value"] for m in page.call("Performance.getMetrics")["metrics"] if m["name"] == "JSHeapUsedSize") < 30e6


def wide(page):
    return page.value("document.documentElement.scrollWidth > innerWidth")


def axe(page):
    page.value(AXE.read_text() + "; 1")
    found = page.value("axe.run(document, { resultTypes: ['violations'] }).then(r => r.violations.map(v => "
                       "[v.id, v.help, v.nodes.map(n => n.html + ' ' + n.failureSummary)]))")
    assert found == [], json.dumps(found, indent=1)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_themes_widths_and_accessibility(stack, ui, size):
    api = stack.api("viewer")
    if api.get("/jobs").json()["jobs"] == []:
        for path, body in (("/test/act", b'{"exit": 1, "stderr": "broken"}'), ("/test/act", b'{"stdout": "fine"}'), ("/test/idle", b"{}")):
            api.submit(path, body)
    docs = [api.ended(d["_links"]["self"]["href"]) for d in api.get("/acts").json()["jobs"]]
    page = ui("viewer", size=size, prefers_color_scheme="light", prefers_reduced_motion="reduce")
    has(page, "test.idle", "Failed")
    live(page)
    light = page.value("getComputedStyle(document.body).backgroundColor")
    addresses = ["", *[job_address(d["_links"]["self"]["href"]) for d in docs]]
    for scheme in ("light", "dark"):
        page.screen(*size, prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        for address in addresses:
            page.value(f"void (location.hash = {json.dumps(address or '#/')})")
            has(page, address.rsplit("/", 1)[1] if address else "All types")
            page.wait(lambda p: p.value("!!document.querySelector('main .badge')"), 20, "jobs")
            assert not wide(page), address
            axe(page)
    assert page.value("getComputedStyle(document.body).backgroundColor") != light
    page.press("?")
    axe(page)
    page.press("Escape")

    # The switch overrules the system, and is remembered.
    page.click("#theme")
    assert page.value("document.documentElement.dataset.theme") == "light"
    assert page.value("getComputedStyle(document.body).backgroundColor") == light
    page.call("Page.reload")
    page.wait(lambda p: p.value("document.readyState === 'complete' && document.documentElement.dataset.theme") == "light", 20, "the theme")
    page.value("localStorage.clear()")


@pytest.mark.limit(120)
def test_outage_is_said_and_survived(stack, ui):
    ui.expected += ["502", "ERR_", "Failed to load resource"]
    api = stack.api("patient")
    api.ended(api.submit("/test/act").headers["Location"])
    page = ui("patient")
    shown(page, "Completed")
    live(page)
    daemon = stack.apis[0]
    daemon.kill()
    page.wait(lambda p: p.value("document.querySelector('#link-state').dataset.state") != "live", 20, "the stream to be missed")
    page.click(".chip[data-status=Failed]")
    page.wait(lambda p: p.value("!document.querySelector('#outage').hidden"), 20, "the outage to be told")
    assert "out of date" in page.text()
    page.click(".chip[data-status='']")
    daemon.start()
    stack.wait_api(1)
    page.wait(lambda p: p.value("document.querySelector('#outage').hidden"), 30, "the outage to be over")
    live(page)
    shown(page, "Completed")
    api.ended(api.submit("/test/act").headers["Location"])
    shown(page, "Completed", "Completed")


def test_the_description_of_the_api(stack, ui):
    page = ui("developer", "#/reference")
    has(page, "/v1/test/act", "Schemas")
    total = page.value("document.querySelectorAll('.operation').length")
    assert total > 20
    # All of it, opened: nothing in it is too strange to be shown.
    page.value("document.querySelectorAll('.operation').forEach(d => d.open = true)")
    page.wait(lambda p: p.value("[...document.querySelectorAll('.operation')].every(d => d.childElementCount > 1)"), 20, "all of it")
    for nonsense in ("[object", "undefined", "NaN"):
        assert nonsense not in page.text()
    page.value("(i => { i.value = 'post act'; i.dispatchEvent(new Event('input')); })(document.querySelector('#find'))")
    has(page, "1 of ")
    assert not wide(page)
    # The types of the list's filter come from it.
    page.press("Tab")
    page.value("void (location.hash = '#/')")
    page.wait(lambda p: "test.cat" in p.value("document.querySelector('#filter-type').textContent"), 20, "the types")


def test_behind_a_password(stack, ui, tmp_path):
    """nginx says who looks; the page needs nothing of its own for that."""
    (tmp_path / "passwords").write_text("ada:{PLAIN}secret\n")
    auth = f'auth_basic "longhaul"; auth_basic_user_file {tmp_path}/passwords;'
    nginx = Nginx(tmp_path / "nginx", [f"unix:{stack.socket(1)}"], edit=[
        ("longhaul/longhaul-locations.conf", "fastcgi_param LONGHAUL_CLIENT $test_client;", auth + " fastcgi_param LONGHAUL_CLIENT $remote_user;"),
        ("longhaul/longhaul-ui.conf", '#auth_basic           "longhaul";', auth)])
    try:
        nginx.start()
        site = f"127.0.0.1:{nginx.port}"
        assert requests.get(f"http://{site}/ui/", timeout=10).status_code == 401
        stack.api("ada").submit("/test/idle")
        page = ui(None, base=f"http://ada:secret@{site}")
        shown(page, "Queued")
        live(page)
        page.press("j", "Tab", "Enter", "Tab", "Enter")
        shown(page, "Canceled")
        page.go("about:blank")
    finally:
        nginx.stop()


def test_files_and_their_headers(stack):
    base = stack.base + "/ui/"
    page = requests.get(base, timeout=10)
    assert page.status_code == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "trusted-types 'none'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-cache"
    script = requests.get(base + "js/main.js", timeout=10)
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    again = requests.get(base + "js/main.js", headers={"If-None-Match": script.headers["ETag"]}, timeout=10)
    assert again.status_code == 304 and again.headers["Content-Security-Policy"] == policy
    assert requests.post(base, timeout=10).status_code == 405
    missing = requests.get(base + "js/none.js", timeout=10)
    assert missing.status_code == 404 and missing.json()["status"] == 404
    assert missing.headers["Content-Type"] == "application/problem+json"
    moved = requests.get(stack.base + "/ui?x=1", timeout=10, allow_redirects=False)
    assert moved.status_code == 308 and moved.headers["Location"] == "/ui/"
    assert requests.get(base + "..%2flonghaul-http.conf", timeout=10).status_code in (400, 404)

    # All that the page names is there, and nothing of it is inline.
    text = page.text
    assert "<style" not in text and " style=" not in text and "<script>" not in text and "onclick" not in text
    for path in ("style.css", "icon.svg", "vendor/uplot/uPlot.iife.min.js", "vendor/uplot/uPlot.min.css"):
        assert requests.get(base + path, timeout=10).status_code == 200, path


def test_no_markup_is_ever_made_of_text():
    """Belt and braces beside the policy: the sources don't even name what would parse markup."""
    for path in (env.ROOT / "nginx" / "ui" / "js").glob("*.js"):
        text = path.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "new Function", "srcdoc"):
            assert word not in text, f"{path.name}: {word}"
    assert len(gzip.compress(b"".join(p.read_bytes() for p in (env.ROOT / "nginx" / "ui").rglob("*.*")))) < 80000
