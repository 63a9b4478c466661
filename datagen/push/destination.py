"""Destinations of a push: their interface, and retries.

A temporary failure is retried; a permanent one is a single clear error. The wait doubles from one second to a minute,
or follows the server (`Retry-After`). Each destination classifies failures by its own `judge`, since every client has
its own exceptions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, TypeVar

from datagen.errors import PushError
from datagen.push.files import File, Manifest

if TYPE_CHECKING:
    pass


HUB = "hf://datasets/"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remote:
    """The current state of a destination.

    `address` is the full address; `revision` identifies the content, empty if there is none; `holds` tells whether a
    file is there with its content, as far as that is known without reading shards back; `paths` are all files; `public`
    is None if the destination cannot tell.
    """

    address: str
    revision: str = ""
    manifest: Manifest | None = None
    paths: frozenset[str] = frozenset()
    holds: Callable[[File], bool] = field(default=lambda file: False)
    public: bool | None = None


class Destination(Protocol):
    """A place for one dataset. Every method retries temporary failures and raises PushError for others.

    `by_content` means that files have their hash in their names, for a destination without commits that make many files
    visible at once; `commits` is the number of commits of a push, `limits` the most files in a folder and in all.
    `loading` is the Python line that loads the dataset.
    """

    address: str
    by_content: bool
    commits: int
    limits: tuple[int, int] | None

    @property
    def loading(self) -> str:
        """The Python line that loads the dataset, for its card. May ask the destination, and so raise PushError."""

    def look(self) -> Remote:
        """Return the current state; changes nothing."""

    def stage(self, files: Sequence[File], public: bool) -> None:
        """Send files so that no reader sees them yet."""

    def publish(self, files: Sequence[File], removed: Sequence[str], seen: Remote, message: str) -> str:
        """Verify `files`, make exactly them the visible dataset, and return its revision.

        `removed` are paths of earlier pushes that this one drops. Raises PushError if the destination was changed since
        `seen`, or a file arrives damaged.
        """

    def fetch(self, file: File, seen: Remote, folder: Path) -> None:
        """Write a file of the dataset into a local folder, under its path, without verifying it."""

    def read(self, path: str, seen: Remote, use: Callable[[IO[bytes]], T]) -> T:
        """Return the result of `use` on an open, seekable file of the dataset; after a failure it is called again."""


def count_folders(paths: Sequence[str]) -> Mapping[str, int]:
    """Return the number of entries of each folder, sub-folders included; the root is the empty string."""
    children: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for depth in range(len(parts)):
            children.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
    return {folder: len(names) for folder, names in children.items()}


ATTEMPTS = 8
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
GO_ON = "run the same command again: files that have arrived are kept"


@dataclass(frozen=True, slots=True)
class Again:
    """A temporary failure: the reason, and the wait in seconds that the server asks for, if any."""

    why: str
    wait_seconds: float | None = None


def keep_trying(
    call: Callable[[], T],
    errors: tuple[type[Exception], ...],
    judge: Callable[[Exception], Again | PushError],
    where: str,
    say: Callable[[str], None],
) -> T:
    """Return the result of `call`, with up to ATTEMPTS tries for `errors` that `judge` classifies as `Again`.

    Raises the PushError of `judge`, or one with the last reason.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except errors as error:
            verdict = judge(error)
            if isinstance(verdict, PushError):
                raise verdict from error
            if attempt == ATTEMPTS:
                raise PushError(f"gave up after {ATTEMPTS} tries: {verdict.why}", where=where, hint=GO_ON) from error
        wait = min(FIRST_WAIT_SECONDS * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
        wait = wait if verdict.wait_seconds is None else verdict.wait_seconds
        say(f"{verdict.why}: again in {wait:.0f} s")
        time.sleep(wait)
    raise AssertionError("unreachable")
