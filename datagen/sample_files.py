"""Files of samples: parquet for a finished shard, Arrow for the parts of one that is still being generated.

Both hold one row a sample. A parquet file is written and read a row group at a time, so that memory follows the row
group and not the shard. What it holds, byte for byte, follows from its rows and their order alone. Each page carries a
check sum, which is verified whenever it is read. Parts are joined without making an object for any row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Self

from datagen.errors import RunError
from datagen.records import Sample, Segment

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

GROUP_BYTES = 32 << 20
GROUP_ROWS = 4096
"""A row group is closed at this many rows or bytes of pictures, whichever comes first."""
OPEN_BYTES, OPEN_TABLES = 64 << 20, 128
"""How many bytes of pictures, and how many parts or row groups, are open at once while parts are joined."""
SEEN = {"datagen.pictures": "upright RGB"}
"""Metadata of a file whose pictures were all taken in by `datagen.pictures`; older files lack it."""


def sample_schema(metadata: Mapping[str, str] | None = None) -> pyarrow.Schema:
    """Return the columns of a file of samples, with `SEEN` and further metadata."""
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
        metadata={**SEEN, **(metadata or {})},
    )


def to_table(samples: Sequence[Sample], schema: pyarrow.Schema) -> pyarrow.Table:
    """Return samples as a table, one row each."""
    import pyarrow as pa

    parts = [part for sample in samples for part in sample.segments]
    kind = schema.field("segments").type
    fields = {
        "kind": [part.kind for part in parts],
        "role": [part.role for part in parts],
        "text": [part.text for part in parts],
        "image": [part.image or None for part in parts],
    }
    inside = pa.StructArray.from_arrays(
        [pa.array(fields[field.name], field.type) for field in kind.value_type], fields=list(kind.value_type)
    )
    ends = pa.array(accumulate((len(sample.segments) for sample in samples), initial=0), pa.int32())
    columns = {
        "segments": pa.ListArray.from_arrays(ends, inside, type=kind),
        "settings": pa.array([json.dumps(sample.settings, sort_keys=True) for sample in samples], pa.string()),
    }
    arrays = [
        columns[field.name]
        if field.name in columns
        else pa.array([getattr(sample, field.name) for sample in samples], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def to_samples(table: pyarrow.Table) -> list[Sample]:
    """Return the rows of a table as samples. Settings that read the same are one object, which nobody changes."""
    segments = table.column("segments").combine_chunks()
    fields = [segments.flatten().field(name).to_pylist() for name in ("kind", "role", "text", "image")]
    parts = [Segment(kind, role, text, image or b"") for kind, role, text, image in zip(*fields, strict=True)]
    lengths = segments.value_lengths().to_pylist()
    ends = list(accumulate(lengths, initial=0))
    known: dict[str, dict[str, Any]] = {}
    for text in (settings := table.column("settings").to_pylist()):
        if text not in known:
            known[text] = json.loads(text)
    names = [name for name in Sample.__dataclass_fields__ if name not in ("segments", "settings")]
    rows = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    return [
        Sample(
            **dict(zip(names, row, strict=True)),
            segments=tuple(parts[ends[k] : ends[k + 1]]),
            settings=known[settings[k]],
        )
        for k, row in enumerate(rows)
    ]


TEXTS = "segments.list.element.text"
"""The column of a file with what the model wrote."""


def join_texts(table: pyarrow.Table) -> pyarrow.StringArray:
    """Return the texts of each row's segments as one, with line breaks between them, of a table that has `TEXTS`.

    Raises ValueError where a row has none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    segments = table.column("segments").combine_chunks()
    texts = pc.binary_join(pa.ListArray.from_arrays(segments.offsets, segments.values.field("text")), "\n")
    if texts.null_count:
        raise ValueError("a row has no value in the column segments.text")
    return texts


def check_rows(table: pyarrow.Table) -> None:
    """Raise ValueError for rows that no sample was written as: a value is missing, or settings are no JSON object."""
    import pyarrow.compute as pc

    segments = table.column("segments").combine_chunks().flatten()
    columns = {name: table.column(name) for name in table.column_names}
    columns |= {f"segments.{name}": segments.field(name) for name in ("kind", "role", "text")}
    if empty := next((name for name, values in columns.items() if values.null_count), ""):
        raise ValueError(f"a row has no value in the column {empty}")
    for text in pc.unique(table.column("settings")).to_pylist():
        if not isinstance(json.loads(text), dict):
            raise ValueError("the settings of a row are no JSON object")


def group_samples(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Yield samples as they fall into row groups."""
    group: list[Sample] = []
    size = 0
    for sample in samples:
        group.append(sample)
        size += sample.image_bytes
        if size >= GROUP_BYTES or len(group) >= GROUP_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def write_tables(file: Any, tables: Iterable[pyarrow.Table], schema: pyarrow.Schema) -> None:
    """Write each table as one row group of a parquet file."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False, write_page_checksum=True) as writer:
        for table in tables:
            # In one piece: what pages hold would else follow from the parts that the rows came from.
            whole = table.combine_chunks().replace_schema_metadata(schema.metadata)
            writer.write_table(whole, row_group_size=max(1, len(whole)))


class Rows:
    """The rows of several tables, found by the ids of their samples. Opens a table when a row of it is needed."""

    def __init__(self) -> None:
        self._open: list[Callable[[], pyarrow.Table]] = []
        self._tables: dict[int, pyarrow.Table] = {}
        self._bytes = 0
        """Bytes of pictures in the open tables."""
        self._places: dict[str, tuple[int, int]] = {}
        self._sizes: list[list[int]] = []

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, open_: Callable[[], pyarrow.Table], table: pyarrow.Table | None = None) -> Self:
        """Take a table in, which is opened unless given. A sample that is there already keeps its row."""
        table = open_() if table is None else table
        number = len(self._open)
        self._open.append(open_)
        self._sizes.append(_image_bytes(table))
        if self._has_room(number):
            self._hold(number, table)
        for row, sample_id in enumerate(table.column("id").to_pylist()):
            self._places.setdefault(sample_id, (number, row))
        return self

    def group(self, order: Iterable[str]) -> Iterator[pyarrow.Table]:
        """Yield the rows of those ids that are there, in order, as they fall into row groups.

        Raises RunError when a table that is opened again is another one than before.
        """
        group: list[str] = []
        size = 0
        for sample_id in order:
            if (place := self._places.get(sample_id)) is None:
                continue
            group.append(sample_id)
            size += self._sizes[place[0]][place[1]]
            if size >= GROUP_BYTES or len(group) >= GROUP_ROWS:
                yield self._take(group)
                group, size = [], 0
        if group:
            yield self._take(group)
        self._tables.clear()
        self._bytes = 0

    def _take(self, group: Sequence[str]) -> pyarrow.Table:
        """Return the rows of some ids: stretches of neighbours in a table are views, which copy nothing."""
        import pyarrow as pa

        runs: list[list[int]] = []  # table, first row, number of rows
        for number, row in map(self._places.__getitem__, group):
            if runs and runs[-1][0] == number and sum(runs[-1][1:]) == row:
                runs[-1][2] += 1
            else:
                runs.append([number, row, 1])
        table = pa.concat_tables([self._table(number).slice(first, count) for number, first, count in runs])
        if table.column("id").to_pylist() != group:
            raise RunError(f"samples beside {group[0]} changed while they were read", hint="run the same command again")
        return table

    def _table(self, number: int) -> pyarrow.Table:
        if number not in self._tables:
            while self._tables and not self._has_room(number):
                oldest = next(iter(self._tables))
                del self._tables[oldest]
                self._bytes -= sum(self._sizes[oldest])
            self._hold(number, self._open[number]())
        return self._tables[number]

    def _has_room(self, number: int) -> bool:
        return len(self._tables) < OPEN_TABLES and self._bytes + sum(self._sizes[number]) <= OPEN_BYTES

    def _hold(self, number: int, table: pyarrow.Table) -> None:
        self._tables[number] = table
        self._bytes += sum(self._sizes[number])


def _image_bytes(table: pyarrow.Table) -> list[int]:
    """Return how many bytes of pictures each row has."""
    import pyarrow.compute as pc

    segments = table.column("segments").combine_chunks()
    sizes = list(
        accumulate(pc.fill_null(pc.binary_length(segments.flatten().field("image")), 0).to_pylist(), initial=0)
    )
    ends = list(accumulate(segments.value_lengths().to_pylist(), initial=0))
    return [sizes[end] - sizes[start] for start, end in pairwise(ends)]
