"""Options under `backend: {name: transformers, …}`, and which of them a family uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator

from datagen.errors import BackendError
from datagen.generation.options import BackendOptions, settle_device

COMMON = ("model", "revision", "device", "dtype", "batch_size", "temperature", "top_p", "max_tokens")
"""Options of every family; a family lists its others in `USES`."""


class TransformersOptions(BackendOptions):
    """Model, device and sampling.

    `max_tokens` counts text alone; image tokens come on top. `image_px` is the side of a square image. `guidance_scale`
    (classifier-free, 1 is none) defaults to what the family's authors use. `template` frames the prompt of an image,
    `think_template` that of a thought.
    """

    model: str = Field(min_length=1)
    revision: str | None = None
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: int = Field(16, ge=1, le=4096)
    temperature: float = Field(1.0, ge=0, le=5)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(256, ge=1, le=32_768)
    guidance_scale: float | None = Field(None, ge=1, le=100)
    negative_prompt: str = ""
    image_px: int = Field(720, ge=8, le=4096)
    max_images: int = Field(1, ge=1, le=16)
    switch: Literal["autonomous", "forced"] = "autonomous"
    template: str = "{prompt}"
    think_template: str | None = None

    @field_validator("template", "think_template")
    @classmethod
    def _with_prompt(cls, value: str | None) -> str | None:
        if value is not None and "{prompt}" not in value:
            raise ValueError("a template says where the prompt goes: {prompt}")
        return value

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Validate options from a recipe and resolve device and dtype. Raises BackendError."""
        parsed = super().parse(options)
        parsed.device = settle_device(parsed.device)
        if parsed.dtype == "auto":
            parsed.dtype = "bfloat16" if parsed.device.startswith("cuda") else "float32"
        return parsed

    def check_family(self, family: str, uses: frozenset[str]) -> None:
        """Raise BackendError for an option that was set and that this family does not take."""
        for key in sorted(self.model_fields_set - set(COMMON) - uses):
            raise BackendError(
                f"backend option {key!r}: {family} models do not take it",
                where=self.model,
                hint=f"options for {family}: {', '.join((*COMMON, *sorted(uses)))}",
            )

    def describe(self, family: str, uses: frozenset[str]) -> dict[str, Any]:
        """Return the settings that, with a seed, decide a sample; they are stored with it."""
        keys = ("model", "dtype", "temperature", "top_p", "max_tokens", *sorted(uses))
        chosen = {key: getattr(self, key) for key in keys}
        return {"family": family, **{key: value for key, value in chosen.items() if value is not None}}
