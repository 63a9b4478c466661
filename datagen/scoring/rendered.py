"""Metrics of rendered text: claimed text against text read in the image, as six published evaluators define them.

These are pure functions over strings. The scorer `text` wraps them, and they also measure a corpus directly. On plain
text each returns what its authors' code returns; `tests/rewards/authors/` compares them. If a text has several
spellings in Unicode, `unify` makes them one on both sides first.

Two faults of the published cleaning (OneIG, LongText) are not repeated. It keeps only the Latin letters of French and
Chinese characters, so that Cyrillic or Hindi text disappears and scores as correct; and it detects the language of each
side separately, so that a Chinese text read as Latin is split unlike the claim. Here all letters, marks and digits of
Unicode stay, composed (NFC), and the claim decides the language. Replacements for known hallucinations of one reader
("addCriterion") are omitted. CVTG and TIIF clean nothing: they ignore letter case and split at spaces, so `5,` differs
from `5`, and Chinese without spaces is one word.

The work is bounded: a text counts up to `MOST_CHARACTERS`, and comparisons of words with words use `MOST_WORDS` of each
side. The rest is not compared and counts as wrong.
"""

from __future__ import annotations

import difflib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz.distance import Levenshtein

from datagen.records import Cause, Prompt, Record, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import find_unseen, refuse
from datagen.scoring.verdicts import NO_IMAGE
from datagen.vision.ocr import unify

MOST_CHARACTERS = 20_000
"""Most characters of a text that are compared (at most 0.03 s); no picture holds more."""
MOST_WORDS = 100
"""Most words of each side that are compared with each other (at most 10,000 pairs)."""
MOST_LINES = 100
"""Most lines that are matched with claimed texts; later ones belong to none."""
LONGEST_WORD = 100
"""Most letters of a word when CVTG searches the nearest read word."""
CLOSE = 0.3
"""Greatest normalised edit distance of a word that TIIF counts as recalled."""
CVTG_GUARD = 1e-5
"""Addend of CVTG's code to the length that it divides by."""
ONEIG_MOST = {False: 100, True: 50}
"""Edit distance at which OneIG's score saturates, for alphabetic texts and for Chinese."""

_CHINESE = re.compile("[\u4e00-\u9fff]")
_SPACELESS = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
_LIKE_SHAPED = frozenset("cosvwxz")
"""Letters whose two cases differ in size alone, so that the case is unknowable without other letters beside them."""
_NOT_PLAIN = re.compile(r"[^a-zA-Z0-9\s]")


def edit_distance(a: str, b: str) -> int:
    """Return the Levenshtein distance: the fewest insertions, deletions and substitutions of characters.

    Exact up to `MOST_CHARACTERS` each; beyond, an upper bound that is never more than the longer length.
    """
    if a == b:
        return 0
    beyond = max(len(a), len(b)) - MOST_CHARACTERS
    return Levenshtein.distance(a[:MOST_CHARACTERS], b[:MOST_CHARACTERS]) + max(beyond, 0)


def normalized_distance(a: str, b: str) -> float:
    """Return the edit distance over the longer length, in [0, 1]; 0 for two empty texts."""
    longer = max(len(a), len(b))
    return edit_distance(a, b) / longer if longer else 0.0


def spell(text: str) -> str:
    """Return a text with only the spaces between two letters or digits.

    A space beside a mark (`No. 1`, `A & B`) or a Chinese or Japanese character cannot be read reliably and is dropped.
    """
    words = text[:MOST_CHARACTERS].split()
    if len(words) < 2:
        return "".join(words)
    spelled = words[:1]
    for before, word in itertools.pairwise(words):
        spelled += [word] if _is_loose(before[-1]) or _is_loose(word[0]) else [" ", word]
    return "".join(spelled)


def _is_loose(letter: str) -> bool:
    if letter.isascii():
        return not letter.isalnum()
    return unicodedata.category(letter)[0] in "PS" or bool(_SPACELESS.match(letter))


def has_case(text: str) -> bool:
    """Tell whether the letter case of a text is visible: it has a letter whose two cases differ in more than size."""
    return any(letter.lower() != letter.upper() and letter.lower() not in _LIKE_SHAPED for letter in text)


def is_chinese(text: str) -> bool:
    """Tell whether a text contains a Chinese character (U+4E00 to U+9FFF), the rule of OneIG."""
    return bool(_CHINESE.search(text))


def clean(text: str, *, chinese: bool, lower: bool = False) -> str:
    """Return letters and digits with single spaces between words, without spaces in Chinese, cut at the bound."""
    text = unicodedata.normalize("NFC", text[:MOST_CHARACTERS])
    text = _NOT_PLAIN.sub("", text) if text.isascii() else "".join(filter(_stays, text))
    text = ("" if chinese else " ").join(text.split())
    return text.lower() if lower else text


def _stays(letter: str) -> bool:
    return letter.isalnum() or letter.isspace() or unicodedata.category(letter).startswith("M")


def part(text: str, *, chinese: bool) -> list[str]:
    """Return the words of a cleaned text, or the characters of a Chinese one."""
    return list(text) if chinese else text.split()


def compare_words(claimed: Sequence[str], seen: Sequence[str]) -> dict[str, Any]:
    """Return `passed` (exact), `precision`, `recall` and `f1`, each in [0, 1], of two lists of words.

    These are the metrics of MARIO-Eval (arXiv 2305.10855; LenCom-Eval, arXiv 2403.16422): letter case ignored, a greedy
    multiset match, precision = matched / read, recall = matched / claimed. MARIO-Eval's accuracy joins the sorted words
    before comparing, so "ab c" equals "a bc" there; here the words must be equal. If no word was read, precision,
    recall and F1 are 0. The 1e-8 in the divisors of their code is omitted, so that a correct text scores 1.
    """
    truth, words = [word.lower() for word in claimed], [word.lower() for word in seen]
    matched = (Counter(truth) & Counter(words)).total()
    precision = matched / len(words) if words else 0.0
    recall = matched / len(truth) if truth else 0.0
    f1 = 2 * precision * recall / (precision + recall) if matched else 0.0
    return {"passed": matched == len(truth) == len(words), "precision": precision, "recall": recall, "f1": f1}


def score_mario(samples: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return `accuracy`, `precision`, `recall` and `F` of many texts from the results of `compare_words`.

    As in MARIO-Eval, F combines the mean precision and the mean recall; it is not the mean of F. All are 0 for no text.
    """
    measured = list(samples)
    if not measured:
        return dict.fromkeys(("accuracy", "precision", "recall", "F"), 0.0)
    names = {"accuracy": "passed", "precision": "precision", "recall": "recall"}
    means = {name: sum(float(each[key]) for each in measured) / len(measured) for name, key in names.items()}
    both = means["precision"] + means["recall"]
    return {**means, "F": 2 * means["precision"] * means["recall"] / both if both else 0.0}


@dataclass(frozen=True, slots=True)
class OneIG(Record):
    """OneIG's measures of one picture: edit distance, matched words, claimed words, and the language."""

    distance: int
    matched: int
    words: int
    chinese: bool


def measure_oneig(truth: str, read: str) -> OneIG:
    """Measure one text by OneIG-Bench (arXiv 2506.07977, `scripts/text`): letter case counts, punctuation does not."""
    chinese = is_chinese(truth)
    wanted, seen = clean(truth, chinese=chinese), clean(read, chinese=chinese)
    words = part(wanted, chinese=chinese)
    matched = (Counter(words) & Counter(part(seen, chinese=chinese))).total()
    return OneIG(edit_distance(wanted, seen), matched, len(words), chinese)


def score_oneig(samples: Iterable[OneIG]) -> dict[str, float]:
    """Return `ED`, `CR`, `WAC` and `score` of many texts of one language.

    ED is the mean distance, CR the share with distance 0, WAC all matched words over all claimed ones;
    score = 1 - min(ED, M) * (1 - CR) * (1 - WAC) / M with M = 100, for Chinese 50. Raises ValueError for no text and
    for two languages, which OneIG scores separately.
    """
    measured = list(samples)
    if len({sample.chinese for sample in measured}) != 1:
        raise ValueError("OneIG's score is of one or more texts of one language")
    most = ONEIG_MOST[measured[0].chinese]
    distance = sum(sample.distance for sample in measured) / len(measured)
    complete = sum(sample.distance == 0 for sample in measured) / len(measured)
    words = sum(sample.words for sample in measured)
    accuracy = sum(sample.matched for sample in measured) / words if words else 0.0
    score = 1 - min(distance, most) * (1 - complete) * (1 - accuracy) / most
    return {"ED": distance, "CR": complete, "WAC": accuracy, "score": score}


def measure_longtext(truth: str, read: str) -> tuple[int, int]:
    """Return (matched words, claimed words) by LongText-Bench (arXiv 2507.22058): as OneIG, letter case ignored.

    The benchmark's figure is the sum of the first over the sum of the second.
    """
    wanted, seen = _words_of(truth, read)
    return (Counter(wanted) & Counter(seen)).total(), len(wanted)


@dataclass(frozen=True, slots=True)
class CVTG(Record):
    """CVTG's measures of one picture: claimed words, words read exactly, and the sum of all similarities."""

    words: int
    right: int
    near: float


def measure_cvtg(truth: str, read: str) -> CVTG:
    """Measure one text by CVTG-2K (arXiv 2503.23461): letter case ignored, words split at spaces, marks kept.

    A claimed word is right if it is among the read ones: one read word serves all its claimed copies, and extra words
    cost nothing. Its similarity, in [0, 1], is 1 - edit distance / longer length to the read word that `difflib` finds
    most alike, which is not always the one at the least distance.
    """
    wanted, seen = truth[:MOST_CHARACTERS].lower().split(), read[:MOST_CHARACTERS].lower().split()
    there = set(seen)
    near = dict.fromkeys(there, 1.0)
    tried = list(dict.fromkeys(seen))[:MOST_WORDS] or [""]
    for word in [word for word in dict.fromkeys(wanted) if word not in there][:MOST_WORDS]:
        other = _find_alike(word, tried)
        near[word] = 1 - edit_distance(word, other) / (max(len(word), len(other)) + CVTG_GUARD)
    return CVTG(len(wanted), sum(word in there for word in wanted), sum(near.get(word, 0.0) for word in wanted))


def _find_alike(word: str, tried: Sequence[str]) -> str:
    """Return the word most similar by `difflib`; of two equally similar the later in the alphabet."""
    if len(tried) == 1:
        return tried[0]
    matcher = difflib.SequenceMatcher()
    matcher.set_seq2(word[:LONGEST_WORD])
    best, most = "", -1.0
    for other in tried:
        matcher.set_seq1(other[:LONGEST_WORD])
        if matcher.real_quick_ratio() < most or matcher.quick_ratio() < most:  # upper bounds of `ratio`, and cheap
            continue
        if (ratio := matcher.ratio(), other) > (most, best):
            most, best = ratio, other
    return best


def score_cvtg(samples: Iterable[CVTG]) -> dict[str, float]:
    """Return `word_accuracy` and `NED` of many texts, in [0, 1], higher is better: means over words, not over texts."""
    measured = list(samples)
    words = max(1, sum(sample.words for sample in measured))
    return {
        "word_accuracy": sum(sample.right for sample in measured) / words,
        "NED": sum(sample.near for sample in measured) / words,
    }


def measure_tiif(truth: str, read: str) -> tuple[float, float]:
    """Return (GNED, recall) by TIIF-Bench (arXiv 2506.02161), both in [0, 1]; for GNED lower is better.

    Letter case is ignored, words are split at single spaces, marks are kept. Claimed and read words are paired one to
    one for the least sum of normalised edit distances (Hungarian); GNED adds the difference of the numbers of words and
    divides by the larger number. Recall is the share of claimed words that find, in order, a read word of their own at
    most `CLOSE` away. If nothing was read, the read text is one empty word; recall of no claimed word is 0.
    """
    wanted = truth[:MOST_CHARACTERS].lower().split()
    seen = read[:MOST_CHARACTERS].lower().split(" ")
    if not wanted:
        return 1.0, 0.0
    ours, theirs = wanted[:MOST_WORDS], seen[:MOST_WORDS]
    costs = [[normalized_distance(word, other) for other in theirs] for word in ours]
    pairs = _pair_least(costs)
    longer = max(len(wanted), len(seen))
    return (sum(pairs) + longer - len(pairs)) / longer, _count_close(costs) / len(wanted)


def _count_close(costs: Sequence[Sequence[float]]) -> int:
    """Count the rows that find, in order, a free column at most `CLOSE` away; each takes the first one."""
    free = dict.fromkeys(range(len(costs[0])))
    for row in costs:
        if (column := next((k for k in free if row[k] <= CLOSE), None)) is not None:
            del free[column]
    return len(costs[0]) - len(free)


def _pair_least(costs: list[list[float]]) -> list[float]:
    """Return the costs of the one-to-one pairs of rows and columns with the least sum."""
    if len(costs) == 1 or len(costs[0]) == 1:  # a single word takes the closest: no need for scipy
        return [min(min(row) for row in costs)]
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(costs)
    return [costs[row][column] for row, column in zip(rows.tolist(), columns.tolist(), strict=True)]


def _words_of(truth: str, read: str) -> tuple[list[str], list[str]]:
    chinese = is_chinese(truth)
    wanted, seen = (part(clean(text, chinese=chinese, lower=True), chinese=chinese) for text in (truth, read))
    return wanted, seen


def reward_flow_grpo(target: str, read: str, everything: str = "") -> float:
    """Return the OCR reward of Flow-GRPO (arXiv 2505.05470), in [0, 1]: spaces out, letter case ignored.

    1 if the read text contains the target, else 1 - min(edit distance, length of the target) / that length.
    `everything`, if given, is searched for the target instead of `read`. An empty target scores 0; the published code
    divides by zero.
    """
    wanted, seen, whole = (_squeeze(text) for text in (target, read, everything or read))
    if not wanted:
        return 0.0
    return 1.0 if wanted in whole else 1 - min(edit_distance(wanted, seen), len(wanted)) / len(wanted)


def _squeeze(text: str) -> str:
    return "".join(text[:MOST_CHARACTERS].split()).lower()


def match_regions(claimed: Sequence[str], lines: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Return the read lines of each claimed text, in reading order, and the lines that belong to none.

    Texts may be anywhere in a picture, in any order, each on one or several lines. First each text that is there whole
    takes its lines (`_take_whole`). Then each of the others is paired with at most one line, for the largest sum of
    similarities, and each remaining line joins the text whose similarity it raises most, if any. A single claimed text
    takes every line.
    """
    if len(claimed) < 2:
        return [list(lines)] * len(claimed), [] if claimed else list(lines)
    places = _take_whole(claimed, lines[:MOST_LINES])
    taken = {line for group in places for line in group}
    free = [line for line in range(min(len(lines), MOST_LINES)) if line not in taken]
    broken = [k for k, group in enumerate(places) if not group]
    if free and broken:
        for k, group in zip(
            broken, _share_lines([claimed[k] for k in broken], [lines[line] for line in free]), strict=True
        ):
            places[k] = [free[line] for line in group]
    taken = {line for group in places for line in group}
    others = [text for line, text in enumerate(lines) if line not in taken]
    return [[lines[line] for line in group] for group in places], others


def _take_whole(claimed: Sequence[str], lines: Sequence[str]) -> list[list[int]]:
    """Return for each text the lines that read exactly so, by their numbers, or none; no line serves two texts.

    The longest text chooses first, since its lines may begin with a shorter one. Letter case is ignored only for texts
    that are not there in their own. Not covered: texts that are whole only if one leaves the nearest lines to another,
    which takes several with the same words, side by side.
    """
    places: list[list[int]] = [[] for _ in claimed]
    longest_first = sorted(range(len(claimed)), key=lambda k: -len(claimed[k]))
    for fold in (str, str.lower):
        pieces = [fold(spell(line)) for line in lines]
        for k in longest_first:
            taken = {line for group in places for line in group}
            free = [line for line, piece in enumerate(pieces) if piece and line not in taken]
            places[k] = places[k] or _find_whole(fold(spell(claimed[k])), pieces, free)
    return places


def _find_whole(wanted: str, pieces: Sequence[str], free: Iterable[int]) -> list[int]:
    """Return the free pieces that are a text in reading order: the fewest, the nearest together, the last; else none.

    Text and pieces are as `spell` gives them.
    """
    ways: dict[int, list[int]] = {}  # the pieces that are the first so many letters of the text
    for number in free:
        piece = pieces[number]
        for end, before in [(0, []), *ways.items()]:
            gap = " " if end and not (_is_loose(wanted[end - 1]) or _is_loose(piece[0])) else ""
            if wanted.startswith(gap + piece, end):
                reached, way = end + len(gap + piece), [*before, number]
                ways[reached] = min(way, ways.get(reached, way), key=lambda each: (len(each), each[-1] - each[0]))
    return ways.get(len(wanted), [])


def _share_lines(claimed: Sequence[str], lines: Sequence[str]) -> list[list[int]]:
    """Return for each text the lines that are nearest to it, by their numbers."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    places: list[list[int]] = [[] for _ in claimed]
    gain = np.array([[_near(claimed, lines, k, [line]) for line in range(len(lines))] for k in range(len(claimed))])
    for k, line in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
        if gain[k, line] > 0:
            places[int(k)].append(int(line))
    for line in [line for line in range(len(lines)) if not any(line in group for group in places)]:
        gains = [
            _near(claimed, lines, k, [*group, line]) - _near(claimed, lines, k, group) for k, group in enumerate(places)
        ]
        best = max(range(len(gains)), key=gains.__getitem__)
        if gains[best] > 0:
            places[best].append(line)
    return [sorted(group) for group in places]


def _near(claimed: Sequence[str], lines: Sequence[str], text: int, group: Sequence[int]) -> float:
    """Return the similarity of lines and a claimed text, by their first 200 letters: in [0, 1], plus 0.001 if equal."""
    if not group:
        return 0.0
    wanted, read = claimed[text], " ".join(lines[k] for k in sorted(group))
    # 0.001 is less than one letter of 200: it decides only between texts that differ in case alone.
    return 1 - normalized_distance(wanted[:200].lower(), read[:200].lower()) + 0.001 * (wanted == read)


def cut_lines(claimed: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Return the lines, splitting those that contain several claimed texts side by side."""
    if len(claimed) < 2:
        return list(lines)
    whole = {spell(text).lower() for text in claimed} - {""}
    most = max((len(text.split()) for text in claimed), default=0)
    return [piece for line in lines for piece in _cut_line(line, whole, most)]


def _cut_line(line: str, whole: Collection[str], most_words: int) -> list[str]:
    words = line.split()
    if len(words) < 2 or len(words) > MOST_WORDS or spell(line).lower() in whole:
        return [line]
    pieces: list[list[str]] = [[]]
    place = 0
    while place < len(words):
        # The longest claimed text first, or "OPEN" would be cut out of "OPEN NOW".
        runs = range(min(most_words, len(words) - place), 0, -1)
        run = next((n for n in runs if spell(" ".join(words[place : place + n])).lower() in whole), 0)
        if run:
            pieces += [words[place : place + run], []]
        else:
            pieces[-1].append(words[place])
        place += run or 1
    return [" ".join(piece) for piece in pieces if piece]


@dataclass(frozen=True, slots=True)
class Written:
    """Comparison of claimed and read texts: why each was not read exactly, what else was read, and the similarity.

    The cause of a text that was read exactly is None.
    """

    causes: tuple[Cause | None, ...]
    others: tuple[str, ...]
    similarity: float

    @property
    def right(self) -> tuple[bool, ...]:
        """Whether each text was read exactly."""
        return tuple(cause is None for cause in self.causes)


def compare_texts(claimed: Sequence[str], lines: Sequence[str]) -> Written:
    """Compare claimed texts with read lines, letter by letter, each text with its own lines.

    The order of words counts within a text, not among texts. Letter case counts if it is visible (`has_case`), spaces
    count between letters (`spell`). `similarity` in [0, 1] is 1 - edit distance / longer length, summed over the texts;
    a line that belongs to none counts as distance in full, a letter in the wrong case as half.
    """
    groups, others = match_regions(claimed, cut_lines(claimed, lines))
    causes: list[Cause | None] = []
    apart = sum(map(len, others))
    length = float(apart)
    distance = float(apart)
    for text, group in zip(claimed, groups, strict=True):
        wanted, seen = spell(text), spell(" ".join(group))
        length += max(len(wanted), len(seen))
        if wanted == seen:
            causes.append(None)
            continue
        blind = edit_distance(wanted.lower(), seen.lower())
        strict = edit_distance(wanted, seen) if has_case(wanted) else blind
        causes.append(find_cause(wanted, seen) if strict else None)
        distance += (blind + strict) / 2
    return Written(tuple(causes), tuple(others), 1 - distance / length if length else 1.0)


def find_cause(wanted: str, seen: str) -> Cause:
    """Return why a text is not the claimed one, both as `spell` gives them; letter case decides only if nothing else.

    `merged` is a text with all its letters whose words run together or apart, `cut` one of which only a piece is there.
    """
    wanted, seen = wanted.lower(), seen.lower()
    if not seen:
        return "unread"
    if wanted == seen:
        return "case"
    if "".join(wanted.split()) == "".join(seen.split()):
        return "merged"
    return "cut" if seen in wanted else "extra" if wanted in seen else "misread"


def list_causes(claims: Sequence[str], written: Written) -> dict[str, Cause]:
    """Return why the claimed texts, as claims, are not the read ones; what belongs to none counts as extra."""
    causes = {claim: cause for claim, cause in zip(claims, written.causes, strict=True) if cause is not None}
    return {**causes, "other words": "extra"} if written.others else causes


def read_claimed(prompt: Prompt, sample: Sample, tools: Tools) -> tuple[list[str], list[str]] | Verdict:
    """Return the claimed texts of a prompt and the lines read in the sample's last image, or a verdict without value.

    Both are in the same form of Unicode (`unify`), whatever the reader returns and however the claim was typed.
    """
    claims = [claim for claim in prompt.claims if claim.kind == "text"]
    claimed = [unify(str(claim.value)) for claim in claims]
    if not claimed:
        return Verdict(None, "no text claim")
    if not all(any(letter.isalnum() for letter in text) for text in claimed):
        return Verdict(None, "the claimed text has no letter or digit")
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    if unseen := find_unseen(claims, tools):
        return refuse(unseen)
    return claimed, [unify(line) for line in tools.read_text(sample.image)]


def explain(claimed: list[str], lines: list[str], *, right: bool) -> str:
    """Return the reason of a verdict: the claimed and the read text."""
    seen = f'"{" ".join(lines)}"' if lines else "nothing"
    return f"read {seen} as asked" if right else f'expected "{" ".join(claimed)}", read {seen}'
