"""Choice of the samples that a page shows with words and pictures, made before any picture is read.

The choice depends on the content of a run alone: prompts stay whole, every skill keeps its share up to a common level,
and within a skill the prompts whose ids have the smallest hashes stay. The order of the samples does not matter.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

CARDS = 10_000
"""Largest number of samples that a page shows with words and pictures."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The prompts that a page shows: `samples` of the `seen` samples of a run.

    `places` maps the hash of each prompt's id to its place in [0, 1) in a fixed order that is even over skills. Where
    there is room for half of the prompts, those below 0.5 are taken.
    """

    seen: int
    samples: int
    places: dict[int, float] = field(default_factory=dict)

    def place(self, prompt_id: str) -> float | None:
        """Return the place of a prompt, or None if it is not shown."""
        return self.places.get(_hash(prompt_id))


def select(keys: Iterable[tuple[str, str]], most: int = CARDS) -> Selection:
    """Choose whole prompts with at most `most` samples in total; one prompt is always chosen.

    `keys` holds prompt id and skill of every sample; samples of one prompt follow each other. Uses 20 bytes a prompt.
    """
    import numpy as np

    hashes, skills, sizes = array("Q"), array("l"), array("i")
    names: dict[str, int] = {}
    last = None
    for prompt_id, skill in keys:
        if prompt_id == last:
            sizes[-1] += 1
            continue
        last = prompt_id
        hashes.append(_hash(prompt_id))
        skills.append(names.setdefault(skill, len(names)))
        sizes.append(1)
    if not hashes:
        return Selection(0, 0)
    rank_of_skill = np.argsort(np.argsort(list(names)))  # by name, so that the order of arrival does not matter
    skill, size = (
        rank_of_skill[np.frombuffer(skills, dtype=f"i{skills.itemsize}")],
        np.frombuffer(sizes, dtype=np.int32),
    )
    order = np.lexsort((np.frombuffer(hashes, dtype=np.uint64), skill))
    skill, size = skill[order], size[order]
    before = np.cumsum(size) - size  # samples of the prompts before; next, of those in the same skill
    first = np.flatnonzero(np.diff(skill, prepend=-1))
    before -= np.repeat(before[first], np.diff(first, append=len(skill)))
    turns = np.lexsort((skill, before))  # the next prompt comes from the skill with the fewest samples so far
    totals = np.cumsum(size[turns])
    count = max(1, int(np.searchsorted(totals, most, side="right")))
    chosen = np.frombuffer(hashes, dtype=np.uint64)[order[turns[:count]]].tolist()
    places = {key: place / count for place, key in enumerate(chosen)}
    return Selection(int(totals[-1]), int(totals[count - 1]), places)


def _hash(prompt_id: str) -> int:
    return int.from_bytes(blake2b(prompt_id.encode("utf-8", "replace"), digest_size=8).digest())
