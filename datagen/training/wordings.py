"""Other words for the same claims, in the styles that prompt expansion asks for: what the embedded model learns from.

A style is a handful of frames around a phrase that states the claims. No frame names an object, a colour or a number
of its own, so what it says is what was claimed. Large models need none of this: they get instructions.
"""

from __future__ import annotations

import json
import random
import string
from collections import Counter
from collections.abc import Sequence

from datagen.pictograms import Item, Scene
from datagen.records import Claim
from datagen.taxonomy.english import article_of, number_word, plural_of

STYLES = ("short caption", "dense caption", "question", "user request", "paraphrase", "JSON brief")
"""Names of the styles, as an instruction names them."""
_PLACES = ("website", "class", "presentation", "homework", "party", "newsletter", "game", "blog")
_PEOPLE = ("teacher", "designer", "student", "parent", "writer", "game maker")
_FRAMES = {
    "short caption": ("{}", "just {}", "{}, nothing else", "simple art of {}", "{} on a plain background"),
    "dense caption": (
        "A clean and simple drawing shows {}. The background is plain and nothing else is in view.",
        "In this flat drawing you can see {}, with clear edges and an empty background.",
        "The scene is simple: {}. Every shape is flat, bright and easy to see.",
        "A tidy illustration with {}, drawn with flat shapes; nothing else is there.",
    ),
    "question": (
        "Could you draw {}?",
        "Can you make a picture of {}?",
        "Would you please show me {}?",
        "Is it possible to see {} in a picture?",
    ),
    "user request": (
        "I need {} for my {place}, please.",
        "Hi, please make {} for our {place}.",
        "As a {person}, I want {} for my {place}.",
        "Draw {}. It is for a {place}, thanks!",
    ),
    "paraphrase": ("a drawing of {}", "an illustration with {}", "{} in a simple picture", "a flat image of {}"),
}
_CONVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_SIDES = {"left of": ("to the left of", "on the left of"), "right of": ("to the right of", "on the right of")}


def reword(claims: Sequence[Claim], style: str, rng: random.Random) -> str:
    """Say the claims in a style, at random; raises KeyError for an unknown style."""
    if style == "JSON brief":
        return json.dumps(write_brief(claims))
    frame = rng.choice(_FRAMES[style])
    phrase = _state(claims, rng, free=style == "paraphrase")
    return frame.replace("{place}", rng.choice(_PLACES)).replace("{person}", rng.choice(_PEOPLE)).replace("{}", phrase)


def write_brief(claims: Sequence[Claim]) -> dict[str, object]:
    """Return the claims as a structured brief: `objects` (name, count, color), `relations` and `text`, if any."""
    colors = {claim.subject: claim.value for claim in claims if claim.kind == "attribute"}
    objects = [
        {"name": c.subject, "count": c.value} | ({"color": colors[c.subject]} if c.subject in colors else {})
        for c in claims
        if c.kind == "count"
    ]
    relations = [f"{c.subject} {c.name} {c.value}" for c in claims if c.kind == "relation"]
    words = [c.value for c in claims if c.kind == "text"]
    parts = {"objects": objects, "relations": relations, "text": words}
    return {name: part for name, part in parts.items() if part}


def sum_up(scene: Scene) -> str:
    """Count a scene's things up in their order: running number of the kind, colour and place; words as they are.

    `bottle one pink A1, cup one red E3, bottle two pink A5`: how many there are of a kind stands at its last.
    """
    parts, seen = [], Counter[str]()
    for item in scene.items:
        seen[item.kind] += 1
        named = f"{item.kind} {number_word(seen[item.kind])} {item.color} {place_of(item)}"
        parts.append(f'"{item.word}"' if item.kind == "text" else named)
    return ", ".join(parts)


def place_of(item: Item) -> str:
    """Return where the middle of an item is, in half cells: a letter across, a number down, `A1` to `I9`."""
    return f"{string.ascii_uppercase[item.x1 + item.x2 - 2]}{item.y1 + item.y2 - 1}"


def _state(claims: Sequence[Claim], rng: random.Random, *, free: bool) -> str:
    """Return one phrase that states every claim; `free` allows more distant words."""
    for claim in claims:
        if claim.kind == "text":
            carrier = rng.choice(("a sign", "a poster", "a card", "a label", "a board"))
            verb = rng.choice(("that says", "that reads", "with the text", "with the word"))
            return f'{carrier} {verb} "{claim.value}"'
    colors = {claim.subject: str(claim.value) for claim in claims if claim.kind == "attribute"}
    things = {c.subject: _name(c.subject, int(c.value), colors, rng, free) for c in claims if c.kind == "count"}
    for claim in claims:
        if claim.kind == "relation":
            return _relate(claim, things, rng)
    *first, last = things.values()
    if free and len(things) == 2 and rng.random() < 0.4:
        return f"{last} and {first[0]}"
    return f"{', '.join(first)} and {last}" if first else last


def _name(kind: str, n: int, colors: dict[str, str], rng: random.Random, free: bool) -> str:
    color = colors.get(kind, "")
    noun = kind if n == 1 else plural_of(kind)
    if color and free and rng.random() < 0.5:
        if n > 1:
            return f"{number_word(n)} {noun}, all {color}"
        return f"{article_of(kind)} {kind} in {color}"
    described = f"{color} {noun}".strip()
    if n > 1:
        return f"{number_word(n)} {described}"
    return f"{article_of(described) if rng.random() < 0.7 else rng.choice(('one', 'a single'))} {described}"


def _relate(claim: Claim, things: dict[str, str], rng: random.Random) -> str:
    a, b, relation = claim.subject, str(claim.value), claim.name
    if rng.random() < 0.5:
        a, b, relation = b, a, _CONVERSE[relation]
    side = rng.choice(_SIDES.get(relation, (relation,)))
    if rng.random() < 0.3:
        return f"{things[a]} and {things[b]}, the {a} {side} the {b}"
    return f"{things[a]} {side} {things[b]}"
