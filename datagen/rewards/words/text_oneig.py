"""Judges the words in the image as OneIG-Bench does (arXiv 2506.07977): letters and digits, letter case counts.

The benchmark's score is of a corpus: 1 - min(ED, M) * (1 - CR) * (1 - WAC) / M (`_rendered.score_oneig`). Of one short
text it is next to 1 whatever was drawn ("OPEN" read as nothing: 0.96), so it would select nothing. The value here is
the sample's part of WAC: matched words over claimed ones, of Chinese characters. The evidence holds what the corpus
score is made of (`distance`, `matched`, `words`, `chinese`) and that score `alone`; distance 0 is `passed`.

As in the authors' code (`scripts/text` of github.com/OneIG-Bench/OneIG-Benchmark at 41b4983), the distance compares the
claimed texts in the order of the claims with the lines in the order in which they are read: texts that stand in another
order cost distance, and do not pass. `text` judges each text by itself. Differs from the published evaluator as
`_rendered` says, and in the reader: an OCR here, a vision-language model there. Cannot see surplus words in the value
(they cost distance, not WAC), or fonts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.rendered import OneIG, explain, measure_oneig, read_claimed, score_oneig
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the share of claimed words read in the sample's last image, in [0, 1]."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    measured = measure_oneig(" ".join(claimed), " ".join(lines))
    if not measured.words:
        return Verdict(None, "the claimed text has no letter or digit")
    alone = score_oneig([measured])["score"]
    evidence = {"passed": measured.distance == 0, "alone": alone, **measured.to_dict(), "read": lines}
    value = measured.matched / measured.words
    return Verdict(value, explain(claimed, lines, right=measured.distance == 0), evidence)


def score_corpus(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figures of many samples from their evidence: ED, CR, WAC, score; Chinese texts apart."""
    measured = [OneIG(each["distance"], each["matched"], each["words"], each["chinese"]) for each in evidence]
    figures: dict[str, float] = {}
    for chinese, note in ((False, ""), (True, " (Chinese)")):
        if mine := [one for one in measured if one.chinese == chinese]:
            figures |= {f"{name}{note}": value for name, value in score_oneig(mine).items()}
    return figures
