"""What the pictogram world lays out for the drawable skills holds, judged on rendered pictures by the real detector."""

from __future__ import annotations

import io
import random
from functools import cache

import pytest
from PIL import Image

from datagen.embedded.pictograms import render_scene
from datagen.embedded.world import lay_out
from datagen.prompts.templated import sample_prompt
from datagen.records import Claim, Sample, Segment
from datagen.scoring.tools import Tools, make_tools
from datagen.taxonomy import Skill, load_taxonomy
from datagen.vision.detectors import pictograms
from datagen.workshop.faults import list_faults, spoil
from tests.helpers.scorers import find_scorer

SCORERS = ("counting", "spatial", "attribute", "comparison")
SKILLS = {skill.path: skill for skill in load_taxonomy(["composition", "logic"], "pictograms").skills}
SEEDS = 12


@cache
def tools() -> Tools:
    return make_tools(pictograms.build({}), lambda image: [])


def as_sample(claims: tuple[Claim, ...], rng: random.Random) -> Sample:
    stream = io.BytesIO()
    Image.fromarray(render_scene(lay_out(claims, rng))).save(stream, "PNG")
    segment = Segment("image", "image", image=stream.getvalue())
    return Sample("p-00", "p", 0, 1, "direct", "engine", "none", "stop", (segment,))


def test_twenty_skills_can_be_drawn() -> None:
    assert len(SKILLS) * SEEDS >= 200


@pytest.mark.parametrize("skill", SKILLS.values(), ids=SKILLS.keys())
def test_every_claim_holds_in_a_rendered_scene(skill: Skill) -> None:
    rng = random.Random(skill.path)
    for index in range(SEEDS):
        prompt = sample_prompt(skill, index, 7)
        sample, judged = as_sample(prompt.claims, rng), set()
        for name in SCORERS:
            module = find_scorer(name)
            verdict = module.score(prompt, sample, tools())
            if verdict.value is not None:
                assert verdict.value == 1.0, (prompt.text, verdict.reason)
                judged |= module.JUDGES
        assert {claim.kind for claim in prompt.claims} <= judged


def test_scenes_have_no_fault_and_spoiled_ones_have() -> None:
    rng = random.Random(2)
    for skill in SKILLS.values():
        for index in range(10):
            claims = sample_prompt(skill, index, 3).claims
            scene = lay_out(claims, rng)
            assert list_faults(claims, scene) == []
            assert list_faults(claims, spoil(claims, scene, rng))


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ((Claim("count", "star", "", 1), Claim("depth", "star", "behind", "moon")), "depth"),
        ((Claim("count", "star", "", 1), Claim("fact", "star", "", "has wheels")), "fact"),
        ((Claim("count", "star", "", 0),), "empty scene"),
        ((Claim("count", "star", "", 1), Claim("relation", "star", "above", "moon")), "star to relate"),
        ((Claim("count", "star", "", 1), Claim("part", "star", "red", 2)), "2 of 1 star"),
        ((Claim("count", "star", "", 6), Claim("comparison", "moon", "more than", "star")), "no 6 things compare"),
        ((Claim("count", "star", "", 2), Claim("part", "star", "beige", 1)), "beige"),
    ],
)
def test_what_it_cannot_show_is_refused(claims: tuple[Claim, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        lay_out(claims, random.Random(0))
