"""Use the weights of an exported dataset right: read it, mask it by segment, weigh the loss or sample by weight.

Needs `torch` and `datasets` and nothing of datagen, so that one may copy this file into a trainer of one's own. What
a model's tokens are, a callable says: `encode(row) -> (ids, kinds)`. What uses all of it: `datagen train`.

    L = sum over tokens of  lambda * weight * cross-entropy / targets     (text and image, each with its own three)

is reward-weighted regression, E[w log p] (Peters and Schaal, ICML 2007) with the reward in both losses
(arXiv 2601.04339). `targets` is how many tokens of that modality an optimizer step is expected to learn: one number,
known before the first step, the same for every micro-batch and rank. Why not the tokens of the batch at hand: its mean
would make a token of a short micro-batch weigh more than one of a long one, and dividing by its sum of weights would
cancel the weights altogether where a batch has one row. Why not the exact count of each step: it has to be gathered
from all micro-batches and ranks before the first backward, and still lets a row's share depend on its neighbours. The
price: the loss shown for one step moves with how many tokens that step happens to hold.

Not covered: losses of continuous image tokens (a flow-matching loss takes the weight of its image in the same way).
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
"""Kinds of tokens: given and never learned; text; the token that ends the text and opens the image; image."""
IGNORED = -100
"""The label of a token that is not learned, as `torch` and `transformers` have it."""
MODALITIES = ("text", "image")

Encode = Callable[[Mapping[str, Any]], tuple[Sequence[int], Sequence[int]]]
"""Turns a row of the dataset into token ids and the kind of each; images come as PIL images."""
Index = int | tuple[int, int]
"""A row; or a row and the one modality of it that is learned, at weight 1: 0 the text, 1 the image."""
Targets = tuple[float, float]
"""Learned tokens, text (the switch included) and image."""


class Tokens(NamedTuple):
    """One row as tensors (length,): ids int64, kinds int64, weights float32 >= 0."""

    ids: Tensor
    kinds: Tensor
    weights: Tensor


class Batch(NamedTuple):
    """Rows padded on the right, tensors (rows, length).

    ids, attention (1, and 0 on padding), labels (`IGNORED` where nothing is learned) and kinds are int64, weights
    float32. They are aligned: `labels` are not shifted yet.
    """

    ids: Tensor
    attention: Tensor
    labels: Tensor
    kinds: Tensor
    weights: Tensor


class WeightedDataset(Dataset[Tokens]):
    """The rows of a split that have a weight, as tokens with the weight of each.

    `weights` is (rows, 2) float64: text and image. `uniform` counts every scored part 1 instead, which is what the
    policy `uniform` gives: the control that tells what the weights do from what more training does.
    """

    def __init__(self, folder: str | Path, encode: Encode, *, split: str = "train", uniform: bool = False) -> None:
        from datasets import load_dataset

        rows = load_dataset(str(folder), split=split)
        weights = read_weights(rows, "reward" if uniform else "weight")
        kept = np.flatnonzero(weights.sum(1) > 0)
        self.weights: np.ndarray = weights[kept]
        self._rows, self._encode = rows.select(kept), encode

    def __len__(self) -> int:
        """Return how many rows have a weight."""
        return len(self.weights)

    def __getitem__(self, index: Index) -> Tokens:
        """Return a row; of an index (row, modality) that modality alone is learned, unweighted."""
        row, only = (index, None) if isinstance(index, int) else index
        text, image = self.weights[row] if only is None else (float(only == 0), float(only == 1))
        ids, kinds = self._encode(self._rows[row])
        kind = torch.tensor(kinds)
        return Tokens(torch.tensor(ids), kind, torch.tensor([0.0, text, text, image], dtype=torch.float32)[kind])


def read_weights(rows: Any, ending: str = "weight") -> np.ndarray:
    """Return the columns `text_weight` and `image_weight` of a `datasets.Dataset`: (rows, 2) float64, >= 0.

    With `reward` as the ending: 1 for every part that has a reward, 0 for one that has none.
    Raises ValueError where the columns are missing or a weight is negative, null, NaN or infinite.
    """
    names = [f"{modality}_{ending}" for modality in MODALITIES]
    if missing := [name for name in names if name not in rows.column_names]:
        raise ValueError(f"the rows have no {' and no '.join(missing)}")
    columns = rows.select_columns(names).with_format("arrow")[:]
    if ending == "reward":
        return np.stack([columns[name].is_valid().to_numpy().astype(np.float64) for name in names], axis=1)
    weights = np.stack([columns[name].to_numpy().astype(np.float64) for name in names], axis=1)
    wrong = np.argwhere(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        row, column = wrong[0].tolist()
        value = weights[row, column]
        raise ValueError(f"row {row}: {names[column]} is {value:g}; a weight is a finite number of at least 0")
    return weights


def collate(items: Sequence[Tokens], pad: int) -> Batch:
    """Pad rows with the id `pad`; what has no weight (prompt, padding, an unscored part) is not learned."""
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

    `logits` (rows, length, vocabulary); `labels`, `weights` and `kinds` as in `Batch`. Gradients of micro-batches add
    up to those of the step, whatever their lengths. `targets`: `mean_targets(dataset)` times the rows of a step *on one
    rank* (micro-batch times accumulation), as DDP and FSDP take the mean over the ranks themselves.
    `switch` multiplies the weight of the switch token alone; 0 leaves it out (ReasonGen-R1, arXiv 2505.24875, has
    `lambda_text=2, lambda_image=1, switch=0`). The ratio of the lambdas is UniFluid's balance (arXiv 2503.13436).
    """
    rates = [_divide(rate, targets[k]) for k, rate in ((0, lambda_text), (0, lambda_text * switch), (1, lambda_image))]
    each = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(labels[:, 1:])
    scaled = each * weights[:, 1:] * torch.tensor([0.0, *rates], device=weights.device)[kinds[:, 1:]]
    drawn = kinds[:, 1:] == IMAGE
    return scaled[~drawn].sum(), scaled[drawn].sum()


def mean_targets(dataset: WeightedDataset, limit: int = 10_000) -> Targets:
    """Return the mean learned tokens of a row, text (the switch included) and image, from `limit` rows evenly spaced.

    The first token of a sequence is not learned: nothing stands before it.
    """
    picked = range(0, len(dataset), max(1, len(dataset) // limit))
    totals = np.zeros(2)
    for row in picked:
        _, kinds, weights = dataset[row]
        learned = kinds[1:][weights[1:] > 0]
        totals += [int((learned != IMAGE).sum()), int((learned == IMAGE).sum())]
    text, image = (totals / max(1, len(picked))).tolist()
    return text, image


class EpochSampler(Sampler[Index]):
    """Every row once an epoch, without end, in an order that follows from the seed alone.

    `start` is the number of the first draw, for a training that goes on; give each of n ranks
    `itertools.islice(draws, rank, None, n)`. Raises ValueError where there is no row.
    """

    def __init__(self, dataset: WeightedDataset, *, seed: int, start: int = 0) -> None:
        if not len(dataset):
            raise ValueError("no row has a weight above 0")
        self._rows, self._seed, self._start = len(dataset), seed, start

    def __iter__(self) -> Iterator[Index]:
        """Yield indices of the dataset."""
        skip = self._start % self._rows
        for epoch in count(self._start // self._rows):
            yield from self.sample_epoch(np.random.default_rng([self._seed, epoch]))[skip:]
            skip = 0

    def sample_epoch(self, rng: np.random.Generator) -> list[Index]:
        """Return as many indices as the dataset has rows."""
        return list(rng.permutation(self._rows).tolist())


class WeightedSampler(EpochSampler):
    """Draws in proportion to the weights, for an unweighted loss: the alternative to weighing it.

    A row has two weights, so what is drawn is one modality of one row, with a chance of lambda * weight / targets. With
    `self.targets` times the rows of a step in `weighted_loss` (lambdas of 1), the expected gradient is that of the
    weighted loss over all rows. `targets` are `mean_targets(dataset)`. A large weight becomes many small steps in place
    of a large one; a row without luck is not seen at all.
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
        if not chances.sum() > 0:
            raise ValueError("no part has a chance to be drawn: a weight times its lambda is 0 everywhere")
        self.chances: np.ndarray = chances / chances.sum()
        self.targets: Targets = (len(dataset) / chances.sum(),) * 2

    def sample_epoch(self, rng: np.random.Generator) -> list[Index]:
        """Return as many parts, each (row, modality), as the dataset has rows."""
        drawn = rng.choice(len(self.chances), self._rows, p=self.chances)
        return [(part // 2, part % 2) for part in drawn.tolist()]


def _divide(rate: float, targets: float) -> float:
    return rate / targets if targets else 0.0
