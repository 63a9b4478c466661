"""A model without a vocabulary, and one rank of its training: what a process of its own has to load, and no more."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from datagen.training.weighted import Targets, Tokens, collate, weighted_loss

WORDS = 19
"""Its ids."""


class SmallModel(nn.Module):
    """A recurrent model of `WORDS` ids: what stands before a token matters, what stands behind it does not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embed, self.mix, self.out = nn.Embedding(WORDS, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, WORDS)

    def forward(self, ids: Tensor) -> Tensor:
        hidden, _ = self.mix(self.embed(ids))
        logits: Tensor = self.out(hidden)
        return logits


def run_rank(rank: int, folder: str, rows: list[list[Tokens]], targets: Targets) -> None:
    """Save the gradient of one of two ranks on its own rows."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = DistributedDataParallel(SmallModel())
    batch = collate(rows[rank], pad=0)
    logits = model(batch.ids)
    text, image = weighted_loss(logits, batch.labels, batch.weights, batch.kinds, targets)
    (text + image).backward()
    torch.save([parameter.grad for parameter in model.parameters()], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()
