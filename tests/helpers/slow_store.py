"""A store that is far away: a proxy before a server on loopback that delays each answer and counts the requests.

    with SlowStore(server.endpoint, seconds=0.1) as far: …

The client is pointed at `far.url` in place of the server; `far.requests` counts by method. Requests and answers pass
byte for byte, so that signatures hold.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

METHODS = {name.encode(): name for name in ("GET", "PUT", "HEAD", "POST", "DELETE")}


class SlowStore:
    """`endpoint` is HOST:PORT of the server, `seconds` the delay before the first byte of each answer."""

    def __init__(self, endpoint: str, seconds: float) -> None:
        host, port = endpoint.rsplit(":", 1)
        self._server, self._seconds = (host, int(port)), seconds
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests = Counter[str]()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asked = threading.Event()
            threading.Thread(target=self._pass_requests, args=(client, server, asked), daemon=True).start()
            threading.Thread(target=self._pass_answers, args=(server, client, asked), daemon=True).start()

    def _pass_requests(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        for chunk in _read(client, server):
            if (name := METHODS.get(chunk.split(b" /", 1)[0])) is not None:
                with self._lock:
                    self.requests[name] += 1
                asked.set()
            server.sendall(chunk)

    def _pass_answers(self, server: socket.socket, client: socket.socket, asked: threading.Event) -> None:
        for chunk in _read(server, client):
            if asked.is_set():
                asked.clear()
                time.sleep(self._seconds)
            client.sendall(chunk)


def _read(source: socket.socket, target: socket.socket) -> Iterator[bytes]:
    """Yield what comes until one side closes, then close both."""
    try:
        with suppress(OSError):
            while chunk := source.recv(1 << 16):
                yield chunk
    finally:
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
