"""Correct use of an exported dataset's weights: read them, mask by segment, weight the loss or sample by weight.

Needs `torch` and `datasets` but nothing of datagen, so you can copy this file into your own trainer. A callable
supplies the model's tokens: `encode(row) -> (ids, kinds)`. `datagen train` uses all of it.

    L = sum over tokens of  lambda * weight * cross-entropy / targets     (text and image, each with its own three)

is reward-weighted regression, E[w log p] (Peters and Schaal, ICML 2007) with the reward in both losses
(arXiv 2601.04339). `targets` is the expected number of learned tokens of that modality per optimizer step: one number,
known before the first step, the same for every micro-batch and rank. The alternatives are worse: with the mean over a
batch, a token of a short micro-batch would weigh more than one of a long one; dividing by the batch's sum of weights
would cancel the weights of a single row; the exact count of each step must be gathered from all micro-batches and ranks
before the first backward pass, and a row's share would still depend on its neighbours. The price: the loss of a step
varies with its number of tokens.

Not covered: losses of continuous image tokens (a flow-matching loss takes the image's weight in the same way).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

CONTEXT, TEXT, SWITCH, IMAGE = range(4)
"""Kinds of tokens: context, which is never learned; text; the token that ends the text and opens the image; image."""
IGNORED = -100
"""Label of a token that is not learned, as in `torch` and `transformers`."""
MODALITIES = ("text", "image")

Encode = Callable[[Mapping[str, Any]], tuple[Sequence[int], Sequence[int]]]
"""Converts a row of the dataset to token ids and their kinds; images are PIL images."""
Index = int | tuple[int, int]
"""A row, or a row and its only learned modality, with weight 1: 0 the text, 1 the image."""
Targets = tuple[float, float]
"""Numbers of learned tokens: text (including the switch) and image."""


class Tokens(NamedTuple):
    """One row as tensors (length,): ids int64, kinds int64, weights float32."""

    ids: Tensor
    kinds: Tensor
    weights: Tensor


class Batch(NamedTuple):
    """Rows padded on the right, as tensors (rows, length).

    ids, attention (1, and 0 on padding), labels (`IGNORED` where nothing is learned) and kinds are int64, weights
    float32. All are aligned: `labels` are not shifted.
    """

    ids: Tensor
    attention: Tensor
    labels: Tensor
    kinds: Tensor
    weights: Tensor


class WeightedDataset(Dataset[Tokens]):
    """The rows of a split that have a weight, as tokens with the weight of each.

    `weights` is (rows, 2) float64: text and image, as `find_weights` gives them with `uniform` and `baseline`. `keep`
    is the number of tokens to keep in memory, 5 bytes each, so that a picture is read once: for an `encode` without
    random choices.
    """

    def __init__(
        self,
        folder: str | Path,
        encode: Encode,
        *,
        split: str = "train",
        uniform: bool = False,
        baseline: bool = False,
        keep: int = 0,
    ) -> None:
        from datasets import load_dataset

        rows = load_dataset(str(folder), split=split)
        weights = find_weights(rows, uniform=uniform, baseline=baseline)
        kept = np.flatnonzero(weights.any(1))
        self.weights: np.ndarray = weights[kept]
        self._rows, self.encode = rows.select(kept), encode
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._room = keep

    def __len__(self) -> int:
        """Return the number of rows with a weight."""
        return len(self.weights)

    def __getitem__(self, index: Index) -> Tokens:
        """Return a row; with an index (row, modality), only that modality is learned, with weight 1."""
        row, only = (index, None) if isinstance(index, int) else index
        text, image = self.weights[row] if only is None else (float(only == 0), float(only == 1))
        ids, kinds = self._read(row)
        return Tokens(ids, kinds, torch.tensor([0.0, text, text, image], dtype=torch.float32)[kinds])

    def _read(self, row: int) -> tuple[Tensor, Tensor]:
        if (kept := self._kept.get(row)) is not None:
            return kept[0].long(), kept[1].long()
        ids, kinds = map(torch.tensor, self.encode(self._rows[row]))
        if len(ids) <= self._room:
            self._room -= len(ids)
            self._kept[row] = ids.int(), kinds.to(torch.int8)
        return ids, kinds


def find_weights(rows: Any, *, uniform: bool = False, baseline: bool = False) -> np.ndarray:
    """Return the weights by which the rows of a `datasets.Dataset` are learned: (rows, 2) float64, text and image.

    Those of the dataset; `uniform` gives every scored part weight 1 instead, like the policy `uniform`: the control
    that separates the effect of the weights from that of more training. `baseline` subtracts from each weight the mean
    of its group, see `subtract_baseline`. Raises ValueError as `read_weights` and `subtract_baseline` do.
    """
    weights = read_weights(rows, "reward" if uniform else "weight")
    return subtract_baseline(rows, weights) if baseline else weights


def read_weights(rows: Any, ending: str = "weight") -> np.ndarray:
    """Return the columns `text_weight` and `image_weight` of a `datasets.Dataset`: (rows, 2) float64, >= 0.

    With the ending `reward`: 1 for every part with a reward, else 0, and 0 for a row that is left out (`left_out`):
    a person rejected it, or it repeats another. Raises ValueError if the columns are missing or a weight is negative,
    null, NaN or infinite.
    """
    names = [f"{modality}_{ending}" for modality in MODALITIES]
    if missing := [name for name in names if name not in rows.column_names]:
        raise ValueError(f"the rows have no {' and no '.join(missing)}")
    away = ["left_out"] if ending == "reward" and "left_out" in rows.column_names else []
    columns = rows.select_columns(names + away).with_format("arrow")[:]
    if ending == "reward":
        taken = columns["left_out"].is_null().to_numpy() if away else True
        return np.stack([(columns[name].is_valid().to_numpy() & taken).astype(np.float64) for name in names], axis=1)
    weights = np.stack([columns[name].to_numpy().astype(np.float64) for name in names], axis=1)
    wrong = np.argwhere(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        row, column = wrong[0].tolist()
        value = weights[row, column]
        raise ValueError(f"row {row}: {names[column]} is {value:g}; a weight must be finite and at least 0")
    return weights


def subtract_baseline(rows: Any, weights: np.ndarray) -> np.ndarray:
    """Return weights (rows, 2) minus the mean over the candidates of the same prompt, in each modality by itself.

    REINFORCE with a baseline (Williams, Machine Learning 1992), whose groups are those of GRPO (arXiv 2402.03300): what
    is worse than the prompt's other candidates gets a negative weight, so that the model moves away from it, and a
    group of equals teaches nothing. On samples of the model that is trained, the expected gradient stays the same while
    its variance falls: the mean weight of a group only teaches the model what it does already. Parts without a reward
    and rows that are left out keep weight 0 and do not count in a mean. Raises ValueError without the column
    `group_id`.
    """
    if "group_id" not in rows.column_names:
        raise ValueError("the rows have no group_id")
    _, groups = np.unique(rows.with_format("arrow")["group_id"], return_inverse=True)
    scored = read_weights(rows, "reward")
    each = zip((weights * scored).T, scored.T, strict=True)
    means = [np.bincount(groups, weight) / np.maximum(np.bincount(groups, there), 1) for weight, there in each]
    off = weights - np.stack(means, axis=1)[groups]
    # A rounding error is no reason to learn.
    return np.where((scored > 0) & (np.abs(off) > 1e-9), off, 0.0)


def collate(items: Sequence[Tokens], pad: int) -> Batch:
    """Pad rows with the id `pad`; tokens without weight (prompt, padding, unscored parts) are not learned."""
    ids, kinds, weights = (
        torch.nn.utils.rnn.pad_sequence([item[k] for item in items], batch_first=True, padding_value=value)
        for k, value in enumerate((pad, CONTEXT, 0))
    )
    lengths = torch.tensor([len(item.ids) for item in items])
    attention = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    return Batch(ids, attention, ids.masked_fill(weights == 0, IGNORED), kinds, weights)


def weighted_loss(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    kinds: Tensor,
    targets: Targets,
    *,
    lambda_text: float = 1.0,
    lambda_image: float = 1.0,
    switch: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return the text term and the image term; their sum is the loss of a micro-batch.

    `logits` (rows, length, vocabulary); `labels`, `weights` and `kinds` as in `Batch`. The gradients of micro-batches
    add up to those of the step, whatever their lengths. `targets`: `mean_targets(dataset)` times the rows of a step *on
    one rank* (micro-batch times accumulation), since DDP and FSDP average over ranks. `switch` multiplies only the
    weight of the switch token; 0 leaves it out (ReasonGen-R1, arXiv 2505.24875, has `lambda_text=2, lambda_image=1,
    switch=0`). The ratio of the lambdas is UniFluid's balance (arXiv 2503.13436).
    """
    learned = labels[:, 1:] != IGNORED
    return token_loss(
        logits[:, :-1][learned],
        *(each[:, 1:][learned] for each in (labels, weights, kinds)),
        targets=targets,
        lambda_text=lambda_text,
        lambda_image=lambda_image,
        switch=switch,
    )


def token_loss(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    kinds: Tensor,
    *,
    targets: Targets,
    lambda_text: float = 1.0,
    lambda_image: float = 1.0,
    switch: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return the two terms of `weighted_loss` from learned tokens alone, for a model that computes no other logits.

    `logits` (tokens, vocabulary) are those from which each token is predicted; the others are (tokens,).
    """
    rates = [_divide(rate, targets[k]) for k, rate in ((0, lambda_text), (0, lambda_text * switch), (1, lambda_image))]
    each = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    scaled = each * weights * torch.tensor([0.0, *rates], device=weights.device)[kinds]
    drawn = kinds == IMAGE
    return scaled[~drawn].sum(), scaled[drawn].sum()


def mean_targets(dataset: WeightedDataset, limit: int = 10_000, *, chances: np.ndarray | None = None) -> Targets:
    """Return the mean numbers of learned tokens of a row: text (including the switch) and image.

    With the `chances` of a `WeightedSampler`, those of a part that it draws: what a step learns, whatever it weighs.
    Estimated from `limit` evenly spaced rows. The first token of a sequence is not learned, since nothing precedes it.
    """
    picked = range(0, len(dataset), max(1, len(dataset) // limit))
    counts = np.zeros((len(picked), 2))
    for place, row in enumerate(picked):
        _, kinds, weights = dataset[row]
        learned = kinds[1:][weights[1:] != 0]
        counts[place] = int((learned != IMAGE).sum()), int((learned == IMAGE).sum())
    drawn = np.ones_like(counts) if chances is None else chances.reshape(-1, 2)[picked]
    # A row is learned whole, a part by itself.
    times = max(1, len(picked)) if chances is None else drawn.sum()
    text, image = ((counts * drawn).sum(0) / times).tolist()
    return text, image


class EpochSampler(Sampler[Index]):
    """Yields every row once per epoch, endlessly, in an order that depends only on the seed.

    `start` is the number of indices to skip when a training resumes; give each of n ranks
    `itertools.islice(sampler, rank, None, n)`. Raises ValueError if there is no row.
    """

    def __init__(self, dataset: WeightedDataset, *, seed: int, start: int = 0) -> None:
        if not len(dataset):
            raise ValueError("no row has a weight")
        self._rows, self._seed, self._start = len(dataset), seed, start

    def __iter__(self) -> Iterator[Index]:
        """Yield indices of the dataset."""
        skip = self._start % self._rows
        # Each epoch has its own random stream, so that a resumed training need not replay earlier epochs.
        for epoch in count(self._start // self._rows):
            yield from self.sample_epoch(np.random.default_rng([self._seed, epoch]))[skip:]
            skip = 0

    def sample_epoch(self, rng: np.random.Generator) -> list[Index]:
        """Return as many indices as the dataset has rows."""
        return list(rng.permutation(self._rows).tolist())


class WeightedSampler(EpochSampler):
    """Samples in proportion to the weights, for an unweighted loss: the alternative to weighting the loss.

    A row has two weights, so a sample is one modality of one row, with probability proportional to lambda * weight /
    targets. With `self.targets` times the rows of a step in `weighted_loss` (lambdas of 1), the expected gradient is
    that of the weighted loss over all rows. `targets` are `mean_targets(dataset)`. A large weight becomes many small
    steps instead of a large one; some rows may never be sampled. Raises ValueError if a weight is negative, as with a
    baseline, or nothing can be sampled.
    """

    def __init__(
        self,
        dataset: WeightedDataset,
        targets: Targets,
        *,
        seed: int,
        start: int = 0,
        lambda_text: float = 1.0,
        lambda_image: float = 1.0,
    ) -> None:
        super().__init__(dataset, seed=seed, start=start)
        rates = [_divide(rate, each) for rate, each in zip((lambda_text, lambda_image), targets, strict=True)]
        chances = (dataset.weights * rates).flatten()
        if (chances < 0).any():
            raise ValueError("rows cannot be sampled by weights that are negative, as with a baseline")
        if not chances.sum() > 0:
            raise ValueError("nothing can be sampled: every weight times its lambda is 0")
        self.chances: np.ndarray = chances / chances.sum()
        # Makes the expectation of the unweighted loss equal to the weighted one over all rows.
        self.targets: Targets = (len(dataset) / chances.sum(),) * 2

    def sample_epoch(self, rng: np.random.Generator) -> list[Index]:
        """Return as many (row, modality) pairs as the dataset has rows."""
        drawn = rng.choice(len(self.chances), self._rows, p=self.chances)
        return [(part // 2, part % 2) for part in drawn.tolist()]


def _divide(rate: float, targets: float) -> float:
    return rate / targets if targets else 0.0
