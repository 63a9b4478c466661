"""Options of the embedded model, and where its checkpoint is: what can be read without loading anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from datagen.generation.options import BackendOptions

SHIPPED = Path(__file__).parent / "checkpoint"


class EmbeddedOptions(BackendOptions):
    """What a recipe may set under `backend:`; `threads: 0` is one a core, and one on a GPU.

    `max_tokens` bounds prompt, thought and image; `rounds` is how often a reflection looks and redraws.
    """

    checkpoint: Path = SHIPPED
    temperature: float = Field(1.0, ge=0, le=5)
    batch_size: int = Field(64, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=256)
    max_tokens: int = Field(128, ge=64, le=512)
    rounds: int = Field(1, ge=1, le=8)
    device: str = "auto"

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Validate options from a recipe and settle the device; raises BackendError naming the first wrong one."""
        parsed = super().parse(options)
        if parsed.device == "auto":
            import torch

            parsed.device = "cuda" if torch.cuda.is_available() else "cpu"
        return parsed
