"""Groups of samples: what a scorer says of all candidates of one prompt together.

A scorer of groups is a module with `score_group(prompt, samples, tools) -> list[Verdict]`, one verdict for each sample
in order, beside the usual `TARGET` and `JUDGES`. It also has `score`, the verdict on a sample alone, which is None with
its reason: a group of one has nothing to compare. A shard holds all candidates of its prompts, so whoever scores a
shard calls `list_groups` on its samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from datagen.records import Prompt, Sample, Verdict
from datagen.rewards._tools import Tools

ScoreGroup = Callable[[Prompt, Sequence[Sample], Tools], list[Verdict]]
ALONE = "a sample alone has no other candidate to be compared with"


def list_groups(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the samples by prompt: prompts in the order of their first sample, samples in theirs."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.prompt_id, []).append(sample)
    return list(groups.values())


def with_images(samples: Sequence[Sample]) -> list[tuple[int, bytes]]:
    """Return the numbers and last images of those samples that have one."""
    return [(k, sample.image) for k, sample in enumerate(samples) if sample.image is not None]


def spread_verdicts(samples: Sequence[Sample], judged: dict[int, Verdict]) -> list[Verdict]:
    """Return one verdict a sample: the judged ones by number; the others have no image to judge."""
    return [judged.get(k, Verdict(None, "the sample has no image")) for k in range(len(samples))]
