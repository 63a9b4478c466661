"""True scenes for training: random layouts of a prompt's claims on the canvas of `datagen.embedded.pictograms`.

Training uses it, and `datagen bench model`, to find the best possible score; generation never calls it.

Not covered: depth, since nothing here overlaps, and facts.
"""

from __future__ import annotations

import itertools
import operator
import random
from collections.abc import Iterable, Mapping, Sequence

from datagen.embedded.pictograms import BACKGROUNDS, COLORS, GRID, SHAPES, Item, Scene
from datagen.records import Claim

_CONTRAST = 60.0
_TEXT_COLORS = ("black", "white", "blue", "red", "purple")
_TRIES = 200
_MOST = 6
"""Most objects on a canvas if the claims leave their number open."""
_ORDERS = {"more than": operator.gt, "fewer than": operator.lt, "as many as": operator.eq}
_SHOWN = frozenset({"count", "part", "attribute", "relation", "comparison", "text"})
"""Kinds of claim that this world can show."""

_Box = tuple[int, int, int, int]
_Relation = tuple[str, str, str]


def _luma(rgb: tuple[int, int, int]) -> float:
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def readable_backgrounds(color: str) -> list[str]:
    """Return the backgrounds on which a word of that colour is readable (luma at least 60 of 255 apart)."""
    return [name for name, rgb in BACKGROUNDS.items() if abs(_luma(rgb) - _luma(COLORS[color])) >= _CONTRAST]


def _overlaps(x: int, y: int, w: int, h: int, boxes: Iterable[tuple[int, int, int, int]]) -> bool:
    return any(x < bx2 and bx1 < x + w and y < by2 and by1 < y + h for bx1, by1, bx2, by2 in boxes)


def _place(sizes: Sequence[tuple[int, int]], rng: random.Random) -> list[tuple[int, int, int, int]] | None:
    """Place boxes (w, h) on the grid without overlap, each uniformly among free positions; None if one has none."""
    boxes: list[tuple[int, int, int, int]] = []
    for w, h in sizes:
        free = [(x, y) for y in range(GRID - h + 1) for x in range(GRID - w + 1) if not _overlaps(x, y, w, h, boxes)]
        if not free:
            return None
        x, y = rng.choice(free)
        boxes.append((x, y, x + w, y + h))
    return boxes


def holds(relation: str, a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    """Tell whether box `a` has a GenEval relation to box `b`, without overlap on the axis of the relation."""
    if relation == "left of":
        return a[2] <= b[0] and abs((a[1] + a[3]) - (b[1] + b[3])) <= (b[0] + b[2]) - (a[0] + a[2])
    if relation == "right of":
        return holds("left of", b, a)
    if relation == "above":
        return a[3] <= b[1] and abs((a[0] + a[2]) - (b[0] + b[2])) <= (b[1] + b[3]) - (a[1] + a[3])
    if relation == "below":
        return holds("above", b, a)
    raise ValueError(f"unknown relation {relation!r}")


def _word_scene(word: str, rng: random.Random) -> Scene:
    color = rng.choice(_TEXT_COLORS)
    x, y = rng.randint(0, GRID - len(word)), rng.randint(0, GRID - 2)
    item = Item("text", color, x, y, x + len(word), y + 2, word)
    return Scene(rng.choice(readable_backgrounds(color)), (item,))


def lay_out(claims: Sequence[Claim], rng: random.Random) -> Scene:
    """Return a random scene that satisfies every claim and contains nothing else.

    Its items are in the order of the claims, those of one kind in reading order. Raises ValueError when the claims name
    something unknown or do not fit the canvas.
    """
    words = [str(claim.value) for claim in claims if claim.kind == "text"]
    if words:
        if len(words) > 1 or not 1 <= len(words[0]) <= GRID or not words[0].isalpha() or not words[0].isupper():
            raise ValueError(f"the canvas holds one word of 1 to {GRID} capital letters, not {words!r}")
        return _word_scene(words[0], rng)
    counts = _settle_counts(claims, rng)
    named = {claim.subject: str(claim.value) for claim in claims if claim.kind == "attribute"}
    relations = [(claim.subject, claim.name, str(claim.value)) for claim in claims if claim.kind == "relation"]
    parts = [claim for claim in claims if claim.kind == "part"]
    colors = [*named.values(), *(part.name for part in parts)]
    unknown = [kind for kind in counts if kind not in SHAPES] + [color for color in colors if color not in COLORS]
    unknown += [f"{a} to relate" for a, _, b in relations if not counts.get(a) or not counts.get(b)]
    unknown += sorted({claim.kind for claim in claims} - _SHOWN)
    if unknown or not any(counts.values()):
        raise ValueError(f"the world of pictograms has no {unknown or 'empty scene'}")
    shared = {kind: _share_colors(kind, counts[kind], parts, rng) for kind in {part.subject: 0 for part in parts}}
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    for _ in range(_TRIES):
        sizes = [(s, s) for s in (_side(len(kinds), rng) for _ in kinds)]
        # One relation holds by chance soon enough; several need placing with regard to each other.
        boxes = _place(sizes, rng) if len(relations) < 2 else _place_related(kinds, sizes, relations, rng)
        if boxes is not None and _all_hold(relations, list(zip(kinds, boxes, strict=True))):
            rest = {kind: iter(tones) for kind, tones in shared.items()}
            items = [
                _item(kind, box, {kind: next(rest[kind])} if kind in rest else named, rng)
                for kind, box in zip(kinds, boxes, strict=True)
            ]
            items.sort(key=lambda item: (kinds.index(item.kind), item.y1, item.x1))
            return Scene(rng.choice(list(BACKGROUNDS)), tuple(items))
    raise ValueError(f"{len(kinds)} things do not fit a canvas of {GRID} x {GRID} cells")


def _settle_counts(claims: Sequence[Claim], rng: random.Random) -> dict[str, int]:
    """Return the number of each object, in the order of the claims; comparisons leave some open, which are sampled."""
    known = {claim.subject: int(claim.value) for claim in claims if claim.kind == "count"}
    compared = [claim for claim in claims if claim.kind == "comparison"]
    if not compared:
        return known
    names = dict.fromkeys(name for claim in compared for name in claim.things)
    open_names = [name for name in names if name not in known]
    drawn = []
    for numbers in itertools.product(range(1, _MOST), repeat=len(open_names)):
        counts = known | dict(zip(open_names, numbers, strict=True))
        if sum(counts.values()) <= _MOST and all(
            min(counts[c.subject], counts[str(c.value)]) > 0
            and _ORDERS[c.name](counts[c.subject], counts[str(c.value)])
            for c in compared
        ):
            drawn.append(counts)
    if not drawn:
        raise ValueError(f"no {_MOST} things compare as {', '.join(map(str, compared))}")
    return rng.choice(drawn)


def _share_colors(kind: str, count: int, parts: Sequence[Claim], rng: random.Random) -> list[str]:
    """Return a colour for each object of a kind: each claimed colour as often as claimed, the rest in other colours."""
    wanted = {part.name: int(part.value) for part in parts if part.subject == kind}
    colors = [color for color, many in wanted.items() for _ in range(many)]
    if len(colors) > count:
        raise ValueError(f"{len(colors)} of {count} {kind} cannot be told apart by colour")
    others = [color for color in COLORS if color not in wanted]
    colors += [rng.choice(others) for _ in range(count - len(colors))]
    rng.shuffle(colors)
    return colors


def _all_hold(relations: Sequence[_Relation], placed: Sequence[tuple[str, _Box]]) -> bool:
    """Tell whether all placed objects satisfy the relations between their kinds."""
    return all(
        holds(relation, one, other)
        for a, relation, b in relations
        for kind, one in placed
        if kind == a
        for its, other in placed
        if its == b and one is not other
    )


def _place_related(
    kinds: Sequence[str], sizes: Sequence[tuple[int, int]], relations: Sequence[_Relation], rng: random.Random
) -> list[_Box] | None:
    """Place boxes in random order, each uniformly among positions that satisfy its relations to earlier ones."""
    placed: dict[int, _Box] = {}
    for k in rng.sample(range(len(kinds)), len(kinds)):
        w, h = sizes[k]
        before = [(kinds[j], box) for j, box in placed.items()]
        spots = [(x, y, x + w, y + h) for y in range(GRID - h + 1) for x in range(GRID - w + 1)]
        free = [
            spot
            for spot in spots
            if not _overlaps(spot[0], spot[1], w, h, placed.values())
            and _all_hold(relations, [*before, (kinds[k], spot)])
        ]
        if not free:
            return None
        placed[k] = rng.choice(free)
    return [placed[k] for k in range(len(kinds))]


def _side(total: int, rng: random.Random) -> int:
    return 3 if total <= 2 and rng.random() < 0.5 else 2


def _item(kind: str, box: tuple[int, int, int, int], named: Mapping[str, str], rng: random.Random) -> Item:
    color = named.get(kind) or rng.choice(list(COLORS))
    return Item(kind, color, *box)


def random_scene(rng: random.Random) -> Scene:
    """Return a crowded scene of random content, for training the image tokenizer."""
    if rng.random() < 0.25:
        color = rng.choice(_TEXT_COLORS)
        items = []
        for y in rng.sample((0, 2, 4), rng.randint(1, 3)):
            length = rng.randint(1, GRID)
            word = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(length))
            x = rng.randint(0, GRID - length)
            items.append(Item("text", color, x, y, x + length, y + 2, word))
        return Scene(rng.choice(readable_backgrounds(color)), tuple(items))
    boxes: list[tuple[int, int, int, int]] = []
    for _ in range(rng.randint(3, 9)):
        side = 3 if rng.random() < 0.6 else 2
        x, y = rng.randint(0, GRID - side), rng.randint(0, GRID - side)
        if not _overlaps(x, y, side, side, boxes):
            boxes.append((x, y, x + side, y + side))
    items = [_item(rng.choice(list(SHAPES)), box, {}, rng) for box in boxes]
    return Scene(rng.choice(list(BACKGROUNDS)), tuple(items))
