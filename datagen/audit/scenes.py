"""Cases whose truth is known: a true scene for each prompt, and the same scene broken in each way that fits it.

    one more, one fewer    a claimed thing is there once too often, or once too seldom
    missing                no instance of a claimed thing is there
    colour                 a claimed thing has another colour
    relation               two things have changed places
    letter                 one letter of the word is another
    order                  of two things compared, the one that should be more is fewer; or they are no longer as many

Everything but the one change stays where it was. What is true of a scene follows from the scene alone.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from datagen.backends.embedded.world import lay_out
from datagen.pictograms import COLORS, GRID, Item, Scene, draw_scene
from datagen.records import Claim, Prompt, Sample, Segment, seed_of
from datagen.rewards._orders import holds_order
from datagen.rewards._relations import find_relations

TRUE = "true"
"""Name of the way in which a true scene is broken: not at all."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_Break = Callable[[Prompt, Scene, random.Random], Scene | None]


@dataclass(frozen=True, slots=True)
class Case:
    """A scene for a prompt: how it was broken, and whether each claim holds (None where that is open to dispute)."""

    prompt: Prompt
    scene: Scene
    change: str
    truth: dict[Claim, bool | None]

    def as_sample(self) -> Sample:
        """Return the drawn scene as a sample with one image."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(draw_scene(self.scene)).save(buffer, "PNG")
        segments = (Segment("image", "image", image=buffer.getvalue()),)
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
    """Say whether a claim holds in a scene; None for a relation between things of which there are too many.

    A colour has to be that of every instance, as the claims of these prompts give numbers; no instance, no colour.
    """
    if claim.kind == "text":
        return [item.word for item in scene.items if item.word] == [claim.value]
    ours = _find(scene, claim.subject)
    if claim.kind == "count":
        return len(ours) == claim.value
    if claim.kind == "attribute":
        return bool(ours) and all(item.color == claim.value for item in ours)
    if claim.kind == "part":
        return sum(item.color == claim.name for item in ours) == claim.value
    others = _find(scene, str(claim.value))
    if claim.kind == "comparison":
        return holds_order(claim.name, len(ours), len(others))
    wanted = {each.subject: each.value for each in claims if each.kind == "count"}
    if not ours or not others:
        return False
    if len(ours) != wanted.get(claim.subject, 1) or len(others) != wanted.get(str(claim.value), 1):
        return None
    return all(claim.name in find_relations(_box(a), _box(b)) for a in ours for b in others)


def _find(scene: Scene, kind: str) -> list[Item]:
    return [item for item in scene.items if item.kind == kind]


def _box(item: Item) -> tuple[int, int, int, int]:
    return item.x1, item.y1, item.x2, item.y2


def _one_of(prompt: Prompt, kind: str, rng: random.Random) -> Claim | None:
    claims = [claim for claim in prompt.claims if claim.kind == kind]
    return rng.choice(claims) if claims else None


def _add_one(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    claim = _one_of(prompt, "count", rng)
    ours = _find(scene, claim.subject) if claim else []
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
    ours = _find(scene, claim.subject) if claim else []
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
    one = rng.choice(_find(scene, claim.subject))
    tone = rng.choice([name for name in COLORS if name != one.color])
    return replace(scene, items=tuple(replace(item, color=tone) if item == one else item for item in scene.items))


def _flip(prompt: Prompt, scene: Scene, rng: random.Random) -> Scene | None:
    claim = _one_of(prompt, "relation", rng)
    if claim is None:
        return None
    one, other = _find(scene, claim.subject)[0], _find(scene, str(claim.value))[0]
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
    gone = rng.choice(_find(scene, claim.subject))
    alone = len(_find(scene, claim.subject)) == 1
    return None if alone else replace(scene, items=tuple(item for item in scene.items if item != gone))


_BREAKS: dict[str, _Break] = {
    "one more": _add_one,
    "one fewer": _drop_one,
    "missing": _drop_all,
    "colour": _recolor,
    "relation": _flip,
    "letter": _misspell,
    "order": _turn_order,
}
CHANGES = (TRUE, *_BREAKS)
"""Every way in which a case is made."""
