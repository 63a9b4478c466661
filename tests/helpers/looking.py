"""A scorer that notes what it sees: the size of the image and a hash of its pixels."""

from __future__ import annotations

import hashlib

from datagen.pictures import read_image
from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    picture = read_image(sample.image or b"")
    return Verdict(1.0, "seen", {"size": picture.size, "pixels": hashlib.sha256(picture.tobytes()).hexdigest()})
