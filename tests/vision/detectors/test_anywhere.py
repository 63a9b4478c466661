"""Both judges of pictograms on things that stand in no cells: whole ones are seen, extras are never missed.

Seeds, sizes and places are none that a threshold was chosen or a network trained on.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from datagen.embedded.pictograms import BACKGROUNDS, COLORS, IMAGE_PX, SHAPES, Item, Mark, Scene, mark_mask
from datagen.records import UNNAMED, Detection
from datagen.rewards.objects import counting
from datagen.scoring.tools import make_tools
from datagen.vision.detectors import learned, pictograms
from datagen.vision.geometry import measure_overlap
from tests.helpers.reward_cases import count, draw, make_prompt, make_sample

JUDGES = {"pictograms": pictograms.build({}), "learned": learned.build({})}
judges = pytest.mark.parametrize("judge", JUDGES)
BORDERS = ("left", "top", "right", "bottom")


def ink_box(mark: Mark) -> tuple[int, int, int, int]:
    """Return the corners of a mark's ink in pixels."""
    inked = mark_mask(mark) >= 0.3
    (columns,), (rows,) = np.nonzero(inked.any(0)), np.nonzero(inked.any(1))
    x, y = mark.x_px, mark.y_px
    return x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]) + 1, y + int(rows[-1]) + 1


def make_mark(rng: random.Random, kind: str, side: int, border: str = "") -> Mark:
    """Return a mark whose ink lies on the canvas anywhere, or touches a border."""
    mark = Mark(kind, rng.choice(list(COLORS)), 0, 0, side)
    x1, y1, x2, y2 = ink_box(mark)
    x, y = rng.randint(-x1, IMAGE_PX - x2), rng.randint(-y1, IMAGE_PX - y2)
    x = {"left": -x1, "right": IMAGE_PX - x2}.get(border, x)
    y = {"top": -y1, "bottom": IMAGE_PX - y2}.get(border, y)
    return replace(mark, x_px=x, y_px=y)


def box_of(mark: Mark) -> tuple[int, int, int, int]:
    """Return the box of a mark as a detector says it: its square with a margin of 2 px, as far as it is seen."""
    ends = (mark.x_px - 2, mark.y_px - 2, mark.x_px + mark.side_px + 2, mark.y_px + mark.side_px + 2)
    x1, y1, x2, y2 = (round(1000 * min(max(end, 0), IMAGE_PX) / IMAGE_PX) for end in ends)
    return x1, y1, x2, y2


def is_seen(mark: Mark, found: list[Detection]) -> bool:
    """Say whether one thing, in its kind, colour and box, and nothing else is found."""
    if [(one.label, one.color) for one in found] != [(mark.kind, mark.color)]:
        return False
    return measure_overlap(found[0].box, box_of(mark)) >= 0.8


@judges
@pytest.mark.parametrize("place", ["anywhere", *BORDERS])
def test_whole_things_of_24_to_60_px_are_seen(judge: str, place: str) -> None:
    rng = random.Random(f"seen {place}")
    marks = [make_mark(rng, kind, rng.randint(24, 60), place) for kind in SHAPES for _ in range(8)]
    missed = [
        mark
        for mark in marks
        if not is_seen(mark, JUDGES[judge](draw(Scene(rng.choice(list(BACKGROUNDS)), (), (mark,)))))
    ]
    assert len(missed) <= 0.02 * len(marks), missed


def judge_count(judge: str, scene: Scene, kind: str, claimed: int) -> bool:
    """Say whether `counting` lets a picture pass that claims so many of a kind."""
    prompt, tools = make_prompt(count(kind, claimed)), make_tools(JUDGES[judge], lambda image: [])
    return counting.score(prompt, make_sample(image=draw(scene)), tools).value == 1


@judges
@pytest.mark.parametrize(
    ("side", "x", "y"),
    [
        ((16, 23), (46, 72), (46, 72)),  # small
        ((30, 50), (72, 76), (50, 60)),  # cut by the right border, between 40 and 85 % of its square on the canvas
        ((28, 44), (29, 36), (4, 10)),  # touching or over the first
        ((24, 34), (48, 60), (48, 60)),  # off the grid
    ],
)
def test_one_more_does_not_pass(judge: str, side: tuple[int, int], x: tuple[int, int], y: tuple[int, int]) -> None:
    rng = random.Random(f"extra {side} {x} {y}")
    scenes = []
    for kind in SHAPES:
        for _ in range(4):
            tone, background = rng.choice(list(COLORS)), rng.choice(list(BACKGROUNDS))
            first = Item(kind, tone, 0, 0, 2, 2)
            extra = Mark(kind, tone, rng.randint(*x), rng.randint(*y), rng.randint(*side))
            scenes.append((Scene(background, (first,), (extra,)), kind))
    alone = [judge_count(judge, replace(scene, marks=()), kind, 1) for scene, kind in scenes]
    assert sum(alone) >= 0.98 * len(scenes)
    passed = [scene for scene, kind in scenes if judge_count(judge, scene, kind, 1)]
    assert len(passed) <= 0.05 * len(scenes), passed


@judges
def test_what_is_partly_rubbed_out_is_there_without_a_name(judge: str) -> None:
    rng = random.Random("rubbed")
    wrong = []
    for kind in SHAPES:
        for turn in range(4):
            mark = Mark(
                kind, rng.choice(list(COLORS)), 20 + turn, 23, rng.randint(30, 50), rng.uniform(0.4, 0.65), "", turn
            )
            found = JUDGES[judge](draw(Scene("lilac", (), (mark,))))
            if not found or any(one.label == kind for one in found):
                wrong.append((mark, found))
    assert len(wrong) <= 0.05 * 48, wrong


@judges
def test_a_thing_in_two_colours_has_no_colour(judge: str) -> None:
    rng = random.Random("two colours")
    wrong = []
    for kind in SHAPES:
        for turn in range(4):
            tone, other = rng.sample(list(COLORS), 2)
            mark = Mark(kind, tone, 20 + turn, 23, rng.randint(30, 50), 1.0, other, turn)
            found = JUDGES[judge](draw(Scene("slate", (), (mark,))))
            if not found or any(one.label != UNNAMED and one.color for one in found):
                wrong.append((mark, found))
    assert len(wrong) <= 0.05 * 48, wrong
