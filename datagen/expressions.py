"""Rewards as expressions over scorers, `0.5*genmean(counting, attribute) + 0.5*vqa`, and conditions on rows.

Names are scorers of the recipe; `+`, `*`, non-negative numbers, parentheses and the functions `product`, `mean`,
`genmean`, `min` join them. A missing value never counts as 0: functions and products use the known values, and in a sum
the weight of a missing term is shared among the others in proportion. If no value is known, the result is None.

An expression is checked when the recipe is read: every name is known, and no scores can raise the reward above 1.

Conditions say which rows are kept: `image_reward >= 0.8 and (gap < 0.5 or skill == "one_kind")`. They compare such
expressions by `<`, `<=`, `>`, `>=`, `==` and `!=`, words by `==`, `!=` and `in (…)`, and are joined by `and`, `or` and
`not`. As in SQL, a comparison with a missing value is unknown, so is `not` of it, and what is unknown keeps no row;
`… is None` and `… is not None` ask for a missing value. Nothing of a text is ever evaluated by Python.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from datagen.errors import did_you_mean

WAYS = ("product", "mean", "genmean", "min")
"""Names of the aggregations; `genmean` is the geometric mean, product ** (1 / n)."""
OUTCOME = "outcome"
"""The product of all scorers of a recipe, of the text and of the image: a text is as good as what comes of it."""


def aggregate(values: Sequence[float | None], how: str) -> float | None:
    """Return one value in [0, 1] from values in [0, 1], or None if all are None.

    Product beat the sum in GoT-R1 (arXiv 2505.17022); the geometric mean keeps its zeros and does not shrink with the
    number of scorers. Raises ValueError for an unknown way.
    """
    if how not in WAYS:
        raise ValueError(f"unknown aggregation {how!r}; known: {', '.join(WAYS)}")
    known = [value for value in values if value is not None]
    if not known:
        return None
    if how == "mean":
        return math.fsum(known) / len(known)
    if how == "min":
        return min(known)
    product = math.prod(known)
    return product if how == "product" else float(product ** (1 / len(known)))


Values = Mapping[str, float | None]
_Part = Callable[[Values], float | None]
_LONGEST = 1000
"""Most characters of an expression, which Python's parser reads: deep nesting could crash it."""
_ALLOWED = "an expression holds scorers, numbers, + and *, parentheses, and " + ", ".join(f"{way}(…)" for way in WAYS)


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression: called with the values of scorers by name, it returns the reward in [0, 1] or None.

    One that `is_sum` only adds, multiplies by numbers and takes means, so `add` may be given any numbers.
    """

    text: str
    names: frozenset[str]
    _value: _Part
    is_sum: bool = False

    def __call__(self, values: Values) -> float | None:
        """Return the reward; a scorer missing from `values` counts as unknown."""
        value = self._value(values)
        return None if value is None else min(1.0, value)

    def add(self, values: Values) -> float | None:
        """Return the joined value of any numbers, such as normalised rewards; of an expression that `is_sum`."""
        return self._value(values)


def parse_expression(text: str, known: Collection[str]) -> Expression:
    """Parse a text as an expression over the scorers `known`.

    Raises ValueError with a readable message for a syntax error, an unknown name, and a reward that could leave [0, 1]
    or is always 0.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"the expression is {len(text):,} characters long; at most {_LONGEST:,}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r} is no expression ({error.msg}); {_ALLOWED}") from error
    names: set[str] = set()
    value = _build(tree, frozenset(known), names)
    if not names:
        raise ValueError(f"{text!r} names no scorer")
    ceiling = value(dict.fromkeys(known, 1.0)) or 0.0  # nothing is subtracted: all scorers at 1 give the maximum
    if not 0 < ceiling <= 1 + 1e-9:
        raise ValueError(f"{text!r} reaches {ceiling:g} where every scorer says 1; a reward lies in [0, 1]")
    return Expression(text.strip(), frozenset(names), value, _is_sum(tree))


def join_all(how: str, names: Sequence[str]) -> Expression:
    """Return one of the `WAYS` over the named scorers; with no names it is None for every sample."""
    is_sum = how == "mean" or len(names) < 2
    return Expression(
        how, frozenset(names), lambda values: aggregate([values.get(name) for name in names], how), is_sum
    )


def _is_sum(node: ast.expr) -> bool:
    match node:
        case ast.BinOp(op=ast.Add()):
            return all(map(_is_sum, _flatten(node, ast.Add)))
        case ast.BinOp(op=ast.Mult()):
            scored = [factor for factor in _flatten(node, ast.Mult) if _names_scorer(factor)]
            return len(scored) == 1 and _is_sum(scored[0])
        case ast.Call(func=ast.Name(id=how), args=given):
            return (how == "mean" or len(given) == 1) and all(map(_is_sum, given))
    return isinstance(node, (ast.Name, ast.Attribute))


def _names_scorer(node: ast.expr) -> bool:
    return any(isinstance(each, (ast.Name, ast.Attribute)) for each in ast.walk(node))


EQUAL = 1e-9
"""Rewards closer than this are equal: aggregates of the same scores may differ in the last bits."""
STD_FLOOR = 1e-4
"""Keeps an advantage finite: (r - mean) / (std + 1e-4), T2I-R1 (arXiv 2505.00703)."""


def normalise(values: Sequence[float | None]) -> list[float | None]:
    """Return (r - mean) / (std + 1e-4) of the known values, std with n - 1; 0 where they are equal or one alone."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or max(known) - min(known) <= EQUAL:
        return [None if value is None else 0.0 for value in values]
    mean, spread = fmean(known), stdev(known) + STD_FLOOR
    return [None if value is None else (value - mean) / spread for value in values]


def _build(node: ast.expr, known: frozenset[str], names: set[str]) -> _Part:
    """Compile a node to a function, adding the scorers that it names to `names`."""
    match node:
        # True and False are ints to Python: refuse them before the next case takes them as numbers.
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as number) if math.isfinite(number):
            return lambda values: float(number)
        case ast.BinOp(op=ast.Add()):
            return _build_sum([_build_term(term, known, names) for term in _flatten(node, ast.Add)], known)
        case ast.BinOp(op=ast.Mult()):
            return _build_product([_build_term(factor, known, names) for factor in _flatten(node, ast.Mult)])
        case ast.Call(func=ast.Name(id=how), args=[_, *_] as given, keywords=[]):
            if how not in WAYS:
                raise ValueError(f"unknown function {how!r}; {did_you_mean(how, WAYS)}")
            parts = [_build_term(each, known, names) for each in given]
            if any(part.fixed for part in parts):
                raise ValueError(f"every argument of {how} names a scorer; {ast.unparse(node)!r} has one that does not")
            return lambda values: aggregate([part.value(values) for part in parts], how)
        case ast.Name() | ast.Attribute():
            name = ast.unparse(node)
            if name not in known:
                raise ValueError(f"{name!r} is not a scorer of the recipe; {did_you_mean(name, {*known, *WAYS})}")
            names.add(name)
            return lambda values: values.get(name)
    raise ValueError(f"{ast.unparse(node)!r} cannot stand here; {_ALLOWED}")


def _flatten(node: ast.expr, operator: type[ast.operator]) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        return [*_flatten(node.left, operator), *_flatten(node.right, operator)]
    return [node]


@dataclass(frozen=True, slots=True)
class _Term:
    """A term of a sum or a factor of a product; a fixed one contains no scorer."""

    value: _Part
    fixed: bool


def _build_term(node: ast.expr, known: frozenset[str], names: set[str]) -> _Term:
    mine: set[str] = set()
    value = _build(node, known, mine)
    names |= mine
    return _Term(value, not mine)


def _build_sum(terms: Sequence[_Term], known: frozenset[str]) -> _Part:
    fixed = math.fsum(term.value({}) or 0.0 for term in terms if term.fixed)
    ones = dict.fromkeys(known, 1.0)
    # The weight of a term is its greatest value, so `0.3*mean(a, b)` and `0.3*a` both weigh 0.3.
    scored = [(term.value, term.value(ones) or 0.0) for term in terms if not term.fixed]
    whole = math.fsum(weight for _, weight in scored)

    def add(values: Values) -> float | None:
        there = [(value, weight) for part, weight in scored if (value := part(values)) is not None]
        weights = math.fsum(weight for _, weight in there)
        if scored and weights == 0:
            return None
        return fixed + (math.fsum(value for value, _ in there) * whole / weights if scored else 0.0)

    return add


def _build_product(factors: Sequence[_Term]) -> _Part:
    def multiply(values: Values) -> float | None:
        there = [(value, factor.fixed) for factor in factors if (value := factor.value(values)) is not None]
        if all(fixed for _, fixed in there) and not all(factor.fixed for factor in factors):
            return None
        return math.prod(value for value, _ in there)

    return multiply


# ── Conditions ────────────────────────────────────────────────────────────────────────────────────────────────────────

Facts = Mapping[str, float | str | bool | None]
"""What is known of a row, by name."""
_Judge = Callable[[Facts], bool | None]
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_CONDITION = (
    'a condition compares numbers (image_reward >= 0.8) or words (skill == "one_kind", level in ("easy", "hard")), '
    "and joins by and, or, not"
)


@dataclass(frozen=True, slots=True)
class Names:
    """The names that a condition may hold, by what they are: numbers, words, and flags, which are true or false."""

    numbers: frozenset[str]
    words: frozenset[str]
    flags: frozenset[str]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.numbers | self.words | self.flags))


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition: called with what is known of a row, it returns whether the row is kept."""

    text: str
    names: frozenset[str]
    _judge: _Judge

    def __call__(self, facts: Facts) -> bool:
        """Return whether the condition is true; one that is unknown, since a value is missing, is not."""
        return self._judge(facts) is True


def parse_condition(text: str, names: Names) -> Condition:
    """Parse a text as a condition over some names. Raises ValueError with a readable message."""
    if len(text) > _LONGEST:
        raise ValueError(f"the condition is {len(text):,} characters long; at most {_LONGEST:,}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{text!r} is no condition ({getattr(error, 'msg', error)}); {_CONDITION}") from error
    found: set[str] = set()
    judge = _build_condition(tree, names, found)
    if not found:
        raise ValueError(f"{text!r} names nothing of a row; known: {', '.join(names)}")
    return Condition(text.strip(), frozenset(found), judge)


def _build_condition(node: ast.expr, names: Names, found: set[str]) -> _Judge:
    match node:
        case ast.BoolOp(op=joint, values=parts):
            judges = [_build_condition(part, names, found) for part in parts]
            decides = isinstance(joint, ast.Or)  # one true value decides `or`, one false value `and`
            return lambda facts: _join([judge(facts) for judge in judges], decides)
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            judge = _build_condition(inner, names, found)
            return lambda facts: None if (said := judge(facts)) is None else not said
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [left, *others]
            pairs = zip(sides, ops, others, strict=False)
            judges = [_build_comparison(one, how, other, names, found) for one, how, other in pairs]
            return lambda facts: _join([judge(facts) for judge in judges], False)
        case ast.Name(id=flag) if flag in names.flags:
            found.add(flag)
            return lambda facts: None if (said := facts.get(flag)) is None else bool(said)
        case ast.Name() | ast.Attribute():
            _require_known(ast.unparse(node), names)
    raise ValueError(f"{ast.unparse(node)!r} is no condition; {_CONDITION}")


def _join(said: Sequence[bool | None], decides: bool) -> bool | None:
    """Return the joint answer of parts, of which one that `decides` is enough; unknown if a part is that could."""
    if decides in said:
        return decides
    return None if None in said else not decides


def _build_comparison(one: ast.expr, how: ast.cmpop, other: ast.expr, names: Names, found: set[str]) -> _Judge:
    if isinstance(how, (ast.Is, ast.IsNot)) and isinstance(other, ast.Constant) and other.value is None:
        name = ast.unparse(one)
        _require_known(name, names)
        found.add(name)
        wanted = isinstance(how, ast.Is)
        return lambda facts: (facts.get(name) is None) is wanted
    word = next((ast.unparse(side) for side in (one, other) if ast.unparse(side) in names.words), None)
    if word is not None:
        return _compare_words(word, one, how, other, found)
    compare = _COMPARE.get(type(how))
    if compare is None:
        raise ValueError(f"{ast.unparse(ast.Compare(one, [how], [other]))!r} cannot stand here; {_CONDITION}")
    sides = [_build_number(side, names, found) for side in (one, other)]

    def judge(facts: Facts) -> bool | None:
        left, right = (side(facts) for side in sides)
        return None if left is None or right is None else compare(left, right)

    return judge


def _compare_words(word: str, one: ast.expr, how: ast.cmpop, other: ast.expr, found: set[str]) -> _Judge:
    rest = other if ast.unparse(one) == word else one
    listed = list(rest.elts) if isinstance(rest, (ast.Tuple, ast.List)) else [rest]
    texts = [each.value for each in listed if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    is_list = isinstance(how, (ast.In, ast.NotIn)) and isinstance(rest, (ast.Tuple, ast.List)) and rest is other
    is_one = isinstance(how, (ast.Eq, ast.NotEq)) and len(listed) == 1 and listed[0] is rest
    if len(texts) != len(listed) or not (is_list or is_one):
        raise ValueError(f'{word} is a word: write {word} == "…", or {word} in ("…", "…")')
    found.add(word)
    wanted = isinstance(how, (ast.In, ast.Eq))
    return lambda facts: None if (said := facts.get(word)) is None else (said in texts) is wanted


def _build_number(node: ast.expr, names: Names, found: set[str]) -> Callable[[Any], float | None]:
    """Return a function of the numbers of a row; raises ValueError for what is no number."""
    for name in _list_names(node):
        _require_known(name, names)
        if name not in names.numbers:
            raise ValueError(f"{name} is no number; {_CONDITION}")
    return _build(node, names.numbers, found)


def _list_names(node: ast.AST) -> Iterator[str]:
    """Yield the names in an expression, dotted ones as a whole; functions that are called are left out."""
    if isinstance(node, (ast.Name, ast.Attribute)):
        yield ast.unparse(node)
        return
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Call) and child is node.func):
            yield from _list_names(child)


def _require_known(name: str, names: Names) -> None:
    if name not in {*names}:
        raise ValueError(f"{name!r} is nothing that a row has; {did_you_mean(name, names)}")
