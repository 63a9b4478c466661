"""Reading a plan for display: objects, boxes, and whatever else a model may write."""

from __future__ import annotations

import random

import pytest

from datagen.embedded.pictograms import GRID
from datagen.embedded.vocab import describe_scene
from datagen.embedded.world import random_scene
from datagen.report.cards import Plan, read_plan
from datagen.scoring.layout import as_box


def test_a_plan_of_a_true_scene_gives_back_its_items() -> None:
    for seed in range(30):
        scene = random_scene(random.Random(seed))
        words, *steps = read_plan(describe_scene(scene))
        assert words == f"{scene.background} background"
        boxes = [tuple(round(1000 * v / GRID) for v in (i.x1, i.y1, i.x2, i.y2)) for i in scene.items]
        assert [step[1] for step in steps] == boxes
        assert all(
            not isinstance(step, str) and item.color in step[0] for step, item in zip(steps, scene.items, strict=True)
        )


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        ("just prose", ["just prose"]),
        ("<|obj_start|>star<|obj_end|> and more", [("star", None), "and more"]),
        ("<|obj_start|>star<|obj_end|><|box_start|>(500,0),(100,9)<|box_end|>", [("star", None)]),
        ("<|obj_start|>never closed", ["<|obj_start|>never closed"]),
    ],
)
def test_what_does_not_parse_stays_as_words(text: str, steps: Plan) -> None:
    assert read_plan(text) == steps


@pytest.mark.parametrize(
    "values",
    [None, [], [1, 2, 3], [0, 0, 0, 10], [0, 0, 1001, 10], [-1, 0, 5, 5], ["a", 0, 1, 2], [float("nan"), 0, 1, 2],
     [float("inf"), 0, 1, 2], "0123"],
)  # fmt: skip
def test_what_is_no_box_is_none(values: object) -> None:
    assert as_box(values) is None


def test_numbers_in_any_form_are_a_box() -> None:
    assert as_box([0, 1.4, 500.0, 1000]) == (0, 1, 500, 1000)
