"""The language model's training, for a few real steps."""

from __future__ import annotations

import json
from pathlib import Path

from datagen.backends.embedded.backend import SHIPPED, EmbeddedBackend, EmbeddedOptions
from datagen.training.lm import train_lm


def test_going_on_from_the_shipped_weights_keeps_their_vocabulary_and_starts_low(tmp_path: Path) -> None:
    train_lm(
        tmp_path,
        tasks="draw",
        codec=SHIPPED,
        steps=50,
        batch=2,
        seed=0,
        init=SHIPPED,
        rate=0.0,
        save_every=50,
        device="cpu",
    )
    assert (tmp_path / "tokenizer.json").read_bytes() == (SHIPPED / "tokenizer.json").read_bytes()
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    figures = json.loads(line)
    assert figures["image_loss"] < 1  # a fresh model begins near log(vocabulary) = 7.6
    trained = EmbeddedBackend(EmbeddedOptions.parse({"checkpoint": tmp_path, "device": "cpu"}))
    assert trained.vocab.size == 2025
