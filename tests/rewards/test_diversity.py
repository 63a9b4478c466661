"""Diversity against pairs counted one by one; the scorer is honest about what it cannot compare."""

from __future__ import annotations

import itertools
import random
from statistics import fmean

import numpy as np
import pytest

from datagen.records import Verdict
from datagen.rewards.likeness import diversity
from datagen.scoring.verdicts import ALONE, list_groups
from datagen.vision.loading import normalise
from tests.helpers.reward_cases import make_prompt
from tests.helpers.seeing_cases import DAMAGED, blind_tools, candidates, flat, lookup, noise, slow_cosine


def judge(tables: dict[str, dict[bytes, list[float]]], *images: bytes | None) -> list[Verdict]:
    encoders = {name: lookup(table) for name, table in tables.items()}
    return diversity.score_group(make_prompt(), candidates(*images), blind_tools(encoders=encoders))


def test_it_agrees_with_pairs_counted_one_by_one() -> None:
    rng = random.Random(3)
    cut = 0
    for _ in range(250):
        count, names = rng.randint(2, 6), ["a", "b"][: rng.randint(1, 2)]
        images = [bytes([k]) for k in range(count)]
        raw = {name: {image: [rng.gauss(0, 1) for _ in range(3)] for image in images} for name in names}
        unit = {
            name: {k: normalise(np.array([v]))[0].tolist() for k, v in table.items()} for name, table in raw.items()
        }
        verdicts = judge(unit, *images)
        pairs = [
            fmean(1 - slow_cosine(raw[name][a], raw[name][b]) for name in names)
            for a, b in itertools.combinations(images, 2)
        ]
        for image, verdict in zip(images, verdicts, strict=True):
            mine = fmean(
                fmean(1 - slow_cosine(raw[name][image], raw[name][other]) for other in images if other != image)
                for name in names
            )
            cut += mine > 1
            assert verdict.value == pytest.approx(min(1, max(0, mine)), abs=1e-5)
            assert verdict.evidence["group"] == pytest.approx(fmean(pairs), abs=1e-5)
    assert cut > 20


def test_the_same_picture_again_is_no_diversity() -> None:
    for verdict in judge({"e": {b"x": [0.6, 0.8]}}, b"x", b"x", b"x"):
        assert verdict.value == pytest.approx(0, abs=1e-6)


def test_unreadable_and_missing_images_cost_the_others_nothing() -> None:
    other, nan = noise(1), [float("nan")] * 2
    table = {DAMAGED: nan, other: [1.0, 0.0], noise(2): [0.0, 1.0], flat((0, 0, 0)): nan}
    verdicts = judge({"e": table}, DAMAGED, other, None, noise(2), flat((0, 0, 0)))
    assert [verdict.value for verdict in verdicts] == [None, 1.0, None, 1.0, None]
    assert verdicts[0].reason.startswith("the image cannot be read")
    assert verdicts[2].reason == "the sample has no image"
    assert verdicts[4].reason.startswith("the encoder gave features without a direction")


def test_alone_there_is_nothing_to_compare() -> None:
    table = {"e": {b"x": [1.0, 0.0]}}
    assert judge(table, b"x")[0] == Verdict(None, ALONE)
    assert judge(table, b"x", None)[0] == Verdict(None, ALONE)
    alone = diversity.score(make_prompt(), candidates(b"x")[0], blind_tools(encoders={"e": lookup(table["e"])}))
    assert alone == Verdict(None, ALONE)
    assert [verdict.reason for verdict in judge({}, b"x", b"y")] == [diversity.NO_ENCODERS] * 2
    assert judge(table, None)[0].reason == "the sample has no image"


def test_groups_are_by_prompt_in_order() -> None:
    samples = [sample for k in range(3) for sample in candidates(b"x", b"y")]
    assert [len(group) for group in list_groups(samples)] == [6]
    assert list_groups([]) == []
