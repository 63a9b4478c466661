"""Where a model is and what it is: a folder or a name on the Hub, and the family that its files say.

From the Hub the small files come first, so that a model which cannot draw is refused before its weights are fetched.
"""

from __future__ import annotations

import json
from pathlib import Path

from datagen.backends.embedded.checkpoint_io import has_codec
from datagen.errors import BackendError

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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        at = f" at revision {revision!r}" if revision else ""
        raise BackendError(
            f"the model cannot be found: it is no folder, and the Hub has none of this name{at} ({reason})",
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
