"""Back-off for destinations: what may work later is tried again, what no waiting mends is one clear error.

The wait doubles from one second to a minute, and is what the server asks for where it says so (`Retry-After`). A
destination tells by its own `judge` which is which, since every client has exceptions of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from datagen.errors import PushError

ATTEMPTS = 8
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
GO_ON = "run the same command again: what has arrived is kept"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Again:
    """Something that may work later: why it did not, and how long the server asks to wait, in seconds, if it does."""

    why: str
    wait_seconds: float | None = None


def keep_trying(
    call: Callable[[], T],
    errors: tuple[type[Exception], ...],
    judge: Callable[[Exception], Again | PushError],
    where: str,
    say: Callable[[str], None],
) -> T:
    """Return what `call` returns, trying up to ATTEMPTS times on `errors` that `judge` calls `Again`.

    Raises the PushError of `judge`, or one that says what went wrong last.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except errors as error:
            verdict = judge(error)
            if isinstance(verdict, PushError):
                raise verdict from error
            if attempt == ATTEMPTS:
                raise PushError(f"gave up after {ATTEMPTS} tries: {verdict.why}", where=where, hint=GO_ON) from error
        wait = min(FIRST_WAIT_SECONDS * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
        wait = wait if verdict.wait_seconds is None else verdict.wait_seconds
        say(f"{verdict.why}: again in {wait:.0f} s")
        time.sleep(wait)
    raise AssertionError("unreachable")
