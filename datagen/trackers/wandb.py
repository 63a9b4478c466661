"""Runs of Weights & Biases, online or in a folder that `wandb sync` sends later.

    track: {name: wandb, project: counting, mode: offline}

What is resumed goes on under the same id. Figures have an axis of their own, `step`, since those of drawing and scoring
come side by side. Keys and servers are those that `wandb login` and WANDB_… name. Needs the package `wandb`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import MissingExtraError
from datagen.tracking import About


class Options(BaseModel):
    """Where the runs are."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field("datagen", min_length=1, description="name of the project")
    entity: str | None = Field(None, description="user or team; default: your own")
    mode: Literal["online", "offline"] | None = Field(None, description="default: as WANDB_MODE says, else online")
    folder: Path = Field(Path("."), description="the folder in which wandb/ is made")


def build(options: Mapping[str, Any]) -> Wandb:
    """Return the tracker. Raises MissingExtraError without the package."""
    try:
        import wandb
    except ImportError as error:
        hint = "pip install wandb, or leave `track` out"
        raise MissingExtraError("the tracker 'wandb' needs its package", hint=hint) from error
    return Wandb(wandb, Options.model_validate(dict(options)))


class Wandb:
    """Writes one run of a project."""

    def __init__(self, wandb: Any, options: Options) -> None:
        self._wandb, self._options = wandb, options
        self._run: Any = None

    def begin(self, about: About) -> None:
        """Open the run of this id."""
        options = self._options
        self._run = self._wandb.init(
            project=options.project,
            entity=options.entity,
            mode=options.mode,
            dir=str(options.folder),
            name=about.name,
            id=about.id,
            resume="allow",
            config=dict(about.parameters),
            settings=self._wandb.Settings(silent=True, console="off"),
        )
        self._run.define_metric("*", step_metric="step")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write figures at a step."""
        self._run.log({**metrics, "step": step})

    def end(self, *, finished: bool) -> None:
        """Close the run."""
        self._run.finish(exit_code=0 if finished else 1)
