"""State of a training that can be resumed, its log with one JSON line per interval, and the Muon optimizer.

Muon (Jordan et al. 2024), the optimizer for hidden matrices, works in float32 here: `torch.optim.Muon` orthogonalises
in bfloat16, which is a hundred times slower on processors without bf16 instructions. The quintic Newton-Schulz
coefficients are the published ones.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from datagen.errors import RunError, first_line
from datagen.filesystems import write_whole

UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, UnpicklingError)
"""What torch raises for a file that is cut or holds something else."""


@contextmanager
def explain_disk(path: Path) -> Iterator[None]:
    """Raise RunError naming the file, `path` if nothing else is known, when something cannot be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        what = f"cannot be written: {getattr(error, 'strerror', None) or first_line(error)}"
        hint = "free some space or check permissions, then run the same command: it goes on"
        raise RunError(what, where=str(getattr(error, "filename", None) or path), hint=hint) from error


class TrainingState:
    """The folder of one training: `state.pt` (model, optimizers, step), replaced atomically, and `log.jsonl`."""

    def __init__(self, folder: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._model, self._optimizers = folder, model, optimizers
        self._started = time.monotonic()

    def restore(self) -> int:
        """Load the last saved state, if any, and return its number of steps; later lines are removed from the log.

        Raises RunError naming a file that is damaged.
        """
        path = self.folder / "state.pt"
        if not path.exists():
            self._rewind(-1)
            return 0
        try:
            saved = torch.load(path, weights_only=True)
            step = int(saved["step"])
            self._model.load_state_dict(saved["model"])
            for optimizer, values in zip(self._optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(values)
        except UNREADABLE as error:
            hint = "delete it: the training then begins again"
            raise RunError(f"damaged: {first_line(error)}", where=str(path), hint=hint) from error
        self._rewind(step)
        return step

    def save(self, step: int) -> None:
        """Write the state whole, so that a kill or a full disk leaves the old state. Raises RunError."""
        values = {
            "model": self._model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "step": step,
        }
        # Into memory first: `torch.save` to a full disk says `enforce fail` and not why.
        packed, path = io.BytesIO(), self.folder / "state.pt"
        torch.save(values, packed)
        with explain_disk(path), write_whole(path) as file:
            file.write(packed.getbuffer())

    def log(self, step: int, **figures: Any) -> None:
        """Append one line to log.jsonl and print it."""
        print(self.note(step, **figures), flush=True)

    def note(self, step: int, **figures: Any) -> str:
        """Append one line to log.jsonl and return it."""
        row = {"step": step, "seconds": round(time.monotonic() - self._started, 1), **figures}
        line = json.dumps({key: round(v, 5) if isinstance(v, float) else v for key, v in row.items()})
        path = self.folder / "log.jsonl"
        with explain_disk(path), path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return line

    def read_log(self) -> list[dict[str, Any]]:
        """Return the lines of log.jsonl in order, without a last one that was cut off.

        Raises RunError naming a damaged line before it.
        """
        path, rows = self.folder / "log.jsonl", list[dict[str, Any]]()
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        for number, line in enumerate(lines[:-1], 1):
            try:
                row = json.loads(line)
                rows.append({**row, "step": int(row["step"])})
            except (ValueError, KeyError, TypeError) as error:
                hint = "delete that line: it is missing in loss.svg alone"
                raise RunError(f"line {number} is damaged", where=str(path), hint=hint) from error
        return rows

    def _rewind(self, step: int) -> None:
        """Drop the log lines of steps after the saved state, which will be repeated."""
        rows = [row for row in self.read_log() if row["step"] <= step]
        if (path := self.folder / "log.jsonl").exists():
            with explain_disk(path), write_whole(path) as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return a matrix of the same shape with all singular values near 1 (0.7 to 1.2)."""
    # Transposed if tall, so that the Gram matrix has the smaller size.
    x: Tensor = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    result: Tensor = x.T if matrix.shape[0] > matrix.shape[1] else x
    return result


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; the step is scaled by sqrt(max(1, rows / columns)).

    Each step first reduces the weights by `lr * decay`, so that they do not grow without bound.
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
    """Return (matrices for Muon, all other parameters for AdamW); names with a word of `plain` go to AdamW."""
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
        # Never quite 0: the last steps still learn a little.
        scale = min(1.0, (step + 1) / self._warmup, left) + 0.003
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, self._peaks, strict=True):
            group["lr"] = peak * scale
