"""Files that are almost right: bytes exchanged as a bad disk or a cut copy does, or the structure as a person might.

`spoil` changes bytes and is decided by a generator of random numbers. `mutations` are a strategy of hypothesis, which
repeats a case by its seed and makes a case that does not hold as small as it can.
"""

from __future__ import annotations

import copy
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st

ODD = (
    "null",
    "-1",
    "1e309",
    ".nan",
    "''",
    "[]",
    "{}",
    "true",
    "~",
    "*a",
    "&a b",
    "9" * 30,
    "é",
    '"',
    "- ",
    ": ",
    "{{ x }}",
)
ODD_BYTES = (*(word.encode() for word in ODD), b"\0", b"\xff", b"\xf0\x9f", b"\r\n", b"\t")
Steps = tuple[Any, ...]
"""A place in plain values: keys and indices from the root."""


def spoil(content: bytes, rng: random.Random) -> bytes:
    """Return a file with one to three faults: cut, lost, doubled or exchanged parts, odd words, wrong bytes."""
    for _ in range(rng.randint(1, 3)):
        size = len(content)
        a, b = sorted((rng.randrange(size + 1), rng.randrange(size + 1)))
        b = min(b, a + 64)
        lines = content.splitlines(keepends=True)
        kind = rng.randrange(7)
        if kind == 0:
            content = content[:a]
        elif kind == 1:
            content = content[:a] + content[b:]
        elif kind == 2:
            content = content[:b] + content[a:]
        elif kind == 3:
            content = content[:a] + rng.choice(ODD_BYTES) + content[b:]
        elif kind == 4 and len(lines) > 1:
            k, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[k], lines[j] = lines[j], lines[k]
            content = b"".join(lines)
        elif kind == 5 and (words := [*re.finditer(rb"[\w.\"'-]+", content)]):
            found = rng.choice(words)
            content = content[: found.start()] + rng.choice(ODD_BYTES) + content[found.end() :]
        elif size:
            content = content[:a] + bytes([rng.randrange(256)]) + content[a + 1 :]
    return content


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**30]),
    st.integers(-50, 50),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", " ", "0", "no", "../up", "a.b", "count(x, 1)", "{{ x }}", "<b>", "[red]", "x" * 300]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def list_places(value: Any, here: Steps = ()) -> Iterator[Steps]:
    """Yield every place below a value, parents first."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in parts:
        yield (*here, step)
        yield from list_places(part, (*here, step))


def _reach(value: Any, place: Steps) -> Any:
    for step in place:
        value = value[step]
    return value


@st.composite
def mutated(draw: Callable[[Any], Any], value: Any) -> Any:
    """Plain values with one to three changes: replaced, lost, doubled, exchanged, wrapped; keys renamed or added."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = [*list_places(value)]
        if not places:
            return draw(VALUES)
        place = draw(st.sampled_from(places))
        home, last = _reach(value, place[:-1]), place[-1]
        act = draw(st.sampled_from(["replace", "drop", "double", "exchange", "wrap", "rename", "add"]))
        if act == "replace":
            home[last] = draw(VALUES)
        elif act == "drop":
            del home[last]
        elif act == "double" and isinstance(home, list):
            home.insert(last, copy.deepcopy(home[last]))
        elif act == "exchange":
            home[last] = copy.deepcopy(_reach(value, draw(st.sampled_from(places))))
        elif act == "wrap":
            home[last] = draw(st.sampled_from([[home[last]], {"name": home[last]}]))
        elif act == "rename" and isinstance(home, dict):
            keys = [str(step) for each in places for step in each[-1:] if isinstance(step, str)]
            home[draw(st.sampled_from(keys) | st.text(max_size=8))] = home.pop(last)
        elif isinstance(home, dict):
            home[draw(st.text(max_size=8))] = draw(VALUES)
    return value


def _as_yaml(content: bytes) -> st.SearchStrategy[bytes]:
    values = mutated(yaml.safe_load(content))
    return values.map(lambda value: yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode(errors="replace"))


def _as_json(content: bytes) -> st.SearchStrategy[bytes]:
    return mutated(json.loads(content)).map(lambda value: json.dumps(value).encode())


def _as_lines(content: bytes) -> st.SearchStrategy[bytes]:
    records = mutated([json.loads(line) for line in content.splitlines()])
    return records.map(
        lambda value: "".join(
            f"{json.dumps(each)}\n" for each in (value if isinstance(value, list) else [value])
        ).encode()
    )


def _as_card(content: bytes) -> st.SearchStrategy[bytes]:
    _, header, body = content.split(b"---\n", 2)
    return _as_yaml(header).map(lambda changed: b"---\n" + changed + b"---\n" + body)


PIECES = (
    "{{ ",
    " }}",
    "{% if ",
    " %}",
    "{% endif %}",
    "{% for x in y %}",
    "{# ",
    " #}",
    "n",
    "object",
    "many(n, object)",
)
PIECES += (
    "a(",
    ")",
    "|upper",
    "|attr('x')",
    ".x",
    "[0]",
    " + ",
    " * 9",
    " ** 2",
    "''",
    "text",
    " ",
    "\n",
    "é",
    "\0",
    "|",
)


def _as_template(content: bytes) -> st.SearchStrategy[bytes]:
    lines = content.decode().splitlines()
    pieces = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)

    def put(given: tuple[int, int, str]) -> bytes:
        line, column, piece = given
        changed = [*lines]
        changed[line] = lines[line][:column] + piece + lines[line][min(column, len(lines[line])) :]
        return "\n".join(changed).encode(errors="replace")

    return st.tuples(st.integers(0, len(lines) - 1), st.integers(0, 80), pieces).map(put)


def _as_parquet(content: bytes) -> st.SearchStrategy[bytes]:
    table = pq.read_table(io.BytesIO(content))

    @st.composite
    def changed(draw: Callable[[Any], Any]) -> bytes:
        buffer = io.BytesIO()
        pq.write_table(_change_table(draw, _change_table(draw, table)), buffer)
        return buffer.getvalue()

    return changed()


def _change_table(draw: Callable[[Any], Any], table: pa.Table) -> pa.Table:
    """Return a table with a lost, renamed or retyped column, lost or doubled rows, a changed value or other marks."""
    act = draw(st.sampled_from(["drop", "rename", "retype", "rows", "value", "marks"]))
    names = table.column_names
    if not names:
        return table
    place = draw(st.integers(0, len(names) - 1))  # two columns may have one name
    name = names[place]
    if act == "drop":
        return table.remove_column(place)
    if act == "rename":
        other = draw(st.sampled_from(names) | st.text(max_size=8).filter(_can_be_stored))
        return table.rename_columns([*names[:place], other, *names[place + 1 :]])
    if act == "retype":
        kind = draw(st.sampled_from([pa.string(), pa.int64(), pa.float64(), pa.list_(pa.string()), pa.binary()]))
        return table.set_column(place, name, pa.nulls(table.num_rows, kind))
    if act == "rows":
        cuts = draw(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=4))
        return pa.concat_tables([table.slice(0, 0), *(table.slice(start, length) for start, length in cuts)])
    if act == "value" and table.num_rows:
        value = draw(st.one_of(SCALARS, st.binary(max_size=8)).filter(_can_be_stored))
        rest = table.column(place).to_pylist()[1:]
        try:
            column = pa.array([value, *rest], table.field(place).type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            column = pa.array([value] * table.num_rows)
        return table.set_column(place, name, column)
    marks = dict(table.schema.metadata or {})
    for key in [*marks][: draw(st.integers(0, 3))]:
        marks[key] = draw(st.sampled_from([b"", b"x", b"{}", b"\xff"]))
    return table.replace_schema_metadata(marks)


def _can_be_stored(value: Any) -> bool:
    """Whether Arrow takes a value into a column of its own: no half letters, no integer of more than 64 bits."""
    try:
        pa.array([value])
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return False
    return True


FORMS: dict[str, Callable[[bytes], st.SearchStrategy[bytes]]] = {
    ".yaml": _as_yaml,
    ".json": _as_json,
    ".jsonl": _as_lines,
    ".md": _as_card,
    ".j2": _as_template,
    ".parquet": _as_parquet,
}


def mutations(name: str, content: bytes) -> st.SearchStrategy[bytes]:
    """Files that have the structure of a whole one, changed in places; the ending of the name says how it is read."""
    return FORMS[name[name.rindex(".") :]](content)
