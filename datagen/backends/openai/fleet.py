"""The servers that share the requests of one model, each with a window of its own; one server is a fleet of one.

A request goes to the server with the fewest open ones among those with room; where none has room, it waits for the
first place of all. A server is left out while others answer when nobody listens there, or after LOST failures in a row:
5xx, time-outs, dropped connections. Its requests are asked of the others at once. After a pause, which grows, one
request tries it again; any answer of it brings it back. When no server is left, all are tried.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal, Self

from datagen.backends.openai.window import Window
from datagen.notices import tell_once
from datagen.web import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS

LOST = 3
"""Failures in a row, without an answer between them, after which a server is left out."""


class Server:
    """One server: its address, its window, and what is known of its state. Times are on the monotonic clock."""

    def __init__(self, address: str, concurrency: int | Literal["auto"]) -> None:
        self.address, self.window = address, Window(concurrency)
        self.asked = self.answered = -math.inf
        """When it was last given a request, and when its last answer came."""
        self.failures = 0
        """Failures since then."""
        self.left = self.due = -math.inf
        """When it was last left out, and when it is tried again."""
        self.pause = 0.0
        """Seconds before its next try while it is left out, else 0."""
        self.is_told = False
        """Whether the user knows that it is left out: not before it fails again, as long as it may be a moment's."""
        self._news = asyncio.Event()

    @property
    def is_out(self) -> bool:
        """Whether it is left out."""
        return self.pause > 0

    async def rest(self, seconds: float) -> None:
        """Wait so long, or until there is news of this server."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def tell(self) -> None:
        """Wake those that rest."""
        self._news.set()
        self._news.clear()


class Fleet:
    """Hands out the places of all servers. Use it inside one event loop."""

    def __init__(self, addresses: Sequence[str], concurrency: int | Literal["auto"]) -> None:
        self.servers = [Server(address, concurrency) for address in addresses]
        self._waiting: deque[asyncio.Future[Server]] = deque()

    @property
    def limit(self) -> int:
        """How many requests may be open at the servers that are not left out, or at all if all are."""
        return sum(server.window.limit for server in self._list_present() or self.servers)

    @property
    def is_gone(self) -> bool:
        """Whether all servers are left out; one alone never is."""
        return not self._list_present()

    @property
    def ready(self) -> int:
        """How many requests to have begun: a quarter more than may be open, so that a free place is taken at once."""
        return self.limit + max(1, self.limit // 4)

    def note_answer(self, server: Server) -> None:
        """Take an answer into account, which brings back a server that was left out."""
        server.answered, server.failures = time.monotonic(), 0
        if server.is_out:
            for each in self.servers:
                if each.is_out:
                    each.tell()
            server.pause, server.due = 0.0, -math.inf
            if server.is_told:
                server.is_told = False
                server.window.renew()
                tell_once(f"{server.address} answers again ({datetime.now():%H:%M})")
            self.fill()

    def note_failure(
        self, server: Server, sent: float, why: str, is_deaf: bool = False, seconds: float | None = None
    ) -> bool:
        """Take the failure of a request that was `sent` then into account; return whether to ask another at once.

        `is_deaf` says that this one is enough to leave the server out, `seconds` how long it asks to wait. Otherwise
        the failure of what was sent before its last answer says nothing: it has answered since.
        """
        server.failures += 1
        is_lost = is_deaf or (server.failures >= LOST and server.answered < sent)
        if is_lost and not server.is_out and len(self.servers) > 1:
            self._postpone(server, seconds or 0.0)
            server.left = time.monotonic()
            server.tell()
        if server.is_out and not server.is_told and (is_deaf or sent > server.left):
            server.is_told = True
            tell_once(f"{server.address} is left out ({datetime.now():%H:%M}, {why}), and tried again now and then")
        return self.has_others(server)

    def _postpone(self, server: Server, seconds: float = 0.0) -> None:
        """Set the next try of a server that is left out: each pause is twice the last one."""
        server.pause = min(max(FIRST_PAUSE_SECONDS, 2 * server.pause), LONGEST_PAUSE_SECONDS)
        wait = max(seconds, server.pause)
        server.due = time.monotonic() + wait
        asyncio.get_running_loop().call_later(wait, self.fill)

    async def take(self, *, is_first: bool = False) -> Server:
        """Wait for a place, before all others if `is_first`, and return its server."""
        place: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if is_first else self._waiting.append)(place)
        self.fill()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release(place.result())
            raise

    def release(self, server: Server) -> None:
        """Give back a place."""
        server.window.open -= 1
        self.fill()

    def fill(self) -> None:
        """Hand out the places that are free."""
        while self._waiting:
            if self._waiting[0].done():  # cancelled
                self._waiting.popleft()
            elif server := self._choose():
                self._waiting.popleft().set_result(server)
            else:
                return

    def swap(self, server: Server) -> Server | None:
        """Return another server that has room, with the place at this one exchanged for one there; None if none has."""
        other = self._choose(besides=server)
        if other:
            self.release(server)
        return other

    def has_others(self, server: Server) -> bool:
        """Return whether a server is left out while others are not."""
        return server.is_out and bool(self._list_present())

    def _choose(self, besides: Server | None = None) -> Server | None:
        """Return the server to ask next, with a place taken; None if there is no room."""
        now = time.monotonic()
        asked = [server for server in self.servers if not server.is_out or server.due <= now] or self.servers
        free = [server for server in asked if server.window.has_room and server is not besides]
        if not free:
            return None
        chosen = min(free, key=lambda server: (server.window.open, server.asked))
        chosen.asked = now
        if chosen.is_out and chosen.due <= now:
            self._postpone(chosen)
        chosen.window.open += 1
        return chosen

    def _list_present(self) -> list[Server]:
        return [server for server in self.servers if not server.is_out]


class Place:
    """A place at a server, for `async with`; `move` changes the server."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        """The server of this place."""
        assert self._server is not None
        return self._server

    async def __aenter__(self) -> Self:
        self._server = await self._fleet.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._fleet.release(self._server)

    async def move(self) -> None:
        """Go to another server if one has room, or this one is left out and others are not."""
        here = self.server
        if other := self._fleet.swap(here):
            self._server = other
        elif self._fleet.has_others(here):
            self._server = None
            self._fleet.release(here)
            self._server = await self._fleet.take(is_first=True)
