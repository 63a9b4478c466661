"""Constraints: what must hold between the slots of a skill, written as a Jinja expression such as `object != other`.

Objects compare by their singular, relations by their name. Compiled in the same sandbox as templates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, nodes

from datagen.errors import ConfigError
from datagen.taxonomy.render import Value
from datagen.taxonomy.sandbox import SANDBOX, names_in, parse

_REMEMBERED = 65_536


@dataclass(frozen=True, slots=True)
class Constraint:
    """A compiled condition on the slots `names`; answers are remembered, as the same pairs come again and again."""

    source: str
    names: tuple[str, ...]
    where: str
    evaluate: Callable[..., Any]
    known: dict[tuple[Value, ...], bool] = field(default_factory=dict, compare=False, repr=False)

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Say whether the condition is met. Raises ConfigError when it cannot be evaluated."""
        key = tuple([values[name] for name in self.names])
        answer = self.known.get(key)
        if answer is None:
            answer = self._ask(dict(zip(self.names, key, strict=True)))
            if len(self.known) < _REMEMBERED:
                self.known[key] = answer
        return answer

    def _ask(self, values: Mapping[str, Value]) -> bool:
        try:
            return bool(self.evaluate(**values))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            what = f"the constraint {self.source!r} fails: {error}"
            raise ConfigError(what, where=self.where, hint="compare words with words and numbers with numbers") from error


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
    return Constraint(source, tuple(sorted(names_in(tree))), where, evaluate)
