"""Wordings: each line of a template file that is not blank or a comment is one way to phrase a prompt.

Lines are compiled separately, so that an error has its line and a prompt renders only its own wording. The shipped ones
are in `templates/`. Not covered: wordings over several lines, loops, includes (`datagen.taxonomy.sandbox`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes

from datagen.control_tokens import find_token
from datagen.errors import ConfigError
from datagen.taxonomy.lexicon import Word
from datagen.taxonomy.sandbox import FUNCTIONS, SANDBOX, Remembered, names_in, parse

MAX_CHARACTERS = 2000
"""Most characters of a wording, and of a prompt."""

Value = Word | int
"""The value of a slot: a word of a list, or a whole number."""

_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Wording:
    """One compiled line of a template: `file` and `line` are its place, `names` its slots."""

    file: str
    line: int
    source: str
    names: frozenset[str]
    label: str
    parts: tuple[str | Remembered[str], ...]

    @property
    def where(self) -> str:
        """The place as `file:line`."""
        return f"{self.file}:{self.line}"

    def render(self, values: Mapping[str, Value]) -> str:
        """Return the prompt text for the values of the slots. Raises ConfigError, with the line, when this fails."""
        try:
            written = [part if isinstance(part, str) else part(values) for part in self.parts]
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise ConfigError(f"the template fails: {error}", where=self.where, hint=f"in {self.source!r}") from error
        text = " ".join("".join(written).split())
        if not text or len(text) > MAX_CHARACTERS:
            what = f"the template gives {len(text)} characters"
            raise ConfigError(what, where=self.where, hint=f"a prompt has 1 to {MAX_CHARACTERS}")
        return text


def source_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, wording) for each line that is not blank or a comment."""
    plain = _COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), text)
    for number, line in enumerate(plain.split("\n"), 1):
        if line.strip():
            yield number, line.strip()


Parts = dict[str, Remembered[str]]


def compile_wording(source: str, file: str, line: int, label: str = "", shared: Parts | None = None) -> Wording:
    """Compile one wording; raises ConfigError for bad syntax, anything that the sandbox refuses, and control tokens.

    `label` is the template's name in a prompt's record, by default `file:line`. `shared` holds compiled parts of other
    wordings, which are reused.
    """
    where = f"{file}:{line}"
    if len(source) > MAX_CHARACTERS:
        raise ConfigError(f"a wording of {len(source)} characters", where=where, hint=f"at most {MAX_CHARACTERS}")
    if token := find_token(source):
        hint = f"language models read it as a control token, not as text: remove it from {source!r}"
        raise ConfigError(f"the wording holds {token!r}", where=where, hint=hint)
    try:
        tree = parse(source)
        parts = tuple(_parts(tree, {} if shared is None else shared))
    except TemplateSyntaxError as error:
        hint = f"a wording is one line with slots and the functions {', '.join(FUNCTIONS)}: {source!r}"
        raise ConfigError(f"broken template: {error.message}", where=where, hint=hint) from error
    return Wording(file, line, source, names_in(tree), label or where, parts)


def _parts(tree: nodes.Template, shared: Parts) -> Iterator[str | Remembered[str]]:
    """Split a wording into plain text and parts that depend on slots; each part is compiled separately and once."""
    for statement in tree.body:
        for node in statement.nodes if isinstance(statement, nodes.Output) else [statement]:
            if isinstance(node, nodes.TemplateData):
                yield node.data
                continue
            written = repr(node)
            if written not in shared:
                shared[written] = _compile_part(node)
            yield shared[written]


def _compile_part(node: nodes.Node) -> Remembered[str]:
    part = nodes.Template([nodes.Output([node]) if isinstance(node, nodes.Expr) else node], lineno=1)
    part.set_environment(SANDBOX)
    compiled = Template.from_code(SANDBOX, SANDBOX.compile(part), dict(SANDBOX.globals))
    return Remembered(names_in(part), compiled.render)


def read_wordings(path: Path, label: str = "") -> tuple[Wording, ...]:
    """Read a template file, one wording per line; `label` is the file's name in records.

    Raises ConfigError for a file that cannot be read or has no wording, and for a wording that cannot be compiled.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the template: {error}", where=str(path), hint="check the path") from error
    named = label or path.name
    shared: Parts = {}
    found = tuple(compile_wording(line, str(path), n, f"{named}:{n}", shared) for n, line in source_lines(text))
    if not found:
        raise ConfigError("the template has no wording", where=str(path), hint="write one wording per line")
    return found
