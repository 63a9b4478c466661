"""Files of a dataset by content: their size and SHA-256, and the manifest that lists them.

The manifest is the file `datagen.json` of a pushed dataset. It names its runs and every other file with its hash, so
that the next push knows what is there, `datagen pull` can verify what it fetched, and nothing depends on local records.
It has no dates: the same files give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Self

from datagen.errors import PushError, RunError
from datagen.filesystems import tell_unread

CARD = "README.md"
MANIFEST = "datagen.json"
VERSION = 1
NAME_DIGITS = 16
"""Hexadecimal digits of the hash in the name of a file."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a dataset: its path there (with /), size in bytes, SHA-256 in hexadecimal, and source.

    `source` is a local path or the bytes; None for a file that is at the destination only.
    """

    path: str
    size: int
    sha256: str
    source: Path | bytes | None = field(default=None, compare=False)

    @classmethod
    def read(cls, path: str, source: Path) -> Self:
        """Hash a local file in constant memory. Raises RunError for one that cannot be read."""
        try:
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
                return cls(path, file.tell(), digest.hexdigest(), source)
        except OSError as error:
            what, hint = tell_unread(error)
            raise RunError(what, where=str(source), hint=hint) from error

    @classmethod
    def make(cls, path: str, content: bytes) -> Self:
        """Return a file that exists only in memory."""
        return cls(path, len(content), hashlib.sha256(content).hexdigest(), content)

    def content(self) -> bytes:
        """Return all bytes; for small files with a source."""
        if isinstance(self.source, Path):
            return self.source.read_bytes()
        assert self.source is not None, self.path
        return self.source

    def named_by_content(self) -> File:
        """Return the file with its hash in its name: `data/train-00000-of-00001-<hash>.parquet`."""
        path = PurePosixPath(self.path)
        name = f"{path.stem}-{self.sha256[:NAME_DIGITS]}{path.suffix}"
        return replace(self, path=str(path.with_name(name)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class RunNote:
    """A run in a pushed dataset: name, the fingerprint of its recipe, and the rows of its default config by split."""

    name: str
    fingerprint: str
    rows: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "fingerprint": self.fingerprint, "rows": dict(self.rows)}


@dataclass(frozen=True, slots=True)
class Manifest:
    """The runs of a dataset in order of their pushes, and all its files except the manifest, sorted by path."""

    runs: tuple[RunNote, ...]
    files: tuple[File, ...]

    @classmethod
    def of(cls, runs: Iterable[RunNote], files: Iterable[File]) -> Self:
        """Return the manifest of runs and files."""
        return cls(tuple(runs), tuple(sorted(files, key=lambda file: file.path)))

    @property
    def file(self) -> File:
        """The manifest as a file of the dataset."""
        values = {
            "version": VERSION,
            "runs": [run.to_dict() for run in self.runs],
            "files": [file.to_dict() for file in self.files],
        }
        return File.make(MANIFEST, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """Read a manifest. Raises PushError naming `where` for anything else."""
        try:
            values = json.loads(content)
            if values["version"] != VERSION:
                raise ValueError(f"version {values['version']!r}")
            runs = [RunNote(str(run["name"]), str(run["fingerprint"]), dict(run["rows"])) for run in values["runs"]]
            files = [File(_inside(each["path"]), int(each["size"]), str(each["sha256"])) for each in values["files"]]
        except (ValueError, KeyError, TypeError) as error:
            hint = "it was written by another program or a newer datagen"
            raise PushError(f"{MANIFEST} is no manifest of datagen: {error}", where=where, hint=hint) from error
        return cls.of(runs, files)


def _inside(path: str) -> str:
    """Return a path that stays in its folder, and is no hidden one that other programs act on, such as `.git/config`.

    A manifest is not trusted: it decides where `pull` writes.
    """
    parts = PurePosixPath(path)
    if not parts.parts or parts.is_absolute() or "\\" in path or not path.isprintable() or is_hidden(parts):
        raise ValueError(f"the path {path!r}")
    return path


def is_hidden(path: PurePath) -> bool:
    """Return whether a part of a path begins with a dot: such files belong to other programs, and are not published."""
    return any(part.startswith(".") for part in path.parts)
