"""Answers worked out once: a part of a wording, a constraint or a claim says the same for the same words.

A million prompts are made of some thousand parts, such as "an orange bench". Remembering them is what makes a prompt
cost microseconds; the number remembered is bounded, so memory stays flat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")

MOST = 16_384
"""How many answers one function remembers; later ones are worked out each time."""


class Remembered(Generic[Answer]):
    """A pure function of the slots `names`, called with all slots, that remembers its answers."""

    __slots__ = ("_compute", "_key", "_known", "names")

    def __init__(self, names: Iterable[str], compute: Callable[[dict[str, Any]], Answer]) -> None:
        self.names = tuple(sorted(names))
        self._compute = compute
        self._key: Callable[[Mapping[str, Any]], Any] = itemgetter(*self.names) if self.names else _no_key
        self._known: dict[Any, Answer] = {}

    def __call__(self, values: Mapping[str, Any]) -> Answer:
        """Return the answer for the values of the slots; errors of the function pass through and are not remembered."""
        key = self._key(values)
        try:
            return self._known[key]
        except KeyError:
            pass
        answer = self._compute({name: values[name] for name in self.names})
        if len(self._known) < MOST:
            self._known[key] = answer
        return answer


def _no_key(_: Mapping[str, Any]) -> None:
    return None
