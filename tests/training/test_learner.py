"""The learner's losses and gradients are those of a padded batch in transformers, however many threads share them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from datagen.training.learner import PART_ROWS, Learner, find_precision, measure_divergence
from datagen.training.weighted import IMAGE, SWITCH, TEXT, Targets, Tokens, collate, weighted_loss
from datagen.workshop.lm import LMShape, new_model
from tests.helpers.trainer_cases import random_row, shipped_vocab

TARGETS: Targets = (40.0, 30.0)
FACTORS = {"lambda_text": 2.0, "lambda_image": 0.5, "switch": 0.25}


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(5)
    model = new_model(shipped_vocab(), LMShape(width=24, layers=2, inner=32, heads=4, kv_heads=2))
    with torch.no_grad():
        for parameter in model.parameters():  # a new one has matrices of zeros
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def make_rows() -> list[Tokens]:
    """Rows of many lengths; of some only the text is learned, and of one nothing."""
    rng = random.Random(3)
    pairs = [(1.5, 0.5), (2.0, 0.0), (0.0, 1.0)] * PART_ROWS
    return [*(random_row(rng, *pair) for pair in pairs), random_row(rng, 0.0, 0.0)]


def learn(
    model: LlamaForCausalLM, rows: Sequence[Tokens], precision: str = "float32", threads: int = 1
) -> tuple[tuple[float, float], list[Tensor]]:
    model.zero_grad()
    with ThreadPoolExecutor(threads) as pool:
        losses = Learner(model, 0, precision, pool).learn(rows, TARGETS, **FACTORS)
    return losses, [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_losses_and_gradients_equal_those_of_a_padded_batch(model: LlamaForCausalLM) -> None:
    rows = make_rows()
    losses, ours = learn(model, rows)
    model.zero_grad()
    batch = collate(rows, pad=0)
    logits = model(input_ids=batch.ids, attention_mask=batch.attention).logits
    terms = weighted_loss(logits, batch.labels, batch.weights, batch.kinds, TARGETS, **FACTORS)
    sum(terms).backward()
    assert losses == pytest.approx([term.item() for term in terms], rel=1e-5)
    theirs = [parameter.grad for parameter in model.parameters()]
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_measuring_gives_the_losses_of_learning_and_no_gradient(model: LlamaForCausalLM) -> None:
    model.zero_grad()
    with ThreadPoolExecutor(2) as pool:
        exact, rounded = (Learner(model, 0, word, pool) for word in ("float32", "bfloat16"))
        losses = rounded.measure(make_rows())
        assert all(parameter.grad is None for parameter in model.parameters())
        assert exact.learn(make_rows(), (1.0, 1.0)) == losses


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_number_of_threads_changes_no_bit(model: LlamaForCausalLM, precision: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    (losses, one), (same, three) = (learn(model, make_rows(), precision, threads) for threads in (1, 3))
    torch.set_num_threads(before)
    assert losses == same
    assert all(torch.equal(a, b) for a, b in zip(one, three, strict=True))


def test_bfloat16_is_near_float32_and_not_equal(model: LlamaForCausalLM) -> None:
    (exact, gradients), (losses, rounded) = (learn(model, make_rows(), word) for word in ("float32", "bfloat16"))
    assert losses == pytest.approx(exact, rel=0.01)
    assert losses != exact
    both = list(zip(gradients, rounded, strict=True))
    assert sum((a - b).square().sum() for a, b in both) < 0.02**2 * sum(a.square().sum() for a, _ in both)


def test_rows_without_anything_to_learn_give_a_gradient_of_zero(model: LlamaForCausalLM) -> None:
    losses, gradients = learn(model, make_rows()[-1:])
    assert losses == (0.0, 0.0)
    assert all(not gradient.any() for gradient in gradients)


def test_the_precision_is_one_that_torch_knows() -> None:
    assert find_precision() in ("float32", "bfloat16")


def test_the_divergence_is_the_formula_and_zero_only_for_equal_models() -> None:
    first, logits = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(2))
    kinds = torch.tensor([TEXT, SWITCH, IMAGE, IMAGE, IMAGE, TEXT])
    p, q = first.softmax(-1), logits.softmax(-1)
    each = (p * (p / q).log()).sum(-1)
    expected = each[[0, 1, 5]].sum() / 4 + each[2:5].sum() / 8
    assert measure_divergence(first, logits, kinds, (4.0, 8.0)).item() == pytest.approx(expected.item(), rel=1e-5)
    assert measure_divergence(first, first, kinds, (4.0, 8.0)).item() == pytest.approx(0, abs=1e-6)
    assert measure_divergence(first, logits, kinds[2:3].expand(6), (0.0, 8.0)).item() == pytest.approx(
        each.sum().item() / 8, rel=1e-5
    )


def test_a_pull_is_a_mean_over_the_tokens_of_a_step_whatever_the_targets_of_the_losses(model: LlamaForCausalLM) -> None:
    rows, grads = make_rows(), list[Tensor]()
    for pull, targets in ((0.0, TARGETS), (5.0, TARGETS), (5.0, (400.0, 300.0)), (0.0, (400.0, 300.0))):
        moved = deepcopy(model)
        with ThreadPoolExecutor(1) as pool:
            learner = Learner(moved, 0, "float32", pool, pull=pull, tokens=TARGETS)
            with torch.no_grad():
                for parameter in moved.parameters():
                    parameter *= 1.1
            learner.learn(rows, targets)
        grads.append(torch.cat([each.grad.flatten() for each in moved.parameters() if each.grad is not None]))
    plain, pulled, far, scaled = grads
    torch.testing.assert_close(pulled - plain, far - scaled, rtol=1e-3, atol=1e-5)
    assert (pulled - plain).abs().max() > 1e-3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_pulled_model_stays_nearer_to_the_first_one(model: LlamaForCausalLM, precision: str) -> None:
    rows, far = make_rows(), []
    for pull in (0.0, 30.0):
        pulled = deepcopy(model)
        optimizer = torch.optim.AdamW(pulled.parameters(), lr=3e-3, weight_decay=0)
        with ThreadPoolExecutor(2) as pool:
            learner = Learner(pulled, 0, precision, pool, pull=pull)
            for _ in range(8):
                optimizer.zero_grad()
                learner.learn(rows, TARGETS)
                optimizer.step()
        batch = collate(rows, pad=0)
        with torch.no_grad():
            logits = [each(batch.ids, attention_mask=batch.attention).logits for each in (model, pulled)]
        learned = batch.weights[:, 1:] > 0
        one, other = (each[:, :-1][learned] for each in logits)
        far.append(measure_divergence(one, other, batch.kinds[:, 1:][learned], TARGETS).item())
    assert far[1] < far[0] / 2
