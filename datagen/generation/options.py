"""Options of backends: unknown keys are refused, and what is wrong is one clear error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from datagen.errors import BackendError


class BackendOptions(BaseModel):
    """Base of the options that a recipe may set under `backend:`."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Validate options from a recipe; raises BackendError naming the first wrong one, never its value."""
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            hint = f"options: {', '.join(cls.model_fields)}"
            # The cause is left out: it shows the value, and somebody may have put a key there.
            raise BackendError(f"backend option {key!r}: {message}", hint=hint) from None


class ChatOptions(BackendOptions):
    """Options of a backend that answers chats with models that may think first.

    `thinking: false` turns it off with the chat templates that can (Qwen, GLM, DeepSeek, Granite and others read one of
    `template_kwargs`); a number is how many tokens the model may think, added to those of its answer.
    """

    thinking: bool | int | None = None

    @field_validator("thinking")
    @classmethod
    def _say_how_long(cls, value: bool | int | None) -> bool | int | None:
        if value is True or (value is not None and value < 0):
            raise ValueError("say false, or how many tokens the model may think before it answers, such as 4096")
        return value or (None if value is None else False)

    @property
    def thinking_tokens(self) -> int:
        """How many tokens are added to those of each answer."""
        return int(self.thinking or 0)

    @property
    def template_kwargs(self) -> dict[str, bool]:
        """What is said to the chat template; a template reads the names it knows."""
        return {"enable_thinking": False, "thinking": False} if self.thinking is False else {}
