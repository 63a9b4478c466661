"""Sandbox of templates and constraints: they may only print words, choose, compare and calculate.

Users' files are not programs. Jinja's own sandbox still allows loops for hours and a multiplication that fills the
memory, so only listed kinds of nodes are allowed: no loops, assignments, attributes or subscripts; `*` and `%` take
only numbers. Anything else is a TemplateSyntaxError with its line.

`Remembered` caches the parts of wordings, constraints and claims, which are the same for the same words. A million
prompts consist of some thousand parts, such as "an orange bench", so a prompt costs microseconds; the cache is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Generic, TypeVar

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from datagen.taxonomy.english import article_of, is_pair, name_many, name_one, number_word, plural_of
from datagen.taxonomy.lexicon import Word

_ALLOWED: tuple[type[nodes.Node], ...] = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Call, nodes.Filter, nodes.Test),
    *(nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos),
    *(nodes.Tuple, nodes.List),
)
_REACHES = (nodes.Getattr, nodes.Getitem)
_FILTERS = ("upper", "lower", "capitalize", "title", "trim", "length", "first", "last", "abs", "string", "int")
_TESTS = ("even", "odd", "divisibleby", "in", "eq", "ne", "lt", "le", "gt", "ge", "number", "string")


def a(*words: str) -> str:
    """Return the words with the article of the first one: "an orange bench", "a pair of red jeans"."""
    first, noun = words[0], words[-1]
    if not _is_pair(noun):
        return " ".join([first.article if isinstance(first, Word) else article_of(first), *map(str, words)])
    return name_one(str(noun), *map(str, words[:-1]))


def many(n: int, *words: str) -> str:
    """Return a number and the words, the last one in the plural unless n is 1: "three stars", "two pairs of jeans"."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"many() takes a whole number first, not {n!r}")
    if not words:
        raise TypeError("many() needs an object to count: many(n, object)")
    noun = words[-1]
    if not _is_pair(noun):
        return " ".join([number_word(n), *map(str, words[:-1]), str(noun) if n == 1 else plural(noun)])
    return name_many(n, str(noun), *map(str, words[:-1]), in_words=True)


def _is_pair(noun: str) -> bool:
    """Return whether a noun is counted in pairs; a lexicon that states another plural overrides this."""
    return is_pair(noun.name) and noun.plural == noun.name if isinstance(noun, Word) else is_pair(noun)


def plural(word: str) -> str:
    """Return the plural of an object."""
    return word.plural if isinstance(word, Word) else plural_of(word)


def number(n: int) -> str:
    """Return a number in words up to twenty, above that in digits."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"number() takes a whole number, not {n!r}")
    return number_word(n)


def differ(*values: str | int) -> bool:
    """Return whether all values are different, for constraints: `differ(first, second, third)`."""
    return len(set(values)) == len(values)


FUNCTIONS: dict[str, Callable[..., str | bool]] = {
    "a": a,
    "many": many,
    "number": number,
    "plural": plural,
    "differ": differ,
}
"""The functions that templates and constraints may call, by name."""


def _print_words_only(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, StrictUndefined):
        return value
    raise TypeError(f"a prompt consists of words and numbers, not {value!r}")


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with the functions above, a few filters, and no other globals."""

    intercepted_binops = frozenset({"*", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, finalize=_print_words_only, cache_size=0)
        self.globals = dict(FUNCTIONS)
        self.filters = {name: self.filters[name] for name in _FILTERS}
        self.tests = {name: self.tests[name] for name in _TESTS}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Allow `*` and `%` for numbers only: with text they could fill the memory."""
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise TypeError(f"{operator} takes numbers, not {left!r} and {right!r}")
        return super().call_binop(context, operator, left, right)


SANDBOX = _Sandbox()
"""The environment in which templates and constraints are compiled."""


def parse(source: str) -> nodes.Template:
    """Parse template source and refuse anything that the sandbox does not allow.

    Raises TemplateSyntaxError for bad syntax and for nodes that are not allowed.
    """
    try:
        tree = SANDBOX.parse(source)
        _walk(tree)
    except RecursionError:
        raise TemplateSyntaxError("nested too deep", 1) from None
    return tree


def _walk(node: nodes.Node) -> None:
    kind = type(node).__name__.lower()
    if isinstance(node, _REACHES):
        raise TemplateSyntaxError("slots have no attributes or parts: '.' and '[' are not allowed", node.lineno)
    if not isinstance(node, _ALLOWED):
        raise TemplateSyntaxError(f"{kind!r} is not allowed", node.lineno)
    if isinstance(node, nodes.Call):
        known = isinstance(node.node, nodes.Name) and node.node.name in FUNCTIONS
        if not known or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise TemplateSyntaxError(f"only {', '.join(FUNCTIONS)} can be called, with plain arguments", node.lineno)
    for child in node.iter_child_nodes():
        _walk(child)


def names_in(tree: nodes.Template) -> frozenset[str]:
    """Return the names of the slots in a parsed template."""
    return frozenset(node.name for node in tree.find_all(nodes.Name)) - FUNCTIONS.keys()


Answer = TypeVar("Answer")

MOST = 16_384
"""Most results that one function remembers; further ones are computed each time."""


class Remembered(Generic[Answer]):
    """A pure function of the slots `names` that is called with all slots and remembers its results."""

    __slots__ = ("_compute", "_key", "_known", "names")

    def __init__(self, names: Iterable[str], compute: Callable[[dict[str, Any]], Answer]) -> None:
        self.names = tuple(sorted(names))
        self._compute = compute
        self._key: Callable[[Mapping[str, Any]], Any] = itemgetter(*self.names) if self.names else _no_key
        self._known: dict[Any, Answer] = {}

    def __call__(self, values: Mapping[str, Any]) -> Answer:
        """Return the result for the values of the slots; exceptions of the function are not remembered."""
        key = self._key(values)
        try:
            return self._known[key]
        except KeyError:
            pass
        answer = self._compute({name: values[name] for name in self.names})
        if len(self._known) < MOST:
            self._known[key] = answer
        return answer


def _no_key(_: Mapping[str, Any]) -> None:
    return None
