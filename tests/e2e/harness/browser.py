"""Headless Chromium, driven through its debugging pipe (the Chrome DevTools Protocol, a JSON object and a
NUL a message)."""

import base64
import collections
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

from . import env

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
    # It shows pages of ours only, and the sandbox doesn't start for root.
    "--no-sandbox", "--hide-scrollbars", "--window-size=800,600",
]

# Keys that make no letter: name -> code, number. "Tab+shift" holds Shift.
KEYS = {"Tab": ("Tab", 9), "Enter": ("Enter", 13), "Escape": ("Escape", 27), "Delete": ("Delete", 46)}


def binary():
    found = [p for p in map(shutil.which, NAMES) if p]
    assert found, f"no Chromium is installed: none of {', '.join(NAMES)} (make check installs one)"
    return found[0]


class Browser:
    """One browser process; `page()` opens a page in it."""

    def __init__(self):
        self.profile = pathlib.Path(tempfile.mkdtemp(prefix="lhbrowser", dir="/tmp"))
        to_read, self.out = os.pipe()
        self.into, to_write = os.pipe()
        # The browser wants them as 3 and 4; from higher numbers the shell can move them there in any order.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (to_read, to_write)]
        self.log = open(self.profile / "log", "w+b")
        self.child = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{ends[0]} 4>&{ends[1]}; exec "$@"', "browser", binary(), *OPTIONS,
             f"--user-data-dir={self.profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=ends, start_new_session=True,
            env={**os.environ, "HOME": str(self.profile)})
        for fd in (to_read, to_write, *ends):
            os.close(fd)
        self.buffer = b""
        self.count = 0
        self.answers = {}
        self.pages = {}

    def close(self):
        try:
            self.call("Browser.close", timeout=10)
            self.child.wait(10)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self.child.kill()
            self.child.wait()
        os.close(self.out)
        os.close(self.into)
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, params=None, session=None, timeout=30):
        """Sends a command and returns its result."""
        self.count += 1
        number = self.count
        message = {"id": number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        end = time.monotonic() + timeout * env.PATIENCE
        while number not in self.answers:
            assert time.monotonic() < end, f"no answer to {method}"
            self.pump(0.5)
        answer = self.answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def pump(self, seconds=0):
        """Takes in what has arrived; waits so long for it."""
        if not select.select([self.into], [], [], seconds)[0]:
            return
        data = os.read(self.into, 1 << 16)
        if not data:
            self.log.seek(0)
            raise AssertionError("the browser ended: " + self.log.read()[-2000:].decode(errors="replace"))
        *whole, self.buffer = (self.buffer + data).split(b"\0")
        for message in map(json.loads, whole):
            if "id" in message:
                self.answers[message["id"]] = message
            elif message.get("sessionId") in self.pages:
                self.pages[message["sessionId"]].happened[message["method"]].append(message["params"])

    def page(self, url):
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self.pages[session] = Page(self, target, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.call("Page.navigate", {"url": url})
        return page


class Page:
    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session
        self.happened = collections.defaultdict(list)

    def call(self, method, params=None):
        return self.browser.call(method, params, self.session)

    def value(self, expression):
        """What the expression is worth in the page; a promise is waited for."""
        result = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self):
        return self.value("document.body ? document.body.innerText : ''")

    def wait(self, condition, timeout=20, what="something on the page"):
        def met():
            self.browser.pump()
            return condition(self)
        return env.wait_until(met, timeout, what, every=0.02)

    def events(self):
        """(id, data) of the server-sent events that the page received, over all its connections."""
        self.browser.pump()
        return [(e["eventId"], e["data"]) for e in self.happened["Network.eventSourceMessageReceived"]]

    def choose_file(self, selector, path):
        """As somebody would in the dialogue of an <input type=file>."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
        self.call("DOM.setFileInputFiles", {"nodeId": node, "files": [str(path)]})

    def screenshot(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", {"format": "png"})["data"]))

    def close(self):
        self.browser.call("Target.closeTarget", {"targetId": self.target})
        del self.browser.pages[self.session]

    # ---- who looks, at what, and how ----

    def headers(self, headers):
        self.call("Network.setExtraHTTPHeaders", {"headers": headers})

    def screen(self, width, height, **features):
        """The size of the window, and media features by their names, dashes as underscores."""
        self.call("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1,
                                                         "mobile": width < 500})
        self.call("Emulation.setEmulatedMedia", {"features": [
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()]})

    def go(self, url):
        self.call("Page.navigate", {"url": url})

    def press(self, *keys):
        """Keys, one after the other, as somebody would."""
        for key in keys:
            name, _, shift = key.partition("+")
            code, number = KEYS.get(name, (name, 0))
            event = {"key": name if len(name) == 1 else code, "code": code, "windowsVirtualKeyCode": number,
                     "modifiers": 8 if shift else 0}
            text = {"Enter": "\r"}.get(name, name if len(name) == 1 else None)
            self.call("Input.dispatchKeyEvent", {"type": "keyDown", **event, **({"text": text} if text else {})})
            self.call("Input.dispatchKeyEvent", {"type": "keyUp", **event})

    def click(self, selector):
        """By its element, wherever that is moving to; and no pointer stays there."""
        self.value(f"document.querySelector({json.dumps(selector)}).click()")
