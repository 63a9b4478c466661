"""The run folder: one number, one file a stage, each written whole. A shard is done when its file is there.

    outputs/quickstart/
      run.yaml              prompts/00003.jsonl   scores/00003.jsonl     dataset/
      log.txt               samples/00003.parquet failures/00003.jsonl   report.html, report_files/

A local file is written beside its place, flushed to disk and renamed; on an object store (any fsspec address, such as
`s3://bucket/run`) it is one put. So a kill leaves a whole file or none, and workers never share one. The same records
give the same bytes. See one: `ls outputs/quickstart`, `datagen status quickstart`.

The first line of a file, and the metadata of a parquet file, say in `made_by` which recipe made it, by a hash; a folder
that is told which marks are its own (`marks`) takes no other for its own.

Not covered: several machines that append to one file (no stage does).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import yaml

from datagen.errors import RunError, first_line
from datagen.pictures import PictureError, clean_stored
from datagen.records import Failure, Prompt, Rewrite, Sample, Score, Segment

if TYPE_CHECKING:
    import pyarrow

Stage = Literal["prompts", "rewrites", "samples", "scores", "failures"]
Record = TypeVar("Record")
SUFFIXES: dict[Stage, str] = {
    "prompts": "jsonl",
    "rewrites": "jsonl",
    "samples": "parquet",
    "scores": "jsonl",
    "failures": "jsonl",
}
MADE_BY = "made_by"
"""The first field of a file's first line, or the key in a parquet file's metadata, that says which recipe made it.

The other lines are without it, so that two runs can be compared line by line.
"""
MARKED_AS: dict[Stage, str] = {
    "prompts": "prompts",
    "rewrites": "prompts",
    "samples": "samples",
    "scores": "scores",
    "failures": "samples",
}
"""Which of the three marks of a run the files of a stage carry."""
Marks = Mapping[str, Sequence[str]]
"""By `prompts`, `samples` and `scores`: the marks of files that are a run's own; it writes the last one.

Among them may be `""`: files that were written before there were marks.
"""
_SHARD = re.compile(r"(\d{5,})\.(jsonl|parquet)")
_PARTIAL = re.compile(r"\..+\.\d+\.part")
_TAIL_BYTES = 65_536
_MARK = re.compile(rb'\{"made_by":"([0-9a-f]+)"')
MEND = "delete that file and build again: that shard alone is made again"
_SEEN = {"datagen.pictures": "upright RGB"}
"""What a file of samples says whose pictures were all taken in by `datagen.pictures`; older files do not."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A shard file that is there and cannot be right: where, and what is wrong with it.

    `is_foreign`: it is whole, and another recipe made it. Such a file is never written over.
    """

    stage: Stage
    shard: int
    where: str
    what: str
    is_foreign: bool = False

    def refuse(self) -> RunError:
        """Return the error that says so."""
        again = "`datagen score RUN --again` scores all anew, or " if self.stage == "scores" else ""
        hint = f"{again}move that file away: its shard alone is made again; another recipe goes to a --run of its own"
        return RunError(self.what, where=self.where, hint=hint)


class RunFolder:
    """Reads and writes the files of one run, local or on an object store. Holds the address and the marks alone.

    With `marks`, what is written carries them, and a file that carries others is not read but refused. Files of
    samples, nearly all of a run's bytes, carry a check sum for each page, which is verified whenever they are read.
    Lines of JSON carry none: they are there to be read, compared and mended by hand.
    """

    def __init__(self, path: str | Path, marks: Marks | None = None) -> None:
        from fsspec.core import url_to_fs

        self.address, self.marks = str(path), marks
        try:
            self._fs, self._root = url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise RunError(f"this address cannot be used: {error}", where=self.address) from error
        self.is_local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else [self._fs.protocol])

    def __str__(self) -> str:
        return self.address

    def where(self, stage: Stage, shard: int) -> str:
        """Return the address of a shard file as messages show it."""
        return f"{self.address.rstrip('/')}/{_shard_name(stage, shard)}"

    @property
    def local_path(self) -> Path:
        """The folder as a local path; only if `is_local`."""
        return Path(self._root)

    def exists(self) -> bool:
        """Say whether there is a run here: a run.yaml."""
        return self.has("run.yaml")

    def list_shards(self, stage: Stage) -> list[int]:
        """Return the numbers of the finished shards of a stage, in order; temporary files do not count."""
        with suppress(FileNotFoundError, NotADirectoryError):
            names = (entry.rsplit("/", 1)[-1] for entry in self._fs.ls(self._at(stage), detail=False, refresh=True))
            found = (_SHARD.fullmatch(name) for name in names)
            return sorted(int(match[1]) for match in found if match and match[2] == SUFFIXES[stage])
        return []

    def list_folders(self, name: str) -> list[str]:
        """Return the names of the folders in one such as `exports`, in order, without hidden ones."""
        with suppress(FileNotFoundError, NotADirectoryError):
            entries = self._fs.ls(self._at(name), detail=True, refresh=True)
            names = (entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")
            return sorted(each for each in names if not each.startswith("."))
        return []

    def clear_partials(self) -> int:
        """Delete the temporary files that a kill left behind, and return how many there were."""
        if not self.is_local:
            return 0
        left = [
            path
            for folder in (self.local_path, *(self.local_path / stage for stage in SUFFIXES))
            if folder.is_dir()
            for path in folder.iterdir()
            if _PARTIAL.fullmatch(path.name)
        ]
        with self._explain_disk():
            for path in left:
                path.unlink(missing_ok=True)
        return len(left)

    def find_damage(self, stage: Stage, shards: Iterable[int]) -> list[Damage]:
        """Look at the ends of shard files (a few reads each, no record decoded) and return those that are not right.

        These are files that were cut, and those of another recipe.
        """
        found = []
        for shard in shards:
            check = _check_parquet if SUFFIXES[stage] == "parquet" else _check_jsonl
            with self._explain_disk(), self._fs.open(self._at(_shard_name(stage, shard)), "rb") as file:
                what = check(file)
                foreign = False
                if not what and self.marks is not None:
                    what, foreign = self._look_at_mark(stage, file)
            if what:
                found.append(Damage(stage, shard, self.where(stage, shard), what, foreign))
        return found

    def _look_at_mark(self, stage: Stage, file: Any) -> tuple[str, bool]:
        """Say what is wrong with the mark of an open file, and whether it is another's; an empty file is anybody's."""
        mark, fault = _read_parquet_mark(file) if SUFFIXES[stage] == "parquet" else (_read_line_mark(file), "")
        if mark is None or self._is_own(stage, mark):
            return fault, False
        return self._tell_foreign(stage, mark, _describe(stage, file)), True

    def _is_own(self, stage: Stage, mark: str) -> bool:
        return self.marks is None or mark in self.marks[MARKED_AS[stage]]

    def _tell_foreign(self, stage: Stage, mark: str, about: str = "") -> str:
        says = f"was made by another recipe: {mark}" if mark else "does not say which recipe made it"
        own = f"; {stage} of this run carry {self.marks[MARKED_AS[stage]][-1]}" if self.marks else ""
        return f"{says}{f' ({about})' if about else ''}{own}"

    def remove_shard(self, stage: Stage, shard: int) -> None:
        """Delete one shard file if it is there."""
        with self._explain_disk(), suppress(FileNotFoundError):
            self._fs.rm_file(self._at(_shard_name(stage, shard)))

    def write_prompts(self, shard: int, prompts: Iterable[Prompt]) -> None:
        """Write a shard of prompts; raises RunError when the disk is full or the folder cannot be written."""
        self._write_lines("prompts", shard, prompts)

    def write_scores(self, shard: int, scores: Iterable[Score]) -> None:
        """Write a shard of scores."""
        self._write_lines("scores", shard, scores)

    def write_failures(self, shard: int, failures: Iterable[Failure]) -> None:
        """Write a shard of failures, possibly none."""
        self._write_lines("failures", shard, failures)

    def write_rewrites(self, batch: int, rewrites: Iterable[Rewrite]) -> None:
        """Write what a language model answered to one batch of questions."""
        self._write_lines("rewrites", batch, rewrites)

    def write_samples(self, shard: int, samples: Iterable[Sample]) -> None:
        """Write a shard of samples with their images as parquet, byte for byte the same for the same samples."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist([_row_of(sample) for sample in samples], schema=_schema())
        table = table.replace_schema_metadata({**_SEEN, **self._mark("samples")})
        buffer = io.BytesIO()
        pq.write_table(
            table,
            buffer,
            compression="zstd",
            use_dictionary=False,
            row_group_size=4096,
            write_page_checksum=True,
        )
        self.write_file(_shard_name("samples", shard), buffer.getvalue())

    def read_prompts(self, shard: int) -> list[Prompt]:
        """Return the prompts of a shard; raises RunError naming the file when it is missing or damaged."""
        return list(self._read_lines("prompts", shard, Prompt.from_dict))

    def read_scores(self, shard: int) -> list[Score]:
        """Return the scores of a shard."""
        return list(self._read_lines("scores", shard, Score.from_dict))

    def read_failures(self, shard: int) -> list[Failure]:
        """Return the failures of a shard."""
        return list(self._read_lines("failures", shard, Failure.from_dict))

    def read_rewrites(self, batch: int) -> list[Rewrite]:
        """Return the answers to one batch of questions."""
        return list(self._read_lines("rewrites", batch, Rewrite.from_dict))

    def read_samples(self, shard: int) -> list[Sample]:
        """Return the samples of a shard with their images.

        Raises RunError naming the file when it is missing or damaged, be it by one byte, and when an older datagen
        stored a picture in it that is not seen alike by all readers. Of others the metadata is left out.
        """
        table = self._read_table(shard)
        samples = [_sample_of(row) for row in table.to_pylist()]
        if next(iter(_SEEN)).encode() in (table.schema.metadata or {}):
            return samples
        return [self._clean(sample, shard) for sample in samples]

    def _clean(self, sample: Sample, shard: int) -> Sample:
        """Return a sample of an older datagen as it would come in today."""
        try:
            parts = (replace(p, image=clean_stored(p.image)) if p.kind == "image" else p for p in sample.segments)
            return replace(sample, segments=tuple(parts))
        except PictureError as error:
            what = f"sample {sample.id} was stored by an older datagen: {error}"
            raise RunError(what, where=self.where("samples", shard), hint=self._mend_samples()) from error

    def _mend_samples(self) -> str:
        """Say how to make one shard of samples anew."""
        commands = f"datagen generate {self.address} && datagen score {self.address}"
        return f"delete that file, and that shard alone is made again: {commands}"

    def prove_samples(self, shard: int) -> None:
        """Read a shard of samples against its check sums. Raises RunError naming the file when it is damaged."""
        self._read_table(shard)

    def count_samples(self, shard: int) -> int:
        """Return how many samples a shard holds, from the footer of its file alone."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        where = self.where("samples", shard)
        try:
            with self._fs.open(self._at(_shard_name("samples", shard)), "rb") as file:
                return int(pq.read_metadata(file).num_rows)
        except (pa.ArrowException, OSError) as error:
            raise RunError(f"damaged: {first_line(error)}", where=where, hint=MEND) from error

    def digest(self, stage: Stage, shard: int) -> str:
        """Return a hash of a shard file: of all of a file of lines; of a parquet file's size and footer alone.

        The footer holds size and place of every column and the least and greatest id, so other samples have another.
        """
        if SUFFIXES[stage] != "parquet":
            return hashlib.sha256(self._read_file(stage, shard)).hexdigest()
        with self._explain_disk(), self._fs.open(self._at(_shard_name(stage, shard)), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            return hashlib.sha256(b"%d " % size + file.read()).hexdigest()

    def read_head(self, name: str, size: int = _TAIL_BYTES) -> bytes:
        """Return the first bytes of a file such as `report.html` (all with size -1), none if it is not there."""
        try:
            with self._fs.open(self._at(name), "rb") as file:
                return bytes(file.read(size))
        except (FileNotFoundError, NotADirectoryError):
            return b""

    def has(self, name: str) -> bool:
        """Say whether a file such as `report.html` is there."""
        return bool(self._fs.exists(self._at(name)))

    def read_notes(self) -> dict[str, Any]:
        """Return run.yaml as plain values; raises RunError when it is missing or no mapping."""
        where = f"{self.address.rstrip('/')}/run.yaml"
        try:
            notes = yaml.safe_load(self._fs.cat_file(self._at("run.yaml")))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(
                "is not a run: it has no run.yaml", where=self.address, hint="`datagen build` makes one"
            ) from error
        except yaml.YAMLError as error:
            raise RunError(f"is broken YAML: {error}", where=where, hint="restore it or start another run") from error
        if not isinstance(notes, dict) or "recipe" not in notes:
            raise RunError("is not the note of a run", where=where, hint="restore it or start another run")
        return notes

    def write_notes(self, notes: Mapping[str, Any]) -> None:
        """Write run.yaml."""
        text = yaml.safe_dump(dict(notes), sort_keys=False, allow_unicode=True, width=120)
        self.write_file("run.yaml", text.encode())

    def write_file(self, name: str, content: bytes) -> None:
        """Write one file whole: temporary file, fsync, rename; or a single put on an object store."""
        with self._explain_disk():
            if not self.is_local:
                self._fs.pipe_file(self._at(name), content)
                return
            path = Path(self._at(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.part")
            try:
                with partial.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)

    def put_tree(self, source: Path, name: str) -> None:
        """Copy a local file or folder to `name` on an object store, in place of what was there.

        Where there is no such source, what was there goes.
        """
        with self._explain_disk():
            if self._fs.exists(self._at(name)):
                self._fs.rm(self._at(name), recursive=True)
            if source.exists():
                self._fs.put(str(source), self._at(name), recursive=source.is_dir())

    def log(self, line: str) -> None:
        """Append one dated line to log.txt."""
        dated = f"{datetime.now().astimezone().isoformat(timespec='seconds')} {line}\n"
        with self._explain_disk(), self._fs.open(self._at("log.txt"), "ab") as file:
            file.write(dated.encode())

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep a second process from writing the same local run; the lock dies with the process, however it dies.

        Raises RunError when another process holds it.
        """
        if not self.is_local:
            yield
            return
        import fcntl

        with self._explain_disk():
            self.local_path.mkdir(parents=True, exist_ok=True)
            file = (self.local_path / ".lock").open("a")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                hint = "wait for it, or give this one another --run"
                raise RunError("another datagen is writing this run", where=self.address, hint=hint) from error
            yield

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _mark(self, stage: Stage) -> dict[str, str]:
        """Return what a record of a stage says of who made it; nothing in a folder without marks."""
        return {MADE_BY: self.marks[MARKED_AS[stage]][-1]} if self.marks is not None else {}

    def _write_lines(self, stage: Stage, shard: int, records: Iterable[Any]) -> None:
        import jsonlines

        buffer, mark = io.StringIO(), self._mark(stage)
        with jsonlines.Writer(buffer, dumps=_pack) as writer:
            for record in records:
                writer.write({**mark, **record.to_dict()})
                mark = {}
        self.write_file(_shard_name(stage, shard), buffer.getvalue().encode())

    def _read_lines(self, stage: Stage, shard: int, make: Callable[[Mapping[str, Any]], Record]) -> Iterator[Record]:
        import jsonlines

        content = self._read_file(stage, shard)
        number = 1
        try:
            if content and not content.endswith(b"\n"):
                raise ValueError("the last line is cut")
            for line in jsonlines.Reader(io.StringIO(content.decode())):
                mark = line.pop(MADE_BY, "")
                if (number == 1 or mark) and not self._is_own(stage, mark):
                    what = self._tell_foreign(stage, mark)
                    raise Damage(stage, shard, f"{self.where(stage, shard)}:{number}", what, True).refuse()
                yield make(line)
                number += 1
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # jsonlines.InvalidLineError is a ValueError; the others come from a line of another shape.
            where = f"{self.where(stage, shard)}:{number}"
            raise RunError(f"damaged: {first_line(error)}", where=where, hint=MEND) from error

    def _read_table(self, shard: int) -> pyarrow.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = self._read_file("samples", shard)
        try:
            with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
                mark = (file.metadata.metadata or {}).get(MADE_BY.encode(), b"").decode()
                if not self._is_own("samples", mark):
                    what = self._tell_foreign("samples", mark)
                    raise Damage("samples", shard, self.where("samples", shard), what, True).refuse()
                table = file.read(use_threads=False)  # a thread over a Python file can abort the process at its exit
            if table.schema != _schema():
                raise ValueError("its columns are not those of samples")
        except (pa.ArrowException, OSError, ValueError) as error:
            where = self.where("samples", shard)
            raise RunError(f"damaged: {first_line(error)}", where=where, hint=self._mend_samples()) from error
        return table

    def _read_file(self, stage: Stage, shard: int) -> bytes:
        try:
            return bytes(self._fs.cat_file(self._at(_shard_name(stage, shard))))
        except FileNotFoundError as error:
            raise RunError("missing", where=self.where(stage, shard), hint=MEND) from error
        except OSError as error:
            raise RunError(f"cannot be read: {error.strerror or error}", where=self.where(stage, shard)) from error

    @contextmanager
    def _explain_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not self.is_local:
                raise
            hint = "free some space or check permissions, then run the same command: finished shards are kept"
            what = f"cannot be written: {error.strerror or error}"
            raise RunError(what, where=str(error.filename or self.address), hint=hint) from error


def _shard_name(stage: Stage, shard: int) -> str:
    return f"{stage}/{shard:05d}.{SUFFIXES[stage]}"


def _pack(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _check_parquet(file: Any) -> str:
    """Return what is wrong with the ends of a parquet file: magic, footer length, magic."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    file.seek(0)
    if size < 12 or file.read(4) != b"PAR1" or tail[4:] != b"PAR1":
        return f"cut off after {size:,} bytes"
    return "" if int.from_bytes(tail[:4], "little") + 12 <= size else "its footer is longer than the file"


def _check_jsonl(file: Any) -> str:
    """Return what is wrong with the last line of a file of JSON lines; no lines at all are right."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return ""
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read()
    if not tail.endswith(b"\n"):
        return "its last line is cut"
    body, newline, last = tail[:-1].rpartition(b"\n")
    if not newline and size > _TAIL_BYTES:
        return ""  # one line longer than the tail: only reading it all would tell
    try:
        json.loads(last)
    except ValueError:
        return "its last line is not JSON"
    return "" if b"\0" not in body else "it holds zero bytes"


def _read_parquet_mark(file: Any) -> tuple[str | None, str]:
    """Return the mark of an open parquet file; None and what is wrong with it if its footer cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.seek(0)
    try:
        return (pq.read_metadata(file).metadata or {}).get(MADE_BY.encode(), b"").decode(), ""
    except (pa.ArrowException, OSError, ValueError) as error:
        return None, first_line(error)


def _read_line_mark(file: Any) -> str | None:
    """Return the mark in the first line of an open file; None of a file without lines."""
    file.seek(0)
    head = file.read(64)
    found = _MARK.match(head)
    return found[1].decode() if found else "" if head else None


def _describe(stage: Stage, file: Any) -> str:
    """Say in a few words what an open file holds, so that a person sees whose it is: a seed, an engine, scorers."""
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
            records = [json.loads(line) for line in file.read(_TAIL_BYTES).splitlines()[:16]]
    except (pa.ArrowException, OSError, ValueError):
        return ""  # what it holds cannot be told; that it is another's is known
    keys = {"prompts": ("seed",), "samples": ("engine", "mode"), "scores": ("name",)}.get(stage, ())
    values = {key: dict.fromkeys(str(each[key]) for each in records if key in each) for key in keys}
    return ", ".join(f"{key} {' and '.join(said)}" for key, said in values.items() if said)


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    text = pa.string()
    segment = pa.struct([("kind", text), ("role", text), ("text", text), ("image", pa.binary())])
    return pa.schema(
        [
            *((name, text) for name in ("id", "prompt_id")),
            ("candidate", pa.int32()),
            ("seed", pa.int64()),
            *((name, text) for name in ("mode", "engine", "switch", "finish")),
            ("segments", pa.list_(segment)),
            ("settings", text),
        ],
        metadata=_SEEN,
    )


def _row_of(sample: Sample) -> dict[str, Any]:
    segments = [
        {"kind": part.kind, "role": part.role, "text": part.text, "image": part.image or None}
        for part in sample.segments
    ]
    values = {name: getattr(sample, name) for name in Sample.__dataclass_fields__}
    return {**values, "segments": segments, "settings": json.dumps(sample.settings, sort_keys=True)}


def _sample_of(row: Mapping[str, Any]) -> Sample:
    segments = tuple(
        Segment(part["kind"], part["role"], part["text"], part["image"] or b"") for part in row["segments"]
    )
    return Sample(**{**row, "segments": segments, "settings": json.loads(row["settings"])})
