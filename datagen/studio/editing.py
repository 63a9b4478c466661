"""The editor of a project's files on the server of the pages, and beside it what they make.

    GET  files                     versions of all files, by name
    GET  file?name=                text and version
    PUT  file?name=                {"text", "base"}: written if its version is still `base`, else 409 and what it holds
    POST new                       {"kind", "name"}: writes the files of a new part of the project, returns their names
    GET  words                     what the editor completes, and the parts of a project
    GET  faults?name=              problems of `datagen check`
    GET  look?name=&recipe=        prompts, coverage, what no scorer judges
    POST draw                      {"name", "recipe", "prompt", "turn"}: samples, one JSON a line, until it is closed

The runs of the project are shown as `viewing` says.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from pathlib import Path
from queue import Empty
from typing import ClassVar

from datagen import program
from datagen.errors import ConfigError
from datagen.pipeline.run import OUTPUTS
from datagen.plugins import Failed, attempt
from datagen.project import draft_part
from datagen.studio.drawing import END, Artist, Drawing
from datagen.studio.files import FOLDERS, ChangedError, Files, ForbiddenError
from datagen.studio.looking import describe_words, find_faults, look, plan_file, tell_error
from datagen.studio.runs import Runs
from datagen.studio.server import Actions, Pages, Refusal
from datagen.studio.viewing import STUDIO, Viewer, ViewHandler

BEAT_SECONDS = 0.5
"""A drawing sends an empty line so often, which fails when the page has gone."""


class EditHandler(ViewHandler):
    """One connection of a browser that edits."""

    server: Studio
    pages: ClassVar[Pages] = {
        **ViewHandler.pages,
        "": (STUDIO, "static/index.html", "text/html"),
        "studio.css": (STUDIO, "static/studio.css", "text/css"),
        "studio.js": (STUDIO, "static/studio.js", "text/javascript"),
        "completion.js": (STUDIO, "static/completion.js", "text/javascript"),
        "editor.js": (STUDIO, "static/editor.js", "text/javascript"),
        "LICENSE.editor.txt": (STUDIO, "static/LICENSE.editor.txt", "text/plain"),
    }

    def actions(self) -> Actions:
        """Return what the editor asks for, and what the page of runs does."""
        return {
            **super().actions(),
            ("GET", "files"): self._list,
            ("GET", "file"): self._read,
            ("PUT", "file"): self._write,
            ("POST", "new"): self._create,
            ("GET", "words"): self._words,
            ("GET", "faults"): self._faults,
            ("GET", "look"): self._look,
            ("POST", "draw"): self._draw,
        }

    def _list(self) -> None:
        self.send_json({"project": self.server.files.root.name, "files": self.server.files.list()})

    def _read(self) -> None:
        self.send_json(asdict(self.server.files.read(self.argument("name"))))

    def _write(self) -> None:
        name = self.argument("name")
        text, base = self.take_body(text=str, base=str)
        try:
            version = self.server.files.write(name, text, base)
        except ChangedError as error:
            self.send_json(asdict(error.now), HTTPStatus.CONFLICT)
        except UnicodeEncodeError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "the text has half of a character in it") from error
        else:
            self.send_json({"version": version})

    def _create(self) -> None:
        kind, name = self.take_body(kind=str, name=str)
        files = draft_part(kind, name, self.server.files.list())
        self.server.files.create(files)
        self.send_json({"files": [*files]})

    def _words(self) -> None:
        self.send_json(describe_words())

    def _faults(self) -> None:
        name = self.argument("name")
        self._require_file(name)
        with self.server.looking:
            self.send_json({"faults": find_faults(name, [*self.server.files.list()])})

    def _look(self) -> None:
        name, recipe = self.argument("name"), self.argument("recipe")
        self._require_file(name)
        self._require_recipe(recipe)
        with self.server.looking:
            said = attempt(partial(look, name, recipe))
        self.send_json({"error": tell_error(said)} if isinstance(said, Failed) else said)

    def _draw(self) -> None:
        name, recipe, prompt, turn = self.take_body(name=str, recipe=str, prompt=str, turn=int)
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
        self.send_head(HTTPStatus.OK, "application/x-ndjson", {"Connection": "close"})
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


class Studio(Viewer):
    """The server of one project."""

    handler = EditHandler

    def __init__(self, root: Path, port: int) -> None:
        self.files = Files(root)
        self.artist = Artist()
        self.looking = threading.Lock()
        super().__init__(Runs(self.files.root / OUTPUTS), port)

    def server_close(self) -> None:
        """Close the port at once and stop what is drawn."""
        super().server_close()
        self.artist.close()


def open_studio(project: Path, port: int = 0) -> Studio:
    """Open the studio of a project and make its folder the working directory of this process.

    Raises ConfigError if the folder has no file to edit, or if the port is taken; port 0 is any free one.
    """
    if not any((project / folder).is_dir() for folder in FOLDERS):
        hint = f"give the folder of a project, or start one: {program.command('init', 'NAME')}"
        raise ConfigError(f"has none of the folders {', '.join(FOLDERS)}", where=str(project), hint=hint)
    opened = Studio(project, port)
    os.chdir(opened.files.root)
    if (folder := str(opened.files.root)) not in sys.path:
        sys.path.append(folder)  # for the project's own scorers and backends, as in a command run there
    return opened
