"""Any vision model of transformers by name or folder: CLIP, SigLIP, DINOv2, and others with the same interface.

    encoders: [{name: transformers, model: facebook/dinov2-base}]

Features: the projected image features of a model with a text side (CLIP, SigLIP); else the pooled output (for DINOv2
the normed class token); else, if the model has no pooled output or the weights lack its pooler, the mean over all
tokens of the last layer.

Not covered: models without a fixed picture size. CLIP's own processor crops a picture that is not square to its middle,
so its ends are not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.vision.interfaces import Encode
from datagen.vision.loading import ModelOptions, load_image_processor, load_model_of, make_encode, prepare_with


def build(options: Mapping[str, Any]) -> Encode:
    """Return `encode` for a model. Raises ConfigError for wrong options, BackendError if it cannot be loaded."""
    chosen = load_model(Document("encoders: transformers", dict(options)), ModelOptions)
    processor = load_image_processor(chosen)
    model, missing = load_model_of("AutoModel", chosen, optional=("pooler.", "vision_model.pooler."))
    forward = partial(read_features, model, pooled=not missing)
    return make_encode(partial(prepare_with, processor), forward, chosen.batch_size)


def read_features(model: Any, pixels: Any, *, pooled: bool = True) -> Any:
    """Return the features (n, d) of pixels (n, 3, height, width); `pooled` allows the pooled output."""
    pixels = pixels.to(model.device)
    if hasattr(model, "get_image_features"):
        output = model.get_image_features(pixel_values=pixels)
        return getattr(output, "pooler_output", output).flatten(1)
    output = model(pixel_values=pixels)
    found = getattr(output, "pooler_output", None)
    if pooled and found is not None:
        return found.flatten(1)
    last = output.last_hidden_state
    return last.mean(1) if last.ndim == 3 else last.mean((2, 3))
