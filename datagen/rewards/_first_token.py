"""Says where a judge's answer stands, and reads the probability of the accepted answers from the tokens there.

P is the softmax mass of the tokens that begin an accepted answer, as VQAScore, GenEval 2 and Soft-TIFA define it, but
told by the text of tokens, since an engine behind HTTP shows no token ids. A token is compared without the white space,
quotes and other marks around it, without the space markers of BPE vocabularies, and in any case of letters. A token in
its own right counts once, the sum at most 1.

A judge may write marks, a JSON key, a box or `Answer:` before its answer: `find_answer` says where it stands. In prose
("It does, yes.") an answer is found only where nothing else can be meant: `no` as in "no cup" is none.

A vocabulary may split an answer: `twelve` is `t`, `w`, … in one, `12` is `1`, `2` in most. A proper part counts if it
begins no other answer to such a question (`thr` can only be three); else its mass is `unclear`, and whoever reads it
must not take it for a no.

Not covered: answers in other languages, `true` and `false`, an answer that takes itself back ("No. Wait, yes.").
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from datagen.chat import MARKERS
from datagen.rewards._questions import NO, YES
from datagen.taxonomy.english import number_word

_VALUES = {number_word(n): n for n in range(21)} | {"none": 0}
NUMBERS = frozenset({*_VALUES, *(str(n) for n in range(21))})
YES_NO = frozenset(form.casefold() for form in (*YES, *NO))
_AROUND = re.compile(r"^[\W_]+|[\W_]+$")
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_KEY = r'"[^"\n]{1,40}"\s*:'
_LEAD = re.compile(rf"(?:{_KEY}|```\w*\s|\\text\s*\{{|<\|?/?\w+\|?>|[\W_])*")
"""Everything that may stand before an answer and is none: marks, quotes, brackets, a JSON key, a fence, a tag."""
_SIGN = re.compile(
    r"<answer>|<\|begin_of_box\|>|\\boxed\s*\{|\"(?:final[ _])?(?:answer|verdict|result|response)\"\s*:"
    r"|\banswer[\s*_]*(?:is\b|[:=])",
    re.IGNORECASE,
)
"""What says that the answer follows; the last one in a text counts."""
_BEFORE = r"(?:^\s*|\n\s*|[^\w\s]\s*|\b(?:say|think|so|therefore|answer)\s+)[\"'*]*"
_SAID_YES = re.compile(rf"{_BEFORE}(yes)\b(?!\s*(?:or|and|/)\s*no\b)", re.IGNORECASE)
_SAID_NO = re.compile(rf"{_BEFORE}(no)[\"'*]*\s*(?=$|[.,;:!)\n])", re.IGNORECASE)
_ENDS = re.compile(r"\s*(?:$|[^\w\s])")
_CAPTION = re.compile(r"\b[Cc]aption\s+[\"'*(]*([A-Z])\b")
_DENIED = re.compile(r"(?:\bnot|n['’]t|\bnever|\bcannot)\s+(?:\w+\s+){0,2}[\"'*]*$", re.IGNORECASE)
_SAID_ONE = re.compile(r"\b(?:is|are|only|just|exactly|see|shows?|has|have|contains?)\s+[\"'*]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FirstToken:
    """Probabilities in [0, 1]: of an accepted answer, of one that is not, of a part that tells nothing; of each token.

    `rivals` are the other of yes and no, or the other numbers; `answer` is the probability of any yes or no, or of
    any number: less than 1 where the judge might have said something else, unless its engine binds it.
    """

    accepted: float
    rivals: float
    unclear: float
    answer: float
    tokens: dict[str, float]


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer in a text: its first character, its word, and whether it stands where answers stand, or in prose."""

    begin: int
    word: str
    in_prose: bool


def read_first_token(logprobs: Mapping[str, float], accepted: Collection[str]) -> FirstToken:
    """Sum natural log-probabilities by what each token begins; raises ValueError for NaN."""
    tokens: dict[str, float] = {}
    for raw, value in logprobs.items():
        if math.isnan(value):
            raise ValueError(f"the log-probability of {raw!r} is not a number")
        token = raw.translate(MARKERS)
        tokens[token] = max(tokens.get(token, 0.0), math.exp(min(value, 0.0)))
    ours, rivals = _fold(accepted), rivals_of(accepted)
    bare = {token: _strip(token) for token in tokens}
    kinds = {token: _classify(bare[token], ours, rivals) for token in tokens}
    return FirstToken(
        accepted=_sum(p for token, p in tokens.items() if kinds[token] == "accepted"),
        rivals=_sum(p for token, p in tokens.items() if _classify(bare[token], rivals, ours) == "accepted"),
        unclear=_sum(p for token, p in tokens.items() if kinds[token] == "unclear"),
        answer=_sum(p for token, p in tokens.items() if kinds[token] == "accepted" or _begins(bare[token], accepted)),
        tokens=tokens,
    )


def rivals_of(accepted: Collection[str]) -> frozenset[str]:
    """Return the other answers to the same question, in lower case: the other of yes and no, or the other numbers."""
    return (YES_NO if asks_yes_no(accepted) else NUMBERS) - _fold(accepted)


def asks_yes_no(accepted: Collection[str]) -> bool:
    """Say whether the question is one of yes or no; the others ask for a number."""
    return YES_NO.issuperset(_fold(accepted))


def holds(word: str, accepted: Collection[str]) -> bool:
    """Say whether an answer's word is an accepted one, letter case aside, `12` as good as `twelve`."""
    return word.casefold() in _fold(accepted) or (
        not asks_yes_no(accepted) and _value_of(word) in map(_value_of, accepted)
    )


def find_answer(text: str, accepted: Collection[str]) -> FoundAnswer | None:
    """Return where a text answers a question that these answers are accepted to, or None where it does not.

    Behind the last `Answer:`, `\\boxed{`, `"answer":` or `<answer>` if there is one, else at the beginning, else in
    prose that says one answer and no other.
    """
    *_, sign = (0, *(found.end() for found in _SIGN.finditer(text)))
    for start in dict.fromkeys((sign, 0)):
        found = _WORD.match(text, _LEAD.match(text, start).end())  # type: ignore[union-attr]
        if found is None:
            continue
        word = found.group()
        if _is_answer(word, accepted):
            others = _find_in_prose(text[found.end() :], accepted) if asks_yes_no(accepted) else {}
            return FoundAnswer(found.start(), word, False) if others.keys() <= {_name(word)} else None
        if word.casefold() in YES_NO and is_only(text[found.start() :], word):
            return FoundAnswer(found.start(), word, False)  # to how many there are: an answer, and no number
    said = _find_in_prose(text, accepted)
    if len(said) != 1:
        return None
    ((begin, word),) = said.values()
    return FoundAnswer(begin, word, True)


def find_letter(text: str, letters: str) -> str:
    """Return the one letter, of some capital ones, that a text answers with, or `""`: "A better one" is no A."""
    *_, sign = (0, *(found.end() for found in _SIGN.finditer(text)))
    for start in dict.fromkeys((sign, 0)):
        found = _WORD.match(text, _LEAD.match(text, start).end())  # type: ignore[union-attr]
        if found and found.group().upper() in [*letters] and _ENDS.match(text, found.end()):
            return found.group().upper()
    named = {each for each in _CAPTION.findall(text) if each in letters}
    return named.pop() if len(named) == 1 else ""


def read_first_word(text: str) -> str:
    """Return the first word or number of a written answer, or `""`: `Yes` of ` "Yes, it is."`."""
    found = _WORD.search(text)
    return found.group() if found else ""


def is_only(text: str, word: str) -> bool:
    """Say whether a text is nothing but this word, once or again and again."""
    return {found.casefold() for found in _WORD.findall(text)} == {word.casefold()}


def _find_in_prose(text: str, accepted: Collection[str]) -> dict[str, tuple[int, str]]:
    """Return each answer that a text says for sure, with the place and the word of the last time it does."""
    if asks_yes_no(accepted):
        found = [each for form in (_SAID_YES, _SAID_NO) for each in form.finditer(text)]
        return {
            _name(each[1]): (each.start(1), each[1]) for each in found if not _DENIED.search(text, 0, each.start(1))
        }
    words = [each for each in _WORD.finditer(text) if _is_answer(each.group(), accepted)]
    return {
        _name(each.group()): (each.start(), each.group())
        for each in words
        if each.group().casefold() not in ("one", "no") or _SAID_ONE.search(text, 0, each.start())
    }


def _is_answer(word: str, accepted: Collection[str]) -> bool:
    if asks_yes_no(accepted):
        return word.casefold() in YES_NO
    return _value_of(word) is not None or word.casefold() in {*_fold(accepted), "no"}


def _name(word: str) -> str:
    """Return a word as the answer that it is: yes, no, or a number in digits."""
    value = _value_of(word)
    return word.casefold() if value is None else str(value)


def _value_of(word: str) -> int | None:
    low = word.casefold()
    return int(low) if low.isascii() and low.isdigit() and len(low) < 10 else _VALUES.get(low)


def _classify(token: str, accepted: Collection[str], rivals: Collection[str]) -> str:
    """Return `accepted`, `unclear` (it begins an accepted answer and may begin another), or `other`."""
    if token in accepted:
        return "accepted"
    if not token or not any(form.startswith(token) for form in accepted):
        return "other"
    shared = token.isdigit() or any(rival.startswith(token) for rival in rivals)
    return "unclear" if shared else "accepted"


def _begins(token: str, accepted: Collection[str]) -> bool:
    """Say whether a token can begin any answer to a question: a yes or a no, or a number."""
    forms = YES_NO if asks_yes_no(accepted) else NUMBERS
    return bool(token) and ((forms is NUMBERS and token.isdigit()) or any(form.startswith(token) for form in forms))


def _strip(token: str) -> str:
    return _AROUND.sub("", token).casefold()


def _fold(forms: Iterable[str]) -> frozenset[str]:
    return frozenset(form.casefold() for form in forms)


def _sum(values: Iterable[float]) -> float:
    return min(1.0, math.fsum(values))
