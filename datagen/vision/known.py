"""Pictures that a model must not be trained on, such as those of a benchmark that will measure it.

    contamination_images: [benchmarks/pictures]

A place is a picture, or a folder: all pictures in it, and all in the columns of its parquet files, as `datasets` writes
them. A picture is refused if it differs by at most `NEAR` from one of them by the perceptual hash
(`datagen.vision.perceptual`), which the same picture stored with loss, in another size or darker does. Each picture
is compared with all, 96 bytes for each.

Not covered: parts of a picture, mirrored ones; addresses (`datagen pull`, or download the data set first).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from datagen.errors import ConfigError
from datagen.picture_files import PictureError
from datagen.pictures import normalise
from datagen.vision.perceptual import NEAR, PACKED_BYTES, hash_image, measure_differences, pack_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
ROWS = 64
"""Rows of a parquet file in memory at a time."""


@dataclass(frozen=True, slots=True)
class KnownPictures:
    """The packed hashes (n, 96) of some pictures, and where each of them is."""

    hashes: NDArray[np.uint8]
    places: Sequence[str]

    @classmethod
    def from_places(cls, places: Sequence[str]) -> Self:
        """Read the pictures of files and folders. Raises ConfigError for a place without one, or one unread."""
        import numpy as np

        named: list[str] = []
        made: list[NDArray[np.uint8]] = []
        for place in places:
            before = len(made)
            for name, content in _list_pictures(Path(place)):
                try:
                    made.append(pack_hash(hash_image(normalise(content))))
                except (PictureError, OSError) as error:
                    raise ConfigError(
                        f"cannot be read: {error}", where=name, hint="remove it, or convert it"
                    ) from error
                named.append(name)
            if len(made) == before:
                hint = f"name a picture ({', '.join(SUFFIXES)}), or a folder with pictures or parquet files"
                raise ConfigError("there is no picture", where=place, hint=hint)
        return cls(np.array(made, np.uint8).reshape(-1, PACKED_BYTES), named)

    def match(self, image: bytes) -> str:
        """Return which picture an image nearly is, and the difference in [0, 1]; `""` if none. Raises OSError."""
        differences = measure_differences(pack_hash(hash_image(image)), self.hashes)
        nearest = int(differences.argmin())
        difference = float(differences[nearest])
        return f"{self.places[nearest]} (difference {difference:.3f})" if difference <= NEAR + 1 / 255 else ""


def _list_pictures(place: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each picture, in order."""
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield str(path), path.read_bytes()
        elif path.suffix == ".parquet":
            yield from _read_parquet(path)


def _read_parquet(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures of all columns that hold some: structs with `bytes`, or lists of such."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = [field.name for field in file.schema_arrow if _holds_pictures(field.type)]
            row = 0
            for batch in file.iter_batches(ROWS, columns=columns, use_threads=False) if columns else ():
                for values in batch.to_pylist():
                    for name, value in values.items():
                        for number, each in enumerate(value if isinstance(value, list) else [value]):
                            if each and each.get("bytes"):
                                yield f"{path}: row {row}, {name}{f'[{number}]' if number else ''}", each["bytes"]
                    row += 1
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(path), hint="a parquet file of `datasets`") from error


def _holds_pictures(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_pictures(kind.value_type)
    return pa.types.is_struct(kind) and any(field.name == "bytes" for field in kind)
