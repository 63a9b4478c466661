"""What a list of prompts covers of the skills that it was sampled from: levels, values of slots, wordings.

    counting/one_kind  24 prompts  easy 8, medium 8, hard 8  object 12 of 12  n 4 of 5, without 6  wordings 9 of 9

Try `datagen studio`. Not covered: combinations of values, of which a plan has few; `count_distinct` tells how many
exist.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from datagen.records import Prompt
from datagen.taxonomy import Distinct, Skill, Taxonomy, Word, count_distinct

MOST_COUNTED = 20_000
"""Combinations that are counted one by one; beyond, the number of distinct points is a lower bound."""


@dataclass(frozen=True, slots=True)
class SlotCoverage:
    """Of one slot: how many values it can have over all levels, and which of them no prompt has, in its order."""

    name: str
    values: int
    missing: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SkillCoverage:
    """Of one skill: its prompts by level, its slots, how many of its wordings occur, and its distinct points."""

    path: str
    title: str
    levels: dict[str, int]
    slots: tuple[SlotCoverage, ...]
    wordings: int
    wordings_used: int
    distinct: Distinct

    @property
    def prompts(self) -> int:
        """The number of its prompts."""
        return sum(self.levels.values())


def cover(taxonomy: Taxonomy, prompts: Iterable[Prompt]) -> list[SkillCoverage]:
    """Return the coverage of each skill of a taxonomy by prompts sampled from it, in its order.

    Raises ConfigError as `count_distinct` does.
    """
    by_path: dict[str, list[Prompt]] = {skill.path: [] for skill in taxonomy.skills}
    for prompt in prompts:
        by_path[prompt.path].append(prompt)
    return [_cover_skill(skill, by_path[skill.path]) for skill in taxonomy.skills]


def _cover_skill(skill: Skill, prompts: list[Prompt]) -> SkillCoverage:
    levels = Counter(prompt.level for prompt in prompts)
    slots = []
    for name in skill.levels[0].choices:
        choices = [value for level in skill.levels for value in level.choices[name]]
        values = dict.fromkeys(value.name if isinstance(value, Word) else value for value in choices)
        seen = {prompt.slots[name] for prompt in prompts}
        slots.append(SlotCoverage(name, len(values), tuple(value for value in values if value not in seen)))
    return SkillCoverage(
        path=skill.path,
        title=skill.title,
        levels={level.name: levels[level.name] for level in skill.levels},
        slots=tuple(slots),
        wordings=len(skill.wordings),
        wordings_used=len({prompt.template for prompt in prompts}),
        distinct=count_distinct(skill, MOST_COUNTED),
    )
