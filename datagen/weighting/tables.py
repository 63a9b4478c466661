"""Rows of rewards and weights kept in columns: a million samples take about 100 MB.

Both tables read like sequences of `RewardRow` and `Weight`, whose objects are made when they are asked for.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, overload

from datagen.errors import RunError
from datagen.weighting.rows import RewardRow, Weight, is_reward

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from datagen.weighting.formulas import Floats, Ints


class Words:
    """A column of words that repeat: each word once, and a code for every row, numbered by first appearance."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._codes = array("i")
        self._known: dict[str, int] = {}

    def append(self, word: str) -> None:
        """Add the word of the next row."""
        code = self._known.setdefault(word, len(self.words))
        if code == len(self.words):
            self.words.append(word)
        self._codes.append(code)

    def __getitem__(self, row: int) -> str:
        return self.words[self._codes[row]]

    @property
    def codes(self) -> Ints:
        """The code of each row, int64 of shape (n,)."""
        import numpy as np

        return np.array(self._codes, dtype=np.int64)


class RewardTable(Sequence[RewardRow]):
    """The rewards of many samples. Raises RunError for a reward that is NaN, infinite or outside [0, 1]."""

    def __init__(self, rows: Iterable[RewardRow] = ()) -> None:
        self.group, self.weakness, self.skill = Words(), Words(), Words()
        self.text_gap, self.image_gap = Words(), Words()
        self._ids = bytearray()
        self._ends = array("q", [0])
        self._text, self._image = array("d"), array("d")
        self._text_advantage, self._image_advantage, self._misjudged = array("d"), array("d"), array("d")
        self._passed = array("b")
        for row in rows:
            self.append(row)

    @classmethod
    def of(cls, rows: Iterable[RewardRow]) -> RewardTable:
        """Return rows as a table; a table is returned itself."""
        return rows if isinstance(rows, cls) else cls(rows)

    def append(self, row: RewardRow) -> None:
        """Add a row."""
        if not (is_reward(row.text) and is_reward(row.image)):
            raise RunError(
                f"rewards text={row.text}, image={row.image} are not in [0, 1]",
                where=f"sample {row.sample_id}",
                hint="score the run again; a scorer that cannot judge returns None",
            )
        self._ids += row.sample_id.encode()
        self._ends.append(len(self._ids))
        self.group.append(row.group)
        self.weakness.append(row.weakness)
        self.skill.append(row.skill)
        self.text_gap.append(row.text_gap)
        self.image_gap.append(row.image_gap)
        self._text.append(math.nan if row.text is None else row.text)
        self._image.append(math.nan if row.image is None else row.image)
        self._text_advantage.append(math.nan if row.text_advantage is None else row.text_advantage)
        self._image_advantage.append(math.nan if row.image_advantage is None else row.image_advantage)
        self._misjudged.append(math.nan if row.misjudged is None else row.misjudged)
        self._passed.append(-1 if row.passed is None else row.passed)

    def __len__(self) -> int:
        return len(self._passed)

    @overload
    def __getitem__(self, row: int) -> RewardRow: ...
    @overload
    def __getitem__(self, row: slice) -> list[RewardRow]: ...
    def __getitem__(self, row: int | slice) -> RewardRow | list[RewardRow]:
        return self._row(row) if isinstance(row, int) else [self._row(k) for k in range(len(self))[row]]

    def _row(self, row: int) -> RewardRow:
        row = range(len(self))[row]
        text, image, passed = self._text[row], self._image[row], self._passed[row]
        return RewardRow(
            self.id_of(row),
            self.group[row],
            self.weakness[row],
            self.skill[row],
            None if math.isnan(text) else text,
            None if math.isnan(image) else image,
            self.text_gap[row],
            self.image_gap[row],
            None if passed < 0 else bool(passed),
            *(
                None if math.isnan(each[row]) else each[row]
                for each in (self._text_advantage, self._image_advantage, self._misjudged)
            ),
        )

    def __iter__(self) -> Iterator[RewardRow]:
        return map(self._row, range(len(self)))

    def id_of(self, row: int) -> str:
        """Return the id of the sample of a row."""
        return self._ids[self._ends[row] : self._ends[row + 1]].decode()

    def find(self, ids: Collection[str]) -> NDArray[np.bool_]:
        """Return for each row whether the id of its sample is among `ids`, shape (n,)."""
        import numpy as np

        if not ids:
            return np.zeros(len(self), np.bool_)
        return np.fromiter((self.id_of(row) in ids for row in range(len(self))), np.bool_, len(self))

    @property
    def text(self) -> Floats:
        """The text rewards, float64 of shape (n,), NaN where there is none."""
        import numpy as np

        return np.array(self._text, dtype=np.float64)

    @property
    def image(self) -> Floats:
        """The image rewards, float64 of shape (n,), NaN where there is none."""
        import numpy as np

        return np.array(self._image, dtype=np.float64)

    @property
    def text_advantage(self) -> Floats:
        """The text advantages known before weighing, float64 of shape (n,), NaN where there is none."""
        import numpy as np

        return np.array(self._text_advantage, dtype=np.float64)

    @property
    def image_advantage(self) -> Floats:
        """The image advantages known before weighing, float64 of shape (n,), NaN where there is none."""
        import numpy as np

        return np.array(self._image_advantage, dtype=np.float64)

    def with_advantages(self, text: Floats, image: Floats) -> RewardTable:
        """Return the same rows with other advantages, (n,) each; all else is shared with this table."""
        made = copy(self)
        made._text_advantage, made._image_advantage = array("d", text), array("d", image)
        return made

    @property
    def misjudged(self) -> Floats:
        """The model's own judgement minus the verdict, float64 of shape (n,), NaN where there is none."""
        import numpy as np

        return np.array(self._misjudged, dtype=np.float64)

    def path_codes(self) -> tuple[Ints, list[str]]:
        """Return for each row which `weakness/skill` it is of, int64 of shape (n,), and these paths."""
        import numpy as np

        skills = max(1, len(self.skill.words))
        pairs, codes = np.unique(self.weakness.codes * skills + self.skill.codes, return_inverse=True)
        words = [f"{self.weakness.words[k // skills]}/{self.skill.words[k % skills]}" for k in pairs.tolist()]
        return codes, words


class WeightTable(Sequence[Weight]):
    """The weights of the samples of a `RewardTable`, float64 of shape (n,) each, and words about those of each row."""

    def __init__(self, rows: RewardTable, text: Floats, image: Floats, reason: Words, left_out: Words) -> None:
        self.text, self.image, self.reason, self.left_out = text, image, reason, left_out
        self._rows = rows

    @classmethod
    def of(cls, weights: Sequence[Weight], rows: RewardTable) -> WeightTable:
        """Return weights as a table; a table is returned itself."""
        import numpy as np

        if isinstance(weights, cls):
            return weights
        reason, left_out = Words(), Words()
        for weight in weights:
            reason.append(weight.reason)
            left_out.append(weight.left_out)
        text = np.array([weight.text_weight for weight in weights], dtype=np.float64)
        image = np.array([weight.image_weight for weight in weights], dtype=np.float64)
        return cls(rows, text, image, reason, left_out)

    @property
    def is_left_out(self) -> NDArray[np.bool_]:
        """Whether each row takes part in nothing, shape (n,)."""
        import numpy as np

        return np.array([bool(word) for word in self.left_out.words], np.bool_)[self.left_out.codes]

    def __len__(self) -> int:
        return len(self.text)

    @overload
    def __getitem__(self, row: int) -> Weight: ...
    @overload
    def __getitem__(self, row: slice) -> list[Weight]: ...
    def __getitem__(self, row: int | slice) -> Weight | list[Weight]:
        return self._row(row) if isinstance(row, int) else [self._row(k) for k in range(len(self))[row]]

    def _row(self, row: int) -> Weight:
        row = range(len(self))[row]
        text, image = float(self.text[row]), float(self.image[row])
        kept = text > 0 or image > 0
        return Weight(self._rows.id_of(row), text, image, kept, self.reason[row], self.left_out[row])

    def __iter__(self) -> Iterator[Weight]:
        return map(self._row, range(len(self)))
