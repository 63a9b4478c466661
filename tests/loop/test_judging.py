"""Which round is kept, and when a loop stops."""

from __future__ import annotations

import random

import pytest

from datagen.diagnose import LEAST_PROMPTS, Diagnosis, Group
from datagen.loop import compare, find_stop, stand
from datagen.loop.judging import rate_rounds

WORSE = {f"p{k}": 0.25 * (k % 3) for k in range(60)}
BETTER = {name: min(1.0, value + 0.3) for name, value in WORSE.items()}


def diagnosis(*verdicts: str) -> Diagnosis:
    rows = [
        {"path": f"counting/s{k}", "verdict": word, "prompts": 20, "samples": 80} for k, word in enumerate(verdicts)
    ]
    made = {"source": "probe", "prompts": 20, "candidates": 4}
    return Diagnosis.model_validate({"made": made, "rows": rows})


def test_a_gain_on_every_prompt_is_certain_though_the_rates_overlap() -> None:
    gain = compare(WORSE, BETTER)
    assert gain is not None
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.3, 0.3, 0.3))
    assert gain.helps


def test_noise_does_not_help() -> None:
    rng = random.Random(4)
    gain = compare(WORSE, {name: value + rng.choice([-0.1, 0.1]) for name, value in WORSE.items()})
    assert gain is not None
    assert gain.low < 0 < gain.high
    assert not gain.helps


def test_equal_rounds_do_not_help() -> None:
    gain = compare(WORSE, WORSE)
    assert gain is not None
    assert not gain.helps


def test_a_few_answers_that_changed_are_no_help() -> None:
    """With the same seeds a small step changes few answers; four of 480 lie in one direction once in sixteen times."""
    before = {f"p{k}": 0.5 for k in range(480)}
    for changed in (4, 5, 6):
        gain = compare(before, before | {f"p{k}": 1.0 for k in range(changed)})
        assert gain is not None
        assert gain.low > 0
        assert (gain.changed, gain.helps) == (changed, changed == 6)


def test_where_nothing_passes_the_loop_does_not_say_that_all_is_solved() -> None:
    said = find_stop(stand([WORSE], [()]), diagnosis("hopeless", "hopeless"), 3, 1)
    assert said.startswith("everything is hopeless for this model, or for this judge")


def test_prompts_of_one_round_alone_or_trained_on_do_not_count() -> None:
    gain = compare({"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 1.0, "b": 0.5, "d": 1.0}, seen={"a"})
    assert gain is not None
    assert (gain.value, gain.prompts) == (0.5, 1)
    assert compare({"a": 0.0}, {"a": 1.0}, seen={"a"}) is None


def test_a_round_is_compared_with_the_best_before_it() -> None:
    found = stand([WORSE, BETTER, WORSE, BETTER], [()] * 4)
    assert found.best == 1
    assert found.bases == (None, 0, 1, 1)
    assert found.idle == 2


def test_a_prompt_once_trained_on_counts_in_no_later_round() -> None:
    seen: list[set[str]] = [set(), {"p0", "p1"}, set()]
    gains = stand([WORSE, BETTER, BETTER], seen).gains
    assert [gain and gain.prompts for gain in gains] == [None, 58, 58]


def test_few_prompts_do_not_tell_whether_a_round_helps() -> None:
    few = {name: WORSE[name] for name in [*WORSE][:LEAST_PROMPTS]}
    better = {name: value + 0.3 for name, value in few.items()}
    assert stand([few, better], [(), ()]).helps(1)
    found = stand([few, better], [(), {"p0"}])
    assert (found.helps(1), found.gains[1], found.left[1], found.best) == (None, None, LEAST_PROMPTS - 1, 0)
    one = compare({"a": 0.5}, {"a": 0.75})
    assert one is not None
    assert not one.helps, "the interval of one prompt is a point"


def test_when_too_few_prompts_are_left_the_loop_stops_whatever_its_patience() -> None:
    rest = {f"p{k}" for k in range(57)}
    found = stand([WORSE, BETTER, BETTER], [(), (), rest])
    assert (found.best, found.helps(1), found.helps(2)) == (1, True, None)
    said = find_stop(found, diagnosis("learnable"), 9, 9)
    assert said.startswith("too few held-out prompts are left to tell whether the last round helps: 3 ")


def test_a_round_whose_samples_cannot_be_judged_does_not_help() -> None:
    found = stand([WORSE, {"p0": 1.0}], [(), ()])
    assert (found.helps(0), found.helps(1), found.gains[1], found.idle) == (None, False, None, 1)
    assert find_stop(found, diagnosis("learnable"), 9, 1) == "the last round does not help"


def test_rewards_stand_in_only_where_nothing_passes_or_fails() -> None:
    graded = [Group("a", 0, 0, (0.2, 0.4)), Group("b", 0, 0)]
    assert rate_rounds([graded]) == [{"a": pytest.approx(0.3)}]
    strict = [*graded, Group("c", 4, 1, (0.9,))]
    assert rate_rounds([strict]) == [{"c": 0.25}]
    assert rate_rounds([graded, strict]) == [{}, {"c": 0.25}], "a pass rate is not compared with a mean reward"


@pytest.mark.parametrize(
    ("rates", "verdicts", "patience", "said"),
    [
        ([WORSE], ["learnable"], 1, ""),
        ([WORSE], ["solved", "hopeless"], 1, "everything that can be learned is solved; hopeless skills and levels: 1"),
        ([WORSE], ["solved", "solved"], 1, "everything is solved"),
        ([WORSE], ["solved", "unclear"], 1, ""),
        ([WORSE, BETTER], ["learnable"], 1, ""),
        ([WORSE, WORSE], ["learnable"], 1, "the last round does not help"),
        ([WORSE, WORSE], ["learnable"], 2, ""),
        ([WORSE, WORSE, WORSE], ["learnable"], 2, "the last 2 rounds do not help"),
        ([WORSE, WORSE, BETTER], ["learnable"], 2, ""),
        ([WORSE, WORSE, BETTER, BETTER], ["learnable"], 9, "all rounds are done: 3"),
    ],
)  # fmt: skip
def test_a_loop_stops(rates: list[dict[str, float]], verdicts: list[str], patience: int, said: str) -> None:
    assert find_stop(stand(rates, [()] * len(rates)), diagnosis(*verdicts), 3, patience) == said
