"""What the gallery shows of one sample, and which samples it embeds when there are too many for one page.

The choice depends on the content alone: prompts stay whole, every skill keeps its share up to a common level, and
within a skill the prompts with the smallest ids (hashes of their content) stay. Order of arrival does not matter.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from datagen.records import Prompt, Sample, Score

EMBED_LIMIT = 2000
"""Samples that the gallery embeds at most."""
EMBED_LIMIT_BYTES = 64 * 1024 * 1024
"""Bytes of images that the gallery embeds at most, before base64."""


@dataclass(frozen=True, slots=True)
class ReportItem:
    """One sample with all that was found out about it.

    Rewards are in [0, 1], or None where nothing could be scored; weights are >= 0. `passed` says whether every claim
    holds, None if that could not be judged. `kept` is False for a sample that training leaves out, and `weight_reason`
    says why in a person's words. `rounds` and `round_verdicts` hold the image reward and the verdict after each image
    of a reflection, and are empty for a sample with one image.
    """

    prompt: Prompt
    sample: Sample
    scores: tuple[Score, ...]
    text_weight: float | None
    image_weight: float | None
    text_reward: float | None
    image_reward: float | None
    passed: bool | None
    kept: bool = True
    weight_reason: str = ""
    rounds: tuple[float | None, ...] = ()
    round_verdicts: tuple[bool | None, ...] = ()

    @property
    def verdict(self) -> str:
        """`pass`, `fail`, or `unjudged`."""
        return {True: "pass", False: "fail", None: "unjudged"}[self.passed]


@dataclass(slots=True)
class Subset:
    """The prompts that fit one page, chosen while the samples stream by; memory stays within the limits.

    Above `limit` samples or `limit_bytes` of images, the skill with the most embedded samples gives up its prompt with
    the largest id, and so on until the rest fits. One prompt always stays, however large.
    """

    limit: int = EMBED_LIMIT
    limit_bytes: int = EMBED_LIMIT_BYTES
    seen: int = 0
    embedded: int = 0
    _bytes: int = 0
    _groups: dict[str, list[ReportItem]] = field(default_factory=dict)
    _order: dict[str, int] = field(default_factory=dict)
    _heaps: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    _per_skill: dict[str, int] = field(default_factory=dict)
    _dropped: set[str] = field(default_factory=set)

    def add(self, item: ReportItem) -> None:
        """Take one sample in, and let others go if the page is full."""
        self.seen += 1
        key, skill = item.prompt.id, item.prompt.path
        if key in self._dropped:
            return
        if key not in self._groups:
            self._order[key] = len(self._order)
            self._groups[key] = []
            heapq.heappush(self._heaps.setdefault(skill, []), (-_rank(key), key))
        self._groups[key].append(item)
        self._count(item, 1)
        while len(self._groups) > 1 and (self.embedded > self.limit or self._bytes > self.limit_bytes):
            self._drop_one()

    def groups(self) -> Iterator[list[ReportItem]]:
        """Yield the embedded samples prompt by prompt, in the order of the run, candidates in order."""
        for key in sorted(self._groups, key=self._order.__getitem__):
            yield sorted(self._groups[key], key=lambda item: item.sample.candidate)

    def _count(self, item: ReportItem, sign: int) -> None:
        self.embedded += sign
        self._bytes += sign * sum(len(segment.image) for segment in item.sample.segments)
        self._per_skill[item.prompt.path] = self._per_skill.get(item.prompt.path, 0) + sign

    def _drop_one(self) -> None:
        skill = max(self._per_skill, key=lambda name: (self._per_skill[name], name))
        _, key = heapq.heappop(self._heaps[skill])
        for item in self._groups.pop(key):
            self._count(item, -1)
        self._dropped.add(key)


def _rank(key: str) -> int:
    return int.from_bytes(key.encode()[:16].ljust(16, b"\0"))
