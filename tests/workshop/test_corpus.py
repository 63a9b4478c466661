"""The training corpus: reproducible, held-out claims stay out, targets are the model's own part."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tokenizers import Tokenizer

from datagen.embedded.loading import load_codec
from datagen.embedded.options import SHIPPED
from datagen.embedded.pictograms import render_scene
from datagen.embedded.vocab import Vocabulary
from datagen.embedded.world import lay_out
from datagen.records import Claim
from datagen.workshop.codec import to_unit
from datagen.workshop.corpus import PromptSource, held_out, make_batches
from datagen.workshop.sequences import CodeTable, Writer


def open_parts() -> tuple[PromptSource, Writer]:
    vocab = Vocabulary(Tokenizer.from_file(str(SHIPPED / "tokenizer.json")))
    return PromptSource(), Writer(vocab, CodeTable(load_codec(SHIPPED)))


def test_batches_are_a_pure_function_of_seed_and_chunk() -> None:
    first = make_batches(1, 2, *open_parts(), "read", size=4, batches=2)
    again = make_batches(1, 2, *open_parts(), "read", size=4, batches=2)
    other = make_batches(1, 3, *open_parts(), "read", size=4, batches=2)
    assert all(np.array_equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    assert any(a.shape != b.shape or not np.array_equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))


@pytest.mark.parametrize("tasks", ["draw", "read"])
def test_targets_begin_after_what_is_given_and_end_with_eos(tasks: str) -> None:
    source, writer = open_parts()
    vocab = writer.vocab
    for ids, weights in make_batches(0, 0, source, writer, tasks, size=8, batches=2):
        target = weights > 0
        assert ids.shape == target.shape
        assert ids.shape[1] % 8 == 0
        for row, mask in zip(ids, target, strict=True):
            assert vocab.assistant in row[: int(mask.argmax())]
            assert row[mask.nonzero()[0][-1]] == vocab.eos


def test_a_layout_keeps_the_order_of_the_claims() -> None:
    claims = [Claim("count", "star", "", 1), Claim("count", "moon", "", 3), Claim("count", "bell", "", 1)]
    for seed in range(20):
        items = lay_out(claims, random.Random(seed)).items
        assert [item.kind for item in items] == ["star", "moon", "moon", "moon", "bell"]
        assert sorted(items[1:4], key=lambda item: (item.y1, item.x1)) == list(items[1:4])


def test_one_claim_set_in_ten_is_held_out() -> None:
    source, rng = PromptSource(), random.Random(0)
    share = sum(held_out(source(rng)[1]) for _ in range(3000)) / 3000
    assert 0.05 < share < 0.15
    assert held_out((Claim("count", "star", "", 3),)) == held_out([Claim("count", "star", "", 3)])


def test_random_words_stay_in_the_prompt_and_the_claim() -> None:
    source, rng = PromptSource(), random.Random(0)
    drawn = [source(rng) for _ in range(400)]
    words = [(text, claims[0].value) for text, claims in drawn if claims[0].kind == "text"]
    assert words
    assert all(f'"{word}"' in text for text, word in words)


def test_remembered_codes_equal_encoded_pictures() -> None:
    source, writer = open_parts()
    table = writer.table
    codec, rng = load_codec(SHIPPED), random.Random(3)
    for _ in range(30):
        scene = lay_out(source(rng)[1], rng)
        assert table.codes(scene) == codec.encode(to_unit(render_scene(scene)[None]))[0].tolist()
