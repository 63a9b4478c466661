"""Stream samples into the splits of a dataset, and move the finished folder to its place."""

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
from datagen.filesystems import clear_leftovers
from datagen.weighting import Policy

SPLITS = ("train", "validation")
MADE = ".made.json"
"""File of an export with hashes of its sources; a push does not send it."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """Result of an export: the folder, rows per split, the number of kept rows, of parquet files, and their bytes."""

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
    """Write a Hugging Face dataset to `out_dir`, replacing an older one.

    `items` is consumed once, in order; memory stays at two row groups per split. `scorers` are the names of all scorers
    of the run, in column order. The folder is built beside `out_dir` and renamed, so a killed export leaves the old
    dataset or none. A split without rows is omitted, since `datasets` refuses to load one. `made`, hashes of the
    sources, is stored beside the data. Raises RunError if there is no sample, a sample's parts do not belong together,
    a number is not finite, or the folder cannot be written.
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
            clear_leftovers(out)
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
                raise RunError("there is no sample to export", where=str(out), hint="the run's failures/ say why")
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


def read_result(out: Path) -> ExportResult:
    """Return the result of an earlier export from the files of its dataset."""
    import pyarrow.parquet as pq

    paths = sorted((out / "data").glob("*.parquet"))
    rows = dict.fromkeys(SPLITS, 0)
    kept = 0
    for path in paths:
        flags = pq.read_table(path, columns=["kept"])["kept"]
        rows[path.name.split("-")[0]] += len(flags)
        kept += sum(flags.to_pylist())
    return ExportResult(out, rows, kept, len(paths), sum(path.stat().st_size for path in paths))


def note_made(folder: Path, made: Mapping[str, str] | None) -> None:
    """Write hashes of an export's sources into its folder, if they are known."""
    if made is not None:
        (folder / MADE).write_text(json.dumps(dict(made), indent=1) + "\n", encoding="utf-8")


def _check_replaceable(out: Path) -> None:
    """Raise RunError for a folder that no export made, since replacing it would lose its files."""
    if out.exists() and not (out / "data").is_dir() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(
            "exists already and is not a dataset", where=str(out), hint="move it, or export to another folder"
        )


def put_in_place(partial: Path, out: Path, old: Path) -> None:
    """Sync the finished folder to disk, rename it to its place, then remove the old one."""
    for path in sorted(partial.rglob("*")):
        if path.suffix != ".parquet":  # synced when they were closed
            sync_file(path)
    sync_file(partial)
    if out.exists():
        os.rename(out, old)
    os.rename(partial, out)
    sync_file(out.parent)
    shutil.rmtree(old, ignore_errors=True)


class ExplainDisk:
    """Turns errors of the operating system, such as a full or locked disk, into a RunError at `out`.

    A class, since it is entered for every row: a generator would cost as much as the check of an image.
    """

    def __init__(self, out: Path) -> None:
        self._out = out

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno else str(error)  # errors of pyarrow have no errno
            if error.filename and not Path(os.fsdecode(error.filename)).is_relative_to(self._out.parent):
                hint = "check its permissions, and the disk, then export again; no sample is lost"
                raise RunError(f"cannot be read: {reason}", where=str(error.filename), hint=hint) from error
            hint = "free some space or choose another folder, then export again; no sample is lost"
            raise RunError(f"the dataset cannot be written: {reason}", where=str(self._out), hint=hint) from error
