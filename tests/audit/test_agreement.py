"""Agreement, saturation, drift and disagreements, from stored scores, against plain references."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from datagen.audit import audit_run
from datagen.audit.agreement import Said, compare_scorers, find_saturation, kappa_of, list_disagreements, measure_drift
from datagen.records import Score
from tests.helpers.runs import build_here, small_recipe


def said(name: str, **values: float | None) -> Said:
    return Said(name, {scorer: Score(name, scorer, "image", value, "") for scorer, value in values.items()})


def slow_kappa(both: list[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa from the two by two table."""
    table = {(a, b): sum(pair == (a, b) for pair in both) for a in (True, False) for b in (True, False)}
    n = len(both)
    expected = sum(
        (table[side, True] + table[side, False]) * (table[True, side] + table[False, side]) for side in (True, False)
    )
    agreed = table[True, True] + table[False, False]
    return None if expected == n * n else (n * agreed - expected) / (n * n - expected)


@pytest.mark.parametrize("seed", range(200))
def test_kappa_agrees_with_the_table(seed: int) -> None:
    rng = random.Random(seed)
    bias = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    both = [(rng.random() < bias, rng.random() < 0.5) for _ in range(rng.randint(1, 30))]
    wanted, got = slow_kappa(both), kappa_of(both)
    assert got == (None if wanted is None else pytest.approx(wanted))


def test_pairs_count_samples_that_both_judged() -> None:
    samples = [said("1", a=1.0, b=1.0), said("2", a=1.0, b=0.0), said("3", a=0.0, b=None), said("4", a=0.2, b=0.9)]
    (row,) = compare_scorers(samples)
    assert (row["samples"], row["yes alone"], row["no alone"]) == (3, 1, 1)
    assert row["agree"] == pytest.approx(1 / 3)
    assert compare_scorers([said("1", a=1.0, b=None)]) == []


def test_a_saturated_scorer_is_named() -> None:
    samples = [said(str(k), flat=1.0, lively=k / 100, mute=None) for k in range(100)]
    rows = {row["scorer"]: row for row in find_saturation(samples)}
    assert set(rows) == {"flat", "lively"}
    assert (rows["flat"]["saturated"], rows["flat"]["deviation"]) == ("yes", 0.0)
    assert rows["lively"]["saturated"] == "no"
    assert rows["lively"]["at 0"] == 0.01


def test_drift_tells_other_samples_from_another_scorer() -> None:
    rng = random.Random(0)
    before = [said(str(k), a=rng.random(), b=rng.random()) for k in range(300)]
    now = [said(str(k), a=s.scores["a"].value, b=(s.scores["b"].value or 0) / 2) for k, s in enumerate(before)]
    rows = {row["scorer"]: row for row in measure_drift(now, before)}
    assert (rows["a"]["moved"], rows["a"]["distance"]) == (0.0, 0.0)
    assert rows["b"]["moved"] > 0.99
    assert rows["b"]["P"] < 0.001


def test_the_samples_that_divide_the_scorers_most_come_first() -> None:
    samples = [said("even", a=1.0, b=0.0), said("one", a=1.0, b=1.0, c=1.0, d=0.0), said("all", a=1.0, b=1.0)]
    rows = list_disagreements(samples, 5)
    assert [row["sample"] for row in rows] == ["even", "one"]
    assert rows[1] == {"sample": "one", "yes": "a, b, c", "no": "d"}
    assert len(list_disagreements(samples, 1)) == 1


def test_a_run_against_an_earlier_one(tmp_path: Path) -> None:
    first, _ = build_here(small_recipe(), tmp_path / "a")
    second, _ = build_here(small_recipe(seed=5), tmp_path / "b")
    tables = audit_run(second, first)
    assert {row["scorer"] for row in tables["saturation"]} == {"counting", "attribute"}
    assert {row["scorer"] for row in tables["drift"]} == {"counting", "attribute"}
    assert "drift" not in audit_run(first)
    assert all(row["moved"] == 0 for row in audit_run(first, first)["drift"])
