"""The files of a project that can be edited: its taxonomies, lexicons, templates, recipes and experiments, no others.

A file has a version, the hash of its bytes. It is written only if it still has the version that the editor read, and
whole: through a file beside it that is renamed. Byte order mark and line ends stay as they were.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from datagen.errors import ConfigError
from datagen.filesystems import write_whole
from datagen.project import write_new

YAML = (".yaml", ".yml")
FOLDERS: dict[str, tuple[str, ...]] = {
    "taxonomies": (*YAML, ".j2"),
    "templates": (".j2",),
    "recipes": YAML,
    "experiments": YAML,
}
"""The folders of a project with files of people, and how the names of these end."""
_MARK = b"\xef\xbb\xbf"
GONE = ""
"""The version of a file that is not there."""


class ForbiddenError(Exception):
    """A name that is no editable file of the project."""


@dataclass(frozen=True, slots=True)
class Text:
    """A file as an editor shows it, with line ends as `\\n`, and its version; no text if it is not there."""

    text: str | None
    version: str


class ChangedError(Exception):
    """The file on disk is another one than the editor read; `now` is what it holds."""

    def __init__(self, now: Text) -> None:
        super().__init__("the file was changed by something else")
        self.now = now


class Files:
    """The editable files of the project in a folder. Names are relative to it, with slashes."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lock = threading.Lock()

    def list(self) -> dict[str, str]:
        """Return the version of every file by name, sorted; links are left out."""
        found = {}
        for folder in FOLDERS:
            for home, folders, names in os.walk(self.root / folder):
                folders.sort()
                for name in sorted(names):
                    relative = (Path(home) / name).relative_to(self.root).as_posix()
                    try:
                        found[relative] = version_of(self._find(relative).read_bytes())
                    except (ForbiddenError, OSError):
                        continue
        return found

    def read(self, name: str) -> Text:
        """Return a file. Raises ForbiddenError, or ConfigError for one that cannot be read as UTF-8 text."""
        return _decode(name, _read(self._find(name)))

    def write(self, name: str, text: str, base: str) -> str:
        """Write a file whose version is still `base` and return its new version; GONE creates one.

        Raises ChangedError if it has another version, ForbiddenError, and ConfigError if it cannot be written.
        """
        path = self._find(name)
        with self._lock:
            now = _read(path)
            if version_of(now) != base:
                raise ChangedError(_decode(name, now))
            data = _encode(text, like=now or b"")
            if data != now:
                self._replace(path, data)
            return version_of(data)

    def create(self, files: Mapping[str, str]) -> None:
        """Write new files, given as texts by name: all of them, or none.

        Raises ForbiddenError, and ConfigError if one of them is there already or cannot be written.
        """
        with self._lock:
            write_new({self._find(name): text for name, text in files.items()})

    def _replace(self, path: Path, data: bytes) -> None:
        try:
            with write_whole(path) as file:
                file.write(data)
                if path.exists():
                    shutil.copymode(path, file.name)
        except OSError as error:
            hint = "free some space, or make the file writable; the page keeps what you typed"
            raise ConfigError(f"cannot be written: {error.strerror}", where=str(path), hint=hint) from error

    def _find(self, name: str) -> Path:
        """Return the path of a name. Raises ForbiddenError if it leads out of the project, through a link or not."""
        place = PurePosixPath(name)
        known = FOLDERS.get(place.parts[0], ()) if place.parts else ()
        is_plain = place.as_posix() == name and not any(part.startswith(".") for part in place.parts)
        if not is_plain or place.suffix not in known or any(c in name for c in "\\\0"):
            raise ForbiddenError(name)
        path = self.root / place
        if path.resolve() != path or (path.exists() and not path.is_file()):
            raise ForbiddenError(name)
        return path


def version_of(data: bytes | None) -> str:
    """Return the version of a file with some bytes; GONE for none."""
    return GONE if data is None else hashlib.sha256(data).hexdigest()[:24]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path), hint="check its permissions") from error


def _decode(name: str, data: bytes | None) -> Text:
    if data is None:
        return Text(None, GONE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError("the file is not UTF-8 text", where=f"{name}:{line}", hint="save it as UTF-8") from error
    return Text(text.replace("\r\n", "\n").replace("\r", "\n"), version_of(data))


def _encode(text: str, like: bytes) -> bytes:
    """Return a text as bytes with the byte order mark and the line ends of an earlier version."""
    data = text.encode("utf-8")
    if b"\r\n" in like and like.count(b"\r\n") == like.count(b"\n"):
        data = data.replace(b"\n", b"\r\n")
    return _MARK + data if like.startswith(_MARK) else data
