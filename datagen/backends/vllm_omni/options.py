"""What a recipe may set under `backend: {name: vllm_omni, …}`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from datagen.backends._options import BackendOptions

NOT_OF_A_SAMPLE = {"init_timeout_seconds", "restarts"}
"""Options that say how the engine is run, not what it writes."""


class OmniOptions(BackendOptions):
    """The model, how its stages are laid out, and how it writes and draws; the defaults are for BAGEL.

    `deploy_config` is a file, or the name of one that vLLM-Omni ships; null takes the model's own, which for BAGEL
    cannot think. `height` and `width` are pixels. `temperature` is that of the thought; where the drawing stage thinks
    by itself (`bagel_single_stage.yaml`), no seed reaches the thought, and it stays the likeliest one. `max_tokens`
    bounds the thought. `extra_args` are what the drawing stage takes beside them (`cfg_text_scale: 4.0`, …), `engine`
    any other argument of `vllm_omni.Omni`. `restarts` bounds how often the engine is started again within one shard.
    `think_template` is null for what BAGEL's authors write before the prompt.
    """

    model: str = Field(min_length=1)
    deploy_config: str | None = "bagel_think.yaml"
    height: int | None = Field(None, ge=16, le=8192)
    width: int | None = Field(None, ge=16, le=8192)
    num_inference_steps: int | None = Field(None, ge=1, le=1000)
    temperature: float = Field(0.3, ge=0, le=5)
    max_tokens: int = Field(1000, ge=1, le=32_768)
    extra_args: dict[str, Any] = Field(default_factory=dict)
    template: str = "<|im_start|>{prompt}<|im_end|>"
    think_template: str | None = None
    init_timeout_seconds: int = Field(600, ge=1)
    restarts: int = Field(4, ge=0, le=100)
    engine: dict[str, Any] = Field(default_factory=dict)

    @field_validator("template", "think_template")
    @classmethod
    def _with_prompt(cls, value: str | None) -> str | None:
        if value is not None and "{prompt}" not in value:
            raise ValueError("a template says where the prompt goes: {prompt}")
        return value

    def describe(self) -> dict[str, Any]:
        """Return what, beside a seed, decides a sample, for its record."""
        return self.model_dump(exclude=NOT_OF_A_SAMPLE)
