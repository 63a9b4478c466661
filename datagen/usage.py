"""What models were asked for, as their servers count it: the base of tokens and money in plan, progress and budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Answered requests, tokens that a server read and wrote (cached and thought ones too), and pictures it made."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def scaled(self, factor: float) -> Usage:
        """Return so many times this usage, rounded."""
        return Usage(*(round(each * factor) for each in astuple(self)))

    def __bool__(self) -> bool:
        return any(astuple(self))

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Usage:
        """Return the usage of one answer in the OpenAI form.

        /chat/completions counts `prompt_tokens` and `completion_tokens`, /images/generations `input_tokens` and
        `output_tokens`. A server that does not count leaves 0.
        """
        told = answer.get("usage")
        counts = told if isinstance(told, Mapping) else {}
        return cls(
            1, _count(counts, "prompt_tokens", "input_tokens"), _count(counts, "completion_tokens", "output_tokens")
        )


def _count(counts: Mapping[str, Any], *names: str) -> int:
    found = (counts.get(name) for name in names)
    return next((each for each in found if isinstance(each, int) and each > 0), 0)


def add_usage(one: Mapping[str, Usage], other: Mapping[str, Usage]) -> dict[str, Usage]:
    """Return the sum of two usages by model."""
    return {name: one.get(name, Usage()) + other.get(name, Usage()) for name in {**one, **other}}
