"""`datagen studio` in a process of its own, and a browser tab that a person sits before."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))

from browser import Page, find_chromium

from tests.helpers.runs import command, environment

__all__ = ["Served", "Tab", "find_chromium"]


class Served:
    """`datagen studio`, or `datagen view` of a run, in a process of its own."""

    def __init__(self, project: Path, word: str = "studio", target: Path | None = None) -> None:
        arguments = [*command(word, str(target or project))]
        self.process = subprocess.Popen(
            arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), self.process.communicate()

    def end(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit code, and what was printed to standard error."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


class Tab:
    """One browser with the page open."""

    def __init__(self, program: str, profile: Path) -> None:
        self.page = Page(program, profile)

    def open(self, address: str, width: int = 1280, height: int = 860) -> Tab:
        """Load the page and wait until it shows prompts."""
        self.page.open(address, width, height)
        self.wait("document.getElementById('prompts').dataset.state === 'ready'")
        return self

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page."""
        return self.page.run(script)

    def wait(self, script: str) -> Any:
        """Wait until an expression is true, for two minutes at most, and return its value."""
        for _ in range(2400):
            if value := self.page.run(script):
                return value
            time.sleep(0.05)
        raise TimeoutError(f"{script}: {self.page.run('document.body.innerText')[:3000]} {self.page.complaints()}")

    def leave(self) -> None:
        """Leave the page, also where it asks whether words should be lost."""
        self.page.call("Page.navigate", url="about:blank")
        self.wait(
            "location.href === 'about:blank'"
        )  # else the question may still stand when the next page is asked for

    def reload(self) -> None:
        """Load the page anew, and return when the new one is there."""
        self.run("window.isOld = true")
        self.page.call("Page.reload")
        self.wait("!window.isOld && document.readyState === 'complete'")

    @property
    def text(self) -> str:
        """What the editor shows; a long file is shown in part."""
        shown: str = self.run("[...document.querySelectorAll('.cm-line')].map((line) => line.innerText).join('\\n')")
        return shown.replace("\n\n\n", "\n\n")

    def type_at(self, line: int, text: str) -> None:
        """Set the cursor at the end of a line, as a click does, and type."""
        spot = self.run(
            f"(() => {{ const line = document.querySelectorAll('.cm-line')[{line - 1}]; const range = document"
            ".createRange(); range.selectNodeContents(line); const words = range.getBoundingClientRect();"
            "return [words.right + 1, line.getBoundingClientRect().bottom - 6]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.page.call("Input.dispatchMouseEvent", type=kind, x=spot[0], y=spot[1], button="left", clickCount=1)
        self.page.call("Input.insertText", text=text)

    def hold_control(self, key: str) -> None:
        """Press Ctrl and a letter."""
        for kind in ("rawKeyDown", "keyUp"):
            code = ord(key.upper())
            self.page.call(
                "Input.dispatchKeyEvent",
                type=kind, key=key, code=f"Key{key.upper()}", modifiers=2, windowsVirtualKeyCode=code,
            )  # fmt: skip

    def wait_saved(self) -> None:
        """Wait until the file has what the editor has."""
        self.wait("document.getElementById('saved').dataset.state === 'saved'")
