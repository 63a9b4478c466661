"""Muon: orthogonal updates, and it learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from datagen.training.state import Muon, Schedule, orthogonalize, split_parameters


@pytest.mark.parametrize("shape", [(8, 8), (16, 4), (4, 16)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrix))
    assert values.min() > 0.4
    assert values.max() < 1.4


def test_it_lowers_a_loss() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(8, 8, bias=False), torch.randn(64, 8)
    goal = x @ torch.randn(8, 8)
    optimizer = Muon(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(150):
        loss = (layer(x) - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_parameters_are_split_by_shape_and_name() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(4, 2), "hidden": nn.Linear(2, 2)})
    matrices, rest = split_parameters(model, ("embed",))
    assert len(matrices) == 1
    assert len(rest) == 2


def test_schedule_warms_up_holds_and_decays() -> None:
    optimizer = Muon([nn.Parameter(torch.zeros(2, 2))], lr=1.0)
    schedule = Schedule([optimizer], steps=1000, decay=0.5)
    rates = []
    for step in (0, 300, 750, 999):
        schedule.set(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.028, 1.003, 0.503, 0.005], abs=1e-3)


def test_decay_takes_its_share_off_before_the_step() -> None:
    start = torch.eye(4)
    plain, decayed = (nn.Parameter(start.clone()) for _ in range(2))
    for matrix, decay in ((plain, 0.0), (decayed, 0.5)):
        matrix.grad = torch.ones(4, 4)
        Muon([matrix], lr=0.1, decay=decay).step()
    assert torch.allclose(plain - decayed, start * 0.05, atol=1e-6)
