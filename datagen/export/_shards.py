"""Writes one split as parquet files, a row group at a time, in the layout that `datasets` itself writes.

The metadata key `huggingface` carries the column types, content-defined chunking lets the hub store only what changed
between two versions, and the page index lets readers fetch single rows. One thread writes a row group, and waits for
the disk, while the next one is gathered.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Self

from datagen.export._tables import Columns, TableMaker, turn_rows

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet
    from datasets import Features

FILE_BYTES = 256 * 1024 * 1024
"""A parquet file is closed at this size in memory."""
GROUP_ROWS = 5000
GROUP_BYTES = 32 * 1024 * 1024
"""A row group is closed at this many rows or bytes of images, whichever comes first. Memory holds two: one as rows that
are gathered and one as a table that is written, and the memory that tables are laid in for both."""
CHUNKING = {"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0}
"""Content-defined chunking as `datasets` 5.2 sets it."""


class SplitWriter:
    """The parquet files of one split: `add` rows, then `finish`; or `abort`. A `with` block does one or the other.

    Rows are mappings, or whatever `turn` makes columns of, a row group at a time.
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
        """Take in a row and the bytes of its images; full row groups go to disk, full files give way to new ones."""
        self._buffer.append(row)
        self._buffer_bytes += image_bytes
        self.rows += 1
        if len(self._buffer) >= GROUP_ROWS or self._buffer_bytes >= self._group_bytes:
            self._flush()

    def finish(self) -> list[Path]:
        """Write what is left, name the files `train-00000-of-00002.parquet` and return them: none without a row."""
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
        """Let go of the open file after an error, without another."""
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
        """Hand the gathered rows to the thread, once it is done with those before: two tables take turns in memory."""
        table = self._making.make(self._turn(self._buffer))
        self._buffer, self._buffer_bytes = [], 0
        self._wait()
        self._making, self._made = self._made, self._making
        begun = Event()
        self._writing = self._thread.submit(self._write, table, begun)
        begun.wait()  # else the thread waits its turn, of 5 ms or two, while the next rows are gathered

    def _wait(self) -> None:
        """Wait until the last row group is written; raises what went wrong with it."""
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

        self._file = pa.OSFile(str(self._part(self.files)), "wb")  # unlike a file of Python, written without its lock
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


def sync_file(path: Path) -> None:
    """Wait until a file, or a folder with its names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_parquet(file: pyarrow.NativeFile, schema: pyarrow.Schema) -> pyarrow.parquet.ParquetWriter:
    """Return a writer of parquet in the layout of this module: images as they are, everything else packed."""
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
    """Return the parquet paths of a column's leaves (`images.list.element.bytes`), and which are bytes of images."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return _list_leaves(f"{path}.list.element", kind.value_type)
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _list_leaves(f"{path}.{field.name}", field.type)]
    return [(path, pa.types.is_binary(kind))]
