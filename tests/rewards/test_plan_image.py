"""Planned boxes against found boxes: the best pairing, misses as zero, and the whole way through the real detector."""

from __future__ import annotations

import itertools
import random

import pytest

from datagen.embedded.pictograms import Item, Scene
from datagen.embedded.vocab import describe_scene
from datagen.embedded.world import random_scene
from datagen.records import Detection, Verdict
from datagen.rewards.reasoning import plan_image
from datagen.scoring.layout import read_layout
from datagen.scoring.tools import Tools
from datagen.vision.detectors.pictograms import build
from datagen.vision.geometry import measure_overlap
from tests.helpers.reward_cases import count, draw, make_prompt, make_sample, make_tools, thing, write

PROMPT = make_prompt(count("star", 1))
STAR = write("red star", 0, 0, 400, 400)


def judge(think: str, *found: Detection) -> Verdict:
    return plan_image.score(PROMPT, make_sample(think=think), make_tools(*found))


@pytest.mark.parametrize(
    ("found", "value", "passed", "reason"),
    [
        (thing("star", "red", (0, 0, 400, 400)), 1.0, True, "drawn as planned"),
        (thing("star", "blue", (0, 0, 400, 400)), 1.0, True, "the planned red star was drawn blue"),
        (thing("star", "red", (200, 0, 600, 400)), 1 / 3, False, "the red star was drawn beside its box"),
        (thing("star", "red", (500, 500, 900, 900)), 0.0, False, "the planned red star was not found in its place"),
        (thing("cup", "red", (0, 0, 400, 400)), 0.0, False, "the planned red star was not found in its place"),
    ],
)
def test_one_planned_thing(found: Detection, value: float, passed: bool, reason: str) -> None:
    verdict = judge(STAR, found)
    assert verdict.value == pytest.approx(value)
    assert verdict.evidence["passed"] is passed
    assert verdict.reason == reason


@pytest.mark.parametrize(("planned", "label"), [("Red Star", "star"), ("red star", "Star"), ("a TV", "TV")])
def test_a_capital_letter_makes_no_other_thing(planned: str, label: str) -> None:
    tools = make_tools(thing(label, "red", (0, 0, 400, 400)), labels=frozenset({label}))
    verdict = plan_image.score(PROMPT, make_sample(think=write(planned, 0, 0, 400, 400)), tools)
    assert (verdict.value, verdict.reason) == (1.0, "drawn as planned")


def test_violet_is_a_colour_of_a_thing_and_another_name_of_purple() -> None:
    tools = make_tools(thing("star", "purple", (0, 0, 400, 400)), labels=frozenset({"star"}))
    verdict = plan_image.score(PROMPT, make_sample(think=write("violet star", 0, 0, 400, 400)), tools)
    assert (verdict.value, verdict.reason) == (1.0, "drawn as planned")


def test_one_found_thing_serves_one_planned_thing() -> None:
    verdict = judge(STAR + STAR, thing("star", "red", (0, 0, 400, 400)))
    assert verdict.value == 0.5


def test_what_was_not_planned_stands_in_the_evidence() -> None:
    verdict = judge(STAR, thing("star", "red", (0, 0, 400, 400)), thing("cup", "blue", (500, 500, 900, 900)))
    assert verdict.value == 1.0
    assert verdict.evidence["unplanned"] == ["blue cup"]


def test_the_pairing_is_the_best_of_all() -> None:
    rng = random.Random(8)

    def box() -> tuple[int, int, int, int]:
        x, y = rng.randrange(500), rng.randrange(500)
        return x, y, x + 400, y + 400

    for _ in range(50):
        planned, found = [box() for _ in range(3)], [thing("star", "red", box()) for _ in range(4)]
        value = judge("".join(write("red star", *one) for one in planned), *found).value
        best = max(
            sum(measure_overlap(one, other.box) for one, other in zip(planned, order, strict=True))
            for order in itertools.permutations(found, 3)
        )
        assert value == pytest.approx(best / 3)


def test_a_true_picture_follows_its_plan_through_the_real_detector() -> None:
    rng = random.Random(31)
    detect = build({})
    tools = Tools(detect, lambda image: [], detect.labels)
    for _ in range(40):
        scene = random_scene(rng)
        verdict = plan_image.score(PROMPT, make_sample(think=describe_scene(scene), image=draw(scene)), tools)
        if scene.items:
            assert verdict.value is not None
            assert verdict.value > 0.95, (scene, verdict)


def test_a_picture_of_another_plan_does_not() -> None:
    detect = build({})
    scene = Scene("gray", (Item("star", "red", 3, 3, 6, 6),))
    verdict = plan_image.score(PROMPT, make_sample(think=STAR, image=draw(scene)), Tools(detect, lambda image: []))
    assert verdict.value == 0.0
    assert read_layout(STAR).things[0].label == "star"


def test_none_with_a_reason_where_it_cannot_judge() -> None:
    tools = make_tools(labels=frozenset({"cup"}))
    assert plan_image.score(PROMPT, make_sample(), tools).reason == "the sample has no reasoning"
    assert plan_image.score(PROMPT, make_sample(think=STAR, image=None), tools).reason == "the sample has no image"
    assert plan_image.score(PROMPT, make_sample(think="prose"), tools).reason.startswith(
        "the reasoning plans no object"
    )
    assert plan_image.score(PROMPT, make_sample(think=STAR), tools).reason == "the detector cannot see star"
