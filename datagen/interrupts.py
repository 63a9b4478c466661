"""Ctrl-C, told apart from a KeyboardInterrupt that somebody's code raises.

Python's own handler raises a KeyboardInterrupt wherever the program stands, also within a plugin, which may raise one
of its own accord. The handlers of datagen raise `Interrupted` instead, so that only the user stops a run.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed."""


def raise_interrupted(number: int, frame: FrameType | None) -> None:
    """Raise Interrupted: the handler of SIGINT."""
    raise Interrupted


def heed_ctrl_c() -> None:
    """From now on let Ctrl-C raise `Interrupted` in this process. Only for the main thread."""
    signal.signal(signal.SIGINT, raise_interrupted)


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether an exception means that Ctrl-C was pressed.

    In a program that leaves Ctrl-C to Python, every KeyboardInterrupt of the main thread may be one, and counts.
    """
    if isinstance(error, Interrupted) or not isinstance(error, KeyboardInterrupt):
        return isinstance(error, Interrupted)
    is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return is_pythons and threading.current_thread() is threading.main_thread()
