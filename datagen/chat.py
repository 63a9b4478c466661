"""One form of request for every text engine, in this process or behind HTTP: chat messages and a sampling spec.

What an engine cannot serve it refuses: an answer that does not obey its schema or its choices is an error, never text
that somebody might believe. `check_reply` is that test, the same for all engines. It also sets aside what a model
thought before it answered (`set_thought_aside`): a thought is no answer.

Unwraps what a model wrote: its answer from behind its thinking, a JSON document out of a fence or out of prose.

Models of 2026 think before they answer, as `<think>…</think>Yes`. A chat template may have written the opening tag, so
that a closing one alone ends the thought; where the thought was cut off there is no closing one and no answer.

Not covered: a thought that nothing marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant"]
MARKERS = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n"})
"""What byte-level BPE and SentencePiece write for white space."""
_LAST_TOKEN = re.compile(r"(?:\s|<[^<>\s]{1,40}>)+$")
FIRST_PLACES, LAST_PLACES = 16, 16
"""Tokens at the beginning and at the end of an answer that keep their log-probabilities."""


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

    `max_tokens` are those of the answer; an engine that gives its model a budget to think adds it. With `top_logprobs`
    (0 to 20) the reply carries that many log-probabilities for its tokens, or at least for its first.
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
class Token:
    """A token that was written, and the log-probabilities (natural) of the likeliest at its place by their text."""

    text: str
    logprobs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an engine answered: the text, why it ended, and log-probabilities (natural) of first tokens by their text.

    `error` says why there is no answer; the text is then whatever there was of it. `unreached` says that the error is
    one of the asking (a server that is down, a connection that broke) and no answer of the model's: worth asking again.
    `thought` is what the model thought before it answered, where the engine tells it apart. `tokens` are those of the
    answer in order, of an engine that gives log-probabilities for more than the first.
    """

    text: str
    finish: str = "stop"
    first_logprobs: Mapping[str, float] | None = None
    error: str = ""
    unreached: bool = False
    thought: str = ""
    tokens: tuple[Token, ...] = ()

    @property
    def is_cut(self) -> bool:
        """Whether all tokens were spent before the answer began, as by a model that thinks."""
        return self.finish == "length" and not self.text.strip() and not self.first_logprobs


class ChatEngine(Protocol):
    """A model that answers chat messages."""

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order; one that fails never fails its neighbours."""


def check_reply(reply: Reply, sampling: Sampling) -> Reply:
    """Return the reply, its thought set aside, with an error if it does not obey what was asked.

    That is the schema (the text is then the JSON document alone), the choices, and log-probabilities.
    """
    reply = set_thought_aside(reply)
    if sampling.schema is not None:
        reply = replace(reply, text=find_json(reply.text))
    problem = "" if reply.error else _find_problem(reply, sampling)
    return replace(reply, error=problem) if problem else reply


def set_thought_aside(reply: Reply) -> Reply:
    """Return the reply with the answer alone in its text and tokens, and with what was thought before it as `thought`.

    Tokens that do not spell the text are left out, since nobody can say where in them the answer begins.
    """
    spelt = "".join(token.text for token in reply.tokens)
    said, written = split_thought(reply.text), split_thought(spelt)
    if (written.thought or written.is_open) and not (said.thought or said.is_open or reply.thought):
        # The tags are control tokens, which an engine leaves out of the text, as it does the one that ends it.
        said = replace(written, answer=_LAST_TOKEN.sub("", written.answer))
    text = said.answer
    thought = "\n".join(part for part in (reply.thought.strip(), said.thought) if part)
    if not thought and not said.is_open and not text.strip() and not spelt.strip():
        return reply
    begin = spelt.rfind(text.strip(), written.begin) if text.strip() else -1
    tokens = _keep_places(_cut_before(reply.tokens, begin)) if begin >= 0 else ()
    behind = bool(thought) or said.is_open or not text.strip()  # the engine's first token belongs to a thought
    first = (tokens[0].logprobs or None) if tokens else None if behind else reply.first_logprobs
    return replace(reply, text=text, thought=thought, tokens=tokens, first_logprobs=first)


def _cut_before(tokens: Sequence[Token], begin: int) -> Sequence[Token]:
    """Return the tokens from the one that holds the character `begin` of their joined text."""
    ends = accumulate(len(token.text) for token in tokens)
    return tokens[next((k for k, end in enumerate(ends) if end > begin), len(tokens)) :]


def _keep_places(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Return the tokens, those in the middle of a long answer without log-probabilities."""
    last = len(tokens) - LAST_PLACES
    return tuple(Token(t.text) if FIRST_PLACES <= k < last else t for k, t in enumerate(tokens))


def explain_cut(text: str, max_tokens: int | None) -> str:
    """Return what is wrong with an answer that was cut off, and what to do; `text` is what there is of it."""
    after = f" after {max_tokens:,} tokens" if max_tokens else ""
    what = "the answer was cut off" if text.strip() else "the model was cut off while it was thinking"
    return f"{what}{after}: raise max_tokens" + ("" if text.strip() else ", or turn its thinking off")


def _find_problem(reply: Reply, sampling: Sampling) -> str:
    if reply.is_cut:
        return explain_cut(reply.text, sampling.max_tokens)
    if reply.thought and not reply.text.strip():
        return "the model thought and did not answer"
    cut = explain_cut(reply.text, sampling.max_tokens) if reply.finish == "length" else ""
    if sampling.choices and reply.text not in sampling.choices:
        return _join(f"the engine ignores choices: it answered {reply.text[:60]!r}", cut)
    if sampling.top_logprobs and not reply.first_logprobs:
        return "the engine gives no log-probabilities"
    if sampling.schema is None:
        return ""
    import jsonschema

    try:
        jsonschema.validate(json.loads(reply.text), dict(sampling.schema))
    except (json.JSONDecodeError, RecursionError):
        if cut and reply.text.lstrip()[:1] in ("{", "["):
            return cut
        return _join(f"the engine ignores the schema: {reply.text[:60]!r} is not JSON", cut)
    except jsonschema.ValidationError as error:
        return f"the engine ignores the schema: {error.message[:200]}"
    return ""


def _join(*parts: str) -> str:
    return "; ".join(filter(None, parts))


_NAMES = r"(?:\w+:)?(?:think|thinking|thoughts?|reasoning)"
_OPEN = re.compile(
    rf"<{_NAMES}>|\[THINK\]|◁think▷|<\|channel>thought|<\|channel\|>analysis<\|message\|>|<\|START_THINKING\|>",
    re.IGNORECASE,
)
_CLOSE = re.compile(
    rf"</{_NAMES}>|\[/THINK\]|◁/think▷|<channel\|>|<\|channel\|>final<\|message\|>|<\|END_THINKING\|>", re.IGNORECASE
)
"""How DeepSeek-R1, Qwen and GLM, Magistral, Kimi-VL, Gemma, gpt-oss and Command mark a thought, in this order."""
_FENCE = re.compile(r"```[\w-]*\s(.*?)```", re.DOTALL)
_MOST_BRACES = 64
"""Braces in prose that are tried as the beginning of a JSON document."""


@dataclass(frozen=True, slots=True)
class Split:
    """A text as thought and answer, the answer's first character, and whether the thought has no end."""

    thought: str
    answer: str
    begin: int
    is_open: bool


def split_thought(text: str) -> Split:
    """Return what stands behind the last thought as the answer; all of the text where none is marked."""
    ends = list(_CLOSE.finditer(text))
    begin = ends[-1].end() if ends else 0
    thought = _OPEN.sub("", _CLOSE.sub("", text[:begin])).strip()
    unended = _OPEN.search(text, begin)
    if unended is None:
        return Split(thought, text[begin:].strip() if ends else text, begin, False)
    thought = f"{thought}\n{text[unended.end() :]}".strip()
    answer = text[begin : unended.start()].strip()
    return Split(thought, answer, begin, not answer)


def find_json(text: str) -> str:
    """Return the JSON document that a text is, or that stands in its last fence or, an object, last among its words.

    Where there is none the text comes back as it is.
    """
    if _is_json(text):
        return text
    for found in reversed(_FENCE.findall(text)):
        if _is_json(found):
            return str(found).strip()
    decoder, last, place = json.JSONDecoder(), text, text.find("{")
    for _ in range(_MOST_BRACES):
        if place < 0:
            break
        try:
            _, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            last = text[place:end]
        place = text.find("{", end)
    return last


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
