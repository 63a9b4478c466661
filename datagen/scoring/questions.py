"""Questions about an image, made from its prompt's claims: the atoms of Soft-TIFA and the nodes of a question graph.

The two questions about a whole prompt are those of VQAScore (github.com/linzhiqiu/t2v_metrics at 6ecb74f) and GenEval 2
(github.com/facebookresearch/GenEval2 at a6e82d2), as their definitions state them; the wording of the atoms is ours.
`scoring.asking` asks them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import get_args

from datagen.records import Cause, Claim, ClaimKind
from datagen.taxonomy.english import is_pair, name_many, name_one, number_word, plural_of, say_order

ASKED: frozenset[str] = frozenset(get_args(ClaimKind))
"""Kinds of claim that have questions: all."""
SAID = ASKED - {"fact"}
"""Kinds of claim that the words of a prompt state; a fact may only follow from them."""
WHOLE = {
    "vqascore": 'Does this figure show "{}"? Please answer Yes or No.',
    "qwenvqascore": 'Does this image show "{}"? Answer the question with Yes or No.',
}
"""Question about a whole prompt, by the name of the score."""
LAYOUT = (
    "The image shows a layout: each box is where the thing written in it will be drawn. "
    'Does this layout fit the prompt "{}"? Answer the question with Yes or No.'
)
"""Question about a layout rendered as boxes, after the idea of GoT-R1 (arXiv 2505.17022); the wording is ours."""
ONE_WORD = " Answer in one word."
"""Suffix of an atom's question (Soft-TIFA)."""
_CAUSES: dict[str, Cause] = {
    "relation": "place",
    "depth": "depth",
    "comparison": "comparison",
    "text": "misread",
    "fact": "fact",
}
YES = ("Yes", "yes")
NO = ("No", "no")


@dataclass(frozen=True, slots=True)
class Question:
    """One question, the answers that confirm its claim, and its parents: the questions (by index) it depends on.

    `accepted` are words without surrounding spaces; `atom` is False for a question that only a graph asks.
    """

    text: str
    accepted: tuple[str, ...]
    claim: Claim
    parents: tuple[int, ...] = ()
    atom: bool = True

    @property
    def cause(self) -> Cause:
        """Why the claim fails if the answer is another one; of words, a judge tells no more than `misread`."""
        kind = self.claim.kind
        if kind == "count":
            return "missing" if self.accepted == YES else "count" if self.claim.value else "extra"
        if kind == "part":
            return "count" if self.claim.value else "color"
        if kind == "attribute":
            return "color" if self.claim.name == "color" else "attribute"
        return _CAUSES[kind]


def ask_claims(claims: Sequence[Claim]) -> tuple[Question, ...]:
    """Return the questions of a prompt: first the presence of each object, then numbers, attributes and relations."""
    counts = {claim.subject: int(claim.value) for claim in claims if claim.kind == "count"}
    asked: list[Question] = []
    exists: dict[str, int] = {}
    for claim in claims:
        for thing in claim.things:
            if thing not in exists:
                exists[thing] = len(asked)
                known = Claim("count", thing, "", counts.get(thing, 1))
                asked.append(_ask_presence(thing, known, atom=counts.get(thing) in (0, 1)))
    for claim in claims:
        parents = tuple(exists[thing] for thing in claim.things)
        # Presence and absence were asked above, so only numbers above 1 remain.
        if claim.kind == "part" or (claim.kind == "count" and int(claim.value) > 1):
            asked.append(_ask_number(claim, parents))
        elif claim.kind != "count":
            asked.append(Question(_phrase(claim, counts), YES, claim, parents))
    return tuple(asked)


def ask_exactly(claims: Sequence[Claim]) -> tuple[Question, ...]:
    """Return one yes/no question for each claim, in order; an accepted answer means that exactly this claim holds.

    Unlike an atom, it asks for a number as it is claimed: "Are there exactly three stars in the image?"
    """
    counts = {claim.subject: int(claim.value) for claim in claims if claim.kind == "count"}
    several = Counter((claim.subject, claim.name) for claim in claims if claim.kind == "attribute")
    asked = []
    for claim in claims:
        if claim.is_counted:
            asked.append(_ask_exact_number(claim))
        elif claim.kind == "attribute" and several[claim.subject, claim.name] > 1:  # not every one can have each
            asked.append(Question(f"{_ask_any(f'{claim.value} {claim.subject}')} in the image?", YES, claim))
        else:
            asked.append(Question(_phrase(claim, counts), YES, claim))
    return tuple(asked)


def _ask_exact_number(claim: Claim) -> Question:
    n, before = int(claim.value), [claim.name] if claim.name else []
    if n == 0:
        return _ask_number(claim, ())
    what = name_many(n, claim.subject, *before, in_words=True)
    return Question(f"{'Is' if n == 1 else 'Are'} there exactly {what} in the image?", YES, claim)


def _ask_presence(thing: str, claim: Claim, atom: bool) -> Question:
    accepted = YES if claim.value else NO  # "No" is right if the claim is that there is none
    return Question(f"{_ask_any(thing)} in the image?", accepted, claim, atom=atom)


def _ask_any(thing: str) -> str:
    return f"{'Are' if is_pair(thing) else 'Is'} there any {thing}"


def _ask_number(claim: Claim, parents: tuple[int, ...]) -> Question:
    n, what = int(claim.value), f"{claim.name} {claim.subject}".strip()
    if n == 0:
        return Question(f"{_ask_any(what)} in the image?", NO, claim, parents)
    word = number_word(n)
    accepted = (word, word.capitalize(), str(n))
    several = f"pairs of {what}" if is_pair(what) else plural_of(what)
    return Question(f"How many {several} are in the image?", accepted, claim, parents)


def _phrase(claim: Claim, counts: dict[str, int]) -> str:
    if claim.kind == "text":
        return f'Is the text "{claim.value}" in the image?'
    if claim.kind == "attribute":
        many = counts.get(claim.subject, 1) != 1 or is_pair(claim.subject)
        made = "made of " if claim.name == "material" else ""
        subject = plural_of(claim.subject) if many else claim.subject
        return f"{'Are' if many else 'Is'} the {subject} {made}{claim.value}?"
    if claim.kind == "fact":
        about = f"the {claim.subject} {claim.value}" if claim.subject else claim.value
        return f"Is this true of the image: {about}?"
    if claim.kind == "comparison":
        return f"Are there {say_order(claim)} in the image?"
    if claim.name == "partly hides":
        return f"{'Do' if is_pair(claim.subject) else 'Does'} the {claim.subject} partly hide the {claim.value}?"
    side = {"left of": "to the left of", "right of": "to the right of"}.get(claim.name, claim.name)
    return f"{'Are' if is_pair(claim.subject) else 'Is'} the {claim.subject} {side} the {claim.value}?"


def name_phrases(claims: Sequence[Claim]) -> list[str]:
    """Return a noun phrase for each claimed object, with its number and attributes: `a red wood chair`, `two cups`.

    An object claimed both red and blue gets a phrase for each; an object claimed to be absent gets none.
    """
    counts = {claim.subject: int(claim.value) for claim in claims if claim.kind == "count"}
    said: dict[str, dict[str, list[str]]] = {}
    for claim in claims:
        for thing in claim.things:
            said.setdefault(thing, {})
        if claim.kind == "attribute":
            said[claim.subject].setdefault(claim.name, []).append(str(claim.value))
    phrases: dict[str, None] = {}
    for thing, attributes in said.items():
        if counts.get(thing) == 0:
            continue
        several = any(len(set(values)) > 1 for values in attributes.values())
        number = 1 if several else counts.get(thing, 1)
        for words in product(*attributes.values()):
            one = number == 1
            phrases[name_one(thing, *words) if one else name_many(number, thing, *words, in_words=True)] = None
    return list(phrases)
