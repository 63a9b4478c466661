"""Cases whose truth is known: a true scene for each prompt, and the same scene broken in each way that fits it.

    one more, one fewer    a claimed thing is there once too often, or once too seldom
    missing                no instance of a claimed thing is there
    colour                 a claimed thing has another colour
    relation               two things have changed places
    letter                 one letter of the word is another
    order                  of two things compared, the one that should be more is fewer; or they are no longer as many

What a model draws and no cell holds comes as well:

    moved                  each thing stands anywhere in its box, not on the grid, and has another size; all still holds
    moved to the border    the same, but as near to the border as it goes
    one more, off the grid one of a claimed kind more, of 24 px and more, anywhere
    one more, small        of 16 to 23 px
    one more, cut          by the border: between 35 and 65 % of its ink is on the canvas
    one more, touching     its ink meets that of one of its kind
    one more, overlapping  a tenth to a third of its square lies over one of its kind
    two colours            half of a claimed thing is in another colour; whether it is one thing is open
    partly rubbed out      of a claimed thing 40 to 65 % of the ink are left: it is not there

Everything but the one change stays where it was. What is true of a scene follows from the scene alone.

Marks are things of any size, where there is room for them, or where they touch, overlap or are cut. A place is the
pixel of a mark's upper left corner. Of all places those are found at once that suit, by counting for each how much of
the mark's ink would fall on other ink, and one is drawn at random."""

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
"""Name of the way in which a true scene is broken: not at all."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TRIES = 30
"""Scenes drawn until one is found in which every claim holds."""
_Break = Callable[[Prompt, Scene, random.Random], Scene | None]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Thing:
    """What stands in a scene: its kind, its colour (`""` for several), its box in pixels, and whether it is whole.

    None for `whole` says that it is open to dispute whether it is one thing.
    """

    kind: str
    color: str
    box: Box
    whole: bool | None = True


@dataclass(frozen=True, slots=True)
class Case:
    """A scene for a prompt: how it was broken, and whether each claim holds (None where that is open to dispute)."""

    prompt: Prompt
    scene: Scene
    change: str
    truth: dict[Claim, bool | None]

    def as_sample(self) -> Sample:
        """Return the drawn scene as a sample with one image."""
        segments = (Segment("image", "image", image=encode_png(render_scene(self.scene))),)
        return Sample(f"{self.prompt.id}-00", self.prompt.id, 0, 0, "direct", "scene", "none", "stop", segments)


def make_cases(prompts: Sequence[Prompt], seed: int) -> Iterator[Case]:
    """Yield the cases of each prompt that the embedded world can lay out: the true scene first, then the broken ones.

    A case is a pure function of (`seed`, prompt id). Prompts that the world cannot lay out are passed over.
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
    """Say whether a claim holds in a scene; None where that is open.

    It is for a relation between things of which there are too many, and for numbers of a thing in two colours. A colour
    has to be that of every instance, as the claims of these prompts give numbers; no instance, no colour.
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
    """Return what there is of a kind; of what is rubbed out in part there is nothing, of what is cut there is."""
    items = [_Thing(item.kind, item.color, _box(item)) for item in scene.items if item.kind == kind]
    marks = [
        _Thing(mark.kind, "" if mark.other else mark.color, _square(mark), None if mark.other else True)
        for mark in scene.marks
        if mark.kind == kind and mark.left >= 1
    ]
    return items + marks


def list_boxes(scene: Scene) -> list[tuple[str, Box]]:
    """Return the kind (`text` for a word) and the box in pixels of all that is drawn."""
    return [(item.kind, _box(item)) for item in scene.items] + [(mark.kind, _square(mark)) for mark in scene.marks]


def _box(item: Item) -> Box:
    return CELL_PX * item.x1, CELL_PX * item.y1, CELL_PX * item.x2, CELL_PX * item.y2


def _square(mark: Mark) -> Box:
    """Return the square of a mark with its margin, in pixels, which may reach beyond the canvas."""
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
    """Place all things anew, in other sizes, until every claim holds."""
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
    """Return one of the things of a kind whose number is claimed, as a mark."""
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
    """Add one like a claimed thing where it suits: it is given to `suits` with that thing and all the others."""
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
    """Put a changed one in the place of a thing whose number is claimed."""
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
"""Every way in which a case is made."""


_SIZES_TRIED = 20
"""Sizes that are tried where there is no room for one."""
GAP_PX = 2
"""Empty pixels between things that are apart."""
Suits = Callable[[Mark], np.ndarray]
"""Which places suit a mark: (IMAGE_PX + side - 1, IMAGE_PX + side - 1) bool, from (1 - side, 1 - side) on."""


def to_mark(item: Item) -> Mark:
    """Return a thing in cells as a mark, which looks the same."""
    side = CELL_PX * (item.x2 - item.x1) - 2 * MARGIN_PX
    return Mark(item.kind, item.color, CELL_PX * item.x1 + MARGIN_PX, CELL_PX * item.y1 + MARGIN_PX, side)


@lru_cache(maxsize=256)
def _get_ink(kind: str, side: int) -> np.ndarray:
    ink: np.ndarray = shape_mask(kind, side) >= 0.5
    return ink


def find_ink(marks: Iterable[Mark], grown_px: int = 0) -> np.ndarray:
    """Return which pixels of the canvas (IMAGE_PX, IMAGE_PX) bool marks ink at least to a half, or come so near to."""
    from scipy import ndimage

    off = IMAGE_PX
    around = np.zeros((3 * off, 3 * off), bool)
    for mark in marks:
        x, y, side = mark.x_px + off, mark.y_px + off, mark.side_px
        around[y : y + side, x : x + side] |= mark_mask(mark) >= 0.5
    canvas = around[off:-off, off:-off]
    return ndimage.maximum_filter(canvas, 2 * grown_px + 1) if grown_px else canvas


def _count_shared(ink: np.ndarray, mark: Mark) -> np.ndarray:
    """Return for each place how many pixels of a mark's ink fall on ink of the canvas."""
    from scipy import signal

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
    """Return for each place whether a mark stands apart from others."""
    apart: np.ndarray = _count_shared(find_ink(others, GAP_PX), mark) == 0
    return apart


def touches(other: Mark, mark: Mark) -> np.ndarray:
    """Return for each place whether a mark's ink is next to that of another, and not over it."""
    meets: np.ndarray = (_count_shared(find_ink([other]), mark) == 0) & (_count_shared(find_ink([other], 1), mark) > 0)
    return meets


def overlaps(other: Mark, mark: Mark, least: float, most: float) -> np.ndarray:
    """Return for each place whether such a share of a mark's square lies over another's."""
    places = np.arange(1 - mark.side_px, IMAGE_PX)
    across, down = (
        np.clip(np.minimum(places + mark.side_px, at + other.side_px) - np.maximum(places, at), 0, None)
        for at in (other.x_px, other.y_px)
    )
    share = down[:, None] * across[None] / mark.side_px**2
    within: np.ndarray = (share >= least) & (share <= most)
    return within


def place(old: Mark, rng: random.Random, sides: tuple[int, int], suits: Suits) -> Mark | None:
    """Return a mark of another size at one of the places that suit it; None where none of the sizes tried has one."""
    for _ in range(_SIZES_TRIED):
        side = rng.randint(*sides)
        mark = replace(old, side_px=side)
        rows, columns = np.nonzero(suits(mark))
        if len(rows):
            k = rng.randrange(len(rows))
            return replace(mark, x_px=int(columns[k]) + 1 - side, y_px=int(rows[k]) + 1 - side)
    return None


def place_apart(old: Mark, others: Sequence[Mark], rng: random.Random, sides: tuple[int, int]) -> Mark | None:
    """Return a mark of another size anywhere on the canvas, apart from others."""
    return place(old, rng, sides, lambda mark: (share_on_canvas(mark) == 1) & is_apart(others, mark))


def push_to_border(mark: Mark, others: Sequence[Mark], rng: random.Random) -> Mark:
    """Move a mark towards a border until its ink reaches that, or something else is in its way."""
    fits = (share_on_canvas(mark) == 1) & is_apart(others, mark)
    dx, dy = rng.choice(((-1, 0), (1, 0), (0, -1), (0, 1)))
    x, y = mark.x_px + mark.side_px - 1, mark.y_px + mark.side_px - 1
    while fits[y + dy, x + dx]:
        x, y = x + dx, y + dy
    return replace(mark, x_px=x + 1 - mark.side_px, y_px=y + 1 - mark.side_px)
