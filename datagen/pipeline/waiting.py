"""Scorers that do not answer: told while they are waited for, interrupted when their time is over, recorded.

    scorer_timeout_seconds: 600      # of one call; null for no limit

A call is interrupted by a signal to the main thread, in which scorers run: that ends Python code, and waiting for a
server, a lock or a process. The sample has a failure of that scorer, which is no result: the next run asks again. A
scorer that did not answer `MOST_OVERDUE` times in a row is not asked again by its process.

Not covered: code of a library that neither returns nor waits in Python, such as a kernel that is stuck, and a module
that hangs while it is imported. In a worker that ends the run with an error that names the scorer, `GRACE_SECONDS`
later; in the main process (`--workers 0`) and in threads of others, such as the scoring actors of Ray, it is told once
more, with the process to end.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

from datagen.errors import RunError
from datagen.notices import tell_once
from datagen.pipeline.run import Run
from datagen.plugins import Failed, attempt

Answer = TypeVar("Answer")
TOLD_SECONDS = 60.0
"""How long a call lasts before somebody is told."""
GRACE_SECONDS = 30.0
"""How long an interrupted call may take to end."""
MOST_OVERDUE = 3
"""Calls without an answer, one after the other, until a scorer is not asked again."""
_LOOK_SECONDS = 0.2
_SIGNAL = signal.SIGUSR2


class _OverdueError(BaseException):
    """Raised within a call whose time is over; no `except Exception` of a plugin catches it."""


@dataclass(slots=True)
class _Call:
    name: str
    limit: float | None
    begun: float
    is_told: bool = False
    is_given_up: bool = False

    def waited(self) -> float:
        return time.monotonic() - self.begun

    def is_over(self, more: float = 0.0) -> bool:
        return self.limit is not None and self.waited() > self.limit + more


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


class _Clock:
    """Watches the calls of this process, one in each thread, from a thread of its own."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._thread: threading.Thread | None = None
        self._before: object = None
        self.give_up: Callable[[RunError], None] | None = None

    def call(self, name: str, limit: float | None, call: Callable[[], Answer]) -> Answer | Failed:
        """Return the answer of a call, or what it raised: `_OverdueError` when its time was over."""
        self._start()
        me = threading.get_ident()
        answer: Answer | Failed
        self._calls[me] = _Call(name, limit, time.monotonic())
        try:
            answer = attempt(call)
            del self._calls[me]  # from here on nothing is raised any more
        except _OverdueError as error:
            answer = Failed(error, "", "")
        finally:
            self._calls.pop(me, None)
        return answer

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()
        if self._before is None and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(_SIGNAL, self._interrupt) or signal.SIG_DFL

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        call = self._calls.get(threading.get_ident())
        if call is not None and call.is_over():
            if not _is_importing(frame):  # else a module would stay half imported
                raise _OverdueError
        elif callable(self._before):
            self._before(number, frame)

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            for thread, call in list(self._calls.items()):
                if not call.is_told and call.waited() > TOLD_SECONDS:
                    call.is_told = True
                    until = "" if call.limit is None else f"; it is given up after {call.limit:g} s"
                    tell_once(f"the scorer {call.name!r} has not answered for {TOLD_SECONDS:g} s{until}", at_once=True)
                if call.is_over():
                    self._end(thread, call)

    def _end(self, thread: int, call: _Call) -> None:
        """Interrupt a call whose time is over; after the grace period end the process, or say that it is stuck."""
        can_be_reached = thread == threading.main_thread().ident and self._before is not None
        if can_be_reached:
            signal.pthread_kill(thread, _SIGNAL)
        if call.is_over(GRACE_SECONDS) and not call.is_given_up:
            call.is_given_up = True
            what = f"the scorer {call.name!r} has not answered for {call.waited():.0f} s and cannot be interrupted"
            if can_be_reached and self.give_up is not None:
                self.give_up(RunError(what, hint="see log.txt there; a library that it uses is stuck"))
            else:
                go_on = f"it is waited for; `kill -9 {os.getpid()}` ends this, and the same command goes on"
                tell_once(f"{what}: {go_on}", at_once=True)


_clock = _Clock()


def ask_scorer(run: Run, name: str, call: Callable[[], Answer]) -> Answer | Failed:
    """Call a scorer as `attempt` does, for no longer than the recipe says.

    After that the result is Failed with a TimeoutError: its model counts as not reached.
    """
    limit = run.recipe.scorer_timeout_seconds
    if run.overdue[name] >= MOST_OVERDUE:
        return _fail(f"not asked: it gave no answer {MOST_OVERDUE} times in a row")
    answer = _clock.call(name, limit, call)
    if isinstance(answer, Failed) and isinstance(answer.error, _OverdueError):
        run.overdue[name] += 1
        return _fail(f"no answer within {limit:g} s", answer.place)
    run.overdue.pop(name, None)
    return answer


def give_up_by(end: Callable[[RunError], None]) -> None:
    """Name what ends this process when a call cannot be interrupted."""
    _clock.give_up = end


def _fail(text: str, place: str = "") -> Failed:
    return Failed(TimeoutError(text), text, place)
