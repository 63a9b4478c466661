"""Pictures that a model must not be trained on, such as those of a benchmark that will measure it.

    contamination_images: [benchmarks/pictures, hf://datasets/OWNER/NAME]
    contamination_images: {paths: [benchmarks/pictures], features: {encoder: efficientnet_lite0, above: 0.97}}

A place is what `datagen.sources.open_pictures` opens: a picture, a folder, a pattern, a bucket or a dataset on a hub.
All its pictures count, those in the columns of parquet files too. A picture is refused if it differs by at most `hash`
from one of them by the perceptual hash (`datagen.vision.perceptual`), which the same picture stored with loss, in
another size or darker does; and, with `features`, if the cosine of its features with those of one is at least `above`.
Each picture is compared with all: 96 bytes for each, and 4 for each number of its features.

Not covered: parts of a picture; by the hash mirrored and moved ones; pictures that a table names by their paths alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from datagen.errors import ConfigError
from datagen.picture_files import PictureError
from datagen.pictures import normalise
from datagen.sources import open_pictures
from datagen.vision.interfaces import Encode
from datagen.vision.loading import READ_AHEAD
from datagen.vision.perceptual import NEAR, PACKED_BYTES, hash_image, measure_differences, pack_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class KnownPictures:
    """The packed hashes (n, 96) of some pictures, where each of them is, and up to which difference one is the same."""

    hashes: NDArray[np.uint8]
    places: Sequence[str]
    near: float = NEAR

    @classmethod
    def from_places(cls, places: Sequence[str], near: float = NEAR) -> Self:
        """Read the pictures of some places. Raises ConfigError for a place without one, or one unread."""
        import numpy as np

        named: list[str] = []
        made: list[NDArray[np.uint8]] = []
        for name, picture in read_pictures(places):
            made.append(pack_hash(hash_image(picture)))
            named.append(name)
        return cls(np.array(made, np.uint8).reshape(-1, PACKED_BYTES), named, near)

    def find_nearest(self, image: bytes) -> tuple[str, float]:
        """Return which picture an image differs least from, and the difference in [0, 1]. Raises OSError."""
        differences = measure_differences(pack_hash(hash_image(image)), self.hashes)
        nearest = int(differences.argmin())
        return self.places[nearest], float(differences[nearest])

    def match(self, image: bytes) -> str:
        """Return which picture an image nearly is, and the difference; `""` if none. Raises OSError."""
        place, difference = self.find_nearest(image)
        # Packed differences are exact to 1/255.
        return f"{place} (difference {difference:.3f})" if difference <= self.near + 1 / 255 else ""


@dataclass(frozen=True, slots=True)
class KnownFeatures:
    """The features (n, d) float32 of some pictures, rows of length 1, and from which cosine on one is the same.

    A picture without features (`Encode`) has a row of zeros, which nothing is near to.
    """

    rows: NDArray[np.float32]
    places: Sequence[str]
    encode: Encode
    above: float

    @classmethod
    def from_places(cls, places: Sequence[str], encode: Encode, above: float) -> Self:
        """Read and encode the pictures of some places. Raises ConfigError as `KnownPictures` does."""
        import numpy as np

        named: list[str] = []
        waiting: list[bytes] = []
        parts: list[NDArray[np.float32]] = []

        def encode_waiting() -> None:
            parts.append(np.nan_to_num(encode(waiting), nan=0.0))
            waiting.clear()

        for name, picture in read_pictures(places):
            named.append(name)
            waiting.append(picture)
            if len(waiting) == READ_AHEAD:
                encode_waiting()
        if waiting:
            encode_waiting()
        return cls(np.concatenate(parts), named, encode, above)

    def find_nearest(self, image: bytes) -> tuple[str, float]:
        """Return which picture has the nearest features, and the cosine; NaN for an image without features."""
        cosines = self.rows @ self.encode([image])[0]
        nearest = int(cosines.argmax())
        return self.places[nearest], float(cosines[nearest])

    def match(self, image: bytes) -> str:
        """Return which picture has nearly the features of an image, and the cosine; `""` if none."""
        place, cosine = self.find_nearest(image)
        return f"{place} (cosine {cosine:.3f})" if cosine >= self.above else ""


def read_pictures(places: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield where each picture is, and its normalised content. Raises ConfigError for a place without one."""
    for place in places:
        name = ""
        for name, content in open_pictures(place).pictures():
            try:
                picture = normalise(content)
            except (PictureError, OSError) as error:
                raise ConfigError(f"cannot be read: {error}", where=name, hint="remove it, or convert it") from error
            yield name, picture
        if not name:
            hint = "tables hold pictures in columns of bytes, as `datasets` writes them"
            raise ConfigError("there is no picture", where=place, hint=hint)
