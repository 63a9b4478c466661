"""Cases whose truth is known: a true scene for each prompt, and the same scene broken in every possible way.

    one more, one fewer    one object more or less than claimed
    missing                all instances of a claimed object are gone
    colour                 a claimed object has another colour
    relation               two objects have swapped places
    letter                 one letter of the word is wrong
    order                  a comparison of two numbers is reversed, or equal numbers differ

Objects off the grid, as in the images of models:

    moved                  every object has another place and size, off the grid; all claims still hold
    moved to the border    the same, but as near to the border as possible
    one more, off the grid another object of a claimed kind, of 24 px or more, anywhere
    one more, small        of 16 to 23 px
    one more, cut          by the border: 35 to 65 % of its ink is on the canvas
    one more, touching     its ink touches that of an object of its kind
    one more, overlapping  a tenth to a third of its square overlaps an object of its kind
    two colours            half of a claimed object has another colour; whether it is one object is open
    partly rubbed out      40 to 65 % of a claimed object's ink is left: it counts as absent

Everything except the one change stays the same. The truth of a claim depends only on the scene.

A mark is an object of any size and place, which may touch or overlap others or be cut off. A place is the pixel of its
upper left corner. All suitable places are found at once, by counting for each how much of the mark's ink would fall on
other ink, and one is chosen at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from datagen.embedded.pictograms import (
    CELL_PX,
    COLORS,
    GRID,
    IMAGE_PX,
    MARGIN_PX,
    Item,
    Mark,
    Scene,
    mark_mask,
    render_scene,
    shape_mask,
)
from datagen.embedded.world import lay_out
from datagen.pictures import encode_png
from datagen.records import Claim, Prompt, Sample, Segment, seed_of
from datagen.taxonomy.english import holds_order
from datagen.vision.geometry import find_relations

TRUE = "true"
"""Name of the change of a true scene, which is none."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TRIES = 30
"""Attempts to find a scene in which every claim holds."""
_Break = Callable[[Prompt, Scene, random.Random], Scene | None]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Thing:
    """An object in a scene: its kind, its colour (`""` for several), its box in pixels, and whether it is whole.

    `whole` is None if it is open whether it is one object.
    """

    kind: str
    color: str
    box: Box
    whole: bool | None = True


@dataclass(frozen=True, slots=True)
class Case:
    """A scene for a prompt: how it was changed, and whether each claim holds (None if that is open)."""

    prompt: Prompt
    scene: Scene
    change: str
    truth: dict[Claim, bool | None]

    def as_sample(self) -> Sample:
        """Render the scene as a sample with one image."""
        segments = (Segment("image", "image", image=encode_png(render_scene(self.scene))),)
        return Sample(f"{self.prompt.id}-00", self.prompt.id, 0, 0, "direct", "scene", "none", "stop", segments)


def make_cases(prompts: Sequence[Prompt], seed: int) -> Iterator[Case]:
    """Yield the cases of each prompt that the embedded world can render: the true scene, then the broken ones.

    A case depends only on (`seed`, prompt id). Prompts that the world cannot render are skipped.
    """
    for prompt in prompts:
        rng = random.Random(seed_of(seed, prompt.id))
        try:
            scene = lay_out(prompt.claims, rng)
        except ValueError:
            continue
        yield _make_case(prompt, scene, TRUE)
        for change, spoil in _BREAKS.items():
            broken = spoil(prompt, scene, rng)
            if broken is not None:
                yield _make_case(prompt, broken, change)


def _make_case(prompt: Prompt, scene: Scene, change: str) -> Case:
    return Case(prompt, scene, change, {claim: is_true(claim, prompt.claims, scene) for claim in prompt.claims})


def is_true(claim: Claim, claims: Sequence[Claim], scene: Scene) -> bool | None:
    """Return whether a claim holds in a scene; None if that is open.

    Open are relations between objects in wrong numbers, and numbers of an object in two colours. A colour must be that
    of every instance, since the claims of these prompts give numbers; without an instance the claim is false.
    """
    if claim.kind == "text":
        return [item.word for item in scene.items if item.word] == [claim.value]
    ours = _find(scene, claim.subject)
    unsure = any(thing.whole is None for thing in ours)
    if claim.kind == "count":
        return None if unsure else len(ours) == claim.value
    if claim.kind == "attribute":
        return bool(ours) and all(thing.color == claim.value for thing in ours)
    if claim.kind == "part":
        return None if unsure else sum(thing.color == claim.name for thing in ours) == claim.value
    others = _find(scene, str(claim.value))
    if unsure or any(thing.whole is None for thing in others):
        return None
    if claim.kind == "comparison":
        return holds_order(claim.name, len(ours), len(others))
    wanted = {each.subject: each.value for each in claims if each.kind == "count"}
    if not ours or not others:
        return False
    if len(ours) != wanted.get(claim.subject, 1) or len(others) != wanted.get(str(claim.value), 1):
        return None
    return all(claim.name in find_relations(a.box, b.box) for a in ours for b in others)


def _find(scene: Scene, kind: str) -> list[_Thing]:
    """Return the objects of a kind: cut ones count, partly rubbed out ones do not."""
    items = [_Thing(item.kind, item.color, _box(item)) for item in scene.items if item.kind == kind]
    marks = [
        _Thing(mark.kind, "" if mark.other else mark.color, _square(mark), None if mark.other else True)
        for mark in scene.marks
        if mark.kind == kind and mark.left >= 1
    ]
    return items + marks


def list_boxes(scene: Scene) -> list[tuple[str, Box]]:
    """Return the kind (`text` for a word) and the box in pixels of everything in a scene."""
    return [(item.kind, _box(item)) for item in scene.items] + [(mark.kind, _square(mark)) for mark in scene.marks]


def _box(item: Item) -> Box:
    return CELL_PX * item.x1, CELL_PX * item.y1, CELL_PX * item.x2, CELL_PX * item.y2


def _square(mark: Mark) -> Box:
    """Return the square of a mark with its margin, in pixels; it may extend beyond the canvas."""
    x, y, side = mark.x_px, mark.y_px, mark.side_px
    return x - MARGIN_PX, y - MARGIN_PX, x + side + MARGIN_PX, y + side + MARGIN_PX


def _one_of(prompt: Prompt, kind: str, rng: random.Random) -> Claim | None:
    claims = [claim for claim in prompt.claims if claim.kind == kind]
    return rng.choice(claims) if claims else None


def _items(scene: Scene, kind: str) -> list[Item]:
    return [item for item in scene.items if item.kind == kind]


def _add_one(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    claim = _one_of(prompt, "count", rng)
    ours = _items(scene, claim.subject) if claim else []
    free = [
        (x, y)
        for y in range(GRID - 1)
        for x in range(GRID - 1)
        if all(x >= i.x2 or x + 2 <= i.x1 or y >= i.y2 or y + 2 <= i.y1 for i in scene.items)
    ]
    if not ours or not free:
        return None
    x, y = rng.choice(free)
    return replace(scene, items=(*scene.items, replace(ours[0], x1=x, y1=y, x2=x + 2, y2=y + 2)))


def _drop_one(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    claim = _one_of(prompt, "count", rng)
    ours = _items(scene, claim.subject) if claim else []
    if len(ours) < 2:
        return None
    gone = rng.choice(ours)
    return replace(scene, items=tuple(item for item in scene.items if item != gone))


def _drop_all(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    claim = _one_of(prompt, "count", rng)
    rest = tuple(item for item in scene.items if claim is None or item.kind != claim.subject)
    return replace(scene, items=rest) if rest and len(rest) < len(scene.items) else None


def _recolor(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    claim = _one_of(prompt, "attribute", rng)
    if claim is None:
        return None
    one = rng.choice(_items(scene, claim.subject))
    tone = rng.choice([name for name in COLORS if name != one.color])
    return replace(scene, items=tuple(replace(item, color=tone) if item == one else item for item in scene.items))


def _flip(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    claim = _one_of(prompt, "relation", rng)
    if claim is None:
        return None
    one, other = _items(scene, claim.subject)[0], _items(scene, str(claim.value))[0]
    swapped = {
        one: replace(other, kind=one.kind, color=one.color),
        other: replace(one, kind=other.kind, color=other.color),
    }
    return replace(scene, items=tuple(swapped.get(item, item) for item in scene.items))


def _misspell(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    if _one_of(prompt, "text", rng) is None:
        return None
    (item,) = scene.items
    k = rng.randrange(len(item.word))
    letter = rng.choice([other for other in _LETTERS if other != item.word[k]])
    return replace(scene, items=(replace(item, word=item.word[:k] + letter + item.word[k + 1 :]),))


def _turn_order(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    claim = _one_of(prompt, "comparison", rng)
    if claim is None:
        return None
    kinds = {claim.subject: str(claim.value), str(claim.value): claim.subject}
    if claim.name in ("more than", "fewer than"):
        items = (replace(item, kind=kinds.get(item.kind, item.kind)) for item in scene.items)
        return replace(scene, items=tuple(items))
    gone = rng.choice(_items(scene, claim.subject))
    alone = len(_items(scene, claim.subject)) == 1
    return None if alone else replace(scene, items=tuple(item for item in scene.items if item != gone))


def _move(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    return _place_anew(prompt, scene, rng, border=False)


def _move_to_border(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    return _place_anew(prompt, scene, rng, border=True)


def _place_anew(prompt: Prompt, scene: Scene, rng: random.Random, *, border: bool) -> Scene | None:
    """Give all objects new places and sizes, until every claim holds."""
    if any(item.word for item in scene.items):
        return None
    most = 60 if len(scene.items) < 4 else 36
    for _ in range(_TRIES):
        marks: list[Mark] = []
        for item in scene.items:
            mark = place_apart(to_mark(item), marks, rng, (24, most))
            if mark is None:
                break
            marks.append(push_to_border(mark, marks, rng) if border else mark)
        moved = replace(scene, items=(), marks=tuple(marks))
        if len(marks) == len(scene.items) and all(is_true(c, prompt.claims, moved) for c in prompt.claims):
            return moved
    return None


def _claimed(prompt: Prompt, scene: Scene, rng: random.Random) -> Mark | None:
    """Return an object of a kind whose number is claimed, as a mark."""
    claim = _one_of(prompt, "count", rng)
    ours = _items(scene, claim.subject) if claim else []
    return to_mark(rng.choice(ours)) if ours else None


def _add_mark(
    prompt: Prompt,
    scene: Scene,
    rng: random.Random,
    sides: tuple[int, int],
    suits: Callable[[Mark, Mark, Sequence[Mark]], np.ndarray],
) -> Scene | None:
    """Add a copy of a claimed object at a suitable place; `suits` gets the copy, the object and all others."""
    old = _claimed(prompt, scene, rng)
    if old is None:
        return None
    others = [mark for mark in map(to_mark, scene.items) if mark != old]
    new = place(old, rng, sides, lambda mark: suits(mark, old, others))
    return replace(scene, marks=(new,)) if new else None


def _is_free(mark: Mark, old: Mark, others: Sequence[Mark]) -> np.ndarray:
    suits: np.ndarray = (share_on_canvas(mark) == 1) & is_apart([old, *others], mark)
    return suits


def _add_off_grid(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    return _add_mark(prompt, scene, rng, (24, 60), _is_free)


def _add_small(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    return _add_mark(prompt, scene, rng, (16, 23), _is_free)


def _add_cut(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    def is_cut(mark: Mark, old: Mark, others: Sequence[Mark]) -> np.ndarray:
        share = share_on_canvas(mark)
        suits: np.ndarray = (share >= 0.35) & (share <= 0.65) & is_apart([old, *others], mark)
        return suits

    return _add_mark(prompt, scene, rng, (24, 60), is_cut)


def _add_touching(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    def meets(mark: Mark, old: Mark, others: Sequence[Mark]) -> np.ndarray:
        suits: np.ndarray = (share_on_canvas(mark) == 1) & is_apart(others, mark) & touches(old, mark)
        return suits

    return _add_mark(prompt, scene, rng, (16, 44), meets)


def _add_overlapping(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    def is_over(mark: Mark, old: Mark, others: Sequence[Mark]) -> np.ndarray:
        suits: np.ndarray = (share_on_canvas(mark) == 1) & is_apart(others, mark) & overlaps(old, mark, 0.1, 1 / 3)
        return suits

    return _add_mark(prompt, scene, rng, (16, 44), is_over)


def _change_claimed(prompt: Prompt, scene: Scene, rng: random.Random, change: Callable[[Mark], Mark]) -> Scene | None:
    """Replace an object whose number is claimed by a changed one."""
    old = _claimed(prompt, scene, rng)
    if old is None:
        return None
    items = tuple(item for item in scene.items if to_mark(item) != old)
    return replace(scene, items=items, marks=(change(old),))


def _halve_color(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    def change(mark: Mark) -> Mark:
        other = rng.choice([name for name in COLORS if name != mark.color])
        return replace(mark, other=other, turn=rng.randrange(4))

    return _change_claimed(prompt, scene, rng, change)


def _rub_out(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    return _change_claimed(
        prompt, scene, rng, lambda mark: replace(mark, left=rng.uniform(0.4, 0.65), turn=rng.randrange(4))
    )


_BREAKS: dict[str, _Break] = {
    "one more": _add_one,
    "one fewer": _drop_one,
    "missing": _drop_all,
    "colour": _recolor,
    "relation": _flip,
    "letter": _misspell,
    "order": _turn_order,
    "moved": _move,
    "moved to the border": _move_to_border,
    "one more, off the grid": _add_off_grid,
    "one more, small": _add_small,
    "one more, cut": _add_cut,
    "one more, touching": _add_touching,
    "one more, overlapping": _add_overlapping,
    "two colours": _halve_color,
    "partly rubbed out": _rub_out,
}
CHANGES = (TRUE, *_BREAKS)
"""All kinds of cases."""


_SIZES_TRIED = 20
"""Attempts with other sizes if there is no suitable place."""
GAP_PX = 2
"""Empty pixels between separate objects."""
Suits = Callable[[Mark], np.ndarray]
"""Suitable places of a mark: (IMAGE_PX + side - 1, IMAGE_PX + side - 1) bool, from (1 - side, 1 - side) on."""


def to_mark(item: Item) -> Mark:
    """Convert an object on the grid to a mark that looks the same."""
    side = CELL_PX * (item.x2 - item.x1) - 2 * MARGIN_PX
    return Mark(item.kind, item.color, CELL_PX * item.x1 + MARGIN_PX, CELL_PX * item.y1 + MARGIN_PX, side)


@lru_cache(maxsize=256)
def _get_ink(kind: str, side: int) -> np.ndarray:
    ink: np.ndarray = shape_mask(kind, side) >= 0.5
    return ink


def find_ink(marks: Iterable[Mark], grown_px: int = 0) -> np.ndarray:
    """Return the pixels (IMAGE_PX, IMAGE_PX) bool that marks cover at least half, grown by `grown_px`."""
    from scipy import ndimage

    # A canvas of three times the size, so that marks beyond the border need no special case.
    off = IMAGE_PX
    around = np.zeros((3 * off, 3 * off), bool)
    for mark in marks:
        x, y, side = mark.x_px + off, mark.y_px + off, mark.side_px
        around[y : y + side, x : x + side] |= mark_mask(mark) >= 0.5
    canvas = around[off:-off, off:-off]
    return ndimage.maximum_filter(canvas, 2 * grown_px + 1) if grown_px else canvas


def _count_shared(ink: np.ndarray, mark: Mark) -> np.ndarray:
    """Return for each place how many pixels of a mark's ink would fall on ink of the canvas."""
    from scipy import signal

    # Convolution with the flipped shape is a correlation, and counts the overlap at every place at once.
    shape = _get_ink(mark.kind, mark.side_px)[::-1, ::-1]
    shared: np.ndarray = np.rint(signal.fftconvolve(ink.astype(np.float32), shape.astype(np.float32)))
    return shared


def share_on_canvas(mark: Mark) -> np.ndarray:
    """Return for each place the share of a mark's ink that is on the canvas."""
    share: np.ndarray = (
        _count_shared(np.ones((IMAGE_PX, IMAGE_PX), bool), mark) / _get_ink(mark.kind, mark.side_px).sum()
    )
    return share


def is_apart(others: Sequence[Mark], mark: Mark) -> np.ndarray:
    """Return for each place whether a mark is separate from others."""
    apart: np.ndarray = _count_shared(find_ink(others, GAP_PX), mark) == 0
    return apart


def touches(other: Mark, mark: Mark) -> np.ndarray:
    """Return for each place whether a mark's ink touches that of another mark without overlapping it."""
    meets: np.ndarray = (_count_shared(find_ink([other]), mark) == 0) & (_count_shared(find_ink([other], 1), mark) > 0)
    return meets


def overlaps(other: Mark, mark: Mark, least: float, most: float) -> np.ndarray:
    """Return for each place whether `least` to `most` of a mark's square overlaps that of another mark."""
    # The overlap of two squares is the product of their overlaps along both axes.
    places = np.arange(1 - mark.side_px, IMAGE_PX)
    across, down = (
        np.clip(np.minimum(places + mark.side_px, at + other.side_px) - np.maximum(places, at), 0, None)
        for at in (other.x_px, other.y_px)
    )
    share = down[:, None] * across[None] / mark.side_px**2
    within: np.ndarray = (share >= least) & (share <= most)
    return within


def place(old: Mark, rng: random.Random, sides: tuple[int, int], suits: Suits) -> Mark | None:
    """Return a mark with a random size at a random suitable place; None if no size that was tried has one."""
    for _ in range(_SIZES_TRIED):
        side = rng.randint(*sides)
        mark = replace(old, side_px=side)
        rows, columns = np.nonzero(suits(mark))
        if len(rows):
            k = rng.randrange(len(rows))
            return replace(mark, x_px=int(columns[k]) + 1 - side, y_px=int(rows[k]) + 1 - side)
    return None


def place_apart(old: Mark, others: Sequence[Mark], rng: random.Random, sides: tuple[int, int]) -> Mark | None:
    """Return a mark with a random size anywhere on the canvas, separate from others."""
    return place(old, rng, sides, lambda mark: (share_on_canvas(mark) == 1) & is_apart(others, mark))


def push_to_border(mark: Mark, others: Sequence[Mark], rng: random.Random) -> Mark:
    """Move a mark towards a border until its ink reaches it or another mark is in the way."""
    fits = (share_on_canvas(mark) == 1) & is_apart(others, mark)
    dx, dy = rng.choice(((-1, 0), (1, 0), (0, -1), (0, 1)))
    x, y = mark.x_px + mark.side_px - 1, mark.y_px + mark.side_px - 1
    # Ends at the border at the latest: beyond it the mark is not completely on the canvas.
    while fits[y + dy, x + dx]:
        x, y = x + dx, y + dy
    return replace(mark, x_px=x + 1 - mark.side_px, y_px=y + 1 - mark.side_px)
