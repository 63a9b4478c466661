"""Models work on their device alone, and seldom wait for it: on a device without hardware, which is no processor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LogitsProcessorList

from datagen.backends.transformers import build
from datagen.backends.transformers.janus import Guidance, JanusFamily, make_cache
from datagen.backends.transformers.rows import Picker, draw_numbers
from datagen.embedded.decoder import LlamaDecoder
from datagen.embedded.loading import load_codec
from datagen.embedded.options import SHIPPED
from tests.helpers.elsewhere import DEVICE, Elsewhere
from tests.helpers.tiny_models import save_janus


def test_tensors_of_two_devices_do_not_meet() -> None:
    there = Elsewhere()
    moved = there.move(torch.ones(3))
    with there, pytest.raises(RuntimeError, match="same device"):
        moved + torch.ones(3)


@pytest.mark.parametrize(("steps", "waits"), [(1000, 0), (8, 8), (1, 64)])
def test_the_embedded_decoder_waits_only_to_hear_of_the_end(steps: int, waits: int) -> None:
    decoder, there = LlamaDecoder(SHIPPED, "cpu"), Elsewhere()
    decoder.embedding, decoder.unembedding = there.move(decoder.embedding), there.move(decoder.unembedding)
    decoder.blocks = [tuple(map(there.move, block)) for block in decoder.blocks]  # type: ignore[misc]
    decoder.device, decoder.sync_steps = DEVICE, steps
    with there:
        tokens = decoder._run([[5], [6, 7]], [1, 2], 65, 0, 1.0)
        logits = decoder.logits(tokens)
    assert (tokens.shape, logits.shape[:2]) == ((2, 65), (2, 65))
    assert tokens.device == logits.device == torch.device(DEVICE)
    assert there.waits == waits


def test_the_image_tokenizer_works_on_its_device() -> None:
    codec, there = load_codec(SHIPPED), Elsewhere()
    there.move_module(codec)
    with there:
        pictures = codec.decode(codec.encode(torch.zeros(2, 96, 96, 3, device=DEVICE)))
    assert (pictures.shape, pictures.device, there.waits) == ((2, 96, 96, 3), torch.device(DEVICE), 0)


@pytest.mark.parametrize("top_p", [1.0, 0.9])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_janus_draws_without_waiting_for_a_token(kind: str, top_p: float, tmp_path: Path) -> None:
    family, there = build({"model": str(save_janus(tmp_path)), "device": "cpu"}).family, Elsewhere()
    assert isinstance(family, JanusFamily)
    there.move_module(family.model)
    numbers = there.move(draw_numbers([1, 2], [20, 30], family.codes))
    with there:
        tokens = torch.zeros(2, 32, dtype=torch.int64, device=DEVICE)
        codes = family.model.generate(
            inputs=tokens,
            attention_mask=torch.ones_like(tokens),
            generation_mode="image",
            past_key_values=make_cache(family.model.config, 32 + family.codes, kind),
            logits_processor=LogitsProcessorList([Guidance(5.0), Picker(numbers, 1.0, top_p)]),
        )
        pixels = family.model.decode_image_tokens(codes[:1])
    assert (codes.shape, codes.device, pixels.device) == ((2, family.codes), torch.device(DEVICE), codes.device)
    assert there.waits < family.codes / 2  # a few of the library before the first token


def test_text_alone_is_kept_on_the_device_of_the_scores(tmp_path: Path) -> None:
    family, there = build({"model": str(save_janus(tmp_path)), "device": "cpu"}).family, Elsewhere()
    assert isinstance(family, JanusFamily)
    keep = family._make_text_only()
    with there:
        scores = keep(torch.zeros(1, 1), torch.zeros(2, 300, device=DEVICE))
    assert (scores.device, there.waits) == (torch.device(DEVICE), 0)
