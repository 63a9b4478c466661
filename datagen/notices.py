"""Notices to the user about a model or a server, each shown once.

A notice goes to Python's logger `datagen`, which prints it to standard error unless the calling program configures it
otherwise. A worker process collects its notices and returns them with its results, so eight workers that meet the same
server show one notice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from datagen.records import visible

_told: set[str] = set()
_collected: list[str] | None = None
_push: Callable[[], None] | None = None


def tell_once(text: str, *, at_once: bool = False) -> None:
    """Show a notice, unless this process has shown it before; `at_once` if it cannot wait for a result."""
    if text in _told:
        return
    _told.add(text)
    if _collected is None:
        logging.getLogger("datagen").warning("%s", visible(text))
        return
    _collected.append(text)
    if at_once and _push is not None:
        _push()


def collect(push: Callable[[], None] | None = None) -> None:
    """From now on keep notices for `take` instead of showing them; the parent process shows them.

    `push` is called, in any thread, when one cannot wait.
    """
    global _collected, _push
    _collected, _push = [], push


def take() -> tuple[str, ...]:
    """Return the notices collected since the last call."""
    global _collected
    taken = tuple(_collected or ())
    _collected = None if _collected is None else []
    return taken
