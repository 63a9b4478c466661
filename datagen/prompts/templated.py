"""Prompts from templates: item i of a skill is a pure function of (seed, skill path, i), a plan is a stream of them.

`sample_prompt` makes one prompt; `plan_prompts` deals them out by share, drops what was said before or stands in a
benchmark, and draws the next index in its place. Memory is flat but for 16 to 32 bytes for each prompt that was seen.
See it: `datagen preview`; measure it: `python benchmarks/prompts.py`. Not covered: rewriting by a language model."""

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
from datagen.taxonomy.lexicon import Word
from datagen.taxonomy.load import Taxonomy
from datagen.taxonomy.space import Skill, deal_point

PATIENCE = 2000
"""Draws in a row without a new prompt after which a skill counts as exhausted, if all its space has not come before."""


class Screening(Protocol):
    """Says why a text must not be used, with its kind, or None; `datagen.prompts.screen.Screen` does."""

    def find(self, text: str) -> Breach | None:
        """Return why the text is refused, or None if it may stay."""


class Blocked(Protocol):
    """Says why a prompt must not be used, or None; `datagen.prompts.contamination.Contamination` does."""

    def match(self, text: str) -> str | None:
        """Return why the text is refused, or None if it may stay."""


@dataclass(slots=True)
class SkillStats:
    """What became of one skill: `drawn` = `kept` + all that was refused; `kept` < `asked` when exhausted.

    `screened` counts what was refused for its words, by kind: control tokens always, the rest where it is asked for.
    """

    asked: int = 0
    kept: int = 0
    drawn: int = 0
    duplicates: int = 0
    contaminated: int = 0
    screened: Counter[str] = field(default_factory=Counter)

    @property
    def short(self) -> int:
        """How many prompts are missing."""
        return self.asked - self.kept


@dataclass(slots=True)
class PromptStats:
    """Counts of a plan, filled while it is drawn; `skills` are by taxonomy path."""

    skills: dict[str, SkillStats] = field(default_factory=dict)

    def total(self, name: str) -> int:
        """Sum one count (`asked`, `kept`, `drawn`, `duplicates`, `contaminated`, `short`) over all skills."""
        return sum(int(getattr(stats, name)) for stats in self.skills.values())

    @property
    def drawn(self) -> int:
        """How many prompts were drawn, kept or not."""
        return self.total("drawn")

    @property
    def kept(self) -> int:
        """How many prompts the plan has."""
        return self.total("kept")

    @property
    def duplicates(self) -> int:
        """How many were dropped because the same words had come before, but for case, spaces and punctuation."""
        return self.total("duplicates")

    @property
    def contaminated(self) -> int:
        """How many were refused because they stand in a benchmark."""
        return self.total("contaminated")

    @property
    def screened(self) -> Counter[str]:
        """How many were refused for personal data or listed words, by kind."""
        return sum((stats.screened for stats in self.skills.values()), Counter[str]())

    def notes(self) -> list[str]:
        """Return one line for each skill that could not give all it was asked for, and one for what was screened."""
        lines = [
            f"{path}: {stats.kept} of {stats.asked} prompts, it has no more that are new "
            f"({stats.duplicates} duplicates, {stats.contaminated} contaminated); add words or wordings"
            for path, stats in self.skills.items()
            if stats.short
        ]
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.screened.most_common())
        return [*lines, f"prompts refused by the screen: {kinds}"] if kinds else lines


def sample_prompt(skill: Skill, index: int, seed: int) -> Prompt:
    """Draw prompt number `index` of a skill: the same for the same seed, whatever else is drawn.

    Levels take turns, so that each gets its part. Raises ConfigError when a template or a constraint fails.
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
    """Yield `count` prompts, each once, dealt out so that any beginning of the plan keeps the shares.

    Weaknesses have equal parts, skills their `share` within their weakness, and levels take turns; or each level of a
    skill, by its path such as `counting/one_kind/hard`, has its part of `shares`. A skill or level that has no new
    prompts left leaves its places empty: the plan is then shorter, and `stats` (filled along the way) says which and by
    how many. Raises ConfigError when a template or a constraint fails.
    """
    stats = stats if stats is not None else PromptStats()
    seen = SeenTexts()
    sources: dict[str, Iterator[Prompt]] = {}
    for skill in taxonomy.skills:
        every = len(skill.levels)
        indexes = {skill.path: range(skill.size)}
        if shares is not None:
            indexes = {
                f"{skill.path}/{level.name}": range(k, skill.size, every) for k, level in enumerate(skill.levels)
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
    """Return the first `per_skill` distinct prompts of every skill, fewer where it has no more."""
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
    """Yield the prompts of a skill in the order of `indexes`, without what is refused, until exhausted."""
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
    """Tell whether the words or the claims of a prompt hold a control token, which words can make together."""
    claimed = (text for claim in prompt.claims for text in (claim.subject, str(claim.value)))
    return any(find_token(text) for text in (prompt.text, *claimed))


def share_out(taxonomy: Taxonomy) -> dict[str, float]:
    """Return what the taxonomy itself gives each skill, by path: weaknesses 1 each, skills their part of that."""
    totals: dict[str, float] = {}
    for skill in taxonomy.skills:
        totals[skill.weakness] = totals.get(skill.weakness, 0.0) + skill.share
    return {skill.path: skill.share / totals[skill.weakness] for skill in taxonomy.skills}


def _deal(shares: Mapping[str, float]) -> Iterator[str]:
    """Yield paths for ever, each as often as its share says, spread as evenly as can be; a share of 0 never."""
    paths = [path for path, share in shares.items() if share]
    parts = [shares[path] for path in paths]
    # The j-th prompt of a path is due at (j + 1/2) / share: a fair order, and at any moment off by less than one.
    due = [(0.5 / part, place) for place, part in enumerate(parts)]
    turns = [0] * len(parts)
    heapq.heapify(due)
    while True:
        place = due[0][1]
        turns[place] += 1
        heapq.heapreplace(due, ((turns[place] + 0.5) / parts[place], place))
        yield paths[place]


class SeenTexts:
    """A set of normalised texts as 64-bit hashes in one flat table (open addressing, at most half full).

    Two different texts share a hash once in about 2^64 / n^2 sets of n: 4e-8 at a million.
    """

    def __init__(self) -> None:
        self._count = 0
        self._table = array("Q", bytes(8 * 1024))

    def __len__(self) -> int:
        return self._count

    def add(self, text: str) -> bool:
        """Add a text; return whether it is new, whatever its case, spaces and punctuation."""
        digest = blake2b(normalize(text).encode(), digest_size=8).digest()
        # 0 marks an empty place.
        if not self._put(self._table, int.from_bytes(digest, "little") or 1):
            return False
        self._count += 1
        if 2 * self._count > len(self._table):
            self._grow()
        return True

    @staticmethod
    def _put(table: array[int], key: int) -> bool:
        mask = len(table) - 1
        place = key & mask
        while table[place]:
            if table[place] == key:
                return False
            place = (place + 1) & mask
        table[place] = key
        return True

    def _grow(self) -> None:
        larger = array("Q", bytes(2 * self._table.itemsize * len(self._table)))
        for key in self._table:
            if key:
                self._put(larger, key)
        self._table = larger
