"""Train the image tokenizer on crowded true scenes.

For the first eighth of the steps the latents get uniform noise instead of rounding, which spreads the codes; then they
are rounded. Loss: mean absolute plus mean squared error of pixels in [-1, 1].
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from datagen.embedded.codec import CodecConfig, ImageCodec
from datagen.embedded.loading import load_codec, save_codec
from datagen.embedded.pictograms import render_scene
from datagen.embedded.world import random_scene
from datagen.training.state import Muon, Schedule, TrainingState, split_parameters

_POOL = 16_000
_NOISE_SHARE = 0.125


def to_unit(pictures: np.ndarray) -> torch.Tensor:
    """Convert uint8 RGB pictures to floats in [-1, 1] of the same shape."""
    return torch.from_numpy(pictures).float() / 127.5 - 1


def train_codec(out: Path, *, steps: int, batch: int, seed: int, init: Path | None, save_every: int) -> ImageCodec:
    """Train for `steps` in all, continuing from `out/state.pt` if it exists, and write the image tokenizer."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    pool = np.stack([render_scene(random_scene(rng)) for _ in range(_POOL)])
    codec = load_codec(init) if init else ImageCodec(CodecConfig())
    matrices, rest = split_parameters(codec, ("position", "encoder.4"))
    optimizers = [Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)]
    schedule = Schedule(optimizers, steps, decay=0.6)
    state = TrainingState(out, codec, optimizers)
    for step in range(state.restore(), steps):
        schedule.set(step)
        torch.manual_seed(seed * 1_000_003 + step)  # noise by step, so a resumed training is the same
        codec.train()
        picked = np.random.default_rng([seed, step]).integers(0, _POOL, batch)
        pictures = to_unit(pool[picked])
        drawn = codec.decode_latents(
            codec.add_noise(pictures) if step < steps * _NOISE_SHARE else codec.quantize(pictures)
        )
        loss = (drawn - pictures).abs().mean() + (drawn - pictures).square().mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if (step + 1) % 100 == 0:
            state.log(step + 1, loss=loss.item(), codes=_count_codes(codec, pool[:512]))
        if (step + 1) % save_every == 0 or step + 1 == steps:
            state.save(step + 1)
    codec.eval().keep_used(to_unit(pool))
    save_codec(codec, out)
    return codec


@torch.no_grad()
def _count_codes(codec: ImageCodec, pictures: np.ndarray) -> int:
    return int(codec.eval().encode(to_unit(pictures)).unique().numel())
