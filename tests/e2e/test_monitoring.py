"""Alert rules and dashboard: they parse, they do what they say, and what they name is there."""

import json
import re
import subprocess

import pytest

from harness import env
from harness.metrics import promtool, scrape

FOLDER = env.ROOT / "fcgi-app" / "monitoring"
RULES = FOLDER / "longhaul.rules.yml"
NAME = re.compile(r"\blonghaul_[a-z_]+\b")


def dashboard():
    return json.loads((FOLDER / "longhaul.dashboard.json").read_text())


def queries():
    return [(p["title"], t["expr"]) for p in dashboard()["panels"] for t in p["targets"]]


def run(*args, **kw):
    done = subprocess.run([promtool(), *args], capture_output=True, text=True, **kw)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("args", [("check", "rules", RULES.name), ("test", "rules", "longhaul.rules.test.yml")])
def test_rules(args):
    code, said = run(*args, cwd=FOLDER)
    assert code == 0, said


def test_each_query_of_the_dashboard_parses(tmp_path):
    """As Grafana sends them: with the values of its variables."""
    rules = []
    for n, (title, expr) in enumerate(queries()):
        for name, value in (("$__rate_interval", "5m"), ("$instance", ".*"), ("$type", ".*")):
            expr = expr.replace(name, value)
        assert "$" not in expr, (title, expr)
        rules.append({"record": f"panel:{n}", "expr": expr})
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    code, said = run("check", "rules", file)
    assert code == 0, said


def test_the_dashboard_asks_the_source_that_is_chosen():
    it = dashboard()
    assert "datasource" in [v["name"] for v in it["templating"]["list"] if v["type"] == "datasource"]
    assert len({p["id"] for p in it["panels"]}) == len(it["panels"])
    for panel in it["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert panel["targets"], panel["title"]


def test_what_they_name_is_there(stack):
    api = stack.api("seen")
    api.completed(api.submit("/test/act").headers["Location"])
    seen = scrape(stack)
    there = {name for name, _, _ in seen.samples} | set(seen.types)
    wanted = set(NAME.findall(RULES.read_text())) | {n for _, expr in queries() for n in NAME.findall(expr)}
    assert len(wanted) > 20
    # A host that lives and has never lost anything has them all the same.
    assert wanted <= there, wanted - there
