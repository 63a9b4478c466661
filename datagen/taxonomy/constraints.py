"""Constraints: what must hold between the slots of a skill, written as a Jinja expression such as `object != other`.

Objects compare by their singular, relations by their name. Compiled in the same sandbox as templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jinja2 import TemplateError, TemplateSyntaxError, nodes

from datagen.errors import ConfigError
from datagen.taxonomy.remembered import Remembered
from datagen.taxonomy.render import Value
from datagen.taxonomy.sandbox import SANDBOX, names_in, parse


@dataclass(frozen=True, slots=True)
class Constraint:
    """A compiled condition on the slots `names`; `where` is its place in the file."""

    source: str
    names: tuple[str, ...]
    where: str
    answer: Remembered[bool]

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Say whether the condition is met. Raises ConfigError when it cannot be evaluated."""
        try:
            return self.answer(values)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            what = f"the constraint {self.source!r} fails: {error}"
            raise ConfigError(
                what, where=self.where, hint="compare words with words and numbers with numbers"
            ) from error


def compile_constraint(source: str, where: str = "") -> Constraint:
    """Compile a condition. Raises ConfigError, at `where`, for bad syntax and what the sandbox refuses."""
    try:
        tree = parse("{{ " + source + " }}")
        first = tree.body[0]
        if len(tree.body) != 1 or not isinstance(first, nodes.Output) or len(first.nodes) != 1:
            raise TemplateSyntaxError("it is not one expression", 1)
        evaluate = SANDBOX.compile_expression(source, undefined_to_none=False)
    except TemplateSyntaxError as error:
        what, hint = f"broken constraint {source!r}: {error.message}", "write a condition such as `object != other`"
        raise ConfigError(what, where=where, hint=hint) from error
    answer = Remembered(names_in(tree), lambda values: bool(evaluate(values)))
    return Constraint(source, answer.names, where, answer)
