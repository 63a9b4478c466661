"""Cases whose truth is known: what is broken, what is left, and that the truth is the truth."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import ndimage

from datagen.audit.scenes import CHANGES, TRUE, Case, is_true, make_cases, to_mark
from datagen.embedded.pictograms import Item, Mark, Scene, shape_mask
from datagen.prompts.templated import sample_prompt
from datagen.records import Claim, Prompt
from datagen.taxonomy import load_taxonomy

WEAKNESSES = ("counting", "spatial", "attributes", "text_rendering", "logic")


def draw_prompts(each: int) -> list[Prompt]:
    return [sample_prompt(skill, k, 7) for skill in load_taxonomy(WEAKNESSES, "pictograms").skills for k in range(each)]


KEPT = (TRUE, "moved", "moved to the border")
"""Changes after which every claim still holds."""
EXTRAS = tuple(change for change in CHANGES if change.startswith("one more, "))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(make_cases(draw_prompts(7), seed=3))


def test_every_claim_holds_in_a_true_scene_and_one_fails_in_a_broken_one(cases: list[Case]) -> None:
    seen = Counter(case.change for case in cases)
    assert set(seen) == set(CHANGES)
    for case in cases:
        if case.change == "two colours":  # whether that is one thing is open, and that it has the colour is wrong
            kinds = {claim.kind for claim, holds in case.truth.items() if holds is False}
            assert kinds <= {"attribute"}
            assert None in case.truth.values()
        else:
            assert (set(case.truth.values()) == {True}) == (case.change in KEPT), case
            assert case.change in KEPT or False in case.truth.values()


def test_one_thing_changes_and_the_rest_stays(cases: list[Case]) -> None:
    true: Scene | None = None
    for case in cases:
        if case.change == TRUE:
            true = case.scene
            continue
        assert true is not None
        assert case.scene.background == true.background
        gone, new = set(true.items) - set(case.scene.items), set(case.scene.items) - set(true.items)
        kinds = {item.kind for item in gone}
        if case.change in ("one more", *EXTRAS):
            assert (len(gone), len(new), len(case.scene.marks)) == (0, case.change == "one more", case.change in EXTRAS)
        elif case.change == "one fewer":
            assert (len(gone), len(new)) == (1, 0)
        elif case.change == "missing":
            assert len(kinds) == 1
            assert not new
            assert kinds.isdisjoint(item.kind for item in case.scene.items)
        elif case.change == "order":
            places = {(item.x1, item.y1) for item in case.scene.items}
            assert places <= {(item.x1, item.y1) for item in true.items}
            (claim,) = (claim for claim in case.prompt.claims if claim.kind == "comparison")
            assert case.truth[claim] is False
        elif case.change == "relation":
            assert (len(gone), len(new)) == (2, 2)
        elif case.change in KEPT:
            assert not case.scene.items
            assert [(m.kind, m.color) for m in case.scene.marks] == [(i.kind, i.color) for i in true.items]
        elif case.change in ("two colours", "partly rubbed out"):
            (mark,) = case.scene.marks
            assert (len(gone), new) == (1, set())
            assert {mark.kind} == kinds
            assert bool(mark.other) == (case.change == "two colours") == (mark.left == 1)
        else:
            assert (len(gone), len(new)) == (1, 1)


def test_things_of_a_broken_scene_stand_apart(cases: list[Case]) -> None:
    for case in cases:
        cells = Counter((x, y) for i in case.scene.items for x in range(i.x1, i.x2) for y in range(i.y1, i.y2))
        assert max(cells.values(), default=1) == 1, case
        assert all(0 <= x < 6 and 0 <= y < 6 for x, y in cells)


def ink_of(marks: list[Mark]) -> np.ndarray:
    """Return how many marks ink each pixel of a canvas with as much room around it."""
    ink = np.zeros((288, 288), int)
    for mark in marks:
        x, y = 96 + mark.x_px, 96 + mark.y_px
        ink[y : y + mark.side_px, x : x + mark.side_px] += shape_mask(mark.kind, mark.side_px) >= 0.5
    return ink


def test_extras_are_what_they_are_called(cases: list[Case]) -> None:
    sizes = {
        "small": (16, 23),
        "cut": (24, 60),
        "off the grid": (24, 60),
        "touching": (16, 44),
        "overlapping": (16, 44),
    }
    for case in cases:
        if case.change not in EXTRAS:
            continue
        (mark,), how = case.scene.marks, case.change.removeprefix("one more, ")
        assert sizes[how][0] <= mark.side_px <= sizes[how][1]
        ink = ink_of([mark]) > 0
        share = ink[96:192, 96:192].sum() / ink.sum()
        assert (0.35 <= share <= 0.65) if how == "cut" else share == 1, case
        rest = ink_of([to_mark(item) for item in case.scene.items]) > 0
        near = ndimage.binary_dilation(ink, np.ones((3, 3)))
        if how == "touching":
            assert (near & rest).any()
        if how != "overlapping":
            assert not (ink & rest).any()
        if how in ("small", "cut", "off the grid"):
            assert not (near & rest).any()


def test_moved_things_are_whole_and_apart_of_many_sizes_and_at_the_border(cases: list[Case]) -> None:
    for change in KEPT[1:]:
        marks = [case.scene.marks for case in cases if case.change == change]
        assert {mark.side_px for each in marks for mark in each} >= set(range(24, 45))
        assert len({mark.x_px % 16 for each in marks for mark in each}) == 16
        for each in marks:
            ink = ink_of(list(each))
            assert ink.max() == 1
            assert ink[96:192, 96:192].sum() == ink.sum()
    at_border = [ink_of([mark])[96:192, 96:192] for each in marks for mark in each]
    touching = [ink[0].any() or ink[-1].any() or ink[:, 0].any() or ink[:, -1].any() for ink in at_border]
    assert sum(touching) > len(touching) / 2


def test_the_same_seed_makes_the_same_cases() -> None:
    prompts = draw_prompts(2)
    assert list(make_cases(prompts, 1)) == list(make_cases(prompts, 1))
    assert list(make_cases(prompts, 1)) != list(make_cases(prompts, 2))
    assert list(make_cases(prompts[1:2], 1)) == [c for c in make_cases(prompts, 1) if c.prompt == prompts[1]]


def test_a_relation_among_too_many_is_open() -> None:
    star, moon = Item("star", "red", 0, 0, 2, 2), Item("moon", "red", 4, 0, 6, 2)
    claims = (
        Claim("count", "star", "", 1),
        Claim("count", "moon", "", 1),
        Claim("relation", "star", "left of", "moon"),
    )
    assert is_true(claims[2], claims, Scene("white", (star, moon))) is True
    assert is_true(claims[2], claims, Scene("white", (moon,))) is False
    crowd = Scene("white", (star, moon, Item("star", "red", 0, 3, 2, 5)))
    assert is_true(claims[2], claims, crowd) is None
    assert is_true(claims[0], claims, crowd) is False


def test_what_the_world_cannot_draw_is_passed_over() -> None:
    where = {"weakness": "w", "skill": "s", "level": "", "index": 0, "seed": 0, "template": ""}
    assert not list(make_cases([Prompt.make("a dog", (Claim("count", "dog", "", 1),), **where)], 1))
