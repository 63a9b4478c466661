"""Options under `backend: {name: openai, …}`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from datagen.generation.options import ChatOptions
from datagen.web import read_address


class OpenAIOptions(ChatOptions):
    """Server addresses, request limits and sampling. Times are in seconds, sizes in bytes."""

    base_url: str | list[str] = Field(
        "http://localhost:8000/v1", description="the server, or a list that share the work"
    )
    model: str = Field(min_length=1)
    api: Literal["chat", "images"] = "chat"
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        8, description="requests in flight at each server; `auto` follows each server"
    )
    retries: int = Field(5, ge=0, le=100)
    timeout_seconds: float = Field(600, gt=0)
    max_wait_seconds: float = Field(600, gt=0)
    max_answer_bytes: int = Field(64_000_000, ge=1_000)
    temperature: float | None = Field(None, ge=0, le=5)
    max_tokens: int | None = Field(None, ge=1)
    image_size: str | None = Field(None, pattern=r"^\d+x\d+$")
    think: Literal["native", "driven"] = "native"
    rounds: int = Field(1, ge=1, le=8)
    close: bool = False
    think_body: dict[str, Any] = Field(default_factory=lambda: {"think": True})
    extra_body: dict[str, Any] = Field(default_factory=dict)
    lexicon: str = "everyday"

    def chat_extras(self) -> dict[str, Any]:
        """Return the non-standard fields of a chat body: `extra_body`, and the switch that turns thinking off."""
        if not self.template_kwargs:
            return dict(self.extra_body)
        said = self.extra_body.get("chat_template_kwargs")
        return {**self.extra_body, "chat_template_kwargs": {**self.template_kwargs, **(said or {})}}

    @property
    def addresses(self) -> list[str]:
        """The address of each server."""
        return [self.base_url] if isinstance(self.base_url, str) else self.base_url

    @field_validator("base_url", mode="before", json_schema_input_type=str | list[str])
    @classmethod
    def _without_secrets(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return read_address(value)
        addresses = [read_address(each) for each in value]
        if not addresses:
            raise ValueError("an empty list names no server")
        if twice := {each for each in addresses if addresses.count(each) > 1}:
            raise ValueError(f"{min(twice)} stands twice in the list")
        return addresses
