"""Load models and processors completely or not at all: a missing weight is an error, never random numbers.

A model is a folder or a name on the Hub, and its files decide its family. The small files are downloaded first, so that
a model that generates no images is refused before its weights are downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from datagen.backends.transformers.options import TransformersOptions
from datagen.embedded.loading import has_codec
from datagen.errors import BackendError, first_line


def load_model(kind: Any, folder: Path, options: TransformersOptions) -> Any:
    """Return the model of a folder in eval mode on its device; `kind` is the class to load it with.

    Raises BackendError when a file is missing or damaged, weights are missing, or the device has too little memory.
    """
    transformers.utils.logging.disable_progress_bar()  # it would write over the toolkit's own
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
    """Return the texts that a tokenizer reads as control tokens, longest first."""
    # An added token that looks like a marker counts even if the tokenizer does not call it special.
    added = tokenizer.added_tokens_decoder.values()
    texts = {str(token) for token in added if token.special or (len(str(token)) > 2 and str(token)[0] in "<[")}
    return sorted(texts | set(tokenizer.all_special_tokens), key=lambda text: (-len(text), text))


def fill_template(template: str, text: str, control_tokens: Sequence[str]) -> str:
    """Put a prompt into a template. Control tokens are removed from the prompt and kept in the template."""
    for token in control_tokens:
        text = text.replace(token, " ")
    return template.replace("{prompt}", text)


def _describe(what: str, error: Exception, options: TransformersOptions) -> BackendError:
    return BackendError(f"{what} cannot be loaded: {first_line(error)}", where=options.model)


SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
WEIGHTS = ["*.safetensors"]


def find_model(model: str, revision: str | None, patterns: list[str]) -> Path:
    """Return the folder of a model; for a name on the Hub, download the files that match `patterns`.

    Raises BackendError for what is neither a folder nor a name on the Hub (or, offline, in its cache).
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
            f"the model cannot be found: there is no such folder, and none on the Hub{at} ({first_line(error)})",
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
