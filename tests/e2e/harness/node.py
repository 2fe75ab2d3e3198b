"""Node.js programs of tests/e2e/node: other people's clients, each a process that speaks JSON lines."""

import base64
import json
import shutil
import subprocess
import threading

from . import env

FOLDER = env.ROOT / "tests" / "e2e" / "node"
CONNECTING, OPEN, CLOSED = 0, 1, 2  # EventSource.readyState


def install():
    """The npm packages, if they aren't there."""
    done = subprocess.run([FOLDER / "install.sh"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def program(name):
    """A program that one of the packages brings."""
    return FOLDER / "node_modules" / ".bin" / name


def _start(script, *args, **kw):
    return subprocess.Popen([shutil.which("node"), FOLDER / script, *args], text=True, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)


class EventSource:
    """npm's EventSource on a URL, in a process of its own; what it tells is in `said`, in order."""

    def __init__(self, url, client="tester", names=("status",)):
        self.said = []
        self.child = _start("eventsource.mjs", url, client, *names, stdin=subprocess.DEVNULL)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.child.stdout:
            self.said.append(json.loads(line) if line.startswith("{") else {"is": "noise", "text": line})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.thread.join()

    def of(self, kind):
        return [s for s in self.said if s["is"] == kind]

    def events(self):
        """(id, document) of each event."""
        return [(e["id"], json.loads(e["data"])) for e in self.of("event")]

    def wait(self, condition, timeout=20, what="something from EventSource"):
        def met():
            assert self.child.poll() is None or condition(self), f"EventSource has ended: {self.said[-5:]}"
            return condition(self)
        return env.wait_until(met, timeout, what)

    def wait_end(self, timeout=30):
        """Until it has given up by itself: its process ends, for nothing is left to do."""
        try:
            self.child.wait(timeout * env.PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"EventSource has not ended: {self.said[-5:]}") from None
        self.thread.join()
        assert self.child.returncode == 0 and not self.of("noise"), self.said


class Verifier:
    """The library `standardwebhooks`, asked about deliveries."""

    def __init__(self):
        self.child = _start("verify.mjs", stdin=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.communicate(timeout=20)

    def __call__(self, secret, headers, body):
        """{"payload": …} if it verifies, {"error": why not} if it doesn't."""
        question = {"secret": secret, "headers": dict(headers), "body": base64.b64encode(body).decode()}
        self.child.stdin.write(json.dumps(question) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())


class Validator:
    """The library `ajv`, asked whether values are as a document's schemas say."""

    def __init__(self, document):
        self.child = _start("validate.mjs", document, stdin=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.communicate(timeout=20)

    def __call__(self, schema, value):
        """What is wrong with the value by the schema of that name; [] if nothing is."""
        self.child.stdin.write(json.dumps({"schema": schema, "value": value}) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())
