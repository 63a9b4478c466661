"""What every destination offers, and from an address to one: `hf://datasets/me/set`, `s3://`, `gs://`, `file://`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, TypeVar

from datagen.errors import ConfigError
from datagen.push._files import File, Manifest

if TYPE_CHECKING:
    from datagen.pipeline import Watch

FORMS = "hf://datasets/NAME, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or file:///FOLDER"
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


def open_destination(address: str, watch: Watch) -> Destination:
    """Return the destination of an address, which tells `watch` how far it is and what it waits for.

    Raises ConfigError for a form that is none, or one that holds a secret.
    """
    scheme, found, rest = address.partition("://")
    if not found:
        raise ConfigError("is no destination", where=address, hint=f"it has the form {FORMS}")
    if "@" in rest.split("/")[0]:
        hint = "the client finds them in its own place: environment, ~/.aws, or `hf auth login`"
        raise ConfigError("an address must not hold credentials", where=f"{scheme}://…", hint=hint)
    if scheme == "hf":
        return _open_hub(address, watch)
    if not rest.strip("/") or (scheme != "file" and rest.startswith("/")):
        raise ConfigError("names no bucket and no folder", where=address, hint=f"it has the form {FORMS}")
    if scheme in ("s3", "gs", "file"):
        from datagen.push._bucket import Bucket

        return Bucket(address, watch)
    raise ConfigError(f"the scheme {scheme!r} is not known", where=address, hint=f"it has the form {FORMS}")


def _open_hub(address: str, watch: Watch) -> Destination:
    from datagen.push._hub import Hub

    name, _, revision = address.removeprefix(HUB).partition("@")
    part = r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*"
    if not address.startswith(HUB) or not re.fullmatch(rf"({part}/)?{part}", name):
        raise ConfigError("is no dataset of a hub", where=address, hint=f"it has the form {HUB}NAME or {HUB}OWNER/NAME")
    return Hub(name, revision, watch)


def count_folders(paths: Sequence[str]) -> Mapping[str, int]:
    """Return how many entries each folder has, sub-folders included; the root is the empty string."""
    children: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for depth in range(len(parts)):
            children.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
    return {folder: len(names) for folder, names in children.items()}
