"""What it costs to prove pictures on their way in, and to give the pages of files check sums.

    python benchmarks/pictures.py [--sides 96 512 1024] [--json FILE]

`door` is `normalise` of a PNG that stays as it is, against what Pillow takes to decode it, as each scorer does anyway,
and to encode it, as each model does that draws; `structure` is what the export looks at. `written` and `read` are a
shard of 64 such pictures as parquet with check sums against the same without; `read / decode` sets reading it with
them against decoding its pictures. All are ratios of processor time, the median over turns in which the two change
places. Pictures are soft waves with grain, which compress by about 1.7.

The second table is a JPEG of quality 90 as a server sends it, stored in each format that a recipe may name: bytes
against those of the JPEG, and time of storing against decoding the JPEG.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from datagen.console import print_table
from datagen.pictures import Store, check_image, normalise

TURNS = 9
SHARD = 64


def draw_pixels(side_px: int, seed: int) -> np.ndarray:
    """Return (side_px, side_px, 3) uint8."""
    waves = np.linspace(0, 6, side_px)
    soft = 127 + 60 * np.sin(waves)[:, None, None] + 40 * np.cos(np.stack([waves, 2 * waves, 3 * waves], -1))[None]
    grain = np.random.default_rng(seed).normal(0, 4, (side_px, side_px, 3))
    return (soft + grain).clip(0, 255).astype(np.uint8)


def encode(pixels: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def take_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(ours: Callable[[], Any], other: Callable[[], Any]) -> float:
    """Return the processor time of one against another."""
    ratios = []
    for turn in range(TURNS):
        first, second = (ours, other) if turn % 2 else (other, ours)
        taken = take_seconds(first), take_seconds(second)
        ratios.append(taken[0] / taken[1] if turn % 2 else taken[1] / taken[0])
    return statistics.median(ratios)


def write(table: pa.Table, checked: bool) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=False, write_page_checksum=checked)
    return buffer.getvalue()


def read(content: bytes, checked: bool) -> pa.Table:
    with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=checked) as file:
        return file.read(use_threads=False)


def measure(side_px: int) -> dict[str, Any]:
    """Return the ratios for pictures of one size."""
    pixels = draw_pixels(side_px, 0)
    image = encode(pixels)
    many = range(max(1, 512 // side_px) ** 2)
    images = [encode(draw_pixels(side_px, k)) for k in range(SHARD)]
    table = pa.table({"image": images})
    plain, checked = write(table, False), write(table, True)
    return {
        "px": side_px,
        "KiB": len(image) / 1024,
        "door / decode": compare(
            lambda: [normalise(image) for _ in many], lambda: [Image.open(io.BytesIO(image)).load() for _ in many]
        ),
        "door / encode": compare(lambda: [normalise(image) for _ in many], lambda: [encode(pixels) for _ in many]),
        "structure / decode": compare(
            lambda: [check_image(image, "") for _ in many], lambda: [Image.open(io.BytesIO(image)).load() for _ in many]
        ),
        "written": compare(lambda: write(table, True), lambda: write(table, False)),
        "read": compare(lambda: read(checked, True), lambda: read(checked, False)),
        "read / decode": compare(
            lambda: read(checked, True), lambda: [Image.open(io.BytesIO(each)).load() for each in images]
        ),
        "bytes more, a picture": (len(checked) - len(plain)) / SHARD,
    }


STORED: dict[str, tuple[Store, int | None]] = {
    "keep": ("keep", None),
    "png": ("png", None),
    "webp": ("webp", None),
    "webp, quality 90": ("webp", 90),
}


def measure_formats(side_px: int) -> list[dict[str, Any]]:
    """Return bytes and time of a JPEG stored in each format, as ratios."""
    sent = encode(draw_pixels(side_px, 0), "JPEG", quality=90)
    rows = []
    for name, (store, quality) in STORED.items():
        stored = normalise(sent, store, quality)
        taken = compare(partial(normalise, sent, store, quality), lambda: Image.open(io.BytesIO(sent)).load())
        row = {"px": side_px, "images": name, "KiB": len(stored) / 1024, "bytes / JPEG": len(stored) / len(sent)}
        rows.append({**row, "store / decode": taken})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[96, 512, 1024])
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = {
        "pictures": [measure(side_px) for side_px in options.sides],
        "formats": [row for side_px in options.sides for row in measure_formats(side_px)],
    }
    for name, rows in found.items():
        show = [[f"{value:,.3g}" if isinstance(value, float) else value for value in row.values()] for row in rows]
        print_table(list(rows[0]), show, name)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
