"""A pushed dataset fetched into a folder, every file proved by its hash; the folder appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from datagen.errors import PushError, RunError
from datagen.pipeline import Progress, Watch
from datagen.push._destination import Destination, Remote, open_destination
from datagen.push._files import CARD, File
from datagen.push._push import Pushed
from datagen.push._retry import GO_ON

TRIES = 3


def pull_dataset(address: str, folder: Path, watch: Watch) -> Pushed:
    """Fetch the dataset of an address (`hf://datasets/NAME@REVISION` for an older one) into a new folder.

    What an earlier, killed pull fetched is kept. Raises ConfigError for an address that is none, RunError when the
    folder is in the way or cannot be written, PushError when there is no dataset or a file is not what it should be.
    """
    source = open_destination(address, watch)
    if folder.exists():
        raise RunError("is in the way", where=str(folder), hint="name a folder that is not there yet")
    seen = source.look()
    if seen.manifest is None:
        hint = "plain `load_dataset` reads datasets that datagen did not push"
        raise PushError("holds no dataset that datagen pushed", where=address, hint=hint)
    partial = folder.with_name(f".{folder.name}.partial")
    files = (*seen.manifest.files, seen.manifest.file)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for done, file in enumerate(files, 1):
            _fetch(source, file, seen, partial, watch)
            watch.show(Progress("fetch", done, len(files)))
        _drop_others(partial, files)
        os.rename(partial, folder)
    except OSError as error:
        hint = "free some space or choose another folder; what was fetched is kept"
        raise RunError(f"cannot be written: {error.strerror or error}", where=str(folder), hint=hint) from error
    return Pushed(source.address, seen.revision, seen.manifest)


def _drop_others(folder: Path, files: Sequence[File]) -> None:
    """Remove what is no file of the dataset: of another revision, whose pull was killed, or of the hub's client."""
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # where the hub's client keeps what it fetched in part
    wanted = {folder / file.path for file in files}
    for path in list(folder.rglob("*")):
        if path.is_file() and path not in wanted:
            path.unlink()


def _fetch(source: Destination, file: File, seen: Remote, folder: Path, watch: Watch) -> None:
    path = folder / file.path
    for _ in range(TRIES):
        if path.is_file() and path.stat().st_size == file.size and File.read(file.path, path) == file:
            return
        path.unlink(missing_ok=True)
        source.fetch(file, seen, folder)
    if File.read(file.path, path) == file:
        return
    if file.path == CARD:
        watch.say(f"{CARD} was edited there since the last push: taken as it is")
    else:
        what = f"{file.path} is not what the manifest says, {TRIES} times in a row"
        raise PushError(what, where=source.address, hint=GO_ON)
