"""Sampling in which each row has its own stream of numbers, inside `generate` of transformers.

`generate` draws from torch's one global generator, so a row would depend on its neighbours and on all that ran before.
Here `generate` runs greedily (`do_sample=False`), and the last logits processor leaves one token a row possible: the
one that inverting the cumulative distribution at the row's own number gives. Number p of a Philox stream keyed by the
seed decides the token at position p of the sequence without padding, which is how the embedded model draws too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def draw_numbers(seeds: Sequence[int], starts: Sequence[int], steps: int) -> Tensor:
    """Return (rows, steps) float64 numbers in [0, 1): for each row those of positions `start`, `start + 1`, …"""
    streams = zip(seeds, starts, strict=True)
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(start + steps)[start:] for seed, start in streams]
    return torch.from_numpy(np.stack(rows))


def pick_tokens(scores: Tensor, numbers: Tensor, temperature: float, top_p: float) -> Tensor:
    """Draw one token a row: scores (rows, vocabulary), numbers (rows,) in [0, 1) to (rows,) int64.

    Temperature 0 takes the likeliest token. A score of minus infinity is never drawn. `top_p` keeps the smallest set of
    likeliest tokens whose probabilities reach it (arXiv 1904.09751). Sums are float64, so that their rounding cannot
    step onto a token that is not possible.
    """
    if temperature == 0:
        return scores.argmax(-1)
    best = scores.max(-1, keepdim=True)
    mass = ((scores - best.values) / temperature).softmax(-1, dtype=torch.float64)
    if top_p < 1:
        ordered, order = mass.sort(dim=-1, descending=True, stable=True)
        ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
        mass = torch.zeros_like(mass).scatter_(-1, order, ordered)
    total = mass.cumsum(-1)
    wanted = numbers[:, None] * total[:, -1:]
    picked = torch.searchsorted(total, wanted, right=True).clamp_(max=scores.shape[-1] - 1)
    return torch.where(mass.gather(-1, picked) > 0, picked, best.indices).squeeze(-1)


class Picker:
    """The last logits processor of one `generate` call: leaves the drawn token of each row possible, and no other."""

    def __init__(self, numbers: Tensor, temperature: float, top_p: float) -> None:
        self.numbers, self.temperature, self.top_p = numbers, temperature, top_p
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take and return scores (rows, vocabulary); the step is counted here, as not every loop grows `input_ids`."""
        step = min(self._step, self.numbers.shape[1] - 1)  # on a GPU a step or two may run past the end, for nothing
        self._step += 1
        picked = pick_tokens(scores.float(), self.numbers[:, step], self.temperature, self.top_p)
        return torch.full_like(scores, -torch.inf).scatter_(-1, picked[:, None], 0)
