"""Chat requests and replies for every text engine, in this process or behind HTTP: messages and a sampling spec.

An engine refuses what it cannot serve: an answer that violates its schema or choices is an error, never a usable text.
`check_reply` tests this for all engines. It also separates the model's thought from its answer (`set_thought_aside`)
and extracts a JSON document from a code fence or from prose (`find_json`).

Reasoning models write `<think>…</think>Yes`. A chat template may have written the opening tag already, so a closing tag
alone ends the thought; a thought that was cut off has no closing tag and no answer.

Not covered: thoughts without any tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Literal, Protocol, runtime_checkable

from datagen.records import storable

Role = Literal["system", "user", "assistant"]
MARKERS = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n"})
"""Characters that byte-level BPE and SentencePiece write for white space."""
_LAST_TOKEN = re.compile(r"(?:\s|<[^<>\s]{1,40}>)+$")
FIRST_PLACES, LAST_PLACES = 16, 16
"""How many tokens at the beginning and at the end of an answer keep their log-probabilities."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message: text, or an image as the bytes of a PNG, JPEG or WebP file."""

    text: str = ""
    image: bytes = b""


@dataclass(frozen=True, slots=True)
class Message:
    """A role and what it says."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def say(cls, role: Role, text: str) -> Message:
        """Build a message of text alone."""
        return cls(role, (Part(text=text),))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to answer: at most one of `schema` (JSON Schema) and `choices` (exact answers) constrains the text.

    `max_tokens` limits the answer; an engine with a thinking budget adds that budget. With `top_logprobs` (0 to 20) the
    reply carries that many log-probabilities for its tokens, or at least for its first.
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
    """Messages to answer, and how to answer them."""

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token, and the natural log-probabilities of the likeliest tokens at its place, by their text."""

    text: str
    logprobs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """An engine's answer: the text, why it ended, and natural log-probabilities of first tokens by their text.

    `error` says why there is no answer; the text is then what there is of it. `unreached` says that the request failed
    (a server that is down, a broken connection) and the model gave no answer, so it is worth asking again. `thought` is
    what the model thought before it answered, if the engine separates it. `tokens` are the tokens of the answer in
    order, if the engine gives log-probabilities for more than the first.
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
        """Whether all tokens were spent before the answer began, as a thinking model may do."""
        return self.finish == "length" and not self.text.strip() and not self.first_logprobs


class ChatEngine(Protocol):
    """A model that answers chat messages."""

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order; a failed request does not fail the others."""


@runtime_checkable
class StreamingChat(Protocol):
    """A chat engine that takes requests one by one, as it has room for them."""

    def stream_chat(self, requests: Iterable[ChatRequest | None]) -> Iterator[Reply]:
        """Yield one reply for each request, in order, while later ones are open; see `ChatEngine`.

        `requests` yields None when there is none to take now; with none open, that is the end.
        """


def check_reply(reply: Reply, sampling: Sampling) -> Reply:
    """Return the reply without its thought, and with an error if it violates the request.

    Checked are the schema (the text then becomes the JSON document alone), the choices, and the log-probabilities.
    """
    reply = set_thought_aside(reply)
    if sampling.schema is not None:
        reply = replace(reply, text=find_json(reply.text))
    problem = "" if reply.error else _find_problem(reply, sampling)
    return replace(reply, error=problem) if problem else reply


def set_thought_aside(reply: Reply) -> Reply:
    """Return the reply with only the answer in its text and tokens, and the thought before it as `thought`.

    Tokens that do not spell the text are left out, since the answer cannot be located in them.
    """
    spelt = "".join(token.text for token in reply.tokens)
    said, written = split_thought(reply.text), split_thought(spelt)
    if (written.thought or written.is_open) and not (said.thought or said.is_open or reply.thought):
        # The tags are control tokens: the engine left them out of the text, as it left out the end token.
        said = replace(written, answer=_LAST_TOKEN.sub("", written.answer))
    text = said.answer
    thought = "\n".join(part for part in (reply.thought.strip(), said.thought) if part)
    if not thought and not said.is_open and not text.strip() and not spelt.strip():
        return reply
    # Search from the end of the thought: a thought often contains the answer's words too.
    begin = spelt.rfind(text.strip(), written.begin) if text.strip() else -1
    tokens = _keep_places(_cut_before(reply.tokens, begin)) if begin >= 0 else ()
    behind = bool(thought) or said.is_open or not text.strip()  # then the engine's first token is part of the thought
    first = (tokens[0].logprobs or None) if tokens else None if behind else reply.first_logprobs
    return replace(reply, text=text, thought=thought, tokens=tokens, first_logprobs=first)


def _cut_before(tokens: Sequence[Token], begin: int) -> Sequence[Token]:
    """Return the tokens from the one on that contains character `begin` of the joined text."""
    ends = accumulate(len(token.text) for token in tokens)
    return tokens[next((k for k, end in enumerate(ends) if end > begin), len(tokens)) :]


def _keep_places(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Return the tokens, without log-probabilities in the middle of a long answer."""
    last = len(tokens) - LAST_PLACES
    return tuple(Token(t.text) if FIRST_PLACES <= k < last else t for k, t in enumerate(tokens))


def explain_cut(text: str, max_tokens: int | None) -> str:
    """Return why an answer was cut off, and what to do; `text` is what there is of it."""
    after = f" after {max_tokens:,} tokens" if max_tokens else ""
    what = "the answer was cut off" if text.strip() else "the model was cut off while it was thinking"
    return f"{what}{after}: raise max_tokens" + ("" if text.strip() else ", or turn its thinking off")


def _find_problem(reply: Reply, sampling: Sampling) -> str:
    if storable(reply.text) != reply.text:
        return "the answer holds half a letter (a lone surrogate)"
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
"""Tags around a thought: DeepSeek-R1, Qwen and GLM; Magistral; Kimi-VL; Gemma; gpt-oss; Command."""
_FENCE = re.compile(r"```[\w-]*\s(.*?)```", re.DOTALL)
_MOST_BRACES = 64
"""How many braces in prose are tried as the beginning of a JSON document."""


@dataclass(frozen=True, slots=True)
class Split:
    """A text split into thought and answer, with the answer's first character and whether the thought is unended."""

    thought: str
    answer: str
    begin: int
    is_open: bool


def split_thought(text: str) -> Split:
    """Return the text after the last thought as the answer; the whole text if no thought is marked."""
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
    """Return the JSON document in a text: the whole text, else its last valid fence, else the last object in prose.

    Returns the text unchanged if it contains none.
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
            # Not JSON from here: go on with the next brace.
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
