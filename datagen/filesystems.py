"""File systems behind addresses, the same for runs and for pushes.

    outputs/quickstart      file:///data/runs/7      s3://bucket/runs/7      gs://bucket/runs/7      memory://runs/7

`s3://` and `gs://` go through pyarrow, which is installed anyway; every other scheme is fsspec's. Credentials come from
where the client of each looks: AWS_… and ~/.aws, Google's application default. Another S3 server is named in
`AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, an emulator of Google's, which asks for no credentials, in
`STORAGE_EMULATOR_HOST` (`http://HOST:PORT`); pyarrow itself does not read these variables.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from datagen.errors import RunError, first_line
from datagen.records import storable

ENDPOINTS = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "gs": ("STORAGE_EMULATOR_HOST",)}
"""Where each client is told of another server than that of Amazon or Google."""
GCS_SECONDS = 60
"""How long Google's client repeats one request, or asks for credentials; 15 minutes if it is not told."""
LOCK = ".lock"
"""The file that `hold_folder` locks."""

OPTIONS = {"s3": "?allow_delayed_open=true", "gs": f"?retry_limit_seconds={GCS_SECONDS}"}
"""Options of an address: an object of S3 that is smaller than 5 MB is then one request to write, else three."""


def open_bucket(address: str) -> tuple[Any, str]:
    """Return pyarrow's file system of an `s3://`, `gs://` or `file://` address, and the folder in it.

    Raises ValueError saying why an address cannot be used. No request is sent yet.
    """
    import pyarrow as pa
    import pyarrow.fs as fs

    scheme, folder = address.split("://", 1)
    endpoint = next((os.environ[name] for name in ENDPOINTS.get(scheme, ()) if os.environ.get(name)), "")
    url = urlsplit(endpoint)
    try:
        if scheme == "file":  # as it is written: in an URI a space would have to be encoded
            if not folder.startswith("/"):
                raise ValueError("a folder of this machine is named from its root")
            return fs.LocalFileSystem(), folder
        if endpoint and scheme == "s3":
            where = url.netloc + url.path.rstrip("/")
            return fs.S3FileSystem(endpoint_override=where, scheme=url.scheme, allow_delayed_open=True), folder
        if endpoint:
            return fs.GcsFileSystem(anonymous=True, endpoint_override=url.netloc, scheme=url.scheme), folder
        system, folder = fs.FileSystem.from_uri(address + OPTIONS.get(scheme, ""))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(first_line(error)) from error
    return system, folder


def open_filesystem(address: str) -> tuple[Any, str]:
    """Return fsspec's file system of any address or path, and the folder in it.

    Raises ValueError saying why an address cannot be used, such as a scheme whose package is not installed.
    """
    from fsspec.core import url_to_fs

    if address.partition("://")[0] in ENDPOINTS:
        return _wrap(*open_bucket(address))
    try:
        system, folder = url_to_fs(address)
    except ImportError as error:
        raise ValueError(first_line(error)) from error
    if storable(folder) != folder:
        raise ValueError("its name is not UTF-8 text")
    return system, folder


def _wrap(system: Any, folder: str) -> tuple[Any, str]:
    """Return a file system of pyarrow as one of fsspec."""
    import pyarrow.fs as fs
    from fsspec.implementations.arrow import ArrowFSWrapper

    class BucketFileSystem(ArrowFSWrapper):  # type: ignore[misc]
        """A bucket, where a folder that holds nothing and one that is not there are the same.

        Asked for one that is not there, pyarrow 26 raises FileNotFoundError for S3 and a plain OSError for Google. Of
        one level it shows no folders of Google's, so that all below is listed instead.
        """

        def ls(self, path: str, detail: bool = False, **kwargs: Any) -> list[Any]:
            is_google = self.fs.type_name == "gcs"
            found = self.fs.get_file_info(fs.FileSelector(path, recursive=is_google, allow_not_found=True))
            entries = [self._make_entry(each) for each in found]
            if is_google:
                entries = _keep_level(path, entries)
            return entries if detail else [entry["name"] for entry in entries]

        def find(self, path: str, detail: bool = False, **kwargs: Any) -> list[str] | dict[str, Any]:
            """Return the files below a folder, sorted; with `detail` their entries by name, as fsspec's `glob` asks."""
            found = self.fs.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
            entries = {each.path: self._make_entry(each) for each in found if each.is_file}
            return dict(sorted(entries.items())) if detail else sorted(entries)

        def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
            """Let the store copy an object; fsspec would read it and write it again."""
            self.fs.copy_file(path1, path2)

    return BucketFileSystem(system), folder


def _keep_level(folder: str, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the files and folders of one level, made of the entries of all levels."""
    start = folder.rstrip("/") + "/"
    level: dict[str, dict[str, Any]] = {}
    for entry in entries:
        first, deeper, _ = entry["name"].removeprefix(start).partition("/")
        name = start + first
        level[name] = {"name": name, "size": 0, "type": "directory", "mtime": None} if deeper else entry
    return list(level.values())


def tell_unread(error: Exception) -> tuple[str, str]:
    """Return why a file cannot be used, and a hint if it is none of its content: its permissions, or the disk.

    What pyarrow finds wrong in a file is an OSError too, but has no number of the system's.
    """
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {os.strerror(error.errno)}", "check its permissions, and the disk"
    return f"is damaged: {first_line(error)}", ""


WHOLE_BYTES = 16 * 2**20
"""Larger files are hashed by size and `BLOCKS` evenly spaced blocks, including the first and the last."""
BLOCKS = 256
BLOCK_BYTES = 16 * 1024


def hash_file(path: Path, *, whole: bool = False) -> str:
    """Return a hash of a local file's content, or of size and sampled blocks if it is huge and not to be read `whole`.

    16 hexadecimal digits. Raises OSError.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if whole or size <= WHOLE_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
        digest = hashlib.sha256(f"{size} ".encode())
        for number in range(BLOCKS):
            file.seek((size - BLOCK_BYTES) * number // (BLOCKS - 1))
            digest.update(file.read(BLOCK_BYTES))
        return digest.hexdigest()[:16]


def clear_leftovers(out: Path) -> None:
    """Remove what a killed command left that built the folder `out` beside its place: `.NAME.partial`, `.NAME.old`.

    If it died between the two renames at its end, the old folder is put back.
    """
    building, old = (out.with_name(f".{out.name}.{word}") for word in ("partial", "old"))
    shutil.rmtree(building, ignore_errors=True)
    if old.exists() and not out.exists():
        os.rename(old, out)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def write_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a local file to write that appears when it is whole: beside its place, flushed to disk, then renamed.

    After an exception nothing has changed; a kill leaves at most a hidden `.NAME.PID.part`. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(OSError):  # after the rename, or where the folder itself is the fault, there is none
            partial.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a local file as a whole; raises RunError if it cannot be written."""
    try:
        with write_whole(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise RunError(f"cannot be written: {error.strerror}", where=str(path)) from error


@contextmanager
def hold_folder(folder: Path, what: str, hint: str, *, wait: bool = False) -> Iterator[None]:
    """Make a local folder and lock it against a second writer; the kernel releases the lock when the process dies.

    When another process holds it, `wait` for that one, or raise RunError with `what` and `hint`. Raises OSError when it
    cannot be written.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise RunError(what, where=str(folder), hint=hint) from error
        yield
