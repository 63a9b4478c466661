"""Samples of a run that repeat one of another prompt: equal and near-equal texts and pictures, counted or dropped.

    deduplicate: {texts: 0.85, images: 0.1}

Samples are gone through from the highest image reward down, equal ones in the order of the files. One repeats a sample
of another prompt that stays if their pictures differ by at most `images` (`datagen.vision.perceptual`), or, of the
rest, if their texts, each the prompt and what the model wrote, have the Jaccard similarity `texts` of word 3-grams
(`datagen.prompts.contamination`). So of samples that repeat each other the best one stays, whatever ran in which order.

Candidates of one prompt are not compared: the scorer `near_duplicate` does that. Each sample has a sketch of 240 bytes,
kept by shard in `sketches/`, so that weighing anew reads no picture. Neighbours are found by bands, hashes of parts of
a sketch (LSH): equal ones always, near-equal ones nearly always (`python benchmarks/repeats.py` measures how often, and
time and memory).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from datagen import program
from datagen.config import Deduplicate
from datagen.errors import RunError
from datagen.pipeline.run import Run
from datagen.pipeline.watch import SILENT, Progress, Watch
from datagen.prompts.contamination import HASHES, MinHash, band_rows, normalize
from datagen.records import Prompt, Sample
from datagen.vision.perceptual import PACKED_BYTES, SIGNS, hash_image, measure_differences, pack_hash
from datagen.weighting import RewardTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "sketches"
BANDS, BAND_SIGNS = 16, 24
"""Bands of a picture, and the signs that each looks at."""
BLOCK = 16_384
"""Sketches of which bands are made at a time."""
_CODES = 256
"""Values of one number of a stored signature, which keeps 8 bits of each (Li and Koenig, 2010)."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """What repeats a sample of another prompt: counts, and for each sample whether it does, in the order of the rows.

    `equal_images` are among the `images`, `equal_texts` among the `texts`; a sample counts under the first that it is.
    """

    samples: int
    images: int
    equal_images: int
    texts: int
    equal_texts: int
    found: NDArray[np.bool_]
    """Shape (n,)."""

    def describe(self) -> str:
        """Return the counts in words."""
        return (
            f"{self.images:,} pictures ({self.equal_images:,} equal) and {self.texts:,} texts ({self.equal_texts:,} "
            f"equal) of {self.samples:,} samples repeat one of another prompt"
        )


def sketch_type() -> np.dtype:
    """Return the columns of sketches: hashes of the picture's bytes and of the words, 0 for none, and signatures."""
    import numpy as np

    columns = [("bytes", "<u8"), ("image", "u1", (PACKED_BYTES,)), ("words", "<u8"), ("text", "u1", (HASHES,))]
    return np.dtype(columns)


def sketch_samples(prompts: Mapping[str, Prompt], samples: Iterable[Sample]) -> NDArray[np.void]:
    """Return the sketches of samples, (n,) of `sketch_type`; of a picture that cannot be read it is that of none."""
    import numpy as np

    signer, made = MinHash(), []
    for sample in samples:
        text = f"{prompts[sample.prompt_id].text}\n{sample.text}"
        signature = (signer.sign(text) % _CODES).astype(np.uint8)
        made.append((*_look(sample.image), _digest(normalize(text).encode()), signature))
    return np.array(made, sketch_type())


def _look(image: bytes | None) -> tuple[int, NDArray[np.uint8]]:
    import numpy as np

    try:
        if image is not None:
            return _digest(image), pack_hash(hash_image(image))
    except OSError:
        pass
    return 0, np.zeros(PACKED_BYTES, np.uint8)


def _digest(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little") or 1


def read_sketches(
    run: Run, watch: Watch = SILENT, *, shards: Sequence[int] | None = None, keep: bool = False
) -> Iterator[NDArray[np.void]]:
    """Yield the sketches of each shard, or of some, those kept if its samples are still the same.

    Others are made, and kept if `keep`.
    """
    import numpy as np

    folder, shards = run.folder, range(run.read_plan()["shards"]) if shards is None else shards
    for number, shard in enumerate(shards, 1):
        name, mark = f"{FOLDER}/{shard:05d}.bin", f"1 {folder.digest('samples', shard)}\n".encode()
        content = folder.read_head(name, -1)
        if content.startswith(mark):
            yield np.frombuffer(content[len(mark) :], sketch_type())
        else:
            prompts = {prompt.id: prompt for prompt in folder.read_prompts(shard)}
            sketches = sketch_samples(prompts, folder.iter_samples(shard))
            if keep:
                folder.write_file(name, mark + sketches.tobytes())
            yield sketches
        watch.show(Progress("sketch", number, len(shards)))


def find_run_repeats(
    run: Run,
    rows: RewardTable,
    options: Deduplicate,
    rejected: Collection[str] = (),
    shards: Sequence[int] | None = None,
) -> Repeats:
    """Return what repeats in a scored run, of which `rows` are the samples in the order of the files.

    If they come shard by shard in another order, that is `shards`; what repeats does not depend on it. What a person
    `rejected`, by its id, stays only where nothing else does. Raises RunError when samples and scores do not match.
    """
    import numpy as np

    shards = range(run.read_plan()["shards"]) if shards is None else shards
    parts = list(read_sketches(run, shards=shards))
    sketches = np.concatenate([*parts, np.empty(0, sketch_type())])
    if len(sketches) != len(rows):
        what = f"{len(sketches):,} samples and the scores of {len(rows):,} do not match"
        raise RunError(what, where=str(run.folder), hint=program.command("score", run.folder, "--again"))
    rewards = np.where(rows.find(rejected), -2.0, rows.image)
    order = [(shard << 32) + np.arange(len(part)) for shard, part in zip(shards, parts, strict=True)]
    files = np.concatenate([*order, np.empty(0, np.int64)])
    return find_repeats(sketches, rows.group.codes, rewards, options, files)


def find_repeats(
    sketches: NDArray[np.void],
    groups: NDArray[np.int64],
    rewards: NDArray[np.float64],
    options: Deduplicate,
    files: NDArray[np.int64] | None = None,
) -> Repeats:
    """Return what repeats a sample of another group; see the module for the rule.

    `groups` (n,) are the prompts of the samples as numbers, `rewards` (n,) their image rewards, NaN if unknown, and
    `files` (n,) numbers that rise in the order of the files, by default those of the rows.
    """
    import numpy as np

    order = np.lexsort((np.arange(len(sketches)) if files is None else files, -np.nan_to_num(rewards, nan=-1.0)))
    found = np.zeros(len(sketches), np.bool_)
    near_images = near_texts = (0, 0)
    if options.images is not None:
        seen = order[(sketches["bytes"] != 0)[order]]
        near_images = _sweep_images(sketches, groups, seen, options.images, found)
    if options.texts is not None:
        near_texts = _sweep_texts(sketches, groups, order[~found[order]], options.texts, found)
    return Repeats(len(sketches), *near_images, *near_texts, found)


def _sweep_images(
    sketches: NDArray[np.void], groups: NDArray[np.int64], order: NDArray[np.int64], most: float, found: Any
) -> tuple[int, int]:
    images = sketches["image"]

    def alike(one: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
        near: NDArray[np.bool_] = measure_differences(images[one], images[others]) <= most + 1 / 255
        return near

    return _Kept(_image_bands(images), sketches["bytes"], groups).sweep(order, alike, found)


def _sweep_texts(
    sketches: NDArray[np.void], groups: NDArray[np.int64], order: NDArray[np.int64], threshold: float, found: Any
) -> tuple[int, int]:
    texts = sketches["text"]
    # Of unequal numbers, one in 256 has equal last bits.
    least = threshold + (1 - threshold) / _CODES

    def alike(one: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
        near: NDArray[np.bool_] = (texts[others] == texts[one]).mean(axis=1) >= least
        return near

    return _Kept(_text_bands(texts, threshold), sketches["words"], groups).sweep(order, alike, found)


def _image_bands(images: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return a hash of the signs at some places for each band, (n, bands)."""
    import numpy as np

    rng, half = np.random.Generator(np.random.PCG64(0)), -(-SIGNS // 8)
    places = [np.sort(rng.choice(SIGNS, BAND_SIGNS, replace=False)) for _ in range(BANDS)]
    powers = np.uint64(3) ** np.arange(BAND_SIGNS, dtype=np.uint64)
    keys = np.empty((len(images), BANDS), np.uint32)
    for start in range(0, len(images), BLOCK):
        some = images[start : start + BLOCK]
        plus, minus = (np.unpackbits(some[:, half * plane : half * (plane + 1)], axis=1) for plane in (0, 1))
        digits = plus + 2 * minus
        for band, chosen in enumerate(places):
            keys[start : start + BLOCK, band] = _mix(digits[:, chosen] @ powers)
    return keys


def _text_bands(texts: NDArray[np.uint8], threshold: float) -> NDArray[np.uint32]:
    import numpy as np

    rows = min(8, band_rows(threshold))
    numbers = texts.view(f"<u{rows}")
    keys = np.empty(numbers.shape, np.uint32)
    for start in range(0, len(texts), BLOCK):
        keys[start : start + BLOCK] = _mix(numbers[start : start + BLOCK].astype(np.uint64))
    return keys


def _mix(keys: NDArray[np.uint64]) -> NDArray[np.uint32]:
    import numpy as np

    return ((keys * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)).astype(np.uint32)


class _Kept:
    """The samples that stay, found by their bands: a hash table of (sample, band) entries, chained; 0 ends a chain."""

    def __init__(self, keys: NDArray[np.uint32], equal: NDArray[np.uint64], groups: NDArray[np.int64]) -> None:
        count, self._bands = keys.shape
        self._keys, self._equal, self._groups = keys, equal, groups
        self._mask = (1 << max(4, math.ceil(math.log2(max(1, count * self._bands))))) - 1
        self._heads = array("I", bytes(4 * (self._mask + 1)))
        self._next = array("I", bytes(4 * (count * self._bands + 1)))

    def sweep(
        self, order: NDArray[np.int64], alike: Callable[[int, NDArray[np.int64]], NDArray[np.bool_]], found: Any
    ) -> tuple[int, int]:
        """Set in `found` what repeats a sample before it in `order`; return how many do, and how many equal one."""
        import numpy as np

        repeats = equals = 0
        for one in order.tolist():
            keys = self._keys[one].tolist()
            near = np.fromiter(self._neighbours(keys), np.int64)
            if len(near):
                near = near[self._groups[near] != self._groups[one]]
                near = near[alike(one, near)]
            if len(near):
                found[one] = True
                repeats += 1
                equals += bool((self._equal[near] == self._equal[one]).any())
            else:
                self._add(one, keys)
        return repeats, equals

    def _neighbours(self, keys: Sequence[int]) -> set[int]:
        seen = set[int]()
        for band, key in enumerate(keys):
            entry = self._heads[(key + band * 0x9E3779B1) & self._mask]
            while entry:
                seen.add((entry - 1) // self._bands)
                entry = self._next[entry]
        return seen

    def _add(self, one: int, keys: Sequence[int]) -> None:
        for band, key in enumerate(keys):
            place, entry = (key + band * 0x9E3779B1) & self._mask, one * self._bands + band + 1
            self._next[entry] = self._heads[place]
            self._heads[place] = entry
