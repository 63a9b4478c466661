"""Reads what servers answer into segments and replies; every shape that is known, and an error for any other.

Chat answers hold a string, or a list of parts with pictures as data URLs (vLLM-Omni and others), or pictures beside the
string under `images` (OpenRouter and others). A thought stands in `reasoning_content` or `reasoning`, in text before
the picture, or in `metrics.think_text` (vLLM-Omni's BAGEL and SenseNova-U1); of an answer in words also between tags in
the words themselves, or in a part of the type `thinking` (Mistral).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from datagen.backends._pictures import from_base64, from_data_url
from datagen.chat import MARKERS, Reply, Token, set_thought_aside
from datagen.pictures import to_png
from datagen.records import Segment

_THINK_TAGS = re.compile(r"</?think>")
_FILTERED = {"content_filter", "content_filtered", "safety", "prohibited_content"}
"""How servers say that a filter stopped an answer, in lower case."""


class AnswerError(Exception):
    """An answer that cannot be used; the message says what is wrong with it."""


def require_willing(answer: Mapping[str, Any]) -> None:
    """Raise AnswerError where the model refuses, or where a filter of the server cut or spoiled what it answered.

    A filtered picture may be black or blurred, and a refusal is no text to be read.
    """
    choice = _first_choice(answer)
    message = choice.get("message") or {}
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal.strip():
        raise AnswerError(f"the model refuses: {' '.join(refusal.split())[:200]}")
    _require_unfiltered(choice.get("finish_reason"))


def _require_unfiltered(finish: object) -> None:
    if str(finish).lower() in _FILTERED:
        raise AnswerError(f"the server filtered the answer ({finish})")


def read_drawing(answer: Mapping[str, Any]) -> tuple[tuple[Segment, ...], str, bool]:
    """Return the segments of a chat answer, why it ended, and whether text and picture came in one list of the model's.

    Text before a picture is its thought; text after the last picture is dropped when it is blank. Raises AnswerError
    when there is no picture, it is not one, or the model refuses or is filtered.
    """
    require_willing(answer)
    choice = _first_choice(answer)
    message = choice.get("message") or {}
    segments = list(_read_parts(message.get("content")))
    together = len({segment.kind for segment in segments}) == 2
    segments += [_draw(_url_of(image)) for image in message.get("images") or []]
    if not any(segment.kind == "image" for segment in segments):
        said = " ".join(segment.text for segment in segments)
        what = f"the answer has no picture, but {said[:80]!r}" if said else "the answer is empty"
        is_cut = choice.get("finish_reason") == "length"
        raise AnswerError(f"{what}; it was cut off before the picture: raise max_tokens" if is_cut else what)
    metrics = answer.get("metrics")
    beside = message.get("reasoning_content") or message.get("reasoning")
    thought = beside or (metrics.get("think_text") if isinstance(metrics, Mapping) else None)
    if isinstance(thought, str) and thought.strip():
        segments.insert(0, _say(thought))
    return tuple(segments), str(choice.get("finish_reason") or "stop"), together


def read_image(answer: Mapping[str, Any]) -> Segment:
    """Return the picture of an /images/generations answer. Raises AnswerError when there is none."""
    data = answer.get("data")
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], Mapping) else {}
    _require_unfiltered(first.get("finish_reason"))
    if isinstance(first.get("b64_json"), str):
        return _draw(first["b64_json"], is_url=False)
    if isinstance(first.get("url"), str):
        return _draw(first["url"])
    raise AnswerError("the answer has no picture")


def read_reply(answer: Mapping[str, Any]) -> Reply:
    """Return a text answer without its thought, with the log-probabilities of its tokens, if there are any."""
    choice = _first_choice(answer)
    message = choice.get("message") or {}
    try:
        text, thought = _read_words(message.get("content"))
    except AnswerError as error:
        return Reply("", error=str(error))
    beside = message.get("reasoning_content") or message.get("reasoning")
    thought = beside if isinstance(beside, str) and beside.strip() else thought
    logprobs = choice.get("logprobs")
    listed = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    tokens = tuple(_read_token(entry) for entry in listed or [] if isinstance(entry, Mapping))
    first = (tokens[0].logprobs or None) if tokens else None
    finish = str(choice.get("finish_reason") or "stop")
    return set_thought_aside(Reply(text.strip(), finish, first, thought=thought, tokens=tokens))


def _read_words(content: Any) -> tuple[str, str]:
    """Return the text of an answer and the thought among its parts. Raises AnswerError for a part of another kind."""
    if isinstance(content, str) or not content:
        return content or "", ""
    text, thought = "", ""
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            text += str(part.get("text") or "")
        elif kind in ("thinking", "reasoning"):
            told = part.get(kind) or part.get("text") or ""
            thought += told if isinstance(told, str) else _read_words(told)[0]
        elif kind != "image_url":  # a picture beside words is no part of what was asked
            raise AnswerError(f"the answer has a part of an unknown type, {kind!r}")
    return text, thought


def _read_token(entry: Mapping[str, Any]) -> Token:
    """Return a written token with the likeliest ones at its place, itself among them."""
    listed = [entry, *(each for each in entry.get("top_logprobs") or [] if isinstance(each, Mapping))]
    likely = {
        str(each.get("token")): float(each["logprob"])
        for each in reversed(listed)
        if isinstance(each.get("logprob"), (int, float))
    }
    ranked = dict(sorted(likely.items(), key=lambda item: -item[1]))
    return Token(str(entry.get("token") or "").translate(MARKERS), ranked)


def _first_choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise AnswerError(f"the answer has no choices, but {', '.join(map(str, answer)) or 'nothing'}")
    return choices[0]


def _read_parts(content: Any) -> Iterator[Segment]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            if str(part.get("text") or "").strip():
                yield _say(str(part["text"]))
        elif kind == "image_url":
            yield _draw(_url_of(part))
        else:
            raise AnswerError(f"the answer has a part of an unknown type, {kind!r}")


def _url_of(part: Any) -> str:
    address = part.get("image_url") if isinstance(part, Mapping) else None
    return str(address.get("url") if isinstance(address, Mapping) else address)


def _say(text: str) -> Segment:
    return Segment("text", "think", text=_THINK_TAGS.sub("", text).strip())


def _draw(text: str, is_url: bool = True) -> Segment:
    try:
        return Segment("image", "image", image=to_png(from_data_url(text) if is_url else from_base64(text)))
    except (OSError, ValueError) as error:
        raise AnswerError(str(error)) from error
