"""The language model's training, for a few real steps."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer

from datagen.embedded.backend import EmbeddedBackend
from datagen.embedded.options import SHIPPED, EmbeddedOptions
from datagen.embedded.vocab import Vocabulary
from datagen.workshop.lm import SHAPES, new_model, train_lm


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


def test_a_new_model_passes_its_tokens_on_and_knows_nothing() -> None:
    torch.manual_seed(0)
    vocab = Vocabulary(Tokenizer.from_file(str(SHIPPED / "tokenizer.json")))
    model = new_model(vocab, SHAPES["read"])
    ids = torch.arange(12)[None]
    with torch.inference_mode():
        answer = model(ids, output_hidden_states=True)
    assert torch.equal(answer.hidden_states[0], answer.hidden_states[-2])
    others = answer.logits[0][~torch.nn.functional.one_hot(ids[0], vocab.size).bool()]
    assert others.std() < 1.5
