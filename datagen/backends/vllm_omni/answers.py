"""Reads what the engine gives back for one request: an output for each stage that ends in something, text or picture.

A thought is the text of the thinker's output or, where one stage thinks and draws, stands beside the picture in
`multimodal_output["metadata"]["text"]["think_text"]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from datagen.pictures import encode_picture
from datagen.records import Segment

_THINK_TAGS = re.compile(r"</?think>")


class AnswerError(Exception):
    """An answer that cannot be used; the message says what is wrong with it."""


def read_outputs(outputs: Sequence[Any], thinks: bool) -> tuple[tuple[Segment, ...], str]:
    """Return the segments of an answer and why it ended. Raises AnswerError for one without a picture or a thought."""
    for output in outputs:
        if output.error:
            raise AnswerError(_first_line(output.error))
    thought = "\n\n".join(filter(None, (_read_thought(output) for output in outputs)))
    pictures = [picture for output in outputs for picture in output.images]
    if not pictures:
        said = f", but wrote {thought[:80]!r}" if thinks and thought else ""
        raise AnswerError(f"the engine drew no picture{said}")
    picture = Segment("image", "image", image=_to_png(pictures[0]))
    if not thinks:
        return (picture,), "stop"
    if not thought:
        raise AnswerError("the engine was asked to think and drew without a thought; see deploy_config")
    cut = any(completion.finish_reason == "length" for output in outputs for completion in output.outputs)
    return (Segment("text", "think", text=thought), picture), "length" if cut else "stop"


def _read_thought(output: Any) -> str:
    beside = output.multimodal_output
    metadata = beside.get("metadata") if isinstance(beside, Mapping) else None
    section = metadata.get("text") if isinstance(metadata, Mapping) else None
    thought = section.get("think_text") if isinstance(section, Mapping) else None
    text = thought or "".join(completion.text or "" for completion in output.outputs)
    return _THINK_TAGS.sub("", text).strip()


def _to_png(picture: Any) -> bytes:
    from PIL import Image

    if not isinstance(picture, Image.Image):
        raise AnswerError(f"the engine drew a {type(picture).__name__}, not a picture")
    try:
        return encode_picture(picture)
    except OSError as error:
        raise AnswerError(_first_line(error)) from error


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [""])[0][:300]
