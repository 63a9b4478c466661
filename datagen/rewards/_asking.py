"""Asks a judge about an image: one greedy token and its log-probabilities, or sampled answers where that says nothing.

A judge answers the questions of `_questions.py`; what an answer is worth stands in docs/judges.md. Where the engine
gives no log-probabilities, or its vocabulary splits the answer so that the first token does not tell, `SAMPLES`
answers are drawn instead and P is the share that begins with an accepted one. A judge that fails, or that answers
something else, is a problem in words and never P = 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from datagen.chat import ChatRequest, Message, Part, Reply, Sampling
from datagen.records import seed_of
from datagen.rewards._first_token import begins_answer, read_first_token, read_first_word, rivals_of
from datagen.rewards._tools import Ask

SAMPLES = 8
"""Answers drawn for a question that the first token does not settle."""
LEAST_ANSWER = 0.01
"""Least probability of any yes, no or number; a judge with less writes something else, such as its reasoning."""
MOST_UNCLEAR = 0.5
"""Most probability of tokens that may begin an accepted answer or another."""
_LISTED_TOKENS = 5
_NO_LOGPROBS = re.compile(r"log-?_?prob", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one image (PNG bytes), the answers that hold, and the seed of sampled answers."""

    image: bytes
    text: str
    accepted: tuple[str, ...]
    seed: int

    def request(self, sampling: Sampling) -> ChatRequest:
        """Return the chat: the image first, then the question."""
        return ChatRequest((Message("user", (Part(image=self.image), Part(text=self.text))),), sampling)


@dataclass(frozen=True, slots=True)
class Answer:
    """P in [0, 1] that the answer is an accepted one, or None and the `problem`.

    `rivals` is P of the answers that are not: the other of yes and no, or the other numbers. `said` holds the likeliest
    tokens with their probabilities, or the sampled first words with their shares; `why_drawn` is why answers were
    sampled, `""` if they were not.
    """

    asked: Asked
    probability: float | None
    said: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    why_drawn: str = ""
    rivals: float = 0.0


def ask_all(ask: Ask, asked: Sequence[Asked]) -> list[Answer]:
    """Return one answer for each question, in order, asking the judge once for all or, where it must draw, twice."""
    greedy = Sampling(temperature=0.0, max_tokens=1, top_logprobs=20)
    replies = ask([each.request(greedy) for each in asked])
    answers = [_read_token(each, reply) for each, reply in zip(asked, replies, strict=True)]
    again = [k for k, answer in enumerate(answers) if answer.why_drawn]
    drawn = ask([asked[k].request(_draw(asked[k], n)) for k in again for n in range(SAMPLES)]) if again else []
    if len(drawn) != SAMPLES * len(again):
        raise ValueError(f"the judge gave {len(drawn)} replies to {SAMPLES * len(again)} questions")
    for place, k in enumerate(again):
        mine = drawn[SAMPLES * place : SAMPLES * (place + 1)]
        answers[k] = _read_drawn(asked[k], mine, answers[k].why_drawn)
    return answers


def _draw(asked: Asked, number: int) -> Sampling:
    return Sampling(temperature=1.0, max_tokens=8, seed=seed_of(asked.seed, asked.text, number))


def _read_token(asked: Asked, reply: Reply) -> Answer:
    """Read the log-probabilities of a reply; an answer with `why_drawn` is still to be drawn."""
    if not reply.first_logprobs and (not reply.error or _NO_LOGPROBS.search(reply.error)):
        return Answer(asked, None, why_drawn="the judge gives no log-probabilities")
    if reply.error or not reply.first_logprobs:
        return Answer(asked, None, problem=f"the judge did not answer: {reply.error}")
    first = read_first_token(reply.first_logprobs, asked.accepted)
    likeliest = sorted(first.tokens.items(), key=lambda item: (-item[1], item[0]))
    said = {token: round(p, 6) for token, p in likeliest[:_LISTED_TOKENS]}
    if first.unclear > MOST_UNCLEAR:
        return Answer(asked, None, said, why_drawn="the first token of the judge does not tell one number from another")
    if first.answer < LEAST_ANSWER:
        return Answer(asked, None, said, f"the judge does not answer the question, it begins with {likeliest[0][0]!r}")
    return Answer(asked, first.accepted, said, rivals=first.rivals)


def _read_drawn(asked: Asked, replies: Sequence[Reply], why: str) -> Answer:
    """Return the share of answers that begin with an accepted one, letter case aside."""
    if error := next((reply.error for reply in replies if reply.error), ""):
        return Answer(asked, None, problem=f"the judge did not answer: {error}", why_drawn=why)
    words = Counter(read_first_word(reply.text) for reply in replies)
    said = {word: count / len(replies) for word, count in words.most_common(_LISTED_TOKENS)}
    if not any(begins_answer(word) for word in words):
        problem = f"the judge does not answer the question, it says {replies[0].text[:60]!r}"
        return Answer(asked, None, said, problem, why)
    share, rivals = (
        sum(count for word, count in words.items() if word.lower() in {form.lower() for form in forms}) / len(replies)
        for forms in (asked.accepted, rivals_of(asked.accepted))
    )
    return Answer(asked, share, said, why_drawn=why, rivals=rivals)
