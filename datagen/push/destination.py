"""Destinations of a push: what each offers, and how it is tried again.

What may work later is tried again, and what no waiting mends is one clear error. The wait doubles from one second to a
minute, and is what the server asks for where it says so (`Retry-After`). A destination tells by its own `judge` which
is which, since every client has exceptions of its own."""

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
    """What is at a destination now.

    `address` is that of the destination in full; `revision` names what is there, empty where nothing is; `holds` says
    whether a file is there with its content, as far as that can be known without reading shards back; `paths` are all
    files; `public` is None where the destination cannot tell.
    """

    address: str
    revision: str = ""
    manifest: Manifest | None = None
    paths: frozenset[str] = frozenset()
    holds: Callable[[File], bool] = field(default=lambda file: False)
    public: bool | None = None


class Destination(Protocol):
    """A place that holds one dataset. Every method retries what may work later, raises PushError for the rest.

    `by_content` says that files are stored under names that hold their hash, as where no commit makes many files
    visible at once; `commits` is how many commits a push makes, `limits` the most files in a folder and in all.
    `loading` is the Python by which a reader loads what lies here.
    """

    address: str
    by_content: bool
    commits: int
    limits: tuple[int, int] | None

    @property
    def loading(self) -> str:
        """How to load the dataset, for its card; raises PushError like the rest where the place has to be asked."""

    def look(self) -> Remote:
        """Return what is there; changes nothing."""

    def stage(self, files: Sequence[File], public: bool) -> None:
        """Bring contents there so that no reader sees them yet."""

    def publish(self, files: Sequence[File], removed: Sequence[str], seen: Remote, message: str) -> str:
        """Make exactly `files` the visible dataset and return its revision, after all of them were verified.

        `removed` are paths that an earlier push made and this one does not. Raises PushError when something else
        changed the destination since `seen`, or a file does not arrive as it was sent.
        """

    def fetch(self, file: File, seen: Remote, folder: Path) -> None:
        """Write a file of the dataset into a local folder, under its path; it is not verified."""

    def read(self, path: str, seen: Remote, use: Callable[[IO[bytes]], T]) -> T:
        """Return what `use` makes of a file of the dataset, which it may read at any place, and again after a fault."""


def count_folders(paths: Sequence[str]) -> Mapping[str, int]:
    """Return how many entries each folder has, sub-folders included; the root is the empty string."""
    children: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for depth in range(len(parts)):
            children.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
    return {folder: len(names) for folder, names in children.items()}


ATTEMPTS = 8
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
GO_ON = "run the same command again: what has arrived is kept"


@dataclass(frozen=True, slots=True)
class Again:
    """Something that may work later: why it did not, and how long the server asks to wait, in seconds, if it does."""

    why: str
    wait_seconds: float | None = None


def keep_trying(
    call: Callable[[], T],
    errors: tuple[type[Exception], ...],
    judge: Callable[[Exception], Again | PushError],
    where: str,
    say: Callable[[str], None],
) -> T:
    """Return what `call` returns, trying up to ATTEMPTS times on `errors` that `judge` calls `Again`.

    Raises the PushError of `judge`, or one that says what went wrong last.
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
