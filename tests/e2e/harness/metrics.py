"""GET /metrics as Prometheus would read it."""

import re
import shutil
import subprocess

LINE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """The samples of one scrape."""

    def __init__(self, text):
        self.text = text
        self.samples = []
        self.types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                assert name not in self.types, f"{name} comes twice"
                self.types[name] = kind
            elif not line.startswith("#"):
                name, labels, value = LINE.match(line).groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))
        keys = [(n, tuple(sorted(s.items()))) for n, s, _ in self.samples]
        assert len(keys) == len(set(keys)), "a series comes twice"

    def sum(self, name, **labels):
        """Over all series with these labels; None if there is none."""
        found = [v for n, s, v in self.samples if n == name and labels.items() <= s.items()]
        return sum(found) if found else None

    def counters(self):
        return {(n, tuple(sorted(s.items()))): v for n, s, v in self.samples
                if self.types.get(n) == "counter" or n.endswith(("_bucket", "_count"))}

    def check(self):
        """What promtool has against it."""
        done = subprocess.run([promtool(), "check", "metrics"], input=self.text, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


def promtool():
    return shutil.which("promtool") or "/usr/bin/promtool"


def scrape(stack):
    reply = stack.api().get("/metrics")
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(reply.text)
