"""Estimators against slow references from their definitions: all subsets, the score equation, every resample."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from datagen.diagnose import Group, fail_unfinished, list_rows, pass_at
from datagen.diagnose.model import bootstrap_mean, wilson

Z = 1.959963984540054
"""The 97.5 % point of the normal distribution, from a table."""


@pytest.mark.parametrize("tries", range(1, 10))
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_pass(tries: int) -> None:
    for passes in range(tries + 1):
        candidates = [True] * passes + [False] * (tries - passes)
        for k in range(1, tries + 1):
            subsets = list(itertools.combinations(candidates, k))
            expected = sum(any(subset) for subset in subsets) / len(subsets)
            assert pass_at(tries, passes, k) == pytest.approx(expected, abs=1e-12)


def test_pass_at_k_is_right_on_average() -> None:
    # Without bias: over all outcomes of 6 tries at chance p, its mean is the chance that one of 3 passes.
    for p in (0.05, 0.3, 0.9):
        mean = sum(math.comb(6, c) * p**c * (1 - p) ** (6 - c) * pass_at(6, c, 3) for c in range(7))
        assert mean == pytest.approx(1 - (1 - p) ** 3)


@pytest.mark.parametrize(("tries", "passes", "k"), [(4, 2, 5), (4, 5, 1), (4, -1, 1), (4, 2, 0), (0, 0, 1)])
def test_what_is_not_defined_is_refused(tries: int, passes: int, k: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at(tries, passes, k)


def solve_score_equation(mean: float, count: int, *, upper: bool) -> float:
    """Return the p beyond `mean` at which |mean - p| is exactly z standard errors of p, by bisection."""
    inside, outside = mean, 1.0 if upper else 0.0
    for _ in range(200):
        middle = (inside + outside) / 2
        if abs(mean - middle) <= Z * math.sqrt(middle * (1 - middle) / count):
            inside = middle
        else:
            outside = middle
    return inside


def test_wilson_solves_the_score_equation() -> None:
    rng = random.Random(1)
    cases = [(rng.random(), rng.randint(1, 500)) for _ in range(200)]
    cases += [(passes / count, count) for count in (1, 2, 3, 10, 100) for passes in range(count + 1)]
    for mean, count in cases:
        low, high = wilson(mean, count)
        assert low == pytest.approx(solve_score_equation(mean, count, upper=False), abs=1e-9)
        assert high == pytest.approx(solve_score_equation(mean, count, upper=True), abs=1e-9)
        assert 0 <= low <= mean <= high <= 1


def test_wilson_covers_the_truth_of_groups_as_often_as_it_says() -> None:
    # Candidates of a prompt pass or fail together: counting prompts, not samples, keeps the promise.
    rng, covered = random.Random(3), 0
    for _ in range(1000):
        chances = [rng.choice([0.1, 0.5, 0.95]) for _ in range(20)]
        shares = [sum(rng.random() < p for _ in range(4)) / 4 for p in chances]
        low, high = wilson(sum(shares) / 20, 20)
        covered += low <= (0.1 + 0.5 + 0.95) / 3 <= high
    assert covered >= 930


def test_bootstrap_matches_every_resample_written_out() -> None:
    rng = random.Random(2)
    for case in range(200):
        values = [rng.choice([0.0, 0.25, 0.5, rng.random(), 1.0]) for _ in range(rng.randint(1, 4))]
        means = [sum(some) / len(some) for some in itertools.product(values, repeat=len(values))]
        low, high = bootstrap_mean(values)
        # 1000 rounds of the 2.5 % point: four standard errors are 0.02.
        assert sum(m < low - 1e-9 for m in means) / len(means) <= 0.025 + 0.02, (case, values)
        assert sum(m <= low + 1e-9 for m in means) / len(means) >= 0.025 - 0.02, (case, values)
        assert sum(m > high + 1e-9 for m in means) / len(means) <= 0.025 + 0.02, (case, values)
        assert sum(m >= high - 1e-9 for m in means) / len(means) >= 0.025 - 0.02, (case, values)


def test_the_bootstrap_is_a_function_of_the_values_alone() -> None:
    assert bootstrap_mean([0.1, 0.5, 0.9, 0.3]) == bootstrap_mean([0.1, 0.5, 0.9, 0.3])
    with pytest.raises(ValueError, match="without values"):
        bootstrap_mean([])
    with pytest.raises(ValueError, match="without values"):
        wilson(0.5, 0)


def draw_groups(rng: random.Random, n: int) -> list[Group]:
    groups = []
    for k in range(rng.randint(1, 30)):
        tries = rng.choice([n, n, n, n + 2, max(0, n - 1), 0])
        rewards = tuple(rng.random() for _ in range(rng.choice([0, 1, n])))
        groups.append(Group(f"p{k}", tries, rng.randint(0, tries), rewards, rng.randint(0, 2)))
    return groups


def test_a_sample_is_judged_by_a_verdict_or_a_reward() -> None:
    """One of each: two are judged, and both fail for the same cause."""
    (row,) = list_rows({"a/b/c": [Group("p", 1, 0, (0.5,), 1, {"count": 2}, judged=2)]}, 2)
    assert (row.samples, row.unjudged, row.causes) == (2, 1, {"count": 1.0})


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def test_rows_against_a_plain_loop() -> None:
    rng = random.Random(5)
    for _ in range(200):
        n = rng.randint(2, 5)
        groups = draw_groups(rng, n)
        rows = list_rows({"a/b/c": groups}, n)
        if not any(group.tries or group.rewards for group in groups):
            assert rows == []
            continue
        first, best, gain, reward = [], [], [], []
        for group in groups:
            outcomes = [True] * int(group.passes) + [False] * (group.tries - int(group.passes))
            if outcomes:
                first.append(sum(outcomes) / len(outcomes))
            if len(outcomes) > 1:
                subsets = list(itertools.combinations(outcomes, min(n, len(outcomes))))
                best.append(sum(map(any, subsets)) / len(subsets))
                gain.append(best[-1] - first[-1])
            if group.rewards:
                reward.append(sum(group.rewards) / len(group.rewards))
        row = rows[0]
        for rate, values in ((row.pass_1, first), (row.pass_n, best), (row.gain, gain), (row.reward, reward)):
            assert (rate.value if rate else None) == pytest.approx(mean(values), abs=6e-5)
            assert rate is None or rate.prompts == len(values)
        assert row.prompts == sum(bool(group.tries or group.rewards) for group in groups)
        assert row.unjudged == sum(group.unjudged for group in groups)


def test_what_a_model_did_not_finish_fails_where_models_are_compared() -> None:
    strict = [Group("a", 2, 1, (0.5, 0.9), unjudged=2, unfinished=2), Group("b", 0, 0, unjudged=4, unfinished=4)]
    beyond = Group("c", 0, 0, unjudged=4, unfinished=1)
    rated = Group("d", 0, 0, (0.5,), unjudged=1, unfinished=1)
    first, lost, unknown, mixed = fail_unfinished({"x": [*strict, beyond, rated]})["x"]
    assert (first.tries, first.passes, first.rewards, first.unjudged, first.judged) == (
        4,
        1,
        (0.5, 0.9, 0.0, 0.0),
        0,
        4,
    )
    assert (lost.tries, lost.passes, lost.unjudged) == (4, 0, 0)
    assert unknown == beyond, "no finished candidate is judged: the judge may not know this prompt"
    assert (mixed.tries, mixed.rewards) == (0, (0.5, 0.0)), "no verdict on what is rated alone"
    (graded,) = fail_unfinished({"x": [rated]})["x"]
    assert (graded.tries, graded.rewards) == (0, (0.5, 0.0))
