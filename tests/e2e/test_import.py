"""The bulk import: three formats, rows that are wrong, and the accounts that are there afterwards."""

import json
import threading

import pytest

from harness.env import scaled, wait_until


def accounts(prefix, count, name="Name"):
    return [{"email": f"{prefix}{n}@example.com", "name": f"{name} {n}"} for n in range(count)]


def ndjson(rows):
    return "".join(json.dumps(r) + "\n" for r in rows)


def as_array(rows):
    return json.dumps(rows)


def as_csv(rows):
    return "email,name\n" + "".join(f"{r['email']},{r['name']}\n" for r in rows)


FORMATS = [("application/x-ndjson", ndjson), ("application/json", as_array), ("text/csv", as_csv)]


def run(api, data, media="application/x-ndjson", timeout=30):
    data = data.encode() if isinstance(data, str) else data
    url = api.submit("/accounts/bulk-import", data, media).headers["Location"]
    return api.result(url, timeout).json()


def stored(stack, prefix):
    return dict(stack.query("SELECT email, name FROM longhaul.account WHERE email LIKE %s", [prefix + "%"]))


@pytest.mark.parametrize("media,write", FORMATS, ids=["ndjson", "array", "csv"])
def test_formats(stack, api, media, write):
    prefix = media.split("/")[1].replace("-", "")
    rows = accounts(prefix, 500)
    assert run(api, write(rows), media) == {"imported": 500, "updated": 0, "rejected": 0, "errors": []}
    assert stored(stack, prefix) == {r["email"]: r["name"] for r in rows}
    again = accounts(prefix, 500, "Newer")
    assert run(api, write(again), media)["updated"] == 500
    assert stored(stack, prefix) == {r["email"]: r["name"] for r in again}


def test_members_without_a_column_are_kept(stack, api):
    run(api, '{"email":"extra@example.com","name":"Ü ☃","externalId":"x-1","age":7,"tags":["a",{"b":null}]}\n')
    assert stack.query("SELECT name, external_id, extra FROM longhaul.account WHERE email = 'extra@example.com'") == \
        [("Ü ☃", "x-1", {"age": 7, "tags": ["a", {"b": None}]})]


def test_email_is_compared_without_case(stack, api):
    run(api, ndjson([{"email": "Case@Example.com", "name": "One"}]))
    assert run(api, ndjson([{"email": "cASE@example.COM", "name": "Two"}]))["updated"] == 1
    assert stack.value("SELECT count(*) FROM longhaul.account WHERE lower(email) = 'case@example.com'") == 1


def test_rejected_rows_say_where_and_why(stack, api):
    good = {"email": "good@example.com", "name": "Good"}
    lines = [json.dumps(good), '{"name":"No mail"}', '{"email":"not an address","name":"X"}', "{broken",
             '{"email":"noname@example.com"}', '{"email":5,"name":"Number"}', "[1,2]", '{"email":"a@b.example","name":"A",']
    result = run(api, "\n".join(lines) + "\n")
    assert (result["imported"], result["rejected"]) == (1, 7)
    assert [e["line"] for e in result["errors"]] == [2, 3, 4, 5, 6, 7, 8]
    by_line = {e["line"]: e for e in result["errors"]}
    assert by_line[2]["field"] == by_line[3]["field"] == by_line[6]["field"] == "email"
    assert by_line[5]["field"] == "name"
    assert all(e["reason"] for e in result["errors"])
    assert by_line[4]["row"] == "{broken", "the row as it came"


def test_same_email_twice_in_one_file(stack, api):
    result = run(api, ndjson([{"email": "twice@example.com", "name": "First"}, {"email": "other@example.com", "name": "O"},
                              {"email": "TWICE@example.com", "name": "Last"}]))
    assert (result["imported"], result["rejected"]) == (2, 1)
    assert result["errors"][0]["line"] == 1
    assert stack.value("SELECT name FROM longhaul.account WHERE lower(email) = 'twice@example.com'") == "Last"


def test_many_rejected_rows_all_come_back(api):
    count = scaled(30000, 8000)
    result = run(api, "".join('{"email":"bad %d","name":"B"}\n' % n for n in range(count)), timeout=60)
    assert result["rejected"] == count
    assert [e["line"] for e in result["errors"]] == list(range(1, count + 1))


@pytest.mark.parametrize("text", [
    "email,name\r\nq1@example.com,\"Quoted, \"\"twice\"\"\"\r\nq2@example.com,\"two\nlines\"\r\n",
    "\ufeffname,email\nQ,q3@example.com\n", "email;name\nq4@example.com;Semi\n", "EMAIL,Name,Extra\nq5@example.com,N,x\n",
    "email,name", "email,name\n", "email,name\nq6@example.com\n", "email,name\nq7@example.com,a,b,c\n",
])
def test_csv_of_many_kinds(api, text):
    url = api.submit("/accounts/bulk-import", text.encode(), "text/csv").headers["Location"]
    doc = api.ended(url)
    if doc["status"] == "Failed":
        assert 400 <= doc["error"]["status"] < 500
    else:
        result = api.get(url + "/results").json()
        assert result["imported"] + result["rejected"] == len(result["errors"]) + result["imported"]


def test_quoted_csv_is_read_as_it_is_meant(stack, api):
    run(api, "email,name,note\r\nquoted@example.com,\"A, \"\"b\"\"\nc\",x\r\n", "text/csv")
    assert stack.query("SELECT name, extra FROM longhaul.account WHERE email = 'quoted@example.com'") == \
        [('A, "b"\nc', {"note": "x"})]


def test_no_last_line_feed_and_empty_lines(api):
    assert run(api, '{"email":"n1@example.com","name":"A"}\n\n\r\n{"email":"n2@example.com","name":"B"}')["imported"] == 2
    assert run(api, "\n\n")["imported"] == 0
    assert run(api, "[]", "application/json")["imported"] == 0


def test_progress_is_seen(make_stack):
    stack = make_stack(worker={"progress_ms": 10}, api={"tick_ms": 20})
    api = stack.api()
    data = ndjson(accounts("progress", scaled(200000, 150000)))
    url = api.submit("/accounts/bulk-import", data, "application/x-ndjson").headers["Location"]
    seen = []
    headers = {}
    while True:
        reply = api.get(url, headers={**headers, "Prefer": "wait=5"})
        if reply.status_code == 200:
            doc = reply.json()
            headers = {"If-None-Match": reply.headers["ETag"]}
            seen.append(doc.get("percentComplete", 0))
            if doc["status"] not in ("Queued", "InProgress"):
                break
    assert doc["status"] == "Completed"
    assert seen == sorted(seen)
    assert any(0 < p < 20 for p in seen), "while it reads"
    assert any(45 < p < 100 for p in seen), "while it merges"
    assert seen[-1] == 100


def test_overlapping_imports_do_not_deadlock(stack, api):
    rows = accounts("overlap", scaled(5000, 1000))
    urls = []

    def send(order):
        urls.append(stack.api("overlapper").submit("/accounts/bulk-import", ndjson(order), "application/x-ndjson")
                    .headers["Location"])

    threads = [threading.Thread(target=send, args=(rows[::step],)) for step in (1, -1, 1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = stack.api("overlapper")
    results = [client.result(u, 60).json() for u in urls]
    assert sum(r["imported"] for r in results) == len(rows)
    assert sum(r["updated"] for r in results) == 5 * len(rows)
    assert all(client.document(u)["attempt"] == 1 for u in urls)


def test_cancel_of_a_running_import_changes_nothing(make_stack):
    stack = make_stack(worker={"progress_ms": 10})
    api = stack.api()
    data = ndjson(accounts("canceled", scaled(400000, 100000)))
    url = api.submit("/accounts/bulk-import", data, "application/x-ndjson").headers["Location"]
    wait_until(lambda: 0 < api.document(url).get("percentComplete", 0) < 100, 20, "the import to be under way", every=0)
    reply = api.post(url + "/cancel")
    doc = api.ended(url, 60)
    if reply.status_code == 202 and doc["status"] == "Canceled":
        assert stored(stack, "canceled") == {}
    else:
        assert doc["status"] == "Completed", "the cancel came too late"
        assert len(stored(stack, "canceled")) == scaled(400000, 100000)
