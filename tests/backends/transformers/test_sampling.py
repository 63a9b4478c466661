"""A token follows from its row's own number alone, and from nothing that is impossible."""

from __future__ import annotations

import math

import pytest
import torch

from datagen.backends.transformers.rows import Picker, draw_numbers, pick_tokens

INFINITY = math.inf
ALMOST_ONE = 1 - 2**-53


def test_numbers_depend_on_seed_and_position_alone() -> None:
    together = draw_numbers([5, 6, 5], [0, 3, 2], 4)
    alone = draw_numbers([5], [0], 9)
    assert torch.equal(together[0], alone[0, :4])
    assert torch.equal(together[2], alone[0, 2:6])
    assert not torch.equal(together[0], together[1])
    assert together.dtype == torch.float64
    assert ((together >= 0) & (together < 1)).all()


def test_temperature_zero_takes_the_likeliest() -> None:
    scores = torch.tensor([[0.0, 2.0, 1.0], [3.0, -INFINITY, 0.0]])
    assert pick_tokens(scores, torch.tensor([0.99, 0.99]), 0, 1).tolist() == [1, 0]


def test_tokens_come_as_often_as_their_probability_says() -> None:
    count = 20_000
    wanted = torch.tensor([0.5, 0.0, 0.2, 0.3])
    picked = pick_tokens(wanted.log().expand(count, -1), draw_numbers([1], [0], count)[0], 1.0, 1.0)
    assert torch.allclose(picked.bincount(minlength=4) / count, wanted, atol=0.015)


@pytest.mark.parametrize("number", [0.0, 0.5, ALMOST_ONE])
@pytest.mark.parametrize("temperature", [1e-30, 0.5, 1.0, 5.0])
def test_the_impossible_is_never_drawn(number: float, temperature: float) -> None:
    scores = torch.full((1, 50_000), -INFINITY)
    scores[0, [7, 4_000, 30_001]] = torch.tensor([1.0, 1.0, 1.0])
    picked = pick_tokens(scores, torch.tensor([number], dtype=torch.float64), temperature, 1.0)
    assert picked.item() in (7, 4_000, 30_001)


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    scores = torch.tensor([0.2, 0.5, 0.3]).log().expand(1000, -1)
    numbers = draw_numbers([2], [0], 1000)[0]
    assert set(pick_tokens(scores, numbers, 1.0, 0.5).tolist()) == {1}
    assert set(pick_tokens(scores, numbers, 1.0, 0.6).tolist()) == {1, 2}
    assert set(pick_tokens(scores, numbers, 1.0, 1.0).tolist()) == {0, 1, 2}


def test_a_picker_leaves_one_token_possible_and_counts_its_own_steps() -> None:
    picker = Picker(torch.tensor([[0.1, 0.9]], dtype=torch.float64), 1.0, 1.0)
    scores = torch.zeros(1, 2)
    same_ids = torch.zeros(1, 5, dtype=torch.int64)
    steps = [picker(same_ids, scores) for _ in range(3)]
    assert [step.argmax(-1).item() for step in steps] == [0, 1, 1]
    assert all((step == -INFINITY).sum() == 1 for step in steps)
