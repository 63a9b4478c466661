"""The embedded model as a backend: requests in, samples out, in batches of one fixed shape."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datagen.backends.embedded.checkpoint_io import load_codec, require_files
from datagen.backends.embedded.decoder import LlamaDecoder
from datagen.backends.embedded.vocab import Vocabulary
from datagen.errors import BackendError
from datagen.pictograms import GRID
from datagen.records import Failure, Request, Sample, Segment

SHIPPED = Path(__file__).parent / "checkpoint"
ENGINE = "embedded/1"


class EmbeddedOptions(BaseModel):
    """What a recipe may set under `backend:`."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: Path = SHIPPED
    temperature: float = Field(1.0, ge=0, le=5)
    batch_size: int = Field(64, ge=1, le=4096)
    max_tokens: int = Field(160, ge=64, le=512)
    device: str = "auto"

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> EmbeddedOptions:
        """Validate options from a recipe; raises BackendError naming the first wrong one."""
        try:
            parsed = cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            known = ", ".join(cls.model_fields)
            raise BackendError(f"backend option {key!r}: {first['msg']}", hint=f"options: {known}") from error
        if parsed.device == "auto":
            parsed.device = "cuda" if torch.cuda.is_available() else "cpu"
        return parsed


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote, read back: the plan if any, the codes of the image if it is whole, and how it ended."""

    plan: str | None
    codes: tuple[int, ...] | None
    finish: str
    problem: str


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
        size = self.options.batch_size
        for start in range(0, len(requests), size):
            yield from self._generate_batch(requests[start : start + size])

    def _generate_batch(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Sample a batch padded to its fixed shape with copies of the last request."""
        limit = self.options.max_tokens - GRID * (GRID + 1) - 8
        prompts = [self.vocab.prompt_ids(request.prompt.text, request.mode) for request in requests]
        fits = [k for k, prompt in enumerate(prompts) if len(prompt) <= limit]
        answers: dict[int, Answer] = {}
        if fits:
            rows = [fits[min(k, len(fits) - 1)] for k in range(self.options.batch_size)]
            written = self.decoder.sample(
                [prompts[k] for k in rows],
                [requests[k].seed for k in rows],
                length=self.options.max_tokens,
                eos=self.vocab.eos,
                temperature=self.options.temperature,
            )
            answers = {k: self.read(ids) for k, ids in zip(fits, written, strict=False)}
        pictures = self._draw([answers[k].codes for k in answers])
        images = dict(zip(answers, pictures, strict=True))
        for k, request in enumerate(requests):
            if k not in answers:
                yield _fail(request, f"the prompt is {len(prompts[k])} tokens long; this model reads {limit}", "")
            elif images[k] is None:
                yield _fail(request, answers[k].problem, answers[k].plan or "")
            else:
                yield self._sample(request, answers[k], images[k] or b"")

    def read(self, ids: Sequence[int]) -> Answer:
        """Read what the model wrote after the prompt, token by token, without repairing anything."""
        v, rest = self.vocab, list(ids)
        finish = "stop" if rest and rest[-1] == v.eos else "length"
        plan = None
        if rest and rest[0] == v.think:
            if v.end_think not in rest:
                return Answer(None, None, finish, "the thought never ends")
            end = rest.index(v.end_think)
            plan, rest = v.tokenizer.decode(rest[1:end], skip_special_tokens=False), rest[end + 1 :]
        if not rest or rest[0] != v.image:
            return Answer(plan, None, finish, "the model does not switch to an image")
        body, tail = rest[1 : 1 + GRID * (GRID + 1)], rest[1 + GRID * (GRID + 1) :]
        lines = [body[k : k + GRID + 1] for k in range(0, len(body), GRID + 1)]
        whole = len(lines) == GRID and all(
            len(line) == GRID + 1 and line[0] == v.rows[row] and min(line[1:]) >= v.first_code
            for row, line in enumerate(lines)
        )
        if not whole or tail[:2] != [v.end_image, v.eos]:
            return Answer(plan, None, finish, "the image is not six whole rows and an end")
        return Answer(plan, tuple(token - v.first_code for line in lines for token in line[1:]), finish, "")

    def _draw(self, codes: Sequence[tuple[int, ...] | None]) -> list[bytes | None]:
        """Decode codes to PNG bytes in a batch of the fixed shape; None stays None."""
        known = [k for k, row in enumerate(codes) if row is not None]
        if not known:
            return [None] * len(codes)
        rows = [codes[known[min(k, len(known) - 1)]] for k in range(self.options.batch_size)]
        with torch.inference_mode():
            pixels = self.codec.decode(torch.tensor(rows, device=self.options.device)).cpu().numpy()
        drawn: list[bytes | None] = [None] * len(codes)
        for row, k in enumerate(known):
            drawn[k] = _png(pixels[row])
        return drawn

    def _sample(self, request: Request, answer: Answer, image: bytes) -> Sample:
        segments = [Segment("image", "image", image=image)]
        if answer.plan is not None:
            segments.insert(0, Segment("text", "think", text=answer.plan))
        return Sample(
            id=request.sample_id,
            prompt_id=request.prompt.id,
            candidate=request.candidate,
            seed=request.seed,
            mode=request.mode,
            engine=ENGINE,
            switch="autonomous",
            finish=answer.finish,
            segments=tuple(segments),
            settings=dict(self.settings),
        )


def _fail(request: Request, error: str, detail: str) -> Failure:
    return Failure("generate", request.prompt.id, request.candidate, error, detail)


def _png(pixels: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
