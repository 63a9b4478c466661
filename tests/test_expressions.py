"""Reward expressions: random ones against exact arithmetic on their own trees, None, and what is refused."""

from __future__ import annotations

import random
import re
from fractions import Fraction

import pytest

from datagen.expressions import join_all, parse_expression

SCORERS = ("counting", "attribute", "vqa", "plan", "my_pkg.sharpness")
Tree = tuple[str, object]


def grow(rng: random.Random, depth: int) -> Tree:
    """Return a random tree whose value never passes 1: sums are weighted with shares of one."""
    kind = rng.choice(["name", "name", "call", "product", "sum"]) if depth else "name"
    if kind == "name":
        return "name", rng.choice(SCORERS)
    parts = [grow(rng, depth - 1) for _ in range(rng.randint(1 if kind == "call" else 2, 3))]
    if kind == "call":
        return rng.choice(["mean", "min", "product"]), parts
    if kind == "product":
        return "times", parts
    cuts = [rng.randint(1, 9) for _ in parts]
    return "sum", [(cut / sum(cuts), part) for cut, part in zip(cuts, parts, strict=True)]


def write(tree: Tree) -> str:
    kind, parts = tree
    if kind == "name":
        return str(parts)
    if kind == "sum":
        return "(" + " + ".join(f"{share!r}*{write(part)}" for share, part in parts) + ")"  # type: ignore[attr-defined]
    inner = [write(part) for part in parts]  # type: ignore[attr-defined]
    return "(" + " * ".join(inner) + ")" if kind == "times" else f"{kind}({', '.join(inner)})"


def most(tree: Tree) -> Fraction:
    """Return the value where every scorer says 1."""
    kind, parts = tree
    if kind == "sum":
        return sum((Fraction(share) * most(part) for share, part in parts), Fraction())  # type: ignore[attr-defined]
    if kind == "name":
        return Fraction(1)
    inner = [most(part) for part in parts]  # type: ignore[attr-defined]
    if kind == "mean":
        return sum(inner, Fraction()) / len(inner)
    if kind == "min":
        return min(inner)
    total = Fraction(1)
    for each in inner:
        total *= each
    return total


def work_out(tree: Tree, values: dict[str, float | None]) -> Fraction | None:
    kind, parts = tree
    if kind == "name":
        value = values[str(parts)]
        return None if value is None else Fraction(value)
    if kind == "sum":
        terms = [(Fraction(share) * most(part), work_out(part, values), Fraction(share)) for share, part in parts]  # type: ignore[attr-defined]
        if not any(value is not None for _, value, _ in terms):
            return None
        seen = sum((share * value for _, value, share in terms if value is not None), Fraction())
        weight = sum((top for top, value, _ in terms if value is not None), Fraction())
        return seen * sum((top for top, _, _ in terms), Fraction()) / weight
    known = [value for part in parts if (value := work_out(part, values)) is not None]  # type: ignore[attr-defined]
    if not known:
        return None
    if kind == "mean":
        return sum(known, Fraction()) / len(known)
    if kind == "min":
        return min(known)
    total = Fraction(1)
    for value in known:
        total *= value
    return total


@pytest.mark.parametrize("seed", range(300))
def test_random_expressions_agree_with_exact_arithmetic(seed: int) -> None:
    rng = random.Random(seed)
    tree = grow(rng, rng.randint(0, 3))
    expression = parse_expression(write(tree), SCORERS)
    for _ in range(8):
        values = {name: rng.choice([None, 0.0, 1.0, rng.random()]) for name in SCORERS}
        wanted, got = work_out(tree, values), expression(values)
        assert (got is None) == (wanted is None)
        if got is not None and wanted is not None:
            assert got == pytest.approx(float(wanted), abs=1e-9)
            assert 0 <= got <= 1


def test_the_worked_example_and_a_missing_term() -> None:
    reward = parse_expression("0.5*genmean(counting, attribute) + 0.5*vqa", SCORERS)
    assert reward.names == {"counting", "attribute", "vqa"}
    assert reward({"counting": 0.25, "attribute": 1.0, "vqa": 0.5}) == pytest.approx(0.5)
    assert reward({"counting": 0.25, "vqa": None}) == pytest.approx(0.25), "the weight of vqa goes to the rest"
    assert reward({"vqa": 0.4}) == pytest.approx(0.4)
    assert reward({}) is None


def test_numbers_alone_judge_nothing() -> None:
    raised = parse_expression("0.5 + 0.5*vqa", SCORERS)
    assert raised({"vqa": 0.0}) == 0.5
    assert raised({"vqa": None}) is None
    assert parse_expression("0.5 * vqa", SCORERS)({"vqa": None}) is None


def test_a_way_alone_goes_over_all_scorers() -> None:
    assert join_all("product", ["a", "b"])({"a": 0.5, "b": 0.5, "c": 0.0}) == 0.25
    assert join_all("mean", [])({"a": 0.5}) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("vqa + plan", "reaches 2 where every scorer says 1"),
        ("0 * vqa", "reaches 0"),
        ("0.5", "names no scorer"),
        ("vqq", "did you mean 'vqa'?"),
        ("maen", "did you mean 'mean'?"),
        ("max(vqa)", "unknown function 'max'"),
        ("vqa - plan", "cannot stand here"),
        ("vqa ** 2", "cannot stand here"),
        ("-vqa", "cannot stand here"),
        ("True * vqa", "cannot stand here"),
        ("1e999 * vqa", "cannot stand here"),
        ("mean()", "cannot stand here"),
        ("mean(vqa, 0.5)", "has one that does not"),
        ("min(vqa, key=1)", "cannot stand here"),
        ("__import__('os').system('true')", "cannot stand here"),
        ("[vqa for vqa in plan]", "cannot stand here"),
        ("vqa +", "is no expression"),
        ("", "is no expression"),
        ("(" * 400 + "vqa" + ")" * 400, "is no expression"),
        ("vqa * " * 5_000 + "vqa", "characters long"),
    ],
)
def test_what_is_refused_says_why(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=re.escape(what)):
        parse_expression(text, SCORERS)
