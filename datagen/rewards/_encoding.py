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


def make_encode(prepare: Prepare, forward: Forward, batch_size: int) -> Encode:
    """Return `encode`: PNG bytes to rows of length 1, `batch_size` images at a time through the model."""

    def read(image: bytes) -> np.ndarray:
        return prepare(read_image(image))

    def encode(images: Sequence[bytes]) -> np.ndarray:
        import numpy as np
        import torch

        known: list[int] = []
        parts: list[np.ndarray] = []
        for start in range(0, len(images), batch_size):
            pixels = read_many(read, images[start : start + batch_size])
            readable = {start + k: each for k, each in enumerate(pixels) if not isinstance(each, OSError)}
            if readable:
                batch = torch.from_numpy(np.stack(list(readable.values())))
                with torch.inference_mode():
                    parts.append(forward(batch).float().cpu().numpy())
                known += readable
        features = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
        rows = np.full((len(images), features.shape[1]), np.nan, np.float32)
        rows[known] = normalise(features)
        return rows

    return encode
