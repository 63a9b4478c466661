"""Wrong scenes with their faults, and reworded claims: training data for judging, reflecting and rewriting.

Scenes are judged directly, by the rules that the scorers apply to detections.

A style of prompt expansion is a set of frames around a phrase that states the claims. No frame names an object, a
colour or a number of its own, so the text says only what is claimed. Large models need no frames: they follow
instructions.
"""

from __future__ import annotations

import json
import random
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from datagen.embedded.pictograms import COLORS, GRID, SHAPES, Item, Scene
from datagen.records import Claim
from datagen.taxonomy.english import article_of, holds_order, name_many, number_word, plural_of, say_order
from datagen.vision.geometry import find_relations

NOTHING = "nothing"
"""Word for the absence of an object."""
_TRIES = 100
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def weigh_up(claims: Sequence[Claim], scene: Scene) -> list[str]:
    """Return for each claim what is asked, what is there, and Yes or No; then unclaimed objects.

    All are Yes if and only if there is no fault. A model that has written this only has to look for a No.
    """
    return [weigh(claim, scene) for claim in claims] + [
        f"no {kind}? {_count(scene, kind)} No" for kind in list_extras(claims, scene)
    ]


def weigh(claim: Claim, scene: Scene) -> str:
    """Return for one claim what is asked, what is there, and Yes or No."""
    found = _say_found(claim, scene)
    holds = not _find_fault(claim, scene) and found != NOTHING
    return f"{_say_asked(claim)}? {found} {_say(holds)}"


def _say_asked(claim: Claim) -> str:
    if claim.kind == "text":
        return f'"{claim.value}"'
    if claim.kind == "count":
        return _name(int(claim.value), claim.subject)
    if claim.kind == "part":
        return _name(int(claim.value), f"{claim.name} {claim.subject}")
    return (
        f"{claim.subject} {claim.value}" if claim.kind == "attribute" else f"{claim.subject} {claim.name} {claim.value}"
    )


def _say_found(claim: Claim, scene: Scene) -> str:
    if claim.kind == "text":
        return _pair_letters(str(claim.value), [item.word for item in scene.items if item.kind == "text"])
    ours, others = find_items(scene, claim.subject), find_items(scene, str(claim.value))
    if claim.kind == "count":
        return _count(scene, claim.subject)
    if claim.kind == "part":
        return _name(sum(item.color == claim.name for item in ours), f"{claim.name} {claim.subject}")
    if claim.kind == "attribute":
        return f"{claim.subject} {' and '.join(dict.fromkeys(item.color for item in ours))}" if ours else NOTHING
    if claim.kind == "comparison":
        return f"{_count(scene, claim.subject)} and {_count(scene, str(claim.value))}"
    if not ours or not others:
        return NOTHING
    held = frozenset.intersection(*(find_relations(box_of(a), box_of(b)) for a in ours for b in others))
    places = " ".join(f"{item.kind} {place_of(item)}" for item in (*ours, *others))
    return f"{places} {' and '.join(sorted(held)) or 'beside'}"


def _pair_letters(asked: str, words: Sequence[str]) -> str:
    """Return the words in the scene, then each claimed letter beside that of the most similar word: `CY AA RR`."""
    if not words:
        return NOTHING
    like = min(words, key=lambda word: sum(a != b for a, b in zip_longest(asked, word)))
    pairs = " ".join(a + b for a, b in zip_longest(asked, like, fillvalue="-"))
    return " ".join([*(f'"{word}"' for word in words), pairs])


def _count(scene: Scene, kind: str) -> str:
    return _name(len(find_items(scene, kind)), kind)


def _name(n: int, noun: str) -> str:
    return name_many(n, noun, in_words=True) if n else NOTHING


def _say(yes: bool) -> str:
    return "Yes" if yes else "No"


def list_extras(claims: Sequence[Claim], scene: Scene) -> list[str]:
    """Return the kinds in the scene that no claim mentions, sorted."""
    counted = [claim for claim in claims if claim.is_counted or claim.kind == "comparison"]
    claimed = {name for claim in counted for name in claim.things}
    claimed |= {"text" for claim in claims if claim.kind == "text"}
    return sorted({item.kind for item in scene.items} - claimed)


def list_faults(claims: Sequence[Claim], scene: Scene) -> list[str]:
    """Return instructions after which all claims hold and nothing else is there; none if all is well."""
    faults = [fault for claim in claims if (fault := _find_fault(claim, scene))]
    return faults + [f"leave out the {kind}" for kind in list_extras(claims, scene)]


def _find_fault(claim: Claim, scene: Scene) -> str:
    if claim.kind == "text":
        found = [item.word for item in scene.items if item.kind == "text"]
        return "" if claim.value in found else f'write "{claim.value}"' + (f', not "{found[0]}"' if found else "")
    ours = find_items(scene, claim.subject)
    if claim.kind == "count":
        n = int(claim.value)
        return "" if len(ours) == n else f"draw {name_many(n, claim.subject)}, not {len(ours)}"
    if claim.kind == "part":
        n, have = int(claim.value), sum(item.color == claim.name for item in ours)
        return "" if have == n else f"draw {name_many(n, f'{claim.name} {claim.subject}')}, not {have}"
    if claim.kind == "comparison":
        theirs = len(find_items(scene, str(claim.value)))
        holds = holds_order(claim.name, len(ours), theirs)
        return "" if holds else f"draw {say_order(claim)}, not {len(ours)} and {theirs}"
    if not ours:
        return ""  # the count says so
    if claim.kind == "attribute":
        wrong = [item.color for item in ours if item.color != claim.value]
        return f"make the {claim.subject} {claim.value}, not {wrong[0]}" if wrong else ""
    others = find_items(scene, str(claim.value))
    if not others or all(claim.name in find_relations(box_of(a), box_of(b)) for a in ours for b in others):
        return ""
    return f"put the {claim.subject} {claim.name} the {claim.value}"


def find_items(scene: Scene, kind: str) -> list[Item]:
    """Return the items of one kind, in order."""
    return [item for item in scene.items if item.kind == kind]


def box_of(item: Item) -> tuple[int, int, int, int]:
    """Return an item's box in cells."""
    return item.x1, item.y1, item.x2, item.y2


def spoil(claims: Sequence[Claim], scene: Scene, rng: random.Random) -> Scene:
    """Return the scene with one to four changes that break a claim; the rest stays."""
    for _ in range(_TRIES):
        spoiled = scene
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            spoiled = _change(spoiled, rng)
        if list_faults(claims, spoiled):
            return spoiled
    raise ValueError(f"no change of {scene} breaks {[str(claim) for claim in claims]}")


def _change(scene: Scene, rng: random.Random) -> Scene:
    items = list(scene.items)
    k = rng.randrange(len(items))
    if items[k].kind == "text":
        items[k] = _misspell(items[k], rng)
        return replace(scene, items=tuple(items))
    change = rng.choice(("color", "kind", "remove", "add", "move", "swap", "swap colors"))
    j = rng.randrange(len(items))
    if change == "color":
        items[k] = replace(items[k], color=rng.choice(list(COLORS)))
    elif change == "kind":
        items[k] = replace(items[k], kind=rng.choice(list(SHAPES)))
    elif change == "remove" and len(items) > 1:
        del items[k]
    elif change == "swap colors":
        items[k], items[j] = replace(items[k], color=items[j].color), replace(items[j], color=items[k].color)
    elif change == "swap" and items[k].x2 - items[k].x1 == items[j].x2 - items[j].x1:
        items[k], items[j] = _move_to(items[k], items[j]), _move_to(items[j], items[k])
    elif change in ("add", "move"):
        items = _place_anew(items, k, rng, keep=change == "add")
    return replace(scene, items=tuple(items))


def _move_to(item: Item, place: Item) -> Item:
    return replace(item, x1=place.x1, y1=place.y1, x2=place.x2, y2=place.y2)


def _place_anew(items: list[Item], k: int, rng: random.Random, *, keep: bool) -> list[Item]:
    """Move item k, or with `keep` add a similar one, to a free position; without one, return the items unchanged."""
    rest = items if keep else items[:k] + items[k + 1 :]
    free = [
        (x, y)
        for y in range(GRID - 1)
        for x in range(GRID - 1)
        if all(x >= other.x2 or x + 2 <= other.x1 or y >= other.y2 or y + 2 <= other.y1 for other in rest)
    ]
    if not free:
        return items
    x, y = rng.choice(free)
    moved = replace(items[k], x1=x, y1=y, x2=x + 2, y2=y + 2)
    if not keep:
        return [*items[:k], moved, *items[k + 1 :]]
    kind = moved.kind if rng.random() < 0.6 else rng.choice(list(SHAPES))
    return [*items, replace(moved, kind=kind)]


def _misspell(item: Item, rng: random.Random) -> Item:
    letters = list(item.word)
    k = rng.randrange(len(letters))
    change = rng.choice(("replace", "replace", "swap", "drop"))
    if change == "replace":
        letters[k] = rng.choice(_LETTERS)
    elif change == "swap" and k + 1 < len(letters):
        letters[k], letters[k + 1] = letters[k + 1], letters[k]
    elif change == "drop" and len(letters) > 1:
        del letters[k]
    return replace(item, word="".join(letters), x2=item.x1 + len(letters))


STYLES = ("short caption", "dense caption", "question", "user request", "paraphrase", "JSON brief")
"""Names of the styles in instructions."""
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
    """Return the claims as a random text in a style. Raises KeyError for an unknown style."""
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
    """Return a scene's objects in order, each with its running number within its kind, colour and position.

    `bottle one pink A1, cup one red E3, bottle two pink A5`: the last of a kind has their number. Words stay as they
    are.
    """
    parts, seen = [], Counter[str]()
    for item in scene.items:
        seen[item.kind] += 1
        named = f"{item.kind} {number_word(seen[item.kind])} {item.color} {place_of(item)}"
        parts.append(f'"{item.word}"' if item.kind == "text" else named)
    return ", ".join(parts)


def place_of(item: Item) -> str:
    """Return the centre of an item in half cells: a letter across, a number down, `A1` to `I9`."""
    return f"{string.ascii_uppercase[item.x1 + item.x2 - 2]}{item.y1 + item.y2 - 1}"


def _state(claims: Sequence[Claim], rng: random.Random, *, free: bool) -> str:
    """Return one phrase that states every claim; `free` allows freer wording."""
    for claim in claims:
        if claim.kind == "text":
            carrier = rng.choice(("a sign", "a poster", "a card", "a label", "a board"))
            verb = rng.choice(("that says", "that reads", "with the text", "with the word"))
            return f'{carrier} {verb} "{claim.value}"'
    colors = {claim.subject: str(claim.value) for claim in claims if claim.kind == "attribute"}
    things = {c.subject: _name_thing(c.subject, int(c.value), colors, rng, free) for c in claims if c.kind == "count"}
    for claim in claims:
        if claim.kind == "relation":
            return _relate(claim, things, rng)
    *first, last = things.values()
    if free and len(things) == 2 and rng.random() < 0.4:
        return f"{last} and {first[0]}"
    return f"{', '.join(first)} and {last}" if first else last


def _name_thing(kind: str, n: int, colors: dict[str, str], rng: random.Random, free: bool) -> str:
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
