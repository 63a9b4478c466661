"""A row becomes the sequence that the model wrote, token for token, from what its picture remembers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datagen.embedded.answers import read_answer
from datagen.embedded.backend import EmbeddedBackend
from datagen.embedded.codec import fingerprint, read_codes
from datagen.embedded.options import EmbeddedOptions
from datagen.errors import RunError
from datagen.pictures import encode_png
from datagen.records import Request, Sample
from datagen.training.finetune import RowEncoder
from datagen.training.weighted import CONTEXT, IMAGE, SWITCH, TEXT
from tests.helpers.trainer_cases import make_parts, shipped_codec, shipped_vocab


def as_row(prompt: Any, sample: Sample) -> dict[str, Any]:
    """A row as `datasets` gives it."""
    images = [segment.image for segment in sample.segments if segment.kind == "image"]
    return {
        "id": sample.id,
        "prompt": prompt.text,
        "mode": sample.mode,
        "segments": [{"kind": s.kind, "role": s.role, "text": s.text} for s in sample.segments],
        "images": [Image.open(io.BytesIO(image)) for image in images],
    }


def make_encoder(longest: int = 512) -> RowEncoder:
    return RowEncoder(shipped_vocab(), fingerprint(shipped_codec()), longest)


@pytest.mark.parametrize("mode", ["think", "direct"])
def test_a_row_is_the_sequence_that_the_model_wrote(mode: Any) -> None:
    backend = EmbeddedBackend(EmbeddedOptions.parse({"device": "cpu", "batch_size": 4, "threads": 1}))
    prompts = [prompt for prompt, _, _ in make_parts(4, seed=5)]
    requests = [Request(prompt, 0, k, mode) for k, prompt in enumerate(prompts)]
    given = [backend.vocab.prompt_ids(prompt.text, mode) for prompt in prompts]
    written = backend.write(given, [request.seed for request in requests])
    compared = 0
    for request, before, ids, sample in zip(requests, given, written, backend.generate(requests), strict=True):
        if not isinstance(sample, Sample):
            continue
        learned, kinds = make_encoder()(as_row(request.prompt, sample))
        assert learned == [*before, *ids]
        opens = learned.index(backend.vocab.image)
        text = [TEXT] * (opens - len(before)) + [SWITCH] if mode == "think" else [IMAGE]
        assert kinds == [CONTEXT] * len(before) + text + [IMAGE] * (len(learned) - opens - 1)
        assert not read_answer(backend.vocab, learned[len(before) :]).problem
        compared += 1
    assert compared


def test_a_picture_is_what_its_codes_draw() -> None:
    for _, sample, _ in make_parts(6):
        picture = Image.open(io.BytesIO(sample.segments[-1].image))
        codes = read_codes(picture, fingerprint(shipped_codec()))
        with torch.inference_mode():
            assert np.array_equal(np.asarray(picture), shipped_codec().decode(torch.tensor([codes]))[0].numpy())


def test_a_picture_without_codes_says_so() -> None:
    ((prompt, sample, _),) = make_parts(1)
    row = as_row(prompt, sample)
    row["images"] = [Image.open(io.BytesIO(encode_png(np.asarray(row["images"][0]))))]
    with pytest.raises(RunError, match=f"sample {sample.id}: its picture does not store the image tokens"):
        make_encoder()(row)


def test_a_row_that_is_too_long_says_so() -> None:
    ((prompt, sample, _),) = make_parts(1)
    with pytest.raises(RunError, match="tokens long; this model allows 60"):
        make_encoder(60)(as_row(prompt, sample))


def test_a_reflection_is_not_for_the_model_that_draws() -> None:
    ((prompt, sample, _),) = make_parts(1)
    row = as_row(prompt, sample)
    row["segments"] = [*row["segments"], {"kind": "text", "role": "reflect", "text": "all is well"}]
    with pytest.raises(RunError, match="is think, image, reflect; this model learns think, image"):
        make_encoder()(row)
