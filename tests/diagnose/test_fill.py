"""Water-filling: sums to 1, floor and cap hold exactly, more weight is never less share."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.diagnose.allocation import fill
from datagen.errors import ConfigError


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[float], float, float]:
    weights = draw(st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e9)), min_size=1, max_size=30))
    floor = draw(st.floats(0, 1)) / len(weights)
    cap = draw(st.floats(1 / len(weights), 1))
    return weights, floor, max(floor, cap)


@settings(max_examples=400, deadline=None)
@given(problems())
def test_shares_sum_to_one_within_floor_and_cap(problem: tuple[list[float], float, float]) -> None:
    weights, floor, cap = problem
    shares = fill(weights, floor, cap)
    assert math.fsum(shares) == pytest.approx(1, abs=1e-9)
    if any(weights):
        assert all(floor <= share <= cap for share in shares)


@settings(max_examples=400, deadline=None)
@given(problems())
def test_more_weight_is_never_less_share(problem: tuple[list[float], float, float]) -> None:
    weights, floor, cap = problem
    ranked = sorted(zip(weights, fill(weights, floor, cap), strict=True))
    for (light, less), (heavy, more) in itertools.pairwise(ranked):
        assert less <= more + 1e-12
        if light == heavy:
            assert less == pytest.approx(more)


@settings(max_examples=300, deadline=None)
@given(problems(), st.integers(0, 29), st.floats(1, 100))
def test_raising_one_weight_never_lowers_its_share(
    problem: tuple[list[float], float, float], place: int, factor: float
) -> None:
    weights, floor, cap = problem
    place %= len(weights)
    raised = [*weights[:place], weights[place] * factor, *weights[place + 1 :]]
    assert fill(raised, floor, cap)[place] >= fill(weights, floor, cap)[place] - 1e-9


def fill_slowly(weights: list[float], floor: float, cap: float) -> list[float]:
    """Find the scale by 200 halvings of its logarithm, and clip."""
    low, high = -60.0, 60.0
    for _ in range(200):
        middle = (low + high) / 2
        if sum(min(max(math.exp(middle) * w, floor), cap) for w in weights) < 1:
            low = middle
        else:
            high = middle
    return [min(max(math.exp(high) * w, floor), cap) for w in weights]


def test_against_a_slow_search() -> None:
    rng = random.Random(4)
    for _ in range(250):
        count = rng.randint(1, 20)
        weights = [rng.random() ** rng.choice([1, 4]) + 1e-6 for _ in range(count)]
        floor, cap = rng.random() / count, (1 + rng.random() * 3) / count
        expected = fill_slowly(weights, floor, min(cap, 1.0))
        assert fill(weights, floor, min(cap, 1.0)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("weights", "floor", "cap", "expected"),
    [
        ([1, 1, 2], 0, 1, [0.25, 0.25, 0.5]),
        ([0, 0, 0], 0, 1, [1 / 3, 1 / 3, 1 / 3]),
        ([0, 0, 5], 0, 1, [0, 0, 1]),
        ([0, 0, 5], 0.1, 1, [0.1, 0.1, 0.8]),
        ([0, 0, 5], 0, 0.5, [0.25, 0.25, 0.5]),
        ([8, 1, 1], 0, 0.5, [0.5, 0.25, 0.25]),
        ([8, 1, 0], 0.2, 0.5, [0.5, 0.3, 0.2]),
        ([1, 2, 3, 4], 0.25, 1, [0.25] * 4),
        ([1, 2, 3, 4], 0, 0.25, [0.25] * 4),
        ([7], 0, 1, [1]),
        ([1e-300, 1], 0, 1, [0, 1]),
    ],
)
def test_cases_by_hand(weights: list[float], floor: float, cap: float, expected: list[float]) -> None:
    assert fill(weights, floor, cap) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("floor", "cap", "said"),
    [(0.3, 1, "at most 1/4 = 0.2500"), (0, 0.2, "at least 1/4 = 0.2500"), (0.2, 0.1, "swap them")],
)
def test_bounds_that_cannot_hold_say_what_could(floor: float, cap: float, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fill([1, 2, 3, 4], floor, cap)
    assert said in str(caught.value)
