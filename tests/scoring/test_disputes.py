"""Where scorers contradict each other, against a slow reading of the rule."""

from __future__ import annotations

import itertools
import random
from typing import cast

import pytest

from datagen.records import Claim, ClaimKind, Modality, Score
from datagen.scoring.verdicts import find_dispute
from tests.helpers.reward_cases import make_prompt

KINDS = ("count", "attribute", "relation", "text")
JUDGES = {
    "counting": {"count"},
    "attribute": {"attribute"},
    "spatial": {"relation"},
    "geneval": {"count", "attribute", "relation"},
    "vqa": set(KINDS),
    "plan": set(KINDS),
    "sharpness": set[str](),
}


def make(name: str, value: float | None, target: Modality = "image") -> Score:
    return Score("p-00", name, target, value, "why")


def claims_of(kinds: list[str]) -> list[Claim]:
    return [Claim(cast(ClaimKind, kind), "star", "", "x") for kind in kinds]


def slow_gap(kinds: set[str], values: dict[str, float | None]) -> float | None:
    """The widest gap: for each no, every kind that it judges here must be judged by somebody who says yes."""
    gaps = []
    for name, value in values.items():
        denied = [kind for kind in KINDS if kind in kinds and kind in JUDGES[name]]
        if name == "plan" or value is None or value >= 0.5 or not denied:
            continue
        yes = {
            other: said
            for other, said in values.items()
            for kind in denied
            if other != "plan" and said is not None and said >= 0.5 and kind in JUDGES[other]
        }
        if all(any(kind in JUDGES[other] for other in yes) for kind in denied):
            gaps.append(min(yes.values()) - value)
    return max(gaps, default=None)


@pytest.mark.parametrize("seed", range(300))
def test_the_widest_gap_is_found(seed: int) -> None:
    rng = random.Random(seed)
    kinds = rng.sample(KINDS, rng.randint(1, 4))
    values = {name: rng.choice([None, 0.0, 0.2, 0.5, 0.7, 1.0]) for name in rng.sample(list(JUDGES), rng.randint(2, 7))}
    scores = [make(name, value, "text" if name == "plan" else "image") for name, value in values.items()]
    found = find_dispute(make_prompt(*claims_of(kinds)), scores, JUDGES)
    assert (found and found.gap) == pytest.approx(slow_gap(set(kinds), values))


def test_judges_of_different_claims_may_differ() -> None:
    prompt = make_prompt(*claims_of(["count", "attribute"]))
    assert find_dispute(prompt, [make("counting", 1.0), make("attribute", 0.0)], JUDGES) is None
    assert find_dispute(prompt, [make("counting", 1.0), make("vqa", 0.0)], JUDGES) is None, "a colour may be wrong"


def test_all_parts_affirmed_contradict_a_no_to_the_whole() -> None:
    prompt = make_prompt(*claims_of(["count", "attribute"]))
    found = find_dispute(prompt, [make("counting", 1.0), make("attribute", 0.9), make("vqa", 0.2)], JUDGES)
    assert found is not None
    assert (found.no.name, [score.name for score in found.yes]) == ("vqa", ["counting", "attribute"])
    assert found.gap == pytest.approx(0.7)


def test_a_strict_verdict_stands_above_the_value() -> None:
    prompt = make_prompt(*claims_of(["count"]))
    strict = Score("p-00", "counting", "image", 0.75, "", {"passed": False})
    for scores in itertools.permutations([strict, make("vqa", 0.6)]):
        found = find_dispute(prompt, scores, JUDGES)
        assert found is not None
        assert found.no is strict
        assert found.gap == pytest.approx(-0.15)
