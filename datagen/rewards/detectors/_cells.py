"""The network of the detector `learned`: for each cell of the canvas, what has its upper left corner there.

Two stages: pixels of a cell to features, then the features of the 3 x 3 cells to the right and below to one of
`STARTS` (nothing, a pictogram in a box of two or three cells, a letter) and one of the ten colours. The largest thing
is three cells wide, so a cell sees all of what may start in it. It knows nothing of shapes but what it was shown:
`python -m datagen.training detector`.

Not covered: things that do not stand on the grid of cells; a second look at what starts near by.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from torch import Tensor, nn

from datagen.pictograms import CELL_PX, COLORS, GRID, SHAPES

SIDES = (2, 3)
"""Cells a side of a pictogram's box."""
SEEN = max(SIDES)
"""Cells to the right and below that decide what starts in a cell, its own included."""
Start = tuple[str, int, int]
"""What may start in a cell: a name (of a shape, or a capital letter) and the cells of its box, across and down."""
STARTS: tuple[Start, ...] = (
    ("", 1, 1),
    *((kind, side, side) for kind in SHAPES for side in SIDES),
    *((letter, 1, 2) for letter in string.ascii_uppercase),
)
"""Classes of a cell; number 0 is nothing."""
TONES = tuple(COLORS)


class CellNet(nn.Module):
    """Pictures (B, 96, 96, 3) in [-1, 1] to logits of `STARTS` (B, 36, 51) and of `TONES` (B, 36, 10)."""

    def __init__(self, looks: int = 192, features: int = 96, width: int = 192) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Linear(CELL_PX * CELL_PX * 3, looks), nn.GELU(), nn.Linear(looks, features), nn.LayerNorm(features)
        )
        self.join = nn.Sequential(nn.Linear(SEEN * SEEN * features, width), nn.GELU())
        self.head = nn.Linear(width, len(STARTS) + len(TONES))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        batch = len(pictures)
        cells = pictures.reshape(batch, GRID, CELL_PX, GRID, CELL_PX, 3).permute(0, 1, 3, 2, 4, 5)
        seen = self.look(cells.reshape(batch, GRID, GRID, -1))
        beyond = SEEN - 1
        padded = nn.functional.pad(seen, (0, 0, 0, beyond, 0, beyond))
        around = [padded[:, y : y + GRID, x : x + GRID] for y in range(SEEN) for x in range(SEEN)]
        logits = self.head(self.join(torch.cat(around, dim=-1))).flatten(1, 2)
        starts, tones = logits.split((len(STARTS), len(TONES)), dim=-1)
        return starts, tones


def save_net(net: CellNet, path: Path) -> None:
    """Write the weights as float16."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}, str(path))


def load_net(path: Path) -> CellNet:
    """Read weights, ready for use; raises OSError, SafetensorError or RuntimeError on a missing or damaged file."""
    from safetensors.torch import load_file

    net = CellNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(str(path)).items()})
    return net.eval()
