"""Files that BAGEL's three formats share: equal shards in which each example stands as often as it weighs.

    {split}/{group}/{split}-00000-of-00064.parquet    one shard for each reader, with equal numbers of rows
    {split}.yaml              the groups for BAGEL's data config, with their weights
    {split}.json              the same data sets for `DATASET_INFO` of BAGEL's data/dataset_info.py
    {split}.parquet_info.json row groups and rows of each file, for interleaved data

BAGEL has no weights, so an example of weight w is stored w x `copies` times. BAGEL deals whole files (row groups, for
interleaved data) in equal numbers to its readers, GPUs x workers, drops the rest, and each reader goes round its own
for ever. So all files and row groups of a group have equal numbers of rows and nearly the same mix of weights: whatever
a reader receives, it reads by weight. Nothing is dropped if the readers divide `readers`; with more readers than that,
BAGEL waits for ever.

The copies are drawn systematically (`export.copies`), which needs all weights first: rows are collected in a temporary
file, 16 bytes each in memory.

Source: github.com/ByteDance-Seed/Bagel at 056b5fd, data/distributed_iterable_dataset.py and data/dataset_base.py.
"""

from __future__ import annotations

import json
import math
import pickle
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import yaml
from pydantic import Field

from datagen.export.copies import CopiesOptions, draw_copies
from datagen.export.shards import TableMaker, open_parquet, sync_file, turn_rows
from datagen.records import seed_of

if TYPE_CHECKING:
    from datasets import Features

GROUP_BYTES = 4 * 1024 * 1024
"""Size of a row group, about: a reader has one in memory."""
IMAGE_ARGS = {"image_stride": 16, "max_image_size": 1024, "min_image_size": 512}
"""Sizes of BAGEL's data/configs/example.yaml for the encoder of generation (VAE)."""


class BagelOptions(CopiesOptions):
    """The readers, the copies of an example, and the path of the folder for BAGEL."""

    readers: int = Field(
        64, ge=1, le=65536, strict=True, description="GPUs x workers of each, or a multiple: BAGEL hangs with more"
    )


class BagelWriter:
    """The shards of one split by group; the end of a `with` block writes them and their descriptions.

    `vit` are the sizes for the encoder of understanding (ViT), None for data without one, which is not interleaved.
    """

    def __init__(
        self, folder: Path, split: str, features: Features, options: BagelOptions, vit: Mapping[str, int] | None = None
    ) -> None:
        self.rows = 0
        self._folder, self._split, self._options, self._vit = folder, split, options, vit
        self._maker, self._schema = TableMaker(features.arrow_schema), features.arrow_schema
        self._groups: dict[str, _Collected] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            for group in self._groups.values():
                group.close()

    def add(self, group: str, weight: float, row: Mapping[str, Any], image_bytes: int) -> None:
        """Add a row that is read in proportion to its weight; 0 omits it."""
        if weight > 0:
            if group not in self._groups:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._groups[group] = _Collected(self._folder)
            self._groups[group].add(row, weight, image_bytes)

    def _finish(self) -> None:
        config: dict[str, Any] = {}
        about: dict[str, Any] = {}
        known: dict[str, Any] = {}
        for name, group in sorted(self._groups.items()):
            home = f"{self._split}/{name}"
            groups, height = group.measure(self._options)
            picks = group.draw(self._options.readers * groups * height)
            self._write_shards(home, group, picks, groups)
            self.rows += len({*picks})
            config[name] = self._configure(group.total)
            about[name] = {self._split: self._locate(home, len(picks))}
            counts = {"num_row_groups": groups, "num_rows": groups * height}
            known |= {self._options.name(f"{home}/{self._shard(k)}"): counts for k in range(self._options.readers)}
        readers = (
            f"# For at most {self._options.readers} readers (GPUs x workers); with one of its divisors, all is read.\n"
        )
        self._write(f"{self._split}.yaml", readers + yaml.safe_dump(config, sort_keys=False))
        self._write(f"{self._split}.json", json.dumps(about, indent=2))
        if self._vit:
            self._write(f"{self._split}.parquet_info.json", json.dumps(known, indent=2))

    def _write_shards(self, home: str, group: _Collected, picks: Sequence[int], groups: int) -> None:
        import pyarrow as pa

        (self._folder / home).mkdir(parents=True)
        units = self._options.readers * groups
        for shard in range(self._options.readers):
            path = self._folder / home / self._shard(shard)
            with pa.OSFile(str(path), "wb") as file, open_parquet(file, self._schema) as parquet:
                for unit in range(shard, units, self._options.readers):
                    mine = [*picks[unit::units]]
                    Random(seed_of(0, home, unit)).shuffle(mine)  # BAGEL reads the rows of a group in order
                    parquet.write_table(self._maker.make(turn_rows([group.read(k) for k in mine])))
            sync_file(path)

    def _shard(self, number: int) -> str:
        return f"{self._split}-{number:05d}-of-{self._options.readers:05d}.parquet"

    def _locate(self, home: str, rows: int) -> dict[str, Any]:
        info = {"parquet_info_path": self._options.name(f"{self._split}.parquet_info.json")} if self._vit else {}
        return {
            "data_dir": self._options.name(home),
            "num_files": self._options.readers,
            "num_total_samples": rows,
            **info,
        }

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text + "\n", encoding="utf-8")

    def _configure(self, weight: float) -> dict[str, Any]:
        # A mandatory group is read once more in every batch, which no weight can balance.
        sees = {"vit_image_transform_args": dict(self._vit)} if self._vit else {}
        return {
            "dataset_names": [self._split],
            "image_transform_args": dict(IMAGE_ARGS),
            **sees,
            "is_mandatory": False,
            "num_used_data": [self._options.readers],
            "weight": weight,
        }


class _Collected:
    """The rows of a group in a temporary file, and their weights."""

    def __init__(self, folder: Path) -> None:
        self._spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._weights, self._places = array("d"), array("Q")
        self._bytes = 0.0

    def add(self, row: Mapping[str, Any], weight: float, image_bytes: int) -> None:
        self._weights.append(weight)
        self._places.append(self._spool.tell())
        self._bytes += weight * image_bytes
        pickle.dump(dict(row), self._spool)

    def read(self, number: int) -> dict[str, Any]:
        self._spool.seek(self._places[number])
        row: dict[str, Any] = pickle.load(self._spool)
        return row

    def close(self) -> None:
        self._spool.close()

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return math.fsum(self._weights)

    def measure(self, options: BagelOptions) -> tuple[int, int]:
        """Return the row groups of a shard and the rows of each; all together at least `copies` x the weights."""
        groups = max(1, math.ceil(options.copies * self._bytes / options.readers / GROUP_BYTES))
        return groups, max(1, math.ceil(options.copies * self.total / options.readers / groups))

    def draw(self, count: int) -> array[int]:
        """Return the row of each of `count` copies, of rising weight."""
        return draw_copies(self._weights, count)
