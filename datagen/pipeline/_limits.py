"""The limit on scorers that give no value: who judges too few of the samples that it should judge makes no weights.

    limits: {counting: {scored: 0.9}}

A sample should be judged by a scorer if its prompt makes a claim of a kind that it judges; by one that judges no
claims, such as `sharpness`, always. How often a scorer is right (`accuracy`) is measured on canaries, see `_canaries`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from datagen.errors import RunError
from datagen.pipeline._run import Run

REASON_LENGTH = 120
"""Characters of a reason that a message shows."""


def require_scored(run: Run, shards: Iterable[int]) -> None:
    """Raise RunError naming each scorer that gave a value to fewer of its samples than the recipe's `limits` ask."""
    least = {name: limit.scored for name, limit in run.recipe.limits.items() if limit.scored}
    if not least:
        return
    asked: Counter[str] = Counter()
    judges = run.judges
    blind: dict[str, Counter[str]] = {name: Counter() for name in least}
    for shard in shards:
        kinds = {prompt.id: {claim.kind for claim in prompt.claims} for prompt in run.folder.read_prompts(shard)}
        for score in run.folder.read_scores(shard):
            if score.name not in least:
                continue
            judged = judges[score.name]
            if not judged or judged & kinds[score.sample_id.rpartition("-")[0]]:
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
