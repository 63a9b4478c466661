"""Loads models and processors whole, or says why not: a missing weight is an error, never random numbers.

A model is a folder or a name on the Hub, and its files say of which family it is. From the Hub the small files come
first, so that a model which cannot draw is refused before its weights are fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
import transformers
from pydantic import Field, field_validator
from safetensors import SafetensorError

from datagen.embedded.loading import has_codec
from datagen.errors import BackendError, first_line
from datagen.generation.options import BackendOptions


def load_model(kind: Any, folder: Path, options: TransformersOptions) -> Any:
    """Return the model of a folder in eval mode on its device; `kind` is the class to load it with.

    Raises BackendError when a file is missing or damaged, weights are missing, or the device has too little memory.
    """
    transformers.utils.logging.disable_progress_bar()  # it would write into the toolkit's own
    try:
        model, info = kind.from_pretrained(folder, dtype=getattr(torch, options.dtype), output_loading_info=True)
        model = model.to(options.device).eval()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _describe("the model", error, options) from error
    if missing := sorted(info["missing_keys"]):
        raise BackendError(
            f"the model lacks {len(missing)} of its weights: {', '.join(missing[:3])}…", where=options.model
        )
    return model


def load_processor(folder: Path, options: TransformersOptions) -> Any:
    """Return the processor of a folder: its tokenizer and image processor. Raises BackendError."""
    try:
        return transformers.AutoProcessor.from_pretrained(folder)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, ImportError) as error:
        raise _describe("the processor", error, options) from error


def list_control_tokens(tokenizer: Any) -> list[str]:
    """Return the texts that a tokenizer reads as control tokens, the longest first."""
    added = tokenizer.added_tokens_decoder.values()
    texts = {str(token) for token in added if token.special or (len(str(token)) > 2 and str(token)[0] in "<[")}
    return sorted(texts | set(tokenizer.all_special_tokens), key=lambda text: (-len(text), text))


def fill_template(template: str, text: str, control_tokens: Sequence[str]) -> str:
    """Put a prompt into a template; a prompt cannot smuggle in control tokens, a template may hold them."""
    for token in control_tokens:
        text = text.replace(token, " ")
    return template.replace("{prompt}", text)


def _describe(what: str, error: Exception, options: TransformersOptions) -> BackendError:
    return BackendError(f"{what} cannot be loaded: {first_line(error)}", where=options.model)


SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
WEIGHTS = ["*.safetensors"]


def find_model(model: str, revision: str | None, patterns: list[str]) -> Path:
    """Return the folder of a model, fetching files that match `patterns` when it is a name on the Hub.

    Raises BackendError when it is neither a folder nor a name that the Hub (or its cache, offline) knows.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(model, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError, EntryNotFoundError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise BackendError(
            f"the model cannot be found: it is no folder, and the Hub has none of this name{at} ({first_line(error)})",
            where=model,
            hint="give a folder that exists or a name such as BAAI/Emu3-Gen-hf; a private one needs HF_TOKEN",
        ) from error


def choose_family(folder: Path, model: str) -> str:
    """Return `joint`, `emu3` or `janus`. Raises BackendError for a model that cannot write text and images."""
    model_type = _read_type(folder, model)
    if has_codec(folder):
        return "joint"
    if model_type in ("emu3", "janus"):
        return model_type
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    supported = "supported: emu3, janus, and causal LMs with an image tokenizer in codec/"
    if model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise BackendError(
            f"this {model_type!r} model has no image tokenizer: codec/codec.json is missing, so it only writes text",
            where=model,
            hint=supported,
        )
    raise BackendError(f"models of type {model_type!r} cannot write text and images here", where=model, hint=supported)


def _read_type(folder: Path, model: str) -> str:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(config["model_type"])
    except FileNotFoundError:
        raise BackendError("config.json is missing: this is no model of transformers", where=model) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackendError(f"config.json cannot be read: {error!r}", where=model) from error


ENGINE = "transformers/1"
COMMON = ("model", "revision", "device", "dtype", "batch_size", "temperature", "top_p", "max_tokens")
"""Options that every family takes; which others one takes stands in its `USES`."""


class TransformersOptions(BackendOptions):
    """Which model, where it runs, and how it writes.

    `max_tokens` counts text alone: what images take comes on top. `image_px` is the side of a square image.
    `guidance_scale` (classifier-free, 1 is none) is by default what the family's authors use. `template` is what a
    model is asked when it is to draw at once, `think_template` when it is to think first.
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
        """Validate options from a recipe and settle device and dtype. Raises BackendError."""
        parsed = super().parse(options)
        parsed.device = _check_device(parsed.device)
        if parsed.dtype == "auto":
            parsed.dtype = "bfloat16" if parsed.device.startswith("cuda") else "float32"
        return parsed

    def check_family(self, family: str, uses: frozenset[str]) -> None:
        """Raise BackendError for an option that was set and that models of this family do not take."""
        for key in sorted(self.model_fields_set - set(COMMON) - uses):
            raise BackendError(
                f"backend option {key!r}: {family} models have no such thing",
                where=self.model,
                hint=f"options for {family}: {', '.join((*COMMON, *sorted(uses)))}",
            )

    def describe(self, family: str, uses: frozenset[str]) -> dict[str, Any]:
        """Return what, beside a seed, decides a sample, for its record."""
        keys = ("model", "dtype", "temperature", "top_p", "max_tokens", *sorted(uses))
        chosen = {key: getattr(self, key) for key in keys}
        return {"family": family, **{key: value for key, value in chosen.items() if value is not None}}


def _check_device(device: str) -> str:
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
