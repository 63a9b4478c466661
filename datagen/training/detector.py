"""Train the learned detector on pictures of `spoiled`: cross-entropy of what starts in each cell, and of its colour.

Every picture is new. The weights that ship are `detector.safetensors` of the folder, as they are after the last step.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from datagen.backends.embedded.checkpoint_io import load_codec
from datagen.rewards.detectors._cells import CellNet, load_net, save_net
from datagen.training.muon import Muon, Schedule, split_parameters
from datagen.training.spoiled import IGNORED, make_batch
from datagen.training.state import TrainingState


def train_detector(
    out: Path, *, codec: Path, steps: int, batch: int, seed: int, init: Path | None, save_every: int
) -> CellNet:
    """Train for `steps` in all, going on from `out/state.pt` if it is there; write `out/detector.safetensors`.

    `codec` is a folder with an image tokenizer, `init` a file of weights to start from.
    """
    torch.manual_seed(seed)
    redraws = load_codec(codec)
    net = load_net(init) if init else CellNet()
    matrices, rest = split_parameters(net, ("head",))
    optimizers = [Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)]
    schedule = Schedule(optimizers, steps, decay=0.6)
    state = TrainingState(out, net, optimizers)
    for step in range(state.restore(), steps):
        schedule.set(step)
        pictures, starts, tones = make_batch(seed, step, batch, redraws)
        says, names = net.train()(pictures)
        loss = _loss(says, starts) + 0.3 * _loss(names, tones)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if (step + 1) % 50 == 0:
            state.log(step + 1, loss=loss.item(), whole=_share_whole(says, starts), seen=(step + 1) * batch)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            state.save(step + 1)
            save_net(net, out / "detector.safetensors")
    return net.eval()


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def _share_whole(logits: Tensor, labels: Tensor) -> float:
    """Return the share of pictures in which every cell that is labelled is right."""
    right = (logits.argmax(-1) == labels) | (labels == IGNORED)
    return right.all(1).float().mean().item()
