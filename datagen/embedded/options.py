"""Options of the embedded model and the path of its checkpoint, without loading anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from datagen.generation.options import BackendOptions, settle_device

SHIPPED = Path(__file__).parent / "checkpoint"


class EmbeddedOptions(BackendOptions):
    """Options under `backend: {name: embedded, …}`; `threads: 0` means one for each core, and one on a GPU.

    `max_tokens` bounds prompt, thought and image together; `rounds` is the number of rounds of a reflection, and
    `close` adds a look at the last image.
    """

    checkpoint: Path = SHIPPED
    temperature: float = Field(1.0, ge=0, le=5)
    batch_size: int = Field(64, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=256)
    max_tokens: int = Field(128, ge=64, le=512)
    rounds: int = Field(1, ge=1, le=8)
    close: bool = False
    device: str = "auto"

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Validate options from a recipe and resolve the device. Raises BackendError naming the first wrong one."""
        parsed = super().parse(options)
        parsed.device = settle_device(parsed.device)
        return parsed
