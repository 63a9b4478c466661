"""Sentences by hand for the check of rewrites. Rates over many draws are in `test_keeps_rates.py`."""

from __future__ import annotations

import json

import pytest

from datagen.prompts.keeps import find_breach, judge_rewrite
from datagen.records import Claim
from datagen.taxonomy import resolve_lexicon
from datagen.taxonomy.lexicon import Lexicon, load_lexicon

LEXICONS = {name: load_lexicon(resolve_lexicon(name)) for name in ("everyday", "pictograms")}


def count(thing: str, n: int) -> Claim:
    return Claim("count", thing, value=n)


def color(thing: str, value: str) -> Claim:
    return Claim("attribute", thing, "color", value)


STARS = (count("star", 3),)
RED_STARS = (count("star", 3), color("star", "red"))
RED_STAR = (count("star", 1), color("star", "red"))
TWO = (count("star", 1), color("star", "red"), count("moon", 1), color("moon", "blue"))
KINDS = (count("star", 2), count("moon", 3))
PLACED = (count("key", 1), count("cup", 1), Claim("relation", "key", "left of", "cup"))
PLACED_RED = (*PLACED, color("key", "red"), color("cup", "blue"))
OVER = (count("bell", 1), count("car", 1), Claim("relation", "bell", "above", "car"))
OPEN = (Claim("text", value="OPEN"),)
CHAIR = (count("chair", 1), Claim("attribute", "chair", "material", "wood"))
BREAD = (count("loaf of bread", 2),)
GLASS = (count("wine glass", 1), color("wine glass", "green"), count("teddy bear", 1))
MICE = (count("mouse", 4),)

KEPT = [
    (STARS, "three stars"),
    (STARS, "Could you draw 3 stars for me, please?"),
    (STARS, "A trio of stars glows softly on a plain white background."),
    (STARS, "I'd love a picture of exactly three small shiny stars."),
    (STARS, "The drawing shows three stars. All three stars are the same size."),
    (STARS, "a group of three bright, cheerful stars"),
    (STARS, "Three stars, each star drawn with clean lines, and nothing else."),
    ((count("cup", 2),), "A pair of cups sits in soft morning light."),
    ((count("cup", 12),), "a dozen cups in golden light"),
    ((count("cup", 6),), "half a dozen plain cups"),
    ((count("cup", 1),), "A lone cup under a bright sky"),
    (RED_STARS, "three stars, all of them red"),
    (RED_STARS, "Three red stars shine in a quiet, simple picture."),
    (RED_STARS, "three stars in red"),
    (RED_STARS, "There are three stars here. They are all red."),
    (RED_STARS, "three stars that are painted a deep red colour"),
    (RED_STAR, "The star is bright red."),
    (RED_STAR, "Red star, flat style"),
    (TWO, "A red star and a blue moon float side by side."),
    (TWO, "A blue moon together with one red star, please!"),
    (TWO, "Please draw a star that is red and a moon that is blue."),
    (TWO, "The star is red, the moon is blue."),
    (TWO, "a star in red and a moon in blue on a white background"),
    (KINDS, "Two stars and three moons, all five drawn in a flat style"),
    (KINDS, "I need 3 moons together with a couple of stars."),
    (PLACED, "a key to the left of a cup"),
    (PLACED, "a cup to the right of a key"),
    (PLACED, "A cup and a key, the key left of the cup."),
    (PLACED, "A single key sits on the left side of a cup."),
    (PLACED, "To the left of a cup stands a key."),
    (PLACED, "There is a cup, and to the left of it is a key."),
    (PLACED, "A key and a cup. The cup is to the right of the key."),
    (PLACED_RED, "a red key to the left of a blue cup"),
    (PLACED_RED, "please draw a key that is red to the left of a cup that is blue"),
    (PLACED_RED, "A blue cup stands to the right of the red key, in soft light."),
    (OVER, "A bell hangs over a car."),
    (OVER, "a car beneath a bell"),
    (OVER, "A small car with a bell above it"),
    (OVER, "Below a bell is a car."),
    (OPEN, 'A wooden sign with the word "OPEN" painted on it'),
    (OPEN, "a neon sign that reads “OPEN”, at night"),
    (OPEN, 'Two bold lines frame a poster that says "OPEN".'),
    (CHAIR, "a wooden chair in a sunny corner"),
    (CHAIR, "a chair made entirely of wood"),
    (BREAD, "Two fresh loaves of bread on a plain background"),
    (GLASS, "a green wine glass and a teddy bear"),
    (MICE, "Four tiny mice in a row"),
]
REFUSED = [
    (STARS, "four stars", "count"),
    (STARS, "stars in the night", "count"),
    (STARS, "several stars", "count"),
    (STARS, "at least three stars", "count"),
    (STARS, "about three stars", "count"),
    (STARS, "two or three stars", "unclear"),
    (STARS, "three or more stars", "count"),
    (STARS, "three stars and another star", "count"),
    (STARS, "three stars and three stars", "count"),
    (STARS, "three stars and one more", "count"),
    (STARS, "three star", "count"),
    (STARS, "a star", "count"),
    (STARS, "no stars", "count"),
    (STARS, "three stars and two dogs", "count"),
    (STARS, "three red stars", "colour"),
    (STARS, "three golden stars", "colour"),
    (STARS, "three stars above a hill", "relation"),
    (STARS, "three stars and a moon", "added"),
    (STARS, "three stars without any moons", "added"),
    (STARS, "three kids holding stars", "count"),
    (STARS, "three hearts", "object"),
    (STARS, "drei Sterne", "language"),
    (STARS, "Tres estrellas", "language"),
    (STARS, "три звезды", "language"),
    (STARS, "三颗星星", "language"),
    (STARS, "Sure! Here is your prompt: three stars", "echo"),
    (STARS, "Rewrite as a question: three stars", "echo"),
    (STARS, "I cannot draw three stars", "echo"),
    (STARS, 'three stars with the word "HI"', "text"),
    (STARS, "   ", "empty"),
    (STARS, "three stars " * 400, "too long"),
    (RED_STARS, "three stars", "colour"),
    (RED_STARS, "three blue stars", "colour"),
    (RED_STARS, "three red and blue stars", "colour"),
    (RED_STARS, "three crimson stars", "colour"),
    (RED_STARS, "three stars that are not red", "unclear"),
    (RED_STARS, "three stars on a red background", "colour"),
    (RED_STARS, "three stars, two of them red and one blue", "count"),
    (RED_STAR, "a star. It is red, and blue too.", "colour"),
    (TWO, "a blue star and a red moon", "colour"),
    (TWO, "a star and a moon, red and blue", "colour"),
    (TWO, "a star and a moon, red and blue respectively", "unclear"),
    (TWO, "a red star and a moon", "colour"),
    (TWO, "a star and a moon are red and blue", "colour"),
    (TWO, "a red star or a blue moon", "unclear"),
    (TWO, "a red star on a blue moon", "added"),
    (TWO, "a red star to the left of a blue moon", "relation"),
    (TWO, "two red stars and a blue moon", "count"),
    (KINDS, "three stars and two moons", "count"),
    (KINDS, "two stars, three moons and a key", "added"),
    (PLACED, "a key to the right of a cup", "relation"),
    (PLACED, "a cup to the left of a key", "relation"),
    (PLACED, "a key beside a cup", "relation"),
    (PLACED, "a key and a cup", "relation"),
    (PLACED, "a key above a cup", "relation"),
    (PLACED, "To the left of a key stands a cup.", "relation"),
    (PLACED, "There is a cup, and to the right of it is a key.", "relation"),
    (PLACED, "a key to the left of a cup, above it a tree", "added"),
    (PLACED, "a key to the left of a cup and above the cup", "relation"),
    (PLACED, "a key, not to the left of a cup", "unclear"),
    (PLACED, "a key on the left and a cup", "unclear"),
    (PLACED_RED, "a blue key to the left of a red cup", "colour"),
    (PLACED_RED, "a red key to the right of a blue cup", "relation"),
    (PLACED_RED, "a key to the left of a blue cup, in red", "colour"),
    (OVER, "a car over a bell", "relation"),
    (OVER, "A small car with a bell below it", "relation"),
    (OVER, "a bell above a car inside a house", "added"),
    (OPEN, "a sign that says OPEN", "text"),
    (OPEN, 'a sign that says "Open"', "text"),
    (OPEN, 'a sign that says "OPNE"', "text"),
    (OPEN, 'a sign that says "OPEN!"', "text"),
    (OPEN, 'a sign that says "OPEN" and "CLOSED"', "text"),
    (OPEN, 'a sign that says "OPEN" DAILY', "text"),
    (OPEN, 'a sign that says "OPEN', "text"),
    (OPEN, 'ein Schild mit dem Wort "OPEN"', "language"),
    (OPEN, 'a star with the word "OPEN"', "added"),
    (CHAIR, "a glass chair", "material"),
    (CHAIR, "a chair", "material"),
    (BREAD, "two loaves", "object"),
    (GLASS, "a green glass and a teddy bear", "object"),
    (GLASS, "a green wine glass and a bear", "object"),
    (MICE, "four mouses", "object"),
    (PLACED, "a key and to the left of the key a cup", "relation"),
    (PLACED, "The cup has a key to the right of it.", "relation"),
    (PLACED, "A key; left of it, a cup", "relation"),
    (PLACED, "a key with a cup to its left", "unclear"),
    (PLACED, "The key? It is to the left of a cup.", "relation"),
    (PLACED, "a key above and to the left of a cup", "relation"),
    (TWO, "a red star and a moon; the sky is blue", "colour"),
    (TWO, "a red star and a moon in a blue dress", "colour"),
    (TWO, "a red star, and a moon that is anything but blue", "unclear"),
    (TWO, "a red star and a blue moon with swapped colours", "unclear"),
    (RED_STAR, "a red star with a blue roof", "colour"),
    (STARS, "three stars minus one", "unclear"),
    (STARS, "thirty-three stars", "count"),
    (STARS, "a three-star hotel", "count"),
    (STARS, "three pairs of stars", "count"),
    (RED_STAR, "a red star and then a second one", "count"),
]


BRIEFS = [
    ({"objects": [{"name": "star", "count": 3}]}, STARS, ""),
    ({"objects": [{"name": "stars", "count": 3, "color": "red"}]}, RED_STARS, ""),
    (
        {"objects": [{"name": "key", "count": 1}, {"name": "cup", "count": 1}], "relations": ["key left of cup"]},
        PLACED,
        "",
    ),
    (
        {"objects": [{"name": "cup", "count": 1}, {"name": "key", "count": 1}], "relations": ["cup right of key"]},
        PLACED,
        "",
    ),
    ({"text": ["OPEN"]}, OPEN, ""),
    ({"objects": [{"name": "chair", "count": 1, "material": "wood"}]}, CHAIR, ""),
    ({"objects": [{"name": "star", "count": 4}]}, STARS, "count"),
    ({"objects": [{"name": "star", "count": 3}, {"name": "star", "count": 3}]}, STARS, "added"),
    ({"objects": [{"name": "star", "count": 3, "color": "red"}]}, STARS, "added"),
    ({"objects": [{"name": "star", "count": 3}, {"name": "dog", "count": 1}]}, STARS, "added"),
    ({"objects": [{"name": "star", "count": 3}]}, RED_STARS, "colour"),
    ({"objects": [{"name": "star", "count": True}]}, RED_STAR, "not JSON"),
    (
        {"objects": [{"name": "key", "count": 1}, {"name": "cup", "count": 1}], "relations": ["cup left of key"]},
        PLACED,
        "relation",
    ),
    ({"objects": [{"name": "key", "count": 1}, {"name": "cup", "count": 1}]}, PLACED, "relation"),
    ({"objects": [{"name": "star", "count": 3}], "relations": ["in a row"]}, STARS, "added"),
    ({"text": ["Open"]}, OPEN, "text"),
    ({"text": ["OPEN"], "objects": [{"name": "star", "count": 1}]}, OPEN, "added"),
    ({"objects": [{"name": "star", "count": 3}], "mood": "calm"}, STARS, "not JSON"),
    ({}, STARS, "count"),
]


@pytest.mark.parametrize(("brief", "claims", "kind"), BRIEFS)
def test_a_brief_is_checked_by_its_structure(brief: object, claims: tuple[Claim, ...], kind: str) -> None:
    breach = judge_rewrite(json.dumps(brief), claims, lexicon_of(claims))
    assert (breach.kind if breach else "") == kind


@pytest.mark.parametrize("text", ['{"objects": ', '{"objects": 3}', "{" * 1900, '{"a": ' * 300, "{three stars}"])
def test_what_only_looks_like_a_brief_is_refused(text: str) -> None:
    breach = judge_rewrite(text, STARS, LEXICONS["pictograms"])
    assert breach is not None
    assert breach.kind == "not JSON"


def test_reasons_are_for_people() -> None:
    def why(text: str, claims: tuple[Claim, ...]) -> str:
        return find_breach(text, claims, lexicon_of(claims))

    assert why("four stars", STARS) == "says four stars, the claim is three"
    assert why("a star", RED_STAR) == "lacks the colour red of the star"
    assert why("a blue star", RED_STAR) == "lacks the colour red of the star"
    assert why("a key to the right of a cup", PLACED) == (
        "the key stands right of the cup, the claim is that the key is left of the cup"
    )
    assert why("a sign", OPEN) == 'lacks the text "OPEN" to the letter'
    assert why("three stars and a moon", STARS) == "adds a moon"
    assert why("four loaves of bread", BREAD) == "says four loaves of bread, the claim is two"
    assert why("three stars on a car", STARS) == "adds a car"
    assert why("an umbrella and three stars", STARS) == "adds an umbrella"


def test_a_word_that_no_lexicon_has_is_taken_from_the_claims() -> None:
    claims = (count("robot dog", 2), color("robot dog", "mauve"))
    assert find_breach("Two mauve robot dogs at play", claims, LEXICONS["pictograms"]) == ""
    assert find_breach("two red robot dogs", claims, LEXICONS["pictograms"]) != ""
    assert find_breach("two mauve robots", claims, LEXICONS["pictograms"]) == "lacks the object robot dog"


def lexicon_of(claims: tuple[Claim, ...]) -> Lexicon:
    return LEXICONS["everyday" if claims in (CHAIR, BREAD, GLASS, MICE) else "pictograms"]


@pytest.mark.parametrize(("claims", "text"), KEPT)
def test_what_keeps_its_claims_passes(claims: tuple[Claim, ...], text: str) -> None:
    assert find_breach(text, claims, lexicon_of(claims)) == ""


@pytest.mark.parametrize(("claims", "text", "kind"), REFUSED)
def test_what_breaks_them_is_refused_with_its_kind(claims: tuple[Claim, ...], text: str, kind: str) -> None:
    breach = judge_rewrite(text, claims, lexicon_of(claims))
    assert breach is not None
    assert breach.kind == kind, breach.reason
    assert find_breach(text, claims, lexicon_of(claims)) == breach.reason
    assert 5 < len(breach.reason) < 200
