"""Prompts that exist: the rows of a source, in its order, through the same sieves as prompts from templates.

Left out and counted: rows without words, control tokens, benchmark prompts, personal data and listed words if the
recipe screens, and for prompts without pictures those of the same words as one before. See docs/datasets.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from datagen.prompts.templated import Blocked, PromptStats, Screening, SeenTexts, SkillStats, holds_token
from datagen.records import Prompt
from datagen.sources import PromptRows, is_with_pictures
from datagen.sources.rows import RowCounts


def plan_given(
    rows: PromptRows,
    count: int,
    blocked: Blocked | None = None,
    stats: PromptStats | None = None,
    screen: Screening | None = None,
) -> Iterator[Prompt]:
    """Yield at most `count` prompts of a source, in order; `stats` is updated on the way.

    Raises ConfigError naming the row whose words or claims cannot be read.
    """
    stats = stats if stats is not None else PromptStats()
    stats.rows = counts = RowCounts()
    seen = SeenTexts()
    kept = 0
    for prompt in rows.prompts(counts):
        if kept >= count:
            return
        mine = stats.skills.setdefault(prompt.path, SkillStats())
        mine.drawn += 1
        if not is_with_pictures(prompt) and not seen.add(prompt.text):
            mine.duplicates += 1
        elif holds_token(prompt):
            mine.screened["control token"] += 1
        elif blocked is not None and blocked.match(prompt.text) is not None:
            mine.contaminated += 1
        elif screen is not None and (breach := screen.find(prompt.text)) is not None:
            mine.screened[breach.kind] += 1
        else:
            kept += 1
            mine.asked += 1
            mine.kept += 1
            yield prompt
