"""What every backend's options have in common: unknown keys are refused, and what is wrong is one clear error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

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
