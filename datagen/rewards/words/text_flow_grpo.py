"""Judges the words in the image by the OCR reward of Flow-GRPO (arXiv 2505.05470): spaces out, letter case ignored.

1 if the claimed text stands anywhere in what was read, else 1 - min(edit distance, length) / length. What is read
beside the text costs nothing once it is there, so the scorer does not say `passed`. The published reward takes the
first quotation of the prompt alone; here every text claim is judged, on the lines that match it, and the value is
their mean. It cannot see spaces: "NOW HERE" is "nowhere".
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.rendered import explain, match_regions, read_claimed, reward_flow_grpo
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the mean reward of the claimed texts in the sample's last image, in [0, 1]."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    if not "".join(claimed).strip():
        return Verdict(None, "the claimed text is empty")
    groups, _ = match_regions(claimed, lines)
    rewards = [
        reward_flow_grpo(text, " ".join(group), " ".join(lines)) for text, group in zip(claimed, groups, strict=True)
    ]
    value = sum(rewards) / len(rewards)
    return Verdict(value, explain(claimed, lines, right=value == 1), {"rewards": rewards, "read": lines})
