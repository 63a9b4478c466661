"""WebDataset tars: the files of an example share a stem and stand next to each other, for reading in one go.

    {split}-000000.tar
      {split}-00000000.json     id, task, group, parts, rejected, facts; a part's image is the suffix of its file
      {split}-00000000.0.png    the images of the example, in order; .jpg or .webp as they are stored
      {split}-00000000.1.png

`layout: pair` has one image with its text, the texts before it, as open_clip and many trainers read; an image of weight
0, whose text alone is worth learning, is left out, since most of them read no weight:

      {split}-00000000.json     id, task, group, weight, facts
      {split}-00000000.txt
      {split}-00000000.png

No two examples of a dataset have the same stem, since Megatron Energon refuses those that do.

All examples of a tar have files of the same suffixes, and those with most files stand in the first tars: `load_dataset`
takes the columns of the first examples for all, and later ones that lack a file are null there. So it reads everything
if all images are of one kind (`images: {format: png}` in the recipe) and no other split has more of them; the
`webdataset` package reads any.

A tar is closed before it exceeds TAR_BYTES. Equal examples give equal bytes: tars have no times or owners.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.export.examples import Example
from datagen.export.files import join_parts, pack_example, pack_facts, pack_line, split_pair
from datagen.picture_files import name_ending

WEIGHTS = "parts"
LOSES = (
    "nothing; with `layout: pair` the loss on text and on the switch, and the borders between texts: one image an "
    "example, and none whose image has no weight"
)
TAR_BYTES = 256 * 1024 * 1024


class Options(BaseModel):
    """The files of an example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["parts", "pair"] = Field("parts", description="everything; or one image with its text as `.txt`")


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the examples of one split and return their number. With `pair`, raises RunError unless each ends in its
    only image.
    """
    list_files = _list_pair if options.layout == "pair" else _list_parts
    count = 0
    series: dict[tuple[str, ...], _Series] = {}
    with ExitStack() as closing:
        for example in examples:
            if not (files := list_files(example)):
                continue
            suffixes = tuple(suffix for suffix, _ in files)
            if suffixes not in series:
                series[suffixes] = closing.enter_context(_Series(folder, f".{split}-{len(series)}"))
            series[suffixes].add(
                b"".join(_pack_member(f"{split}-{count:08d}.{suffix}", content) for suffix, content in files)
            )
            count += 1
    widest = sorted(series, key=len, reverse=True)
    for number, path in enumerate(path for suffixes in widest for path in series[suffixes].paths):
        os.rename(path, folder / f"{split}-{number:06d}.tar")
    return count


class _Series:
    """Tars with files of the same suffixes, under passing names."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._tar: IO[bytes] | None = None
        self.paths: list[Path] = []

    def __enter__(self) -> _Series:
        return self

    def __exit__(self, *_: object) -> None:
        """End the last tar with two blocks of zeros."""
        if self._tar is not None:
            with self._tar:
                self._tar.write(bytes(2 * tarfile.BLOCKSIZE))

    def add(self, packed: bytes) -> None:
        """Write the members of an example, to a new tar if the last one would become too large."""
        if self._tar is None or self._tar.tell() + len(packed) > TAR_BYTES:
            self.__exit__()
            self.paths.append(self._folder / f"{self._name}-{len(self.paths):06d}.part")
            self._tar = self.paths[-1].open("wb")
        self._tar.write(packed)


def _list_parts(example: Example) -> list[tuple[str, bytes]]:
    """Return the files of an example by suffix, the description first."""
    images: list[tuple[str, bytes]] = []

    def put(image: bytes) -> str:
        images.append((f"{len(images)}.{name_ending(image)}", image))
        return images[-1][0]

    return [("json", pack_line(example.id, pack_example(example, put)).encode()), *images]


def _list_pair(example: Example) -> list[tuple[str, bytes]]:
    """Return the description, the text and the image of an example by suffix; nothing if the image has no weight."""
    before, last = split_pair(example, "webdataset")
    if not last.learned:
        return []
    about = {"id": example.id, "task": example.task, "group": example.group}
    line = pack_line(example.id, {**about, "weight": float(last.loss), "facts": pack_facts(example)})
    return [("json", line.encode()), ("txt", join_parts(before).encode()), (name_ending(last.image), last.image)]


def _pack_member(name: str, content: bytes) -> bytes:
    """Return a file as a tar member: a header, the content, zeros up to the next block."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)
