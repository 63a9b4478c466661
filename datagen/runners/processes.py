"""Processes that tell what they did, each through a pipe of its own, and that end with the one that started them.

Each waits in a thread for the end of a pipe that is never written to, so that it ends even if that process is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import Any, Self

from datagen import notices
from datagen.errors import DatagenError, RunError
from datagen.pipeline import Job, Run, ShardResult
from datagen.usage import Usage

M_MMAP_THRESHOLD, LARGE_BYTES = -3, 1 << 18
"""glibc's number of the setting (malloc.h), and the size from which memory goes back to the system when it is free."""


@dataclass(frozen=True, slots=True)
class Told:
    """A message of a process: whether each answer since the last one failed, a shard that is generated, or finished.

    `usage` is what its models were asked for since the last message, `error` what ended it. `has_waited` says that a
    model had room for more than it was given.
    """

    failed: tuple[bool, ...] = ()
    done: Job | None = None
    result: ShardResult | None = None
    notices: tuple[str, ...] = ()
    usage: Mapping[str, Usage] = field(default_factory=dict)
    error: Exception | None = None
    has_waited: bool = False


Tell = Callable[[Told], None]
Task = Callable[..., None]
"""What a process does, with its run, a way to tell, the event that stops it, and what it was given."""


class Crew:
    """Processes for a run; use it with `with`, start them, and listen. A `role` is named in errors, with a `hint`.

    Leaving the block stops them and waits until they have ended; after a second Ctrl-C they end at once.
    """

    def __init__(self, run: Run, role: str, hint: str) -> None:
        # CUDA and running threads do not survive a fork.
        self.context = get_context("spawn")
        self.stopped: Event = self.context.Event()
        self._run, self._role, self._hint = run, role, hint
        self._theirs, self._ours = self.context.Pipe(duplex=False)
        self._processes: dict[Connection, BaseProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._ours.close()
        self.stopped.set()
        for process in self._processes.values():
            process.join()
        self._ours.close()
        self._theirs.close()

    def start(self, task: Task, threads: int, *given: Any, device: str | None = None) -> None:
        """Start a process that uses so many threads, and sees one device if it is given."""
        reader, writer = self.context.Pipe(duplex=False)
        about = (task, self._run, self._theirs, self.stopped, writer, threads, device)
        process: BaseProcess = self.context.Process(target=_work, args=(*about, *given))
        process.start()
        writer.close()  # else its end could not be seen
        self._processes[reader] = process

    @property
    def is_working(self) -> bool:
        """Whether a process has not ended yet."""
        return bool(self._processes)

    def listen(self, seconds: float) -> Iterator[Told]:
        """Yield what the processes have told, after waiting up to so long for something.

        Raises the error that ended one, and RunError when one was killed.
        """
        for reader in wait_for_any(list(self._processes), timeout=seconds):
            assert isinstance(reader, Connection)
            try:
                told = reader.recv()
            except EOFError:
                process = self._processes.pop(reader)
                process.join()
                if process.exitcode:
                    where = str(self._run.folder)
                    raise RunError(f"a {self._role} process was killed", where=where, hint=self._hint) from None
                continue
            if told.error is not None:
                raise told.error
            yield told


def _work(
    task: Task,
    run: Run,
    line: Connection,
    stopped: Event,
    writer: Connection,
    threads: int,
    device: str | None,
    *given: Any,
) -> None:
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # else each process would use all cores
    give_memory_back()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; only the parent handles it
    notices.collect()
    threading.Thread(target=_end_with_parent, args=(line,), daemon=True).start()

    def tell(told: Told) -> None:
        writer.send(replace(told, notices=notices.take(), usage=run.take_usage()))

    try:
        task(run, tell, stopped, *given)
    except (DatagenError, OSError, ValueError) as error:  # raised again by the parent
        tell(Told(error=error))
    writer.close()


def give_memory_back() -> None:
    """Let the memory of pictures go back to the system as soon as it is free.

    glibc would raise the size from which it does to that of the largest picture, up to 32 MB, and keep the rest.
    """
    with suppress(OSError, AttributeError):  # other C libraries have no such setting
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def _end_with_parent(line: Connection) -> None:
    with suppress(EOFError, OSError):
        line.recv_bytes()
    os._exit(1)
