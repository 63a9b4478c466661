"""Checks a template file, a wording a line, against the slots of the skill that uses it.

Found by reading the parsed template, so that each problem has its line: syntax errors, unknown slots and functions,
wordings that leave out a slot that a claim speaks of, and anything that reaches for Python. What only shows when a
template runs is found by `datagen.taxonomy._check_draws`.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path

from jinja2 import TemplateSyntaxError, nodes
from jinja2.sandbox import SandboxedEnvironment

from datagen.taxonomy.problems import Problem, did_you_mean, show

_STATEMENTS = (
    nodes.For,
    nodes.Macro,
    nodes.CallBlock,
    nodes.Import,
    nodes.FromImport,
    nodes.Include,
    nodes.Extends,
    nodes.Block,
)


def check_template(
    path: Path, text: str, slots: Set[str], claimed: Set[str], functions: Set[str]
) -> tuple[set[str], list[Problem]]:
    """Return the slots that the template uses, and its problems.

    `slots` are those of the skill, `claimed` those that its claims use, `functions` the names a template may call.
    """
    sandbox = SandboxedEnvironment()
    try:
        tree = sandbox.parse(text)
    except TemplateSyntaxError as error:
        hint = "write a slot as {{ slot }} and a comment as {# words #}"
        return set(slots), [Problem(str(path), error.lineno, 1, f"broken template: {error.message}", hint)]
    problems = [*_names(path, text, tree, slots, functions), *_reaches(path, text, tree)]
    used = {name.name for name in tree.find_all(nodes.Name)}
    wordings = [(number, line) for number, line in wordings_of(text)]
    if not wordings:
        problems.append(Problem(str(path), 1, 1, "the template has no wording", "write one wording a line"))
    for number, line in wordings:
        try:
            spoken = {name.name for name in sandbox.parse(line).find_all(nodes.Name)}
        except TemplateSyntaxError:
            hint = "one wording a line: open and close every {{ }} and {% %} on the same line"
            problems.append(Problem(str(path), number, 1, f"this line is no whole wording: {show(line)}", hint))
            continue
        problems += [
            Problem(str(path), number, 1, f"the wording {show(line)} leaves out the slot {slot!r}", _LEFT_OUT)
            for slot in sorted(claimed - spoken)
        ]
    return used & slots, problems


_LEFT_OUT = "a claim speaks of it: say it in the words too, or take it out of the claim"


def wordings_of(text: str) -> list[tuple[int, str]]:
    """Return (line number from 1, wording) for every line of a template that is not blank or a comment."""
    plain = "".join(_without_comments(text))
    return [(number, line.strip()) for number, line in enumerate(plain.split("\n"), 1) if line.strip()]


def _without_comments(text: str) -> Iterator[str]:
    # Line ends inside a comment stay, so that line numbers hold.
    rest = text
    while "{#" in rest:
        before, _, after = rest.partition("{#")
        comment, _, rest = after.partition("#}")
        yield before + "\n" * comment.count("\n")
    yield rest


def _names(
    path: Path, text: str, tree: nodes.Template, slots: Set[str], functions: Set[str]
) -> Iterator[Problem]:
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    set_here = {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}
    for name in tree.find_all(nodes.Name):
        is_call = id(name) in called
        known = set(functions) if is_call else set(slots)
        if name.name in known | set_here:
            continue
        line, column = name.lineno, _column(text, name.lineno, name.name)
        kind = "function" if is_call else "slot"
        if name.name in functions | slots:
            what = f"{name.name!r} is a {'slot' if is_call else 'function'}, not a {kind}"
            yield Problem(str(path), line, column, what, f"known as {kind}: {', '.join(sorted(known))}")
        else:
            hint = did_you_mean(name.name, known) or "declare it under `slots:`"
            yield Problem(str(path), line, column, f"unknown {kind} {name.name!r}", hint)


def _reaches(path: Path, text: str, tree: nodes.Template) -> Iterator[Problem]:
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Filter, *_STATEMENTS)):
        if isinstance(node, nodes.Getattr):
            reached = node.attr
        elif isinstance(node, nodes.Getitem):
            reached = str(node.arg.value) if isinstance(node.arg, nodes.Const) else ""
        elif isinstance(node, nodes.Filter):
            reached = node.name if node.name == "attr" else ""
        else:
            what = f"a template cannot use {{% {type(node).__name__.lower()} %}}"
            yield Problem(str(path), node.lineno, 1, what, "write one wording a line, with slots and functions only")
            continue
        if reached.startswith("_") or reached == "attr":
            hint = "a template sees slots and functions, never Python: remove it"
            column = _column(text, node.lineno, reached)
            yield Problem(str(path), node.lineno, column, f"the template reaches for Python with {reached!r}", hint)


def _column(text: str, line: int, word: str) -> int:
    lines = text.split("\n")
    found = lines[line - 1].find(word) if line <= len(lines) else -1
    return max(found, 0) + 1
