"""Load models of transformers for scorers, by a name on the Hub or a folder, and encode images and texts with them.

A missing weight is an error, never random numbers. Image processors are those of Pillow, so that a score does not
depend on whether torchvision is installed. Encoders decode PNG bytes on all cores and run the model on whole batches.

Text-image models have two encoders, as CLIP, SigLIP and the preference models made of them do (PickScore, HPS). Their
features share one space, and the model's score is scale * cosine + bias, with the trained scale and bias (CLIP has no
bias).

A row of features has length 1. An image that cannot be read, and features that are zero or not finite, have no
direction: their row is NaN and their cosine None, never 0, and `explain_blind` gives the reason.

Not covered: models that read text and image together (BLIP's matching head, ImageReward, language models as judges).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import BackendError, first_line
from datagen.pictures import read_image, read_many
from datagen.vision.interfaces import Encode

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture


_LOADED: WeakKeyDictionary[Any, tuple[tuple[object, ...], list[str]]] = WeakKeyDictionary()
"""Models in use, with the request that loaded them and their missing weights. Weak keys free a model after its last
user."""


class ModelOptions(BaseModel):
    """Options of every model: its name, its device, images in a batch.

    `processor` names another source of image processor and tokenizer, for a model that has none.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1)
    processor: str | None = Field(None, min_length=1)
    revision: str | None = None
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    batch_size: int = Field(32, ge=1, le=4096)

    def settle_device(self) -> str:
        """Return the device as torch names it; `auto` is a GPU if there is one."""
        import torch

        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device


def load_model_of(kind: str, options: ModelOptions, *, optional: tuple[str, ...] = ()) -> tuple[Any, list[str]]:
    """Return a model in eval mode, float32, on its device, and its missing weights among the `optional` ones.

    `kind` is an auto class such as `AutoModel`; `optional` are prefixes of names. A model in use is not loaded again,
    so that two scorers and an encoder can share it. Raises BackendError if it cannot be found or loaded, or lacks any
    other weight.
    """
    asked = kind, options.model, options.revision, options.settle_device()
    known = [(model, missing) for model, (key, missing) in _LOADED.items() if key == asked]
    model, missing = known[0] if known else _load(kind, options)
    _LOADED[model] = asked, missing
    if lost := [name for name in missing if not name.startswith(optional or ("\0",))]:  # "\0" begins no name
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
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AssertionError, SafetensorError) as error:
        # An AssertionError is what torch without CUDA says to `device: cuda`.
        raise _describe("the model", error, options.model) from error
    return model, sorted(info["missing_keys"])


def load_part(kind: str, options: ModelOptions, **settings: Any) -> Any:
    """Return a model's processor of some kind, such as `AutoTokenizer`. Raises BackendError."""
    import transformers

    where = options.processor or options.model
    revision = options.revision if where == options.model else None
    try:
        return getattr(transformers, kind).from_pretrained(where, revision=revision, **settings)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, ImportError, TypeError) as error:
        raise _describe("its " + kind.removeprefix("Auto"), error, where) from error


def load_image_processor(options: ModelOptions) -> Any:
    """Return the image processor of a model, in its Pillow version. Raises BackendError."""
    return load_part("AutoImageProcessor", options, backend="pil")


def load_tokenizer(options: ModelOptions) -> Any:
    """Return the tokenizer of a model. Raises BackendError, also if its files are missing.

    Without them transformers may make a tokenizer with an empty vocabulary, which reads all words of a length alike.
    """
    tokenizer = load_part("AutoTokenizer", options)
    if tokenizer("red")["input_ids"] == tokenizer("car")["input_ids"]:
        hint = "name a model that has one under `processor:`"
        raise BackendError("its tokenizer has no vocabulary", where=options.processor or options.model, hint=hint)
    return tokenizer


def prepare_with(processor: Any, picture: Picture) -> np.ndarray:
    """Return a picture as input of a model, (3, height, width) float32.

    The layout is given, since a processor would take a picture of 1 or 3 px height for one with channels first.
    """
    import numpy as np

    made = processor(images=np.asarray(picture), input_data_format="channels_last", return_tensors="np")
    return np.ascontiguousarray(made["pixel_values"][0], dtype=np.float32)


def _describe(what: str, error: Exception, where: str) -> BackendError:
    hint = "give a folder that exists or a name on the Hub; a private one needs HF_TOKEN"
    return BackendError(f"{what} cannot be loaded: {first_line(error)}", where=where, hint=hint)


Prepare = Callable[["Picture"], "np.ndarray"]
"""From a picture to the model's input, (channels, height, width) float32."""
Forward = Callable[[Any], Any]
"""From a tensor (n, channels, height, width) to features (n, d)."""


READ_AHEAD = 64
"""Images that are decoded together, whatever the batch size: 40 MB of inputs of 224 px."""


def make_encode(prepare: Prepare, forward: Forward, batch_size: int) -> Encode:
    """Return `encode`, from PNG bytes to rows of length 1, in batches of `batch_size`."""

    def read(image: bytes) -> np.ndarray:
        return prepare(read_image(image))

    def run(pixels: Sequence[np.ndarray]) -> list[np.ndarray]:
        import numpy as np
        import torch

        with torch.inference_mode():
            return [
                forward(torch.from_numpy(np.stack(pixels[start : start + batch_size]))).float().cpu().numpy()
                for start in range(0, len(pixels), batch_size)
            ]

    def encode(images: Sequence[bytes]) -> np.ndarray:
        import numpy as np

        known: list[int] = []  # indices of readable images, in the order of the rows in `parts`
        parts: list[np.ndarray] = []
        step = max(READ_AHEAD, batch_size)
        for start in range(0, len(images), step):
            pixels = read_many(read, images[start : start + step])
            readable = {start + k: each for k, each in enumerate(pixels) if not isinstance(each, OSError)}
            parts += run(list(readable.values()))
            known += readable
        features = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
        rows = np.full((len(images), features.shape[1]), np.nan, np.float32)
        rows[known] = normalise(features)
        return rows

    return encode


class Dual:
    """A text-image model: `encode` images, `read` texts; its score is `scale` * cosine + `bias` (None: no bias)."""

    def __init__(self, options: ModelOptions) -> None:
        self._processor = load_image_processor(options)
        self._tokenizer = load_tokenizer(options)
        self._model, _ = load_model_of("AutoModel", options)
        if not (hasattr(self._model, "get_text_features") and hasattr(self._model, "logit_scale")):
            kind = self._model.config.model_type
            hint = "CLIP and SigLIP models do, and preference models made of them"
            raise BackendError(
                f"a model of type {kind!r} does not compare text and image", where=options.model, hint=hint
            )
        self.scale = float(self._model.logit_scale.detach().exp())
        self.bias = float(self._model.logit_bias.detach()) if hasattr(self._model, "logit_bias") else None
        self._batch_size = options.batch_size
        self._longest = int(self._model.config.text_config.max_position_embeddings)
        # SigLIP pools its text at the last position, so every text is padded to full length, as in its training.
        self._padding = "max_length" if self._model.config.model_type.startswith("siglip") else "longest"
        self.encode = make_encode(partial(prepare_with, self._processor), self._read_images, options.batch_size)

    def _read_images(self, pixels: Any) -> Any:
        return self._model.get_image_features(pixel_values=pixels.to(self._model.device)).pooler_output

    def read(self, texts: Sequence[str]) -> np.ndarray:
        """Return one row (n, d) of length 1 for each text, n >= 1; longer texts than the model reads are cut."""
        import numpy as np

        starts = range(0, len(texts), self._batch_size)
        return np.concatenate([self._read_batch(texts[start : start + self._batch_size]) for start in starts])

    def _read_batch(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        tokens = self._tokenizer(
            list(texts), padding=self._padding, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        taken = {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
        with torch.inference_mode():
            output = self._model.get_text_features(**{k: v.to(self._model.device) for k, v in taken.items()})
        return normalise(output.pooler_output.float().cpu().numpy())

    def is_cut(self, text: str) -> bool:
        """Tell whether a text is longer than the model reads."""
        return len(self._tokenizer(text, verbose=False)["input_ids"]) > self._longest


def normalise(features: np.ndarray) -> np.ndarray:
    """Return rows (n, d) divided by their length, float32; a row without a direction becomes NaN."""
    import numpy as np

    rows = np.asarray(features, dtype=np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = rows / largest  # or squares of very large or small numbers overflow or vanish
        unit = scaled / np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    unit[~np.isfinite(unit).all(axis=1)] = np.nan
    narrow: np.ndarray = unit.astype(np.float32)
    return narrow


def measure_cosine(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return the cosine of two rows of length 1, in [-1, 1]; None if one is not finite."""
    import numpy as np

    value = float(one.astype(np.float64) @ other.astype(np.float64))
    return min(1.0, max(-1.0, value)) if np.isfinite(value) else None


def cosine_table(rows: np.ndarray) -> np.ndarray:
    """Return the cosines of all pairs of rows (n, d), (n, n) float64 in [-1, 1]; NaN for a row of NaN."""
    import numpy as np

    wide = rows.astype(np.float64)
    return np.clip(wide @ wide.T, -1.0, 1.0)


def explain_blind(image: bytes) -> str:
    """Return the reason why an encoder gave no features of an image."""
    try:
        read_image(image)
    except OSError as error:
        return f"the image cannot be read: {str(error).removeprefix('the image cannot be read: ')}"
    return "the encoder gave features without a direction: all zero, or not finite"


def find_blind(rows: np.ndarray) -> Sequence[int]:
    """Return the indices of rows that are not finite."""
    import numpy as np

    return [int(k) for k in np.flatnonzero(~np.isfinite(rows).all(axis=1))]
