"""From a diagnosis to shares: what each policy weighs, what is missing, what is refused."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen.diagnose import Allocation, Allotment, allocate
from datagen.errors import ConfigError
from tests.diagnose.diagnosis_cases import LEVELS, diagnosis, row

FULL = diagnosis(
    row("counting/few/easy", 0.9, 0.05), row("counting/few/hard", 0.2, 0.6), row("spatial/two/medium", 0.0, 0.0)
)


def options(policy: str, **more: object) -> Allocation:
    given = {"diagnosis": "d.yaml"} if policy.startswith("by_") else {}
    return Allocation.model_validate({"policy": policy, "smoothing": 0, **given, **more})


def shares(allotment: Allotment) -> list[float]:
    return [share.share for share in allotment.shares]


def test_uniform_gives_every_level_the_same() -> None:
    assert shares(allocate(options("uniform"), LEVELS, None)) == pytest.approx([1 / 3] * 3)


def test_by_failure_follows_what_fails() -> None:
    made = allocate(options("by_failure"), LEVELS, FULL)
    assert shares(made) == pytest.approx([0.1 / 1.9, 0.8 / 1.9, 1.0 / 1.9])
    assert made.notes == ()


def test_by_learnability_spends_nothing_on_solved_and_hopeless() -> None:
    assert shares(allocate(options("by_learnability"), LEVELS, FULL)) == pytest.approx([0.05 / 0.65, 0.6 / 0.65, 0.0])


def test_by_cause_follows_the_causes_that_the_recipe_counts() -> None:
    easy, hard = (
        row("counting/few/easy", 0.5, causes={"count": 0.3, "color": 0.2}),
        row("counting/few/hard", 0.0, causes={"color": 0.9}),
    )
    found = diagnosis(easy, hard, row("spatial/two/medium", 0.4, causes={"place": 0.5, "count": 0.1}))
    made = allocate(options("by_cause", causes={"count": 2, "place": 1}), LEVELS, found)
    assert shares(made) == pytest.approx([0.6 / 1.3, 0.0, 0.7 / 1.3])


def test_by_cause_is_by_failure_where_each_failure_has_one_cause_and_all_count_alike() -> None:
    causes = {
        "counting/few/easy": {"count": 0.1},
        "counting/few/hard": {"count": 0.5, "color": 0.3},
        "spatial/two/medium": {"place": 1.0},
    }
    found = diagnosis(
        *(row(each.path, each.pass_1.value, causes=causes[each.path]) for each in FULL.rows if each.pass_1)
    )
    made = allocate(options("by_cause", causes={"count": 1, "color": 1, "place": 1}, smoothing=4), LEVELS, found)
    assert shares(made) == pytest.approx(shares(allocate(options("by_failure", smoothing=4), LEVELS, FULL)))


def test_by_cause_gives_the_mean_to_a_level_without_causes_and_refuses_a_file_without_any() -> None:
    by_cause = options("by_cause", causes={"count": 1})
    one = row("counting/few/easy", 0.5, causes={"count": 0.3})
    made = allocate(by_cause, LEVELS, diagnosis(one, row("counting/few/hard", 0.5), row("spatial", 1.0, causes={})))
    assert shares(made) == pytest.approx([0.3 / 0.45, 0.15 / 0.45, 0.0])
    assert "counting/few/hard" in made.notes[0]
    with pytest.raises(ConfigError, match="lacks the rates that `by_cause` needs") as caught:
        allocate(by_cause, LEVELS, FULL)
    assert "score its run again" in str(caught.value)


def test_smoothing_by_hand() -> None:
    # mean failure (0.1 + 0.8 + 1.0) / 3 = 0.6333; each (40 w + 10 * 0.6333) / 50
    weights = [(40 * failed + 10 * 1.9 / 3) / 50 for failed in (0.1, 0.8, 1.0)]
    made = allocate(options("by_failure", smoothing=10), LEVELS, FULL)
    assert shares(made) == pytest.approx([weight / sum(weights) for weight in weights])


def test_smoothing_counts_the_prompts_behind_the_rate_that_weighs() -> None:
    # 2 of 40 prompts have the two judged candidates that a gain needs: (2 * 0.6 + 4 * 0.3) / 6, (40 * 0 + 4 * 0.3) / 44
    thin = row("counting/few/easy", 0.0, prompts=40, gain=0.6)
    thin["gain"]["prompts"] = 2
    found = diagnosis(thin, row("counting/few/hard", 1.0, 0.0))
    levels = dict.fromkeys(("counting/few/easy", "counting/few/hard"), 0.5)
    weights = [2.4 / 6, 1.2 / 44]
    made = allocate(options("by_learnability", smoothing=4), levels, found)
    assert shares(made) == pytest.approx([weight / sum(weights) for weight in weights])
    made = allocate(options("by_failure", smoothing=4), levels, found)
    assert shares(made) == pytest.approx([42 / 44, 2 / 44]), "pass@1 rests on all 40"


def test_no_weight_at_all_is_equal_shares_and_said() -> None:
    solved = diagnosis(*(row(path, 1.0, 0.0) for path in LEVELS))
    made = allocate(options("by_failure"), LEVELS, solved)
    assert shares(made) == pytest.approx([1 / 3] * 3)
    assert "every weight is 0" in made.notes[0]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"counting": 1, "spatial": 3}, [0.125, 0.125, 0.75]),
        ({"counting": 1, "counting/few/hard": 1}, [0.5, 0.5, 0]),
        ({"counting/few": 2, "spatial/two/medium": 2}, [0.25, 0.25, 0.5]),
        ({"spatial": 1, "counting": 0}, [0, 0, 1]),
    ],
)
def test_manual_parts_at_any_depth(parts: dict[str, float], expected: list[float]) -> None:
    assert shares(allocate(options("manual", shares=parts), LEVELS, None)) == pytest.approx(expected)


def test_manual_splits_as_the_taxonomy_would() -> None:
    levels = {"a/x/easy": 0.6, "a/y/easy": 0.2, "b/z/easy": 0.2}
    made = allocate(options("manual", shares={"a": 1, "b": 1}), levels, None)
    assert shares(made) == pytest.approx([0.375, 0.125, 0.5])


def test_a_skill_that_was_not_measured_gets_the_mean_and_is_named() -> None:
    made = allocate(options("by_failure"), LEVELS, diagnosis(row("counting/few", 0.5), row("spatial/other", 0.1)))
    assert [share.row.path if share.row else "" for share in made.shares] == ["counting/few", "counting/few", ""]
    assert shares(made) == pytest.approx([1 / 3] * 3)
    assert made.notes == (
        "not measured, so given the mean of the others: spatial/two/medium",
        "in the diagnosis but not in this recipe, so left out: spatial/other",
    )


def test_the_nearest_row_speaks_for_a_level() -> None:
    found = diagnosis(row("counting", 0.1), row("counting/few", 0.2), row("counting/few/hard", 0.3))
    assert [found.find(path).path for path in ("counting/few/hard", "counting/few/easy", "counting/x/y")] == [  # type: ignore[union-attr]
        "counting/few/hard", "counting/few", "counting",
    ]  # fmt: skip
    assert found.find("count/few/hard") is None


def test_covers_carries_a_benchmark_over() -> None:
    bench = diagnosis(row("geneval/counting", 0.4, covers=["counting"]), row("geneval/two_object", 0.9))
    made = allocate(options("by_failure"), LEVELS, bench)
    assert [share.row.path if share.row else "" for share in made.shares] == ["geneval/counting"] * 2 + [""]
    assert "left out: geneval/two_object" in made.notes[1]


def test_mixed_measures_are_said() -> None:
    graded = row("spatial", None, reward={"value": 0.25, "low": 0.2, "high": 0.3, "prompts": 40})
    made = allocate(options("by_failure"), LEVELS, diagnosis(row("counting", 0.75), graded))
    assert shares(made) == pytest.approx([0.2, 0.2, 0.6])
    assert "by mean reward, since pass@1 is unknown: spatial/two/medium" in made.notes[0]


@pytest.mark.parametrize(
    ("chosen", "found", "said"),
    [
        (options("by_failure"), diagnosis(row("texture", 0.1)), "covers no skill of this recipe"),
        (options("by_learnability"), diagnosis(row("counting", 0.1)), "lacks the rates that `by_learnability` needs"),
        (options("manual", shares={"countin": 1}), None, "did you mean 'counting'?"),
        (options("manual", shares={"counting": 1, "counting/few": 1}), None, "no levels are left for 'counting'"),
        (options("uniform", floor=0.5), None, "at most 1/3"),
        (options("uniform", cap=0.1), None, "at least 1/3"),
    ],
)
def test_what_cannot_be_shared_out_is_one_error(chosen: Allocation, found: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        allocate(chosen, LEVELS, found)  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"policy": "by_failure"},
        {"policy": "manual"},
        {"policy": "uniform", "shares": {"counting": 1}},
        {"policy": "manual", "shares": {"counting": -1, "spatial": 2}},
        {"policy": "manual", "shares": {"counting": 0}},
        {"policy": "manual", "shares": {"a/b/c/d": 1}},
        {"policy": "by_luck"},
        {"policy": "by_cause", "diagnosis": "d.yaml"},
        {"policy": "by_cause", "diagnosis": "d.yaml", "causes": {"luck": 1}},
        {"policy": "by_cause", "diagnosis": "d.yaml", "causes": {"count": 0}},
        {"policy": "by_failure", "diagnosis": "d.yaml", "causes": {"count": 1}},
        {"policy": "uniform", "flor": 0.1},
        {"policy": "uniform", "floor": float("nan")},
        {"policy": "uniform", "cap": 0},
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Allocation.model_validate(values)


RATES = st.lists(st.floats(0, 1), min_size=3, max_size=3)


@settings(max_examples=300, deadline=None)
@given(RATES, st.floats(0, 1 / 3), st.floats(1 / 3, 1), st.floats(0, 100))
def test_whatever_was_measured_the_bounds_hold_and_failure_pays(
    firsts: list[float], floor: float, cap: float, smoothing: float
) -> None:
    found = diagnosis(*(row(path, first) for path, first in zip(LEVELS, firsts, strict=True)))
    got = shares(allocate(options("by_failure", floor=floor, cap=cap, smoothing=smoothing), LEVELS, found))
    assert math.fsum(got) == pytest.approx(1, abs=1e-9)
    assert all(floor - 1e-12 <= share <= cap + 1e-12 for share in got)
    ranked = sorted(zip(firsts, got, strict=True))
    assert all(worse[1] >= better[1] - 1e-9 for worse, better in itertools.pairwise(ranked))
