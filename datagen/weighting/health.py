"""Health of weights: how many samples training effectively uses, per weakness and modality."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from datagen.config import Policy
from datagen.expressions import EQUAL
from datagen.records import Modality
from datagen.weighting.rows import RewardRow, Weight
from datagen.weighting.tables import RewardTable, WeightTable
from datagen.weighting.weights import modality_rewards

if TYPE_CHECKING:
    from datagen.weighting.formulas import Floats, Ints


DOMINANT_SHARE = 0.5
"""A skill dominates when it has more than this share of the weight …"""
DOMINANT_RATIO = 1.5
"""… and more than this many times its share of the scored samples."""
THIN_SHARE = 0.1
"""An effective sample size below this share of the scored samples gives a warning."""
CONTRARY_SHARE, CONTRARY_PAIRS = 0.25, 30
"""Texts weigh contrary to their images if they do in this share of a skill's pairs, half of chance, of so many."""


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
    1.5 times its share of the scored samples; in a skill the text whose image is the worse one weighs more, in a
    quarter or more of at least 30 pairs of candidates whose images differ in reward: such texts teach to plan what
    comes out wrong; no sample has or should have a reward. `rows` and `weights` must be in the same order. What is left
    out counts as unscored.
    """
    import numpy as np

    table = RewardTable.of(rows)
    given = WeightTable.of(weights, table)
    text, image = (np.where(given.is_left_out, np.nan, reward) for reward in modality_rewards(table, policy))
    groups, (paths, names), weakness = table.group.codes, table.path_codes(), table.weakness.codes
    found: list[WeightDiagnosis] = []
    warnings: list[str] = []
    columns: list[tuple[Modality, Floats, Floats]] = [("text", text, given.text), ("image", image, given.image)]
    for modality, reward, weight in columns:
        for code, name in enumerate(table.weakness.words):
            chosen = np.flatnonzero(weakness == code)
            row = _diagnose_one(name, modality, groups[chosen], reward[chosen], weight[chosen], policy)
            found.append(row)
            warnings += _warn_thin(row)
            warnings += _warn_dominance(name, modality, paths[chosen], names, reward[chosen], weight[chosen])
        if len(table.weakness.words) > 1:
            warnings += _warn_dominance("the run", modality, paths, names, reward, weight)
    warnings += _warn_contrary(table, given)
    asked = asked_modalities(table)
    if len(table) and not asked:
        warnings.append("nothing could be scored, so no sample teaches anything; its scores say why: datagen sample")
    idle = [skill for modality in asked for skill in _find_idle(table, given, modality)]
    return WeightReport(
        tuple(sorted(found, key=lambda row: (row.weakness, row.modality))), tuple(warnings), tuple(idle)
    )


def asked_modalities(rows: Iterable[RewardRow]) -> list[Modality]:
    """Return the modalities for which some sample has a reward, or should have one."""
    import numpy as np

    table = RewardTable.of(rows)
    found: dict[Modality, bool] = {
        "text": any(table.text_gap.words) or not bool(np.isnan(table.text).all()),
        "image": any(table.image_gap.words) or not bool(np.isnan(table.image).all()),
    }
    return [modality for modality, asked in found.items() if asked]


def _find_idle(rows: RewardTable, weights: WeightTable, modality: Modality) -> list[IdleSkill]:
    """Return the skills whose samples all weigh 0 in a modality, sorted by path."""
    import numpy as np

    codes, paths = rows.path_codes()
    totals = np.bincount(codes, weights.text if modality == "text" else weights.image, minlength=len(paths))
    found = []
    for code, path in enumerate(paths):
        if totals[code]:
            continue
        # A weight's reason reads `text: …; image: …`.
        said = (weights.reason[k].partition("; image: ") for k in np.flatnonzero(codes == code).tolist())
        why = Counter(text.removeprefix("text: ") if modality == "text" else image for text, _, image in said)
        found.append(IdleSkill(path, modality, why.total(), why.most_common(1)[0][0]))
    return sorted(found, key=lambda skill: skill.path)


def _diagnose_one(
    name: str, modality: Modality, groups: Ints, reward: Floats, weight: Floats, policy: Policy
) -> WeightDiagnosis:
    import numpy as np

    from datagen.weighting import formulas as formulas

    scored = np.flatnonzero(~np.isnan(reward))
    group = formulas.number(groups[scored])
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
        samples=len(groups),
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
    name: str, modality: Modality, paths: Ints, names: Sequence[str], reward: Floats, weight: Floats
) -> list[str]:
    import numpy as np

    scored = np.flatnonzero(~np.isnan(reward))
    total = float(weight[scored].sum())
    present, code = np.unique(paths[scored], return_inverse=True)
    if len(present) < 2 or not total:
        return []
    held = np.bincount(code, weight[scored]) / total
    given = np.bincount(code) / len(scored)
    # In the order in which the skills first appear.
    first = np.unique(code, return_index=True)[1]
    skills = [(int(k), names[int(present[k])]) for k in np.argsort(first)]
    return [
        f"{name}, {modality}: {skill} dominates with {held[k]:.0%} of the weight from {given[k]:.0%} of the samples"
        for k, skill in skills
        if held[k] > DOMINANT_SHARE and held[k] > DOMINANT_RATIO * given[k]
    ]


def _warn_contrary(rows: RewardTable, weights: WeightTable) -> list[str]:
    import numpy as np

    known = np.flatnonzero(~np.isnan(rows.text) & ~np.isnan(rows.image) & ~weights.is_left_out)
    order = known[np.argsort(rows.group.codes[known], kind="stable")]
    group, image, text = rows.group.codes[order], rows.image[order], weights.text[order]
    codes, names = rows.path_codes()
    path = codes[order]
    pairs, contrary = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    for apart in range(1, len(order)):
        same = np.flatnonzero(group[apart:] == group[:-apart])
        if not len(same):  # the rows of a group stand side by side
            break
        better, heavier = (each[same + apart] - each[same] for each in (image, text))
        differ = np.abs(better) > EQUAL
        pairs += np.bincount(path[same][differ], minlength=len(names))
        contrary += np.bincount(path[same][differ & (better * heavier < 0)], minlength=len(names))
    hint = "`aggregate: {text: outcome}` rewards a text for its image"
    return [
        f"{names[k]}, text: of {pairs[k]:,} pairs of candidates whose images differ, "
        f"in {contrary[k] / pairs[k]:.0%} the text of the worse image weighs more; {hint}"
        for k in np.flatnonzero((pairs >= CONTRARY_PAIRS) & (contrary >= CONTRARY_SHARE * pairs)).tolist()
    ]
