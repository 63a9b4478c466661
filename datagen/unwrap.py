"""Unwraps what a model wrote: its answer from behind its thinking, a JSON document out of a fence or out of prose.

Models of 2026 think before they answer, as `<think>…</think>Yes`. A chat template may have written the opening tag, so
that a closing one alone ends the thought; where the thought was cut off there is no closing one and no answer.

Not covered: a thought that nothing marks.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

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
