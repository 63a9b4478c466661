"""The two GenEval scorers: one answer for all claims, each fault in words, None where the rule has nothing to say."""

from __future__ import annotations

import random
from dataclasses import replace
from types import ModuleType

import pytest

from datagen.embedded.world import lay_out
from datagen.records import Claim, Detection
from datagen.rewards.objects import geneval
from datagen.scoring.tools import Tools
from datagen.vision.detectors.pictograms import build
from tests.helpers.reward_cases import color, count, draw, make_prompt, make_sample, make_tools, relation, thing, words
from tests.helpers.scorers import find_scorer

geneval_strict = find_scorer("geneval_strict")

LEFT, RIGHT = (0, 300, 200, 500), (700, 300, 900, 500)
BOTH = pytest.mark.parametrize("scorer", [geneval, geneval_strict])
CAT_LEFT = (count("cat", 1), color("cat", "red"), count("box", 1), relation("cat", "left of", "box"))


@pytest.mark.parametrize(
    ("found", "original", "strict"),
    [
        ((thing("cat", "red", LEFT), thing("box", "blue", RIGHT)), "", ""),
        ((thing("box", "blue", RIGHT),), "expected at least 1 cat, found 0", "expected exactly 1 cat, found 0"),
        (
            (thing("cat", "blue", LEFT), thing("box", "blue", RIGHT)),
            "expected 1 red cat, found 1 blue",
            "expected 1 red cat, found 1 blue",
        ),
        (
            (thing("cat", "red", RIGHT), thing("box", "blue", LEFT)),
            "expected the cat left of the box, found it right of the box",
            "expected the cat left of the box, found it right of the box",
        ),
        (
            (thing("cat", "red", LEFT), thing("box", "blue", LEFT)),
            "expected the cat left of the box, found it in no clear relation to the box",
            "expected the cat left of the box, found it in no clear relation to the box",
        ),
        (
            (thing("cat", "red", LEFT),),
            "expected at least 1 box, found 0; there is no box as asked for the cat to be left of",
            "expected exactly 1 box, found 0; there is no box as asked for the cat to be left of",
        ),
        (
            (thing("cat", "red", LEFT), thing("cat", "red", RIGHT, 0.5), thing("box", "blue", RIGHT)),
            "",
            "expected exactly 1 cat, found 2",
        ),
    ],
)
def test_each_fault_in_words(found: tuple[Detection, ...], original: str, strict: str) -> None:
    for scorer, reason in ((geneval, original), (geneval_strict, strict)):
        verdict = scorer.score(make_prompt(*CAT_LEFT), make_sample(), make_tools(*found))
        assert verdict.reason == (reason or "everything is there as asked")
        assert verdict.value == float(not reason)
        assert verdict.evidence["passed"] is not bool(reason)
        assert len(verdict.evidence["detections"]) == len(found)


@BOTH
def test_a_number_is_exact_and_needs_sure_things(scorer: ModuleType) -> None:
    prompt = make_prompt(count("cat", 2))
    for number, value in ((1, 0.0), (2, 1.0), (3, 0.0)):
        sure = [thing("cat", sure=0.95)] * number
        assert scorer.score(prompt, make_sample(), make_tools(*sure)).value == value
    unsure = [thing("cat", sure=0.9)] * 2
    assert scorer.score(prompt, make_sample(), make_tools(*unsure)).value == 0.0


@BOTH
def test_none_of_a_thing(scorer: ModuleType) -> None:
    prompt = make_prompt(count("cat", 1), count("dog", 0))
    assert scorer.score(prompt, make_sample(), make_tools(thing("cat", sure=0.95))).value == 1.0
    verdict = scorer.score(prompt, make_sample(), make_tools(thing("cat", sure=0.95), thing("dog", sure=0.95)))
    assert verdict.reason == "expected fewer than 1 dog, found 1"


@BOTH
def test_the_evidence_holds_the_line(scorer: ModuleType) -> None:
    verdict = scorer.score(make_prompt(*CAT_LEFT), make_sample(), make_tools())
    assert verdict.evidence["metadata"] == {
        "tag": "position",
        "include": [
            {"class": "box", "count": 1},
            {"class": "cat", "count": 1, "color": "red", "position": ["left of", 0]},
        ],
    }


@BOTH
@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ((words("OPEN"),), "no count, attribute or relation claim"),
        ((Claim("attribute", "chair", "material", "wood"),), "it knows no attribute but colour"),
        ((count("cat", 2), relation("cat", "left of", "cat")), "compare a thing with itself"),
        ((count("cat", 2), color("cat", "red"), color("cat", "blue")), "in two colours"),
    ],
)
def test_none_for_what_the_rule_cannot_say(scorer: ModuleType, claims: tuple[Claim, ...], reason: str) -> None:
    verdict = scorer.score(make_prompt(*claims), make_sample(), make_tools(thing("cat")))
    assert verdict.value is None
    assert reason in verdict.reason


@BOTH
def test_none_without_an_image_or_with_a_blind_detector(scorer: ModuleType) -> None:
    prompt = make_prompt(*CAT_LEFT)
    assert scorer.score(prompt, make_sample(image=None), make_tools()).reason == "the sample has no image"
    blind = make_tools(labels=frozenset({"box"}))
    assert scorer.score(prompt, make_sample(), blind).reason == "the detector cannot see cat"
    with_words = make_prompt(count("cat", 1), words("OPEN"))
    assert scorer.score(with_words, make_sample(), make_tools(thing("cat"))).value == 1.0


TRUE_CLAIMS: list[tuple[Claim, ...]] = [
    (count("star", 1),),
    (count("star", 1), count("cup", 1)),
    (count("fish", 4),),
    (count("moon", 1), color("moon", "purple")),
    (count("moon", 1), count("cup", 1), relation("moon", "above", "cup")),
    (count("car", 1), color("car", "red"), count("bell", 1), color("bell", "blue")),
]


@BOTH
@pytest.mark.parametrize("claims", TRUE_CLAIMS)
def test_true_pictures_pass_and_pictures_of_something_else_do_not(
    scorer: ModuleType, claims: tuple[Claim, ...]
) -> None:
    rng, detect = random.Random(553), build({})
    tools = Tools(detect, lambda image: [], detect.labels)
    for _ in range(10):
        scene = lay_out(claims, rng)
        right = scorer.score(make_prompt(*claims), make_sample(image=draw(scene)), tools)
        assert right.value == 1.0, (scene, right.reason)
        broken = replace(scene, items=scene.items[1:])
        assert scorer.score(make_prompt(*claims), make_sample(image=draw(broken)), tools).value == 0.0
