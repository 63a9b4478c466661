"""Captions of images: written by a judge, and two of one image compared by a judge that sees both orders.

The comparison is the second protocol of Unified-Bench (UAE, arXiv 2509.09666): a judge says which of two captions
describes an image better, then again with the captions swapped, since judges favour a place. Which words the authors
ask with is not known; those here are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from datagen.chat import ChatRequest, Message, Part, Reply, Sampling, explain_cut, set_thought_aside
from datagen.rewards._first_token import find_letter
from datagen.rewards._tools import Ask

DESCRIBE = (
    "Describe this image so fully that somebody who cannot see it could draw it again: every object, how many there "
    "are, their colours, where each stands, any written words, and the background. Answer with the description alone."
)
COMPARE = (
    "Here are two captions of the image.\n\nCaption A: {}\n\nCaption B: {}\n\n"
    "Which caption describes the image more completely and more correctly? Answer with A or B."
)
MOST_TOKENS = 512
"""Tokens of a caption."""
ROOM = 1024
"""Tokens of a comparison: a judge that says only A or B writes two, one that thinks many."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two captions of one image (PNG bytes): ours, and the one it is compared with."""

    image: bytes
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ours came to: 1 won in both orders, 0 lost in both, 0.5 the judge named a place and not a caption.

    None, with the `problem`, where an answer is neither A nor B. `said` holds the answers, ours as A and ours as B.
    """

    value: float | None
    said: tuple[str, str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WinRate:
    """The mean of the outcomes that are known (a tie is half), how many those are, how many of them were the same in
    both orders, and how many are not known."""

    rate: float | None
    known: int
    consistent: int
    unknown: int


def ask_captions(images: Sequence[bytes], seeds: Sequence[int], ask: Ask) -> list[Reply]:
    """Return the judge's caption of each image; a reply with an error has none."""
    requests = [
        ChatRequest(
            (Message("user", (Part(image=image), Part(text=DESCRIBE))),), Sampling(max_tokens=MOST_TOKENS, seed=seed)
        )
        for image, seed in zip(images, seeds, strict=True)
    ]
    replies = [set_thought_aside(reply) for reply in ask(requests)] if requests else []
    if len(replies) != len(requests):
        raise ValueError(f"the judge gave {len(replies)} replies to {len(requests)} questions")
    return [_check_caption(reply) for reply in replies]


def _check_caption(reply: Reply) -> Reply:
    """Return the reply, with an error where it is no whole caption: half a description is judged as half the image."""
    if reply.error:
        return reply
    if reply.finish == "length":
        return replace(reply, error=explain_cut(reply.text, MOST_TOKENS))
    return reply if reply.text.strip() else replace(reply, error="an empty caption")


def compare_captions(pairs: Sequence[Pair], ask: Ask) -> list[Outcome]:
    """Return one outcome for each pair, in order; the judge is asked once for all, two questions a pair."""
    requests = [
        _ask_which(pair.image, *order)
        for pair in pairs
        for order in ((pair.ours, pair.theirs), (pair.theirs, pair.ours))
    ]
    replies = [set_thought_aside(reply) for reply in ask(requests)] if requests else []
    if len(replies) != len(requests):
        raise ValueError(f"the judge gave {len(replies)} replies to {len(requests)} questions")
    return [_read(replies[k], replies[k + 1]) for k in range(0, len(replies), 2)]


def count_wins(outcomes: Sequence[Outcome]) -> WinRate:
    """Return the win rate of ours; its rate is None where no outcome is known."""
    values = [outcome.value for outcome in outcomes if outcome.value is not None]
    rate = sum(values) / len(values) if values else None
    return WinRate(rate, len(values), sum(value != 0.5 for value in values), len(outcomes) - len(values))


def _ask_which(image: bytes, first: str, second: str) -> ChatRequest:
    text = COMPARE.format(first, second)
    return ChatRequest((Message("user", (Part(image=image), Part(text=text))),), Sampling(max_tokens=ROOM))


def _read(straight: Reply, swapped: Reply) -> Outcome:
    """Join the answers to both orders: ours is A in the first, B in the second."""
    said = (straight.text.strip(), swapped.text.strip())
    for reply in (straight, swapped):
        if reply.error:
            return Outcome(None, said, f"the judge did not answer: {reply.error}")
    first, second = (find_letter(text, "AB") for text in said)
    for text, word in zip(said, (first, second), strict=True):
        if not word:
            return Outcome(None, said, f"the judge says neither A nor B: {text[:60]!r}")
    return Outcome(((first == "A") + (second == "B")) / 2, said)
