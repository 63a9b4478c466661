"""Pass rates, intervals and counts against values worked out by other means."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, variance

import pytest
from gallery_data import make_items, make_plain

from datagen.records import CAUSES, Claim, Failure, Score
from datagen.report.figures import Moments, ScorerTally, Tally, estimate, generalize, name_claimed, pass_at_k


def test_pass_at_k_is_the_share_of_all_subsets_with_a_pass() -> None:
    for judged in range(1, 7):
        for passed in range(judged + 1):
            for k in range(1, judged + 1):
                picks = list(itertools.combinations([True] * passed + [False] * (judged - passed), k))
                assert pass_at_k(judged, passed, k) == pytest.approx(sum(map(any, picks)) / len(picks))


@pytest.mark.parametrize(("judged", "passed", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0), (0, 0, 1)])
def test_pass_at_k_refuses_what_has_no_answer(judged: int, passed: int, k: int) -> None:
    with pytest.raises(ValueError, match="judged candidates"):
        pass_at_k(judged, passed, k)


def moments(values: Sequence[float]) -> Moments:
    found = Moments()
    for value in values:
        found.add(value)
    return found


def test_moments_are_those_of_statistics_however_they_are_merged() -> None:
    rng = random.Random(3)
    values = [rng.choice((0.0, 0.3, 1 / 3, 1.0)) for _ in range(400)]
    halves = moments(values[:130])
    halves.merge(moments(values[130:]))
    counted = Moments()
    for value, times in Counter(values).items():
        counted.add(value, times)
    for found in (moments(values), halves, counted):
        assert (found.count, found.mean) == (400, pytest.approx(fmean(values)))
        assert found.variance == pytest.approx(variance(values))
    assert moments([0.1] * 7).variance == 0, "equal values have no spread at all"
    assert Moments().variance == moments([0.5]).variance == 0


def test_interval_is_wilson_when_prompts_are_single_draws() -> None:
    # Wilson (1927) for 8 of 10, from the closed form.
    z, n, p = 1.959964, 10, 0.8
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    found = estimate(moments([1.0] * 8 + [0.0] * 2), 10)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((center - half, center + half))
    assert found.prompts == 10


def test_interval_stays_open_when_every_prompt_agrees() -> None:
    found = estimate(moments([1.0] * 20), 80)
    assert found is not None
    assert found.high == 1.0
    assert 0.8 < found.low < 1.0
    assert estimate(Moments(), 0) is None


def test_interval_covers_the_truth_when_candidates_of_a_prompt_are_alike() -> None:
    rng, truth, hits, runs = random.Random(11), 0.4, 0, 1500
    for _ in range(runs):
        values = []
        for _ in range(50):
            chance = rng.betavariate(0.4 * 1.5, 0.6 * 1.5)
            values.append(sum(rng.random() < chance for _ in range(4)) / 4)
        found = estimate(moments(values), 200)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert 0.925 <= hits / runs <= 0.98


def test_table_has_the_run_then_weaknesses_with_their_skills() -> None:
    tally = Tally()
    for candidate, passed in enumerate((True, False, False, True)):
        tally.add(make_plain("a", candidate, passed=passed, image_reward=float(passed)))
    for candidate, passed in enumerate((False, None, False, False)):
        reward = None if passed is None else 0.0
        tally.add(make_plain("b", candidate, skill="two_kinds", passed=passed, image_reward=reward))
    whole, weakness, one, two = tally.figures()
    assert (whole.weakness, weakness.weakness, weakness.skill, one.skill, two.skill) == (
        "", "counting", "", "one_kind", "two_kinds",
    )  # fmt: skip
    assert (whole.prompts, whole.samples, whole.unscored["image"]) == (2, 8, 1 / 8)
    assert one.pass_1 is not None
    assert one.pass_1.value == 0.5
    assert one.pass_n is not None
    assert one.pass_n.value == 1.0
    assert two.pass_1 is not None
    assert two.pass_1.value == 0.0
    assert two.pass_n is None, "a prompt with an unjudged candidate cannot say pass@4"
    assert two.image is not None
    assert two.image.value == 0.0
    assert whole.text is None
    assert whole.unscored["text"] == 1


def test_none_never_counts_as_zero() -> None:
    tally = Tally()
    scores = [Score("s", "counting", "image", value, "expected 3 stars, found 2") for value in (1.0, None, 0.5)]
    tally.add(make_plain(scores=scores, image_reward=None, passed=None))
    scorer = tally.scorers["counting"]
    assert (scorer.mean, scorer.judged, scorer.unjudged, scorer.short) == (0.75, 2, 1, 1)
    assert tally.figures()[0].image is None


def test_like_reasons_count_together() -> None:
    claims = name_claimed([Claim("count", "star", value=3), Claim("attribute", "star", "color", "red")])
    assert generalize("expected 3 stars, found 2", claims) == generalize("expected 5 stars, found 12.5", claims)
    assert generalize("the star is blue, expected red", claims) == "the … is blue, expected …"
    assert generalize("starry night", claims) == "starry night"
    odd = name_claimed(Claim("count", name, value=2) for name in ("cherry", "wolf", "loaf of bread"))
    told = [generalize(f"expected 2 {several}, found 1", odd) for several in ("cherries", "wolves", "loaves of bread")]
    assert set(told) == {"expected # …, found #"}
    assert generalize('expected "OPEN", read "0PEN"') == "expected “…”, read “…”"
    assert generalize("") == "(no reason given)"
    tally = Tally()
    tally.add_failures([Failure("generate", "p", k, f"no image after {k} tokens", f"detail {k}") for k in range(5)])
    assert tally.failures["generate"].counts == {"no image after # tokens": 5}
    assert tally.list_failures(9) == [(5, "generate", "no image after 0 tokens", "detail 0")]


def test_what_is_open_beside_something_unnamed_counts_together() -> None:
    tally = ScorerTally("counting", "image")
    for noun in ("star", "moon"):
        reason = f"beside something that cannot be named: expected 3 {noun}s, found 2"
        score = Score("a-00", "counting", "image", None, reason, {"unnamed": [[0, 0, 1, 1]]})
        tally.add(score, name_claimed([Claim("count", noun, value=3)]), None)
        tally.add(Score("a-00", "counting", "image", None, f"the detector cannot see {noun}", {}), (), None)
    assert tally.unjudged_reasons.counts == {
        "beside something that cannot be named: expected # …, found #": 2,
        "the detector cannot see star": 1,
        "the detector cannot see moon": 1,
    }


def test_what_a_scorer_finds_wrong_stands_in_words_of_its_own() -> None:
    tally, claimed = ScorerTally("counting", "image"), name_claimed([Claim("count", "star", value=3)])
    told = [
        ("expected 3 stars, found 12; found 2 keys as asked", {"passed": False, "causes": {"a": "count"}}),
        ("found 3 stars as asked; expected 1 key, found 2", {"passed": False, "causes": {"b": "count"}}),
        ("expected 2 stars, found 0", {"passed": False, "causes": {"a": "missing"}}),
    ]
    for reason, evidence in told:
        tally.add(Score("a-00", "counting", "image", 0.5, reason, evidence), claimed, None)
    assert tally.causes.list_commonest(9) == [
        (2, "count", "expected 1 key, found 2"),
        (1, "missing", "expected 2 stars, found 0"),
    ]
    assert not tally.reasons.counts


def test_a_score_below_1_that_passed_is_no_fault() -> None:
    tally = ScorerTally("plan_image", "text")
    tally.add(Score("a-00", "plan_image", "text", 0.97, "drawn as planned", {"passed": True}), (), None)
    tally.add(Score("a-01", "plan_image", "text", 0.3, "the red star was drawn beside", {"passed": False}), (), None)
    tally.add(Score("a-02", "plan_image", "text", 0.2, "the key was drawn beside", {"passed": False}), ("key",), None)
    assert tally.short == 3
    assert [words for _, _, words in tally.reasons.list_commonest(9)] == [
        "the red star was drawn beside",
        "the key was drawn beside",
    ]


def test_causes_are_shares_of_the_failing_samples_of_each_skill() -> None:
    tally, items = Tally(), list(make_items(30))
    for item in items:
        tally.add(item)
    rows = {(row.weakness, row.skill): row for row in tally.causes()}
    assert ("text_rendering", "word") in rows
    for (weakness, skill), row in rows.items():
        mine = [i for i in items if weakness in ("", i.prompt.weakness) and skill in ("", i.prompt.skill) and i.causes]
        assert (row.failing, row.unrecorded) == (len(mine), 0)
        assert row.shares == {
            cause: sum(cause in (item.causes or ()) for item in mine) / len(mine)
            for cause in CAUSES
            if any(cause in (item.causes or ()) for item in mine)
        }
    assert set(rows["", ""].shares) == {"count", "color", "place", "misread"}
