"""A headless Chromium spoken to over a pipe (DevTools protocol), with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome; `CHROMIUM` in the environment goes first."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab: load a file, run JavaScript, press keys; console messages, errors and requests are kept."""

    def __init__(self, program: str, profile: Path) -> None:
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        # The browser reads file descriptor 3 and writes 4; bash can place them whatever numbers they have here.
        place = f'exec "$@" 3<&{their_in} 4>&{their_out}'
        command = ["bash", "-c", place, "bash", program, *FLAGS, f"--user-data-dir={profile}"]
        self._log = (profile.parent / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            command, pass_fds=(their_in, their_out), stdout=self._log, stderr=self._log, start_new_session=True
        )
        os.close(their_in)
        os.close(their_out)
        self._buffer, self._count, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source="window.alert = () => { window.attacked = true; };")

    def close(self) -> None:
        """End the browser."""
        self._session = ""
        try:
            self.call("Browser.close")
            self._process.wait(20)
        except (ConnectionError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._log.close()

    def kill(self) -> None:
        """End the browser as a crash of the machine would: with all its processes, at once."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._log.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result; events on the way are kept, and a page that asks is told yes."""
        number = self._send(method, parameters)
        while (answer := self._read()).get("id") != number:
            if answer.get("method") == "Page.javascriptDialogOpening":
                self._send("Page.handleJavaScriptDialog", {"accept": True})
            if "method" in answer:
                self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._count

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], 120)[0]:
                raise TimeoutError("Chromium has not answered for 120 seconds")
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise ConnectionError("Chromium ended")
            self._buffer += piece
        head, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(head)
        return message

    def open(self, path: Path | str, width: int = 1280, height: int = 900) -> None:
        """Load a file or an address in a window of that size and wait until its script has run."""
        url = path if isinstance(path, str) else path.as_uri()
        # A page that was left open may have complained since: of its server, for one, which is gone.
        self.call("Page.navigate", url="about:blank")
        self.run("0")
        self.events.clear()
        self.resize(width, height)
        self.call("Page.navigate", url=url)
        for _ in range(2400):  # two minutes, for a machine that does other work
            if self.run("document.readyState") == "complete" and self.run("location.href").startswith(
                ("file:", "http:")
            ):
                self.settle()
                return
            time.sleep(0.05)
        raise TimeoutError(f"{path} did not load")

    def settle(self) -> None:
        """Wait until the page has built what its filters want."""
        self.run(
            "(async () => { const list = document.getElementById('groups');"
            "while (list && list.ariaBusy === 'true') await new Promise((done) => setTimeout(done, 5)); })()"
        )

    def resize(self, width: int, height: int) -> None:
        """Give the page a viewport in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def run(self, script: str) -> Any:
        """Evaluate a JavaScript expression and return its value; a rejected or thrown error raises."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a person would; single characters also type."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = {"Enter": 13, "Escape": 27, "Tab": 9, "Backspace": 8}.get(key, 0)
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)
            self.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")  # the page has taken it
        self.settle()

    def set_field(self, name: str, value: str) -> None:
        """Give a form field a value and tell the page, as typing or choosing does."""
        self.run(
            f"(() => {{ const field = document.getElementById({json.dumps(name)}); field.value = {json.dumps(value)};"
            "for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {bubbles: true})); })()"
        )
        self.settle()

    def picture(self, path: Path, whole: bool = False) -> None:
        """Save a screenshot as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """Return console errors and warnings, uncaught exceptions and blocked resources since the page opened."""
        self.run("new Promise((done) => setTimeout(done, 50))")
        found = []
        for event in self.events:
            name, details = event["method"], event["params"]
            bad_log = name == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning")
            bad_call = name == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning", "assert")
            if bad_log or bad_call or name == "Runtime.exceptionThrown":
                found.append(json.dumps(details)[:500])
        return found

    def await_complaint(self, words: str) -> str:
        """Return the first complaint that holds some words; raises TimeoutError where none comes in two minutes."""
        for _ in range(2400):
            for complaint in self.complaints():
                if words in complaint:
                    return complaint
        raise TimeoutError(f"the page has not complained of {words!r}")

    def requests(self) -> list[str]:
        """Return every URL asked for since the page opened, but data: and the page itself."""
        self.run("new Promise((done) => setTimeout(done, 50))")
        urls = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")][1:]
