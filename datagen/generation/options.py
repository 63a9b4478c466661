"""Base classes of backend options: unknown keys are refused, and errors are clear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from datagen.errors import BackendError


class BackendOptions(BaseModel):
    """Base of the options under `backend:` in a recipe."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Validate options from a recipe; raises BackendError naming the first wrong option, but never its value."""
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            hint = f"options: {', '.join(cls.model_fields)}"
            # `from None`, since the cause shows the value, which may be a secret key.
            raise BackendError(f"backend option {key!r}: {message}", hint=hint) from None


class ChatOptions(BackendOptions):
    """Options of a chat backend whose model may think before it answers.

    `thinking: false` turns thinking off if the chat template can (Qwen, GLM, DeepSeek, Granite and others read one of
    `template_kwargs`); a number is the thinking budget in tokens, added to those of the answer.
    """

    thinking: bool | int | None = None

    @field_validator("thinking")
    @classmethod
    def _say_how_long(cls, value: bool | int | None) -> bool | int | None:
        if value is True or (value is not None and value < 0):
            raise ValueError("must be false, or the thinking budget in tokens, such as 4096")
        return value or (None if value is None else False)

    @property
    def thinking_tokens(self) -> int:
        """The thinking budget, added to the tokens of each answer."""
        return int(self.thinking or 0)

    @property
    def template_kwargs(self) -> dict[str, bool]:
        """Variables for the chat template; a template reads those that it knows."""
        return {"enable_thinking": False, "thinking": False} if self.thinking is False else {}


def settle_device(device: str) -> str:
    """Return a device as torch names it; `auto` is a GPU if there is one. Raises BackendError if it is not there."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind, index = torch.device(device).type, torch.device(device).index or 0
    except RuntimeError as error:
        raise BackendError(
            f"backend option 'device': {device!r} is no device", hint="auto, cpu, cuda, cuda:1"
        ) from error
    if kind == "cuda" and index >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise BackendError(
            f"backend option 'device': {device!r} was asked for, and torch sees {found} CUDA devices",
            hint="device: auto",
        )
    return device
