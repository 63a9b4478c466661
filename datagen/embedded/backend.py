"""The embedded model as a backend: generates samples in batches of one fixed shape.

The likelihood of an image given a prompt is the teacher-forced log-probability of its image tokens.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

import torch

from datagen.chat import ChatRequest, Reply
from datagen.embedded.answers import IMAGE_TOKENS, Answer, Fitting, Reader, read_answer
from datagen.embedded.chat import ChatModel, close, encode_image, reflect
from datagen.embedded.codec import ImageCodec
from datagen.embedded.decoder import LlamaDecoder
from datagen.embedded.loading import READER, has_reader, load_codec, require_files
from datagen.embedded.options import EmbeddedOptions
from datagen.embedded.vocab import Vocabulary
from datagen.errors import BackendError
from datagen.generation.batches import stream_in_batches
from datagen.records import Failure, Request, Sample

ENGINE = "embedded/2"
IMAGE_MARKS = 3
"""Tokens around an image: begin, end, and end of sequence."""
LEAST_PLAN = 5
"""Tokens reserved for a thought after the prompt."""

TAKEN = 4
"""Batches of each thread that are taken from a flow at once: enough to put answers of similar length together."""


class EmbeddedBackend:
    """Generates samples with the embedded checkpoint, in every mode, and answers chats about images and prompts."""

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
        self.settings = {
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
            "checkpoint": _hash_weights(options.checkpoint),
        }
        self.threads = options.threads or (count_cores() if options.device == "cpu" else 1)
        self._reader = Reader(
            self.vocab, self.codec, ENGINE, self.settings, device=options.device, batch=options.batch_size
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample for each request, in order, or a failure that says what is wrong with the answer.

        Raises BackendError when a reflection is requested from a checkpoint without a reader.
        """
        if any(request.mode == "reflect" for request in requests):
            _ = self.talker  # a checkpoint without a reader fails here, before anything is generated
        room = self.options.max_tokens - IMAGE_TOKENS - IMAGE_MARKS
        fitting = Fitting.sort(self.vocab, requests, room - LEAST_PLAN)
        # A batch runs until its longest row ends, so answers of similar length share one, the longest first.
        order = sorted(fitting.kept, key=lambda k: expected_length(requests[k]), reverse=True)
        written = self.write([fitting.ids[k] for k in order], [requests[k].seed for k in order])
        answers = {k: read_answer(self.vocab, ids) for k, ids in zip(order, written, strict=True)}
        made: dict[int, Sample | Failure] = dict(fitting.failures)
        for driven in (False, True):
            ours = [k for k in order if (requests[k].mode == "reflect") == driven]
            asked, found = [requests[k] for k in ours], [answers[k] for k in ours]
            for turn in range(1, self.options.rounds + 1 if driven and ours else 0):
                found = reflect(self.vocab, asked, found, self.talker.read, self.write, turn=turn, limit=room)
            if driven and ours and self.options.close:
                found = close(self.vocab, asked, found, self.talker.read)
            switch = "forced" if driven else "autonomous"
            for k, answer in zip(ours, self._reader.read(asked, found, switch), strict=True):
                made[k] = self._note_reader(answer) if driven else answer
        yield from (made[k] for k in range(len(requests)))

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        """Yield one sample or failure for each request, `TAKEN` batches of every thread at a time."""
        return stream_in_batches(self.generate, requests, TAKEN * self.options.batch_size * self.threads)

    def _note_reader(self, answer: Sample | Failure) -> Sample | Failure:
        """Return a sample whose settings also name the weights of the reader."""
        if isinstance(answer, Failure):
            return answer
        return replace(answer, settings={**answer.settings, "reader": _hash_weights(self.options.checkpoint / READER)})

    def write(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[list[int]]:
        """Return the token ids generated after each prompt; each core runs one batch at a time."""
        options = self.options
        return self.decoder.sample(
            prompts,
            seeds,
            batch=options.batch_size,
            length=options.max_tokens,
            eos=self.vocab.eos,
            temperature=options.temperature,
            threads=self.threads,
        )

    @cached_property
    def talker(self) -> ChatModel:
        """The reader, loaded on first use. Raises BackendError when the checkpoint has none."""
        folder, options = self.options.checkpoint / READER, self.options
        if not has_reader(options.checkpoint):
            hint = "train one: python -m datagen.workshop lm --tasks read"
            raise BackendError("the checkpoint has no model that reads images", where=str(folder), hint=hint)
        try:
            decoder = LlamaDecoder(folder, options.device)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise BackendError(f"the checkpoint cannot be loaded: {error}", where=str(folder)) from error
        return ChatModel(self.vocab, self.codec, decoder, batch=options.batch_size, threads=self.threads)

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order; see `datagen.chat.ChatEngine`."""
        return self.talker.chat(requests)

    def likelihood(self, text: str, images: Sequence[bytes]) -> list[tuple[float, int]]:
        """Return log p(image | text) in nats of each image, without a thought, and its number of image tokens.

        Images (PNG) are encoded first; tokens that mark rows do not count. The last bits depend on which images share a
        call. Raises ValueError for a prompt that leaves no room for an image, and ValueError or OSError for a damaged
        image.
        """
        return measure_likelihood(self.vocab, self.codec, self.decoder, text, images, self.options.max_tokens)

    def read(self, ids: Sequence[int]) -> Answer:
        """Read the tokens generated after a prompt, without repairing anything."""
        return read_answer(self.vocab, ids)


@cache
def _hash_weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]


def expected_length(request: Request) -> tuple[str, int, int]:
    """Return a sort key for the expected length of an answer: its plan has a line for each claimed object."""
    things = sum(int(claim.value) for claim in request.prompt.claims if claim.kind == "count")
    return request.mode, things, len(request.prompt.text)


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


BATCH = 64


def measure_likelihood(
    vocab: Vocabulary, codec: ImageCodec, decoder: LlamaDecoder, text: str, images: Sequence[bytes], most_tokens: int
) -> list[tuple[float, int]]:
    """Return (log p in nats, image tokens) of each image after a prompt; see `EmbeddedBackend.likelihood`."""
    prompt = vocab.prompt_ids(text, "direct")
    found: list[tuple[float, int]] = []
    for start in range(0, len(images), BATCH):
        drawn = [vocab.image_ids(encode_image(codec, image, decoder.device)) for image in images[start : start + BATCH]]
        if len(prompt) + len(drawn[0]) > most_tokens:
            room = most_tokens - len(drawn[0])
            raise ValueError(f"the prompt is {len(prompt)} tokens long; this model reads {room} before an image")
        ids = torch.tensor([prompt + image for image in drawn], device=decoder.device)
        # Logits at position p predict token p + 1; all rows are equally long, since every image has as many tokens.
        logs = decoder.logits(ids[:, :-1]).log_softmax(-1)
        said = logs.gather(2, ids[:, 1:, None])[..., 0]
        codes = ids[:, 1:] >= vocab.first_code
        found += zip((said * codes).sum(1).tolist(), codes.sum(1).tolist(), strict=True)
    return found
