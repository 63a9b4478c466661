"""Loads models of transformers for scorers, by a name on the Hub or a folder: whole, or not at all.

A weight that is missing is an error, never random numbers. Image processors are those of Pillow, so that a score does
not depend on whether torchvision happens to be installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import BackendError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture


_LOADED: WeakKeyDictionary[Any, tuple[tuple[object, ...], list[str]]] = WeakKeyDictionary()
"""Models that somebody holds, with what was asked for and which weights were missing."""


class ModelOptions(BaseModel):
    """What a recipe may set for any model: which one, where it runs, images at a time.

    `processor` names another place for image processor and tokenizer, where the model's own has none.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1)
    processor: str | None = Field(None, min_length=1)
    revision: str | None = None
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    batch_size: int = Field(32, ge=1, le=4096)

    def settle_device(self) -> str:
        """Return the device as torch names it; `auto` is a GPU where there is one."""
        import torch

        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device


def load_model_of(kind: str, options: ModelOptions, *, optional: tuple[str, ...] = ()) -> tuple[Any, list[str]]:
    """Return a model in eval mode, float32, on its device, and which weights it lacks of those that are `optional`.

    `kind` is an auto class such as `AutoModel`; `optional` are beginnings of names. A model that somebody here holds is
    not loaded again, so that two scorers and an encoder may name the same one. Raises BackendError when it cannot be
    found or loaded, or lacks any other weight.
    """
    asked = kind, options.model, options.revision, options.settle_device()
    known = [(model, missing) for model, (key, missing) in _LOADED.items() if key == asked]
    model, missing = known[0] if known else _load(kind, options)
    _LOADED[model] = asked, missing
    if lost := [name for name in missing if not name.startswith(optional or ("\0",))]:
        raise BackendError(f"the model lacks {len(lost)} of its weights: {', '.join(lost[:3])}…", where=options.model)
    return model, missing


def _load(kind: str, options: ModelOptions) -> tuple[Any, list[str]]:
    import torch
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.disable_progress_bar()
    try:
        model, info = getattr(transformers, kind).from_pretrained(
            options.model, revision=options.revision, dtype=torch.float32, output_loading_info=True
        )
        model = model.to(options.settle_device()).eval()
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise _describe("the model", error, options.model) from error
    return model, sorted(info["missing_keys"])


def load_part(kind: str, options: ModelOptions, **settings: Any) -> Any:
    """Return a model's processor of some kind, such as `AutoTokenizer`; raises BackendError."""
    import transformers

    where = options.processor or options.model
    revision = options.revision if where == options.model else None
    try:
        return getattr(transformers, kind).from_pretrained(where, revision=revision, **settings)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, ImportError, TypeError) as error:
        raise _describe("its " + kind.removeprefix("Auto"), error, where) from error


def load_image_processor(options: ModelOptions) -> Any:
    """Return the image processor of a model, the one that works on Pillow pictures; raises BackendError."""
    return load_part("AutoImageProcessor", options, backend="pil")


def load_tokenizer(options: ModelOptions) -> Any:
    """Return the tokenizer of a model; raises BackendError, also where its files are missing.

    Without them transformers may make a tokenizer of an empty vocabulary, to which all words of a length are the same.
    """
    tokenizer = load_part("AutoTokenizer", options)
    if tokenizer("red")["input_ids"] == tokenizer("car")["input_ids"]:
        hint = "say under `processor:` which model has it"
        raise BackendError("its tokenizer has no vocabulary", where=options.processor or options.model, hint=hint)
    return tokenizer


def prepare_with(processor: Any, picture: Picture) -> np.ndarray:
    """Return what a model reads of a picture, (3, height, width) float32.

    The layout is stated, since a processor takes a picture of 1 or 3 px height for one with channels first.
    """
    import numpy as np

    made = processor(images=np.asarray(picture), input_data_format="channels_last", return_tensors="np")
    return np.ascontiguousarray(made["pixel_values"][0], dtype=np.float32)


def _describe(what: str, error: Exception, where: str) -> BackendError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    hint = "give a folder that exists or a name on the Hub; a private one needs HF_TOKEN"
    return BackendError(f"{what} cannot be loaded: {reason}", where=where, hint=hint)
