"""Ctrl-C, from the first line of the program to the last, and told apart from a KeyboardInterrupt of somebody's code.

Python's own handler raises a KeyboardInterrupt wherever the program stands, also within a plugin, which may raise one
of its own accord. The handlers of datagen raise `Interrupted` instead, so that only the user stops a run.

It imports next to nothing, since it is what a command imports first. Not covered: the start of Python before that.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed."""


def raise_interrupted(number: int, frame: FrameType | None) -> None:
    """Raise Interrupted: the handler of SIGINT."""
    raise Interrupted


def heed_ctrl_c() -> None:
    """From now on let Ctrl-C raise `Interrupted` in this process. Only for the main thread."""
    signal.signal(signal.SIGINT, raise_interrupted)


def leave_on_ctrl_c() -> None:
    """From now on let Ctrl-C end this process at once: while there is nothing to tidy up. Only for the main thread."""
    signal.signal(signal.SIGINT, leave)


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether an exception means that Ctrl-C was pressed, also one that a library made of it.

    In a program that leaves Ctrl-C to Python, every KeyboardInterrupt of the main thread may be one, and counts.
    """
    if error.__cause__ is not None and is_ctrl_c(error.__cause__):
        return True
    if isinstance(error, Interrupted) or not isinstance(error, KeyboardInterrupt):
        return isinstance(error, Interrupted)
    import threading

    is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return is_pythons and threading.current_thread() is threading.main_thread()


def tell_stopped(words: Sequence[str]) -> str:
    """Return what is told after Ctrl-C, with the command that goes on where one of these words ended."""
    return f"stopped; what is finished is kept; to go on: {name_next(words)}"


def name_next(words: Sequence[str]) -> str:
    """Return the command that goes on where one ended; `--again` would begin anew."""
    from datagen import program

    words = [word for word in words if word not in ("--again", "--debug")]
    if not hasattr(program, "command"):  # Ctrl-C came while that module was imported
        return " ".join(["datagen", *words])
    return program.command(*words)


def leave(number: int = 0, frame: FrameType | None = None) -> None:
    """End the process at once, and say how to go on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sys.stdout.flush()
        print(tell_stopped(sys.argv[1:]), file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):  # a stream that is closed, or none
        pass
    os._exit(INTERRUPTED)
