"""The files of a source and their rows: JSON lines, CSV, text, parquet, Arrow, and pictures with a caption beside each.

    open_source("photos")  open_source("rows.jsonl")  open_source("hf://datasets/owner/name")  open_source("s3://b/*.parquet")

An address is a file, a folder, a pattern with `*`, or any of these in a bucket or on a hub: what fsspec opens. Of a
folder the first kind that it has counts: `metadata.jsonl`, `.csv` or `.parquet` (Hugging Face's ImageFolder), parquet
files, the Arrow files of `datasets.save_to_disk`, pictures with `NAME.txt` beside `NAME.png`, JSON lines, CSV.

A row has a place in its file: its number, or the byte at which its line begins. So rows can be read again in any order
without an index. Of a parquet file, `ROW_GROUPS` row groups are in memory; Arrow files are mapped.

    open_pictures("photos").pictures()

yields all pictures of an address, whatever its rows are: files of pictures and the columns of tables that hold some.

Not covered: compressed files, nested columns, JSON documents, dataset scripts; Arrow files in a bucket.
"""

from __future__ import annotations

import csv
import json
import posixpath
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from datagen.documents.reading import show
from datagen.errors import ConfigError, DatagenError, did_you_mean, first_line
from datagen.filesystems import hash_file, open_filesystem, tell_unread
from datagen.plugins import Failed, attempt
from datagen.records import hash_of

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
"""Endings of pictures that a caption may stand beside."""
LINES = (".jsonl", ".csv", ".tsv", ".txt")
TABLES = (".parquet", ".arrow")
MARKS = "*?["
"""What makes an address a pattern, unless it is there as it is written."""
ROW_GROUPS = 2
"""Row groups of parquet files in memory."""
BATCH_ROWS = 256
PICTURE_ROWS = 64
"""Rows of a table in memory while all its pictures are read."""
MOST_PICTURE_BYTES = 256 << 20
"""Largest file of a picture that is read."""
_UNCHANGED = ("blob_id", "oid", "ETag", "etag", "xet_hash", "md5", "mtime", "created", "LastModified")
"""What file systems elsewhere tell of a file that changes with its content."""
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the number of its file, its place there, where that is in words, and its values by column."""

    file: int
    place: int
    where: str
    values: Values


class Files:
    """The files of one source, in the order of their names.

    `columns` are those of the first file. Raises ConfigError, as its methods do, naming the file and what is wrong.
    """

    def __init__(self, address: str, *, pictures: bool = False) -> None:
        self.address = address
        self._system, self._base = _open(address)
        find = _find_pictures if pictures else _find
        self.names, self.kind = find(self._system, self._base, address)
        self._remembered: OrderedDict[tuple[str, int], Any] = OrderedDict()
        common = posixpath.dirname(self.names[0]) if len(self.names) == 1 else posixpath.commonpath(self.names)
        self._root = self._base if _is_below(self.names[0], self._base) else common
        prefix = self._root.rstrip("/") + "/"
        self._prefix = prefix if self.names[0].startswith(prefix) else ""
        self.columns = [] if pictures else self._open(0).columns()

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Yield all rows with some columns, in order."""
        for number in range(len(self.names)):
            name = self.label(number)
            for place, where, values in self._open(number).rows(columns):
                yield Row(number, place, f"{name}{where}", values)

    def read(self, file: int, places: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Values]]:
        """Yield (place, values) of rows of one file, by their places in ascending order."""
        yield from self._open(file).read(sorted(set(places)), columns)

    def label(self, number: int) -> str:
        """Return the name of a file, from the root of the source."""
        return self.names[number].removeprefix(self._prefix)

    def number(self, label: str) -> int:
        """Return the number of a file by its `label`, -1 if it is gone."""
        name = self._prefix + label
        found = bisect_left(self.names, name)
        return found if found < len(self.names) and self.names[found] == name else -1

    def read_picture(self, file: int, path: str, root: str | None) -> bytes:
        """Return the content of a picture's file; `path` is relative to `root`, by default to the folder of the file.

        Raises ValueError for a path that leads out of that folder, OSError if it cannot be read.
        """
        system, folder = self._system, posixpath.dirname(self.names[file]) if self.kind != "pictures" else self._root
        if root is not None:
            system, folder = _open(root)
        whole = posixpath.normpath(posixpath.join(folder, path))
        if self._is_local(system):
            whole, folder = str(Path(whole).resolve()), str(Path(folder).resolve())
        if not whole.startswith(folder.rstrip("/") + "/") or "\0" in path:
            raise ValueError(f"the picture {show(path)} is outside of its folder; `root:` names the folder of pictures")
        with system.open(whole, "rb") as file_:
            return _read_bounded(file_, path)

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Yield where each picture is and its content, in order: each file of one, and each in a column of a table.

        A column holds pictures if it is of structs with `bytes`, as `datasets` writes them, or of lists of such. Raises
        ConfigError for a file that cannot be read or is too large.
        """
        whole = self.names == [self._base] or any(mark in self._base for mark in MARKS)
        for number, name in enumerate(self.names):
            place = self.address if name == self._base else name if whole else f"{self.address}/{self.label(number)}"
            if name.lower().endswith(PICTURES):
                with self.open_file(number) as file:
                    yield place, self._guard(partial(_read_bounded, file, name), place)
                continue
            reader = self._open_table(number)
            columns = reader.picture_columns()
            for _, where, values in reader.rows(columns, PICTURE_ROWS) if columns else ():
                for column, value in values.items():
                    for k, each in enumerate(value if isinstance(value, list) else [value]):
                        if each and each.get("bytes"):
                            yield f"{place}{where}, {column}{f'[{k}]' if k else ''}", each["bytes"]

    def fingerprint(self) -> str:
        """Return a hash of what the files hold, 16 hexadecimal digits, that does not depend on where they are.

        Of a local file its content counts, if it is large and no text of lines its size and sampled blocks; of a
        picture in its folder its name and size. Elsewhere what the file system tells: an ETag, a blob's hash.
        """
        local = self._is_local(self._system)
        marks: list[list[Any]] = []
        for number, name in enumerate(self.names):
            if not local:
                info = self._guard(lambda name=name: self._system.info(name), name)  # type: ignore[misc]
                told = {key: str(info[key]) for key in _UNCHANGED if info.get(key) is not None}
                marks.append([self.label(number), info.get("size"), told])
            elif self.kind == "pictures":
                marks.append([self.label(number), Path(name).stat().st_size])
            else:
                marks.append([self.label(number), hash_file(Path(name), whole=name.endswith(LINES))])
        if local and self.kind == "pictures":
            marks += [[Path(name).name, hash_file(_caption(name))] for name in self.names if _caption(name).is_file()]
        elif local and self.kind == "metadata":
            found = self._system.find(self._base, detail=True)
            marks += sorted([posixpath.relpath(name, self._root), info["size"]] for name, info in found.items())
        return hash_of(marks)

    def count(self) -> int | None:
        """Return the number of rows if it can be told without reading them all: of parquet files and pictures."""
        if self.kind == "pictures":
            return len(self.names)
        if not all(name.endswith(".parquet") for name in self.names):
            return None
        return sum(_Parquet(self, number).count() for number in range(len(self.names)))

    def _open(self, number: int) -> _Reader:
        name = self.names[number]
        if self.kind == "pictures":
            return _Captions(self, number)
        return _READERS[posixpath.splitext(name)[1]](self, number)

    def _open_table(self, number: int) -> _Table:
        return _TABLES[posixpath.splitext(self.names[number])[1].lower()](self, number)

    def open_file(self, number: int) -> IO[bytes]:
        """Open a file to read its bytes."""
        name = self.names[number]
        opened: IO[bytes] = self._guard(lambda: self._system.open(name, "rb"), name)
        return opened

    def remember(self, key: tuple[str, int], make: Callable[[], Any]) -> Any:
        """Return what `make` returned for a key, of which the last few are kept."""
        if key not in self._remembered:
            while len(self._remembered) >= ROW_GROUPS:
                self._remembered.popitem(last=False)
            self._remembered[key] = make()
        self._remembered.move_to_end(key)
        return self._remembered[key]

    def read_caption(self, number: int) -> str | None:
        """Return the text beside a picture, None if there is none."""
        path = posixpath.splitext(self.names[number])[0] + ".txt"
        if not self._system.exists(path):
            return None
        content: bytes = self._guard(lambda: self._system.cat_file(path), path)
        return _decode(content, path)

    @staticmethod
    def _is_local(system: Any) -> bool:
        return "file" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)

    @staticmethod
    def _guard(call: Callable[[], Any], where: str) -> Any:
        found = attempt(call)
        if isinstance(found, Failed):
            what, hint = tell_unread(found.error) if isinstance(found.error, Exception) else (found.text, "")
            raise ConfigError(what, where=where, hint=hint) from found.error
        return found


def open_source(address: str) -> Files:
    """Find the files of an address. Raises ConfigError if there are none, or if they cannot be read."""
    return Files(address)


def open_pictures(address: str) -> Files:
    """Find all files of an address that are pictures, or tables that may hold some, but for hidden ones.

    Of the result `pictures` and `fingerprint` are meant to be used. Raises ConfigError if there are none, or if they
    cannot be read.
    """
    return Files(address.rstrip("/") or address, pictures=True)


def _open(address: str) -> tuple[Any, str]:
    try:
        system, path = open_filesystem(address)
    except ValueError as error:
        raise ConfigError(f"cannot be used: {error}", where=address, hint="a path, hf://…, s3://… or gs://…") from error
    return system, path.rstrip("/") or path


def _find(system: Any, path: str, address: str) -> tuple[list[str], str]:
    """Return the files of a source in order, and what they are: `pictures`, `metadata` or `rows`."""
    found = _list_or_refuse(system, path, address)
    if not _is_below(found[0], path):  # a file, or a pattern
        known = [name for name in found if name.endswith((*LINES, *TABLES))]
        if not known:
            hint = f"known endings: {', '.join((*LINES, *TABLES))}"
            raise ConfigError("holds no rows that can be read", where=address, hint=hint)
        return known, "rows"
    metadata = [name for name in found if posixpath.splitext(posixpath.basename(name))[0] == "metadata"]
    metadata = [name for name in metadata if name.endswith((".jsonl", ".csv", ".parquet"))]
    if metadata:
        return metadata, "metadata"
    for ending in (*TABLES, PICTURES, ".jsonl", ".csv", ".tsv"):
        if some := [name for name in found if name.lower().endswith(ending)]:
            return some, "pictures" if ending == PICTURES else "rows"
    hint = "metadata.jsonl, parquet files, pictures with NAME.txt beside NAME.png, JSON lines or CSV"
    raise ConfigError("the folder holds no rows that can be read", where=address, hint=hint)


def _is_below(name: str, folder: str) -> bool:
    return name.startswith(folder.rstrip("/") + "/")


def _find_pictures(system: Any, path: str, address: str) -> tuple[list[str], str]:
    """Return the files of an address that are pictures or tables, in order."""
    found = [name for name in _list_or_refuse(system, path, address) if name.lower().endswith((*PICTURES, *TABLES))]
    if not found:
        hint = f"name a picture ({', '.join(PICTURES)}), or a folder with pictures or parquet files"
        raise ConfigError("there is no picture", where=address, hint=hint)
    return found, "all pictures"


def _list_or_refuse(system: Any, path: str, address: str) -> list[str]:
    found = attempt(lambda: _list(system, path))
    if isinstance(found, Failed):
        raise ConfigError(f"cannot be read: {found.text}", where=address) from found.error
    if not found:
        raise ConfigError("there is nothing", where=address, hint="a file, a folder, or a pattern with *")
    return found


def _list(system: Any, path: str) -> list[str]:
    if any(mark in path for mark in MARKS) and not system.exists(path):
        return sorted(name for name in system.glob(path) if system.isfile(name))
    if system.isfile(path):
        return [path]
    below = len(path) + 1

    def is_hidden(name: str) -> bool:
        parts = name[below:].split("/")
        is_cache = parts[-1].startswith("cache-") and name.endswith(".arrow")
        return is_cache or any(part.startswith(".") for part in parts)

    return sorted(name for name in system.find(path) if not is_hidden(name))


def _read_bounded(file: IO[bytes], path: str) -> bytes:
    """Return the content of a picture's file. Raises ValueError if it is too large."""
    content = file.read(MOST_PICTURE_BYTES + 1)
    if len(content) > MOST_PICTURE_BYTES:
        raise ValueError(f"the picture {show(path)} has more than {MOST_PICTURE_BYTES >> 20} MiB")
    return content


def _holds_pictures(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_pictures(kind.value_type)
    return pa.types.is_struct(kind) and any(field.name == "bytes" for field in kind)


def _caption(name: str) -> Path:
    return Path(name).with_suffix(".txt")


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8 text", where=where) from error


Read = tuple[int, str, Values]
"""The place of a row, what names it behind the name of its file, and its values."""


class _Reader(ABC):
    """The rows of one file."""

    def __init__(self, files: Files, number: int) -> None:
        self.files, self.number = files, number

    @abstractmethod
    def columns(self) -> list[str]:
        """Return the names of the columns."""

    @abstractmethod
    def rows(self, columns: Sequence[str]) -> Iterator[Read]:
        """Yield all rows in order."""

    @abstractmethod
    def read(self, places: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Values]]:
        """Yield the rows of some places, which ascend."""


class _Captions(_Reader):
    """One picture with its caption: a row."""

    def columns(self) -> list[str]:
        return ["image", "prompt"]

    def rows(self, columns: Sequence[str]) -> Iterator[Read]:
        name = self.files.label(self.number)
        yield 0, "", {"image": name, "prompt": self.files.read_caption(self.number)}

    def read(self, places: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Values]]:
        for place, _, values in self.rows(columns):
            yield place, values


class _Lines(_Reader):
    """A file of lines, whose rows are placed by the byte at which they begin."""

    def columns(self) -> list[str]:
        _, _, values = next(self._walk(0), (0, "", {}))
        return list(values)

    def rows(self, columns: Sequence[str]) -> Iterator[Read]:
        yield from self._walk(0)

    def read(self, places: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Values]]:
        for place in places:
            for at, _, values in self._walk(place):
                yield at, values
                break

    @abstractmethod
    def _walk(self, start: int) -> Iterator[Read]:
        """Yield the rows from a byte on. Lines are numbered if that is the first."""


class _EachLine(_Lines):
    """A file in which each line is a row."""

    def _walk(self, start: int) -> Iterator[Read]:
        name = self.files.label(self.number)
        with self.files.open_file(self.number) as file:
            file.seek(start)
            at = start
            for count, line in enumerate(file, 1):
                where = f":{count}" if not start else ""
                text = _decode(line, f"{name}{where}").strip()
                if text:
                    yield at, where, self._parse(text, f"{name}{where}")
                at += len(line)

    @abstractmethod
    def _parse(self, text: str, where: str) -> Values:
        """Return the values of a line. Raises ConfigError."""


class _JsonLines(_EachLine):
    def _parse(self, text: str, where: str) -> Values:
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"not JSON: {show(text)}", where=where) from error
        if not isinstance(values, dict):
            raise ConfigError(f"a line holds an object of JSON, not {show(values)}", where=where)
        return values

    def columns(self) -> list[str]:
        # A line may lack a key that later ones have.
        names: dict[str, None] = {}
        for count, (_, _, values) in enumerate(self._walk(0)):
            names |= dict.fromkeys(values)
            if count >= BATCH_ROWS:
                break
        return list(names)


class _Text(_EachLine):
    def _parse(self, text: str, where: str) -> Values:
        return {"prompt": text}


class _Csv(_Lines):
    """Comma-separated values with a head; a value may hold line breaks."""

    delimiter = ","

    def _walk(self, start: int) -> Iterator[Read]:
        name = self.files.label(self.number)
        with self.files.open_file(self.number) as file:
            lines = _Counted(file, name)
            head = next(self._read(lines, name), [])
            if len(set(head)) < len(head):
                raise ConfigError("names a column twice in its first line", where=name)
            if start:
                file.seek(start)
                lines.at = start
            at, line = lines.at, lines.count
            for fields in self._read(lines, name):
                where = f":{line + 1}" if not start else ""
                if fields and len(fields) != len(head):
                    what = f"has {len(fields)} values, and the first line names {len(head)} columns"
                    raise ConfigError(what, where=f"{name}{where}")
                if fields:
                    yield at, where, {key: value or None for key, value in zip(head, fields, strict=True)}
                at, line = lines.at, lines.count

    def columns(self) -> list[str]:
        name = self.files.label(self.number)
        with self.files.open_file(self.number) as file:
            return next(self._read(_Counted(file, name), name), [])

    def _read(self, lines: Iterator[str], name: str) -> Iterator[list[str]]:
        try:
            yield from csv.reader(lines, delimiter=self.delimiter, strict=True)
        except csv.Error as error:
            raise ConfigError(f"is no CSV: {first_line(error)}", where=name) from error


class _Tsv(_Csv):
    delimiter = "\t"


class _Counted:
    """The lines of a file as text, with the byte and the number of the next one."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name
        self.at = self.count = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        self.at += len(line)
        self.count += 1
        return _decode(line, f"{self._name}:{self.count}")


class _Table(_Reader):
    """A file of columns, whose rows are placed by their number from 0."""

    @abstractmethod
    def schema(self) -> Any:
        """Return the schema of Arrow."""

    def columns(self) -> list[str]:
        return list(self.schema().names)

    def picture_columns(self) -> list[str]:
        """Return the columns that hold pictures."""
        return [field.name for field in self.schema() if _holds_pictures(field.type)]

    @abstractmethod
    def rows(self, columns: Sequence[str], batch_rows: int = BATCH_ROWS) -> Iterator[Read]:
        """Yield all rows in order, read so many at a time."""

    def _refuse(self, error: Exception) -> DatagenError:
        what, hint = tell_unread(error)
        return ConfigError(what, where=self.files.label(self.number), hint=hint)


class _Parquet(_Table):
    def _file(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.files.open_file(self.number))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._refuse(error) from error

    def count(self) -> int:
        """Return the number of rows."""
        with self._file() as file:
            return int(file.metadata.num_rows)

    def schema(self) -> Any:
        with self._file() as file:
            return file.schema_arrow

    def rows(self, columns: Sequence[str], batch_rows: int = BATCH_ROWS) -> Iterator[Read]:
        import pyarrow as pa

        place = 0
        with self._file() as file:
            wanted = [name for name in columns if name in file.schema_arrow.names]
            try:
                for batch in file.iter_batches(batch_rows, columns=wanted, use_threads=False):
                    for values in batch.to_pylist() if wanted else [{}] * batch.num_rows:
                        yield place, f", row {place}", values
                        place += 1
            except (pa.ArrowException, OSError) as error:
                raise self._refuse(error) from error

    def read(self, places: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Values]]:
        import pyarrow as pa

        name = self.files.names[self.number]
        with self._file() as file:
            wanted = [each for each in columns if each in file.schema_arrow.names]
            groups, begin = [], 0
            for number in range(file.num_row_groups):
                groups.append((begin, begin + file.metadata.row_group(number).num_rows))
                begin = groups[-1][1]
            try:
                for number, (first, end) in enumerate(groups):
                    if mine := [place for place in places if first <= place < end]:
                        read = partial(file.read_row_group, number, wanted, use_threads=False)
                        table = self.files.remember((name, number), read)
                        for place in mine:
                            yield place, table.slice(place - first, 1).to_pylist()[0]
            except (pa.ArrowException, OSError) as error:
                raise self._refuse(error) from error


class _Arrow(_Table):
    """A file that `datasets.save_to_disk` wrote: mapped, so that rows are read as they are needed."""

    def _table(self) -> Any:
        import pyarrow as pa

        name = self.files.names[self.number]
        try:
            mapped = pa.memory_map(name)
            try:
                return pa.ipc.open_stream(mapped).read_all()
            except pa.ArrowInvalid:
                return pa.ipc.open_file(mapped).read_all()
        except (pa.ArrowException, OSError) as error:
            raise self._refuse(error) from error

    def schema(self) -> Any:
        return self._table().schema

    def rows(self, columns: Sequence[str], batch_rows: int = BATCH_ROWS) -> Iterator[Read]:
        table, place = self._table(), 0
        for batch in table.select([name for name in columns if name in table.column_names]).to_batches(batch_rows):
            for values in batch.to_pylist():
                yield place, f", row {place}", values
                place += 1

    def read(self, places: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Values]]:
        table = self._table()
        table = table.select([name for name in columns if name in table.column_names])
        for place in places:
            yield from ((place, values) for values in table.slice(place, 1).to_pylist())


_TABLES: dict[str, Callable[[Files, int], _Table]] = {".parquet": _Parquet, ".arrow": _Arrow}
_READERS: dict[str, Callable[[Files, int], _Reader]] = {
    ".jsonl": _JsonLines,
    ".csv": _Csv,
    ".tsv": _Tsv,
    ".txt": _Text,
    **_TABLES,
}


def choose_column(files: Files, given: str | None, usual: Sequence[str], what: str) -> str | None:
    """Return the column that the recipe names, else the first of the usual names that is there, else None.

    Raises ConfigError for a column that is not there.
    """
    if given is None:
        return next((name for name in usual if name in files.columns), None)
    if given not in files.columns:
        hint = did_you_mean(given, files.columns)
        raise ConfigError(f"has no column {given!r} for `{what}`", where=files.address, hint=hint)
    return given
