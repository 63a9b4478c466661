"""Figures of an experiment: pass rates of each arm and differences between arms, with intervals over prompts and seeds.

Every arm answers the same held-out prompts, with every training seed. So a figure is a mean over a table of seeds by
prompts, and a difference is one over the table of differences: paired. Both ways of chance count: the 95 % intervals
come from resampling seeds and prompts at once (the pigeonhole bootstrap of Owen, Annals of Applied Statistics 2007,
whose variance is at least the true one but for the few levels: three seeds tell little about how seeds differ).

The arms are compared in the pairs that the experiment named before it began. The intervals are not widened for there
being several pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from datagen.diagnose import pass_at
from datagen.experiment.plan import BEFORE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 2000
BLOCK = 1_000_000
"""Numbers of a table of resamples by prompts that are computed at a time."""
HELD_OUT, SELECTING = "held-out", "selecting"
JUDGES = (HELD_OUT, SELECTING)
"""The judge that made no weights, and the one that made them: how much of a gain carries over from one to the other."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The results of one held-out prompt: `passes` of `tries` judged candidates; `reward` is their mean, in [0, 1].

    What the model did not finish is a try that failed. `seen`: the training data of the arm and seed hold its words
    too, so it counts in no difference.
    """

    prompt: str
    path: str
    tries: int
    passes: float
    reward: float | None
    seen: bool = False


Measured = Mapping[str, Mapping[str, Sequence[Cell]]]
"""Cells by the name of the measure and by the judge."""


@dataclass(frozen=True, slots=True)
class Point:
    """A measured model: a round of an arm with a seed, or the first model (`seed` None).

    `samples` drawn for it, `rows` that it learned from in its last round, `steps` it was trained, None if only its
    trainer knows; all rounds together but for `rows`.
    """

    label: str
    seed: int | None
    samples: int
    rows: int
    steps: int | None
    measured: Measured


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def show(self, form: str = ".3f") -> str:
        """Return it as text: `0.733 (0.711 to 0.755)`."""
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"


@dataclass(frozen=True, slots=True)
class Line:
    """One arm by one judge on one set of prompts.

    `closed` is the share of the first model's gap between pass@1 and pass@n by which pass@1 rose, over the prompts that
    the training data do not hold and that are judged for both models; None where there is no gap. `by_weakness` has
    (pass@1, closed) of each weakness. Where nothing passes or fails, `pass_1` is the mean reward and the rest None;
    where nothing is judged, a rate is None too.
    """

    label: str
    seeds: int
    samples: int
    rows: int
    steps: int | None
    pass_1: Interval | None
    pass_n: float | None
    closed: Interval | None
    by_weakness: Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True)
class Finding:
    """The difference in pass@1 of the first arm to the second, over the cells that both have judged and not seen.

    A cell is a seed and a prompt: there are `cells` in `seeds` and `prompts`, fewer than their product where a prompt
    was trained on, or not judged, with some seeds. A judge that judged none has None. `carried` is what the held-out
    judge sees of the difference that the selecting judge sees, None unless the latter is beyond chance.
    """

    first: str
    second: str
    seeds: int
    prompts: int
    cells: int
    held_out: Interval | None
    selecting: Interval | None
    carried: Interval | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What an experiment found so far: by the name of the measure, its lines by judge and its findings.

    `candidates` are the samples of a held-out prompt: the n of pass@n.
    """

    candidates: Mapping[str, int]
    lines: Mapping[str, Mapping[str, Sequence[Line]]]
    findings: Mapping[str, Sequence[Finding]]


def summarize(points: Sequence[Point], compare: Iterable[tuple[str, str]], candidates: Mapping[str, int]) -> Summary:
    """Return the figures of the points that are measured so far; the first is the first model.

    `candidates` are the samples of a held-out prompt, by the name of the measure.
    """
    compare = list(compare)
    labels = list(dict.fromkeys(point.label for point in points))
    lines, findings = {}, {}
    for name in points[0].measured:
        tables = {judge: {label: Table.of(points, label, name, judge) for label in labels} for judge in JUDGES}
        lines[name] = {
            judge: [_line(points, each, tables[judge][BEFORE]) for each in tables[judge].values()] for judge in JUDGES
        }
        pairs = [(a, b) for a, b in compare if a in labels and b in labels]
        found = [_find(a, b, *(tables[judge][label] for judge in JUDGES for label in (a, b))) for a, b in pairs]
        findings[name] = [each for each in found if each is not None]
    return Summary({name: candidates[name] for name in lines}, lines, findings)


@dataclass(frozen=True)
class Table:
    """The results of one label by one judge: (seeds, prompts) float64, NaN where nothing was judged."""

    label: str
    seeds: tuple[int | None, ...]
    paths: tuple[str, ...]
    first: Floats
    best: Floats
    seen: NDArray[np.bool_]

    @classmethod
    def of(cls, points: Sequence[Point], label: str, measure: str, judge: str) -> Table:
        """Return the table of a label; prompts in the order of the first model's.

        It has pass rates if any prompt of any label has one by this judge, else mean rewards: never some of each.
        """
        import numpy as np

        order = {cell.prompt: place for place, cell in enumerate(points[0].measured[measure][judge])}
        paths = tuple(cell.path for cell in points[0].measured[measure][judge])
        chosen = [point for point in points if point.label == label]
        is_strict = any(cell.tries for point in points for cell in point.measured[measure][judge])
        first, best = (np.full((len(chosen), len(order)), np.nan) for _ in range(2))
        seen = np.zeros(first.shape, bool)
        for row, point in enumerate(chosen):
            for cell in point.measured[measure][judge]:
                place = order[cell.prompt]
                seen[row, place] = cell.seen
                if cell.tries:
                    first[row, place] = pass_at(cell.tries, cell.passes, 1)
                    best[row, place] = pass_at(cell.tries, cell.passes, cell.tries)
                elif cell.reward is not None and not is_strict:
                    first[row, place] = cell.reward
        return cls(label, tuple(point.seed for point in chosen), paths, first, best, seen)

    def on_seeds(self, seeds: Sequence[int | None]) -> Table:
        """Return the rows of some seeds; the first model is the same for each."""
        rows = [0] * len(seeds) if self.label == BEFORE else [self.seeds.index(seed) for seed in seeds]
        return Table(self.label, tuple(seeds), self.paths, self.first[rows], self.best[rows], self.seen[rows])

    @cached_property
    def unseen(self) -> Floats:
        """pass@1 where the training data did not hold the prompt, else NaN."""
        import numpy as np

        return np.where(self.seen, np.nan, self.first)


class Resampling:
    """Means over tables of seeds by prompts (s, p), NaN left out: the value, and `RESAMPLES` resampled ones.

    It holds a byte for each resample and prompt, and twice `BLOCK` numbers more while it computes.
    """

    def __init__(self, seeds: int, prompts: int) -> None:
        import numpy as np

        rng = np.random.default_rng(0)
        self._rows = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES).astype(float)
        step = max(1, BLOCK // max(1, prompts))
        self._blocks = [
            (slice(start, start + step), _count(rng, prompts, many))
            for start in range(0, RESAMPLES, step)
            for many in (min(step, RESAMPLES - start),)
        ]

    def mean(self, table: Floats) -> Floats:
        """Return (1 + RESAMPLES,): the mean of the table, and its resampled means."""
        import numpy as np

        known = ~np.isnan(table)
        filled = np.where(known, table, 0.0)
        sums, counts = np.empty(RESAMPLES), np.empty(RESAMPLES)
        for place, columns in self._blocks:
            sums[place] = np.einsum("rp,rp->r", self._rows[place] @ filled, columns)
            counts[place] = np.einsum("rp,rp->r", self._rows[place] @ known.astype(float), columns)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.concatenate([[filled.sum() / known.sum()], sums / counts])


def _count(rng: np.random.Generator, prompts: int, many: int) -> NDArray[np.uint8]:
    """Return how often each prompt is drawn in `many` resamples, (many, prompts); never more than 255 times."""
    import numpy as np

    return rng.multinomial(prompts, np.full(prompts, 1 / prompts), many).astype(np.uint8)


@lru_cache(maxsize=4)
def resample(seeds: int, prompts: int) -> Resampling:
    """Return the resampling of a shape, which is the same for all tables of it."""
    return Resampling(seeds, prompts)


def bound(values: Floats) -> Interval | None:
    """Return the first value with the 95 % interval of the others, None if it is not finite.

    Others that are not finite are left out.
    """
    import numpy as np

    if not np.isfinite(values[0]):
        return None
    low, high = np.quantile(values[1:][np.isfinite(values[1:])], [0.025, 0.975])
    return Interval(float(values[0]), float(min(low, values[0])), float(max(high, values[0])))


def _mean(table: Floats) -> float | None:
    """Return the mean of what is judged, None if nothing is."""
    import numpy as np

    return float(np.nanmean(table)) if not np.isnan(table).all() else None


def _line(points: Sequence[Point], table: Table, before: Table) -> Line:
    import numpy as np

    chosen = [point for point in points if point.label == table.label]
    weaknesses = [path.partition("/")[0] for path in table.paths]
    places = {name: np.array([each == name for each in weaknesses]) for name in dict.fromkeys(weaknesses)}
    start = before.on_seeds(table.seeds)
    rise, gap = table.unseen - start.first, start.best - start.first
    unknown = np.isnan(rise) | np.isnan(gap)  # a share is one of the same cells
    rise, gap = np.where(unknown, np.nan, rise), np.where(unknown, np.nan, gap)

    def close() -> Interval | None:
        here = resample(*rise.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            return bound(here.mean(rise) / here.mean(gap))

    def share(where: Any) -> float | None:
        risen, wide = _mean(rise[:, where]), _mean(gap[:, where])
        return None if table.label == BEFORE or risen is None or not wide else risen / wide

    samples, rows = (round(float(np.mean([getattr(each, name) for each in chosen]))) for name in ("samples", "rows"))
    steps = [point.steps for point in chosen if point.steps is not None]
    return Line(
        table.label,
        len(table.seeds),
        samples,
        rows,
        round(float(np.mean(steps))) if len(steps) == len(chosen) else None,
        pass_1=bound(resample(*table.first.shape).mean(table.first)),
        pass_n=_mean(table.best),
        closed=None if table.label == BEFORE else close(),
        by_weakness={name: (_mean(table.first[:, at]), share(at)) for name, at in places.items()},
    )


def _find(first: str, second: str, *tables: Table) -> Finding | None:
    """Return the finding on two labels from their tables by the held-out and by the selecting judge."""
    import numpy as np

    seeds = _share_seeds(tables[0], tables[1])
    if not seeds:
        return None
    held_a, held_b, own_a, own_b = (table.on_seeds(seeds) for table in tables)
    held, own = held_a.unseen - held_b.unseen, own_a.unseen - own_b.unseen
    resampling = resample(*held.shape)
    by_held, by_own = resampling.mean(held), resampling.mean(own)
    held_out, selecting = bound(by_held), bound(by_own)
    if held_out is None and selecting is None:
        return None
    is_beyond = selecting is not None and (selecting.low > 0 or selecting.high < 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        carried = bound(by_held / by_own) if is_beyond else None
    known = ~np.isnan(held if held_out is not None else own)
    rows, columns, cells = (int(each.sum()) for each in (known.any(1), known.any(0), known))
    return Finding(first, second, rows, columns, cells, held_out, selecting, carried)


def _share_seeds(a: Table, b: Table) -> list[int | None]:
    """Return the seeds that both have; the first model has each."""
    if BEFORE in (a.label, b.label):
        return list(b.seeds if a.label == BEFORE else a.seeds)
    return [seed for seed in a.seeds if seed in b.seeds]


def dump_figures(summary: Summary) -> dict[str, Any]:
    """Return a summary as plain JSON values, numbers with four digits."""
    rounded: dict[str, Any] = _round(asdict(summary))
    return rounded


def _round(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _round(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_round(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def render_markdown(figures: Mapping[str, Any]) -> str:
    """Return the tables of `dump_figures` as Markdown: what docs and cards show."""
    parts = []
    for measure, judges in figures["lines"].items():
        n, lines = figures["candidates"][measure], judges[HELD_OUT]
        weaknesses = list(lines[0]["by_weakness"])
        head = ["arm", "seeds", "samples", "rows", "steps", "pass@1", f"pass@{n}", "gap closed", *weaknesses]
        rows = [_show_line(line, weaknesses) for line in lines]
        title = f"On the held-out prompts `{measure}`, by the held-out judge:\n\n" if len(figures["lines"]) > 1 else ""
        parts.append(title + _table(head, rows))
        if found := figures["findings"][measure]:
            head = ["difference in pass@1", "held-out judge", "selecting judge", "carried over", "seeds x prompts"]
            parts.append(_table(head, [_show_finding(each) for each in found]))
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _show_line(line: Mapping[str, Any], weaknesses: Sequence[str]) -> list[str]:
    def part(name: str) -> str:
        rate, closed = line["by_weakness"][name]
        return _show_rate(rate) + (f", {closed:.0%}" if closed is not None else "")

    is_first = line["label"] == BEFORE
    sizes = [line[name] for name in ("seeds", "samples", "rows", "steps")]
    budget = ["–" if is_first or size is None else f"{size:,}" for size in sizes]
    pass_1 = Interval(**line["pass_1"]).show() if line["pass_1"] else "–"
    closed = Interval(**line["closed"]).show(".0%") if line["closed"] else "–"
    return [line["label"], *budget, pass_1, _show_rate(line["pass_n"]), closed, *map(part, weaknesses)]


def _show_rate(rate: float | None) -> str:
    return f"{rate:.3f}" if rate is not None else "–"


def _show_finding(found: Mapping[str, Any]) -> list[str]:
    told = [found[judge] for judge in ("held_out", "selecting")]
    judged = [Interval(**each).show("+.3f") if each else "–" for each in told]
    carried = Interval(**found["carried"]).show(".0%") if found["carried"] else "–"
    seeds, prompts = found["seeds"], found["prompts"]
    # Figures of before `cells` was noted tell all seeds and prompts.
    size = show_size(seeds, prompts, found.get("cells", seeds * prompts))
    return [f"{found['first']} − {found['second']}", *judged, carried, size]


def show_size(seeds: int, prompts: int, cells: int) -> str:
    """Return over how much a finding goes: `3 x 300`, or `840 of 3 x 300` where some cells do not count."""
    return (f"{cells:,} of " if cells < seeds * prompts else "") + f"{seeds} x {prompts}"
