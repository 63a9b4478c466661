"""Muon, the optimizer for hidden matrices (Jordan et al. 2024), in float32.

`torch.optim.Muon` orthogonalises in bfloat16, which processors without bf16 instructions run a hundred times slower.
The quintic Newton-Schulz coefficients are the published ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return a matrix of the same shape with all singular values near 1 (0.7 to 1.2)."""
    x: Tensor = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    result: Tensor = x.T if matrix.shape[0] > matrix.shape[1] else x
    return result


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; the step is scaled by sqrt(max(1, rows / columns)).

    Each step first takes `lr * decay` of the weights off, so that they do not grow for ever.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95, decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                velocity = state.setdefault("velocity", torch.zeros_like(matrix))
                velocity.lerp_(matrix.grad, 1 - group["momentum"])
                update = orthogonalize(matrix.grad.lerp(velocity, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["decay"])
                matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)


def split_parameters(model: nn.Module, plain: tuple[str, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """Return (matrices for Muon, everything else for AdamW); names holding a word of `plain` are never Muon's."""
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, parameter in model.named_parameters():
        hidden = parameter.ndim == 2 and not any(word in name for word in plain)
        (matrices if hidden else rest).append(parameter)
    return matrices, rest


class Schedule:
    """Both optimizers' learning rates: linear warm-up, flat, then linear to zero over the last `decay` of the steps."""

    def __init__(self, optimizers: list[torch.optim.Optimizer], steps: int, decay: float, warmup: int = 40) -> None:
        self._optimizers, self._steps, self._decay, self._warmup = optimizers, steps, decay, warmup
        self._peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]

    def set(self, step: int) -> None:
        """Set the learning rates for step number `step`, counted from 0."""
        left = (1 - step / self._steps) / self._decay
        scale = min(1.0, (step + 1) / self._warmup, left) + 0.003
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, self._peaks, strict=True):
            group["lr"] = peak * scale
