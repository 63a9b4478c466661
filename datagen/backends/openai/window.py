"""How many requests are open at a server at a time: a given number, or as many as it answers well.

With `concurrency: auto` the number begins at FIRST and doubles while answers take about as long as the fastest did. It
halves when the server says that it is too much (429, 503) or does not answer in time, and grows by an eighth from then
on. It stays where answers take twice as long as at first: then more open requests would only wait at the server.

A server that takes fewer connections than that drops the others. Then the number, a given one too, becomes that of the
connections which the server holds, and grows from there.
"""

from __future__ import annotations

import math
import time
from typing import Literal

FIRST, MOST = 8, 512
"""Open requests to begin with, and at most."""
SLOWER = 2.0
"""Answers that take this many times as long as the fastest say that the server is full."""


class Window:
    """How many requests are `open` at a server, and how many may be: `limit`, which follows the server."""

    def __init__(self, concurrency: int | Literal["auto"]) -> None:
        self._is_auto = concurrency == "auto"
        self._most = MOST if concurrency == "auto" else concurrency
        self.open = 0
        self.dropped = 0
        """How many of them wait to be sent again after their connection was dropped; they keep their places."""
        self.renew()

    def renew(self) -> None:
        """Begin with the first number again: a server that comes back is not the one that went away."""
        self.limit = FIRST if self._is_auto else self._most
        self._sum, self._count, self._fastest = 0.0, 0, math.inf
        self._lowered = -math.inf
        """When the number was last lowered, on the monotonic clock."""

    @property
    def has_room(self) -> bool:
        """Whether one more may be open."""
        return self.open < self.limit

    @property
    def held(self) -> int:
        """How many requests the server holds beside one that failed just now."""
        return self.open - self.dropped - 1

    def grow(self, seconds: float) -> None:
        """Take an answer into account, and how long it took."""
        if not self._is_auto and self.limit == self._most:
            return
        self._sum += seconds
        self._count += 1
        if self._count < self.limit:
            return
        mean = self._sum / self._count
        self._sum, self._count = 0.0, 0
        self._fastest = min(self._fastest, mean)
        if mean <= SLOWER * self._fastest:
            more = self.limit if self._lowered == -math.inf else max(1, self.limit // 8)
            self.limit = min(self._most, self.limit + more)

    def shrink(self, sent: float) -> None:
        """Take a refusal or a time-out of a request that was `sent` then (monotonic clock) into account.

        Requests that were sent before it was last lowered do not count: they are of the same crowd.
        """
        if self._is_auto and sent > self._lowered:
            self._lower(self.limit // 2)

    def drop(self) -> bool:
        """Take a dropped connection into account; return whether the server holds as many as it takes.

        So it seems when others were dropped too, while it holds the rest.
        """
        is_full = self.dropped > 0 and self.held > 0
        if is_full:
            self._lower(min(self.limit, self.held))
        return is_full

    def _lower(self, limit: int) -> None:
        self.limit = max(1, limit)
        self._sum, self._count, self._lowered = 0.0, 0, time.monotonic()
