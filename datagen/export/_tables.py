"""Rows to Arrow tables, for parquet: what pyarrow does by itself, but for images and for JSON.

The bytes of images are laid into memory that is kept from one table to the next: where fresh memory is dear, letting
pyarrow grow an array of 32 MB costs more than writing it. JSON columns, which pyarrow makes from no Python value, are
given as JSON texts.

Not covered: nulls in place of a list, a structure or an image.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow


class TableMaker:
    """Makes tables of one schema, one after the other: a table is gone when the next one is made."""

    def __init__(self, schema: pyarrow.Schema) -> None:
        self._schema = schema
        self._kept: dict[str, bytearray] = {}

    def make(self, rows: Sequence[Mapping[str, Any]]) -> pyarrow.Table:
        """Return rows as a table, which shares memory with the one before it."""
        import pyarrow as pa

        columns = [self._make([row[each.name] for row in rows], each.type, each.name) for each in self._schema]
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _make(self, values: Sequence[Any], kind: pyarrow.DataType, path: str) -> pyarrow.Array:
        import pyarrow as pa

        if not _is_special(kind):
            return pa.array(values, kind)
        if pa.types.is_list(kind):
            ends = array("i", accumulate(map(len, values), initial=0))
            inside = self._make(list(chain.from_iterable(values)), kind.value_type, f"{path}[]")
            return pa.ListArray.from_arrays(
                pa.Array.from_buffers(pa.int32(), len(ends), _wrap(ends)), inside, type=kind
            )
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
        for start, value in zip(ends, values, strict=False):
            kept[start : start + len(value)] = value
        images = pa.py_buffer(memoryview(kept)[: ends[-1]])
        return pa.Array.from_buffers(pa.binary(), len(values), [*_wrap(ends), images])


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
