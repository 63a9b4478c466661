"""Options under `backend: {name: vllm, …}`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from datagen.embedded.options import SHIPPED
from datagen.generation.options import ChatOptions


class VllmOptions(ChatOptions):
    """Model, sampling, and arguments of the engine; `engine` takes any other argument of `vllm.LLM`."""

    model: str = str(SHIPPED)
    dtype: str = "auto"
    temperature: float = Field(1.0, ge=0, le=5)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(128, ge=1)
    max_model_len: int | None = Field(None, ge=16)
    images_per_prompt: int = Field(4, ge=1, le=64)
    restarts: int = Field(1, ge=0, le=10)
    engine: dict[str, Any] = Field(default_factory=dict)
