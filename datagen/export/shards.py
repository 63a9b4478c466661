"""Write one split as parquet files, a row group at a time, in the layout of `datasets`.

The metadata key `huggingface` has the column types, content-defined chunking lets the hub store only the changes
between two versions, and the page index lets readers fetch single rows. A thread writes a row group, and waits for the
disk, while the next one is collected.

Columns become Arrow tables as in pyarrow, except for images and JSON. Image bytes are copied into memory that is reused
for the next table: where new memory is expensive, growing an array of 32 MB in pyarrow costs more than writing it. JSON
columns, which pyarrow cannot make from Python values, are given as JSON texts.

Not covered: null lists, structures or images.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Self, TypeAlias

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet
    from datasets import Features


Columns: TypeAlias = "Mapping[str, Sequence[Any] | Nested]"
"""The values of each column by name, in the order of rows."""


@dataclass(frozen=True, slots=True)
class Nested:
    """A column of lists of structures, flattened: the values of each field, and the length of each list."""

    lengths: Sequence[int]
    fields: Columns


def turn_rows(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Return rows with equal keys as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


class TableMaker:
    """Makes tables of one schema in reused memory: making a table invalidates the previous one."""

    def __init__(self, schema: pyarrow.Schema) -> None:
        self._schema = schema
        self._kept: dict[str, bytearray] = {}

    def make(self, columns: Columns) -> pyarrow.Table:
        """Return columns as a table, which shares memory with the previous one."""
        import pyarrow as pa

        arrays = [self._make(columns[each.name], each.type, each.name) for each in self._schema]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _make(self, values: Sequence[Any] | Nested, kind: pyarrow.DataType, path: str) -> pyarrow.Array:
        import pyarrow as pa

        if isinstance(values, Nested):
            fields = kind.value_type.fields
            inner = [self._make(values.fields[each.name], each.type, f"{path}[].{each.name}") for each in fields]
            return _make_lists(values.lengths, pa.StructArray.from_arrays(inner, fields=fields), kind)
        if not _is_special(kind):
            return pa.array(values, kind)
        if pa.types.is_list(kind):
            inside = self._make(list(chain.from_iterable(values)), kind.value_type, f"{path}[]")
            return _make_lists(map(len, values), inside, kind)
        if pa.types.is_struct(kind):
            inner = [self._make([v[each.name] for v in values], each.type, f"{path}.{each.name}") for each in kind]
            return pa.StructArray.from_arrays(inner, fields=list(kind))
        if pa.types.is_binary(kind):
            return self._lay(values, path)
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))

    def _lay(self, values: Sequence[bytes], path: str) -> pyarrow.Array:
        """Return images as an array in the reused memory of `path`."""
        import pyarrow as pa

        ends = array("i", accumulate(map(len, values), initial=0))
        kept = self._kept.get(path)
        if kept is None or len(kept) < ends[-1]:
            kept = self._kept[path] = bytearray(ends[-1])
        laid = memoryview(kept)  # assigning to a slice of a bytearray copies twice
        for start, end, value in zip(ends, ends[1:], values, strict=False):
            laid[start:end] = value
        images = pa.py_buffer(laid[: ends[-1]])
        return pa.Array.from_buffers(pa.binary(), len(values), [*_wrap(ends), images])


def _make_lists(lengths: Iterable[int], inside: pyarrow.Array, kind: pyarrow.DataType) -> pyarrow.Array:
    """Return the values of `inside` as consecutive lists of these lengths."""
    import pyarrow as pa

    ends = array("i", accumulate(lengths, initial=0))
    return pa.ListArray.from_arrays(pa.Array.from_buffers(pa.int32(), len(ends), _wrap(ends)), inside, type=kind)


def _wrap(numbers: array[int]) -> list[pyarrow.Buffer | None]:
    """Return the buffers of an array of whole numbers without nulls."""
    import pyarrow as pa

    return [None, pa.py_buffer(numbers)]


def _is_special(kind: pyarrow.DataType) -> bool:
    """Tell whether a type contains images or JSON."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return _is_special(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_is_special(each.type) for each in kind)
    return pa.types.is_binary(kind) or isinstance(kind, pa.BaseExtensionType)


FILE_BYTES = 256 * 1024 * 1024
"""Size in memory at which a parquet file is closed."""
GROUP_ROWS = 5000
GROUP_BYTES = 32 * 1024 * 1024
"""Rows or image bytes at which a row group is closed, whichever comes first. Memory holds two: one as rows that are
collected and one as a table that is written, and the reused memory of both."""
CHUNKING = {"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0}
"""Content-defined chunking as `datasets` 5.2 sets it."""


class SplitWriter:
    """The parquet files of one split: `add` rows, then `finish` or, after an error, `abort`; a `with` block does so.

    Rows are mappings, or any values that `turn` converts to columns, a row group at a time.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        features: Features,
        file_bytes: int = FILE_BYTES,
        group_bytes: int | None = None,
        turn: Callable[[Sequence[Any]], Columns] = turn_rows,
    ) -> None:
        self.split, self.rows, self.files, self.num_bytes = split, 0, 0, 0
        self._folder, self._file_bytes, self._group_bytes = folder, file_bytes, group_bytes or GROUP_BYTES
        self._turn = turn
        self._schema = features.arrow_schema
        self._making, self._made = TableMaker(self._schema), TableMaker(self._schema)
        self._buffer: list[Any] = []
        self._buffer_bytes = self._open_bytes = 0
        self._file: pyarrow.NativeFile | None = None
        self._writer: pyarrow.parquet.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()

    def add(self, row: Any, image_bytes: int) -> None:
        """Add a row and the size of its images; full row groups are written, and full files are closed."""
        self._buffer.append(row)
        self._buffer_bytes += image_bytes
        self.rows += 1
        if len(self._buffer) >= GROUP_ROWS or self._buffer_bytes >= self._group_bytes:
            self._flush()

    def finish(self) -> list[Path]:
        """Write the remaining rows, name the files `train-00000-of-00002.parquet` and return them, if there are any."""
        if self._buffer:
            self._flush()
        self._wait()
        self._close()
        self._thread.shutdown()
        paths = []
        for k in range(self.files):
            path = self._folder / f"{self.split}-{k:05d}-of-{self.files:05d}.parquet"
            os.rename(self._part(k), path)
            paths.append(path)
        return paths

    def abort(self) -> None:
        """Close the open file after an error, without raising another."""
        self._thread.shutdown()
        with suppress(OSError, ValueError):
            if self._writer is not None:
                self._writer.close()
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        self._writer = self._file = None

    def _part(self, number: int) -> Path:
        return self._folder / f"{self.split}-{number:05d}.part"

    def _flush(self) -> None:
        """Pass the collected rows to the thread when it has finished the last ones; two tables alternate in memory."""
        table = self._making.make(self._turn(self._buffer))
        self._buffer, self._buffer_bytes = [], 0
        self._wait()
        self._making, self._made = self._made, self._making
        begun = Event()
        self._writing = self._thread.submit(self._write, table, begun)
        begun.wait()  # or the thread would wait for the interpreter's lock, 5 ms or more, before it starts

    def _wait(self) -> None:
        """Wait until the last row group is written; raise its error."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, table: pyarrow.Table, begun: Event) -> None:
        begun.set()
        if self._writer is None:
            self._open()
        assert self._writer is not None
        self._writer.write_table(table)
        self.num_bytes += table.nbytes
        self._open_bytes += table.nbytes
        if self._open_bytes >= self._file_bytes:
            self._close()

    def _open(self) -> None:
        import pyarrow as pa

        self._file = pa.OSFile(str(self._part(self.files)), "wb")  # writes without the interpreter's lock
        self._writer = open_parquet(self._file, self._schema)
        self.files += 1

    def _close(self) -> None:
        if self._writer is None or self._file is None:
            return
        self._writer.add_key_value_metadata({"content_defined_chunking": json.dumps(CHUNKING)})
        self._writer.close()
        self._file.close()
        sync_file(self._part(self.files - 1))
        self._writer = self._file = None
        self._open_bytes = 0


def drop_column(path: Path, features: Features) -> None:
    """Write a parquet file anew with the columns of `features` alone, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, part = features.arrow_schema, path.with_suffix(".part")
    with pq.ParquetFile(path) as old, pa.OSFile(str(part), "wb") as file, open_parquet(file, schema) as new:
        for k in range(old.num_row_groups):
            new.write_table(old.read_row_group(k, schema.names).cast(schema))
        new.add_key_value_metadata({"content_defined_chunking": json.dumps(CHUNKING)})
    sync_file(part)
    os.replace(part, path)


def sync_file(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_parquet(file: pyarrow.NativeFile, schema: pyarrow.Schema) -> pyarrow.parquet.ParquetWriter:
    """Return a parquet writer with the layout of this module: images uncompressed, everything else compressed."""
    import pyarrow.parquet as pq

    leaves = [leaf for field in schema for leaf in _list_leaves(field.name, field.type)]
    plain = [path for path, is_image in leaves if is_image]
    packed = [path for path, is_image in leaves if not is_image]
    return pq.ParquetWriter(
        file,
        schema=schema,
        use_content_defined_chunking=CHUNKING,
        write_page_index=True,
        write_page_checksum=True,
        compression={**dict.fromkeys(plain, "none"), **dict.fromkeys(packed, "snappy")},
        use_dictionary=packed,
        column_encoding=dict.fromkeys(plain, "PLAIN"),
    )


def _list_leaves(path: str, kind: pyarrow.DataType) -> list[tuple[str, bool]]:
    """Return the parquet paths of a column's leaves (`images.list.element.bytes`), and whether each is image bytes."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return _list_leaves(f"{path}.list.element", kind.value_type)
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _list_leaves(f"{path}.{field.name}", field.type)]
    return [(path, pa.types.is_binary(kind))]
