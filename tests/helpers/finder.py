"""The instant backend with a chat that finds claims: a file says which it names for each prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.chat import ChatRequest, Reply, check_reply
from tests.helpers.instant import Instant


@dataclass(frozen=True)
class Finder(Instant):
    """`answers` is a JSON file of answers by the words of the prompt; `journal` gets a line for each question."""

    answers: str = ""
    journal: str = ""

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        known = json.loads(Path(self.answers).read_text(encoding="utf-8"))
        for request in requests:
            asked = request.messages[-1].parts[0].text
            prompt = asked.partition("\nPrompt: ")[2].partition("\n")[0]
            with Path(self.journal).open("a", encoding="utf-8") as file:
                file.write(f"{prompt}\n")
            yield check_reply(Reply(known[prompt]), request.sampling)


def build(options: Mapping[str, Any]) -> Finder:
    return Finder(**options)
