"""The names of things that matter for one sample: what a detector with an open vocabulary is told to look for."""

from __future__ import annotations

from datagen.records import Claim, Prompt, Sample
from datagen.rewards._layout import TEXT, read_layout

BETWEEN_TWO = ("relation", "depth", "comparison")
"""Kinds of claim whose value is another object."""


def list_names(prompt: Prompt, sample: Sample) -> frozenset[str]:
    """Return every object that the prompt claims something about, or that the sample's reasoning plans.

    Written words are not among them: an OCR reads those.
    """
    claimed = {name for claim in prompt.claims for name in _name_things(claim)}
    planned = {thing.label for thing in read_layout(sample.text).things}
    return frozenset(name for name in claimed | planned if name and name != TEXT)


def _name_things(claim: Claim) -> tuple[str, ...]:
    return (claim.subject, str(claim.value)) if claim.kind in BETWEEN_TWO else (claim.subject,)
