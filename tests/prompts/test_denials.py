"""Rewrites of prompts that deny, compare or place in depth: what keeps them passes, what turns them round does not."""

from __future__ import annotations

import pytest

from datagen.prompts.keeps import find_unchecked, judge_rewrite
from datagen.prompts.templated import sample_prompt
from datagen.records import Claim
from datagen.taxonomy import load_taxonomy, resolve_lexicon
from datagen.taxonomy.lexicon import load_lexicon

LEXICON = load_lexicon(resolve_lexicon("pictograms"))
STARS = Claim("count", "star", "", 3)
NO_MOON = (STARS, Claim("count", "moon", "", 0))
NEITHER = (*NO_MOON, Claim("count", "bell", "", 0))
MORE = (Claim("comparison", "star", "more than", "moon"),)
EQUAL = (Claim("comparison", "star", "as many as", "moon"),)
BOTH = (Claim("count", "moon", "", 2), *MORE)
FRONT = (Claim("count", "cup", "", 1), Claim("count", "box", "", 1), Claim("depth", "cup", "in front of", "box"))

KEPT = [
    (NO_MOON, "three stars and no moon"),
    (NO_MOON, "Could you draw three stars without any moons, please?"),
    (NO_MOON, "Three stars shine in a plain sky. There are no moons."),
    (NEITHER, "three stars with neither moons nor bells"),
    (NEITHER, "three stars without moons or bells"),
    (NEITHER, "no bells, no moons and three stars"),
    (MORE, "There are more stars than moons."),
    (MORE, "fewer moons than stars"),
    (MORE, "Stars and moons are drawn here, and the stars outnumber the moons."),
    (MORE, "far more bright stars than there are moons"),
    (EQUAL, "as many moons as stars"),
    (EQUAL, "Draw the same number of stars and moons."),
    (EQUAL, "an equal number of moons and stars"),
    (BOTH, "two moons and more stars than moons"),
    (FRONT, "a box with a cup in front of it"),
    (FRONT, "a box behind a cup"),
]
REFUSED = [
    (NO_MOON, "three stars", "absence"),
    (NO_MOON, "three stars and a moon", "absence"),
    (NO_MOON, "no stars and three moons", "absence"),
    (NO_MOON, "three stars, and never without moons", "absence"),
    (NO_MOON, "three stars and no moons but one", "absence"),
    (NO_MOON, "three stars and no red moons", "absence"),
    (NO_MOON, "three stars, no moons and no bells", "absence"),
    (NO_MOON, "three stars and no moons. The moons are red.", "added"),
    (NO_MOON, "four stars and no moons", "count"),
    (NO_MOON, "not only three stars and no moons", "unclear"),
    (NEITHER, "no moons without bells and three stars", "absence"),
    (MORE, "more moons than stars", "comparison"),
    (MORE, "fewer stars than moons", "comparison"),
    (MORE, "as many stars as moons", "comparison"),
    (MORE, "stars and moons", "comparison"),
    (MORE, "not more stars than moons", "comparison"),
    (MORE, "two more stars than moons", "comparison"),
    (MORE, "more stars than moons and three moons", "count"),
    (MORE, "more stars than moons or bells", "added"),
    (MORE, "more stars than moons, and more moons than bells", "comparison"),
    (MORE, "the moons outnumber the stars", "comparison"),
    (EQUAL, "twice as many stars as moons", "comparison"),
    (EQUAL, "three times as many stars as moons", "comparison"),
    (BOTH, "two stars and more stars than moons", "object"),
    (BOTH, "more stars than moons", "object"),
    (FRONT, "a cup behind a box", "added"),
    (FRONT, "a cup and a box", "depth"),
    (FRONT, "a cup beside a box", "added"),
    (FRONT, "a cup with a box in front of it", "added"),
]


@pytest.mark.parametrize(("claims", "text"), KEPT)
def test_what_keeps_the_claims_passes(claims: tuple[Claim, ...], text: str) -> None:
    assert judge_rewrite(text, claims, LEXICON) is None


@pytest.mark.parametrize(("claims", "text", "kind"), REFUSED)
def test_what_does_not_is_refused_with_its_class(claims: tuple[Claim, ...], text: str, kind: str) -> None:
    breach = judge_rewrite(text, claims, LEXICON)
    assert breach is not None
    assert breach.kind == kind, breach.reason


@pytest.mark.parametrize(
    "claim",
    [
        Claim("fact", "", "", "the flame is round"),
        Claim("part", "star", "red", 1),
        Claim("depth", "star", "partly hides", "moon"),
    ],
)
def test_what_words_cannot_show_is_never_rewritten(claim: Claim) -> None:
    breach = judge_rewrite("three stars, one of them red", (STARS, claim), LEXICON)
    assert breach is not None
    assert breach.kind == "unchecked"
    assert str(claim) in breach.reason


def test_a_denial_is_a_doubt_where_none_was_claimed() -> None:
    breach = judge_rewrite("three stars and no moons", (STARS,), LEXICON)
    assert breach is not None
    assert breach.kind == "added"


def test_the_words_of_the_templates_keep_their_own_claims() -> None:
    for skill in load_taxonomy(["composition", "logic"], "pictograms").skills:
        for index in range(20):
            prompt = sample_prompt(skill, index, 5)
            if not find_unchecked(prompt.claims):
                assert judge_rewrite(prompt.text, prompt.claims, LEXICON) is None, prompt.text
