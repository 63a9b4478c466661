"""Judges the text rendered in the image, letter by letter: each claimed text against the lines that belong to it.

A text is right if exactly its letters were read, in order. Letter case counts if it is visible (`wow` and `WOW` differ
in size alone); spaces count between letters, but not beside a mark, where readers drop them: `No.1` is `No. 1`. The
position of a text and its number of lines do not matter, but words that moved into another text do. `passed` requires
that every text is right and that no other text was read. Value: 1 if passed, else the similarity
(`scoring.rendered.compare_texts`), so that a nearly right word scores more than none; wrong letter case costs half a
letter, and the right words in a wrong order score half. The evidence has precision, recall and F1 of whole words, as in
MARIO-Eval.

Not seen: positions. Two texts of one word each that changed places are right, and so are lines that give the claimed
texts in the order in which the reader returns them.

This is `metric: letters`, the default. The other metrics follow their authors' definitions:

**mario**: MARIO-Eval (arXiv 2305.10855; LenCom-Eval, arXiv 2403.16422): value is F1. Words are compared whole, in any
order, letter case ignored, punctuation kept: "Open," is not "open". Their accuracy (the same words, no more and no
fewer) is `passed`. The published F of a corpus combines mean precision and mean recall; the report shows it beside the
mean of these values. Source: `textdiffuser/eval/ocr_eval.py` of github.com/microsoft/unilm at 768a3c8;
`scoring.rendered.compare_words` lists the differences. Not seen: position and look of a word, and how similar a wrong
word is: one wrong letter is as bad as ten.

**tiif**: TIIF-Bench (arXiv 2506.02161): value is 1 - GNED. GNED is an error, lower is better: claimed and read words
are paired one to one (Hungarian); the sum of their normalised edit distances and the difference in number is divided by
the larger number. So missing, extra and misspelt words all cost. The evidence has GNED and recall (claimed words that
find a read word of their own at most 0.3 away); GNED 0 is `passed`. Words are split at spaces, letter case is ignored,
marks are kept: "5," is not "5". Equal to the authors' code (`eval/cal_gned_and_recall_models.py` of
github.com/A113N-W3I/TIIF-Bench at 3aae750) up to 100 words of each side; their figures of a corpus are means over
images. Not seen: the order of words.

**cvtg**: CVTG-2K (arXiv 2503.23461): value is NED, here a similarity, higher is better: the mean over claimed words of
1 - edit distance / longer length to the most similar read word. The evidence has word accuracy, the share of claimed
words read exactly. Words are split at spaces, letter case is ignored, marks are kept: "5," is not "5". One read word
serves all its claimed copies, and surplus words cost nothing, so the evidence has no `passed`. Both figures of a corpus
are means over all words, which the report shows. Equal to the authors' evaluator (`unified_metrics_eval.py` of
TextCrafter) up to 100 words of each side and 100 letters of a word; there PaddleOCR reads, here the recipe's OCR.

**flow_grpo**: the OCR reward of Flow-GRPO (arXiv 2505.05470): spaces removed, letter case ignored. 1 if the read text
contains the claimed text, else 1 - min(edit distance, length) / length. Other text costs nothing once the claimed one
is there, so the evidence has no `passed`. The published reward uses the first quotation of the prompt alone; here every
text claim is judged, on the lines that match it, and the value is their mean. Not seen: spaces; "NOW HERE" is
"nowhere".

**longtext**: LongText-Bench (arXiv 2507.22058): the share of claimed words that were read. Letters and digits, letter
case ignored, a multiset match in any order; characters instead of words in Chinese. The benchmark's figure sums matched
and claimed words (both in the evidence) over all samples before it divides. Surplus words cost nothing, so the evidence
has no `passed`. Differences from the published evaluator: those in `scoring.rendered`, letter case is ignored within
Chinese text too, and an OCR reads here, a vision-language model there.

**oneig**: OneIG-Bench (arXiv 2506.07977): letters and digits, letter case counts. The benchmark scores a corpus:
1 - min(ED, M) * (1 - CR) * (1 - WAC) / M (`scoring.rendered.score_oneig`). For one short text that is nearly 1 whatever
the image shows ("OPEN" read as nothing: 0.96), so it would select nothing. The value here is the sample's part of WAC:
matched over claimed words, or characters in Chinese. The evidence has the parts of the corpus score (`distance`,
`matched`, `words`, `chinese`) and that score of the sample `alone`; distance 0 is `passed`.

As in the authors' code (`scripts/text` of github.com/OneIG-Bench/OneIG-Benchmark at 41b4983), the distance compares the
claimed texts in the order of the claims with the lines in reading order: texts in another order cost distance and do
not pass, while `letters` judges each text by itself. Differences from the published evaluator: those in
`scoring.rendered`, and an OCR reads here, a vision-language model there. Not seen: fonts, and in the value surplus
words (they cost distance, not WAC).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Literal

from datagen.records import Cause, Modality, Prompt, Sample, Verdict
from datagen.scoring.rendered import (
    CVTG,
    OneIG,
    compare_texts,
    compare_words,
    explain,
    list_causes,
    match_regions,
    measure_cvtg,
    measure_longtext,
    measure_oneig,
    measure_tiif,
    read_claimed,
    reward_flow_grpo,
    score_cvtg,
    score_mario,
    score_oneig,
)
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import list_failed

MISREAD: Cause = "misread"
TARGET: Modality = "image"
JUDGES = frozenset({"text"})
Metric = Literal["letters", "mario", "tiif", "cvtg", "flow_grpo", "longtext", "oneig"]
Measured = tuple[float, bool, dict[str, Any]]
"""A value in [0, 1], whether everything is right, and the evidence."""


class Options(ScorerOptions):
    """The metric of rendered text."""

    metric: Metric = "letters"


PLAIN = Options()
"""The default options."""


def describe(options: Options) -> dict[str, Any]:
    """Return the function that turns the evidence of many samples into the benchmark's figures, if it has some."""
    corpus = _CORPORA.get(options.metric)
    return {"score_corpus": corpus} if corpus else {}


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge every text claim of the prompt on the lines that the OCR reads in the sample's last image."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    claims = [str(claim) for claim in prompt.claims if claim.kind == "text"]
    if options.metric == "letters":
        measured: Measured | str = measure_letters(claims, claimed, lines)
    else:
        measured = _METRICS[options.metric](claimed, lines)
    if isinstance(measured, str):
        return Verdict(None, measured)
    value, right, evidence = measured
    if evidence.get("passed") is False and "causes" not in evidence:
        # Where letters alone are right, a mark is not, or the order.
        causes = list_causes(claims, compare_texts(claimed, lines)) or dict.fromkeys(claims, MISREAD)
        evidence = {**evidence, "causes": causes}
    return Verdict(value, explain(claimed, lines, right=right), {**evidence, "read": lines})


def measure_letters(claims: Sequence[str], claimed: Sequence[str], lines: Sequence[str]) -> Measured:
    """Compare each claimed text with the lines that belong to it, letter by letter."""
    written = compare_texts(claimed, lines)
    right = all(written.right) and not written.others
    shares = compare_words(" ".join(claimed).split(), " ".join(lines).split())
    evidence = {
        **shares,
        "passed": right,
        "similarity": written.similarity,
        "claims": dict(zip(claims, written.right, strict=True)),
        **list_failed(list_causes(claims, written)),
    }
    return 1.0 if right else max(written.similarity, float(shares["f1"]) / 2), right, evidence


def measure_mario(claimed: Sequence[str], lines: Sequence[str]) -> Measured | str:
    """Return the F1 of claimed and read words, with precision and recall as evidence."""
    if not " ".join(claimed).split():
        return "the claimed text has no word"
    evidence = compare_words(" ".join(claimed).split(), " ".join(lines).split())
    return float(evidence["f1"]), bool(evidence["passed"]), evidence


def measure_by_tiif(claimed: Sequence[str], lines: Sequence[str]) -> Measured | str:
    """Return 1 - GNED of the words."""
    line = " ".join(claimed)
    if not line.split():
        return "the claimed text has no word"
    error, recall = measure_tiif(line, " ".join(lines))
    return 1 - error, error == 0, {"passed": error == 0, "gned": error, "recall": recall}


def measure_by_cvtg(claimed: Sequence[str], lines: Sequence[str]) -> Measured | str:
    """Return the mean similarity of claimed words."""
    measured = measure_cvtg(" ".join(claimed), " ".join(lines))
    if not measured.words:
        return "the claimed text has no word"
    accuracy, ned = score_cvtg([measured]).values()
    return ned, accuracy == 1, {"word_accuracy": accuracy, "ned": ned, **measured.to_dict()}


def measure_flow_grpo(claimed: Sequence[str], lines: Sequence[str]) -> Measured | str:
    """Return the mean reward of the claimed texts."""
    if not "".join(claimed).strip():
        return "the claimed text is empty"
    groups, _ = match_regions(claimed, lines)
    rewards = [
        reward_flow_grpo(text, " ".join(group), " ".join(lines)) for text, group in zip(claimed, groups, strict=True)
    ]
    value = sum(rewards) / len(rewards)
    return value, value == 1, {"rewards": rewards}


def measure_by_longtext(claimed: Sequence[str], lines: Sequence[str]) -> Measured | str:
    """Return matched over claimed words."""
    matched, words = measure_longtext(" ".join(claimed), " ".join(lines))
    if not words:
        return "the claimed text has no letter or digit"
    return matched / words, matched == words, {"matched": matched, "words": words}


def measure_by_oneig(claimed: Sequence[str], lines: Sequence[str]) -> Measured | str:
    """Return the share of claimed words that were read."""
    measured = measure_oneig(" ".join(claimed), " ".join(lines))
    if not measured.words:
        return "the claimed text has no letter or digit"
    alone = score_oneig([measured])["score"]
    right = measured.distance == 0
    return measured.matched / measured.words, right, {"passed": right, "alone": alone, **measured.to_dict()}


def join_tiif(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figures of many samples from their evidence: the means of GNED and of recall."""
    pairs = [(each["gned"], each["recall"]) for each in evidence]
    return dict(zip(("GNED", "recall"), map(fmean, zip(*pairs, strict=True)), strict=True)) if pairs else {}


def join_cvtg(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figures of many samples from their evidence: word accuracy and NED over all words."""
    known = [each for each in evidence if "near" in each]  # runs of older versions do not have it
    return score_cvtg(CVTG(each["words"], each["right"], each["near"]) for each in known) if known else {}


def join_longtext(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figure of many samples from their evidence: all matched words over all claimed ones."""
    pairs = [(each["matched"], each["words"]) for each in evidence]
    return {"accuracy": sum(matched for matched, _ in pairs) / max(1, sum(words for _, words in pairs))}


def join_oneig(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figures of many samples from their evidence: ED, CR, WAC, score; separately in Chinese."""
    measured = [OneIG(each["distance"], each["matched"], each["words"], each["chinese"]) for each in evidence]
    figures: dict[str, float] = {}
    for chinese, note in ((False, ""), (True, " (Chinese)")):
        if mine := [one for one in measured if one.chinese == chinese]:
            figures |= {f"{name}{note}": value for name, value in score_oneig(mine).items()}
    return figures


_METRICS: dict[str, Callable[[Sequence[str], Sequence[str]], Measured | str]] = {
    "mario": measure_mario,
    "tiif": measure_by_tiif,
    "cvtg": measure_by_cvtg,
    "flow_grpo": measure_flow_grpo,
    "longtext": measure_by_longtext,
    "oneig": measure_by_oneig,
}
_CORPORA = {
    "mario": score_mario,
    "tiif": join_tiif,
    "cvtg": join_cvtg,
    "longtext": join_longtext,
    "oneig": join_oneig,
}
