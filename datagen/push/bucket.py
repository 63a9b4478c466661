"""A dataset in a folder of a bucket (`s3://`, `gs://`) or of this machine (`file://`), through pyarrow's file systems.

    DEST/data/train-00000-of-00002-4fa81c….parquet    DEST/README.md    DEST/datagen.json

A bucket has no commits, so files are never changed: each is stored under a name with its hash, and readers do not know
it until the card and the manifest name it. These two are written last, after every file was read back and its hash
compared; files that they no longer name are deleted afterwards. A reader of either never sees half a dataset.

Credentials and other servers: see `datagen.filesystems`. Not covered: two pushes to one folder at the same time;
remains of a killed upload inside a bucket (a lifecycle rule for unfinished uploads removes them).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, TypeVar

from datagen.errors import PushError, first_line
from datagen.filesystems import open_bucket
from datagen.pipeline import Progress, Watch
from datagen.push.destination import GO_ON, Again, Remote, keep_trying
from datagen.push.files import CARD, MANIFEST, File, Manifest

THREADS = 8
PIECE_BYTES = 4 << 20
ROUNDS = 3
"""Number of times that a file is sent before a push gives up on it."""
DENIED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|EXPIRED|ExpiredToken|INVALID_CLIENT_TOKEN|HTTP status 40[13]", re.I
)
FULL = re.compile(r"StorageFull|QuotaExceeded|HTTP status 507", re.I)

T = TypeVar("T")


class Bucket:
    """One folder that holds one dataset."""

    by_content = True
    commits = 0
    limits: tuple[int, int] | None = None

    def __init__(self, address: str, watch: Watch) -> None:
        self.address, self._watch = address.rstrip("/"), watch
        self.is_local = address.startswith("file://")

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the folder in it."""
        try:
            return open_bucket(self.address)
        except ValueError as error:
            raise self._fail(f"cannot be used: {error}", "check the address and the credentials") from error

    @property
    def loading(self) -> str:
        """The Python line that loads the dataset after a pull."""
        folder = self.address.rsplit("/", 1)[-1]
        fetch = shlex.join(["datagen", "pull", self.address, folder])
        return f"load_dataset({json.dumps(folder, ensure_ascii=False)})  # after: {fetch}"

    def look(self) -> Remote:
        """Return the files by name and size, card and manifest by hash; a folder that does not exist is empty."""
        import pyarrow.fs as fs

        system, folder = self._place

        def ask() -> list[Any]:
            if not self.is_local and system.get_file_info(folder.split("/")[0]).type == fs.FileType.NotFound:
                raise self._fail("there is no such bucket", "create it first")
            return list(system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True)))

        found = self._try(ask)
        sizes = {each.path[len(folder) + 1 :]: each.size for each in found if each.type == fs.FileType.File}
        last = {path: self._read(path) for path in (CARD, MANIFEST) if path in sizes}
        manifest = Manifest.parse(last[MANIFEST], self.address) if MANIFEST in last else None

        def holds(file: File) -> bool:
            if file.path in (CARD, MANIFEST):
                return file.path in last and File.make(file.path, last[file.path]) == file
            return sizes.get(file.path) == file.size

        return Remote(
            self.address,
            revision=manifest.file.sha256 if manifest else "",
            manifest=manifest,
            paths=frozenset(path for path in sizes if not path.endswith(".part")),
            holds=holds,
        )

    def stage(self, files: Sequence[File], public: bool) -> None:
        """Send files under names that nothing refers to yet."""
        for done, _ in enumerate(self._each(self._send, files), 1):
            self._watch.show(Progress("send", done, len(files)))

    def publish(self, files: Sequence[File], removed: Sequence[str], seen: Remote, message: str) -> str:
        """Verify all files, then write the card, then the manifest, then delete files that neither names."""
        last = {file.path: file for file in files if file.path in (CARD, MANIFEST)}
        rest = [file for file in files if file.path not in last]
        self._verify(rest)
        now = self.look()
        if now.revision != seen.revision:
            raise self._fail("was changed by somebody else during this push", "look at it, then push again")
        # The card first: until the manifest is there, the next push sees the old dataset and completes this one.
        for file in (last[CARD], last[MANIFEST]):
            if not now.holds(file):
                self._send(file)
            self._mend(file)
        for _ in self._each(self._delete, removed):
            continue
        return last[MANIFEST].sha256

    def _verify(self, files: Sequence[File]) -> None:
        for done, _ in enumerate(self._each(self._mend, files), 1):
            self._watch.show(Progress("verify", done, len(files)))

    def _mend(self, file: File) -> None:
        """Read a file back, and send it again as long as its hash differs."""
        for _ in range(ROUNDS):
            if self._try(partial(self._hash, file.path)) == file.sha256:
                return
            if file.source is None:
                raise self._fail(f"{file.path} has changed since it was pushed", "push its run to another name")
            self._watch.say(f"{file.path} arrived damaged: sent again")
            self._send(file)
        raise self._fail(f"{file.path} arrived damaged {ROUNDS} times in a row", GO_ON)

    def fetch(self, file: File, seen: Remote, folder: Path) -> None:
        """Copy a file into a local folder."""
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)

        def copy() -> None:
            with target.open("wb") as out:
                for piece in self._pieces(file.path):
                    out.write(piece)

        self._try(copy)

    def read(self, path: str, seen: Remote, use: Callable[[IO[bytes]], T]) -> T:
        """Return the result of `use` on an open file, which it may read at any position."""
        system, folder = self._place

        def attempt() -> T:
            with system.open_input_file(f"{folder}/{path}") as file:
                return use(file)

        return self._try(attempt)

    def _send(self, file: File) -> None:
        write = self._write_local if self.is_local else self._write_object
        self._try(partial(write, file))

    def _write_object(self, file: File) -> None:
        """Write an object; an incomplete one has the wrong size or hash, and is sent again."""
        system, folder = self._place
        with system.open_output_stream(f"{folder}/{file.path}") as out:
            for piece in _read_pieces(file):
                out.write(piece)

    def _write_local(self, file: File) -> None:
        """Write a local file atomically: to a temporary file beside it, flushed to disk, then renamed."""
        path = Path(self._place[1]) / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as out:
                out.writelines(_read_pieces(file))
                out.flush()
                os.fsync(out.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _delete(self, path: str) -> None:
        system, folder = self._place

        def delete() -> None:
            try:
                system.delete_file(f"{folder}/{path}")
            except FileNotFoundError:
                return

        self._try(delete)

    def _read(self, path: str) -> bytes:
        return self._try(lambda: b"".join(self._pieces(path)))

    def _hash(self, path: str) -> str:
        digest = hashlib.sha256()
        for piece in self._pieces(path):
            digest.update(piece)
        return digest.hexdigest()

    def _pieces(self, path: str) -> Iterator[bytes]:
        system, folder = self._place
        with system.open_input_stream(f"{folder}/{path}") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def _each(self, call: Any, items: Iterable[Any]) -> Iterator[Any]:
        pool = ThreadPoolExecutor(THREADS)
        try:
            yield from pool.map(call, items)
        finally:
            pool.shutdown(cancel_futures=True)  # after an error, calls that have not begun are dropped

    def _try(self, call: Callable[[], T]) -> T:
        return keep_trying(call, (OSError,), self._judge, self.address, self._watch.say)

    def _judge(self, error: Exception) -> Again | PushError:
        """Return whether a call may be retried after a file system error, or the final error."""
        assert isinstance(error, OSError)  # an errno means a local file: errors of pyarrow's buckets have none
        if error.errno is not None:
            hint = f"free some space or check permissions, then {GO_ON}"
            return self._fail(f"cannot be read or written: {error.strerror}", hint)
        why = first_line(error)
        if FULL.search(why):
            return self._fail(f"has no room left: {why}", f"make room there, then {GO_ON}")
        if DENIED.search(why):
            return self._fail(f"no permission: {why}", f"check the credentials, then {GO_ON}")
        return Again(why)

    def _fail(self, what: str, hint: str) -> PushError:
        return PushError(what, where=self.address, hint=hint)


def _read_pieces(file: File) -> Iterator[bytes]:
    if not isinstance(file.source, Path):
        yield file.content()
        return
    with file.source.open("rb") as source:
        while piece := source.read(PIECE_BYTES):
            yield piece
