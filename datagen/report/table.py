"""All samples of a run as numbers, compact enough for a page, which filters, counts and sorts by them.

Each value (rewards, weights, each scorer) is a column: its distinct values in order, and for each sample the index of
its value in one or two bytes, all of it deflated. If the table is too large, values are rounded to four, three and two
digits; if that is not enough, prompts without cards are dropped by the hash of their ids. The page says so.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datagen.report.figures import VERDICTS, ReportItem

if TYPE_CHECKING:
    import numpy as np

DIGITS = (6, 4, 3, 2)
"""Digits to round to, in this order: after the point below 1, else after the first digit."""
ID_BYTES = 12
"""Bytes kept of the id of a prompt without a card; `datagen sample` accepts the beginning of an id."""
_MOST_CODES = 65_535


@dataclass(frozen=True, slots=True)
class Packed:
    """A table as stored in the page: base64 of deflated bytes, the samples it holds, and the digits of its values."""

    text: str
    samples: int
    digits: int


@dataclass(slots=True)
class Table:
    """Collects the numbers of a stream of samples in 4 bytes a value; samples of one prompt follow each other."""

    columns: dict[str, array[float]] = field(default_factory=dict)
    candidates: array[int] = field(default_factory=lambda: array("i"))
    verdicts: array[int] = field(default_factory=lambda: array("B"))
    causes: array[int] = field(default_factory=lambda: array("H"))
    sizes: array[int] = field(default_factory=lambda: array("i"))
    skills: array[int] = field(default_factory=lambda: array("i"))
    cards: array[int] = field(default_factory=lambda: array("B"))
    hashes: array[int] = field(default_factory=lambda: array("I"))
    ids: bytearray = field(default_factory=bytearray)
    paths: dict[str, int] = field(default_factory=dict)
    sets: dict[tuple[str, ...], int] = field(default_factory=lambda: {(): 0})
    _last: str | None = None

    def add(self, item: ReportItem, *, is_shown: bool) -> None:
        """Add one sample; `is_shown` says whether its prompt has cards on the page."""
        if item.prompt.id != self._last:
            self._last = item.prompt.id
            self.sizes.append(0)
            self.skills.append(self.paths.setdefault(item.prompt.path, len(self.paths)))
            self.cards.append(is_shown)
            self.hashes.append(zlib.crc32(item.prompt.id.encode("utf-8", "replace")))
            self.ids += item.prompt.id.encode("utf-8", "replace")[:ID_BYTES].ljust(ID_BYTES)
        row = len(self.candidates)
        self.sizes[-1] += 1
        self.candidates.append(item.sample.candidate)
        self.verdicts.append(VERDICTS.index(item.verdict))
        self.causes.append(self.sets.setdefault(tuple(item.causes or ()), len(self.sets)))
        values = [
            ("image_reward", item.image_reward),
            ("text_reward", item.text_reward),
            ("image_weight", item.image_weight),
            ("text_weight", item.text_weight),
        ]
        for name, value in (*values, *((f"score:{score.name}", score.value) for score in item.scores)):
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = array("f")
            if len(column) < row:
                column.extend([math.nan] * (row - len(column)))
            if len(column) == row:  # of two scores by one scorer the first counts
                column.append(math.nan if value is None else value)

    def pack(self, most_bytes: int) -> Packed:
        """Return the table in at most `most_bytes`, or more if the prompts with cards alone exceed them."""
        import numpy as np

        hashes, cards = np.frombuffer(self.hashes, np.uint32), np.frombuffer(self.cards, np.uint8)
        # more rows may have more distinct values than there are codes, so the finest rounding is not tried
        share, steps = 1.0, list(DIGITS if len(self.candidates) < _MOST_CODES else DIGITS[1:])
        while True:
            digits = steps.pop(0)
            kept = (hashes < share * 2**32) | (cards > 0)
            packed = self._pack(kept, digits)
            if len(packed.text) <= most_bytes or (not steps and not (kept & (cards == 0)).any()):
                return packed
            if not steps:
                share, steps = share * min(0.95, 0.95 * most_bytes / len(packed.text)), [digits]

    def _pack(self, kept: np.ndarray, digits: int) -> Packed:
        import numpy as np

        sizes = np.frombuffer(self.sizes, np.int32)
        rows = np.repeat(kept, sizes)
        parts: list[bytes] = []
        columns: list[dict[str, Any]] = []

        def put(name: str, codes: np.ndarray, **more: Any) -> None:
            """Add a column of integers below 65,536: all lower bytes, then all upper ones if any is not 0."""
            wide = bool(len(codes)) and int(codes.max()) > 255
            low = (codes & 255).astype(np.uint8).tobytes()
            parts.extend([low, (codes >> 8).astype(np.uint8).tobytes()] if wide else [low])
            columns.append({"name": name, "wide": wide, **more})

        put("size", sizes[kept])
        put("skill", np.frombuffer(self.skills, np.int32)[kept])
        put("card", np.frombuffer(self.cards, np.uint8)[kept])
        put("candidate", np.clip(np.frombuffer(self.candidates, np.int32)[rows], 0, 65_535))
        put("verdict", np.frombuffer(self.verdicts, np.uint8)[rows])
        if len(self.sets) > 1:
            put("causes", np.frombuffer(self.causes, np.uint16)[rows], sets=list(self.sets))
        for name, column in self.columns.items():
            column.extend([math.nan] * (len(self.candidates) - len(column)))
            values, codes = _encode(np.frombuffer(column, np.float32)[rows], digits)
            put(name, codes, values=values)
        ids = np.frombuffer(self.ids, np.uint8).reshape(-1, ID_BYTES)[kept & (np.frombuffer(self.cards, np.uint8) == 0)]
        count = int(rows.sum())
        head = {"prompts": int(kept.sum()), "rows": count, "paths": list(self.paths), "columns": columns}
        content = b"".join([json.dumps(head).encode(), b"\n", *parts, ids.tobytes()])
        return Packed(base64.b64encode(zlib.compress(content)).decode(), count, digits)


def _encode(column: np.ndarray, digits: int) -> tuple[list[float], np.ndarray]:
    """Return the distinct rounded values in order, and for each row 1 plus the index of its value, or 0 without one."""
    import numpy as np

    known = ~np.isnan(column)
    values = column[known].astype(np.float64)
    while True:
        # digits after the point below 1, after the first digit above
        large = 10.0 ** np.floor(np.log10(np.maximum(np.abs(values), 1.0)))
        rounded = np.round(values / large, digits) * large
        distinct, places = np.unique(rounded, return_inverse=True)
        if len(distinct) < _MOST_CODES:
            break
        digits -= 1
    codes = np.zeros(len(column), dtype=np.int32)
    codes[known] = places + 1
    return [round(value, 9) for value in distinct.tolist()], codes
