"""The diagnosis file: rates of each skill with intervals, a verdict, and a receipt of how they were measured.

People read and may edit it: `path` and `covers` say which skills a row covers. Rates have four digits. Nothing in it
depends on time or machine, so the same measurement gives the same bytes. Try `datagen diagnose`.

Verdicts depend on the intervals, not the values, so that few prompts give `unclear`. Their limits are round numbers
that were set before any measurement.

Rates are estimated over prompts: unbiased pass@k, Wilson's interval for a mean of shares, the bootstrap for a reward. A
prompt is one observation regardless of its candidates, which fail together: counting each would make intervals too
narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datagen.config import SkillPath
from datagen.documents.checking import load_model
from datagen.documents.reading import dump_yaml, read_yaml
from datagen.records import CAUSES, Cause

Verdict = Literal["solved", "learnable", "weak", "hopeless", "unclear", "graded"]
Source = Literal["probe", "run", "geneval", "t2i_compbench", "oneig", "csv"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rate(_Strict):
    """A mean over `prompts` prompts with its 95 % interval, all in [0, 1]."""

    value: Share
    low: Share
    high: Share
    prompts: int = Field(ge=1, strict=True)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value:g} is not between low and high, {self.low:g} and {self.high:g}")
        return self


class Row(_Strict):
    """The measurements of one skill or level. A rate is None if the data does not contain it."""

    path: SkillPath = Field(description="weakness, weakness/skill or weakness/skill/level")
    verdict: Verdict = Field(description="solved, learnable, weak, hopeless, unclear, or graded: only rewards known")
    why: str = Field("", description="the verdict in words")
    prompts: int = Field(ge=1, strict=True, description="prompts with at least one judged sample")
    samples: int = Field(ge=1, strict=True, description="judged samples")
    unjudged: int = Field(0, ge=0, strict=True, description="samples that could not be generated or judged")
    pass_1: Rate | None = Field(None, description="probability that one sample passes")
    pass_n: Rate | None = Field(None, description="probability that one of n samples passes; n is in the receipt")
    gain: Rate | None = Field(None, description="pass_n minus pass_1, of the same prompts")
    reward: Rate | None = Field(None, description="mean reward")
    causes: dict[Cause, Share] | None = Field(
        None, description="share of judged samples that fail for each cause; several may hold; absent if not recorded"
    )
    covers: list[SkillPath] = Field([], description="paths that the row covers; default: its own")

    @property
    def covered(self) -> list[str]:
        """The taxonomy paths that this row covers."""
        return list(self.covers) or [self.path]


class Receipt(_Strict):
    """How a diagnosis was made: enough to repeat it."""

    source: Source
    datagen: str = Field("", description="version")
    model: dict[str, Any] = Field({}, description="the backend and its options, or the name of a model")
    recipe: str = ""
    fingerprint: str = Field("", description="fingerprint of the probe's recipe, including its taxonomy")
    mode: str = ""
    rewards: list[str] = []
    seed: int | None = None
    prompts: int = Field(ge=1, strict=True, description="number of prompts")
    candidates: int = Field(ge=1, strict=True, description="the n of pass@n")
    run: str = Field("", description="folder of the samples")
    file: str = Field("", description="the result file")
    sha256: str = Field("", description="its hash, the first 16 digits")
    notes: list[str] = []


class Diagnosis(_Strict):
    """The diagnosis file."""

    version: Literal[1] = 1
    made: Receipt
    rows: list[Row] = Field(min_length=1)

    @model_validator(mode="after")
    def _covers_once(self) -> Self:
        covered = [path for row in self.rows for path in row.covered]
        twice = sorted({path for path in covered if covered.count(path) > 1})
        if twice:
            raise ValueError(f"two rows cover {twice[0]!r}")
        return self

    def find(self, path: str) -> Row | None:
        """Return the row that covers a level: its own, else its skill's, else its weakness's, else None."""
        rows = {covered: row for row in self.rows for covered in row.covered}
        parts = path.split("/")
        return next((rows[name] for k in range(len(parts), 0, -1) if (name := "/".join(parts[:k])) in rows), None)


def load_diagnosis(path: str | Path) -> Diagnosis:
    """Load a diagnosis. Raises ConfigError with file and line if it is missing, broken, or not a diagnosis."""
    return load_model(read_yaml(path), Diagnosis)


def dump_diagnosis(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as YAML, rates on one line each; the same diagnosis gives the same text."""
    made = diagnosis.made.model_dump(mode="json", exclude_defaults=True)
    rows = [row.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for row in diagnosis.rows]
    return dump_yaml({"version": diagnosis.version, "made": made, "rows": rows}, default_flow_style=None)


SOLVED = 0.8
"""A skill is solved when the interval of pass@1 lies at or above this."""
HOPELESS = 0.2
"""A skill is hopeless when the interval of pass@n lies at or below this: most groups contain nothing to learn."""
GAIN = 0.1
"""A skill is learnable when the interval of pass@n - pass@1 lies at or above this."""
LEAST_PROMPTS = 10
"""Fewer prompts give no verdict: their score intervals are too narrow if the true rate is near 0 or 1."""
DIGITS = 4


def list_rows(
    groups: Mapping[str, Sequence[Group]], n: int, covers: Mapping[str, list[str]] | None = None
) -> list[Row]:
    """Return a row for each path, and one for each skill with two or more levels, pooled over their prompts.

    `groups` holds judged prompts by `weakness/skill/level` or a shorter path, `n` is that of pass@n, `covers` maps a
    path to the taxonomy paths that it covers. A path without judged samples has no row.
    """
    rows: list[Row] = []
    skills: dict[str, list[str]] = {}
    for path in groups:
        skills.setdefault("/".join(path.split("/")[:2]), []).append(path)
    for skill, paths in skills.items():
        if len(paths) > 1 and skill not in paths:
            rows += _row(skill, [group for path in paths for group in groups[path]], n, [])
        for path in paths:
            rows += _row(path, groups[path], n, (covers or {}).get(path, []))
    return rows


def _row(path: str, groups: Sequence[Group], n: int, covers: list[str]) -> list[Row]:
    strict = [group for group in groups if group.tries]
    # If some candidates are missing, the others count: dropping the prompt would favour easy ones.
    whole = [group for group in strict if group.tries > 1] if n > 1 else []
    rated = [math.fsum(group.rewards) / len(group.rewards) for group in groups if group.rewards]
    first = [pass_at(group.tries, group.passes, 1) for group in strict]
    best = [pass_at(group.tries, group.passes, min(n, group.tries)) for group in whole]
    gain = [b - pass_at(group.tries, group.passes, 1) for b, group in zip(best, whole, strict=True)]
    judged = [group for group in groups if group.judged]
    if not judged:
        return []
    rates = {"pass_1": _rate(first, wilson), "pass_n": _rate(best, wilson), "gain": _rate(gain, wilson)}
    verdict, why = judge_rates(**rates, n=n)
    return [
        Row(
            path=path,
            verdict=verdict,
            why=why,
            prompts=len(judged),
            samples=sum(group.judged for group in judged),
            unjudged=sum(group.unjudged for group in groups),
            **rates,
            reward=_rate(rated, lambda _mean, _count: bootstrap_mean(rated)),
            causes=_share_causes(judged),
            covers=covers,
        )
    ]


def _share_causes(groups: Sequence[Group]) -> dict[Cause, float] | None:
    """Return the mean over prompts, which have judged samples, of the share of these that fail for each cause.

    None if prompts fail and no cause is known; beside known ones, a failure without a cause counts for none.
    """
    if not any(group.causes for group in groups) and any(group.causes is None for group in groups):
        return None
    sums = {cause: math.fsum((each.causes or {}).get(cause, 0) / each.judged for each in groups) for cause in CAUSES}
    return {cause: round(total / len(groups), DIGITS) for cause, total in sums.items() if total}


def _rate(values: Sequence[float], interval: Callable[[float, int], tuple[float, float]]) -> Rate | None:
    if not values:
        return None
    mean = min(1.0, max(0.0, math.fsum(values) / len(values)))
    low, high = interval(mean, len(values))
    # If all values are equal, the bootstrap can miss their mean in the last bit.
    low, high = min(low, mean), max(high, mean)
    return Rate(value=round(mean, DIGITS), low=round(low, DIGITS), high=round(high, DIGITS), prompts=len(values))


def judge_rates(pass_1: Rate | None, pass_n: Rate | None, gain: Rate | None, n: int) -> tuple[Verdict, str]:
    """Return the verdict on a skill and the reason in words; the first matching rule counts.

    | verdict | rule |
    |---|---|
    | `graded` | no sample was judged as passed or failed |
    | `unclear` | fewer than 10 prompts |
    | `solved` | the interval of pass@1 lies at or above 0.8 |
    | `hopeless` | the interval of pass@n lies at or below 0.2 |
    | `learnable` | the interval of pass@n - pass@1 lies at or above 0.1 |
    | `weak` | the interval of pass@1 lies below 0.8 |
    | `unclear` | none of these: more prompts are needed |
    """
    if pass_1 is None:
        return "graded", "only a mean reward is known"
    if pass_1.prompts < LEAST_PROMPTS:
        return "unclear", f"{pass_1.prompts} prompts are fewer than {LEAST_PROMPTS}"
    if pass_1.low >= SOLVED:
        return "solved", f"pass@1 is at least {pass_1.low:.2f}"
    if pass_n is not None and pass_n.prompts >= LEAST_PROMPTS and pass_n.high <= HOPELESS:
        return "hopeless", f"pass@{n} is at most {pass_n.high:.2f}"
    if gain is not None and gain.prompts >= LEAST_PROMPTS and gain.low >= GAIN:
        return "learnable", f"pass@{n} is above pass@1 by at least {gain.low:.2f}"
    if pass_1.high < SOLVED:
        more = f"that {n} tries help is not shown" if gain is not None else "what more tries bring is not known"
        return "weak", f"pass@1 is at most {pass_1.high:.2f}; {more}"
    return "unclear", f"pass@1 is {pass_1.low:.2f} to {pass_1.high:.2f} on {pass_1.prompts} prompts: ask more"


CONFIDENCE = 0.95
"""Confidence level of all intervals."""
ROUNDS = 1000
"""Resamplings of a bootstrap."""
CHUNK = 1_000_000
"""Values that a bootstrap holds in memory at a time."""


@dataclass(frozen=True, slots=True)
class Group:
    """The results of one prompt: `passes` of `tries` candidates passed strictly; `rewards` of the rated candidates.

    Rewards are in [0, 1]. `unjudged` candidates could not be generated or judged; they count neither as passed nor as
    failed. `unfinished` of them are those for which the model was reached and gave no valid answer. `passes` is a whole
    number, or, with `tries` 1, the share that passed if a file contains only that. `judged` candidates have a verdict,
    a reward or both; by default as many as have the commoner one. `causes` counts those of them that fail for each
    cause, None if some fail and no scorer says why.
    """

    prompt: str
    tries: int
    passes: float
    rewards: tuple[float, ...] = ()
    unjudged: int = 0
    causes: Mapping[Cause, int] | None = None
    judged: int = 0
    unfinished: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "judged", max(self.judged, self.tries, len(self.rewards)))


def fail_unfinished(groups: Mapping[str, Sequence[Group]]) -> dict[str, list[Group]]:
    """Return groups by path in which what the model did not finish failed, with a reward of 0.

    For the comparison of models: one that no longer finishes its hard pictures would else seem better. Where no
    finished candidate of a prompt is judged, none counts, since that prompt may be beyond the judge.
    """
    strict = any(group.tries for each in groups.values() for group in each)

    def count(group: Group) -> Group:
        lost = group.unfinished
        if not lost or not (group.judged or group.unjudged == lost):
            return group
        fails = strict and (group.tries > 0 or not group.judged)
        return replace(
            group,
            tries=group.tries + lost * fails,
            rewards=(*group.rewards, *([0.0] * lost if group.rewards or not strict else ())),
            unjudged=group.unjudged - lost,
            judged=group.judged + lost,
            unfinished=0,
        )

    return {path: [count(group) for group in each] for path, each in groups.items()}


def pass_at(tries: int, passes: float, k: int) -> float:
    """Return the probability that at least one of `k` candidates passes: 1 - C(n - c, k) / C(n, k).

    The unbiased estimator of Chen et al. (arXiv 2107.03374, section 2.1) from n = `tries`, of which c = `passes`
    passed. Raises ValueError unless 1 <= k <= `tries` and 0 <= `passes` <= `tries`.
    """
    if not 1 <= k <= tries or not 0 <= passes <= tries:
        raise ValueError(f"pass@{k} is not defined for {passes:g} of {tries} tries")
    if k == 1:
        return passes / tries
    # Here `tries` exceeds 1, so `passes` is a whole number.
    return 1 - math.comb(tries - int(passes), k) / math.comb(tries, k)


def wilson(mean: float, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a mean of `count` independent values in [0, 1] (Wilson 1927).

    Made for values of 0 or 1. Values in between have a variance of at most mean * (1 - mean), so for them the interval
    is conservative. Unlike a bootstrap it does not shrink to a point when all values are equal. Raises ValueError
    without values.
    """
    if count < 1:
        raise ValueError("no interval without values")
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (mean + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(mean * (1 - mean) / count + z * z / (4 * count * count))
    return max(0.0, min(mean, middle - half)), min(1.0, max(mean, middle + half))


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of independent values, by resampling them (Efron 1979).

    The same values and seed give the same interval. A single value, or equal values, give that value twice.
    Raises ValueError without values.
    """
    import numpy as np

    if not values:
        raise ValueError("no interval without values")
    each, rng = np.asarray(values, float), np.random.default_rng(seed)
    part = max(1, CHUNK // len(each))
    means = [
        each[rng.integers(0, len(each), (min(part, ROUNDS - done), len(each)))].mean(1)
        for done in range(0, ROUNDS, part)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
