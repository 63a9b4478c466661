"""A scorer whose reasons tell of the machine: a path and a server, as messages of other libraries do."""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
REASON = "read /home/somebody/secret/labels.txt, asked http://10.1.2.3:8000/v1 ('10.1.2.3', 8000)"


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    return Verdict(1.0, REASON, {"passed": True})
