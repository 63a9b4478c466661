"""The server of the page: the standard library's, on loopback, for whoever knows the address.

The address begins with a token, new for every start, so each request carries it and no cookie does: cookies are sent
to every port of a host. A request is refused unless its Host is loopback, its Origin, if it has one, is the page's own,
and its first path segment is the token, compared in constant time. The page may load nothing but its own files, and no
script but these (Content-Security-Policy); every text enters it as text, never as HTML.

    GET  files                     versions of all files, by name
    GET  file?name=                text and version
    PUT  file?name=                {"text", "base"}: written if its version is still `base`, else 409 and what it holds
    GET  words                     what the editor completes
    GET  faults?name=              problems of `datagen check`
    GET  look?name=&recipe=        prompts, coverage, what no scorer judges
    POST draw                      {"name", "recipe", "prompt", "turn"}: samples, one JSON a line, until it is closed

Not covered: TLS, and other users of the same machine who can read its network traffic or the terminal.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files as resources_of
from pathlib import Path
from queue import Empty
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from datagen import program
from datagen.errors import ConfigError, DatagenError
from datagen.plugins import Failed, attempt
from datagen.studio.drawing import END, Artist, Drawing
from datagen.studio.files import FOLDERS, ChangedError, Files, ForbiddenError
from datagen.studio.looking import describe_words, find_faults, look, plan_file, tell_error

LOOPBACK = "127.0.0.1"
HOSTS = (LOOPBACK, "localhost")
"""The names under which a browser may ask; any other is that of a site that was pointed at this machine."""
MOST_BYTES = 8 << 20
"""Most bytes of a request's body."""
IDLE_SECONDS = 60.0
"""A connection on which nothing comes for so long is closed."""
BEAT_SECONDS = 0.5
"""A drawing sends an empty line so often, which fails when the page has gone."""
PAGE = {
    "": ("index.html", "text/html"),
    "studio.css": ("studio.css", "text/css"),
    "studio.js": ("studio.js", "text/javascript"),
    "completion.js": ("completion.js", "text/javascript"),
    "editor.js": ("editor.js", "text/javascript"),
    "LICENSE.editor.txt": ("LICENSE.editor.txt", "text/plain"),
}
"""What the page consists of: file in `static/` and type, by the last part of the address."""
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


class Studio(ThreadingHTTPServer):
    """The server of one project. Use as a context manager; `serve_forever` returns when it is shut down."""

    daemon_threads = True

    def __init__(self, root: Path, port: int) -> None:
        self.files = Files(root)
        self.token = secrets.token_urlsafe(24)
        self.artist = Artist()
        self.looking = threading.Lock()
        super().__init__((LOOPBACK, port), Handler)

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
        """Close the port at once and stop what is drawn; threads of open connections end with the process."""
        self.socket.close()
        self.artist.close()


def open_studio(project: Path, port: int = 0) -> Studio:
    """Open the studio of a project and make its folder the working directory of this process.

    Raises ConfigError if the folder has no file to edit, or if the port is taken; port 0 is any free one.
    """
    if not any((project / folder).is_dir() for folder in FOLDERS):
        hint = f"give the folder of a project, or start one: {program.command('init', 'NAME')}"
        raise ConfigError(f"has none of the folders {', '.join(FOLDERS)}", where=str(project), hint=hint)
    try:
        opened = Studio(project, port)
    except OSError as error:
        hint = "leave --port out for one that is free"
        raise ConfigError(f"port {port} cannot be used: {error.strerror}", where="--port", hint=hint) from error
    os.chdir(opened.files.root)
    if (folder := str(opened.files.root)) not in sys.path:
        sys.path.append(folder)  # for the project's own scorers and backends, as in a command run there
    return opened


class Refusal(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: HTTPStatus, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


class Handler(BaseHTTPRequestHandler):
    """One connection of a browser."""

    server: Studio
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: every address has the token in it."""

    def version_string(self) -> str:
        """Return the name of the server."""
        return "datagen"

    def do_GET(self) -> None:
        """Answer with a part of the page or of the project."""
        looks = {"faults": self._faults, "look": self._look}
        self._answer({"files": self._list, "file": self._read, "words": self._words, **looks})

    def do_PUT(self) -> None:
        """Write a file."""
        self._answer({"file": self._write})

    def do_POST(self) -> None:
        """Draw samples."""
        self._answer({"draw": self._draw})

    def _answer(self, actions: dict[str, Any]) -> None:
        try:
            self._require_own()
            name = self._take_token()
            if name in actions:
                actions[name]()
            elif self.command == "GET" and name in PAGE:
                self._send_page(*PAGE[name])
            else:
                raise Refusal(HTTPStatus.NOT_FOUND, "there is nothing here")
        except Refusal as refusal:
            self.close_connection = True  # its body may not have been read
            self._send_json({"error": {"what": refusal.what, "where": "", "hint": ""}}, refusal.status)
        except ForbiddenError as error:
            what = f"{str(error)[:200]!r} is no file of the project that can be edited"
            self._send_json({"error": {"what": what, "where": "", "hint": ""}}, HTTPStatus.FORBIDDEN)
        except DatagenError as error:
            self._send_json({"error": tell_error(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)

    def _require_own(self) -> None:
        """Refuse what another site sends, or sends through a name of its own that leads to this machine."""
        port = self.server.server_port
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
        if not hmac.compare_digest(given, self.server.token.encode()):
            raise Refusal(HTTPStatus.NOT_FOUND, "open the address that `datagen studio` printed")
        return parts[2]

    def _argument(self, name: str) -> str:
        given = parse_qs(urlsplit(self.path).query, keep_blank_values=True).get(name, [])
        if len(given) != 1:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"the address needs one {name}=")
        return given[0]

    def _take_body(self, **keys: type) -> list[Any]:
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

    def _list(self) -> None:
        self._send_json({"project": self.server.files.root.name, "files": self.server.files.list()})

    def _read(self) -> None:
        self._send_json(asdict(self.server.files.read(self._argument("name"))))

    def _write(self) -> None:
        name = self._argument("name")
        text, base = self._take_body(text=str, base=str)
        try:
            version = self.server.files.write(name, text, base)
        except ChangedError as error:
            self._send_json(asdict(error.now), HTTPStatus.CONFLICT)
        except UnicodeEncodeError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "the text has half of a character in it") from error
        else:
            self._send_json({"version": version})

    def _words(self) -> None:
        self._send_json(describe_words())

    def _faults(self) -> None:
        name = self._argument("name")
        self._require_file(name)
        with self.server.looking:
            self._send_json({"faults": find_faults(name, [*self.server.files.list()])})

    def _look(self) -> None:
        name, recipe = self._argument("name"), self._argument("recipe")
        self._require_file(name)
        self._require_recipe(recipe)
        with self.server.looking:
            said = attempt(partial(look, name, recipe))
        error = {"what": said.text, "where": said.place, "hint": ""} if isinstance(said, Failed) else None
        self._send_json({"error": error} if isinstance(said, Failed) else said)

    def _draw(self) -> None:
        name, recipe, prompt, turn = self._take_body(name=str, recipe=str, prompt=str, turn=int)
        self._require_file(name)
        self._require_recipe(recipe)
        drawing = self.server.artist.draw(partial(plan_file, name, recipe), prompt, max(0, turn))
        try:
            self._send_lines(drawing)
        finally:
            drawing.stop()

    def _require_file(self, name: str) -> None:
        if name not in self.server.files.list():
            raise ForbiddenError(name)

    def _require_recipe(self, name: str) -> None:
        """Refuse a recipe that is not one of the project's; none is that which ships."""
        if name and not (name.startswith("recipes/") and name in self.server.files.list()):
            raise ForbiddenError(name)

    def _send_lines(self, drawing: Drawing) -> None:
        """Send the lines of a drawing as they come, until it ends or the page is gone."""
        self.close_connection = True
        self._send_head(HTTPStatus.OK, "application/x-ndjson", {"Connection": "close"})
        with suppress(ConnectionError, socket.timeout):
            while True:
                try:
                    line = drawing.take(BEAT_SECONDS)
                except Empty:
                    self._put(b"\n")
                    continue
                if line is END:
                    return
                self._put(json.dumps(line).encode() + b"\n")

    def _put(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _send_page(self, file: str, kind: str) -> None:
        nonce = secrets.token_urlsafe(16)
        content = resources_of("datagen.studio").joinpath("static", file).read_bytes()
        if file == "index.html":
            content = content.replace(b"NONCE", nonce.encode())
        self._send(content, f"{kind}; charset=utf-8", HTTPStatus.OK, nonce)

    def _send_json(self, values: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(values).encode(), "application/json", status)

    def _send(self, content: bytes, kind: str, status: HTTPStatus, nonce: str = "") -> None:
        self._send_head(status, kind, {"Content-Length": str(len(content))}, nonce)
        self.wfile.write(content)

    def _send_head(self, status: HTTPStatus, kind: str, more: dict[str, str], nonce: str = "") -> None:
        self.send_response(status)
        policy = POLICY if nonce else POLICY.replace(" 'nonce-{nonce}'", "")
        headers = {"Content-Type": kind, "Content-Security-Policy": policy.format(nonce=nonce), **HEADERS, **more}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
