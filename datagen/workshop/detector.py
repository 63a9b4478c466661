"""Train the learned detector on pictures of `spoiled`: what each part is, in which colour, and in which box.

Cross-entropy of names and of tones, and the absolute distance of boxes. Every picture is new. The weights that ship are
`detector.safetensors` of the folder, as they are after the last step.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, smooth_l1_loss

from datagen.embedded.loading import load_codec
from datagen.training.state import Muon, Schedule, TrainingState, split_parameters
from datagen.vision.parts import PartNet, load_net, save_net
from datagen.workshop.spoiled import IGNORED, make_batch


def train_detector(
    out: Path, *, codec: Path, steps: int, batch: int, seed: int, init: Path | None, save_every: int
) -> PartNet:
    """Train for `steps` in all, going on from `out/state.pt` if it is there; write `out/detector.safetensors`.

    `codec` is a folder with an image tokenizer, `init` a file of weights to start from.
    """
    torch.manual_seed(seed)
    redraws = load_codec(codec)
    net = load_net(init) if init else PartNet()
    matrices, rest = split_parameters(net, ("head",))
    optimizers = [Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)]
    schedule = Schedule(optimizers, steps, decay=0.7)
    state = TrainingState(out, net, optimizers)
    for step in range(state.restore(), steps):
        schedule.set(step)
        given = make_batch(seed, step, batch, redraws)
        names, tones, boxes = net.train()(given.pixels, given.extras)
        known = given.tones != IGNORED
        loss = (
            cross_entropy(names, given.names)
            + 0.3 * cross_entropy(tones, given.tones, ignore_index=IGNORED)
            + 2 * smooth_l1_loss(boxes[known], given.boxes[known], beta=0.05)
        )
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if (step + 1) % 50 == 0:
            state.log(
                step + 1,
                loss=loss.item(),
                right=(names.argmax(-1) == given.names).float().mean().item(),
                seen=(step + 1) * batch,
            )
        if (step + 1) % save_every == 0 or step + 1 == steps:
            state.save(step + 1)
            save_net(net, out / "detector.safetensors")
    return net.eval()
