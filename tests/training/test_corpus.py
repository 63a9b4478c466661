"""The training corpus: reproducible, held-out claims stay out, targets are the model's own part."""

from __future__ import annotations

import random

import numpy as np
from tokenizers import Tokenizer

from datagen.backends.embedded.backend import SHIPPED
from datagen.backends.embedded.checkpoint_io import load_codec
from datagen.backends.embedded.vocab import Vocabulary
from datagen.backends.embedded.world import lay_out
from datagen.pictograms import draw_scene
from datagen.records import Claim
from datagen.training.codec import to_unit
from datagen.training.corpus import FIRST_CELL_WEIGHT, CodeTable, PromptSource, held_out, make_batches


def open_parts() -> tuple[PromptSource, CodeTable, Vocabulary]:
    vocab = Vocabulary(Tokenizer.from_file(str(SHIPPED / "tokenizer.json")))
    return PromptSource(), CodeTable(load_codec(SHIPPED)), vocab


def test_batches_are_a_pure_function_of_seed_and_chunk() -> None:
    first = make_batches(1, 2, *open_parts(), size=4, batches=2)
    again = make_batches(1, 2, *open_parts(), size=4, batches=2)
    other = make_batches(1, 3, *open_parts(), size=4, batches=2)
    assert all(np.array_equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    assert any(a.shape != b.shape or not np.array_equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))


def test_targets_begin_after_the_prompt_and_end_with_eos() -> None:
    source, table, vocab = open_parts()
    for ids, weights in make_batches(0, 0, source, table, vocab, size=4, batches=2):
        target = weights > 0
        assert ids.shape == target.shape
        assert ids.shape[1] % 8 == 0
        for row, mask in zip(ids, target, strict=True):
            first = int(mask.argmax())
            assert row[first - 1] == vocab.assistant
            assert row[first] in (vocab.think, vocab.image)
            assert row[mask.nonzero()[0][-1]] == vocab.eos


def test_the_first_cell_of_each_planned_thing_weighs_more() -> None:
    _, table, vocab = open_parts()
    claims = (Claim("count", "star", "", 2), Claim("count", "moon", "", 1))
    raised = {FIRST_CELL_WEIGHT: 0, 1.0: 0}
    for ids, weights in make_batches(0, 0, lambda rng: ("x", claims), table, vocab, size=4, batches=2):
        for row, each in zip(ids.tolist(), weights, strict=True):
            end = row.index(vocab.eos) + 1
            heavy = [k - end for k in np.flatnonzero(each > 1)]
            raised[FIRST_CELL_WEIGHT if heavy else 1.0] += 1
            planned = vocab.think in row
            assert len(heavy) == (3 if planned else 0)
            assert all(row[:end][k] >= vocab.first_code for k in heavy)
    assert all(raised.values())


def test_cell_positions_count_from_the_end() -> None:
    *_, vocab = open_parts()
    answer = vocab.answer_ids(None, list(range(36)))
    cells = [answer[vocab.cell_position(x, y)] - vocab.first_code for y in range(6) for x in range(6)]
    assert cells == list(range(36))


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
    source, table, _ = open_parts()
    codec, rng = load_codec(SHIPPED), random.Random(3)
    for _ in range(30):
        scene = lay_out(source(rng)[1], rng)
        assert table.codes(scene) == codec.encode(to_unit(draw_scene(scene)[None]))[0].tolist()
