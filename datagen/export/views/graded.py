"""Complete groups with grades: every candidate of a prompt with its reward and advantage, or the prompts alone.

For reward models, and for GRPO as in T2I-R1 (arXiv 2505.00703): advantage = (reward - mean) / (std + 1e-4) over the
candidates of a prompt, std with n - 1; a group of equal rewards has 0 throughout. With `each: prompt` it is a prompt
list for training that generates by itself: prompt, claims, and the rewards of this run's model, which show how hard the
prompt is. All parts have weight 1, and all candidates take part, whatever their weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.export.examples import Example, Part, Row, facts_of, group_rows
from datagen.export.grades import reward_of, whole_parts
from datagen.expressions import EQUAL

NEEDS_CANDIDATES = 2
NEEDS_WHOLE_GROUPS = True
NEEDS = "two candidates of one prompt that have a reward"
STD_FLOOR = 1e-4


class Options(BaseModel):
    """The reward that grades, and the unit of an example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reward: str = Field("image", min_length=1, description="`image`, `text`, or a scorer of the run")
    each: Literal["candidate", "prompt"] = Field("candidate", description="unit of an example")
    drop_equal: bool = Field(False, description="omit groups of equal rewards, which teach nothing")


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield the groups of two or more graded candidates, complete and in order. Raises RunError."""
    for group in group_rows(rows):
        graded = [(row, reward) for row in group if (reward := reward_of(row, options.reward)) is not None]
        rewards = [reward for _, reward in graded]
        if len(graded) < 2 or (options.drop_equal and max(rewards) - min(rewards) <= EQUAL):
            continue
        mean = math.fsum(rewards) / len(rewards)
        if options.each == "prompt":
            yield _list_prompt(group[0], rewards, mean)
            continue
        for (row, reward), advantage in zip(graded, find_advantages(rewards, mean), strict=True):
            grades = {"reward": reward, "advantage": advantage, "group_mean": mean, "group_size": len(graded)}
            facts = {**facts_of(row), **grades, "claims": _list_claims(row), "regions": row.get("regions") or []}
            yield Example(row["id"], "graded", row["group_id"], whole_parts(row), facts=facts)


def find_advantages(rewards: Sequence[float], mean: float) -> list[float]:
    """Return the advantage of each reward in a group of at least two."""
    if max(rewards) - min(rewards) <= EQUAL:
        return [0.0] * len(rewards)
    std = math.sqrt(math.fsum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - 1))
    return [(reward - mean) / (std + STD_FLOOR) for reward in rewards]


def _list_claims(row: Row) -> list[dict[str, Any]]:
    return [dict(claim) for claim in row["claims"]]


def _list_prompt(row: Row, rewards: Sequence[float], mean: float) -> Example:
    facts: dict[str, Any] = {name: row[name] for name in ("weakness", "skill", "level")}
    facts |= {"claims": _list_claims(row), "rewards": list(rewards), "group_mean": mean, "group_size": len(rewards)}
    return Example(
        row["prompt_id"], "prompt", row["group_id"], (Part("text", "prompt", text=row["prompt"]),), (), facts
    )
