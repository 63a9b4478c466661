"""Health of weights: how many samples training effectively uses, per weakness and modality."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from datagen.config import Policy
from datagen.records import Modality
from datagen.weighting.rows import RewardRow, Weight
from datagen.weighting.weights import modality_rewards

if TYPE_CHECKING:
    from datagen.weighting.formulas import Floats


DOMINANT_SHARE = 0.5
"""A skill dominates when it has more than this share of the weight …"""
DOMINANT_RATIO = 1.5
"""… and more than this many times its share of the scored samples."""
THIN_SHARE = 0.1
"""An effective sample size below this share of the scored samples gives a warning."""


@dataclass(frozen=True, slots=True)
class WeightDiagnosis:
    """The weights of one weakness on one modality.

    `effective` is Kish's effective sample size (sum w)^2 / sum w^2, `effective_share` its share of the scored samples.
    `top_share` is the share of weight of the heaviest 1 % of the scored samples (at least one sample). `clipped_share`
    is the share of kept samples on a bound of `clip`. Of the `groups` with a scored sample, `equal_groups` have two or
    more rewards, all equal, and `single_groups` have one: neither allows a comparison. Shares are in [0, 1], and 0 if
    there are no samples.
    """

    weakness: str
    modality: Modality
    samples: int
    scored: int
    kept: int
    mean_reward: float | None
    effective: float
    effective_share: float
    top_share: float
    clipped_share: float
    groups: int
    equal_groups: int
    single_groups: int

    @property
    def degenerate_groups(self) -> int:
        """The number of groups in which no sample is better than another."""
        return self.equal_groups + self.single_groups


@dataclass(frozen=True, slots=True)
class IdleSkill:
    """A skill (`weakness/skill`) whose samples all weigh 0 in a modality, mostly for `reason`."""

    path: str
    modality: Modality
    samples: int
    reason: str

    def __str__(self) -> str:
        many = f"all {self.samples} {self.modality}s weigh" if self.samples > 1 else f"its {self.modality} weighs"
        return f"{self.path} teaches nothing: {many} 0 (mostly: {self.reason})"


@dataclass(frozen=True, slots=True)
class WeightReport:
    """One diagnosis per weakness and modality, warnings, and the skills that teach nothing.

    `idle` covers only modalities for which some sample has a reward, or should have one.
    """

    rows: tuple[WeightDiagnosis, ...]
    warnings: tuple[str, ...]
    idle: tuple[IdleSkill, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "rows": [{**asdict(row), "degenerate_groups": row.degenerate_groups} for row in self.rows],
            "warnings": list(self.warnings),
            "idle": [asdict(skill) for skill in self.idle],
        }


def diagnose_weights(rows: Sequence[RewardRow], weights: Sequence[Weight], policy: Policy) -> WeightReport:
    """Return the health of weights per weakness and modality, with warnings.

    Warnings: a weakness keeps no sample; its effective sample size is below 10 % of its scored samples; a skill
    dominates its weakness (if that has two or more skills) or the run, with more than half of the weight and more than
    1.5 times its share of the scored samples. `rows` and `weights` must be in the same order.
    """
    import numpy as np

    text, image = modality_rewards(rows, policy)
    weaknesses = list(dict.fromkeys(row.weakness for row in rows))
    names = np.array([row.weakness for row in rows], dtype=object)
    found: list[WeightDiagnosis] = []
    warnings: list[str] = []
    columns: list[tuple[Modality, Floats, list[float]]] = [
        ("text", text, [weight.text_weight for weight in weights]),
        ("image", image, [weight.image_weight for weight in weights]),
    ]
    for modality, reward, values in columns:
        weight = np.array(values, dtype=np.float64)
        for name in weaknesses:
            chosen = np.flatnonzero(names == name)
            part = [rows[k] for k in chosen.tolist()]
            row = _diagnose_one(name, modality, part, reward[chosen], weight[chosen], policy)
            found.append(row)
            warnings += _warn_thin(row) + _warn_dominance(name, modality, part, reward[chosen], weight[chosen])
        warnings += _warn_dominance("the run", modality, rows, reward, weight) if len(weaknesses) > 1 else []
    idle = [skill for modality in asked_modalities(rows) for skill in _find_idle(rows, weights, modality)]
    return WeightReport(
        tuple(sorted(found, key=lambda row: (row.weakness, row.modality))), tuple(warnings), tuple(idle)
    )


def asked_modalities(rows: Sequence[RewardRow]) -> list[Modality]:
    """Return the modalities for which some sample has a reward, or should have one."""
    found: dict[Modality, bool] = {
        "text": any(row.text is not None or row.text_gap for row in rows),
        "image": any(row.image is not None or row.image_gap for row in rows),
    }
    return [modality for modality, asked in found.items() if asked]


def _find_idle(rows: Sequence[RewardRow], weights: Sequence[Weight], modality: Modality) -> list[IdleSkill]:
    """Return the skills whose samples all weigh 0 in a modality, sorted by path."""
    totals: dict[str, float] = {}
    reasons: dict[str, Counter[str]] = {}
    for row, weight in zip(rows, weights, strict=True):
        path = f"{row.weakness}/{row.skill}"
        # A weight's reason reads `text: …; image: …`.
        text, _, image = weight.reason.partition("; image: ")
        totals[path] = totals.get(path, 0.0) + (weight.text_weight if modality == "text" else weight.image_weight)
        reasons.setdefault(path, Counter())[text.removeprefix("text: ") if modality == "text" else image] += 1
    return [
        IdleSkill(path, modality, why.total(), why.most_common(1)[0][0])
        for path, why in sorted(reasons.items())
        if not totals[path]
    ]


def _diagnose_one(
    name: str, modality: Modality, rows: Sequence[RewardRow], reward: Floats, weight: Floats, policy: Policy
) -> WeightDiagnosis:
    import numpy as np

    from datagen.weighting import formulas as formulas

    scored = np.flatnonzero(~np.isnan(reward))
    group = formulas.encode([rows[k].group for k in scored.tolist()])
    size = formulas.count_in(group)
    equal = formulas.find_equal(reward[scored], group)
    heavy = np.sort(weight[scored])[::-1]
    kept = heavy[heavy > 0]
    low, high = policy.clip or (-1.0, math.inf)
    total = float(heavy.sum())
    effective = total**2 / float((heavy**2).sum()) if total else 0.0
    return WeightDiagnosis(
        weakness=name,
        modality=modality,
        samples=len(rows),
        scored=len(scored),
        kept=len(kept),
        mean_reward=float(reward[scored].mean()) if len(scored) else None,
        effective=effective,
        effective_share=effective / max(1, len(scored)),
        top_share=float(heavy[: math.ceil(len(scored) / 100)].sum()) / total if total else 0.0,
        clipped_share=float(((kept >= high) | (kept <= low)).mean()) if len(kept) else 0.0,
        groups=len(set(group.tolist())),
        equal_groups=len(set(group[equal].tolist())),
        single_groups=int((size == 1).sum()),
    )


def _warn_thin(row: WeightDiagnosis) -> list[str]:
    where = f"{row.weakness}, {row.modality}"
    if row.scored and not row.kept:
        hint = "try another policy or `drop_equal: false`" if row.mean_reward else "every reward is 0"
        return [f"{where}: no sample of {row.scored} keeps a weight; {hint}"]
    if row.scored and row.effective_share < THIN_SHARE:
        share = f"{row.effective:.1f} of {row.scored} samples"
        return [f"{where}: the weight rests on {share} (effective size); raise beta or lower the upper clip"]
    return []


def _warn_dominance(
    name: str, modality: Modality, rows: Sequence[RewardRow], reward: Floats, weight: Floats
) -> list[str]:
    import numpy as np

    from datagen.weighting import formulas as formulas

    scored = np.flatnonzero(~np.isnan(reward))
    paths = [f"{rows[k].weakness}/{rows[k].skill}" for k in scored.tolist()]
    skills = list(dict.fromkeys(paths))
    total = float(weight[scored].sum())
    if len(skills) < 2 or not total:
        return []
    code = formulas.encode(paths)
    held = np.bincount(code, weight[scored]) / total
    given = np.bincount(code) / len(scored)
    return [
        f"{name}, {modality}: {skill} dominates with {held[k]:.0%} of the weight from {given[k]:.0%} of the samples"
        for k, skill in enumerate(skills)
        if held[k] > DOMINANT_SHARE and held[k] > DOMINANT_RATIO * given[k]
    ]
