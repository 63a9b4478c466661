"""Event files for TensorBoard, a folder for each run or training: `tensorboard --logdir tensorboard`.

    track: {name: tensorboard, folder: tensorboard}

Parameters are a table under Text. What is resumed goes on in the same folder. Needs the package `tensorboard`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import MissingExtraError
from datagen.tracking import About


class Options(BaseModel):
    """Where the event files are."""

    model_config = ConfigDict(extra="forbid")

    folder: Path = Field(Path("tensorboard"), description="the folder that `tensorboard --logdir` is given")


def build(options: Mapping[str, Any]) -> TensorBoard:
    """Return the tracker. Raises MissingExtraError without the package."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        hint = "pip install tensorboard, or leave `track` out"
        raise MissingExtraError("the tracker 'tensorboard' needs its package", hint=hint) from error
    return TensorBoard(SummaryWriter, Options.model_validate(dict(options)).folder)


class TensorBoard:
    """Writes one folder of event files."""

    def __init__(self, writer: Any, folder: Path) -> None:
        self._make, self._folder = writer, folder
        self._writer: Any = None

    def begin(self, about: About) -> None:
        """Open a file of events in the folder of this run."""
        self._writer = self._make(str(self._folder / f"{about.name}-{about.id[:8]}"))
        rows = [f"| `{key}` | `{value}` |" for key, value in about.parameters.items()]
        self._writer.add_text("parameters", "\n".join(["| key | value |", "|---|---|", *rows]))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write figures as scalars."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def end(self, *, finished: bool) -> None:
        """Write what is left."""
        self._writer.close()
