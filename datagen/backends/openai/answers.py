"""Reads what servers answer into segments and replies; every shape that is known, and an error for any other.

Chat answers hold a string, or a list of parts with pictures as data URLs (vLLM-Omni and others), or pictures beside the
string under `images` (OpenRouter and others). A thought stands in `reasoning_content` or `reasoning`, in text before
the picture, or in `metrics.think_text` (vLLM-Omni's BAGEL and SenseNova-U1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from datagen.backends._pictures import from_base64, from_data_url
from datagen.chat import Reply
from datagen.pictures import to_png
from datagen.records import Segment

_THINK_TAGS = re.compile(r"</?think>")


class AnswerError(Exception):
    """An answer that cannot be used; the message says what is wrong with it."""


def read_drawing(answer: Mapping[str, Any]) -> tuple[tuple[Segment, ...], str, bool]:
    """Return the segments of a chat answer, why it ended, and whether text and picture came in one list of the model's.

    Text before a picture is its thought; text after the last picture is dropped when it is blank. Raises AnswerError
    when there is no picture, or it is not one.
    """
    choice = _first_choice(answer)
    message = choice.get("message") or {}
    segments = list(_read_parts(message.get("content")))
    together = len({segment.kind for segment in segments}) == 2
    segments += [_draw(_url_of(image)) for image in message.get("images") or []]
    if not any(segment.kind == "image" for segment in segments):
        said = " ".join(segment.text for segment in segments)
        raise AnswerError(f"the answer has no picture, but {said[:80]!r}" if said else "the answer is empty")
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
    if isinstance(first.get("b64_json"), str):
        return _draw(first["b64_json"], is_url=False)
    if isinstance(first.get("url"), str):
        return _draw(first["url"])
    raise AnswerError("the answer has no picture")


def read_reply(answer: Mapping[str, Any]) -> Reply:
    """Return a text answer with the log-probabilities of its first token, if there are any."""
    choice = _first_choice(answer)
    content = (choice.get("message") or {}).get("content")
    try:
        text = "".join(segment.text for segment in _read_parts(content))
    except AnswerError as error:
        return Reply("", error=str(error))
    tokens = (choice.get("logprobs") or {}).get("content") or []
    first: dict[str, float] = {}
    for entry in (tokens[0].get("top_logprobs") or [tokens[0]]) if tokens else []:
        first[str(entry["token"])] = float(entry["logprob"])
    return Reply(text, str(choice.get("finish_reason") or "stop"), first or None)


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
