"""What all trainers share: a resumable state file, and a log with one JSON line an interval."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn


class TrainingState:
    """The folder of one training: `state.pt` (model, optimizers, step), replaced whole, and `log.jsonl`."""

    def __init__(self, folder: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._model, self._optimizers = folder, model, optimizers
        self._started = time.monotonic()

    def restore(self) -> int:
        """Load the last saved state, if any, and return the number of steps done; the log forgets what came after."""
        path = self.folder / "state.pt"
        if not path.exists():
            self._rewind(-1)
            return 0
        saved = torch.load(path, weights_only=True)
        self._model.load_state_dict(saved["model"])
        for optimizer, values in zip(self._optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self._rewind(int(saved["step"]))
        return int(saved["step"])

    def save(self, step: int) -> None:
        """Write the state in one rename, so that a kill leaves the old one or the new one."""
        values = {
            "model": self._model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "step": step,
        }
        temporary = self.folder / "state.tmp"
        torch.save(values, temporary)
        os.replace(temporary, self.folder / "state.pt")

    def log(self, step: int, **figures: Any) -> None:
        """Append one line to log.jsonl and print it."""
        print(self.note(step, **figures), flush=True)

    def note(self, step: int, **figures: Any) -> str:
        """Append one line to log.jsonl and return it."""
        row = {"step": step, "seconds": round(time.monotonic() - self._started, 1), **figures}
        line = json.dumps({key: round(v, 5) if isinstance(v, float) else v for key, v in row.items()})
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return line

    def read_log(self) -> list[dict[str, Any]]:
        """Return the lines of log.jsonl in order; one that a kill cut short is left out."""
        path = self.folder / "log.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def _rewind(self, step: int) -> None:
        """Drop the lines of steps that a kill undid and that will be taken again."""
        rows = [row for row in self.read_log() if row["step"] <= step]
        if (path := self.folder / "log.jsonl").exists():
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
