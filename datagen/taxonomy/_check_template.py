"""Checks a template file, a wording a line, against the skill that uses it.

Every wording is compiled as it will be when prompts are drawn, so what is refused here is refused there; what is
refused is then looked at again for a better hint. What only shows when a wording is rendered is found by
`datagen.taxonomy._check_draws`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateSyntaxError, nodes

from datagen.control_tokens import explain_tag, find_tag
from datagen.documents.problems import Problem, show
from datagen.errors import ConfigError, did_you_mean
from datagen.taxonomy.render import Value, compile_wording, source_lines
from datagen.taxonomy.sandbox import FUNCTIONS, SANDBOX


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """What a template file says: its problems and the slots that its wordings use."""

    problems: list[Problem]
    used: frozenset[str]


def check_template(
    path: Path, skill: str, slots: Set[str], claimed: Set[str], points: Sequence[Mapping[str, Value]]
) -> TemplateFacts:
    """Check every wording of a file.

    `claimed` are the slots that the skill's claims speak of; each wording is rendered at the `points`.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot read the template: {error}"
        return TemplateFacts([Problem(str(path), 1, 1, what, "save it as UTF-8 text")], frozenset(slots))
    problems: list[Problem] = []
    used: set[str] = set()
    first_line: dict[str, int] = {}
    for number, wording in source_lines(text):
        twice = first_line.setdefault(wording, number)
        if twice != number:
            what = f"the wording {show(wording)} stands twice"
            problems.append(Problem(str(path), number, 1, what, f"it is at line {twice} already", "warning"))
        if tag := find_tag(wording):
            what, hint = explain_tag(tag)
            problems.append(Problem(str(path), number, 1, f"the wording {show(wording)} {what}", hint, "warning"))
        names, found = _check_wording(path, number, wording, text.split("\n")[number - 1], slots, points)
        problems += found
        used |= names
        if not found:
            problems += _left_out(path, number, wording, skill, claimed - names)
    if not first_line:
        problems.append(Problem(str(path), 1, 1, "the template has no wording", "write one wording a line"))
        used |= slots
    return TemplateFacts(problems, frozenset(used))


def _check_wording(
    path: Path, number: int, wording: str, line: str, slots: Set[str], points: Sequence[Mapping[str, Value]]
) -> tuple[frozenset[str], list[Problem]]:
    """Return the slots of a wording and what is wrong with it."""

    def at(word: str, what: str, hint: str) -> Problem:
        return Problem(str(path), number, max(line.find(word), 0) + 1, what, hint)

    try:
        compiled = compile_wording(wording, str(path), number)
    except ConfigError as error:
        better = [at(word, what, hint) for word, what, hint in _explain(wording)]
        return frozenset(slots), better or [Problem(str(path), number, 1, error.what, error.hint)]
    problems = [
        at(name, f"unknown slot {name!r}", did_you_mean(name, slots) or "declare it under `slots:`")
        for name in sorted(compiled.names - slots)
    ]
    try:
        for point in points if not problems else ():
            compiled.render(point)
    except ConfigError as error:
        problems.append(Problem(str(path), number, 1, error.what, error.hint))
    return compiled.names, problems


def _explain(wording: str) -> Iterator[tuple[str, str, str]]:
    """Yield (word, what, hint) for what the sandbox refused, where it can be told better than it does."""
    try:
        tree = SANDBOX.parse(wording)
    except (TemplateSyntaxError, RecursionError):
        return
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name not in FUNCTIONS:
            name = call.node.name
            yield name, f"unknown function {name!r}", did_you_mean(name, FUNCTIONS)
    for reached in _reached_for(tree):
        hint = "a template sees slots and functions, never Python: remove it"
        yield reached, f"the template reaches for Python with {reached!r}", hint


def _reached_for(tree: nodes.Template) -> Iterator[str]:
    for attribute in tree.find_all(nodes.Getattr):
        yield attribute.attr
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            yield item.arg.value
    for chosen in tree.find_all(nodes.Filter):
        if chosen.name == "attr":
            yield "attr"


def _left_out(path: Path, number: int, wording: str, skill: str, slots: Set[str]) -> Iterator[Problem]:
    hint = "a claim speaks of it: say it in the words too, or take it out of the claim"
    for slot in sorted(slots):
        what = f"the wording {show(wording)} of the skill {skill!r} leaves out the slot {slot!r}"
        yield Problem(str(path), number, 1, what, hint)
