"""What a person chooses about weights (`Policy`), what goes in (`RewardRow`) and what comes out (`Weight`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datagen.records import Record

PolicyName = Literal["rwr", "softmax", "advantage", "rank", "best", "threshold", "uniform"]
Scope = Literal["weakness", "run", "group", "none"]
Joint = Literal["genmean", "mean", "product", "min", "text", "image"]


class Policy(BaseModel):
    """How rewards become weights.

    With r the reward of a sample, and n, mean, std over the scored samples of its group (its prompt's candidates):

    | policy | weight before normalisation | source |
    |---|---|---|
    | `rwr` | exp(r / beta) | reward-weighted regression, Peters and Schaal, ICML 2007 |
    | `softmax` | n * exp(r / beta) / sum over the group of exp(r / beta) | `rwr` with each group's mean taken out |
    | `advantage` | max(0, (r - mean) / (std + 1e-4)), std with n - 1 | GRPO's advantage as in T2I-R1, positive part |
    | `rank` | 2 * rank / (n + 1), rank 1 the worst, ties share their mean rank | linear ranking selection, Baker 1985 |
    | `best` | 1 / (number tied at the top) for the best of the group, else 0 | best of N |
    | `threshold` | 1 if r >= `threshold`, else 0 | rejection sampling |
    | `uniform` | 1 | plain fine-tuning |

    Then `normalize` scales the kept weights (those the formula does not set to 0) to mean 1 over the scope, and `clip`
    bounds them. Both hold at once: the scale c solves mean(clip(c * w)) = 1. Weights of 0 are never lifted by `clip`.

    Two things weigh 0 under every policy. A sample that one of the scorers of its reward should have judged and could
    not has no reward (`unjudged: drop`; with `keep` the other scorers decide). And a sample whose whole group has
    reward 0 fails all that was asked, and no other candidate shows how it is done: there is nothing to learn, however
    equal they are. `uniform` looks at no reward, and keeps those.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    policy: PolicyName = Field(default="rwr", description="the formula")
    beta: float = Field(default=0.25, ge=0.01, description="temperature of `rwr` and `softmax`: smaller means greedier")
    threshold: float = Field(default=0.5, ge=0, le=1, description="the least reward that `threshold` keeps")
    clip: tuple[float, float] | None = Field(default=(0.0, 10.0), description="bounds of a kept weight, null for none")
    normalize: Scope = Field(default="weakness", description="kept weights have mean 1 over this scope")
    modalities: Literal["separate", "shared"] = Field(
        default="separate", description="`separate`: each by its own reward; `shared`: one weight for both"
    )
    joint: Joint = Field(default="genmean", description="the reward of `shared`; an absent part is left out")
    unjudged: Literal["drop", "keep"] = Field(
        default="drop", description="what a sample weighs that a scorer should have judged and could not: `drop`, 0"
    )
    drop_equal: bool = Field(default=False, description="drop groups of two or more whose rewards are all equal")

    @model_validator(mode="after")
    def _check_clip(self) -> Self:
        if self.clip is None:
            return self
        low, high = self.clip
        if not 0 <= low <= high or high == 0:
            raise ValueError(f"clip [{low:g}, {high:g}] must be [low, high] with 0 <= low <= high and high > 0")
        if self.normalize != "none" and not low <= 1 <= high:
            raise ValueError(f"clip [{low:g}, {high:g}] must hold 1, the mean that `normalize: {self.normalize}` makes")
        return self


@dataclass(frozen=True, slots=True)
class RewardRow:
    """The aggregated rewards of one sample, each in [0, 1] or None where nothing could be scored.

    `group` names the candidates that are compared with each other: the prompt id. `text_gap` and `image_gap` say what
    should have been judged for a reward and was not, so that there is none. `passed` is the strict verdict on the
    image.
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


@dataclass(frozen=True, slots=True)
class Weight(Record):
    """What training multiplies the loss by, per modality (>= 0), and why.

    `kept` is False when both weights are 0. `reason` speaks for both: `text: unscored; image: weighted`.
    """

    sample_id: str
    text_weight: float
    image_weight: float
    kept: bool
    reason: str


def receipt_of(row: RewardRow, policy: Policy, reason: str) -> dict[str, Any]:
    """Return how a weight came about, as plain JSON values: raw rewards, policy with all parameters, reason."""
    parameters = policy.model_dump(mode="json")
    return {"rewards": {"text": row.text, "image": row.image}, "policy": parameters, "reason": reason}


def is_reward(value: float | None) -> bool:
    """Tell whether a value can be a reward: None, or finite and in [0, 1]."""
    return value is None or (math.isfinite(value) and 0 <= value <= 1)
