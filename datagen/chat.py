"""One form of request for every text engine, in this process or behind HTTP: chat messages and a sampling spec.

What an engine cannot serve it refuses: an answer that does not obey its schema or its choices is an error, never text
that somebody might believe. `check_reply` is that test, the same for all engines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a message: text, or an image as PNG bytes."""

    text: str = ""
    image: bytes = b""


@dataclass(frozen=True, slots=True)
class Message:
    """Who says what."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def say(cls, role: Role, text: str) -> Message:
        """Build a message of text alone."""
        return cls(role, (Part(text=text),))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to answer: at most one of `schema` (JSON Schema) and `choices` (exact answers) binds the text.

    With `top_logprobs` (0 to 20) the reply carries that many log-probabilities for its first token.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int = 0
    schema: Mapping[str, Any] | None = None
    choices: tuple[str, ...] = ()
    top_logprobs: int = 0


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Messages to answer, and how."""

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an engine answered: the text, why it ended, and log-probabilities (natural) of first tokens by their text.

    `error` says why there is no answer; the text is then whatever there was of it. `unreached` says that the error is
    one of the asking (a server that is down, a connection that broke) and no answer of the model's: worth asking again.
    """

    text: str
    finish: str = "stop"
    first_logprobs: Mapping[str, float] | None = None
    error: str = ""
    unreached: bool = False


class ChatEngine(Protocol):
    """A model that answers chat messages."""

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order; one that fails never fails its neighbours."""


def check_reply(reply: Reply, sampling: Sampling) -> Reply:
    """Return the reply, with an error if it does not obey what was asked: schema, choices, log-probabilities."""
    problem = "" if reply.error else _find_problem(reply, sampling)
    return Reply(reply.text, reply.finish, reply.first_logprobs, problem) if problem else reply


def explain_cut(text: str, max_tokens: int | None) -> str:
    """Return what is wrong with an answer that was cut off, and what to do; `text` is what there is of it."""
    after = f" after {max_tokens:,} tokens" if max_tokens else ""
    what = "the answer was cut off" if text.strip() else "the model was cut off while it was thinking"
    return f"{what}{after}: raise max_tokens" + ("" if text.strip() else ", or turn its thinking off")


def _find_problem(reply: Reply, sampling: Sampling) -> str:
    if sampling.top_logprobs and not reply.first_logprobs:
        return "the engine gives no log-probabilities"
    cut = explain_cut(reply.text, sampling.max_tokens) if reply.finish == "length" else ""
    if cut and not reply.text.strip() and not reply.first_logprobs:
        return cut
    if sampling.choices and reply.text not in sampling.choices:
        return _join(f"the engine ignores choices: it answered {reply.text[:60]!r}", cut)
    if sampling.schema is None:
        return ""
    import jsonschema

    try:
        jsonschema.validate(json.loads(reply.text), dict(sampling.schema))
    except json.JSONDecodeError:
        if cut and reply.text.lstrip()[:1] in ("{", "["):
            return cut
        return _join(f"the engine ignores the schema: {reply.text[:60]!r} is not JSON", cut)
    except jsonschema.ValidationError as error:
        return f"the engine ignores the schema: {error.message[:200]}"
    return ""


def _join(*parts: str) -> str:
    return "; ".join(filter(None, parts))
