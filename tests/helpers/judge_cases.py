"""Judges for the tests: plain functions from questions to replies, by a table of tokens or of written answers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from datagen.chat import ChatRequest, Reply
from datagen.scoring.tools import Tools

Tokens = Mapping[str, float]


def tokens(said: Tokens) -> Reply:
    """A reply of one token; `said` maps tokens to probabilities, 0 allowed."""
    logs = {token: math.log(p) if p else -math.inf for token, p in said.items()}
    return Reply(max(said, key=lambda token: said[token]), "length", logs)


@dataclass
class Judge:
    """Answers each request by `reply` and remembers what it was asked, one list a call."""

    reply: Callable[[ChatRequest], Reply]
    calls: list[list[ChatRequest]] = field(default_factory=list)

    def __call__(self, requests: Sequence[ChatRequest]) -> list[Reply]:
        self.calls.append(list(requests))
        return [self.reply(request) for request in requests]

    @property
    def questions(self) -> list[str]:
        return [question_of(request) for call in self.calls for request in call]


def question_of(request: ChatRequest) -> str:
    (message,) = request.messages
    image, text = message.parts
    assert (bool(image.image), image.text, text.image) == (True, "", b"")
    return text.text


def by_question(table: Mapping[str, Tokens | Reply]) -> Judge:
    """A judge that looks its answer up by the beginning of the question."""

    def reply(request: ChatRequest) -> Reply:
        (said,) = [said for start, said in table.items() if question_of(request).startswith(start)]
        return said if isinstance(said, Reply) else tokens(said)

    return Judge(reply)


def always(said: Tokens | Reply) -> Judge:
    return by_question({"": said})


def drawing(answers: Sequence[str], error: str = "the engine gives no log-probabilities") -> Judge:
    """A judge without log-probabilities that gives these answers in turn when it is asked to write."""
    left = itertools.cycle(answers)

    def reply(request: ChatRequest) -> Reply:
        return Reply("Yes", error=error) if request.sampling.top_logprobs else Reply(next(left))

    return Judge(reply)


def tools_with(ask: Judge | None) -> Tools:
    def blind(image: bytes) -> list[object]:
        raise AssertionError("a judge needs neither detector nor OCR")

    return Tools(blind, blind, frozenset(), ask)  # type: ignore[arg-type]
