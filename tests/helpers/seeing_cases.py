"""Pictures as PNG, and slow plain arithmetic, that the tests of what sees through models share."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datagen.records import Sample
from datagen.scoring.tools import Tools
from datagen.vision.interfaces import Encode
from tests.helpers.reward_cases import make_sample

DAMAGED = b"\x89PNG\r\n\x1a\nno picture"


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    """Encode pixels (H, W) or (H, W, channels) of 8 bits as PNG; `mode` converts the picture first."""
    picture = Image.fromarray(pixels)
    stream = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(stream, "PNG")
    return stream.getvalue()


def noise(seed: int, height: int = 24, width: int = 24) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def flat(tone: tuple[int, int, int], height: int = 24, width: int = 24) -> bytes:
    return png(np.full((height, width, 3), tone, np.uint8))


def slow_cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Work a cosine out by its definition, one product at a time."""
    top = math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return top / (math.sqrt(math.fsum(float(x) ** 2 for x in a)) * math.sqrt(math.fsum(float(y) ** 2 for y in b)))


def lookup(table: dict[bytes, Sequence[float]]) -> Encode:
    """An encoder that looks rows up, as they are."""
    return lambda images: np.array([table[image] for image in images], np.float32)


def candidates(*images: bytes | None) -> list[Sample]:
    """One sample of prompt `p` for each image."""
    return [
        Sample(f"p-{k:02d}", "p", k, k, "think", "e", "none", "stop", make_sample(image=image).segments)
        for k, image in enumerate(images)
    ]


def blind_tools(**given: object) -> Tools:
    """Tools whose detector and OCR must not be asked."""

    def refuse(image: bytes) -> list[str]:
        raise AssertionError("neither detector nor OCR is needed")

    return Tools(refuse, refuse, frozenset(), **given)  # type: ignore[arg-type]


def built(save: Callable[[Path], Path], folder: Path) -> str:
    """Save a tiny model once in a folder and return its path."""
    return str(folder if (folder / "config.json").exists() else save(folder))
