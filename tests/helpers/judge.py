"""A judge that always says the same: nine parts of ten for its word, one for the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datagen.chat import ChatRequest, Reply


@dataclass(frozen=True)
class Judge:
    says: str = "Yes"

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        other = "No" if self.says == "Yes" else "Yes"
        for _ in requests:
            yield Reply(self.says, first_logprobs={self.says: math.log(0.9), other: math.log(0.1)})


def build(options: Mapping[str, Any]) -> Judge:
    return Judge(**options)
