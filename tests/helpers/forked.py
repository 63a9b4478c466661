"""Runs the command line in a fork of a process that has loaded datagen: there in milliseconds, and killed as any other.

with_server = Forked(["status", "outputs/one"], log)
with_server.kill(signal.SIGKILL)
Forked(["status", "outputs/one"], log).end().code
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tests.helpers.runs import command, environment

_context = get_context("forkserver")
_context.set_forkserver_preload(
    [f"datagen.{name}" for name in ("cli", "console", "pipeline", "report", "push", "export", "runners.local")]
)


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, minus the signal if one killed it, and all that it said."""

    code: int
    said: str


class Forked:
    """A running command; its output goes to the file `log`."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self._log = log
        self._process = _context.Process(target=_run, args=([*words], str(log)))
        self._process.start()

    def wait(self, seconds: float) -> bool:
        """Wait so long; return whether it has ended."""
        self._process.join(seconds)
        return self._process.exitcode is not None

    def send(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self, seconds: float = 1800.0) -> Ended:
        """Wait for its end."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, "it does not end"
        code = self._process.exitcode
        self._process.close()
        return Ended(code, self._log.read_text(encoding="utf-8", errors="replace"))


class Started:
    """As `Forked`, with a Python of its own, as a terminal starts it."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(command(*words), env=environment(), stdout=file, stderr=file)

    def wait(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, seconds: float = 1800.0) -> Ended:
        code = self._process.wait(seconds)
        return Ended(code, self._log.read_text(encoding="utf-8", errors="replace"))


def _run(words: list[str], log: str) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(out, number)
    os.close(out)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    sys.argv = ["datagen", *words]
    from datagen.__main__ import main

    main()
