"""Parts of a picture that hang together, which the detector `learned` looks at one by one; and its network.

A part is what differs from the ground, the commonest colour of the picture, and hangs together. It is cut out, laid on
the bare ground, and stretched to `SIDE` pixels a side; with its size and which borders it touches the network says what
it is (`NAMES`), in which colour (`TONES`), and where the box of the whole thing lies. It knows nothing of shapes,
colours and backgrounds but what it was shown: `python -m datagen.workshop detector`.

Not covered: things in each other's ink, which are one part and have no name.
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
"""Pixels a side of a part as the network sees it."""
SOMETHING = "?"
NAMES: tuple[str, ...] = (*SHAPES, *string.ascii_uppercase, SOMETHING)
"""Classes of a part. `SOMETHING` is what is none of the others, or is not whole, or is several things."""
MIXED = ""
TONES: tuple[str, ...] = (*COLORS, MIXED)
"""Colours of a part; the last is that of a thing in several."""
LEAST_PX = 20
"""Pixels that hang together and are a part."""
_BIN = 24
"""Width of the bins, in 8-bit levels, in which the commonest colour is looked for."""
_NEAR = 45.0
"""A pixel this near (Euclidean, 8-bit RGB) to the commonest colour has a say in what the ground is."""
_STRANGE = 36.0
"""A pixel further from the ground than this is no ground, unless the ground itself is noisy."""
_NOISE = 2.0
"""Nor is one that is further than so many times the usual distance of ground from its mean."""
_SHARE_OF_PEAK = 0.4
"""Two things whose blur meets are parted where the distance from the ground is below this share of their own."""
_AROUND = 0.15
"""Ground that is seen around a part, as a share of its longer side."""
_PAD = 24
"""Pixels of bare ground laid around a picture, so that a part at the border has ground around it too."""
EXTRAS = 7
"""Numbers that the network is given of a part beside its pixels: side, breadth, height, and four borders touched."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part: rows and columns of its box in the picture, which of these pixels it is, and what the network is given.

    `square` is the middle (x, y) and the side in pixels of the square that was cut out.
    """

    place: tuple[slice, slice]
    inside: np.ndarray
    pixels: np.ndarray
    extras: np.ndarray
    square: tuple[float, float, float]


def find_ground(rgb: np.ndarray) -> np.ndarray:
    """Return the commonest colour (3,) of a picture (H, W, 3) float32, 0..255."""
    pixels = rgb[::2, ::2].reshape(-1, 3)  # a quarter of them says as much
    red, green, blue = (pixels * (1 / _BIN)).astype(np.int32).T
    bins = red + 16 * green + 256 * blue
    ground = pixels[bins == np.bincount(bins).argmax()].mean(0)
    for _ in range(2):
        ground = pixels[_measure_distance(pixels, ground) < _NEAR].mean(0)
    found: np.ndarray = ground
    return found


def _measure_distance(pixels: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Return how far pixels (..., 3) are from the ground (Euclidean)."""
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
    """Yield box and mask of what hangs together; where blur joins two, each by itself, and what then is left over."""
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
    """Return a part cut out and stretched: its own pixels, and those next to them, on the bare ground."""
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
    """Pixels (B, SIDE, SIDE, 3), differences from the ground in 128 levels, and extras (B, EXTRAS) of parts.

    To logits of `NAMES` (B, 39) and of `TONES` (B, 11), and boxes (B, 4): x1, y1, x2, y2 from the middle of the part's
    square, in its sides.
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
        """Return the scores of names and tones and the boxes of parts, as `stack` gives them."""
        says = self.head(self.look(torch.cat((pixels.flatten(1), extras), 1)))
        names, tones, boxes = says.split((len(NAMES), len(TONES), 4), dim=-1)
        return names, tones, boxes


def stack(parts: Sequence[Part]) -> tuple[Tensor, Tensor]:
    """Return what the network is given of parts: pixels (B, SIDE, SIDE, 3) and extras (B, EXTRAS)."""
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
    """Read weights, ready for use; raises OSError, SafetensorError or RuntimeError on a missing or damaged file."""
    from safetensors.torch import load_file

    net = PartNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(str(path)).items()})
    return net.eval()
