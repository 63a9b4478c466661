"""Judges how much the prompt raises the likelihood of the image under the model: the score by which TIGeR ranks.

Value: sigmoid((log p(image | prompt) - log p(image)) / image tokens), 0.5 if the prompt makes no difference. The prior
is subtracted as in TIGeR (arXiv 2406.05814), so that retrieved and generated images rank together. The values come from
the sample's settings, where the backend `gallery` stores them; samples of other backends have no value.

The model judges itself: evaluate the selected samples by another scorer.
"""

from __future__ import annotations

import math

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
NEEDS_LIKELIHOOD = True
NOTED = ("log_given", "log_prior", "tokens")


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the score of the likelihoods stored with the sample, in (0, 1)."""
    if any(name not in sample.settings for name in NOTED):
        return Verdict(None, "its backend notes no likelihood; `backend: {name: gallery, …}` does")
    given, prior, tokens = (float(sample.settings[name]) for name in NOTED)
    gain = (given - prior) / tokens
    source = str(sample.settings.get("source", ""))
    reason = f"{source}: {given:.1f} nats given the prompt, {prior:.1f} without it"
    evidence = {"source": source, "log_given": given, "log_prior": prior, "nats_per_token": gain}
    return Verdict(1 / (1 + math.exp(-max(-700.0, gain))), reason, evidence)  # exp overflows above 709
