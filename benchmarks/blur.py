"""How small a blur the scorer `sharpness` sees, by the side to which it reduces a picture.

    python benchmarks/blur.py [--paintings 16] [--side 1024] [--json FILE]

Paintings with waves and discs (`datagen.audit.painting`) are rendered sharp and through lenses of several widths. A
cell is the probability that a sharp one gets a higher value than a blurred one, over all pairs of paintings: 0.5 is
blind, 1 sees it always. Widths are standard deviations in shares of the side: 0.1 % of 1024 px is one pixel.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.audit.calibration import auc_of  # noqa: E402
from datagen.audit.painting import Painting, render_painting  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.pictures import encode_png  # noqa: E402
from datagen.rewards.pixels.sharpness import HALF  # noqa: E402
from datagen.vision.pixels import laplacian_variance, read_reduced, to_luma  # noqa: E402

BLURS = (0.0, 0.0005, 0.001, 0.002, 0.004, 0.008)
SIDES_PX = (96, 256, 512, 1024)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paintings", type=int, default=16)
    parser.add_argument("--side", type=int, default=1024, help="of the paintings, in px")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    measured: dict[tuple[int, float], list[float]] = {}
    for seed in range(asked.paintings):
        contrast = random.Random(seed).uniform(0.5, 1)
        for blur in BLURS:
            image = encode_png(render_painting(Painting(seed, rich=True, blur=blur, contrast=contrast), asked.side))
            for side in SIDES_PX:
                variance = laplacian_variance(to_luma(read_reduced(image, side))) or 0.0
                value = variance / (variance + HALF)
                measured.setdefault((side, blur), []).append(value)
    rows = []
    for side in SIDES_PX:
        sharp = measured[side, 0.0]
        row: dict[str, float | str | None] = {"reduced to": f"{side} px"}
        row["mean value, sharp"] = fmean(sharp)
        for blur in BLURS[1:]:
            pairs = [(each, True) for each in sharp] + [(each, False) for each in measured[side, blur]]
            row[f"{blur:.2%}"] = auc_of(pairs)
        rows.append(row)
    print_table(list(rows[0]), [list(row.values()) for row in rows], "sharp or blurred")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
