"""Losses and gradients of the embedded model on rows of any lengths, on all cores, and nothing that does not count.

A step's rows are sorted by length and cut into parts of `PART_ROWS`, one part on each core at a time, so that there is
hardly any padding and no core waits for another one inside an operation. Gradients of parts are added in their order:
the number of cores changes nothing. Logits are computed only where something is learned, and a row ends with its last
learned token. Weights, gradients and optimizer are float32. With `bfloat16`, products are computed from bfloat16.

    python benchmarks/training.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from datagen.embedded.fused import FusedLlama
from datagen.training.weighted import IGNORED, Tokens, collate

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

PART_ROWS = 8
"""Rows of a part: few enough for all cores to have one, enough for matrices that keep a core busy."""

Score = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Returns the losses of text and image from the logits, labels, weights and kinds of learned tokens: `token_loss`."""


def find_precision() -> str:
    """Return `bfloat16` if this processor multiplies it faster than float32, else `float32`."""
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch does not tell
    fast = torch.backends.mkldnn.is_available() and (able.get("avx512_bf16") or able.get("amx_bf16"))
    return "bfloat16" if fast else "float32"


class Learner:
    """Computes the losses of a model and adds their gradients to its parameters; `pool` has a thread for each core."""

    def __init__(self, model: LlamaForCausalLM, pad: int, precision: str, pool: Executor) -> None:
        self._model, self._pad, self._pool = model, pad, pool
        self._config = model.config.to_dict()
        self._dtype: torch.dtype = getattr(torch, precision)

    def learn(self, rows: Sequence[Tokens], score: Score) -> tuple[float, float]:
        """Add the gradient of the rows' losses to the parameters and return the losses."""
        whole = self._fuse()
        parts = whole.detach(self._dtype)
        leaves = [weight.requires_grad_() for weight in parts.tensors]

        def run(part: Sequence[Tokens]) -> tuple[Sequence[Tensor], tuple[float, float]]:
            text, image = self._score(parts, part, score)
            return torch.autograd.grad(text + image, leaves), (text.item(), image.item())

        totals = [torch.zeros_like(weight) for weight in whole.tensors]
        losses = []
        for gradients, terms in self._pool.map(run, _split(rows)):
            losses.append(terms)
            for total, gradient in zip(totals, gradients, strict=True):
                total += gradient
        torch.autograd.backward(whole.tensors, totals)
        return _add(losses)

    def measure(self, rows: Sequence[Tokens], score: Score) -> tuple[float, float]:
        """Return the rows' losses, computed in float32."""
        whole = self._fuse().detach(torch.float32)

        @torch.no_grad()
        def run(part: Sequence[Tokens]) -> tuple[float, float]:
            text, image = self._score(whole, part, score)
            return text.item(), image.item()

        return _add(self._pool.map(run, _split(rows)))

    def _fuse(self) -> FusedLlama:
        return FusedLlama(self._config, dict(self._model.named_parameters()))

    def _score(self, model: FusedLlama, rows: Sequence[Tokens], score: Score) -> tuple[Tensor, Tensor]:
        batch = collate(rows, self._pad)
        labels, weights, kinds = (each[:, 1:].flatten() for each in (batch.labels, batch.weights, batch.kinds))
        (learned,) = (labels != IGNORED).nonzero(as_tuple=True)
        logits = model.run(batch.ids[:, :-1], learned)
        return score(logits, labels[learned], weights[learned], kinds[learned])


def _split(rows: Sequence[Tokens]) -> list[Sequence[Tokens]]:
    """Return the rows in parts of similar lengths, the longest first; each row ends with its last learned token."""
    ends = [int(row.weights.nonzero().max()) + 1 if row.weights.any() else 0 for row in rows]
    cut = [Tokens(*(column[:end] for column in row)) for row, end in zip(rows, ends, strict=True) if end > 1]
    cut.sort(key=lambda row: -len(row.ids))
    return [cut[k : k + PART_ROWS] for k in range(0, len(cut), PART_ROWS)]


def _add(losses: Iterable[tuple[float, float]]) -> tuple[float, float]:
    text = image = 0.0
    for one, other in losses:
        text, image = text + one, image + other
    return text, image
