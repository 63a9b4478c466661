"""Judges complex prompts by T2I-CompBench's 3-in-1 score: the mean of the parts that a prompt asks for.

Source: `3_in_1_eval/3_in_1.py` of github.com/Karine-Huang/T2I-CompBench at 1b70949 (MIT; arXiv 2307.06350). The three
are the attribute product, the 2D spatial score and, for what things do to each other, the cosine of CLIP. Its `complex`
prompts are of three lists: with a spatial relation and attributes, the mean of those two scores; with an action and
attributes, the mean of those two; with all, the mean of the three.

No claim says an action, so every prompt that claims a relation is of the first list: value = (`compbench_attribute` +
`compbench_spatial`) / 2, where things without an attribute are asked for too, as published. A prompt without a relation
claim has no value here: the score would be `compbench_attribute` under another name. For a prompt that a person knows
to hold an action, `join_parts` is the whole rule, and a recipe says it as `mean(compbench_attribute, compbench_spatial,
my_pkg.clip)` with whatever scorer measures the cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from datagen.records import Claim, Modality, Prompt, Sample, Verdict
from datagen.rewards.objects import compbench_spatial
from datagen.scoring.judging import judge_phrases
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = frozenset({"attribute", "relation"})
SEES = frozenset({"relation"})


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the attribute and relation claims of a prompt whose relations its spatial score can judge."""
    return [claim for claim in claims if claim.kind in JUDGES] if compbench_spatial.own_claims(claims) else []


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge attributes by the judge and relations by the boxes found, and take the mean; None if one has no value."""
    spatial = compbench_spatial.score(prompt, sample, tools)
    if spatial.value is None:
        return Verdict(None, f"spatial: {spatial.reason}", spatial.evidence)
    attribute = judge_phrases(prompt, sample, tools)
    if attribute.value is None:
        return Verdict(None, f"attribute: {attribute.reason}", attribute.evidence)
    reason = f"attribute {attribute.value:.2f}: {attribute.reason}; spatial {spatial.value:.2f}: {spatial.reason}"
    parts = {"attribute": attribute.value, "spatial": spatial.value}
    holds = bool(attribute.evidence["holds"] and spatial.evidence["holds"])
    evidence = {**spatial.evidence, **attribute.evidence, "holds": holds, "parts": parts}
    return Verdict(join_parts(attribute.value, spatial.value), reason, evidence)


def join_parts(attribute: float, spatial: float | None = None, action: float | None = None) -> float:
    """Return the mean of the attribute score and of those of the other two that the prompt asks for."""
    return fmean(part for part in (attribute, spatial, action) if part is not None)
