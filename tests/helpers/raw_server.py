"""A server on loopback that decides about every byte and every connection; see `RawServer`."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

from tests.helpers.faulty_server import answer_rightly

Send = Callable[["Line", bytes], Awaitable[None]]
AT_ONCE = struct.pack("ii", 1, 0)
"""Closes a connection with a reset, as a server does that will not have it."""


class Line:
    """One connection: `send` writes bytes, `number` counts the requests of the whole server from 1."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        self._loop, self._connection = loop, connection
        self.number = 0
        self.body: dict[str, Any] = {}
        self.is_open = True

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._connection, data)


class RawServer:
    """Open it with `with`; `send` gets the right HTTP answer to each request and sends what it likes.

    At most `most` connections are open; others are closed at once, or with `waits` left to wait until one ends.
    """

    def __init__(self, send: Send, most: int = 10_000, waits: bool = False, port: int = 0) -> None:
        self._send, self._most, self._waits = send, most, waits
        self.requests = self.open = self.most_open = self.turned_away = 0
        self._socket = socket.create_server(("127.0.0.1", port), backlog=2048)
        self._socket.setblocking(False)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._socket.close()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        accepting = asyncio.ensure_future(self._accept())
        self._ready.set()
        await self._end.wait()
        accepting.cancel()

    async def _accept(self) -> None:
        tasks, places = set(), asyncio.Semaphore(self._most)
        while True:
            if self._waits:
                await places.acquire()
            connection, _ = await self._loop.sock_accept(self._socket)
            connection.setblocking(False)
            if self.open >= self._most:
                self.turned_away += 1
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                connection.close()
                continue
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            task = asyncio.ensure_future(self._answer(connection))
            tasks.add(task)
            task.add_done_callback(lambda done: (tasks.discard(done), places.release()))

    async def _answer(self, connection: socket.socket) -> None:
        line, read = Line(self._loop, connection), b""
        with connection, suppress(OSError):
            while line.is_open and (data := await self._loop.sock_recv(connection, 65536)):
                read += data
                head, blank, body = read.partition(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                if not blank or len(body) < int(length or 0):
                    continue
                read = b""
                line.is_open = b"connection: close" not in head.lower()
                path = head.split()[1].decode()
                if head.startswith(b"GET"):
                    await line.send(pack({"object": "list", "data": [{"id": "tiny", "object": "model"}]}))
                    continue
                self.requests += 1
                line.number, line.body = self.requests, json.loads(body)
                await self._send(line, pack(answer_rightly(path, line.body)))
        self.open -= 1


def pack(answer: Any, length: int | None = None) -> bytes:
    """Return a whole HTTP answer, with another `Content-Length` than its own if `length` is given."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % (len(body) if length is None else length)
        + body
    )
