"""Judges how well the image fits the prompt's text: CLIPScore (arXiv 2104.08718).

Value: 2.5 * max(cosine, 0) of CLIP's features of the image and of `A photo depicts ` + text, cut off at 1, which the
published score can exceed. The paper uses ViT-B/32; `matchers: {clipscore: …}` takes any CLIP.

Not seen: text after CLIP's 77th token (the evidence says `cut`); numbers, positions, and which colour belongs to which
object: CLIP reads a prompt much like a bag of words (arXiv 2210.01936).
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.matching import describe_match, match_ahead, match_images
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import NO_IMAGE

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
NEEDS_MATCHER = "clipscore"
PREFIX, WEIGHT = "A photo depicts ", 2.5


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the prompt's text on the sample's last image."""
    found = match_images(NEEDS_MATCHER, word_prompt(prompt), [sample], tools).get(0)
    if found is None:
        return Verdict(None, NO_IMAGE)
    if isinstance(found, Verdict):
        return found
    value = min(1.0, WEIGHT * max(found.cosine, 0.0))
    cut = ", the text was cut" if found.cut else ""
    return Verdict(value, f"cosine of image and text {found.cosine:.3f}{cut}", dict(describe_match(found)))


def look_ahead(pairs: Sequence[tuple[Prompt, Sample]], tools: Tools) -> None:
    """Match the last images of a shard in one batch."""
    match_ahead(NEEDS_MATCHER, word_prompt, pairs, tools)


def word_prompt(prompt: Prompt) -> str:
    """Return the text to compare the image with."""
    return PREFIX + prompt.text
