"""Joins the scores of a sample into its text reward and its image reward, as a recipe's `aggregate:` says.

    aggregate:
      text: mean                                      # over all scorers of the text
      image: 0.5*genmean(counting, attribute) + 0.5*vqa
      by_weakness: {text_rendering: {image: text}}    # or weakness/skill

A scorer that no expression names is scored and reported, and weighs nothing. A sample has no reward where one of those
that it rests on should have judged it and could not (`unseen.Duties`): what is left would be the reward of another
question. With `weights: {unjudged: keep}` what is left counts.

A reward as an expression over scorers: `0.5*genmean(counting, attribute) + 0.5*vqa`, `plan * format`.

Names are scorers of the recipe; `+`, `*`, numbers from 0, parentheses and the functions `product`, `mean`, `genmean`,
`min` join them. What has no value is left out and never counts as 0: a function and a product go over what is known,
and in a sum the weight of a missing term goes to the other terms in proportion. Nothing known is None.

An expression is checked before a run: every name is known, and no scores can bring the reward above 1.

Rewards and verdicts by round of a reflection come from `evidence["rounds"]` of the scores. A sample with one image has
one round. Round 0 is the first image; the gain is the last reward minus the first."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from datagen.config import Aggregate
from datagen.errors import ConfigError, did_you_mean
from datagen.records import Modality, Prompt, Score
from datagen.scoring.scorers import Scorer
from datagen.scoring.unseen import Duties, find_duties

WAYS = ("product", "mean", "genmean", "min")
"""Names of the ways to aggregate; `genmean` is the geometric mean (product ** (1 / n))."""


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
"""Characters of the longest expression: Python's parser is not meant for text of any length."""
_ALLOWED = "an expression holds scorers, numbers, + and *, parentheses, and " + ", ".join(f"{way}(…)" for way in WAYS)


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression: called with the values of scorers by name, it returns the reward in [0, 1] or None."""

    text: str
    names: frozenset[str]
    _value: _Part

    def __call__(self, values: Values) -> float | None:
        """Return the reward; a scorer that `values` lacks counts as not known."""
        value = self._value(values)
        return None if value is None else min(1.0, value)


def parse_expression(text: str, known: Collection[str]) -> Expression:
    """Return the expression that a text says, over the scorers `known`.

    Raises ValueError, in a person's words, for what is no expression, a name that is not known, and a reward that
    could leave [0, 1] or is always 0.
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
    ceiling = value(dict.fromkeys(known, 1.0)) or 0.0  # nothing is ever taken off: all scorers at 1 is the most
    if not 0 < ceiling <= 1 + 1e-9:
        raise ValueError(f"{text!r} reaches {ceiling:g} where every scorer says 1; a reward lies in [0, 1]")
    return Expression(text.strip(), frozenset(names), value)


def join_all(how: str, names: Sequence[str]) -> Expression:
    """Return one of the `WAYS` over all the scorers named; with none of them it is None for every sample."""
    return Expression(how, frozenset(names), lambda values: aggregate([values.get(name) for name in names], how))


def _build(node: ast.expr, known: frozenset[str], names: set[str]) -> _Part:
    """Return a part of an expression as a function, adding the scorers that it names to `names`."""
    match node:
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
    """A term of a sum or a factor of a product; a fixed one holds no scorer."""

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


_TARGETS: tuple[Modality, ...] = ("text", "image")


@dataclass(frozen=True, slots=True)
class Rewarder:
    """The expressions of a recipe by place (`""`, a weakness or `weakness/skill`) and modality.

    `modules` are the scorers whose duties are heeded; without them what was judged counts, whatever was not.
    """

    joins: Mapping[tuple[str, Modality], Expression]
    modules: Mapping[str, Scorer] = field(default_factory=dict)

    def find_join(self, prompt: Prompt, target: Modality) -> Expression:
        """Return the expression that holds for a prompt: that of its skill, of its weakness, or the common one."""
        for place in (prompt.path, prompt.weakness):
            if (place, target) in self.joins:
                return self.joins[place, target]
        return self.joins["", target]

    def reward(self, prompt: Prompt, scores: Sequence[Score], target: Modality) -> float | None:
        """Return a sample's reward in [0, 1]; None where nothing that counts could be scored, or there is a gap."""
        if self.find_gap(prompt, scores, target):
            return None
        return self.find_join(prompt, target)({score.name: score.value for score in scores})

    def find_gap(self, prompt: Prompt, scores: Sequence[Score], target: Modality) -> str:
        """Say what should have been judged of a sample for this reward and was not, or `""`."""
        return self.find_duties(prompt, target).find_gap({score.name: score for score in scores})

    def find_duties(self, prompt: Prompt, target: Modality) -> Duties:
        """Return who must judge the samples of a prompt before they have this reward."""
        names = self.find_join(prompt, target).names
        return find_duties(tuple(each for each in self.modules.items() if each[0] in names), prompt.claims)


def make_rewarder(
    aggregate: Aggregate,
    targets: Mapping[str, Modality],
    places: frozenset[str],
    modules: Mapping[str, Scorer] = MappingProxyType({}),
) -> Rewarder:
    """Return the rewarder of a recipe; `targets` says what each of its scorers judges, `places` what a prompt may be.

    Raises ConfigError naming the key for an expression that does not hold, or a place that the recipe does not draw.
    """
    joins: dict[tuple[str, Modality], Expression] = {}
    for place, each in {"": aggregate, **aggregate.by_weakness}.items():
        where = f"aggregate.by_weakness.{place}" if place else "aggregate"
        if place and place not in places:
            raise ConfigError(f"no weakness or skill {place!r}", where=where, hint=did_you_mean(place, places))
        for target in _TARGETS:
            if (text := getattr(each, target)) is not None:
                joins[place, target] = _read(text, target, targets, f"{where}.{target}")
    return Rewarder(joins, modules)


def _read(text: str, target: Modality, targets: Mapping[str, Modality], where: str) -> Expression:
    if text in WAYS:
        return join_all(text, [name for name, judged in targets.items() if judged == target])
    try:
        return parse_expression(text, targets)
    except ValueError as error:
        raise ConfigError(str(error), where=where) from error


def reward_rounds(scores: Sequence[Score], join: Expression) -> list[float | None]:
    """Return the image reward after each round; empty if no scorer saw more than one image.

    Where an expression names a scorer of the text, its one value counts in every round.
    """
    judged = {score.name: score.evidence["rounds"] for score in scores if "rounds" in score.evidence}
    count = min(map(len, judged.values()), default=0)
    values = {score.name: score.value for score in scores}
    return [join({**values, **{name: rounds[k][0] for name, rounds in judged.items()}}) for k in range(count)]


def passed_rounds(scores: Sequence[Score]) -> list[bool | None]:
    """Return the strict verdict after each round, as `verdicts.passed` gives it for the last one."""
    judged = [score for score in scores if score.target == "image" and "rounds" in score.evidence]
    count = min((len(score.evidence["rounds"]) for score in judged), default=0)
    verdicts: list[bool | None] = []
    for k in range(count):
        said = [score.evidence["rounds"][k] for score in judged]
        known = [bool(holds) for value, holds in said if value is not None and holds is not None]
        verdicts.append(all(known) if known else None)
    return verdicts


def gain_of(scores: Sequence[Score], join: Expression) -> float | None:
    """Return the last image reward minus the first, in [-1, 1]; None for one image, or where one has no reward."""
    rounds = reward_rounds(scores, join)
    if len(rounds) < 2 or rounds[0] is None or rounds[-1] is None:
        return None
    return rounds[-1] - rounds[0]
