"""The limits before weights: on scorers that give no value, and on how little the weights may rest on.

    limits: {counting: {scored: 0.9}}       # who judges too few of the samples that it should judge makes no weights
    least: {effective: 0.1, passed: 0.05}   # of each weakness: effective sample size, and share that passed

A sample should be judged by a scorer if its prompt makes a claim that is the scorer's own (`rewards/_unseen.py`); by
one that judges no claims, such as `sharpness`, always. How often a scorer is right (`accuracy`) is measured on
canaries, see `_canaries`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from datagen.errors import RunError
from datagen.pipeline._run import Run
from datagen.rewards._unseen import own_claims
from datagen.weighting import RewardRow, WeightReport, asked_modalities

REASON_LENGTH = 120
"""Characters of a reason that a message shows."""


def require_scored(run: Run, shards: Iterable[int]) -> None:
    """Raise RunError naming each scorer that gave a value to fewer of its samples than the recipe's `limits` ask."""
    least = {name: limit.scored for name, limit in run.recipe.limits.items() if limit.scored}
    if not least:
        return
    asked: Counter[str] = Counter()
    blind: dict[str, Counter[str]] = {name: Counter() for name in least}
    for shard in shards:
        due = {
            (prompt.id, name)
            for prompt in run.folder.read_prompts(shard)
            for name in least
            if not run.judges[name] or own_claims(run.scorers[name], prompt.claims)
        }
        for score in run.folder.read_scores(shard):
            if (score.sample_id.rpartition("-")[0], score.name) in due:
                asked[score.name] += 1
                if score.value is None:
                    blind[score.name][score.reason[:REASON_LENGTH]] += 1
    bad = [
        f"{name} judged {asked[name] - lost.total():,} of {asked[name]:,}"
        f" (mostly: {lost.most_common(1)[0][0]}), and must judge {least[name]:.0%}"
        for name, lost in blind.items()
        if asked[name] - lost.total() < least[name] * asked[name]
    ]
    if bad:
        raise RunError(
            f"a scorer judges too few samples: {'; '.join(bad)}",
            where=str(run.folder),
            hint="leave the scorer out, mend it, or lower limits.NAME.scored; no weights are made",
        )


def require_least(run: Run, rows: Sequence[RewardRow], report: WeightReport) -> None:
    """Raise RunError naming each weakness whose weights rest on less than the recipe's `least` asks.

    Both are shares of all samples of the weakness, those included that nobody judged.
    """
    least = run.recipe.least
    if least is None:
        return
    asked = asked_modalities(rows)
    bad = [
        f"{row.weakness}, {row.modality}: effective size {row.effective:.1f} of {row.samples:,} samples, and must be"
        f" {least.effective:.0%}"
        for row in report.rows
        if row.modality in asked and row.effective < least.effective * row.samples
    ]
    samples = Counter(row.weakness for row in rows)
    passed = Counter(row.weakness for row in rows if row.passed)
    bad += [
        f"{name}: {passed[name]:,} of {count:,} samples passed, and must be {least.passed:.0%}"
        for name, count in sorted(samples.items())
        if passed[name] < least.passed * count
    ]
    if bad:
        raise RunError(
            f"the weights rest on too little: {'; '.join(bad)}",
            where=str(run.folder),
            hint=f"nothing is exported; look: datagen report {run.folder}\n"
            f"draw other prompts or more candidates, raise weights.beta, or lower the limit: datagen weigh {run.folder}"
            " --set least=null",
        )
