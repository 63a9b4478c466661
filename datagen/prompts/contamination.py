"""Contamination and near-duplicates: prompts of benchmarks are refused, and texts that nearly repeat earlier ones.

A model must not be trained on the prompts that will measure it. Two rules on normalised text (Unicode NFKC, casefold,
everything but letters and digits becomes a space; articles stay) refuse a prompt that

1. has the same words as a benchmark prompt, or
2. shares a run of `ngram` words (default 8) with a benchmark prompt.

If either prompt is shorter than `ngram` words, only rule 1 applies: shorter runs are mostly the frame ("a photo of a")
and would refuse everything. The default 8 is this project's choice: the frame plus four words of content; a smaller
number refuses more. Users supply benchmark files; none are shipped. Text without spaces between words (Chinese) counts
as one word, so only rule 1 applies. Try `contamination: [geneval.jsonl]` in a recipe.

Near-duplicates in a stream of texts are found by MinHash signatures of word 3-grams, looked up by bands (LSH).
Signatures: Broder, 1997; bands: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3. The similarity is
the Jaccard index of the sets of word 3-grams, estimated from 128 hashes with a standard error of at most 0.045
(measured in `tests/prompts/test_minhash.py`). A text of any length costs 512 bytes for its signature and about 200 for
its bands. Not covered: paraphrases that share few words.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from datagen.errors import ConfigError

NGRAM = 8
COLUMN = "prompt"
MAX_SHOWN = 10

_WORDS = re.compile(r"[^\W_]+")
Entry = tuple[int, str]


def normalize(text: str) -> str:
    """Return the words of a text in normal form: NFKC, casefold, single spaces, no punctuation."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(_WORDS.findall(text.casefold()))


@dataclass(frozen=True, slots=True)
class Contamination:
    """Benchmark prompts to avoid; `exact` and `runs` map normalised words to the file and line that have them."""

    exact: dict[str, str]
    runs: dict[str, str]
    ngram: int = NGRAM

    @classmethod
    def from_prompts(cls, prompts: Iterable[tuple[str, str]], ngram: int = NGRAM) -> Self:
        """Build from (where, prompt) pairs. Raises ConfigError when `ngram` is below 2."""
        if ngram < 2:
            raise ConfigError(f"n-grams of {ngram} words would refuse nearly every prompt", hint="use 2 or more, or 8")
        exact: dict[str, str] = {}
        runs: dict[str, str] = {}
        for where, prompt in prompts:
            words = normalize(prompt)
            if not words:
                continue
            exact.setdefault(words, where)
            for run in _runs(words.split(" "), ngram):
                runs.setdefault(run, where)
        return cls(exact, runs, ngram)

    @classmethod
    def from_files(cls, paths: Sequence[str | Path], ngram: int = NGRAM) -> Self:
        """Read benchmark lists: `.txt` (one prompt per line), `.jsonl` or `.csv` (key or column `prompt`).

        Raises ConfigError naming the first ten bad lines, or a file that cannot be read.
        """
        bad: list[str] = []
        prompts = [found for path in paths for found in _read(Path(path), bad)]
        if bad:
            more = f"and {len(bad) - MAX_SHOWN} more" if len(bad) > MAX_SHOWN else ""
            where, _, what = bad[0].partition("  ")
            hint = "\n".join(part for part in (*bad[1:MAX_SHOWN], more, "correct or remove the lines") if part)
            raise ConfigError(what, where=where, hint=hint)
        return cls.from_prompts(prompts, ngram)

    def match(self, text: str) -> str | None:
        """Return why a prompt is refused, with the place of the benchmark prompt, or None if it is accepted."""
        words = normalize(text)
        where = self.exact.get(words)
        if where is not None:
            return f"the same words as {where}"
        if self.runs:
            for run in _runs(words.split(" "), self.ngram):
                if run in self.runs:
                    return f"{self.ngram} words in a row as in {self.runs[run]}: {run!r}"
        return None


def _runs(words: list[str], length: int) -> Iterator[str]:
    for start in range(len(words) - length + 1):
        yield " ".join(words[start : start + length])


def _read(path: Path, bad: list[str]) -> Iterator[tuple[str, str]]:
    readers: dict[str, Callable[[Path, str, list[str]], Iterator[Entry]]] = {
        ".txt": _read_lines,
        ".jsonl": _read_jsonl,
        ".csv": _read_csv,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        hint = f"known: {', '.join(readers)}"
        raise ConfigError(f"unknown file type of a benchmark list: {path.name!r}", hint=hint)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError("the benchmark list is not UTF-8", where=f"{path}:{line}", hint="save it as UTF-8") from error
    except OSError as error:
        what = f"cannot read the benchmark list: {error.strerror}"
        raise ConfigError(what, where=str(path), hint="check `contamination:` in the recipe") from error
    for line, prompt in reader(path, text, bad):
        yield f"{path.name}:{line}", prompt


def _read_lines(path: Path, text: str, bad: list[str]) -> Iterator[Entry]:
    for line, prompt in enumerate(text.split("\n"), 1):
        if prompt.strip():
            yield line, prompt


def _read_jsonl(path: Path, text: str, bad: list[str]) -> Iterator[Entry]:
    for line, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        try:
            prompt = json.loads(written)[COLUMN]
        except (ValueError, RecursionError):
            bad.append(f"{path}:{line}  not JSON: {written.strip()[:60]!r}")
        except (KeyError, TypeError, IndexError):
            bad.append(f"{path}:{line}  no key {COLUMN!r}: {written.strip()[:60]!r}")
        else:
            if isinstance(prompt, str):
                yield line, prompt
            else:
                bad.append(f"{path}:{line}  {COLUMN!r} is not text: {str(prompt)[:60]!r}")


def _read_csv(path: Path, text: str, bad: list[str]) -> Iterator[Entry]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    column = None
    try:
        for row in reader:
            if column is None:
                names = [name.strip().casefold() for name in row]
                if COLUMN not in names:
                    bad.append(f"{path}:1  no column {COLUMN!r}, but {', '.join(row)[:60]!r}")
                    return
                column = names.index(COLUMN)
            elif row and column < len(row):
                yield reader.line_num, row[column]
            elif row:
                bad.append(f"{path}:{reader.line_num}  no column {COLUMN!r} in this row: {', '.join(row)[:60]!r}")
    except csv.Error as error:
        bad.append(f"{path}:{reader.line_num}  not CSV: {error}")


HASHES = 128
SHINGLE_WORDS = 3
RECALL = 0.99
"""Least probability that two texts exactly at the threshold share a band."""
_GROWTH = 1024


def shingles_of(text: str) -> frozenset[str]:
    """Return the word 3-grams of a normalised text; a shorter text is one shingle."""
    words = normalize(text).split(" ")
    runs = (words[k : k + SHINGLE_WORDS] for k in range(max(1, len(words) - SHINGLE_WORDS + 1)))
    return frozenset(" ".join(run) for run in runs)


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the Jaccard index of two sets of shingles, in [0, 1]."""
    return len(one & other) / max(1, len(one | other))


def band_rows(threshold: float) -> int:
    """Return the greatest number of hashes per band that finds texts at the threshold with `RECALL`."""
    fits = [rows for rows in (1, 2, 4, 8, 16, 32) if 1 - (1 - threshold**rows) ** (HASHES // rows) >= RECALL]
    return max(fits, default=1)


class MinHash:
    """128 hash functions over word 3-grams; seeded, so that a text has the same signature in every run."""

    def __init__(self) -> None:
        # Odd factors make the multiplication a bijection.
        numbers = np.random.Generator(np.random.PCG64(0)).integers(0, 2**63, (2, HASHES), dtype=np.uint64)
        self._factors, self._offsets = numbers[0] | np.uint64(1), numbers[1]

    def sign(self, text: str) -> NDArray[np.uint32]:
        """Return the minimum of each of the 128 hash functions over the shingles, (128,)."""
        digests = b"".join(blake2b(each.encode(), digest_size=8).digest() for each in shingles_of(text))
        keys = np.frombuffer(digests, dtype="<u8").astype(np.uint64)
        # Multiply-shift with 64-bit wrap-around: 2-universal, and the high half is well mixed.
        mixed = (keys[:, None] * self._factors + self._offsets) >> np.uint64(32)
        least: NDArray[np.uint32] = mixed.min(axis=0).astype(np.uint32)
        return least


class NearDuplicates:
    """A set of texts; `add` tells whether a text is new, up to a similarity of `threshold` in (0, 1]."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._rows = band_rows(threshold)
        self._hash = MinHash()
        self._signatures = np.zeros((_GROWTH, HASHES), dtype=np.uint32)
        self._count = 0
        # A hash table of (text, band) entries: `heads` starts a chain for each bucket, `next` links it, 0 ends it.
        self._heads = array("L", bytes(array("L").itemsize * 16 * _GROWTH))
        self._next = array("L", [0])

    def __len__(self) -> int:
        return self._count

    def add(self, text: str) -> bool:
        """Add a text and return True, or return False and add nothing if a similar one was added before."""
        signature = self._hash.sign(text)
        places = self._hash_bands(signature)
        near = sorted(set(self._neighbours(places)))
        if near:
            equal = np.mean(self._signatures[near] == signature, axis=1)
            if float(equal.max()) >= self._threshold:
                return False
        self._store(signature, places)
        return True

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
        # At most half full: rebuild the chains for a table of twice the size.
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
