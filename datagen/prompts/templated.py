"""Prompts from templates: item i of a skill depends only on (seed, skill path, i), and a plan is a stream of them.

`sample_prompt` makes one prompt; `plan_prompts` divides a plan among skills by share and replaces duplicates and
refused prompts by the next index. Memory is 11 to 21 bytes for each prompt seen. Try `datagen preview`; measured by
`python benchmarks/prompts.py`. Not covered: rewriting by a language model."""

from __future__ import annotations

import heapq
import itertools
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from datagen.control_tokens import find_token
from datagen.prompts.contamination import normalize
from datagen.prompts.keeps import Breach
from datagen.records import Prompt
from datagen.sources.rows import MOST_PICTURES, RowCounts
from datagen.taxonomy.lexicon import Word
from datagen.taxonomy.load import Taxonomy
from datagen.taxonomy.space import Skill, deal_point

PATIENCE = 2000
"""A skill counts as exhausted after this many prompts in a row that are not new, or at the end of its space."""


class Screening(Protocol):
    """A filter that refuses texts with a kind and a reason, such as `datagen.prompts.screen.Screen`."""

    def find(self, text: str) -> Breach | None:
        """Return why the text is refused, or None if it may stay."""


class Blocked(Protocol):
    """A filter that refuses prompts with a reason, such as `datagen.prompts.contamination.Contamination`."""

    def match(self, text: str) -> str | None:
        """Return why the text is refused, or None if it may stay."""


@dataclass(slots=True)
class SkillStats:
    """Counts of one skill: `drawn` (sampled) = `kept` + all refused prompts; `kept` < `asked` when exhausted.

    `screened` counts prompts refused for their words, by kind: control tokens always, others if the recipe screens.
    """

    asked: int = 0
    kept: int = 0
    drawn: int = 0
    duplicates: int = 0
    contaminated: int = 0
    screened: Counter[str] = field(default_factory=Counter)

    @property
    def short(self) -> int:
        """The number of missing prompts."""
        return self.asked - self.kept


@dataclass(slots=True)
class PromptStats:
    """Counts of a plan, updated while it is sampled; `skills` are by taxonomy path, `rows` those of a source."""

    skills: dict[str, SkillStats] = field(default_factory=dict)
    rows: RowCounts = field(default_factory=RowCounts)

    def total(self, name: str) -> int:
        """Sum one count (`asked`, `kept`, `drawn`, `duplicates`, `contaminated`, `short`) over all skills."""
        return sum(int(getattr(stats, name)) for stats in self.skills.values())

    @property
    def drawn(self) -> int:
        """The number of sampled prompts, kept or not."""
        return self.total("drawn")

    @property
    def kept(self) -> int:
        """The number of prompts in the plan."""
        return self.total("kept")

    @property
    def duplicates(self) -> int:
        """The number of prompts dropped as duplicates, regardless of case, spaces and punctuation."""
        return self.total("duplicates")

    @property
    def contaminated(self) -> int:
        """The number of prompts refused because a benchmark has them."""
        return self.total("contaminated")

    @property
    def screened(self) -> Counter[str]:
        """The number of prompts refused for control tokens, personal data or listed words, by kind."""
        return sum((stats.screened for stats in self.skills.values()), Counter[str]())

    def notes(self) -> list[str]:
        """Return one line for each skill with too few prompts, and one for screened prompts."""
        lines = [
            f"{path}: {stats.kept} of {stats.asked} prompts, it has no more new ones "
            f"({stats.duplicates} duplicates, {stats.contaminated} contaminated); add words or wordings"
            for path, stats in self.skills.items()
            if stats.short
        ]
        if self.rows.blank:
            lines.append(f"{self.rows.blank:,} of {self.rows.rows:,} rows have no prompt and are left out")
        if self.rows.beyond:
            lines.append(f"{self.rows.beyond:,} rows are left out: their prompts have {MOST_PICTURES} pictures already")
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.screened.most_common())
        return [*lines, f"prompts refused by the screen: {kinds}"] if kinds else lines


def sample_prompt(skill: Skill, index: int, seed: int) -> Prompt:
    """Return prompt number `index` of a skill; it depends on the seed, but on no other prompt.

    Levels take turns. Raises ConfigError when a template or a constraint fails.
    """
    level, point, wording = deal_point(skill, index, seed)
    return Prompt.make(
        wording.render(point),
        tuple([claim.fill(point) for claim in skill.claims]),
        weakness=skill.weakness,
        skill=skill.name,
        level=level.name,
        index=index,
        seed=seed,
        template=wording.label,
        slots={name: value.name if isinstance(value, Word) else value for name, value in point.items()},
    )


def plan_prompts(
    taxonomy: Taxonomy,
    count: int,
    seed: int,
    blocked: Blocked | None = None,
    stats: PromptStats | None = None,
    shares: Mapping[str, float] | None = None,
    screen: Screening | None = None,
) -> Iterator[Prompt]:
    """Yield `count` distinct prompts, ordered so that every beginning of the plan keeps the shares.

    Weaknesses have equal parts, skills their `share` within their weakness, and levels take turns; with `shares`, each
    level has its own part, by a path such as `counting/one_kind/hard`. A skill or level without new prompts leaves its
    places empty: the plan is then shorter, and `stats` (updated on the way) says where and by how many. Raises
    ConfigError when a template or a constraint fails.
    """
    stats = stats if stats is not None else PromptStats()
    seen = SeenTexts()
    sources: dict[str, Iterator[Prompt]] = {}
    for skill in taxonomy.skills:
        every = len(skill.levels)
        indexes = {skill.path: range(skill.size)}
        if shares is not None:
            indexes = {
                # Index i of a skill has level i mod the number of levels: one level is every n-th index.
                f"{skill.path}/{level.name}": range(k, skill.size, every)
                for k, level in enumerate(skill.levels)
            }
        for path, some in indexes.items():
            counts = stats.skills[path] = SkillStats()
            sources[path] = _fresh_prompts(skill, some, seed, blocked, seen, counts, screen)
    for path in itertools.islice(_deal(share_out(taxonomy) if shares is None else shares), count):
        stats.skills[path].asked += 1
        prompt = next(sources[path], None)
        if prompt is not None:
            yield prompt


def preview(taxonomy: Taxonomy, per_skill: int, seed: int) -> list[Prompt]:
    """Return the first `per_skill` distinct prompts of every skill, or all if it has fewer."""
    found: list[Prompt] = []
    for skill in taxonomy.skills:
        fresh = _fresh_prompts(skill, range(skill.size), seed, None, SeenTexts(), SkillStats())
        found += itertools.islice(fresh, per_skill)
    return found


def _fresh_prompts(
    skill: Skill,
    indexes: range,
    seed: int,
    blocked: Blocked | None,
    seen: SeenTexts,
    stats: SkillStats,
    screen: Screening | None = None,
) -> Iterator[Prompt]:
    """Yield the prompts of a skill in the order of `indexes`, without refused ones, until it is exhausted."""
    misses = 0
    for index in indexes:
        prompt = sample_prompt(skill, index, seed)
        stats.drawn += 1
        misses += 1
        if not seen.add(prompt.text):
            stats.duplicates += 1
        elif holds_token(prompt):
            stats.screened["control token"] += 1
        elif blocked is not None and blocked.match(prompt.text) is not None:
            stats.contaminated += 1
        elif screen is not None and (breach := screen.find(prompt.text)) is not None:
            stats.screened[breach.kind] += 1
        else:
            misses = 0
            stats.kept += 1
            yield prompt
        if misses >= PATIENCE:
            return


def holds_token(prompt: Prompt) -> bool:
    """Return whether the text or the claims of a prompt contain a control token, possibly made of several words."""
    claimed = (text for claim in prompt.claims for text in (claim.subject, str(claim.value)))
    return any(find_token(text) for text in (prompt.text, *claimed))


def share_out(taxonomy: Taxonomy) -> dict[str, float]:
    """Return the taxonomy's own part for each skill, by path: each weakness has 1, divided among its skills."""
    totals: dict[str, float] = {}
    for skill in taxonomy.skills:
        totals[skill.weakness] = totals.get(skill.weakness, 0.0) + skill.share
    return {skill.path: skill.share / totals[skill.weakness] for skill in taxonomy.skills}


def count_places(shares: Mapping[str, float], count: int) -> dict[str, int]:
    """Return how many of `count` prompts a plan asks of each path, in the order of `shares`; they sum to `count`."""
    dealt = Counter(itertools.islice(_deal(shares), count))
    return {path: dealt[path] for path in shares}


def _deal(shares: Mapping[str, float]) -> Iterator[str]:
    """Yield paths endlessly, as often as their shares say and evenly spread; a share of 0 never."""
    paths = [path for path, share in shares.items() if share]
    parts = [shares[path] for path in paths]
    # The j-th prompt of a path is due at (j + 1/2) / share: every count is always within one of its exact share.
    due = [(0.5 / part, place) for place, part in enumerate(parts)]
    turns = [0] * len(parts)
    heapq.heapify(due)
    while True:
        place = due[0][1]
        turns[place] += 1
        heapq.heapreplace(due, ((turns[place] + 0.5) / parts[place], place))
        yield paths[place]


class SeenTexts:
    """A set of normalised texts as 64-bit hashes, 11 to 21 bytes each: open addressing, at most three quarters full.

    The probability that any two of n different texts share a hash is about n^2 / 2^65: 3e-8 for a million.
    """

    def __init__(self) -> None:
        # Many small tables instead of one: while one grows, only that one is in memory twice.
        self._tables = [_Table() for _ in range(_Table.COUNT)]

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables)

    def add(self, text: str) -> bool:
        """Add a text and return whether it is new, regardless of case, spaces and punctuation."""
        digest = blake2b(normalize(text).encode(), digest_size=8).digest()
        # 0 marks an empty slot.
        key = int.from_bytes(digest, "little") or 1
        return self._tables[key % _Table.COUNT].add(key)


class _Table:
    """A set of integers in [1, 2^64) with the same remainder by `COUNT`."""

    COUNT = 64

    def __init__(self) -> None:
        self._count = 0
        self._slots = array("Q", bytes(8 * 16))

    def __len__(self) -> int:
        return self._count

    def add(self, key: int) -> bool:
        """Add a number and return whether it is new."""
        if not self._put(self._slots, key):
            return False
        self._count += 1
        if 4 * self._count > 3 * len(self._slots):
            larger = array("Q", bytes(2 * self._slots.itemsize * len(self._slots)))
            for each in self._slots:
                if each:
                    self._put(larger, each)
            self._slots = larger
        return True

    @classmethod
    def _put(cls, slots: array[int], key: int) -> bool:
        mask = len(slots) - 1
        # Linear probing: the number of slots is a power of two.
        place = key // cls.COUNT & mask
        while slots[place]:
            if slots[place] == key:
                return False
            place = (place + 1) & mask
        slots[place] = key
        return True
