"""Losses and gradients of the embedded model on rows of any lengths, on all cores, and nothing that does not count.

A step's rows are sorted by length and cut into parts of `PART_ROWS`, one part on each core at a time, so that there is
hardly any padding and no core waits for another one inside an operation. Gradients of parts are added in their order:
the number of cores changes nothing. Logits are computed only where something is learned, and a row ends with its last
learned token. Weights, gradients and optimizer are float32. With `bfloat16`, products are computed from bfloat16.

    python benchmarks/training.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from datagen.embedded.fused import FusedLlama
from datagen.training.weighted import IGNORED, IMAGE, Targets, Tokens, collate, token_loss

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

PART_ROWS = 8
"""Rows of a part: few enough for all cores to have one, enough for matrices that keep a core busy."""


def find_precision() -> str:
    """Return `bfloat16` if this processor multiplies it faster than float32, else `float32`."""
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch does not tell
    fast = torch.backends.mkldnn.is_available() and (able.get("avx512_bf16") or able.get("amx_bf16"))
    return "bfloat16" if fast else "float32"


class Learner:
    """Computes the losses of a model and adds their gradients to its parameters; `pool` has a thread for each core.

    With `pull` > 0, the gradient is that of losses + pull * KL(the model as it is now || as it is then), the mean over
    the learned tokens of text plus that of image: distillation against forgetting (arXiv 1606.09282). `tokens` are
    their expected numbers in a step; by default the targets of the losses, which are others if weights decide which
    rows are drawn.
    """

    def __init__(
        self,
        model: LlamaForCausalLM,
        pad: int,
        precision: str,
        pool: Executor,
        *,
        pull: float = 0.0,
        tokens: Targets | None = None,
    ) -> None:
        self._model, self._pad, self._pool = model, pad, pool
        self._config = model.config.to_dict()
        self._dtype: torch.dtype = getattr(torch, precision)
        self._pull, self._tokens = pull, tokens
        self._first = deepcopy(self._fuse().detach(self._dtype)) if pull else None

    def learn(
        self,
        rows: Sequence[Tokens],
        targets: Targets,
        *,
        lambda_text: float = 1.0,
        lambda_image: float = 1.0,
        switch: float = 1.0,
    ) -> tuple[float, float]:
        """Add the gradient of the rows' losses to the parameters and return the losses: those of `weighted_loss`."""
        score = partial(token_loss, targets=targets, lambda_text=lambda_text, lambda_image=lambda_image, switch=switch)
        whole = self._fuse()
        parts = whole.detach(self._dtype)
        leaves = [weight.requires_grad_() for weight in parts.tensors]

        def run(part: Sequence[Tokens]) -> tuple[Sequence[Tensor], tuple[float, float]]:
            ids, learned, tokens = self._prepare(part)
            logits = parts.run(ids, learned)
            text, image = score(logits, *tokens)
            loss = text + image
            if self._first:
                with torch.no_grad():
                    first = self._first.run(ids, learned)
                loss = loss + self._pull * measure_divergence(first, logits, tokens[-1], self._tokens or targets)
            return torch.autograd.grad(loss, leaves), (text.item(), image.item())

        totals = [torch.zeros_like(weight) for weight in whole.tensors]
        losses = []
        for gradients, terms in self._pool.map(run, _split(rows)):
            losses.append(terms)
            for total, gradient in zip(totals, gradients, strict=True):
                total += gradient
        torch.autograd.backward(whole.tensors, totals)
        return _add(losses)

    def measure(self, rows: Sequence[Tokens]) -> tuple[float, float]:
        """Return the rows' losses of text and image, summed over tokens and computed in float32."""
        whole = self._fuse().detach(torch.float32)

        @torch.no_grad()
        def run(part: Sequence[Tokens]) -> tuple[float, float]:
            ids, learned, tokens = self._prepare(part)
            text, image = token_loss(whole.run(ids, learned), *tokens, targets=(1, 1))
            return text.item(), image.item()

        return _add(self._pool.map(run, _split(rows)))

    def _fuse(self) -> FusedLlama:
        return FusedLlama(self._config, dict(self._model.named_parameters()))

    def _prepare(self, rows: Sequence[Tokens]) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Return the ids to read, the positions that predict a learned token, their labels, weights and kinds."""
        batch = collate(rows, self._pad)
        labels, weights, kinds = (each[:, 1:].flatten() for each in (batch.labels, batch.weights, batch.kinds))
        (learned,) = (labels != IGNORED).nonzero(as_tuple=True)
        return batch.ids[:, :-1], learned, (labels[learned], weights[learned], kinds[learned])


def measure_divergence(first: Tensor, logits: Tensor, kinds: Tensor, targets: Targets) -> Tensor:
    """Return KL(first || logits) in nats, the mean over text tokens plus that over image tokens: a scalar.

    Logits are (tokens, vocabulary); the means are sums divided by `targets`, expected numbers of tokens. In this
    direction it is the divergence of whole samples, if the rows are samples of the first model.
    """
    ours, theirs = logits.float().log_softmax(-1), first.float().log_softmax(-1)
    each = torch.nn.functional.kl_div(ours, theirs, log_target=True, reduction="none").sum(-1)
    drawn = kinds == IMAGE
    parts = zip((each[~drawn], each[drawn]), targets, strict=True)
    return torch.stack([part.sum() / target for part, target in parts if target]).sum()


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
