"""WebDataset tars: the files of an example share a stem and stand next to each other, for reading in one go.

    {split}-000000.tar
      00000000.json      id, task, group, parts, rejected, facts; a part's image is the suffix of its file
      00000000.0.png     the images of the example, in order; .jpg or .webp as they are stored
      00000000.1.png

A tar is closed before it exceeds TAR_BYTES. Equal examples give equal bytes: tars have no times or owners.
`load_dataset` needs equally many images of the same kinds in the first five examples of a tar; the `webdataset` package
reads any.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from datagen.export.examples import Example, NoOptions
from datagen.export.files import pack_example, pack_line
from datagen.picture_files import name_ending

Options = NoOptions
WEIGHTS = "parts"
LOSES = ""
TAR_BYTES = 256 * 1024 * 1024


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the examples of one split and return their number."""
    count = tars = 0
    tar: IO[bytes] | None = None
    try:
        for example in examples:
            packed = b"".join(
                _pack_member(f"{count:08d}.{ending}", content) for ending, content in _list_files(example)
            )
            if tar is None or tar.tell() + len(packed) > TAR_BYTES:
                _close(tar)
                tar = (folder / f"{split}-{tars:06d}.tar").open("wb")
                tars += 1
            tar.write(packed)
            count += 1
    finally:
        _close(tar)
    return count


def _list_files(example: Example) -> list[tuple[str, bytes]]:
    """Return the files of an example by suffix, the description first."""
    images: dict[bytes, str] = {}
    line = pack_example(example, lambda image: images.setdefault(image, f"{len(images)}.{name_ending(image)}"))
    described = pack_line(example.id, line).encode()
    return [("json", described), *((ending, image) for image, ending in images.items())]


def _pack_member(name: str, content: bytes) -> bytes:
    """Return a file as a tar member: a header, the content, zeros up to the next block."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def _close(tar: IO[bytes] | None) -> None:
    """End a tar with two blocks of zeros."""
    if tar is not None:
        with tar:
            tar.write(bytes(2 * tarfile.BLOCKSIZE))
