"""The run folder: each shard has one file per stage, written atomically. A shard is done when its file exists.

    outputs/quickstart/
      run.yaml              prompts/00003.jsonl   scores/00003.jsonl     dataset/
      log.txt, logs/        samples/00003.parquet failures/00003.jsonl   report.html, report_files/
      review.jsonl

A local file is written under a temporary name, flushed to disk and renamed; on an object store (any fsspec address,
such as `s3://bucket/run`) it is one put. So a killed process leaves a complete file or none, and workers never share a
file. The same records give the same bytes. Try `ls outputs/quickstart` and `datagen status quickstart`.

The first line of a JSON-lines file, or the metadata of a parquet file, names in `made_by` the recipe that made it, as a
hash. A folder opened with its own marks (`marks`) refuses files with other marks.

Not covered: several machines that append to one file (no stage does this).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar

import yaml

from datagen import program
from datagen.documents.reading import SAFE_LOADER
from datagen.errors import RunError, first_line
from datagen.filesystems import clear_leftovers, hold_folder, open_filesystem, tell_unread, write_whole
from datagen.picture_files import PictureError
from datagen.pictures import clean_stored
from datagen.records import Failure, Prompt, Rewrite, Sample, Score
from datagen.sample_files import (
    SEEN,
    TEXTS,
    Rows,
    check_rows,
    group_samples,
    join_texts,
    sample_schema,
    to_samples,
    to_table,
    write_tables,
)

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

Stage = Literal["prompts", "rewrites", "samples", "scores", "failures"]
Record = TypeVar("Record")
Named = TypeVar("Named")
Found = TypeVar("Found")
SUFFIXES: dict[Stage, str] = {
    "prompts": "jsonl",
    "rewrites": "jsonl",
    "samples": "parquet",
    "scores": "jsonl",
    "failures": "jsonl",
}
MADE_BY = "made_by"
"""Field that names the recipe: the first in a file's first line, or a key in a parquet file's metadata.

Other lines do not have it, so that two runs can be compared line by line.
"""
MARKED_AS: dict[Stage, str] = {
    "prompts": "prompts",
    "rewrites": "prompts",
    "samples": "samples",
    "scores": "scores",
    "failures": "samples",
}
"""Which of a run's three marks the files of a stage carry."""
Marks = Mapping[str, Sequence[str]]
"""The marks of a run's own files, by `prompts`, `samples` and `scores`; new files get the last one.

The mark `""` stands for files that were written before marks existed.
"""
_pack = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_SHARD = re.compile(r"(\d{5,})\.(jsonl|parquet)")
_PARTS = re.compile(r"(\d{5,})\.parts")
_PART = re.compile(r"\d{6,}(-[0-9a-f]+)?\.(arrow|jsonl)")
_TAKEN = re.compile(r"(\d{5,})\.taken\.jsonl")
_PARTIAL = re.compile(r"\..+\.\d+\.part")
_BUILDING = re.compile(r"\.([^.].*)\.(partial|old)")
TAKEN = "0"
"""The writer of a part with answers of another run."""
_TAIL_BYTES = 65_536
_LINES_BYTES = 1 << 20
"""Bytes of the end of a JSON-lines file that are read to check it: nearly always all, so that it is one request."""
_COPY_BYTES = 4 << 20
MOST_COPIED_BYTES = 5 << 30
"""S3 copies larger objects in parts only: they are read and written again."""
MOST_READ, MOST_PARTS_READ = 24, 8
"""Files of an object store that are read at a time: their ends (pyarrow has 25 connections), or parts of 32 MB."""
_TIMES = {"mtime", "created", "updated", "LastModified", "last_modified"}
"""What file systems of fsspec call the time of the last change."""
_MARK = re.compile(rb'\{"made_by":"([0-9a-f]+)"')
MISSING = "build again: only that shard is made again"
MEND = f"delete that file and {MISSING}"


@dataclass(frozen=True, slots=True)
class Damage:
    """A shard file that cannot be used: where it is, and what is wrong with it.

    `is_foreign`: it is complete, but another recipe made it. Such a file is never overwritten.
    """

    stage: Stage
    shard: int
    where: str
    what: str
    is_foreign: bool = False

    def refuse(self) -> RunError:
        """Return the error to raise for this file."""
        again = "`datagen score RUN --again` rescores everything, or " if self.stage == "scores" else ""
        hint = f"{again}move that file away: only its shard is made again; give another recipe its own --run"
        return RunError(self.what, where=self.where, hint=hint)


class RunFolder:
    """Reads and writes the files of one run, local or on an object store. Its only state is the address and the marks.

    With `marks`, new files carry them, and reading a file with other marks raises. Files of samples, nearly all of a
    run's bytes, have page checksums, which are verified on every read. JSON-lines files have none, so that people can
    edit them.
    """

    def __init__(self, path: str | Path, marks: Marks | None = None) -> None:
        self.address, self.marks = str(path), marks
        try:
            self._fs, self._root = open_filesystem(self.address)
        except ValueError as error:
            raise RunError(f"this address cannot be used: {error}", where=self.address) from error
        self.is_local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else [self._fs.protocol])

    def __str__(self) -> str:
        return self.address

    def where(self, stage: Stage, shard: int) -> str:
        """Return the address of a shard file, for messages."""
        return f"{self.address.rstrip('/')}/{_shard_name(stage, shard)}"

    @property
    def local_path(self) -> Path:
        """The local path of the folder; valid only if `is_local`."""
        return Path(self._root)

    def exists(self) -> bool:
        """Return whether the folder holds a run, that is a run.yaml."""
        return self.has("run.yaml")

    def list_shards(self, stage: Stage) -> list[int]:
        """Return the numbers of a stage's finished shards in order; temporary files do not count."""
        return list(self.list_sizes(stage))

    def list_sizes(self, stage: Stage) -> dict[int, int]:
        """Return the bytes of the file of each finished shard of a stage, in order of their numbers."""
        sizes = dict[int, int]()
        with self._explain_reading(stage), suppress(FileNotFoundError, NotADirectoryError):
            for entry in self._fs.ls(self._at(stage), detail=True, refresh=True):
                found = _SHARD.fullmatch(entry["name"].rsplit("/", 1)[-1])
                if found and found[2] == SUFFIXES[stage]:
                    sizes[int(found[1])] = entry["size"] or 0
        return dict(sorted(sizes.items()))

    def is_sound(self, stage: Stage, shard: int) -> bool:
        """Return whether a shard of a stage is there, whole, and of this run."""
        try:
            return self._find_damage(stage, shard, hint="") is None
        except (FileNotFoundError, NotADirectoryError):
            return False

    def list_sound(self, stage: Stage) -> set[int]:
        """Return the shards of a stage that are whole and of this run, and not gone since they were listed."""
        there = self.list_shards(stage)
        found = zip(there, self.map_files(partial(self.is_sound, stage), there), strict=True)
        return {shard for shard, is_sound in found if is_sound}

    def list_folders(self, name: str) -> list[str]:
        """Return the names of the folders in `name`, such as `exports`, in order and without hidden ones."""
        with self._explain_reading(name), suppress(FileNotFoundError, NotADirectoryError):
            entries = self._fs.ls(self._at(name), detail=True, refresh=True)
            names = (entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")
            return sorted(each for each in names if not each.startswith("."))
        return []

    def _clear_partials(self) -> None:
        """Delete what killed processes left unfinished."""
        left = [
            path
            for folder in (
                self.local_path,
                *(self.local_path / stage for stage in SUFFIXES),
                *self.local_path.glob("samples/*.parts"),
            )
            if folder.is_dir()
            for path in folder.iterdir()
            if _PARTIAL.fullmatch(path.name)
        ]
        for path in left:
            path.unlink(missing_ok=True)
        for folder in (self.local_path, self.local_path / "exports"):
            for path in folder.iterdir() if folder.is_dir() else ():
                if (found := _BUILDING.fullmatch(path.name)) and path.is_dir():
                    clear_leftovers(folder / found[1])

    def find_damage(self, stage: Stage, shards: Iterable[int]) -> list[Damage]:
        """Return the shard files that are cut off or were made by another recipe.

        Reads only the ends of each file, and decodes no records. On an object store that is two requests a file: its
        size, which pyarrow asks for, and its end; one more for JSON lines of more than a megabyte.
        """
        return [found for found in self.map_files(partial(self._find_damage, stage), shards) if found is not None]

    def _find_damage(self, stage: Stage, shard: int, hint: str = MISSING) -> Damage | None:
        name = _shard_name(stage, shard)
        with self._explain_reading(name, hint), self._fs.open(self._at(name), "rb") as file:
            if SUFFIXES[stage] == "parquet":
                mark, what = _check_parquet(file, has_head=self.is_local)
            else:
                mark, what = _check_jsonl(file)
            return self._judge(stage, shard, mark, what, file)

    def _judge(self, stage: Stage, shard: int, mark: str | None, what: str, file: Any) -> Damage | None:
        """Return the damage of an open file of which a mark was read (None: it fits any run) and a fault was found."""
        is_foreign = not what and mark is not None and not self._is_own(stage, mark)
        if is_foreign:
            what = self._tell_foreign(stage, mark or "", _describe(stage, file))
        return Damage(stage, shard, self.where(stage, shard), what, is_foreign) if what else None

    def map_files(
        self, look: Callable[[Named], Found], files: Iterable[Named], many: int = MOST_READ
    ) -> Iterator[Found]:
        """Yield what `look` finds in each file, in order; on an object store `many` files are looked at at a time.

        Each request takes a tenth of a second there, so that a run of many shards could not be listed one by one.
        """
        if self.is_local:
            yield from map(look, files)
            return
        with ThreadPoolExecutor(many) as pool:
            left = iter(files)
            while batch := list(islice(left, 4 * many)):
                yield from pool.map(look, batch)

    def _is_own(self, stage: Stage, mark: str) -> bool:
        return self.marks is None or mark in self.marks[MARKED_AS[stage]]

    def _tell_foreign(self, stage: Stage, mark: str, about: str = "") -> str:
        says = f"was made by another recipe: {mark}" if mark else "does not say which recipe made it"
        own = f"; {stage} of this run carry {self.marks[MARKED_AS[stage]][-1]}" if self.marks else ""
        return f"{says}{f' ({about})' if about else ''}{own}"

    def remove_shard(self, stage: Stage, shard: int) -> None:
        """Delete one shard file if it exists."""
        self.remove_file(_shard_name(stage, shard))

    def write_prompts(self, shard: int, prompts: Iterable[Prompt]) -> None:
        """Write a shard of prompts; raises RunError when the disk is full or the folder cannot be written."""
        self._write_lines("prompts", shard, prompts)

    def write_scores(self, shard: int, scores: Iterable[Score]) -> None:
        """Write a shard of scores."""
        self._write_lines("scores", shard, scores)

    def write_failures(self, shard: int, failures: Iterable[Failure]) -> None:
        """Write a shard of failures, which may be empty."""
        self._write_lines("failures", shard, failures)

    def write_rewrites(self, batch: int, rewrites: Iterable[Rewrite]) -> None:
        """Write a language model's answers to one batch of requests."""
        self._write_lines("rewrites", batch, rewrites)

    def write_samples(self, shard: int, samples: Iterable[Sample]) -> None:
        """Write a shard of samples with their images as parquet, byte for byte the same for the same samples."""
        schema = sample_schema(self._mark("samples"))
        tables = (to_table(group, schema) for group in group_samples(samples))
        with self.open_whole(_shard_name("samples", shard)) as file:
            write_tables(file, tables, schema)

    def write_part(
        self, shard: int, number: int, samples: Sequence[Sample], failures: Sequence[Failure], writer: str = "0"
    ) -> None:
        """Keep some answers of a shard that is still being generated, in any order.

        A `writer` (hexadecimal) gives each of its parts of a shard another number; several may write one shard.
        """
        import pyarrow as pa

        name = f"{_parts_name(shard)}/{number:06d}-{writer}"
        if failures:
            self.write_file(f"{name}.jsonl", self._pack_lines("failures", failures))
        if samples:
            schema = sample_schema(self._mark("samples"))
            with (
                self.open_whole(f"{name}.arrow") as file,
                pa.ipc.new_file(file, schema) as stream,
            ):
                stream.write_table(to_table(samples, schema))

    def take_part(self, shard: int, tables: Iterable[pyarrow.Table], failures: Sequence[Failure]) -> None:
        """Keep answers that another run had as one part of a shard; a later call writes it anew."""
        import pyarrow as pa

        name = f"{_parts_name(shard)}/{0:06d}-{TAKEN}"
        if failures:
            self.write_file(f"{name}.jsonl", self._pack_lines("failures", failures))
        schema, rest = sample_schema(self._mark("samples")), iter(tables)
        if (first := next(rest, None)) is None:
            return
        with self.open_whole(f"{name}.arrow") as file, pa.ipc.new_file(file, schema) as stream:
            for table in chain([first], rest):
                stream.write_table(table.replace_schema_metadata(schema.metadata))

    def write_taken_scores(self, shard: int, scores: Iterable[Score]) -> None:
        """Keep scores that another run had, until the shard is scored."""
        self.write_file(_taken_name(shard), self._pack_lines("scores", scores))

    def list_taken(self) -> list[int]:
        """Return the shards that have kept scores, in order."""
        with self._explain_reading("scores"), suppress(FileNotFoundError, NotADirectoryError):
            entries = self._fs.ls(self._at("scores"), detail=False, refresh=True)
            found = (_TAKEN.fullmatch(entry.rsplit("/", 1)[-1]) for entry in entries)
            return sorted(int(match[1]) for match in found if match)
        return []

    def read_taken_scores(self, shard: int) -> list[Score]:
        """Return the kept scores of a shard; none if they are of other scorers, or cut."""
        content = self._read_file(_taken_name(shard))
        mark, what = _check_jsonl(io.BytesIO(content))
        if what or not self._is_own("scores", mark or ""):
            return []
        return list(self._read_lines("scores", shard, Score.from_dict, _taken_name(shard), content))

    def remove_taken_scores(self, shard: int) -> None:
        """Delete the kept scores of a shard if there are any."""
        self.remove_file(_taken_name(shard))

    def list_open(self) -> list[int]:
        """Return the shards that have parts, in order."""
        found = (_PARTS.fullmatch(folder) for folder in self.list_folders("samples"))
        return sorted(int(match[1]) for match in found if match)

    def list_parts(self, shard: int) -> list[str]:
        """Return the names of the parts of a shard."""
        folder = _parts_name(shard)
        with self._explain_reading(folder), suppress(FileNotFoundError, NotADirectoryError):
            entries = self._fs.ls(self._at(folder), detail=False, refresh=True)
            names = sorted(entry.rsplit("/", 1)[-1] for entry in entries)
            return [f"{folder}/{name}" for name in names if _PART.fullmatch(name)]
        return []

    def read_parts(self, shard: int, *, keep: bool) -> tuple[Rows, list[Failure]]:
        """Return the samples and failures in the parts of a shard; with `keep` also the samples in its file.

        Raises RunError naming a part that is damaged or that another recipe made.
        """
        rows = Rows()
        return rows, self.add_rows(rows, shard, keep=keep)

    def add_rows(self, rows: Rows, shard: int, *, keep: bool) -> list[Failure]:
        """Add the samples of a shard, as `read_parts` finds them, to rows; return the failures in its parts."""
        failures = list[Failure]()
        for group in range(self._count_groups(shard) if keep else 0):
            rows.add(partial(self._read_group, shard, group))
        names = self.list_parts(shard)
        for name in names:
            if name.endswith(".jsonl"):
                failures += self._read_lines("failures", shard, Failure.from_dict, name)
        tables = [name for name in names if not name.endswith(".jsonl")]
        opened = self.map_files(partial(self._open_part, shard), tables, MOST_PARTS_READ)
        for name, table in zip(tables, opened, strict=True):
            rows.add(partial(self._open_part, shard, name), table)
        return failures

    def join_parts(self, shard: int, rows: Rows, order: Iterable[str]) -> None:
        """Write the file of a shard from rows of `read_parts`, in the order of the ids in `order`.

        Ids that are nowhere are skipped. What the file holds does not depend on how its rows came into parts. The parts
        stay, so that a kill loses nothing.
        """
        with self.open_whole(_shard_name("samples", shard)) as file:
            write_tables(file, rows.group(order), sample_schema(self._mark("samples")))

    def remove_parts(self, shard: int) -> None:
        """Delete the parts of a shard if there are any."""
        with self._explain_disk(), suppress(FileNotFoundError):
            if self._fs.exists(self._at(_parts_name(shard))):
                self._fs.rm(self._at(_parts_name(shard)), recursive=True)

    def _open_part(self, shard: int, name: str) -> pyarrow.Table:
        """Return a part; one on this machine is mapped, so that only the rows that are taken from it are read."""
        import pyarrow as pa

        where = f"{self.address.rstrip('/')}/{name}"
        try:
            source = (
                pa.memory_map(self._at(name)) if self.is_local else pa.BufferReader(self._fs.cat_file(self._at(name)))
            )
            table = pa.ipc.open_file(source).read_all()
        except (pa.ArrowException, OSError) as error:
            what, hint = tell_unread(error)
            hint = hint or "delete that file and build again: its answers are asked for again"
            raise RunError(what, where=where, hint=hint) from error
        mark = _mark_in(table.schema.metadata)
        if not self._is_own("samples", mark):
            raise Damage("samples", shard, where, self._tell_foreign("samples", mark), True).refuse()
        return table

    def read_prompts(self, shard: int, only: Collection[str] = ()) -> list[Prompt]:
        """Return the prompts of a shard; raises RunError naming the file when it is missing or damaged.

        With `only`, those of some ids: lines in which none of them occurs are not even parsed.
        """
        found = self._read_lines("prompts", shard, Prompt.from_dict, only=only)
        return [prompt for prompt in found if not only or prompt.id in only]

    def read_scores(self, shard: int, only: Collection[str] = ()) -> list[Score]:
        """Return the scores of a shard; with `only`, those of some samples."""
        found = self._read_lines("scores", shard, Score.from_dict, only=only)
        return [score for score in found if not only or score.sample_id in only]

    def read_failures(self, shard: int) -> list[Failure]:
        """Return the failures of a shard."""
        return list(self._read_lines("failures", shard, Failure.from_dict))

    def look_at_failures(
        self, sizes: Mapping[int, int], shards: Iterable[int]
    ) -> Iterator[list[Failure] | Damage | None]:
        """Yield the failures of each shard, or what is wrong with its file as `find_damage` does; None if it has none.

        `sizes` are those of `list_sizes`: an empty file, as most are, is not opened. Others are read once, for both.
        """
        return self.map_files(lambda shard: self._look_at_failures(shard, sizes.get(shard)), shards)

    def _look_at_failures(self, shard: int, size: int | None) -> list[Failure] | Damage | None:
        if not size:
            return None if size is None else []
        content = self._read_file(_shard_name("failures", shard))
        mark, what = _check_jsonl(io.BytesIO(content))
        damage = self._judge("failures", shard, mark, what, io.BytesIO(content))
        return damage or list(self._read_lines("failures", shard, Failure.from_dict, content=content))

    def read_rewrites(self, batch: int) -> list[Rewrite]:
        """Return a language model's answers to one batch of requests."""
        return list(self._read_lines("rewrites", batch, Rewrite.from_dict))

    def read_samples(self, shard: int) -> list[Sample]:
        """Return the samples of a shard with their images, all at once: see `iter_samples`."""
        return list(self.iter_samples(shard))

    def iter_samples(self, shard: int) -> Iterator[Sample]:
        """Yield the samples of a shard with their images, a row group in memory at a time.

        Raises RunError naming the file when it is missing or damaged, be it by one byte, and when an older datagen
        stored a picture in it that readers show differently. The metadata of other old pictures is left out.
        """
        for group in range(self._count_groups(shard)):
            yield from to_samples(self._read_group(shard, group))

    def pick_samples(self, shard: int, places: Collection[int]) -> dict[int, Sample]:
        """Return the samples at some places of a shard, counted from 0; reads only the row groups that hold them.

        A row group is in memory at a time. Raises RunError as `iter_samples`; a place behind the last one is left out.
        """
        with self._open_samples(shard) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        found: dict[int, Sample] = {}
        start = 0
        for group, size in enumerate(sizes):
            if mine := sorted(place for place in places if start <= place < start + size):
                table = self._read_group(shard, group).take([place - start for place in mine])
                found.update(zip(mine, to_samples(table), strict=True))
            start += size
        return found

    def read_texts(self, shard: int) -> Iterator[pyarrow.StringArray]:
        """Yield what the model wrote in each sample of a shard, a row group at a time; reads no picture.

        The texts of a sample are one, with line breaks between them. Raises RunError as `iter_samples`.
        """
        with self._open_samples(shard) as file:
            for group in range(file.num_row_groups):
                yield join_texts(file.read_row_group(group, columns=[TEXTS], use_threads=False))

    def _clean(self, sample: Sample, shard: int) -> Sample:
        """Return a sample of an older datagen in the form in which samples are stored now."""
        try:
            parts = (replace(p, image=clean_stored(p.image)) if p.kind == "image" else p for p in sample.segments)
            return replace(sample, segments=tuple(parts))
        except PictureError as error:
            what = f"sample {sample.id} was stored by an older datagen: {error}"
            raise RunError(what, where=self.where("samples", shard), hint=self._mend_samples()) from error

    def _mend_samples(self) -> str:
        """Return the hint that says how to make one shard of samples again."""
        commands = " && ".join(program.command(word, self.address) for word in ("generate", "score"))
        return f"delete that file, and only that shard is made again: {commands}"

    def prove_samples(self, shard: int) -> None:
        """Read a shard of samples against its check sums. Raises RunError naming the file when it is damaged."""
        for group in range(self._count_groups(shard)):
            self._read_group(shard, group)

    def count_samples(self, shard: int) -> int:
        """Return the number of samples in a shard, from the footer of its file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        where = self.where("samples", shard)
        try:
            with self._fs.open(self._at(_shard_name("samples", shard)), "rb") as file:
                return int(pq.read_metadata(file).num_rows)
        except (pa.ArrowException, OSError) as error:
            what, hint = tell_unread(error)
            raise RunError(what, where=where, hint=hint or MEND) from error

    def digest(self, stage: Stage, shard: int) -> str:
        """Return a hash of a shard file: of the whole content for JSON lines, of size and footer for parquet.

        The footer holds size and place of every column and the least and greatest id, so other samples change it.
        """
        if SUFFIXES[stage] != "parquet":
            return hashlib.sha256(self._read_file(_shard_name(stage, shard))).hexdigest()
        name = _shard_name(stage, shard)
        with self._explain_reading(name, hint=MISSING), self._fs.open(self._at(name), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            return hashlib.sha256(b"%d " % size + file.read()).hexdigest()

    def read_head(self, name: str, size: int = _TAIL_BYTES) -> bytes:
        """Return the first bytes of a file such as `report.html` (all with size -1), or none if it does not exist."""
        with (
            self._explain_reading(name),
            suppress(FileNotFoundError, NotADirectoryError),
            self._fs.open(self._at(name), "rb") as file,
        ):
            return bytes(file.read() if size < 0 else file.read(size))  # pyarrow's files take no -1
        return b""

    def has(self, name: str) -> bool:
        """Return whether a file such as `report.html` exists."""
        return bool(self._fs.exists(self._at(name)))

    def read_stamp(self, name: str) -> dict[str, Any]:
        """Return what tells versions of a file apart without reading it, such as size and time; {} if nothing does."""
        with suppress(FileNotFoundError, NotADirectoryError):
            about: dict[str, Any] = self._fs.info(self._at(name))
            return about if _TIMES & about.keys() else {}
        return {}

    def read_notes(self) -> dict[str, Any]:
        """Return run.yaml as plain values; raises RunError when it is missing or broken."""
        where = f"{self.address.rstrip('/')}/run.yaml"
        try:
            with self._explain_reading("run.yaml"):
                notes = yaml.load(self._fs.cat_file(self._at("run.yaml")), SAFE_LOADER)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(
                "is not a run: it has no run.yaml", where=self.address, hint="`datagen build` makes one"
            ) from error
        except yaml.YAMLError as error:
            raise RunError(f"is broken YAML: {error}", where=where, hint="restore it or start another run") from error
        if not isinstance(notes, dict) or "recipe" not in notes:
            raise RunError("is not the note of a run", where=where, hint="restore it or start another run")
        if wrong := _find_wrong_note(notes):
            raise RunError(f"{wrong} is not as a run notes it", where=where, hint="restore it or start another run")
        return notes

    def write_notes(self, notes: Mapping[str, Any]) -> None:
        """Write run.yaml."""
        text = yaml.safe_dump(dict(notes), sort_keys=False, allow_unicode=True, width=120)
        self.write_file("run.yaml", text.encode())

    def write_file(self, name: str, content: bytes) -> None:
        """Write one file whole: see `open_whole`."""
        with self.open_whole(name) as file:
            file.write(content)

    @contextmanager
    def open_whole(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file to write that appears when it is whole: see `write_whole`; on an object store it is one put.

        After an exception nothing has changed.
        """
        with self._explain_disk():
            if not self.is_local:
                with tempfile.TemporaryFile() as spool:
                    yield spool
                    spool.seek(0)
                    with self._fs.open(self._at(name), "wb") as target:
                        shutil.copyfileobj(spool, target, _COPY_BYTES)
                return
            with write_whole(Path(self._at(name))) as file:
                yield file

    def adopt(self, other: RunFolder, stage: Stage) -> int:
        """Link the shards of a stage that another local run has and this one lacks; return how many.

        The caller knows that both carry the same marks. Scores come only to the samples that they were given for: a
        model may draw otherwise the second time.
        """
        made = set(self.list_shards(stage))
        missing = [shard for shard in other.list_shards(stage) if shard not in made]
        if stage == "scores":
            drawn = set(self.list_shards("samples")) & set(other.list_shards("samples"))
            missing = [k for k in missing if k in drawn and self.digest("samples", k) == other.digest("samples", k)]
        with self._explain_disk():
            for shard in missing:
                self._copy_file(other, _shard_name(stage, shard))
        return len(missing)

    def replace_stage(self, other: RunFolder, stage: Stage) -> None:
        """Put the files of a stage of another run in the place of this one's; after a kill, the same call ends it.

        Both lie on one disk, where the files are linked, or on one object store, which copies them. Those of `other`
        stay. Raises RunError when it is no run any more, so that its files may be gone.
        """
        with self._explain_disk():
            there, new = self._list_files(stage), other._list_files(stage)
            if not other.exists():
                raise RunError("was removed while its files were taken", where=other.address)
            for _ in self.map_files(lambda name: self._copy_file(other, name, new[name]), new):
                pass
            stale = sorted(there.keys() - new.keys())
            for _ in self.map_files(self.remove_file, stale):
                pass
            for name in reversed(stale if self.is_local else []):
                for folder in list(PurePosixPath(name).parents)[:-1]:
                    with suppress(OSError):  # it is not empty
                        (self.local_path / folder).rmdir()

    def _list_files(self, folder: str) -> dict[str, int]:
        """Return the bytes of each file below a folder by its name, without what killed processes left unfinished."""
        self._fs.invalidate_cache()
        with suppress(FileNotFoundError, NotADirectoryError):
            found = self._fs.find(self._at(folder), detail=True)
            names = {key[len(self._at("")) :]: entry["size"] or 0 for key, entry in found.items()}
            return {name: size for name, size in names.items() if not _PARTIAL.fullmatch(PurePosixPath(name).name)}
        return {}

    def _copy_file(self, other: RunFolder, name: str, size: int = 0) -> None:
        """Put a file of another run on the same disk or object store here, whole: a link, or a copy by the store."""
        source, path = other._at(name), Path(self._at(name))
        if self.is_local:
            path.parent.mkdir(parents=True, exist_ok=True)
            link = path.with_name(f".{path.name}.{os.getpid()}.part")
            with suppress(OSError):  # a disk without links, or another one
                os.link(source, link)
                os.replace(link, path)
                link.unlink(missing_ok=True)  # a rename to another link of the same file does nothing
                return
        elif size <= MOST_COPIED_BYTES:
            with suppress(NotImplementedError):  # not every file system of fsspec copies
                self._fs.cp_file(source, self._at(name))
                return
        with self.open_whole(name) as file, self._fs.open(source, "rb") as content:
            shutil.copyfileobj(content, file, _COPY_BYTES)

    def put_tree(self, source: Path, name: str) -> None:
        """Copy a local file or folder to `name` on an object store, in place of what was there.

        Where there is no such source, what was there goes.
        """
        with self._explain_disk():
            if self._fs.exists(self._at(name)):
                self._fs.rm(self._at(name), recursive=True)
            if source.exists():
                # With the slash, what is in a folder: a store may go on knowing the one that was just removed.
                self._fs.put(
                    f"{source}/" if source.is_dir() else str(source), self._at(name), recursive=source.is_dir()
                )

    def get_tree(self, name: str, target: Path) -> None:
        """Copy the folder `name` of an object store to a local one; without such a folder nothing is made."""
        root = self._at(name)
        with self._explain_reading(name):
            for key in sorted(self._fs.find(root)):
                path = PurePosixPath(key[len(root) :].lstrip("/"))
                if ".." in path.parts:  # keys of a store may hold anything
                    raise RunError(f"has a file whose name leaves its folder: {path}", where=f"{self}/{name}")
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(key, str(target / path))

    def remove_file(self, name: str) -> None:
        """Delete a file if it exists."""
        with self._explain_disk(), suppress(FileNotFoundError, NotADirectoryError):
            self._fs.rm_file(self._at(name))

    def remove_tree(self, name: str) -> None:
        """Delete a folder such as `exports/sft` if it exists; if it is a run, it is none any more before it is gone."""
        self.remove_file(f"{name}/run.yaml")
        with self._explain_disk(), suppress(FileNotFoundError):
            self._fs.rm(self._at(name), recursive=True)

    def log(self, line: str) -> None:
        """Append one line to log.txt, dated now."""
        self.log_dated([date_line(line)])

    def log_dated(self, lines: Iterable[str]) -> None:
        """Append lines of `date_line` to log.txt at once."""
        self.append("log.txt", "".join(f"{line}\n" for line in lines).encode())

    def append(self, name: str, content: bytes) -> None:
        """Append to a file: on an object store it is read and put again each time."""
        with self._explain_disk():
            if not self.is_local:  # an object cannot be appended to
                self.write_file(name, self.read_head(name, -1) + content)
                return
            path = Path(self._at(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(content)

    def amend(self, name: str, add: Callable[[bytes], bytes]) -> None:
        """Append to a file what `add` returns for its content, which no other `amend` changes meanwhile.

        On a disk it is there when this returns. On an object store the file is read and put again, without a lock.
        """
        with self._explain_disk():
            if not self.is_local:
                content = self.read_head(name, -1)
                self.write_file(name, content + add(content))
                return
            import fcntl

            path = Path(self._at(name))
            with path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, by a kill too
                file.seek(0)
                file.write(add(file.read()))
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def hold(self, *, reading: bool = False, wait: bool = False) -> Iterator[None]:
        """Lock a local run against a second writer; the kernel releases the lock when the process dies.

        What killed processes left unfinished is removed. Who is only `reading` may hold a run on a disk that cannot be
        written, where nobody changes it. Raises RunError when another process holds it, unless it may `wait`.
        """
        if not self.is_local or (reading and not os.access(self.local_path, os.W_OK)):
            yield
            return
        with ExitStack() as stack:
            with self._explain_disk():
                hint = "wait for it, or give this one another --run"
                what = "another datagen is writing this run"
                stack.enter_context(hold_folder(self.local_path, what, hint, wait=wait))
                self._clear_partials()
            yield

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _mark(self, stage: Stage) -> dict[str, str]:
        """Return the `made_by` field for records of a stage; empty in a folder without marks."""
        return {MADE_BY: self.marks[MARKED_AS[stage]][-1]} if self.marks is not None else {}

    def _write_lines(self, stage: Stage, shard: int, records: Iterable[Any]) -> None:
        self.write_file(_shard_name(stage, shard), self._pack_lines(stage, records))

    def _pack_lines(self, stage: Stage, records: Iterable[Any]) -> bytes:
        import jsonlines

        buffer, mark = io.StringIO(), self._mark(stage)
        with jsonlines.Writer(buffer, dumps=_pack) as writer:
            for record in records:
                writer.write({**mark, **record.to_dict()})
                mark = {}
        return buffer.getvalue().encode()

    def _read_lines(
        self,
        stage: Stage,
        shard: int,
        make: Callable[[Mapping[str, Any]], Record],
        name: str = "",
        content: bytes | None = None,
        only: Collection[str] = (),
    ) -> Iterator[Record]:
        """Yield the records of a shard file, which is read unless its content is given, or of a part of that name.

        With `only`, lines but the first are left out in which none of these words occurs.
        """
        file = f"{self.address.rstrip('/')}/{name}" if name else self.where(stage, shard)
        content = self._read_file(name or _shard_name(stage, shard)) if content is None else content
        number = 1
        try:
            if content and not content.endswith(b"\n"):
                raise ValueError("the last line is cut")
            for text in content.decode().split("\n")[:-1]:
                if only and number > 1 and not any(word in text for word in only):
                    number += 1
                    continue
                line = json.loads(text)
                mark = line.pop(MADE_BY, "")
                if (number == 1 or mark) and not self._is_own(stage, mark):
                    what = self._tell_foreign(stage, mark)
                    raise Damage(stage, shard, f"{file}:{number}", what, True).refuse()
                yield make(line)
                number += 1
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # A line that is not JSON is a ValueError; the other types come from one of the wrong shape.
            where = f"{file}:{number}"
            raise RunError(f"damaged: {first_line(error)}", where=where, hint=MEND) from error

    def _count_groups(self, shard: int) -> int:
        with self._open_samples(shard) as file:
            return int(file.num_row_groups)

    def _read_group(self, shard: int, group: int) -> pyarrow.Table:
        """Return one row group of a file of samples."""
        with self._open_samples(shard) as file:
            table = file.read_row_group(group, use_threads=False)  # threads over a Python file can abort at exit
            check_rows(table)
        if next(iter(SEEN)).encode() in (table.schema.metadata or {}):
            return table
        return to_table([self._clean(sample, shard) for sample in to_samples(table)], sample_schema())

    @contextmanager
    def _open_samples(self, shard: int) -> Iterator[pyarrow.parquet.ParquetFile]:
        """Open a file of samples, check whose it is, and explain what goes wrong with it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        where = self.where("samples", shard)
        try:
            with (
                self._fs.open(self._at(_shard_name("samples", shard)), "rb") as source,
                pq.ParquetFile(source, page_checksum_verification=True) as file,
            ):
                mark = _mark_in(file.metadata.metadata)
                if not self._is_own("samples", mark):
                    raise Damage("samples", shard, where, self._tell_foreign("samples", mark), True).refuse()
                if file.schema_arrow != sample_schema():
                    raise ValueError("its columns are not those of samples")
                yield file
        except FileNotFoundError as error:
            raise RunError("missing", where=where, hint=MISSING) from error
        except (pa.ArrowException, OSError, ValueError) as error:
            what, hint = tell_unread(error)
            raise RunError(what, where=where, hint=hint or self._mend_samples()) from error

    def _read_file(self, name: str) -> bytes:
        try:
            with self._explain_reading(name):
                return bytes(self._fs.cat_file(self._at(name)))
        except FileNotFoundError as error:
            raise RunError("missing", where=f"{self.address.rstrip('/')}/{name}", hint=MISSING) from error

    @contextmanager
    def _explain_reading(self, name: str, hint: str = "") -> Iterator[None]:
        """Explain why a file or folder cannot be read.

        One that is missing is handled by the caller, unless `hint` says what to do if it is gone from a local disk.
        """
        where = f"{self.address.rstrip('/')}/{name}"
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            if not hint or not self.is_local:
                raise
            raise RunError("missing", where=where, hint=hint) from error
        except OSError as error:
            what = f"cannot be read: {error.strerror or first_line(error)}"
            raise RunError(what, where=where, hint="check its permissions, and the disk") from error

    @contextmanager
    def _explain_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # On an object store an object is missing, which callers handle; on a disk the folder is gone.
            if isinstance(error, FileNotFoundError) and not self.is_local:
                raise
            hint = "free some space or check permissions, then run the same command: finished shards are kept"
            what = f"cannot be written: {error.strerror or error}"
            raise RunError(what, where=str(error.filename or self.address), hint=hint) from error


def _find_wrong_note(notes: Mapping[str, Any]) -> str:
    """Return the key of run.yaml that a person or a disk has broken, or `""`."""
    marks, makers, plan = notes.get("marks", {}), notes.get("makers", {}), notes.get("plan", {})
    for key in ("recipe", "files", "versions", "marks", "makers", "plan", "canaries"):
        if not isinstance(notes.get(key, {}), dict):
            return key
    if marks and not all(_is_list_of_words(marks.get(stage)) for stage in MARKED_AS.values()):
        return "marks"
    if makers and not all(_names_words(makers.get(stage)) for stage in MARKED_AS.values()):
        return "makers"
    for key in ("files", "versions"):
        if not _names_words(notes.get(key, {})):
            return key
    if (canaries := notes.get("canaries")) and not _are_canaries(canaries.get("scorers")):
        return "canaries"
    return "" if all(isinstance(count, int) for count in plan.values()) else "plan"


def _are_canaries(scorers: object) -> bool:
    """Tell whether each scorer has numbers of canaries and a list of those it got wrong."""
    shape = {"judged": int, "right": int, "wrong": list}
    return isinstance(scorers, dict) and all(
        isinstance(row, dict) and all(isinstance(row.get(key), kind) for key, kind in shape.items())
        for row in scorers.values()
    )


def _names_words(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for pair in value.items() for each in pair)


def _is_list_of_words(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def date_line(text: str) -> str:
    """Return a line of log.txt: the time now, to the second and with its zone, and the text."""
    return f"{datetime.now().astimezone().isoformat(timespec='seconds')} {text}"


def _taken_name(shard: int) -> str:
    return f"scores/{shard:05d}.taken.jsonl"


def _parts_name(shard: int) -> str:
    return f"samples/{shard:05d}.parts"


def _shard_name(stage: Stage, shard: int) -> str:
    return f"{stage}/{shard:05d}.{SUFFIXES[stage]}"


def _mark_in(metadata: Mapping[bytes, bytes] | None) -> str:
    """Return the mark in the metadata of a table, `""` if there is none; one that is no text is no mark of ours."""
    return (metadata or {}).get(MADE_BY.encode(), b"").decode(errors="replace")


def _check_parquet(file: Any, *, has_head: bool) -> tuple[str | None, str]:
    """Return the mark of an open parquet file, and what is wrong with its end or with its footer.

    With `has_head` its first bytes are looked at too, as a disk that fails can lose them alone; on an object store that
    would be one more request for what cannot be: an object is there as it was put.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read()
    if size < 12 or tail[-4:] != b"PAR1" or (has_head and _read_start(file, 4) != b"PAR1"):
        return None, f"cut off after {size:,} bytes"
    footer = int.from_bytes(tail[-8:-4], "little") + 8
    if footer + 4 > size:
        return None, "its footer is longer than the file"
    try:
        about = pq.read_metadata(pa.BufferReader(tail) if footer <= len(tail) else file)
    except (pa.ArrowException, OSError, ValueError) as error:
        return None, first_line(error)
    groups = (about.row_group(number) for number in range(about.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    if any(
        (each.dictionary_page_offset or each.data_page_offset) + each.total_compressed_size > size - footer
        for each in columns
    ):
        return None, f"cut off before its footer: {size:,} bytes are fewer than that tells of"
    return _mark_in(about.metadata), ""


def _check_jsonl(file: Any) -> tuple[str | None, str]:
    """Return the mark of an open JSON-lines file, and what is wrong with its end; an empty file is valid and has none.

    Files before there were marks have the mark `""`.
    """
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return None, ""
    file.seek(max(0, size - _LINES_BYTES))
    tail = file.read()
    if not tail.endswith(b"\n"):
        return None, "its last line is cut"
    body, newline, last = tail[:-1].rpartition(b"\n")
    if newline or size <= len(tail):  # else one line is longer than the tail: only a full read could tell
        try:
            json.loads(last)
        except ValueError:
            return None, "its last line is not JSON"
        if b"\0" in body:
            return None, "it holds zero bytes"
    found = _MARK.match(tail if size <= len(tail) else _read_start(file, 64))
    return found[1].decode() if found else "", ""


def _read_start(file: Any, size: int) -> bytes:
    file.seek(0)
    return bytes(file.read(size))


def _describe(stage: Stage, file: Any) -> str:
    """Describe an open file in a few words, so that a person sees whose it is: seed, engine, scorers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.seek(0)
    records: list[Any] = []
    try:
        if SUFFIXES[stage] == "parquet":
            with pq.ParquetFile(file) as opened:
                batches = opened.iter_batches(1, columns=["engine", "mode"], use_threads=False)
                records = next(batches).to_pylist() if opened.metadata.num_rows else []
        else:
            lines = [json.loads(line) for line in file.read(_TAIL_BYTES).splitlines()[:16]]
            records = [record for record in lines if isinstance(record, dict)]
    except (pa.ArrowException, OSError, ValueError):
        return ""  # unreadable content: the message goes without a description
    keys = {"prompts": ("seed",), "samples": ("engine", "mode"), "scores": ("name",)}.get(stage, ())
    values = {key: dict.fromkeys(str(each[key]) for each in records if key in each) for key in keys}
    return ", ".join(f"{key} {' and '.join(said)}" for key, said in values.items() if said)
