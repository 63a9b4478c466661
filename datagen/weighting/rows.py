"""Input (`RewardRow`) and output (`Weight`) of weighing, with receipts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from datagen.config import Policy
from datagen.records import Record


@dataclass(frozen=True, slots=True)
class RewardRow:
    """The aggregated rewards of one sample, each in [0, 1] or None if nothing could be scored.

    `group` identifies the candidates that are compared: the prompt id. `text_gap` and `image_gap` say what should have
    been judged but was not, so that the reward is missing. `passed` is the strict verdict on the image. With `join:
    before` the advantages are the rewards whose scorers were normalised in the group before they were joined.
    `misjudged`, in [-1, 1], is P(yes) by which the model itself says that the image shows the prompt, minus 1 if it
    passed: above 0 it believes what is wrong, below 0 it doubts what is right; None if it was not asked.
    """

    sample_id: str
    group: str
    weakness: str
    skill: str
    text: float | None
    image: float | None
    text_gap: str = ""
    image_gap: str = ""
    passed: bool | None = None
    text_advantage: float | None = None
    image_advantage: float | None = None
    misjudged: float | None = None


@dataclass(frozen=True, slots=True)
class Weight(Record):
    """The factors of the training loss per modality (>= 0), and the reason.

    `kept` is False when both weights are 0. `reason` covers both: `text: unscored; image: weighted`. `left_out` says
    why the sample takes part in nothing, `""` if it does: its reward is in no mean, rank or pair either.
    """

    sample_id: str
    text_weight: float
    image_weight: float
    kept: bool
    reason: str
    left_out: str = ""


def receipt_of(row: RewardRow, policy: Policy, reason: str) -> dict[str, Any]:
    """Return how a weight was computed, as plain JSON values: raw rewards, policy with all parameters, reason."""
    parameters = policy.model_dump(mode="json")
    return {"rewards": {"text": row.text, "image": row.image}, "policy": parameters, "reason": reason}


def is_reward(value: float | None) -> bool:
    """Return whether a value can be a reward: None, or finite and in [0, 1]."""
    return value is None or (math.isfinite(value) and 0 <= value <= 1)
