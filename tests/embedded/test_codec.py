"""The image tokenizer: geometry, codes, and what survives it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from datagen.embedded.codec import CodecConfig, ImageCodec, join_cells, split_cells
from datagen.embedded.loading import load_codec, save_codec
from datagen.embedded.options import SHIPPED
from datagen.embedded.pictograms import render_scene
from datagen.embedded.world import random_scene


def true_pictures(count: int, seed: int = 5) -> torch.Tensor:
    rng = random.Random(seed)
    return torch.from_numpy(np.stack([render_scene(random_scene(rng)) for _ in range(count)])).float() / 127.5 - 1


def test_split_and_join_are_inverse() -> None:
    pictures = torch.rand(3, 96, 96, 3)
    assert torch.equal(join_cells(split_cells(pictures)), pictures)


def test_a_code_depends_on_its_cell_alone() -> None:
    codec = load_codec(SHIPPED)
    first, second = true_pictures(2)
    mixed = first.clone()
    mixed[:16, :16] = second[:16, :16]
    a, b, both = codec.encode(torch.stack([first, second, mixed]))
    assert both[0] == b[0]
    assert torch.equal(both[1:], a[1:])


def test_shipped_codec_keeps_the_picture() -> None:
    codec = load_codec(SHIPPED)
    pictures = true_pictures(64)
    drawn = codec.decode(codec.encode(pictures)).float() / 127.5 - 1
    error = (drawn - pictures).square().mean().item()
    shuffled = (drawn.roll(1, 0) - pictures).square().mean().item()
    assert error < 0.05 * shuffled


def test_every_code_decodes_and_unused_grid_points_map_to_the_nearest() -> None:
    codec = ImageCodec(CodecConfig(levels=(3, 3)))
    codec.set_book(torch.tensor([0, 8]))
    assert codec.codes == 2
    assert codec.nearest.tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 1]
    assert codec.decode(torch.zeros(1, 36, dtype=torch.int64)).shape == (1, 96, 96, 3)


def test_save_and_load_give_the_same_codes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = ImageCodec(CodecConfig(levels=(5, 5, 3)))
    pictures = true_pictures(4)
    codec.train().quantize(pictures)
    codec.eval().keep_used(pictures)
    save_codec(codec, tmp_path)
    assert torch.equal(load_codec(tmp_path).encode(pictures), codec.encode(pictures))
