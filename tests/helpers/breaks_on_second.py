"""An image encoder that answers its first call and then has no memory left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from datagen.vision.interfaces import Encode


def build(options: Mapping[str, Any]) -> Encode:
    calls: list[int] = []

    def encode(images: Sequence[bytes]) -> np.ndarray:
        calls.append(len(images))
        if len(calls) > 1:
            raise RuntimeError("no memory left")
        return np.ones((len(images), 1), np.float32)

    return encode
