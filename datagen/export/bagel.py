"""Files that BAGEL's three formats share: parquet by number of repeats, and the files that describe it to BAGEL.

    {split}/{group}/x4/{split}-00000-of-00001.parquet     read four times in an epoch
    {split}.yaml              the groups for BAGEL's data config: `num_used_data` repeats the files of x4 four times
    {split}.json              the same datasets for `DATASET_INFO` of BAGEL's data/dataset_info.py
    {split}.parquet_info.json row groups and rows of each file, for interleaved data

Source: github.com/ByteDance-Seed/Bagel at 056b5fd, data/: a file list is repeated until `num_used_data` are named.

Weights become numbers of repeats, for trainers without weights that can read a file several times. A weight times
`copies` lies between two of the `buckets` (or 0 and the first) and is rounded to one of them by a hash of the example's
id, to the nearer one more often: the same in every export, and exactly the weight on average. Above the last bucket it
is cut. Each example is stored once, whatever its bucket.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from datagen.export.examples import Example, Part
from datagen.export.shards import SplitWriter
from datagen.records import hash_of

if TYPE_CHECKING:
    from datasets import Features


class Repeats(BaseModel):
    """Conversion of weights to repeats."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    copies: float = Field(4.0, gt=0, description="repeats for a weight of 1; a larger number rounds less")
    buckets: tuple[Annotated[int, Field(ge=1, strict=True)], ...] = Field(
        (1, 2, 4, 8, 16, 32), min_length=1, description="allowed numbers of repeats, in rising order"
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"`buckets` must rise, and do not: {list(self.buckets)}")
        return self

    def count(self, example: Example, parts: Sequence[Part]) -> int:
        """Return the number of repeats of an example by the weight of its learned parts: a bucket, or 0 to omit it."""
        wanted = min(self.copies * weight_of(parts), self.buckets[-1])
        steps = (0, *self.buckets)
        place = min(bisect_right(steps, wanted), len(steps) - 1)
        below, above = steps[place - 1], steps[place]
        # A hash in [0, 1) in place of a random number: the expected number of repeats is `wanted`.
        draw = int(hash_of("repeats", example.id), 16) / 2**64
        return above if draw < (wanted - below) / (above - below) else below


GROUP_BYTES = 4 * 1024 * 1024
"""Size of a row group; small, since many files are open at once."""
IMAGE_ARGS = {"image_stride": 16, "max_image_size": 1024, "min_image_size": 512}
VIT_ARGS = {"image_stride": 14, "max_image_size": 518, "min_image_size": 224}
"""Sizes of BAGEL's data/configs/example.yaml, for the encoder of generation (VAE) and that of understanding (ViT)."""


class BagelOptions(Repeats):
    """Conversion of weights to repeats, and the path of the folder for BAGEL."""

    root: str = Field("", description="path of the export's folder for BAGEL, such as /data/exports/t2i")


class BagelWriter:
    """The parquet files of one split by group and repeats; the end of a `with` block writes their descriptions."""

    def __init__(self, folder: Path, split: str, features: Features, root: str, interleaved: bool) -> None:
        self.rows = 0
        self._folder, self._split, self._features, self._root = folder, split, features, root
        self._interleaved = interleaved
        self._writers: dict[tuple[str, int], SplitWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        for writer in self._writers.values():
            writer.__exit__(kind)
        if kind is None:
            self._describe()

    def add(self, group: str, repeats: int, row: Mapping[str, Any], image_bytes: int) -> None:
        """Add a row that is read `repeats` times; 0 omits it."""
        if repeats == 0:
            return
        writer = self._writers.get((group, repeats))
        if writer is None:
            home = self._folder / self._split / group / f"x{repeats}"
            home.mkdir(parents=True)
            writer = SplitWriter(home, self._split, self._features, group_bytes=GROUP_BYTES)
            self._writers[group, repeats] = writer
        writer.add(dict(row), image_bytes)
        self.rows += 1

    def _describe(self) -> None:
        import pyarrow.parquet as pq

        config: dict[str, Any] = {}
        about: dict[str, Any] = {}
        known: dict[str, Any] = {}
        for (group, repeats), writer in sorted(self._writers.items()):
            home = f"{self._split}/{group}/x{repeats}"
            name = f"{self._split}_x{repeats}"
            each = config.setdefault(group, self._configure())
            each["dataset_names"].append(name)
            each["num_used_data"].append(repeats * writer.files)
            about.setdefault(group, {})[name] = {
                "data_dir": self._name(home),
                "num_files": writer.files,
                "num_total_samples": writer.rows,
            }
            if self._interleaved:
                about[group][name]["parquet_info_path"] = self._name(f"{self._split}.parquet_info.json")
            for path in sorted((self._folder / home).iterdir()):
                facts = pq.read_metadata(path)
                counts = {"num_row_groups": facts.num_row_groups, "num_rows": facts.num_rows}
                known[f"{self._name(home)}/{path.name}"] = counts
        self._write(f"{self._split}.yaml", yaml.safe_dump(config, sort_keys=False))
        self._write(f"{self._split}.json", json.dumps(about, indent=2))
        if self._interleaved:
            self._write(f"{self._split}.parquet_info.json", json.dumps(known, indent=2))

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text + "\n", encoding="utf-8")

    def _name(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}" if self._root else path

    def _configure(self) -> dict[str, Any]:
        sees = {"vit_image_transform_args": dict(VIT_ARGS)} if self._interleaved else {}
        transforms = {"image_transform_args": dict(IMAGE_ARGS), **sees}
        return {"dataset_names": [], **transforms, "is_mandatory": True, "num_used_data": [], "weight": 1.0}


def weight_of(parts: Sequence[Part]) -> float:
    """Return one weight for parts: the mean over modalities of the mean loss of learned parts; 0 if none is learned."""
    by_kind = [[part.loss for part in parts if part.kind == kind and part.learned] for kind in ("text", "image")]
    means = [sum(losses) / len(losses) for losses in by_kind if losses]
    return sum(means) / len(means) if means else 0.0
