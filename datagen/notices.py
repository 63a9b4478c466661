"""Notices: what a model or a server made datagen do, told to a person once, from wherever it shows.

A sentence goes to the log of Python, logger `datagen`, which prints it to standard error unless the program that calls
datagen does otherwise. A process that works for another one collects its sentences, and hands them over with what it
made: eight workers that meet the same server tell it once.
"""

from __future__ import annotations

import logging

_told: set[str] = set()
_collected: list[str] | None = None


def tell_once(text: str) -> None:
    """Tell a sentence, unless this process has told it before."""
    if text in _told:
        return
    _told.add(text)
    if _collected is None:
        logging.getLogger("datagen").warning("%s", text)
    else:
        _collected.append(text)


def collect() -> None:
    """From here on keep sentences for `take`, in place of telling them: another process will."""
    global _collected
    _collected = []


def take() -> tuple[str, ...]:
    """Return what was collected since the last time."""
    global _collected
    taken = tuple(_collected or ())
    _collected = None if _collected is None else []
    return taken
