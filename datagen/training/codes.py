"""Image tokens of true scenes, remembered by what a cell holds."""

from __future__ import annotations

import torch

from datagen.backends.embedded.codec import ImageCodec
from datagen.pictograms import GRID, Item, Scene, draw_scene


class CodeTable:
    """Image tokens of true scenes, remembered by what a cell holds: the encoder looks at one cell at a time."""

    def __init__(self, codec: ImageCodec) -> None:
        self._codec = codec.eval()
        self._known: dict[tuple[object, ...], int] = {}

    def codes(self, scene: Scene) -> list[int]:
        """Return the 36 codes of a scene's true picture."""
        keys: list[tuple[object, ...]] = [(scene.background,)] * (GRID * GRID)
        for item in scene.items:
            for y in range(item.y1, item.y2):
                for x in range(item.x1, item.x2):
                    keys[y * GRID + x] = (scene.background, *_part(item, x - item.x1, y - item.y1))
        if any(key not in self._known for key in keys):
            picture = torch.from_numpy(draw_scene(scene)).float()[None] / 127.5 - 1
            with torch.no_grad():
                self._known.update(zip(keys, self._codec.encode(picture)[0].tolist(), strict=True))
        return [self._known[key] for key in keys]


def _part(item: Item, x: int, y: int) -> tuple[object, ...]:
    if item.kind == "text":
        return item.color, "text", item.word[x], y
    return item.color, item.kind, item.x2 - item.x1, x, y
