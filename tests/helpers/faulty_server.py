"""A server on loopback that speaks the OpenAI protocol and misbehaves on purpose, as the seed of a request says.

`FaultyServer(faults={seed: fault})` or a function from seed to a fault; a fault named `…_once` hits the first attempt
alone. `choose` decides by path and body instead, and may give an answer of its own: status, body, headers. The server
keeps every request, so a test can see what was sent and how often.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from PIL import Image

HUGE_BYTES = 300_000_000
Fault = Callable[[int], str]
Own = tuple[int, Any, dict[str, str]]
"""An answer of a test's own: status, body, headers."""
Choose = Callable[[str, dict[str, Any]], str | Own]


def png_of(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (seed % 251, seed // 251 % 251, 7)).save(buffer, "PNG")
    return buffer.getvalue()


class FaultyServer:
    """Open it with `with`; `url` is the base address. `answer` may replace the right answer to a request's body."""

    def __init__(
        self,
        fault: Fault = lambda seed: "",
        answer: Callable[[str, dict[str, Any]], dict[str, Any]] | None = None,
        models: tuple[str, ...] = ("tiny",),
        key: str = "",
        choose: Choose | None = None,
    ) -> None:
        self.choose: Choose = choose or (lambda path, body: self.fault(body.get("seed", 0)))
        self.fault, self.answer, self.models, self.key = fault, answer or answer_rightly, models, key
        self.tries: Counter[int] = Counter()
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.sent_bytes = 0
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def has_key(self) -> bool:
                return not server.key or self.headers.get("Authorization") == f"Bearer {server.key}"

            def do_GET(self) -> None:
                if not self.has_key():
                    return _send(self, 401, {"error": {"message": "wrong key"}})
                data = [{"id": name, "object": "model", "created": 0, "owned_by": "x"} for name in server.models]
                return _send(self, 200, {"object": "list", "data": data})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not self.has_key():
                    return _send(self, 401, {"error": {"message": "wrong key"}})
                with server.lock:
                    server.bodies.append((self.path, body))
                    server.tries[body.get("seed", 0)] += 1
                try:
                    _misbehave(self, server, body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._http.shutdown()
        self._http.server_close()


def answer_rightly(path: str, body: dict[str, Any]) -> dict[str, Any]:
    picture = base64.b64encode(png_of(body.get("seed", 0))).decode()
    if path.endswith("/images/generations"):
        return {"created": 0, "data": [{"b64_json": picture}]}
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    answer: dict[str, Any] = chat_answer([part])
    if body.get("think"):
        answer["metrics"] = {"think_text": "a plan"}
    return answer


def chat_answer(content: Any, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice]}


def _send(handler: BaseHTTPRequestHandler, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _misbehave(handler: BaseHTTPRequestHandler, server: FaultyServer, body: dict[str, Any]) -> None:
    seed = body.get("seed", 0)
    chosen = server.choose(handler.path, body)
    if isinstance(chosen, tuple):
        return _send(handler, *chosen)
    fault, once, _ = chosen.partition("_once")
    if once and server.tries[seed] > 1:
        fault = ""
    right = server.answer(handler.path, body)
    whole = json.dumps(right).encode()
    if fault == "429":
        _send(handler, 429, {"error": {"message": "too many"}}, {"Retry-After": "0.05"})
    elif fault.isdigit():
        _send(handler, int(fault), {"error": {"message": f"fault {fault}, the key is {server.key}"}})
    elif fault in ("cut", "drip"):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(whole)))
        handler.end_headers()
        handler.wfile.write(whole[: len(whole) // 2])
        for _ in range(200 if fault == "drip" else 0):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
        handler.close_connection = True
    elif fault == "drop":
        handler.connection.close()
        handler.close_connection = True
    elif fault == "slow":
        time.sleep(0.3)
        _send(handler, 200, right)
    elif fault == "twice":
        _send(handler, 200, {key: 2 * part if isinstance(part, list) else part for key, part in right.items()})
    elif fault == "half":
        url = "data:image/png;base64," + base64.b64encode(png_of(seed)[:40]).decode()
        _send(handler, 200, chat_answer([{"type": "image_url", "image_url": {"url": url}}]))
    elif fault == "nothing":
        _send(handler, 200, b"")
    elif fault == "truncated":
        _send(handler, 200, whole[: len(whole) // 2])
    elif fault == "no_picture":
        url = "data:image/png;base64," + base64.b64encode(b"GIF? no, nothing of the kind").decode()
        _send(handler, 200, chat_answer([{"type": "image_url", "image_url": {"url": url}}]))
    elif fault == "huge":
        _send_huge(handler, server)
    elif fault == "error_text":
        _send(handler, 200, {"error": {"message": "out of memory", "code": 500}})
    elif fault == "plain_text":
        _send(handler, 200, b"Internal Server Error")
    else:
        _send(handler, 200, right)


def _send_huge(handler: BaseHTTPRequestHandler, server: FaultyServer) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(HUGE_BYTES))
    handler.end_headers()
    piece = b" " * 1_000_000
    for _ in range(HUGE_BYTES // len(piece)):
        handler.wfile.write(piece)
        server.sent_bytes += len(piece)
