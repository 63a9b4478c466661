"""Cases whose truth is known: what is broken, what is left, and that the truth is the truth."""

from __future__ import annotations

from collections import Counter

import pytest

from datagen.audit.scenes import CHANGES, TRUE, Case, is_true, make_cases
from datagen.pictograms import Item, Scene
from datagen.prompts.templated import draw
from datagen.records import Claim, Prompt
from datagen.taxonomy import load_taxonomy

WEAKNESSES = ("counting", "spatial", "attributes", "text_rendering", "logic")


def draw_prompts(each: int) -> list[Prompt]:
    return [draw(skill, k, 7) for skill in load_taxonomy(WEAKNESSES, "pictograms").skills for k in range(each)]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(make_cases(draw_prompts(20), seed=3))


def test_every_claim_holds_in_a_true_scene_and_one_fails_in_a_broken_one(cases: list[Case]) -> None:
    seen = Counter(case.change for case in cases)
    assert set(seen) == set(CHANGES)
    for case in cases:
        assert (set(case.truth.values()) == {True}) == (case.change == TRUE), case
        assert case.change == TRUE or False in case.truth.values()


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
        if case.change == "one more":
            assert (len(gone), len(new)) == (0, 1)
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
        else:
            assert (len(gone), len(new)) == (1, 1)


def test_things_of_a_broken_scene_stand_apart(cases: list[Case]) -> None:
    for case in cases:
        cells = Counter((x, y) for i in case.scene.items for x in range(i.x1, i.x2) for y in range(i.y1, i.y2))
        assert max(cells.values()) == 1, case
        assert all(0 <= x < 6 and 0 <= y < 6 for x, y in cells)


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
