"""The weighted loss: what a weight means, however a step is cut into micro-batches and ranks."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datagen.training.weighted import CONTEXT, IGNORED, IMAGE, SWITCH, TEXT, Targets, Tokens, collate, weighted_loss
from tests.helpers.small_model import WORDS, SmallModel, run_rank
from tests.helpers.trainer_cases import random_row

TARGETS: Targets = (11.0, 7.0)


def gradients(model: SmallModel, batches: Sequence[Sequence[Tokens]], targets: Targets, **options: Any) -> list[Tensor]:
    """The gradient of one step of several micro-batches."""
    model.zero_grad()
    for rows in batches:
        batch = collate(rows, pad=0)
        logits = model(batch.ids)
        text, image = weighted_loss(logits, batch.labels, batch.weights, batch.kinds, targets, **options)
        (text + image).backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def assert_equal(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    assert any(bool(tensor.abs().max() > 1e-4) for tensor in theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def reweigh(row: Tokens, text: float, image: float) -> Tokens:
    table = torch.tensor([0.0, text, text, image])
    return Tokens(row.ids, row.kinds, table[row.kinds])


@pytest.mark.parametrize("seed", range(200))
def test_the_loss_is_the_formula(seed: int) -> None:
    """Against token by token arithmetic without a tensor."""
    rng = random.Random(seed)
    weights = [rng.choice((0.0, 0.3, 1.0, 7.5)) for _ in range(2)]
    rows = [random_row(rng, *weights, with_text=rng.random() < 0.8) for _ in range(rng.randint(1, 4))]
    targets = (rng.uniform(0.5, 30), rng.uniform(0.5, 30))
    factors = {"lambda_text": rng.choice((0.0, 1.0, 2.0)), "lambda_image": 0.7, "switch": rng.choice((0.0, 1.0, 0.25))}
    batch = collate(rows, pad=0)
    torch.manual_seed(seed)
    logits = torch.randn(*batch.ids.shape, WORDS)
    text, image = weighted_loss(logits, batch.labels, batch.weights, batch.kinds, targets, **factors)
    sums = {"text": 0.0, "image": 0.0}
    for k, row in enumerate(rows):
        for place in range(1, len(row.ids)):
            scores = logits[k, place - 1].tolist()
            nats = math.log(sum(map(math.exp, scores))) - scores[int(row.ids[place])]
            kind = int(row.kinds[place])
            if kind == IMAGE:
                sums["image"] += 0.7 * weights[1] * nats / targets[1]
            elif kind in (TEXT, SWITCH):
                factor = factors["switch"] if kind == SWITCH else 1.0
                sums["text"] += factors["lambda_text"] * factor * weights[0] * nats / targets[0]
    assert text.item() == pytest.approx(sums["text"], rel=1e-4, abs=1e-6)
    assert image.item() == pytest.approx(sums["image"], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("text", "image"), [(3, 3), (4, 1), (1, 5), (2, 0), (0, 3)])
def test_a_weight_is_as_many_copies(text: int, image: int) -> None:
    rng, model = random.Random(text * 10 + image), SmallModel()
    row, other = random_row(rng, text, image), random_row(rng, 1, 1)
    copies = [reweigh(row, 1, 0)] * text + [reweigh(row, 0, 1)] * image
    whole = [reweigh(row, 1, 1)] * min(text, image)
    rest = [reweigh(row, 1, 0)] * (text - len(whole)) + [reweigh(row, 0, 1)] * (image - len(whole))
    weighted = gradients(model, [[row, other]], TARGETS)
    assert_equal(gradients(model, [[*copies, other]], TARGETS), weighted)
    assert_equal(gradients(model, [[*whole, *rest, other]], TARGETS), weighted)


def test_micro_batches_of_any_lengths_add_up_to_one_batch() -> None:
    rng, model = random.Random(4), SmallModel()
    rows = [random_row(rng, rng.random() * 3, rng.random() * 3, with_text=k % 3 > 0) for k in range(16)]
    parts = [rows[:1], rows[1:7], rows[7:9], rows[9:]]
    assert len({max(len(row.ids) for row in part) for part in parts}) > 1
    options = {"lambda_text": 2.0, "lambda_image": 0.5, "switch": 0.3}
    assert_equal(gradients(model, parts, TARGETS, **options), gradients(model, [rows], TARGETS, **options))


def test_two_ranks_are_one(tmp_path: Path) -> None:
    """Two processes under DDP, one with long rows and one with short ones; `targets` are of the rows of a rank."""
    rng = random.Random(6)
    rows = sorted((random_row(rng, rng.random() * 3, rng.random() * 3) for _ in range(8)), key=lambda r: len(r.ids))
    whole = (24.0, 40.0)
    torch.multiprocessing.spawn(run_rank, (str(tmp_path), [rows[:4], rows[4:]], (12.0, 20.0)), nprocs=2)
    alone = gradients(SmallModel(), [rows], whole)
    for rank in range(2):
        assert_equal(torch.load(tmp_path / f"{rank}.pt", weights_only=True), alone)


def gradient_of_logits(row: Tokens, **options: Any) -> Tensor:
    """How much the logits of each position matter: (length,), the last one for nothing."""
    batch = collate([row], pad=0)
    logits = torch.randn(1, len(row.ids), WORDS, generator=torch.Generator().manual_seed(1)).requires_grad_()
    text, image = weighted_loss(logits, batch.labels, batch.weights, batch.kinds, TARGETS, **options)
    (text + image).backward()
    assert logits.grad is not None
    return logits.grad[0].abs().sum(-1)


@pytest.mark.parametrize(("text", "image"), [(0.0, 1.5), (1.5, 0.0), (0.0, 0.0), (2.0, 2.0)])
def test_a_weight_of_0_gives_exactly_no_gradient(text: float, image: float) -> None:
    row = random_row(random.Random(2), text, image)
    pull = gradient_of_logits(row)
    for place, kind in enumerate(row.kinds.tolist()[1:]):
        weight = {CONTEXT: 0.0, TEXT: text, SWITCH: text, IMAGE: image}[kind]
        assert (pull[place].item() > 0) == (weight > 0)
    assert pull[-1] == 0


def test_padding_and_prompt_have_no_label() -> None:
    rng = random.Random(8)
    rows = [random_row(rng, 1.0, 1.0), random_row(rng, 0.0, 2.0)]
    batch = collate(rows, pad=5)
    for k, row in enumerate(rows):
        length = len(row.ids)
        assert batch.ids[k].tolist() == row.ids.tolist() + [5] * (batch.ids.shape[1] - length)
        assert batch.attention[k].tolist() == [1] * length + [0] * (batch.ids.shape[1] - length)
        learned = [token if weight else IGNORED for token, weight in zip(row.ids.tolist(), row.weights, strict=True)]
        assert batch.labels[k].tolist() == learned + [IGNORED] * (batch.ids.shape[1] - length)


def test_the_switch_factor_moves_that_token_alone() -> None:
    row = random_row(random.Random(3), 1.0, 1.0)
    before = row.kinds.tolist().index(SWITCH) - 1
    whole, none, half = (gradient_of_logits(row, switch=factor) for factor in (1.0, 0.0, 0.5))
    assert none[before] == 0
    assert half[before] == pytest.approx(whole[before] / 2)
    others = torch.arange(len(whole)) != before
    assert torch.equal(none[others], whole[others])


def test_a_modality_that_nobody_has_costs_nothing() -> None:
    batch = collate([random_row(random.Random(1), 0.0, 1.0, with_text=False)], pad=0)
    logits = torch.zeros(*batch.ids.shape, WORDS)
    text, image = weighted_loss(logits, batch.labels, batch.weights, batch.kinds, (0.0, 1.0))
    assert text == 0
    assert image > 0
