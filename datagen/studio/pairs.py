"""Two runs side by side, prompt by prompt: which prompts the second run has fixed or broken.

A prompt is fixed if a greater share of its judged samples passes in the second run, broken if a smaller one does; these
shares are those whose means `datagen diff` compares. Prompts are the same if their ids are; where the runs share no id,
as before and after a change of skills, if their words are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datagen.errors import ConfigError
from datagen.studio.table import Snapshot

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

CHANGES = ("fixed", "broken", "same", "unjudged")
"""What became of a prompt; unjudged if one of the runs has no verdict on it."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The prompts of two snapshots that are the same, in the order of the first.

    `prompts` are their numbers in both, int64 of shape (n, 2); `passes` and `tries` the samples that pass and that are
    judged, int64 of shape (n, 2); `changes` places in `CHANGES`, int64 of shape (n,). `by_words`: their ids differ.
    """

    prompts: Ints
    passes: Ints
    tries: Ints
    changes: Ints
    by_words: bool

    def count(self) -> dict[str, int]:
        """Return the number of prompts of each change."""
        return {name: int((self.changes == k).sum()) for k, name in enumerate(CHANGES)}

    def select(self, change: str, first: Snapshot, path: str) -> Ints:
        """Return the places of the pairs with a change and a weakness or skill, `""` for all.

        Raises ConfigError for an unknown change.
        """
        import numpy as np

        fits = np.ones(len(self.changes), dtype=bool)
        if change:
            if change not in CHANGES:
                raise ConfigError(f"there is no change {change[:80]!r}", hint=", ".join(CHANGES))
            fits &= self.changes == CHANGES.index(change)
        if path:
            wanted = [k for k, known in enumerate(first.paths) if path in (known, known.partition("/")[0])]
            starts = find_starts(first)
            fits &= np.isin(first.codes["path"][starts[self.prompts[:, 0]]], wanted)
        return np.flatnonzero(fits)


def pair(first: Snapshot, second: Snapshot, least: tuple[int, int]) -> Pairs:
    """Pair the prompts of two runs; `least` is how many candidates each prompt of them has for sure: these count."""
    import numpy as np

    numbers = _match(first.ids, second.ids)
    by_words = not numbers and len(first.ids) > 0 and len(second.ids) > 0
    if by_words:
        numbers = _match(first.texts.to_pylist(), second.texts.to_pylist())
    prompts = np.array(numbers, dtype=np.int64).reshape(-1, 2)
    counts = [_count(now, many) for now, many in zip((first, second), least, strict=True)]
    passes, tries = (np.stack([counts[k][of][prompts[:, k]] for k in (0, 1)], axis=1) for of in (0, 1))
    # Products of whole numbers, where shares would be rounded.
    before, after = passes[:, 0] * tries[:, 1], passes[:, 1] * tries[:, 0]
    changes = np.where(after > before, 0, np.where(after < before, 1, 2))
    return Pairs(prompts, passes, tries, np.where((tries == 0).any(axis=1), 3, changes), by_words)


def choose_rows(pairs: Pairs, place: int, first: Snapshot, second: Snapshot) -> tuple[int, int]:
    """Return the rows that show a pair: a candidate of both whose verdict changed as the prompt's, else the first."""
    rows = [_rows_of(now, int(prompt)) for now, prompt in zip((first, second), pairs.prompts[place], strict=True)]
    wanted = {0: (1, 0), 1: (0, 1)}.get(int(pairs.changes[place]))
    candidates = [
        {int(now.codes["candidate"][row]): row for row in some} for now, some in zip((first, second), rows, strict=True)
    ]
    both = [(row, candidates[1][k]) for k, row in candidates[0].items() if k in candidates[1]]
    fitting = [(a, b) for a, b in both if (first.codes["verdict"][a], second.codes["verdict"][b]) == wanted]
    return (fitting or both or [(rows[0][0], rows[1][0])])[0]


def find_starts(now: Snapshot) -> Ints:
    """Return the first row of each prompt, int64; the samples of a prompt follow each other."""
    import numpy as np

    return np.searchsorted(now.codes["prompt"], np.arange(len(now.ids)))


def _rows_of(now: Snapshot, prompt: int) -> range:
    import numpy as np

    start, end = np.searchsorted(now.codes["prompt"], [prompt, prompt + 1]).tolist()
    return range(start, end)


def _match(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    known = {key: number for number, key in reversed([*enumerate(second)])}
    return [(number, known[key]) for number, key in enumerate(first) if key in known]


def _count(now: Snapshot, least: int) -> tuple[Ints, Ints]:
    """Return for each prompt how many of its first samples pass and how many are judged."""
    import numpy as np

    counts = now.codes["candidate"] < least
    prompt, verdict, many = now.codes["prompt"][counts], now.codes["verdict"][counts], len(now.ids)
    return np.bincount(prompt[verdict == 0], minlength=many), np.bincount(prompt[verdict != 2], minlength=many)
