"""Reads what a judge's first token says: the probability of the accepted answers, from log-probabilities of tokens.

P is the softmax mass of the tokens that begin an accepted answer, as VQAScore, GenEval 2 and Soft-TIFA define it, but
told by the text of tokens, since an engine behind HTTP shows no token ids. A token is compared without the spaces
around it and without the space markers of BPE vocabularies. A token in its own right counts once, the sum at most 1.

A vocabulary may split an answer: `twelve` is `t`, `w`, … in one, `12` is `1`, `2` in most. A proper part counts if it
begins no other answer to such a question (`thr` can only be three); else its mass is `unclear`, and whoever reads it
must not take it for a no.

Not covered: a first token that says more than the answer (`Yes,`); it holds no accepted answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from datagen.rewards._questions import NO, YES
from datagen.taxonomy.english import number_word

MARKERS = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n"})
"""What byte-level BPE and SentencePiece write for white space."""
_WORDS = [number_word(n) for n in range(21)]
NUMBERS = frozenset({*_WORDS, *(word.capitalize() for word in _WORDS), *(str(n) for n in range(21))})
YES_NO = frozenset({*YES, *NO})


@dataclass(frozen=True, slots=True)
class FirstToken:
    """Probabilities in [0, 1]: of an accepted answer, of one that is not, of a part that tells nothing; of each token.

    `rivals` are the other of yes and no, or the other numbers; `answer` is the probability of any yes, no or number.
    """

    accepted: float
    rivals: float
    unclear: float
    answer: float
    tokens: dict[str, float]


def read_first_token(logprobs: Mapping[str, float], accepted: Collection[str]) -> FirstToken:
    """Sum natural log-probabilities by what each token begins; raises ValueError for NaN."""
    tokens: dict[str, float] = {}
    for raw, value in logprobs.items():
        if math.isnan(value):
            raise ValueError(f"the log-probability of {raw!r} is not a number")
        token = raw.translate(MARKERS)
        tokens[token] = max(tokens.get(token, 0.0), math.exp(min(value, 0.0)))
    rivals = rivals_of(accepted)
    kinds = {token: _classify(token.strip(), accepted, rivals) for token in tokens}
    return FirstToken(
        accepted=_sum(p for token, p in tokens.items() if kinds[token] == "accepted"),
        rivals=_sum(p for token, p in tokens.items() if _classify(token.strip(), rivals, accepted) == "accepted"),
        unclear=_sum(p for token, p in tokens.items() if kinds[token] == "unclear"),
        answer=_sum(p for token, p in tokens.items() if kinds[token] == "accepted" or begins_answer(token.strip())),
        tokens=tokens,
    )


def rivals_of(accepted: Collection[str]) -> frozenset[str]:
    """Return the other answers to the same question: the other of yes and no, or the other numbers."""
    return (YES_NO if YES_NO.issuperset(accepted) else NUMBERS) - frozenset(accepted)


def _classify(token: str, accepted: Collection[str], rivals: Collection[str]) -> str:
    """Return `accepted`, `unclear` (it begins an accepted answer and may begin another), or `other`."""
    if token in accepted:
        return "accepted"
    if not token or not any(form.startswith(token) for form in accepted):
        return "other"
    shared = token.isdigit() or any(rival.startswith(token) for rival in rivals)
    return "unclear" if shared else "accepted"


def begins_answer(token: str) -> bool:
    """Say whether a token can begin a yes, a no or a number, in any case of letters."""
    low = token.lower()
    return bool(low) and (low.isdigit() or any(word.startswith(low) for word in YES_NO | NUMBERS))


def read_first_word(text: str) -> str:
    """Return the first word or number of a written answer, or `""`: `Yes` of ` "Yes, it is."`."""
    found = re.search(r"\w+(?:-\w+)*", text)
    return found.group() if found else ""


def _sum(values: Iterable[float]) -> float:
    return min(1.0, math.fsum(values))
