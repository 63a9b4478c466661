"""What actors and tasks print on all nodes of a Ray cluster, in files of the run folder.

Ray brings every line to the driver, also the last words of a process that crashed; only those of a node that was lost
may be missing. The driver alone writes them: to a local disk at once, to an object store at a pace, in files that are
put again while they are small.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from datagen import notices
from datagen.pipeline.parts import Pace
from datagen.store import RunFolder, date_line

FILE_BYTES, MOST_FILES = 4 << 20, 64
"""A file has about so many bytes at most, and a call of the command so many files; Ray's own logs have the rest."""
LONGEST_REST = 30.0
"""Seconds between two puts on an object store, at most."""
LAST_SECONDS = 1.0
"""How long Ray may take to bring the last lines."""
_PRINTER = "ray_print_logs"
"""Ray's own handler, which prints all of this to the console (2.60.0)."""


class WorkerLogs:
    """Lines of workers on their way to `logs/`."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._pace = folder, Pace(longest=LONGEST_REST)
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._begun, self._number, self._bytes = datetime.now(), 0, 0

    def add(self, said: Mapping[str, Any]) -> None:
        """Take in some lines as Ray hands them to a driver; called by a thread of Ray's."""
        if said.get("pid") == "autoscaler":  # a table every few seconds, which the dashboard shows
            return
        name = said.get("actor_name") or said.get("task_name") or ""
        who = f"{said.get('ip')} {said.get('pid')} {name}".rstrip()
        with self._lock:
            self._lines += [date_line(f"{who}: {line}") for line in said.get("lines", ())]

    def say(self, text: str) -> None:
        """Add a line of the driver's own."""
        with self._lock:
            self._lines.append(date_line(f"driver: {text}"))

    def write(self, last: bool = False) -> None:
        """Write what has come, if it is time; what comes after the last file is dropped."""
        if not self._lines or not (last or not self._pace.wait_seconds()):
            return
        with self._lock:
            lines, self._lines = self._lines, []
        if self._number >= MOST_FILES:
            return
        content = "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")
        with self._pace.measure():
            self._folder.append(f"logs/{self._begun:%Y%m%d-%H%M%S}-{self._number:02d}.txt", content)
        self._bytes += len(content)
        if self._bytes >= FILE_BYTES:
            self._number, self._bytes = self._number + 1, 0


@contextmanager
def keep_logs(folder: RunFolder, quiet: bool) -> Iterator[WorkerLogs]:
    """Keep what workers print while the block runs, on a connected driver; when `quiet`, the console shows nothing."""
    logs = WorkerLogs(folder)
    try:
        from ray._private.ray_logging import global_worker_stdstream_dispatcher as lines
    except ImportError:
        notices.tell_once("this version of Ray keeps what workers print in its own logs")
        yield logs
        return
    name = f"datagen-{id(logs)}"
    lines.add_handler(name, logs.add)
    if quiet:
        lines.remove_handler(_PRINTER)
    try:
        yield logs
    finally:
        if quiet:  # the processes have ended by now
            time.sleep(LAST_SECONDS)
        lines.remove_handler(name)
        logs.write(last=True)
