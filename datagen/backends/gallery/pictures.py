"""Reads a gallery: the dataset of a run, or a folder of images with captions in `metadata.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datagen.errors import BackendError
from datagen.pictures import PictureError, to_png

CAPTIONS = ("text", "caption", "prompt")
"""Keys under which a line of metadata.jsonl has the caption, as ImageFolder datasets name it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a gallery: its name there, what it shows in words, and PNG bytes."""

    name: str
    caption: str
    image: bytes


def normalize(text: str) -> str:
    """Return a text as captions are compared: without case and spacing."""
    return " ".join(text.casefold().split())


def read_gallery(folder: Path, most: int) -> list[Picture]:
    """Return up to `most` pictures in order, the first of each caption.

    Of a run's dataset, samples whose claims were found to fail are left out: their caption does not hold. Raises
    BackendError where there is no gallery, a picture is damaged, or there are fewer than two captions.
    """
    hint = "`images:` is the dataset/ of a run, or a folder with images and metadata.jsonl"
    if not folder.is_dir():
        raise BackendError(
            "there is no gallery", where=str(folder), hint=f"{hint}; `datagen build quickstart` makes one"
        )
    found: dict[str, Picture] = {}
    try:
        for picture in _read_dataset(folder) if (folder / "data").is_dir() else _read_folder(folder):
            found.setdefault(normalize(picture.caption), picture)
            if len(found) >= most:
                break
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BackendError(f"the gallery cannot be read: {error}", where=str(folder), hint=hint) from error
    if len(found) < 2:
        what = f"the gallery has {len(found)} caption{'s' if len(found) != 1 else ''}, and a prior needs several"
        raise BackendError(what, where=str(folder), hint=hint)
    return list(found.values())


def _read_dataset(folder: Path) -> Iterator[Picture]:
    import pyarrow.parquet as pq

    columns = ["id", "prompt", "images", "passed"]
    for path in sorted((folder / "data").glob("*.parquet")):
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(64, columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    if row["passed"] is not False and row["images"]:
                        yield Picture(row["id"], row["prompt"], _see(row["images"][-1]["bytes"], row["id"]))


def _read_folder(folder: Path) -> Iterator[Picture]:
    with (folder / "metadata.jsonl").open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            row = json.loads(line)
            caption = next((row[key] for key in CAPTIONS if row.get(key)), None)
            if caption is None:
                raise ValueError(f"metadata.jsonl:{number} has no {', '.join(CAPTIONS)}")
            yield Picture(row["file_name"], caption, _see((folder / row["file_name"]).read_bytes(), row["file_name"]))


def _see(image: bytes, name: str) -> bytes:
    """Return a picture as it is stored. Raises ValueError with its name for one that cannot be seen."""
    try:
        return to_png(image)
    except PictureError as error:
        raise ValueError(f"{name}: {error}") from error
