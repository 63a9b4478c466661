"""Spoiled scenes really fail, and the list of faults says what to change."""

from __future__ import annotations

import random

import pytest

from datagen.embedded.pictograms import GRID, Item, Scene
from datagen.embedded.world import lay_out
from datagen.records import Claim
from datagen.vision.geometry import shared_area
from datagen.workshop.corpus import PromptSource
from datagen.workshop.faults import box_of, list_faults, spoil, weigh, weigh_up

STAR, MOON = Item("star", "red", 0, 0, 2, 2), Item("moon", "blue", 4, 0, 6, 2)
PAIR = (Claim("count", "star", "", 1), Claim("count", "moon", "", 1))


def test_true_scenes_have_no_fault_and_spoiled_ones_have() -> None:
    source, rng = PromptSource(), random.Random(0)
    for _ in range(300):
        _, claims = source(rng)
        scene = lay_out(claims, rng)
        assert list_faults(claims, scene) == []
        spoiled = spoil(claims, scene, rng)
        assert list_faults(claims, spoiled)
        for k, item in enumerate(spoiled.items):
            assert 0 <= item.x1 < item.x2 <= GRID
            assert 0 <= item.y1 < item.y2 <= GRID
            assert all(shared_area(box_of(item), box_of(other)) == 0 for other in spoiled.items[k + 1 :])


@pytest.mark.parametrize(
    ("claims", "items", "faults"),
    [
        (PAIR, (STAR, MOON), []),
        (PAIR, (STAR,), ["draw 1 moon, not 0"]),
        (PAIR, (STAR, STAR, MOON), ["draw 1 star, not 2"]),
        (PAIR[:1], (STAR, MOON), ["leave out the moon"]),
        ((PAIR[0], Claim("attribute", "star", "color", "pink")), (STAR,), ["make the star pink, not red"]),
        ((*PAIR, Claim("relation", "star", "right of", "moon")), (STAR, MOON), ["put the star right of the moon"]),
        ((PAIR[0], Claim("count", "moon", "", 0)), (STAR,), []),
        ((PAIR[0], Claim("count", "moon", "", 0)), (STAR, MOON), ["draw 0 moons, not 1"]),
        ((*PAIR, Claim("part", "star", "red", 0)), (STAR, MOON), ["draw 0 red stars, not 1"]),
        ((Claim("comparison", "star", "as many as", "moon"),), (STAR, MOON), []),
        (
            (Claim("comparison", "star", "fewer than", "moon"),),
            (STAR, MOON),
            ["draw fewer stars than moons, not 1 and 1"],
        ),
        (
            (Claim("text", "", "", "GO"),),
            (Item("text", "black", 0, 0, 2, 2, "OG"),),
            ['write "GO", not "OG"'],
        ),
    ],
)
def test_faults_are_orders(claims: tuple[Claim, ...], items: tuple[Item, ...], faults: list[str]) -> None:
    assert list_faults(claims, Scene("gray", items)) == faults


@pytest.mark.parametrize(
    ("claim", "items", "said"),
    [
        (PAIR[0], (STAR, STAR), "one star? two stars No"),
        (PAIR[1], (STAR,), "one moon? nothing No"),
        (Claim("attribute", "star", "color", "red"), (STAR, MOON), "star red? star red Yes"),
        (Claim("relation", "star", "left of", "moon"), (STAR, MOON), "star left of moon? star A1 moon I1 left of Yes"),
        (Claim("relation", "star", "below", "moon"), (STAR, MOON), "star below moon? star A1 moon I1 left of No"),
        (Claim("relation", "star", "left of", "moon"), (STAR,), "star left of moon? nothing No"),
        (Claim("part", "star", "red", 2), (STAR, STAR), "two red stars? two red stars Yes"),
        (
            Claim("comparison", "star", "as many as", "moon"),
            (STAR, MOON),
            "star as many as moon? one star and one moon Yes",
        ),
        (Claim("text", "", "", "GO"), (Item("text", "black", 0, 0, 2, 2, "OG"),), '"GO"? "OG" GO OG No'),
    ],
)
def test_a_claim_is_weighed_against_what_is_there(claim: Claim, items: tuple[Item, ...], said: str) -> None:
    assert weigh(claim, Scene("gray", items)) == said


def test_all_is_weighed_yes_if_and_only_if_there_is_no_fault() -> None:
    source, rng = PromptSource(), random.Random(1)
    for k in range(300):
        _, claims = source(rng)
        scene = lay_out(claims, rng)
        seen = spoil(claims, scene, rng) if k % 2 else scene
        weighed = weigh_up(claims, seen)
        assert all(said.endswith((" Yes", " No")) for said in weighed)
        assert any(said.endswith(" No") for said in weighed) == bool(list_faults(claims, seen))
