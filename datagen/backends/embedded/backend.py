"""The embedded model as a backend: requests in, samples out, in batches of one fixed shape."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field

from datagen.backends._options import BackendOptions
from datagen.backends.embedded.answers import (
    IMAGE_TOKENS,
    Answer,
    draw_codes,
    list_segments,
    read_answer,
)
from datagen.backends.embedded.checkpoint_io import load_codec, require_files
from datagen.backends.embedded.decoder import LlamaDecoder
from datagen.backends.embedded.vocab import Vocabulary
from datagen.errors import BackendError
from datagen.records import Failure, Request, Sample

SHIPPED = Path(__file__).parent / "checkpoint"
ENGINE = "embedded/1"


class EmbeddedOptions(BackendOptions):
    """What a recipe may set under `backend:`; `threads: 0` is one a core, and one on a GPU."""

    checkpoint: Path = SHIPPED
    temperature: float = Field(1.0, ge=0, le=5)
    batch_size: int = Field(64, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=256)
    max_tokens: int = Field(128, ge=64, le=512)
    device: str = "auto"

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Validate options from a recipe and settle the device; raises BackendError naming the first wrong one."""
        parsed = super().parse(options)
        if parsed.device == "auto":
            parsed.device = "cuda" if torch.cuda.is_available() else "cpu"
        return parsed


class EmbeddedBackend:
    """Generates think-then-draw and direct samples with the embedded checkpoint."""

    name = "embedded"
    lexicon = "pictograms"

    def __init__(self, options: EmbeddedOptions) -> None:
        from tokenizers import Tokenizer

        require_files(options.checkpoint)
        self.options = options
        try:
            self.vocab = Vocabulary(Tokenizer.from_file(str(options.checkpoint / "tokenizer.json")))
            self.decoder = LlamaDecoder(options.checkpoint, options.device)
            self.codec = load_codec(options.checkpoint).to(options.device)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise BackendError(f"the checkpoint cannot be loaded: {error}", where=str(options.checkpoint)) from error
        weights = (options.checkpoint / "model.safetensors").read_bytes()
        self.settings = {
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
            "checkpoint": hashlib.sha256(weights).hexdigest()[:16],
        }

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample for each request, in order, or a failure that says what was wrong with what it wrote."""
        limit = self.options.max_tokens - IMAGE_TOKENS - 8
        prompts = [self.vocab.prompt_ids(request.prompt.text, request.mode) for request in requests]
        fits = [k for k, prompt in enumerate(prompts) if len(prompt) <= limit]
        fits.sort(key=lambda k: expected_length(requests[k]), reverse=True)  # the longest batch never runs alone, last
        written = self.write([prompts[k] for k in fits], [requests[k].seed for k in fits])
        answers = {k: self.read(ids) for k, ids in zip(fits, written, strict=True)}
        codes = {k: answer.codes for k, answer in answers.items() if answer.codes is not None}
        images = draw_codes(self.codec, codes, self.options.batch_size, self.options.device)
        for k, request in enumerate(requests):
            if k not in answers:
                yield Failure.unanswered(
                    request, f"the prompt is {len(prompts[k])} tokens long; this model reads {limit}"
                )
            elif k not in images:
                yield Failure.unanswered(request, answers[k].problem, answers[k].plan or "")
            else:
                yield self._sample(request, answers[k], images[k])

    def write(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[list[int]]:
        """Return what the model writes after each prompt (token ids), one batch a core at once."""
        options = self.options
        return self.decoder.sample(
            prompts,
            seeds,
            batch=options.batch_size,
            length=options.max_tokens,
            eos=self.vocab.eos,
            temperature=options.temperature,
            threads=options.threads or (count_cores() if options.device == "cpu" else 1),
        )

    def read(self, ids: Sequence[int]) -> Answer:
        """Read what the model wrote after the prompt, token by token, without repairing anything."""
        return read_answer(self.vocab, ids)

    def _sample(self, request: Request, answer: Answer, image: bytes) -> Sample:
        segments = list_segments(answer, image)
        return Sample.make(
            request, segments, engine=ENGINE, switch="autonomous", finish=answer.finish, settings=self.settings
        )


def expected_length(request: Request) -> tuple[str, int, int]:
    """Order requests by how long their answers should be: the plan has a line for each claimed thing."""
    things = sum(int(claim.value) for claim in request.prompt.claims if claim.kind == "count")
    return request.mode, things, len(request.prompt.text)


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
