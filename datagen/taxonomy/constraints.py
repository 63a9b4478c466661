"""Constraints between the slots of a skill, written as Jinja expressions such as `object != other`.

Objects are compared by their singular, relations by their name. Compiled in the same sandbox as templates.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jinja2 import TemplateError, TemplateSyntaxError, nodes

from datagen.errors import ConfigError
from datagen.taxonomy.render import Value
from datagen.taxonomy.sandbox import FUNCTIONS, SANDBOX, Remembered, names_in, parse


@dataclass(frozen=True, slots=True)
class Constraint:
    """A compiled condition on the slots `names`; `where` is its place in the file."""

    source: str
    names: tuple[str, ...]
    where: str
    answer: Callable[[Mapping[str, Value]], bool]

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Return whether the condition holds. Raises ConfigError when it cannot be evaluated."""
        try:
            return self.answer(values)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            what = f"the constraint {self.source!r} fails: {error}"
            raise ConfigError(
                what, where=self.where, hint="compare words with words and numbers with numbers"
            ) from error


def compile_constraint(source: str, where: str = "") -> Constraint:
    """Compile a condition. Raises ConfigError, at `where`, for bad syntax and anything that the sandbox refuses."""
    try:
        tree = parse("{{ " + source + " }}")
        first = tree.body[0]
        if len(tree.body) != 1 or not isinstance(first, nodes.Output) or len(first.nodes) != 1:
            raise TemplateSyntaxError("it is not one expression", 1)
        evaluate = SANDBOX.compile_expression(source, undefined_to_none=False)
    except TemplateSyntaxError as error:
        what, hint = f"broken constraint {source!r}: {error.message}", "write a condition such as `object != other`"
        raise ConfigError(what, where=where, hint=hint) from error
    names = tuple(sorted(names_in(tree)))
    answer = _compare_directly(first.nodes[0]) or Remembered(names, lambda values: bool(evaluate(values)))
    return Constraint(source, names, where, answer)


def _compare_directly(node: nodes.Node) -> Callable[[Mapping[str, Value]], bool] | None:
    """Return plain Python for `slot != slot` and `slot == slot`, else None.

    They are the most common, have too many pairs to remember, and take 50 times as long in the sandbox.
    """
    if not isinstance(node, nodes.Compare) or not isinstance(node.expr, nodes.Name) or len(node.ops) != 1:
        return None
    compare = {"ne": operator.ne, "eq": operator.eq}.get(node.ops[0].op)
    if compare is None or not isinstance(node.ops[0].expr, nodes.Name):
        return None
    left, right = node.expr.name, node.ops[0].expr.name
    if {left, right} & FUNCTIONS.keys():
        return None
    return lambda values: bool(compare(values[left], values[right]))
