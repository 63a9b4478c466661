"""How many requests are open at a server at a time: a given number, or as many as it answers well.

With `concurrency: auto` the number begins at FIRST and doubles while answers take about as long as the fastest did. It
halves when the server says that it is too much (429, 503) or does not answer in time, and grows by an eighth from then
on. It stays where answers take twice as long as at first: then more open requests would only wait at the server.

A server that takes fewer connections than that drops the others. Then the number, a given one too, becomes that of the
connections which the server holds, and grows from there.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import Literal

FIRST, MOST = 8, 512
"""Open requests to begin with, and at most."""
SLOWER = 2.0
"""Answers that take this many times as long as the fastest say that the server is full."""


class Window:
    """The places for open requests, `limit` of them, which follows the server; for use in one event loop."""

    def __init__(self, concurrency: int | Literal["auto"]) -> None:
        self._is_auto = concurrency == "auto"
        self._most = MOST if concurrency == "auto" else concurrency
        self.limit = FIRST if concurrency == "auto" else concurrency
        self.dropped = 0
        """How many requests wait to be sent again after their connection was dropped; they keep their places."""
        self._open = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sum, self._count, self._fastest = 0.0, 0, math.inf
        self._lowered = -math.inf
        """When the number was last lowered, on the monotonic clock."""

    @property
    def ready(self) -> int:
        """How many requests to have begun: a quarter more than may be open, so that a free place is taken at once."""
        return self.limit + max(1, self.limit // 4)

    async def __aenter__(self) -> None:
        while self._open >= self.limit:
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                self._wake()
                raise
        self._open += 1

    async def __aexit__(self, *_: object) -> None:
        self._open -= 1
        self._wake()

    def _wake(self) -> None:
        """Let as many go on as there are places."""
        for _ in range(self.limit - self._open):
            while self._waiting:
                place = self._waiting.popleft()
                if not place.done():
                    place.set_result(None)
                    break

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
            self._wake()

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
        held = self._open - self.dropped - 1
        is_full = self.dropped > 0 and held > 0
        if is_full:
            self._lower(min(self.limit, held))
        return is_full

    def _lower(self, limit: int) -> None:
        self.limit = max(1, limit)
        self._sum, self._count, self._lowered = 0.0, 0, time.monotonic()
