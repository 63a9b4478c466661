"""YAML reader that keeps the position of every key and value, so that each problem has its line and column.

Plain `yaml.safe_load` drops positions, silently keeps the last of two equal keys, turns the words NO and ON into
booleans, and reads 010 as 8, 1:30 as 90 and 1e3 as text. `read_yaml` walks the node tree instead; a number must be
written in plain digits. Not covered: merge keys (`<<`), several documents in one file, and tags other than text,
numbers, true/false and null.

A `Problem` prints as one line, so that an editor or a terminal can jump to it, and as one annotation in GitHub Actions.
Try `datagen check` and `datagen check --format github`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import yaml
from yaml.constructor import SafeConstructor

from datagen.errors import ConfigError

Location = tuple[str | int, ...]
Spot = tuple[int, int]

NOWHERE: Spot = (0, 0)
"""Position of values outside the file: defaults, and values set on the command line."""

MAX_DEPTH = 60
MAX_VALUES = 200_000

SAFE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's safe loader, the one in C where it has it: about seven times as fast on a run.yaml."""
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}
# Dates, `=` and `<<` stay the text that a person wrote.
_AS_WRITTEN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "value", "merge")}
_QUOTES = ("'", '"', "|", ">")
_NUMBER_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float")}
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+][0-9]+)?)?|[-+]?\.(?:inf|nan)", re.IGNORECASE)
# Text in YAML 1.1, but a number to all other readers: 08, 1e3, 2.5e4, 0o17.
_NUMBER_AS_TEXT = re.compile(r"[-+]?(?:0[0-9]+|0o[0-7]+|\.[0-9]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+)")


@dataclass(slots=True)
class Document:
    """A YAML file as plain values, and the position of each key and value by its path from the root.

    `values` and `keys` hold (line, column) from 1; `problems` holds those found while reading: duplicate keys, words
    that YAML reads as booleans, ambiguous numbers, and tags that are not allowed.
    """

    file: str
    data: Any = None
    values: dict[Location, Spot] = field(default_factory=dict)
    keys: dict[Location, Spot] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    replaced: list[Location] = field(default_factory=list)

    def spot(self, location: Location, *, key: bool = False) -> Spot:
        """Return the position of a path, or of its nearest existing parent."""
        location = tuple(location)
        if key and location in self.keys:
            return self.keys[location]
        while location and location not in self.values:
            location = location[:-1]
        return self.values.get(location, NOWHERE)

    def spots_in(self, location: Location) -> set[Spot]:
        """Return the positions of a path, its key and all below; for a missing path, those of its nearest parent."""
        location = tuple(location)
        while location and location not in self.values:
            location = location[:-1]
        spots = (*self.values.items(), *self.keys.items())
        return {spot for place, spot in spots if place[: len(location)] == location}

    def forget(self, location: Location) -> None:
        """Drop the positions of a path, its children and its parents, since its value comes from `--set`."""
        self.replaced.append(location)
        for spots in (self.values, self.keys):
            for place in spots:
                if all(step == other for step, other in zip(place, location, strict=False)):
                    spots[place] = NOWHERE
        self.values[location] = NOWHERE

    def problem(self, location: Location, what: str, hint: str = "", *, key: bool = False, **more: Any) -> Problem:
        """Return a problem at a path, at its key if `key`, else at its value; what `--set` gave has its place there."""
        spot = self.spot(location, key=key)
        sets = [each for each in self.replaced if all(a == b for a, b in zip(each, location, strict=False))]
        place = f"--set {'.'.join(map(str, sets[-1]))}" if sets and spot == NOWHERE else self.file
        return Problem(place, *spot, what, hint, **more)

    def find_file(self, name: str) -> Location | None:
        """Return the path of the first value that names a file, be it from another folder, or None."""
        waiting: list[tuple[Location, Any]] = [((), self.data)]
        while waiting:
            location, value = waiting.pop(0)
            if isinstance(value, str) and Path(value).name == Path(name).name:
                return location
            parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            waiting += [((*location, step), part) for step, part in parts]
        return None


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file with positions.

    Raises ConfigError, with line and column, for a file that is missing, not UTF-8, or not YAML.
    """
    name = str(path)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError("the file is not UTF-8 text", where=f"{name}:{line}", hint="save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", where=name, hint="check the path") from error
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text with positions; `name` is the file in messages. Raises ConfigError as `read_yaml`."""
    try:
        _refuse_deep(text, name)
        node = yaml.compose(text, Loader=SAFE_LOADER)
    except yaml.MarkedYAMLError as error:
        raise _broken(error, name) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"U+{error.character:04X}" if isinstance(error.character, int) else str(error.character)
        where = f"{name}:{line}"
        raise ConfigError(f"broken YAML: the character {character} is not allowed", where=where) from error
    document = Document(name, values={(): (1, 1)})
    if node is not None:
        document.data = _Walk(document).value(node, ())
    return document


def dump_yaml(data: Any, **options: Any) -> str:
    """Return plain values as YAML text that `parse_yaml` reads back unchanged; text such as 1e3 or 08 is quoted.

    `options` are those of `yaml.dump`; keys keep their order and text is not escaped.
    """
    form = {"sort_keys": False, "allow_unicode": True, "width": 120, **options}
    return str(yaml.dump(data, Dumper=_Dumper, **form))


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper, changed to quote text that other readers take for a number."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _NUMBER_AS_TEXT.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def is_odd_number(written: str, *, is_number: bool) -> bool:
    """Return whether some readers take unquoted text for an odd number: 010, 0x1F, 1_000, +5, .5, 1:30, 1e3.

    `is_number` says whether YAML 1.1 reads it as a number.
    """
    return not _PLAIN_NUMBER.fullmatch(written) if is_number else bool(_NUMBER_AS_TEXT.fullmatch(written))


def _explain_number(written: str, value: Any) -> tuple[str, str]:
    """Return what is wrong with an oddly written number, and how to write it."""
    digits = written.replace("_", "").lstrip("+")
    meant = ""
    if re.fullmatch(r"-?[0-9]+", digits):
        meant = str(int(digits))
    elif re.fullmatch(r"-?0o[0-7]+", digits):
        meant = str(int(digits, 8))
    elif re.fullmatch(r"-?[0-9]*\.?[0-9]*(?:[eE][-+]?[0-9]{1,2})?", digits):
        meant = _write_out(digits)
    reads = "" if isinstance(value, str) or str(value) == meant else f": YAML reads {value}"
    plain = meant or ("" if isinstance(value, str) else str(value))
    number = f"write {plain} for the number" if plain else "write the number in plain digits"
    return f"the number {show(written)[1:-1]} is not written plainly{reads}", f'{number}, or "{written}" for text'


def _write_out(digits: str) -> str:
    """Return a decimal number without an exponent: 1e3 as 1000, .5 as 0.5, 5. as 5.0."""
    exact = format(Decimal(digits), "f")
    return f"{exact}.0" if digits.endswith(".") else exact


def _refuse_deep(text: str, name: str) -> None:
    # The recursive C composer would crash on deep nesting; the event parser is not recursive, so it counts first.
    depth = 0
    for event in yaml.parse(text, Loader=SAFE_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            mark = event.start_mark
            where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
            raise ConfigError(f"nested more than {MAX_DEPTH} levels deep", where=where, hint="is a bracket left open?")


def _broken(error: yaml.MarkedYAMLError, name: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    what = ", ".join(part for part in (error.context, error.problem) if part)
    hint = "check indentation, quotes and brackets here and on the line before"
    if error.context_mark and mark and error.context_mark.line != mark.line:
        hint = f"it began at line {error.context_mark.line + 1}: is a bracket, a quote or a colon missing there?"
    return ConfigError(f"broken YAML: {what}", where=where, hint=hint)


class _Walk:
    """Converts composed nodes to plain values and records positions and problems in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.constructor = SafeConstructor()
        self.seen = 0
        self.open: set[int] = set()

    def value(self, node: yaml.Node, location: Location) -> Any:
        """Return the plain value of a node and its children."""
        spot = (node.start_mark.line + 1, node.start_mark.column + 1)
        self.document.values[location] = spot
        self.seen += 1
        # A few lines of nested aliases can expand to billions of values, and an alias can contain itself.
        if self.seen > MAX_VALUES or id(node) in self.open:
            what = "an alias contains itself" if id(node) in self.open else f"more than {MAX_VALUES:,} values"
            raise ConfigError(what, where=f"{self.document.file}:{spot[0]}:{spot[1]}", hint="write the values out")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        self.open.add(id(node))
        found = self._mapping(node, location) if isinstance(node, yaml.MappingNode) else self._list(node, location)
        self.open.discard(id(node))
        return found

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> Any:
        if node.tag in _AS_WRITTEN_TAGS:
            return node.value
        if node.tag not in _PLAIN_TAGS:
            hint = "only text, numbers, true/false and null are allowed"
            self.document.problems.append(self.document.problem(location, f"the tag {node.tag!r} is not allowed", hint))
            return node.value
        try:
            value = self.constructor.construct_object(node)
        except ValueError:
            value = node.value
        if node.style not in _QUOTES and is_odd_number(node.value, is_number=node.tag in _NUMBER_TAGS):
            self.document.problems.append(self.document.problem(location, *_explain_number(node.value, value)))
        return value

    def _list(self, node: yaml.Node, location: Location) -> list[Any]:
        items = []
        for place, child in enumerate(node.value):
            item = self.value(child, (*location, place))
            if isinstance(item, bool):
                what = f"YAML reads the word {child.value} as {str(item).lower()}"
                self.document.problems.append(
                    self.document.problem((*location, place), what, f'write it in quotes: "{child.value}"')
                )
                item = child.value
            items.append(item)
        return items

    def _mapping(self, node: yaml.Node, location: Location) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            spot = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                what = "a key must be one word, not a list or a mapping"
                self.document.problems.append(Problem(self.document.file, *spot, what, "put it in quotes"))
                continue
            # The key as written: `on:` and `2:` are names, not a boolean and a number.
            key, path = key_node.value, (*location, key_node.value)
            if key in found:
                first = self.document.keys[path][0]
                what, hint = f"the key {show(key)} is defined twice", f"it is also at line {first}: keep one"
                self.document.problems.append(Problem(self.document.file, *spot, what, hint))
                continue
            self.document.keys[path] = spot
            found[key] = self.value(value_node, path)
        return found


Severity = Literal["error", "warning"]

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem in a file; `line` and `column` count from 1, and are 0 for values outside the file.

    An `error` makes the file unusable, a `warning` does not. `what` includes the wrong value, `hint` says what to do.
    """

    file: str
    line: int
    column: int
    what: str
    hint: str = ""
    severity: Severity = "error"

    @property
    def where(self) -> str:
        """The place as `file:line:column`, which editors turn into a link, or only the file."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def message(self) -> str:
        """What is wrong and what to do, in one line."""
        label = "warning: " if self.severity == "warning" else ""
        return label + (f"{self.what}; {self.hint}" if self.hint else self.what)

    def __str__(self) -> str:
        return f"{self.where}  {_one_line(self.message)}"


def problems_error(problems: list[Problem]) -> ConfigError:
    """Return one exception for several problems: the first in full, the others as lines of the hint."""
    first, *others = problems
    hint = "\n".join(part for part in (first.hint, *(str(problem) for problem in others)) if part)
    return ConfigError(first.what, where=first.where, hint=hint)


def problem_of(error: ConfigError, file: str) -> Problem:
    """Return an exception as a problem at its place, or in `file` if it has none."""
    place = _PLACE.fullmatch(error.where)
    if place is None:
        return Problem(error.where or file, 1, 1, error.what, error.hint)
    return Problem(place["file"], int(place["line"]), int(place["column"] or 1), error.what, error.hint)


def format_github(problem: Problem) -> str:
    """Return the workflow command with which GitHub shows the problem at its line.

    Source of the form and its escapes: GitHub's "Workflow commands for GitHub Actions". Percent signs and line ends
    are escaped everywhere, colons and commas in properties too.
    """
    place = f"file={_escape(problem.file, ':,')},line={problem.line},col={problem.column}"
    body = f"{problem.what}; {problem.hint}" if problem.hint else problem.what
    return f"::{problem.severity} {place}::{_escape(body)}"


def show(value: object, limit: int = 60) -> str:
    """Return a value for a message: its repr, cut at `limit` characters."""
    written = repr(value)
    return written if len(written) <= limit else written[: limit - 1] + "…"


def _escape(text: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())
