"""Loads models and processors whole, or says why not: a missing weight is an error, never random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from datagen.backends.transformers.options import TransformersOptions
from datagen.errors import BackendError


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
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BackendError(f"{what} cannot be loaded: {reason}", where=options.model)
