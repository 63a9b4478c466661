"""Judges the words written in the image, to the letter: each claimed text by itself, on the lines that are its own.

A text is right if the very letters stand there in their order. Letter case counts where the text has letters that tell
it (`wow` and `WOW` differ in size alone), spaces count between letters (not beside a mark, where readers drop them:
`No.1` is `No. 1`). Where a text stands, and on how many lines, does not matter; words of one text that stand in another
do. `passed` asks that every text is right and that nothing is written beside them. Value: 1 if passed, else how near it
all is (`scoring.rendered.compare_texts`), so that a nearly right word is worth more than none; wrong letter case costs
half a letter, and the right words in a wrong order are worth half. Precision, recall and F1 of whole words, as in
MARIO-Eval, stand in the evidence.

Cannot see where a line stands: two texts of one word each that changed places are right, and so are lines that the
reader gives in an order in which they make the claimed texts.

That is `metric: letters`, the default. The others are those of benchmarks and methods, each to its authors' definition:

**mario**: judges the words in the image as MARIO-Eval does (arXiv 2305.10855; LenCom-Eval, arXiv 2403.16422): value is
F1. Words are compared whole and in any order, letter case ignored, punctuation kept: "Open," is not "open". Their
accuracy (the same words, no more and no fewer) is `passed`. Of a corpus the published F is that of mean precision and
mean recall, which the report shows beside the mean of these values. Source: `textdiffuser/eval/ocr_eval.py` of
github.com/microsoft/unilm at 768a3c8, from which this differs as `scoring.rendered.compare_words` says. Cannot see
where a word stands, how it looks, or how near a wrong word is: one letter off is as wrong as ten.

**tiif**: judges the words in the image as TIIF-Bench does (arXiv 2506.02161): value is 1 - GNED. GNED is an error,
better lower: claimed and read words paired one to one (Hungarian), their normalised edit distances, and the difference
in number, over the larger number; so a word left out, put in or misspelt all cost. GNED and recall (claimed words that
find a read word of their own at most 0.3 away) stand in the evidence; GNED 0 is `passed`. Words are split at spaces,
letter case is ignored, marks are kept: "5," is not "5". Equal to the authors' code
(`eval/cal_gned_and_recall_models.py` of github.com/A113N-W3I/TIIF-Bench at 3aae750) up to 100 words of each side; their
figures of a corpus are means over images. Cannot see the order of words.

**cvtg**: judges the words in the image as CVTG-2K does (arXiv 2503.23461): value is NED, how near each claimed word was
read. NED here is a similarity, better higher: the mean over claimed words of 1 - edit distance / longer length to the
read word that is most alike. Word accuracy, the share of claimed words read to the letter, stands in the evidence.
Words are split at spaces, letter case is ignored, marks are kept: "5," is not "5". Both let one read word answer for
all claimed copies of it and forgive surplus words, so the scorer does not say `passed`. Of a corpus both are means over
all words, which the report shows. Equal to the authors' evaluator (`unified_metrics_eval.py` of TextCrafter) up to 100
words of each side and 100 letters of a word; there PaddleOCR reads, here the recipe's OCR.

**flow_grpo**: judges the words in the image by the OCR reward of Flow-GRPO (arXiv 2505.05470): spaces out, letter case
ignored. 1 if the claimed text stands anywhere in what was read, else 1 - min(edit distance, length) / length. What is
read beside the text costs nothing once it is there, so the scorer does not say `passed`. The published reward takes the
first quotation of the prompt alone; here every text claim is judged, on the lines that match it, and the value is their
mean. It cannot see spaces: "NOW HERE" is "nowhere".

**longtext**: judges the words in the image as LongText-Bench does (arXiv 2507.22058): the share of claimed words that
were read. Letters and digits, letter case ignored, a multiset match in any order; of Chinese, characters. The
benchmark's figure sums matched and claimed words (both in the evidence) over all samples before it divides. It forgives
surplus words, so it does not say `passed`. Differs from the published evaluator as `scoring.rendered` says, in ignoring
letter case within Chinese text too, and in the reader: an OCR here, a vision-language model there.

**oneig**: judges the words in the image as OneIG-Bench does (arXiv 2506.07977): letters and digits, letter case counts.
The benchmark's score is of a corpus: 1 - min(ED, M) * (1 - CR) * (1 - WAC) / M (`scoring.rendered.score_oneig`). Of one
short text it is next to 1 whatever was drawn ("OPEN" read as nothing: 0.96), so it would select nothing. The value here
is the sample's part of WAC: matched words over claimed ones, of Chinese characters. The evidence holds what the corpus
score is made of (`distance`, `matched`, `words`, `chinese`) and that score `alone`; distance 0 is `passed`.

As in the authors' code (`scripts/text` of github.com/OneIG-Bench/OneIG-Benchmark at 41b4983), the distance compares the
claimed texts in the order of the claims with the lines in the order in which they are read: texts that stand in another
order cost distance, and do not pass. `text` judges each text by itself. Differs from the published evaluator as
`scoring.rendered` says, and in the reader: an OCR here, a vision-language model there. Cannot see surplus words in the
value (they cost distance, not WAC), or fonts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Literal

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.rendered import (
    CVTG,
    OneIG,
    compare_texts,
    compare_words,
    explain,
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

TARGET: Modality = "image"
JUDGES = frozenset({"text"})
Metric = Literal["letters", "mario", "tiif", "cvtg", "flow_grpo", "longtext", "oneig"]
Measured = tuple[float, bool, dict[str, Any]]
"""A value in [0, 1], whether all is right, and the evidence."""


class Options(ScorerOptions):
    """By whose definition a text is right."""

    metric: Metric = "letters"


PLAIN = Options()
"""As it is without options."""


def describe(options: Options) -> dict[str, Any]:
    """Return how the evidence of many samples becomes the benchmark's own figures, where it has some."""
    corpus = _CORPORA.get(options.metric)
    return {"score_corpus": corpus} if corpus else {}


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge every text claim of the prompt on what the OCR reads in the sample's last image."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    if options.metric == "letters":
        claims = [str(claim) for claim in prompt.claims if claim.kind == "text"]
        measured: Measured | str = measure_letters(claims, claimed, lines)
    else:
        measured = _METRICS[options.metric](claimed, lines)
    if isinstance(measured, str):
        return Verdict(None, measured)
    value, right, evidence = measured
    return Verdict(value, explain(claimed, lines, right=right), {**evidence, "read": lines})


def measure_letters(claims: Sequence[str], claimed: Sequence[str], lines: Sequence[str]) -> Measured:
    """Hold each claimed text against the lines that are its own, to the letter."""
    written = compare_texts(claimed, lines)
    right = all(written.right) and not written.others
    shares = compare_words(" ".join(claimed).split(), " ".join(lines).split())
    evidence = {
        **shares,
        "passed": right,
        "similarity": written.similarity,
        "claims": dict(zip(claims, written.right, strict=True)),
    }
    return 1.0 if right else max(written.similarity, float(shares["f1"]) / 2), right, evidence


def measure_mario(claimed: Sequence[str], lines: Sequence[str]) -> Measured | str:
    """Return the F1 of claimed and read words; precision and recall beside it."""
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
    """Return the mean nearness of claimed words."""
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
    known = [each for each in evidence if "near" in each]  # runs of older versions did not note it
    return score_cvtg(CVTG(each["words"], each["right"], each["near"]) for each in known) if known else {}


def join_longtext(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figure of many samples from their evidence: all matched words over all claimed ones."""
    pairs = [(each["matched"], each["words"]) for each in evidence]
    return {"accuracy": sum(matched for matched, _ in pairs) / max(1, sum(words for _, words in pairs))}


def join_oneig(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figures of many samples from their evidence: ED, CR, WAC, score; Chinese texts apart."""
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
