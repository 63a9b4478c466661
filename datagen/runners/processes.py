"""Processes that tell what they did, each through a pipe of its own, and that end with the one that started them.

Each waits in a thread for the end of a pipe that is never written to, so that it ends even if that process is killed.
Ctrl-C, which reaches them all, is heeded by the one that started them alone. What they and their libraries print goes
to `log.txt` of a local run, and so does what plugins print in the process that started them (`keep_prints`).
"""

from __future__ import annotations

import ctypes
import io
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from datagen import notices
from datagen.errors import DatagenError, RunError
from datagen.pipeline import Job, Run, ShardResult, give_up_by
from datagen.plugins import Failed, attempt
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
        # Inherited: until the process can ignore it, Ctrl-C waits there; here it only waits for the start.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            with _without_main():
                process.start()
        except OSError as error:  # killed before it had read what it shall do
            process.join()
            raise self._explain_end(process.exitcode or 0) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
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
                    raise self._explain_end(process.exitcode) from None
                continue
            if told.error is not None:
                raise told.error
            yield told

    def _explain_end(self, exitcode: int) -> RunError:
        """Return why a process ended that should not have: the system kills for memory by SIGKILL."""
        where = str(self._run.folder)
        if exitcode == -signal.SIGKILL:
            return RunError(f"a {self._role} process was killed", where=where, hint=f"out of memory? {self._hint}")
        how = f"by {signal.Signals(-exitcode).name}" if exitcode < 0 else f"with exit code {exitcode}"
        hint = f"a plugin or a library ended it: see the end of log.txt there; {self._hint}"
        return RunError(f"a {self._role} process ended {how}", where=where, hint=hint)


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the module `__main__`, which a process would import at its start: a script that builds would build again."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    if run.folder.is_local:
        _print_into(run.folder.local_path / "log.txt")
    threading.Thread(target=_end_with_parent, args=(line,), daemon=True).start()
    telling = threading.Lock()

    def tell(told: Told) -> None:
        with telling:
            writer.send(replace(told, notices=notices.take(), usage=run.take_usage()))

    def give_up(error: RunError) -> None:
        tell(Told(error=error))
        os._exit(1)

    notices.collect(push=lambda: tell(Told()))
    give_up_by(give_up)
    try:
        done = attempt(lambda: task(run, tell, stopped, *given))
        if isinstance(done, Failed):
            tell(Told(error=_make_portable(done)))  # raised again by the parent
    except DatagenError as error:
        tell(Told(error=error))
    writer.close()


def _make_portable(failed: Failed) -> Exception:
    """Return an exception as it can be sent to another process."""
    copy = attempt(lambda: pickle.loads(pickle.dumps(failed.error)))
    return copy if isinstance(copy, Exception) else RunError(f"{failed.text} ({failed.place})")


def _print_into(log: Path) -> None:
    """Let all that this process prints, its libraries and child processes too, be appended to a file."""
    with suppress(OSError):  # a disk that is full: the run itself will say so
        log.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for stream in (1, 2):
            os.dup2(file, stream)
        os.close(file)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "wb", closefd=False), line_buffering=True, errors="backslashreplace")
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "wb", closefd=False), line_buffering=True, errors="backslashreplace")


@contextmanager
def keep_prints(run: Run) -> Iterator[None]:
    """Append what Python code prints to standard output in this process to `log.txt` of a local run."""
    if not run.folder.is_local:
        yield
        return
    file = run.folder.local_path / "log.txt"
    with file.open("a", buffering=1, errors="backslashreplace") as log, redirect_stdout(log):
        yield


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
