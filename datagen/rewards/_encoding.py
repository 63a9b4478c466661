"""Runs an encoder over a batch of PNG bytes: reading spread over the cores, the model on whole batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from datagen.rewards._images import read_image, read_many
from datagen.rewards._similarity import normalise
from datagen.rewards._tools import Encode

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture

Prepare = Callable[["Picture"], "np.ndarray"]
"""From a picture to what the model reads of it, (channels, height, width) float32."""
Forward = Callable[[Any], Any]
"""From a tensor (n, channels, height, width) to features (n, d)."""


READ_AHEAD = 64
"""Images that are read together, for however many batches: 40 MB of them as a model of 224 px reads them."""


def make_encode(prepare: Prepare, forward: Forward, batch_size: int) -> Encode:
    """Return `encode`: PNG bytes to rows of length 1, `batch_size` images at a time through the model."""

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

        known: list[int] = []
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
