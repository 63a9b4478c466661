"""Finds near-duplicates in a stream of texts: MinHash signatures of word 3-grams, looked up by bands (LSH).

Signatures: Broder, 1997; bands: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3. The similarity is
the Jaccard index of the sets of word 3-grams, estimated from 128 hashes: a standard error of at most 0.045. A text
costs 512 bytes for its signature and about 200 for its bands, however long it is. Measured in
`tests/prompts/test_minhash.py`. Not covered: paraphrases that share few words.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from datagen.prompts.contamination import normalize

HASHES = 128
SHINGLE_WORDS = 3
RECALL = 0.99
"""The least probability that two texts exactly at the threshold meet in a band."""
_GROWTH = 1024


def shingles_of(text: str) -> frozenset[str]:
    """Return the word 3-grams of a normalised text; a shorter text is one shingle."""
    words = normalize(text).split(" ")
    runs = (words[k : k + SHINGLE_WORDS] for k in range(max(1, len(words) - SHINGLE_WORDS + 1)))
    return frozenset(" ".join(run) for run in runs)


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of shingles that two sets have in common, in [0, 1]."""
    return len(one & other) / max(1, len(one | other))


def band_rows(threshold: float) -> int:
    """Return how many hashes a band may have at most for texts at the threshold to be found with `RECALL`."""
    fits = [rows for rows in (1, 2, 4, 8, 16, 32) if 1 - (1 - threshold**rows) ** (HASHES // rows) >= RECALL]
    return max(fits, default=1)


class NearDuplicates:
    """The texts that came before; `add` says whether a text is new, at a similarity of `threshold` in (0, 1]."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._rows = band_rows(threshold)
        numbers = np.random.Generator(np.random.PCG64(0)).integers(0, 2**63, (2, HASHES), dtype=np.uint64)
        self._factors, self._offsets = numbers[0] | np.uint64(1), numbers[1]
        self._signatures = np.zeros((_GROWTH, HASHES), dtype=np.uint32)
        self._count = 0
        # Chains of entries (text x band) that fall into the same place of `heads`; 0 ends a chain.
        self._heads = array("L", bytes(array("L").itemsize * 16 * _GROWTH))
        self._next = array("L", [0])

    def __len__(self) -> int:
        return self._count

    def add(self, text: str) -> bool:
        """Add a text; return False, and add nothing, if one like it came before."""
        signature = self._sign(text)
        places = self._hash_bands(signature)
        near = sorted(set(self._neighbours(places)))
        if near:
            equal = np.mean(self._signatures[near] == signature, axis=1)
            if float(equal.max()) >= self._threshold:
                return False
        self._store(signature, places)
        return True

    def _sign(self, text: str) -> NDArray[np.uint32]:
        """Return the 128 least hashes of the shingles."""
        digests = b"".join(blake2b(each.encode(), digest_size=8).digest() for each in shingles_of(text))
        keys = np.frombuffer(digests, dtype="<u8").astype(np.uint64)
        # Multiply-shift on 64 bits that wrap round: 2-universal, and the high half is well mixed.
        mixed = (keys[:, None] * self._factors + self._offsets) >> np.uint64(32)
        least: NDArray[np.uint32] = mixed.min(axis=0).astype(np.uint32)
        return least

    def _hash_bands(self, signature: NDArray[np.uint32]) -> list[int]:
        """Return one 64-bit hash for each band."""
        size = self._rows * signature.itemsize
        raw = signature.astype("<u4").tobytes()
        parts = (raw[start : start + size] for start in range(0, len(raw), size))
        return [
            int.from_bytes(blake2b(part, digest_size=8, salt=k.to_bytes(2, "little")).digest(), "little")
            for k, part in enumerate(parts)
        ]

    def _neighbours(self, places: list[int]) -> Iterator[int]:
        bands, mask = len(places), len(self._heads) - 1
        for place in places:
            entry = self._heads[place & mask]
            while entry:
                yield (entry - 1) // bands
                entry = self._next[entry]

    def _store(self, signature: NDArray[np.uint32], places: list[int]) -> None:
        if self._count == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.zeros_like(self._signatures)])
        self._signatures[self._count] = signature
        self._count += 1
        self._link(places)
        if 2 * len(self._next) > len(self._heads):
            self._heads = array("L", bytes(2 * self._heads.itemsize * len(self._heads)))
            self._next = array("L", [0])
            for known in self._signatures[: self._count]:
                self._link(self._hash_bands(known))

    def _link(self, places: list[int]) -> None:
        mask = len(self._heads) - 1
        for place in places:
            self._next.append(self._heads[place & mask])
            self._heads[place & mask] = len(self._next) - 1
