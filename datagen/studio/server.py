"""The server of the pages: the standard library's, on loopback, for whoever knows the address.

The address begins with a token, new for every start, so each request carries it and no cookie does: cookies are sent
to every port of a host. A request is refused unless its Host is loopback, its Origin, if it has one, is the page's own,
and its first path segment is the token, compared in constant time. A page may load nothing but its own files, and no
script but these (Content-Security-Policy); every text enters it as text, never as HTML.

Not covered: TLS, and other users of the same machine who can read its network traffic or the terminal.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files as resources_of
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

from datagen.errors import ConfigError, DatagenError
from datagen.studio.files import ForbiddenError
from datagen.studio.looking import tell_error

LOOPBACK = "127.0.0.1"
HOSTS = (LOOPBACK, "localhost")
"""The names under which a browser may ask; any other is that of a site that was pointed at this machine."""
MOST_BYTES = 8 << 20
"""Most bytes of a request's body."""
IDLE_SECONDS = 60.0
"""A connection on which nothing comes for so long is closed."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Actions = dict[tuple[str, str], Callable[[], None]]
"""What answers a request, by its method and the last part of its address."""
Pages = dict[str, tuple[str, str, str]]
"""What the pages consist of: package, file in it and type, by the last part of the address."""


class Server(ThreadingHTTPServer):
    """A server on loopback with a token. Use as a context manager; `serve_forever` returns when it is shut down.

    Raises ConfigError if the port is taken; port 0 is any free one.
    """

    daemon_threads = True
    handler: ClassVar[type[Handler]]

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((LOOPBACK, port), self.handler)
        except OSError as error:
            hint = "leave --port out for one that is free"
            raise ConfigError(f"port {port} cannot be used: {error.strerror}", where="--port", hint=hint) from error

    @property
    def address(self) -> str:
        """The address of the page, with its token."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that the browser closed."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def __exit__(self, *_: object) -> None:
        self.server_close()

    def __enter__(self) -> Self:
        return self

    def server_close(self) -> None:
        """Close the port at once; threads of open connections end with the process."""
        self.socket.close()


class Refusal(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: HTTPStatus, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


class Handler(BaseHTTPRequestHandler):
    """One connection of a browser."""

    pages: ClassVar[Pages] = {}
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: every address has the token in it."""

    def version_string(self) -> str:
        """Return the name of the server."""
        return "datagen"

    def actions(self) -> Actions:
        """Return what this server answers beside its pages."""
        return {}

    def do_GET(self) -> None:
        """Answer with a page or with what it asks for."""
        self._answer()

    def do_PUT(self) -> None:
        """Write a file."""
        self._answer()

    def do_POST(self) -> None:
        """Do what a page asks for."""
        self._answer()

    def _answer(self) -> None:
        try:
            self._require_own()
            name = self._take_token()
            if act := self.actions().get((self.command, name)):
                act()
            elif self.command == "GET" and name in self.pages:
                self._send_page(*self.pages[name])
            else:
                raise Refusal(HTTPStatus.NOT_FOUND, "there is nothing here")
        except Refusal as refusal:
            self.close_connection = True  # its body may not have been read
            self.send_json({"error": {"what": refusal.what, "where": "", "hint": ""}}, refusal.status)
        except ForbiddenError as error:
            what = f"{str(error)[:200]!r} is no file of the project that can be edited"
            self.send_json({"error": {"what": what, "where": "", "hint": ""}}, HTTPStatus.FORBIDDEN)
        except DatagenError as error:
            self.send_json({"error": tell_error(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)

    def _require_own(self) -> None:
        """Refuse what another site sends, or sends through a name of its own that leads to this machine."""
        port = self._server.server_port
        hosts = [f"{name}:{port}" for name in HOSTS]
        if self.headers.get_all("Host", []) not in [[host] for host in hosts]:
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, f"ask for {LOOPBACK}:{port}")
        origins = self.headers.get_all("Origin", [])
        if origins and origins != [f"http://{self.headers['Host']}"]:
            raise Refusal(HTTPStatus.FORBIDDEN, "only its own page may ask")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise Refusal(HTTPStatus.FORBIDDEN, "only its own page may ask")

    def _take_token(self) -> str:
        """Return the last part of an address that begins with the token."""
        parts = urlsplit(self.path).path.split("/")
        given = parts[1].encode("utf-8", "surrogateescape") if len(parts) == 3 else b""
        if not hmac.compare_digest(given, self._server.token.encode()):
            raise Refusal(HTTPStatus.NOT_FOUND, "open the address that the command printed")
        return parts[2]

    @property
    def _server(self) -> Server:
        assert isinstance(self.server, Server)
        return self.server

    def take_query(self) -> dict[str, list[str]]:
        """Return the values of the address by name."""
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def argument(self, name: str) -> str:
        """Return the one value of a name in the address."""
        given = self.take_query().get(name, [])
        if len(given) != 1:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"the address needs one {name}=")
        return given[0]

    def take_body(self, **keys: type) -> list[Any]:
        """Return the values of a JSON object that has these keys with these types."""
        if self.headers.get_content_type() != "application/json":  # a form of another site cannot send it
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= MOST_BYTES):
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {MOST_BYTES:,} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, "the body is not JSON") from error
        if not isinstance(body, dict) or any(not isinstance(body.get(key), kind) for key, kind in keys.items()):
            raise Refusal(HTTPStatus.BAD_REQUEST, f"the body needs {', '.join(keys)}")
        return [body[key] for key in keys]

    def _send_page(self, package: str, file: str, kind: str) -> None:
        nonce = secrets.token_urlsafe(16)
        content = resources_of(package).joinpath(file).read_bytes()
        if kind == "text/html":
            content = content.replace(b"NONCE", nonce.encode())
        self.send(content, f"{kind}; charset=utf-8", HTTPStatus.OK, nonce)

    def send_json(self, values: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Answer with JSON."""
        self.send(json.dumps(values).encode(), "application/json", status)

    def send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, nonce: str = "") -> None:
        """Answer with some bytes of a type."""
        self.send_head(status, kind, {"Content-Length": str(len(content))}, nonce)
        self.wfile.write(content)

    def send_head(self, status: HTTPStatus, kind: str, more: dict[str, str], nonce: str = "") -> None:
        """Send the status and the headers of an answer."""
        self.send_response(status)
        policy = POLICY if nonce else POLICY.replace(" 'nonce-{nonce}'", "")
        headers = {"Content-Type": kind, "Content-Security-Policy": policy.format(nonce=nonce), **HEADERS, **more}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
