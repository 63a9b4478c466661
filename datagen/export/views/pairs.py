"""Pairs of a better and a worse answer to one prompt, with the difference of their rewards as margin: preferences.

For DPO (arXiv 2305.18290) and its kin. Both answers are complete, thought and image, and all their parts have weight 1;
only `margin` has the value of a pair. `parts` begins with the prompt, `rejected` has the answer only. Losers take part,
whatever their weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.export.examples import Example, Row, facts_of, group_rows
from datagen.export.grades import reward_of, whole_parts
from datagen.expressions import EQUAL

NEEDS_CANDIDATES = 2
NEEDS = "two candidates of one prompt with different rewards"


class Options(BaseModel):
    """The candidates of a pair."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    reward: str = Field("image", min_length=1, description="`image`, `text`, or a scorer of the run")
    pairs: Literal["best", "all"] = Field("best", description="the best and the worst of a prompt, or every two")
    min_margin: float = Field(0.0, ge=0, le=1, description="least difference of rewards; equal ones never pair")


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield the pairs of each prompt; of equal rewards the earlier candidate comes first. Raises RunError."""
    for group in group_rows(rows):
        graded = [(reward, row) for row in group if (reward := reward_of(row, options.reward)) is not None]
        graded.sort(key=lambda each: -each[0])
        every = list(combinations(graded, 2))
        for (better, chosen), (worse, rejected) in every if options.pairs == "all" else _find_widest(graded):
            margin = better - worse
            if margin > EQUAL and margin >= options.min_margin - EQUAL:
                yield _pair(chosen, rejected, better, worse)


def _find_widest(graded: list[tuple[float, Row]]) -> list[tuple[tuple[float, Row], tuple[float, Row]]]:
    return [(graded[0], graded[-1])] if len(graded) > 1 else []


def _pair(chosen: Row, rejected: Row, better: float, worse: float) -> Example:
    facts: dict[str, Any] = {
        **facts_of(chosen),
        "margin": better - worse,
        "chosen_reward": better,
        "rejected_reward": worse,
        "chosen_id": chosen["id"],
        "rejected_id": rejected["id"],
    }
    name = f"{chosen['id']}-over-{rejected['candidate']:02d}"
    return Example(name, "pair", chosen["group_id"], whole_parts(chosen), whole_parts(rejected)[1:], facts)
