"""Connected parts of a picture, which the detector `learned` classifies one by one, and its network.

A part is a connected region that differs from the ground, the commonest colour of the picture. It is cropped on bare
ground and scaled to `SIDE` pixels. From these pixels, the part's size and the borders it touches, the network predicts
its name (`NAMES`), its colour (`TONES`), and the box of the whole object. All it knows of shapes, colours and
backgrounds comes from training: `python -m datagen.workshop detector`.

Not covered: overlapping objects, which are one part and have no name.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from datagen.embedded.pictograms import COLORS, IMAGE_PX, SHAPES

SIDE = 24
"""Side in pixels of a part as input of the network."""
SOMETHING = "?"
NAMES: tuple[str, ...] = (*SHAPES, *string.ascii_uppercase, SOMETHING)
"""Classes of a part. `SOMETHING` is none of the others, incomplete, or several objects."""
MIXED = ""
TONES: tuple[str, ...] = (*COLORS, MIXED)
"""Colours of a part; the last is that of an object in several."""
LEAST_PX = 20
"""Least number of connected pixels of a part."""
_BIN = 24
"""Width of the histogram bins of the commonest colour, in 8-bit levels."""
_NEAR = 45.0
"""Largest distance (Euclidean, 8-bit RGB) from the commonest colour of pixels that the ground is averaged over."""
_STRANGE = 36.0
"""Least distance from the ground of pixels of a part, unless the ground is noisy."""
_NOISE = 2.0
"""The same for noisy ground, in multiples of the ground's own deviation."""
_SHARE_OF_PEAK = 0.4
"""Objects joined by blur are split where the distance from the ground is below this share of theirs."""
_AROUND = 0.15
"""Margin of ground around a part, as a share of its longer side."""
_PAD = 24
"""Pixels of bare ground around a picture, so that a part at the border has a margin too."""
EXTRAS = 7
"""Inputs of the network beside the pixels of a part: side, width, height, and the four borders it may touch."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part: rows and columns of its box in the picture, its mask in the box, and the inputs of the network.

    `square` is the centre (x, y) and the side in pixels of the cropped square.
    """

    place: tuple[slice, slice]
    inside: np.ndarray
    pixels: np.ndarray
    extras: np.ndarray
    square: tuple[float, float, float]


def find_ground(rgb: np.ndarray) -> np.ndarray:
    """Return the commonest colour (3,) of a picture (H, W, 3) float32, 0..255."""
    pixels = rgb[::2, ::2].reshape(-1, 3)  # a quarter of the pixels is enough
    red, green, blue = (pixels * (1 / _BIN)).astype(np.int32).T
    bins = red + 16 * green + 256 * blue
    ground = pixels[bins == np.bincount(bins).argmax()].mean(0)
    for _ in range(2):  # a bin may cut the ground's colours in two; the mean of what is near moves to their middle
        ground = pixels[_measure_distance(pixels, ground) < _NEAR].mean(0)
    found: np.ndarray = ground
    return found


def _measure_distance(pixels: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance of pixels (..., 3) from the ground."""
    offset = pixels - ground
    distance: np.ndarray = np.sqrt(np.einsum("...k,...k->...", offset, offset))
    return distance


def cut_parts(rgb: np.ndarray) -> list[Part]:
    """Return the parts of a picture (IMAGE_PX, IMAGE_PX, 3) float32, 0..255."""
    ground = find_ground(rgb)
    distance = _measure_distance(rgb, ground)
    usual = distance[distance < _NEAR]
    limit = max(_STRANGE, _NOISE * float(np.sqrt((usual**2).mean())) if len(usual) else 0.0)
    padded = np.empty((IMAGE_PX + 2 * _PAD, IMAGE_PX + 2 * _PAD, 3), np.float32)
    padded[:] = ground
    padded[_PAD:-_PAD, _PAD:-_PAD] = rgb
    return [_cut(padded, ground, place, inside) for place, inside in _find_masks(distance, limit)]


def _find_masks(distance: np.ndarray, limit: float) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yield box and mask of connected regions; a region joined by blur is split, and its remainder yielded too."""
    for place, mask in _label(distance > limit):
        inside = np.sort(distance[place][mask])
        peak = float(inside[int(0.9 * len(inside))])
        core = mask & (distance[place] > max(limit, _SHARE_OF_PEAK * peak))
        rest = mask & ~ndimage.maximum_filter(core, 5)
        for piece in (core, rest) if rest.sum() >= LEAST_PX else (core,):
            for (rows, columns), own in _label(piece):
                top, left = place[0].start, place[1].start
                yield (
                    (slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop)),
                    own,
                )


def _label(mask: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    blobs, many = ndimage.label(mask, structure=np.ones((3, 3)))
    for number, place in enumerate(ndimage.find_objects(blobs, many), 1):
        own = blobs[place] == number
        if own.sum() >= LEAST_PX:
            yield place, own


def _cut(padded: np.ndarray, ground: np.ndarray, place: tuple[slice, slice], inside: np.ndarray) -> Part:
    """Return a cropped and scaled part: its own pixels and those next to them, on bare ground."""
    rows, columns = place
    height, width = inside.shape
    side = max(height, width) * (1 + 2 * _AROUND) + 2
    x, y = (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2
    edge = int(side / 2) + 2
    top, left = (round(at) + _PAD - edge for at in (y, x))
    window = slice(max(0, top), top + 2 * edge), slice(max(0, left), left + 2 * edge)
    seen = padded[window]
    own = np.zeros(seen.shape[:2], bool)
    y1, x1 = rows.start + _PAD - window[0].start, columns.start + _PAD - window[1].start
    own[y1 : y1 + height, x1 : x1 + width] = inside
    shown = ndimage.maximum_filter(own, 3)
    cutout = np.where(shown[..., None], seen, ground).astype(np.uint8)
    corner = x + _PAD - side / 2 - window[1].start, y + _PAD - side / 2 - window[0].start
    size = cutout.shape[1], cutout.shape[0]
    box = (max(0.0, corner[0]), max(0.0, corner[1]), min(size[0], corner[0] + side), min(size[1], corner[1] + side))
    small = np.asarray(Image.fromarray(cutout).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box), np.float32)
    borders = rows.start == 0, columns.start == 0, rows.stop == IMAGE_PX, columns.stop == IMAGE_PX
    extras = np.array([side / 48, width / side, height / side, *borders], np.float32)
    return Part(place, inside, (small - ground) / 128, extras, (x, y, side))


class PartNet(nn.Module):
    """The network: pixels (B, SIDE, SIDE, 3), as differences from the ground / 128, and extras (B, EXTRAS) of parts.

    Returns logits of `NAMES` (B, 39) and of `TONES` (B, 11), and boxes (B, 4): x1, y1, x2, y2 from the centre of the
    part's square, in units of its side.
    """

    def __init__(self, width: int = 192, depth: int = 96) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Linear(SIDE * SIDE * 3 + EXTRAS, width),
            nn.GELU(),
            nn.LayerNorm(width),
            nn.Linear(width, depth),
            nn.GELU(),
            nn.LayerNorm(depth),
        )
        self.head = nn.Linear(depth, len(NAMES) + len(TONES) + 4)

    def forward(self, pixels: Tensor, extras: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of names and tones and the boxes of parts; `stack` makes the inputs."""
        says = self.head(self.look(torch.cat((pixels.flatten(1), extras), 1)))
        names, tones, boxes = says.split((len(NAMES), len(TONES), 4), dim=-1)
        return names, tones, boxes


def stack(parts: Sequence[Part]) -> tuple[Tensor, Tensor]:
    """Return the inputs of the network: pixels (B, SIDE, SIDE, 3) and extras (B, EXTRAS)."""
    return (
        torch.from_numpy(np.stack([part.pixels for part in parts])),
        torch.from_numpy(np.stack([part.extras for part in parts])),
    )


def save_net(net: PartNet, path: Path) -> None:
    """Write the weights as float16."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}, str(path))


def load_net(path: Path) -> PartNet:
    """Load the network in eval mode. Raises OSError, SafetensorError or RuntimeError for a missing or damaged file."""
    from safetensors.torch import load_file

    net = PartNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(str(path)).items()})
    return net.eval()
