"""`export_dataset`: streams samples into the splits and puts the finished folder in place in one move."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datagen.errors import RunError
from datagen.export.card import CardNotes, Tally, write_card
from datagen.export.columns import ExportItem, check_item, columns_of, dataset_features, split_of
from datagen.export.shards import FILE_BYTES, SplitWriter, sync_file
from datagen.weighting import Policy

SPLITS = ("train", "validation")
MADE = ".made.json"
"""The file of an export that says what it was made from; it stays here when the export is pushed."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written: the folder, rows per split, how many are kept, parquet files and their bytes."""

    path: Path
    rows: dict[str, int]
    kept: int
    files: int
    file_bytes: int


def export_dataset(
    items: Iterable[ExportItem],
    out_dir: str | Path,
    *,
    scorers: Sequence[str],
    policy: Policy,
    notes: CardNotes,
    validation_share: float = 0.1,
    file_bytes: int = FILE_BYTES,
    made: Mapping[str, str] | None = None,
) -> ExportResult:
    """Write a Hugging Face dataset to `out_dir` and return what was written; replaces a dataset that was there.

    `items` is consumed once, in order, and never held: memory stays at two row groups per split. `scorers` are the
    names of all scorers of the run, in column order. The folder is built beside `out_dir` and renamed: a killed export
    leaves the old dataset or none. A split without rows is left out, as `datasets` refuses to load one. `made` is noted
    beside the data: what it was made from, in hashes. Raises RunError where there is no sample at all, a sample's parts
    do not belong together, a number is not finite, or the folder cannot be written.
    """
    out = Path(out_dir)
    partial, old = (out.with_name(f".{out.name}.{word}") for word in ("partial", "old"))
    tally, features, explained = Tally(notes.first), dataset_features(scorers), ExplainDisk(out)
    turn = functools.partial(
        columns_of, scorers=scorers, policy=policy, provenance=notes.to_json(), addresses=notes.addresses
    )
    writers: dict[str, SplitWriter] = {}
    try:
        with explained:
            _check_replaceable(out)
            clear_leftovers(partial, out, old)
            data = partial / "data"
            data.mkdir(parents=True)
            writers = {split: SplitWriter(data, split, features, file_bytes, turn=turn) for split in SPLITS}
        for item in items:
            image_bytes = check_item(item, scorers)
            tally.add(item)
            with explained:
                writers[split_of(item.prompt, validation_share)].add(item, image_bytes)
        with explained:
            files = [path for writer in writers.values() for path in writer.finish()]
            if not files:
                raise RunError("there is no sample to export", where=str(out), hint="see the run's failures/ for why")
            size = sum(path.stat().st_size for path in files)
            filled = [writer for writer in writers.values() if writer.rows]
            write_card(partial, tally, filled, features, policy, notes, size)
            note_made(partial, made)
            put_in_place(partial, out, old)
    finally:
        for writer in writers.values():
            writer.abort()
        shutil.rmtree(partial, ignore_errors=True)
    rows = {split: writer.rows for split, writer in writers.items()}
    return ExportResult(out, rows, tally.kept, len(files), size)


def note_made(folder: Path, made: Mapping[str, str] | None) -> None:
    """Write what an export was made from into its folder, if that is known."""
    if made is not None:
        (folder / MADE).write_text(json.dumps(dict(made), indent=1) + "\n", encoding="utf-8")


def _check_replaceable(out: Path) -> None:
    """Refuse to replace a folder that no export made: its files would be lost."""
    if out.exists() and not (out / "data").is_dir() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(
            "is in the way and is not a dataset", where=str(out), hint="move it, or export to another folder"
        )


def clear_leftovers(partial: Path, out: Path, old: Path) -> None:
    """Remove what a killed export left; the last whole dataset goes back if the kill fell between the two renames."""
    shutil.rmtree(partial, ignore_errors=True)
    if old.exists() and not out.exists():
        os.rename(old, out)
    shutil.rmtree(old, ignore_errors=True)


def put_in_place(partial: Path, out: Path, old: Path) -> None:
    """Move the finished folder to its place in one step, synced to disk; what was there goes away after it."""
    for path in sorted(partial.rglob("*")):
        if path.suffix != ".parquet":  # those were synced when they were closed
            sync_file(path)
    sync_file(partial)
    if out.exists():
        os.rename(out, old)
    os.rename(partial, out)
    sync_file(out.parent)
    shutil.rmtree(old, ignore_errors=True)


class ExplainDisk:
    """Turns what the operating system says of a full or locked disk into a RunError at `out`.

    A class, as one is entered for every row: a generator would cost each row as much as the check of its image.
    """

    def __init__(self, out: Path) -> None:
        self._out = out

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno else str(error)  # that of pyarrow tells its own story
            hint = "free some space or choose another folder, then export again: no sample is lost"
            raise RunError(f"the dataset cannot be written: {reason}", where=str(self._out), hint=hint) from error
