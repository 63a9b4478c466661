"""All samples of a run as columns, by which the page filters and sorts a million of them; no picture, and no word but
those of the prompts.

Shards are added as they are finished, in any order. What has no value is NaN; it is in no range and sorts last.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datagen.errors import ConfigError
from datagen.pipeline import Run
from datagen.pipeline.views import ScoredShard, weigh_rows, weighing
from datagen.records import CAUSES
from datagen.scoring.verdicts import find_causes
from datagen.weighting import RewardTable, WeightTable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Columns = Mapping[str, npt.NDArray[np.float32]]
    Rows = npt.NDArray[np.int64]

VERDICTS = ("pass", "fail", "unjudged")
WEIGHTS = ("image_weight", "text_weight")
DERIVED = ("plan_over_image", "gap")
"""The mean of the scores of the text minus the image reward, and what the model says of its image, P(yes), minus the
verdict: in [-1, 1]. Not the text reward, which may itself be that of the image."""
REST = 10
"""Shards that are added while a run is read are joined to the columns after so many times what joining takes."""
NEAR = 1e-6
"""Values are held in single precision: a range is so much wider at its ends."""
_RANGE = re.compile(r"(?P<name>[^:]+(?::[^:]+)?):(?P<low>[-\d.e]*):(?P<high>[-\d.e]*)")


def score_column(name: str) -> str:
    """Return the name of the column with the values of a scorer, as `sort` and `range` give it."""
    return f"score:{name}"


@dataclass(frozen=True, slots=True)
class Query:
    """What the page asks for. A filter that is empty lets all samples through.

    `words` are those of the prompt, `said` those of what the model wrote; `path` is a weakness or `weakness/skill`;
    `ranges` bound columns from below and above, both included; `mark` is one of `canary`, `accepted`, `rejected`,
    `commented`; `sort` is a column and `up` its direction, by default the order of the run.
    """

    words: str = ""
    said: str = ""
    path: str = ""
    level: str = ""
    verdict: str = ""
    cause: str = ""
    ranges: tuple[tuple[str, float, float], ...] = ()
    mark: str = ""
    sort: str = ""
    up: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Sequence[str]]) -> Query:
        """Read the query of an address. Raises ConfigError for what is no range or direction."""
        one = {
            name: (given.get(name) or [""])[0]
            for name in ("q", "said", "path", "level", "verdict", "cause", "mark", "sort")
        }
        sort, colon, way = one["sort"].rpartition(":")
        if colon and way not in ("up", "down"):
            raise ConfigError(f"{one['sort']!r} is no order", hint="COLUMN:up or COLUMN:down")
        ranges = tuple(_read_range(text) for text in given.get("range", ()))
        filters = (one["q"], one["said"].strip(), one["path"], one["level"], one["verdict"], one["cause"])
        return cls(*filters, ranges, one["mark"], sort, way == "up")


def _read_range(text: str) -> tuple[str, float, float]:
    found = _RANGE.fullmatch(text)
    try:
        if found is not None:
            low, high = found["low"], found["high"]
            return found["name"], float(low) if low else -math.inf, float(high) if high else math.inf
    except ValueError:
        pass
    raise ConfigError(f"{text[:80]!r} is no range", hint="COLUMN:LOW:HIGH")


@dataclass(slots=True)
class _Chunk:
    """The columns of a shard."""

    shard: int
    ids: list[str]
    texts: list[str]
    codes: dict[str, Any]
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The columns at one moment. `codes` has whole numbers, `values` the columns by which a range or a sort may go.

    `ids` and `texts` are of prompts, all others of samples: `codes["prompt"]` says which prompt a sample is of,
    `codes["shard"]` and `codes["place"]` where it is stored.
    """

    ids: Sequence[str]
    texts: Any
    codes: Mapping[str, npt.NDArray[np.int32]]
    values: Columns
    weights: WeightTable | None
    paths: Sequence[str]
    levels: Sequence[str]

    def __len__(self) -> int:
        return len(self.codes["shard"])

    def id_of(self, row: int) -> str:
        """Return the id of a sample."""
        return f"{self.ids[self.codes['prompt'][row]]}-{self.codes['candidate'][row]:02d}"

    def has_cause(self, number: int) -> bool:
        """Tell whether a sample fails for a cause, given by its place in `CAUSES`."""
        return bool((self.codes["causes"] >> number & 1).any())

    def find_texts(self, texts: Collection[str]) -> list[int]:
        """Return the rows of the samples whose prompts have exactly these words."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        if not texts or not len(self):
            return []
        among = pc.is_in(self.texts, value_set=pa.array(list(texts), pa.string())).to_numpy(zero_copy_only=False)
        rows: list[int] = np.flatnonzero(among[self.codes["prompt"]]).tolist()
        return rows

    def select(self, query: Query, marked: Sequence[int] = (), said: npt.NDArray[np.bool_] | None = None) -> Rows:
        """Return the rows that a query asks for, in its order.

        `marked` are those with its mark, and `said` tells of each whether the model wrote the words of the query.
        Raises ConfigError for a column, a verdict or a cause that is not there.
        """
        import numpy as np

        fits = np.ones(len(self), dtype=bool)
        if query.mark:
            fits[:] = False
            fits[list(marked)] = True
        if said is not None:
            fits &= said
        if query.words:
            fits &= match_words(self.texts, query.words)[self.codes["prompt"]]
        if query.path:
            wanted = [k for k, path in enumerate(self.paths) if query.path in (path, path.partition("/")[0])]
            fits &= np.isin(self.codes["path"], wanted)
        if query.level:
            fits &= np.isin(self.codes["level"], [k for k, level in enumerate(self.levels) if level == query.level])
        if query.verdict:
            fits &= self.codes["verdict"] == _place(query.verdict, VERDICTS, "verdict")
        if query.cause:
            fits &= self.codes["causes"] >> _place(query.cause, CAUSES, "cause") & 1 == 1
        for name, low, high in query.ranges:
            column = self._column(name)
            with np.errstate(invalid="ignore"):
                fits &= (column >= low - NEAR) & (column <= high + NEAR)
        rows = np.flatnonzero(fits)
        shards = self.codes["shard"][rows]
        if not np.all(shards[1:] >= shards[:-1]):  # they were not finished in the order of the run
            rows = rows[np.argsort(shards, kind="stable")]
        if query.sort:
            keys = self._column(query.sort)[rows]
            rows = rows[np.argsort(keys if query.up else -keys, kind="stable")]
        return rows

    def _column(self, name: str) -> npt.NDArray[np.float32]:
        if name not in self.values:
            raise ConfigError(f"there is no column {name!r}", hint=f"columns: {', '.join(self.values)}")
        return self.values[name]


def match_words(texts: Any, words: str) -> npt.NDArray[np.bool_]:
    """Return for each text of an Arrow array whether it contains all words, or phrases in double quotes."""
    import numpy as np
    import pyarrow.compute as pc

    found = np.ones(len(texts), dtype=bool)
    for quoted, plain in re.findall(r'"([^"]+)"|(\S+)', words):
        found &= pc.match_substring(texts, quoted or plain, ignore_case=True).to_numpy(zero_copy_only=False)
    return found


def _place(word: str, known: Sequence[str], what: str) -> int:
    if word not in known:
        raise ConfigError(f"there is no {what} {word!r}", hint=", ".join(known))
    return known.index(word)


@dataclass(slots=True)
class SampleTable:
    """The columns of a run's samples while its shards are read. One thread adds, others take snapshots."""

    scorers: Sequence[str]
    shards: list[int] = field(default_factory=list)
    _rewards: RewardTable = field(default_factory=RewardTable)
    _weights: WeightTable | None = None
    _chunks: list[_Chunk] = field(default_factory=list)
    _snapshot: Snapshot | None = None
    _is_stale: bool = False
    _renew_at: float = 0.0
    _paths: dict[str, int] = field(default_factory=dict)
    _levels: dict[str, int] = field(default_factory=dict)
    _prompts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """First row and number of rows of each prompt."""
    _count: int = 0
    _prompt_count: int = 0

    def __len__(self) -> int:
        return self._count

    def add(self, run: Run, shard: int, scored: ScoredShard) -> None:
        """Take in the samples of a shard."""
        import numpy as np

        ids: list[str] = []
        texts: list[str] = []
        codes: dict[str, list[int]] = {
            name: [] for name in ("prompt", "candidate", "path", "level", "verdict", "causes")
        }
        values: dict[str, list[float]] = {name: [] for name in ("image_reward", "text_reward", *DERIVED)}
        values |= {score_column(name): [] for name in self.scorers}
        before = self._count
        for number, row in enumerate(scored.rows):
            prompt, scores = scored.prompts[row.group], scored.scores[row.sample_id]
            if not ids or ids[-1] != prompt.id:
                ids.append(prompt.id)
                texts.append(prompt.text)
                self._prompts[prompt.id] = before + number, 0
            first, size = self._prompts[prompt.id]
            self._prompts[prompt.id] = first, size + 1
            codes["prompt"].append(len(ids) - 1)
            codes["candidate"].append(int(row.sample_id.rpartition("-")[2]))
            codes["path"].append(self._paths.setdefault(prompt.path, len(self._paths)))
            codes["level"].append(self._levels.setdefault(prompt.level, len(self._levels)))
            codes["verdict"].append({True: 0, False: 1, None: 2}[row.passed])
            causes = find_causes(weighing(run, scores)) if row.passed is False else ()
            codes["causes"].append(sum(1 << CAUSES.index(cause) for cause in causes or ()))
            values["image_reward"].append(_number(row.image))
            values["text_reward"].append(_number(row.text))
            said = [score.value for score in scores if score.target == "text" and score.value is not None]
            values["plan_over_image"].append((sum(said) / len(said) if said else math.nan) - _number(row.image))
            values["gap"].append(_number(row.misjudged))
            for score in scores:
                values[score_column(score.name)].append(_number(score.value))
            self._rewards.append(row)
        arrays = {name: np.array(some, dtype=np.int32) for name, some in codes.items()}
        arrays["prompt"] += self._prompt_count
        arrays["place"] = np.arange(len(scored.rows), dtype=np.int32)
        arrays["shard"] = np.full(len(scored.rows), shard, dtype=np.int32)
        floats = {name: np.array(some, dtype=np.float32) for name, some in values.items()}
        self._chunks.append(_Chunk(shard, ids, texts, arrays, floats))
        self._count += len(scored.rows)
        self._prompt_count += len(ids)
        self.shards.append(shard)
        self._is_stale = True

    def weigh(self, run: Run, rejected: Collection[str] = ()) -> None:
        """Weigh all samples that are there as the run's dataset has them, without those that a person rejected.

        What repeats a sample is known when all are there: with `deduplicate` there are no weights before.
        """
        is_known = run.recipe.deduplicate is None or len(self.shards) == run.read_plan()["shards"]
        self._weights = weigh_rows(run, self._rewards, rejected, self.shards)[0] if is_known else None
        self._snapshot = None

    def find(self, sample_ids: Collection[str]) -> list[int]:
        """Return the rows of samples; an id that is not there is left out."""
        found = []
        for sample_id in sample_ids:
            first, size = self._prompts.get(sample_id.rpartition("-")[0], (0, 0))
            found += [row for row in range(first, first + size) if self._rewards.id_of(row) == sample_id]
        return sorted(found)

    def find_prompt(self, prompt_id: str) -> range:
        """Return the rows of a prompt's samples; none if it is not there."""
        first, size = self._prompts.get(prompt_id, (0, 0))
        return range(first, first + size)

    def snapshot(self) -> Snapshot:
        """Return the columns as they are now.

        The last shards may be missing until `weigh`: joining copies all columns, so it is not done for each shard.
        """
        started = time.perf_counter()
        if self._snapshot is None or (self._is_stale and started > self._renew_at):
            self._snapshot, self._is_stale = self._join(), False
            ended = time.perf_counter()
            self._renew_at = ended + REST * (ended - started)
        return self._snapshot

    def _join(self) -> Snapshot:
        import numpy as np
        import pyarrow as pa

        chunks = self._chunks
        if len(chunks) > 1:  # joined for good, so that the next one joins two
            ids = [each for chunk in chunks for each in chunk.ids]
            texts = [each for chunk in chunks for each in chunk.texts]
            codes, values = (
                {
                    name: np.concatenate([getattr(chunk, kind)[name] for chunk in chunks])
                    for name in getattr(chunks[0], kind)
                }
                for kind in ("codes", "values")
            )
            self._chunks = chunks = [_Chunk(-1, ids, texts, codes, values)]
        if not chunks:
            empty = {
                name: np.zeros(0, np.int32)
                for name in ("prompt", "candidate", "path", "level", "verdict", "causes", "place", "shard")
            }
            return Snapshot((), pa.array([], pa.string()), empty, {}, None, (), ())
        (chunk,) = chunks
        weighed: dict[str, Any] = {}
        for name, column in zip(WEIGHTS, ("image", "text"), strict=True):
            weighed[name] = np.full(self._count, np.nan, dtype=np.float32)
            if self._weights is not None:
                weighed[name][: len(self._weights)] = getattr(self._weights, column)
        return Snapshot(
            chunk.ids,
            pa.array(chunk.texts, pa.string()),
            chunk.codes,
            {**chunk.values, **weighed},
            self._weights,
            tuple(self._paths),
            tuple(self._levels),
        )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
