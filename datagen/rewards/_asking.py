"""Asks a judge about an image: one greedy token and its log-probabilities, or more where that does not settle it.

A judge answers the questions of `_questions.py`; what an answer is worth stands in docs/judges.md. A judge that answers
at once is asked once, for one token. One that begins with something else (marks, JSON, a thought) is asked again with
room for it, and P is read where its answer stands (`_first_token.py`). Where the engine gives no log-probabilities,
where the vocabulary splits the answer so that a token does not tell, or where the answer is prose, `SAMPLES` answers
are drawn and P is the share of the accepted ones among those that were understood. A judge that fails, or that answers
something else, is a problem in words and never P = 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from datagen.chat import ChatRequest, Message, Part, Reply, Sampling, Token, set_thought_aside
from datagen.records import seed_of
from datagen.rewards._first_token import (
    FirstToken,
    find_answer,
    holds,
    is_only,
    read_first_token,
    read_first_word,
)
from datagen.rewards._tools import Ask

SAMPLES = 8
"""Answers drawn for a question that no token settles."""
LEAST_UNDERSTOOD = 0.5
"""Least share of drawn answers that must be understood."""
SHORT, ROOM = 8, 1024
"""Tokens of a drawn answer, and of one that began with something else: a thought and the answer behind it."""
LEAST_AT_ONCE = 0.5
"""Least share of a yes, no or number among the first tokens; with less the judge writes something else first."""
LEAST_ANSWER = 0.01
"""Least probability of the one token of a yes and that of a no where the answer stands, for scores defined by it."""
MOST_UNCLEAR = 0.5
"""Most probability of tokens that may begin an accepted answer or another."""
_LISTED_TOKENS = 5
_NO_LOGPROBS = re.compile(r"log-?_?prob", re.IGNORECASE)
_SILENT = "the judge gives no log-probabilities"
_SPLIT = "the first token of the judge does not tell one number from another"
_PROSE = "the judge answers in prose"
MORE_ROOM = "say `thinking: 4096` under `judge:` for more room, or `thinking: false`"
"""What to do about a judge that is cut before it answers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one image (PNG bytes), the answers that hold, and the seed of sampled answers.

    `one_token` holds a yes and a no that count as one token each, spelt just so (VQAScore); in place of all spellings.
    """

    image: bytes
    text: str
    accepted: tuple[str, ...]
    seed: int
    one_token: tuple[str, str] | None = None

    def request(self, sampling: Sampling) -> ChatRequest:
        """Return the chat: the image first, then the question."""
        return ChatRequest((Message("user", (Part(image=self.image), Part(text=self.text))),), sampling)


@dataclass(frozen=True, slots=True)
class Answer:
    """P in [0, 1] that the answer is an accepted one, or None and the `problem`.

    `rivals` is P of the answers that are not: the other of yes and no, or the other numbers. `said` holds the likeliest
    tokens with their probabilities, or the sampled first words with their shares; `why_drawn` is why answers were
    sampled, `""` if they were not. `behind` is what the judge wrote before the token that P was read from; `mass` is P
    of any answer at that token, or the share of sampled answers that were understood.
    """

    asked: Asked
    probability: float | None
    said: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    why_drawn: str = ""
    rivals: float = 0.0
    mass: float = 0.0
    behind: str = ""


@dataclass(frozen=True, slots=True)
class _Again:
    """What is to be asked next: one answer with room, or several drawn ones of some length, and why those.

    `drawn` holds drawn answers that are there already; those that were cut are drawn again.
    """

    most_tokens: int
    why_drawn: str = ""
    drawn: tuple[Reply, ...] = ()


def ask_all(ask: Ask, asked: Sequence[Asked]) -> list[Answer]:
    """Return one answer for each question, in order, asking the judge about all at once.

    It is asked once, a second time about what one token does not settle, and a third and fourth time about what it
    thinks long about and cannot be read from a token.
    """
    greedy = Sampling(temperature=0.0, max_tokens=1, top_logprobs=20)
    replies = ask([each.request(greedy) for each in asked])
    found = [_read_token(each, reply) for each, reply in zip(asked, replies, strict=True)]
    while again := {k: step for k, step in enumerate(found) if isinstance(step, _Again)}:
        requests = {k: _list_requests(asked[k], step) for k, step in again.items()}
        answers = iter(_ask_whole(ask, [request for group in requests.values() for request in group]))
        for k, step in again.items():
            mine = [next(answers) for _ in requests[k]]
            found[k] = _read_drawn(asked[k], mine, step) if step.why_drawn else _read_whole(asked[k], mine[0])
    return [each for each in found if isinstance(each, Answer)]


def _ask_whole(ask: Ask, requests: Sequence[ChatRequest]) -> list[Reply]:
    replies = list(ask(requests))
    if len(replies) != len(requests):
        raise ValueError(f"the judge gave {len(replies)} replies to {len(requests)} questions")
    return replies


def _list_requests(asked: Asked, step: _Again) -> list[ChatRequest]:
    if not step.why_drawn:
        return [asked.request(Sampling(temperature=0.0, max_tokens=step.most_tokens, top_logprobs=20))]
    return [
        asked.request(
            Sampling(temperature=1.0, max_tokens=step.most_tokens, seed=seed_of(asked.seed, asked.text, number))
        )
        for number in range(SAMPLES)
        if not step.drawn or _is_cut_off(step.drawn[number], asked)
    ]


def _read_token(asked: Asked, reply: Reply) -> Answer | _Again:
    """Read a reply of one token, or say what to ask after it."""
    reply = set_thought_aside(reply)
    if reply.is_cut:
        return _Again(ROOM)
    if not reply.first_logprobs and (not reply.error or _NO_LOGPROBS.search(reply.error)):
        return _Again(SHORT, _SILENT)
    if reply.error or not reply.first_logprobs:
        return Answer(asked, None, problem=f"the judge did not answer: {reply.error}")
    if reply.thought or len(reply.tokens) > 1:  # a judge with a budget to think wrote all of its answer
        return _read_whole(asked, reply)
    first = read_first_token(reply.first_logprobs, asked.accepted)
    listed = sum(first.tokens.values())
    return _Again(ROOM) if first.answer < LEAST_AT_ONCE * listed else _read_place(asked, first)


def _read_whole(asked: Asked, reply: Reply) -> Answer | _Again:
    """Read a greedy answer where it answers, or say that answers are to be drawn."""
    reply = set_thought_aside(reply)
    if not _is_said(reply) and not _NO_LOGPROBS.search(reply.error):
        return Answer(asked, None, problem=f"the judge did not answer: {reply.error}")
    found = None if _is_cut_off(reply, asked) else find_answer(reply.text, asked.accepted)
    if found is None:
        return Answer(asked, None, problem=_explain_unread(reply))
    place = None if found.in_prose else _find_token(reply, found.begin)
    if place is None or not place.logprobs:
        return _Again(ROOM if reply.thought or found.in_prose else SHORT, _PROSE if found.in_prose else _SILENT)
    behind = f"a thought of {len(reply.thought):,} characters" if reply.thought else reply.text[: found.begin]
    return _read_place(asked, read_first_token(place.logprobs, asked.accepted), behind)


def _find_token(reply: Reply, begin: int) -> Token | None:
    """Return the token that holds the character `begin` of a reply's text, if the engine told of it."""
    if not reply.tokens:
        return None if reply.text[:begin].strip() else Token(reply.text, reply.first_logprobs or {})
    spelt = "".join(token.text for token in reply.tokens)
    bare = reply.text.lstrip()
    place = spelt.find(bare.rstrip()) + begin - (len(reply.text) - len(bare))
    ends = accumulate(len(token.text) for token in reply.tokens)
    return next((token for token, end in zip(reply.tokens, ends, strict=True) if end > place), None)


def _read_place(asked: Asked, first: FirstToken, behind: str = "") -> Answer | _Again:
    """Read P from the likeliest tokens at the place of the answer; `behind` is what stands before it."""
    if asked.one_token is None and first.unclear > MOST_UNCLEAR:
        return _Again(ROOM if behind else SHORT, _SPLIT)
    likeliest = sorted(first.tokens.items(), key=lambda item: (-item[1], item[0]))
    said = {token: round(p, 6) for token, p in likeliest[:_LISTED_TOKENS]}
    if asked.one_token is not None:
        for space in ("", " "):  # a vocabulary may know the word only with the space before it
            yes, no = (first.tokens.get(space + form, 0.0) for form in asked.one_token)
            if yes + no >= LEAST_ANSWER:
                return Answer(asked, yes, said, rivals=no, mass=min(1.0, yes + no), behind=behind)
        forms = " or ".join(map(repr, asked.one_token))
        begins = f"it begins with {likeliest[0][0]!r}"
        problem = f"the judge does not answer with the token {forms}, {begins}; vqa reads every spelling"
        return Answer(asked, None, said, problem)
    return Answer(asked, first.accepted, said, rivals=first.rivals, mass=first.answer, behind=behind)


def _read_drawn(asked: Asked, replies: Sequence[Reply], step: _Again) -> Answer | _Again:
    """Return the share of accepted answers among those that were understood, or ask for more of those that were cut."""
    fresh = (set_thought_aside(reply) for reply in replies)
    drawn = [next(fresh) if not step.drawn or _is_cut_off(old, asked) else old for old in step.drawn or replies]
    why = step.why_drawn
    if error := next((reply.error for reply in drawn if not _is_said(reply)), ""):
        return Answer(asked, None, problem=f"the judge did not answer: {error}", why_drawn=why)
    cut = [_is_cut_off(reply, asked) for reply in drawn]
    if any(cut) and step.most_tokens < ROOM:
        return _Again(ROOM, why, tuple(drawn))
    read = [None if off else find_answer(reply.text, asked.accepted) for reply, off in zip(drawn, cut, strict=True)]
    words = Counter(read_first_word(reply.text) for reply in drawn)
    said = {word: count / len(drawn) for word, count in words.most_common(_LISTED_TOKENS)}
    understood = [found.word for found in read if found is not None]
    if len(understood) < LEAST_UNDERSTOOD * len(drawn):
        unread = _explain_unread(next(reply for reply, found in zip(drawn, read, strict=True) if found is None))
        some = f"{len(understood)} of {len(drawn)} drawn answers were understood: " if understood else ""
        return Answer(asked, None, said, some + unread, why)
    share = sum(holds(word, asked.accepted) for word in understood) / len(understood)
    mass = len(understood) / len(drawn)
    return Answer(asked, share, said, why_drawn=why, rivals=1.0 - share, mass=mass)


def _is_said(reply: Reply) -> bool:
    """Say whether a model answered at all, if only a thought: an error is then about what it said."""
    return not reply.error or reply.is_cut or bool(reply.thought)


def _is_cut_off(reply: Reply, asked: Asked) -> bool:
    """Say whether an answer was cut off where its words may still be a thought that nothing marks."""
    if reply.finish != "length" or reply.error:
        return reply.is_cut
    if reply.thought and reply.text.strip():
        return False
    found = find_answer(reply.text, asked.accepted)
    return found is None or not is_only(reply.text, found.word)


def _explain_unread(reply: Reply) -> str:
    if reply.is_cut:
        return f"the judge was cut while it was thinking; {MORE_ROOM}"
    if reply.thought and not reply.text.strip():
        return "the judge thought and did not answer the question"
    if reply.finish == "length":
        return f"the judge does not answer the question, it was cut at {reply.text[-60:]!r}; {MORE_ROOM}"
    return f"the judge does not answer the question, it says {reply.text[:60]!r}"
