"""Columns to Arrow tables, for parquet: what pyarrow does by itself, but for images and for JSON.

The bytes of images are laid into memory that is kept from one table to the next: where fresh memory is dear, letting
pyarrow grow an array of 32 MB costs more than writing it. JSON columns, which pyarrow makes from no Python value, are
given as JSON texts.

Not covered: nulls in place of a list, a structure or an image.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow

Columns: TypeAlias = "Mapping[str, Sequence[Any] | Nested]"
"""The values of each column by its name, in the order of the rows."""


@dataclass(frozen=True, slots=True)
class Nested:
    """A column of lists of structures by the fields of these, one list after the other: no object for each is made."""

    lengths: Sequence[int]
    fields: Columns


def turn_rows(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Return rows, all of the same keys, as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


class TableMaker:
    """Makes tables of one schema, one after the other: a table is gone when the next one is made."""

    def __init__(self, schema: pyarrow.Schema) -> None:
        self._schema = schema
        self._kept: dict[str, bytearray] = {}

    def make(self, columns: Columns) -> pyarrow.Table:
        """Return columns as a table, which shares memory with the one before it."""
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
        """Return images as an array over memory that is kept for `path`."""
        import pyarrow as pa

        ends = array("i", accumulate(map(len, values), initial=0))
        kept = self._kept.get(path)
        if kept is None or len(kept) < ends[-1]:
            kept = self._kept[path] = bytearray(ends[-1])
        laid = memoryview(kept)  # a slice of a bytearray itself would take a copy of each image first
        for start, end, value in zip(ends, ends[1:], values, strict=False):
            laid[start:end] = value
        images = pa.py_buffer(laid[: ends[-1]])
        return pa.Array.from_buffers(pa.binary(), len(values), [*_wrap(ends), images])


def _make_lists(lengths: Iterable[int], inside: pyarrow.Array, kind: pyarrow.DataType) -> pyarrow.Array:
    """Return the values of `inside` as lists of these lengths, one after the other."""
    import pyarrow as pa

    ends = array("i", accumulate(lengths, initial=0))
    return pa.ListArray.from_arrays(pa.Array.from_buffers(pa.int32(), len(ends), _wrap(ends)), inside, type=kind)


def _wrap(numbers: array[int]) -> list[pyarrow.Buffer | None]:
    """Return the buffers of an array of whole numbers without nulls."""
    import pyarrow as pa

    return [None, pa.py_buffer(numbers)]


def _is_special(kind: pyarrow.DataType) -> bool:
    """Say whether images or JSON are somewhere in a type."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return _is_special(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_is_special(each.type) for each in kind)
    return pa.types.is_binary(kind) or isinstance(kind, pa.BaseExtensionType)
