"""A search in what the model wrote: read from the files while somebody waits for it, and not held.

A search goes on in stretches, each as long as whoever asks has time; who asks no more has ended it. What it keeps is
one byte a sample. Words are looked for as they are stored, with the marks between them, in all texts of a sample.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datagen.errors import RunError
from datagen.pipeline import Run
from datagen.studio.looking import tell_error
from datagen.studio.table import Snapshot, match_words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Found:
    """How far a search is: `rows` says of each sample whether it has the words, False where that is not known yet.

    `looked` is the number of samples that were looked through, the first ones of the table. `trouble` is the error of
    the first shard that could not be read; its samples are not found.
    """

    rows: Bools
    looked: int
    trouble: dict[str, str] | None


class Search:
    """Looks for words, or phrases in double quotes, in what the model wrote in the samples of a run."""

    def __init__(self, words: str) -> None:
        self.words = words
        self._parts: list[Bools] = []
        self._looked = 0
        self._trouble: dict[str, str] | None = None
        self._lock = threading.Lock()

    def go_on(self, run: Run, now: Snapshot, seconds: float) -> Found:
        """Look through further shards for so many seconds, one at least, and return what is known then.

        A later snapshot has the samples of an earlier one first.
        """
        import numpy as np

        until = time.monotonic() + seconds
        shards = now.codes["shard"]
        ends = [*(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(now)]
        rows = np.zeros(len(now), dtype=bool)
        with self._lock:
            for end in (end for end in ends if end > self._looked):
                self._parts.append(self._read(run, int(shards[self._looked]), end - self._looked))
                self._looked = end
                if time.monotonic() > until:
                    break
            known = np.concatenate([rows[:0], *self._parts])[: len(now)]
            rows[: len(known)] = known
            return Found(rows, len(known), self._trouble)

    def _read(self, run: Run, shard: int, size: int) -> Bools:
        """Return for each sample of a shard whether it has the words."""
        import numpy as np

        try:
            parts = [match_words(texts, self.words) for texts in run.folder.read_texts(shard)]
            found = np.concatenate([np.zeros(0, dtype=bool), *parts])
            if len(found) != size:
                what = f"{len(found):,} samples, where scores are of {size:,}"
                raise RunError(what, where=run.folder.where("samples", shard))
        except RunError as error:
            self._trouble = self._trouble or tell_error(error)
            return np.zeros(size, dtype=bool)
        return found
