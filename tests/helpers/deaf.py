"""A backend with the faults that no status code shows: it draws another prompt's picture, or forgets its seeds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datagen.chat import ChatRequest, Reply, check_reply
from datagen.records import Failure, Request, Sample
from tests.helpers.instant import Instant


@dataclass(frozen=True)
class Deaf:
    """`fault`: swapped (pictures of other prompts), seedless (no seed matters), restless (seeds never repeat)."""

    fault: str
    lexicon: str = "pictograms"
    name: str = "deaf"

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        honest = Instant(wrong=0.0)
        if self.fault == "seedless":
            drawn = list(honest.generate([replace(request, seed=1) for request in requests]))
        elif self.fault == "restless":
            drawn = list(honest.generate([replace(r, seed=random.getrandbits(60)) for r in requests]))
        else:
            drawn = list(honest.generate([*requests[1:], requests[0]]))
        for request, answer in zip(requests, drawn, strict=True):
            assert isinstance(answer, Sample)
            yield replace(answer, id=request.sample_id, prompt_id=request.prompt.id, seed=request.seed)

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        return (check_reply(Reply("I would rather talk"), request.sampling) for request in requests)


def build(options: Mapping[str, Any]) -> Deaf:
    return Deaf(**options)
