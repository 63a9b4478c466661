"""The instant backend with a rewriter: says the prompt a little differently, or by its seed something useless."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.chat import ChatRequest, Reply, check_reply
from tests.helpers.instant import Instant

FORM = "pictograms"
NONSENSE = (
    "I would rather not",
    "",
    "ein roter Stern",
    "x" * 10_000_000,
    '{"prompt": ""}',
    '{"prompt": "seven zebras"}',
)


@dataclass(frozen=True)
class Rewriter(Instant):
    """`useless` is the share of answers that are nonsense; `journal` is a file that gets a line for each question."""

    useless: float = 0.0
    journal: str = ""

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        if self.journal:
            with Path(self.journal).open("a", encoding="utf-8") as file:
                file.writelines("asked\n" for _ in requests)
        for request in requests:
            if self.is_down(request.sampling.seed):
                yield Reply("", "error", error="HTTP 503: loading the model", unreached=True)
                continue
            words = request.messages[-1].parts[0].text
            style, _, prompt = words.removeprefix("Rewrite as a ").partition(": ")
            number = request.sampling.seed % 1000
            text = NONSENSE[number % len(NONSENSE)]
            if number >= 1000 * self.useless:
                text = json.dumps({"prompt": f"For my {style} I want to see {prompt} drawn in a simple way"})
            yield check_reply(Reply(text), request.sampling)


def build(options: Mapping[str, Any]) -> Rewriter:
    return Rewriter(**options)
