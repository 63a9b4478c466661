"""Judges how much of an image survives description and regeneration: the reward of UAE (arXiv 2509.09666).

The recipe's judge describes the sample's last image, its drawer generates an image from the description, and its image
encoders compare the two. To follow UAE, name one unified model as backend, judge and drawer.

Value: the mean over encoders of the cosine (Unified-Bench, there times 100); a mean below 0 counts as 0. Cosines are
not rescaled: most encoders give two unrelated pictures well over 0. The evidence has each cosine.

Not seen: the prompt. A wrong image that is easy to describe scores well. A low value may be the fault of the judge or
of the drawer; it does not show which.
"""

from __future__ import annotations

from statistics import fmean

from datagen.records import Modality, Prompt, Sample, Verdict, seed_of
from datagen.rewards.likeness.diversity import NO_ENCODERS
from datagen.rewards.likeness.diversity import look_ahead as look_ahead
from datagen.scoring.asking import ask_captions
from datagen.scoring.judging import NO_JUDGE
from datagen.scoring.tools import Sketch, Tools
from datagen.scoring.verdicts import NO_IMAGE
from datagen.vision.loading import explain_blind, measure_cosine

TARGET: Modality = "image"
NEEDS_JUDGE = True
NEEDS_ENCODERS = True
NEEDS_DRAWER = True
JUDGES: frozenset[str] = frozenset()
NO_DRAWER = "no drawer: add `drawer:` to the recipe, with a backend that draws"


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Describe the sample's last image, generate it again from the description, and compare."""
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    if not tools.encoders or tools.ask is None or tools.draw is None:
        return Verdict(None, NO_ENCODERS if not tools.encoders else NO_JUDGE if tools.ask is None else NO_DRAWER)
    (caption,) = ask_captions([sample.image], [sample.seed], tools.ask)
    if caption.error:
        return Verdict(None, f"the judge did not describe the image: {caption.error}")
    evidence: dict[str, object] = {"caption": caption.text.strip()}
    (drawing,) = tools.draw([Sketch(caption.text.strip(), seed_of(sample.seed, "reconstruction"))])
    if drawing.error:
        return Verdict(None, f"the caption was not drawn: {drawing.error}", evidence)
    cosines: dict[str, float] = {}
    for name, encode in tools.encoders.items():
        one, other = encode([sample.image, drawing.image])
        cosine = measure_cosine(one, other)
        if cosine is None:
            blind = sample.image if one[0] != one[0] else drawing.image  # a row of NaN is an unreadable image
            return Verdict(None, f"{name}: {explain_blind(blind)}", evidence)
        cosines[name] = round(cosine, 6)
    mean = fmean(cosines.values())
    listed = ", ".join(f"{name} {cosine:.3f}" for name, cosine in cosines.items())
    return Verdict(max(0.0, mean), f"image and redrawn image alike: {listed}", {**evidence, "cosines": cosines})
