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
from functools import cached_property
from typing import TYPE_CHECKING, Any

from datagen.diagnose import pass_at
from datagen.experiment.plan import BEFORE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 2000
HELD_OUT, SELECTING = "held-out", "selecting"
JUDGES = (HELD_OUT, SELECTING)
"""The judge that made no weights, and the one that made them: how much of a gain carries over from one to the other."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The results of one held-out prompt: `passes` of `tries` judged candidates; `reward` is their mean, in [0, 1].

    `seen`: the training data of the arm and seed hold its words too, so it counts in no difference.
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

    `samples` drawn for it, `rows` that have a weight in its last data, `steps` it was trained, all rounds together but
    for `rows`.
    """

    label: str
    seed: int | None
    samples: int
    rows: int
    steps: int
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

    `closed` is the share of the first model's gap between pass@1 and pass@n by which pass@1 rose, None where there is
    no gap. `by_weakness` has (pass@1, closed) of each weakness. Where nothing passes or fails, `pass_1` is the mean
    reward and the rest None.
    """

    label: str
    seeds: int
    samples: int
    rows: int
    steps: int
    pass_1: Interval
    pass_n: float | None
    closed: Interval | None
    by_weakness: Mapping[str, tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Finding:
    """The difference in pass@1 of the first arm to the second, over `seeds` and the `prompts` that neither has seen.

    `carried` is what the held-out judge sees of the difference that the selecting judge sees, None unless the latter
    is beyond chance.
    """

    first: str
    second: str
    seeds: int
    prompts: int
    held_out: Interval
    selecting: Interval
    carried: Interval | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What an experiment found so far: by the name of the measure, its lines by judge and its findings."""

    candidates: Mapping[str, int]
    lines: Mapping[str, Mapping[str, Sequence[Line]]]
    findings: Mapping[str, Sequence[Finding]]


def summarize(points: Sequence[Point], compare: Iterable[tuple[str, str]]) -> Summary:
    """Return the figures of the points that are measured so far; the first is the first model."""
    compare = list(compare)
    labels = list(dict.fromkeys(point.label for point in points))
    lines, findings, candidates = {}, {}, {}
    for name, judged in points[0].measured.items():
        candidates[name] = max(cell.tries for cell in judged[HELD_OUT])
        tables = {judge: {label: Table.of(points, label, name, judge) for label in labels} for judge in JUDGES}
        lines[name] = {
            judge: [_line(points, each, tables[judge][BEFORE]) for each in tables[judge].values()] for judge in JUDGES
        }
        pairs = [(a, b) for a, b in compare if a in labels and b in labels]
        found = [_find(a, b, *(tables[judge][label] for judge in JUDGES for label in (a, b))) for a, b in pairs]
        findings[name] = [each for each in found if each is not None]
    return Summary(candidates, lines, findings)


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
        """Return the table of a label; prompts in the order of the first model's."""
        import numpy as np

        order = {cell.prompt: place for place, cell in enumerate(points[0].measured[measure][judge])}
        paths = tuple(cell.path for cell in points[0].measured[measure][judge])
        chosen = [point for point in points if point.label == label]
        first, best = (np.full((len(chosen), len(order)), np.nan) for _ in range(2))
        seen = np.zeros(first.shape, bool)
        for row, point in enumerate(chosen):
            for cell in point.measured[measure][judge]:
                place = order[cell.prompt]
                seen[row, place] = cell.seen
                if cell.tries:
                    first[row, place] = pass_at(cell.tries, cell.passes, 1)
                    best[row, place] = pass_at(cell.tries, cell.passes, cell.tries)
                elif cell.reward is not None:
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
    """Means over tables of seeds by prompts (s, p), NaN left out: the value, and `RESAMPLES` resampled ones."""

    def __init__(self, seeds: int, prompts: int) -> None:
        import numpy as np

        rng = np.random.default_rng(0)
        self._rows = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES).astype(float)
        self._columns = rng.multinomial(prompts, np.full(prompts, 1 / prompts), RESAMPLES).astype(float)

    def mean(self, table: Floats) -> Floats:
        """Return (1 + RESAMPLES,): the mean of the table, and its resampled means."""
        import numpy as np

        known = ~np.isnan(table)
        filled = np.where(known, table, 0.0)
        sums = ((self._rows @ filled) * self._columns).sum(1)
        counts = ((self._rows @ known.astype(float)) * self._columns).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.concatenate([[filled.sum() / known.sum()], sums / counts])


def bound(values: Floats) -> Interval:
    """Return the first value with the 95 % interval of the others; those that are not finite are left out."""
    import numpy as np

    low, high = np.quantile(values[1:][np.isfinite(values[1:])], [0.025, 0.975])
    return Interval(float(values[0]), float(min(low, values[0])), float(max(high, values[0])))


def _line(points: Sequence[Point], table: Table, before: Table) -> Line:
    import numpy as np

    chosen = [point for point in points if point.label == table.label]
    resampling = Resampling(*table.first.shape)
    rate = resampling.mean(table.first)
    is_strict = not np.isnan(before.best).all()
    weaknesses = [path.partition("/")[0] for path in table.paths]
    places = {name: np.array([each == name for each in weaknesses]) for name in dict.fromkeys(weaknesses)}

    def close(where: Any) -> Floats:
        here, start = Resampling(len(table.seeds), int(where.sum())), before.on_seeds(table.seeds)
        low, high = here.mean(start.first[:, where]), here.mean(start.best[:, where])
        with np.errstate(invalid="ignore", divide="ignore"):
            return (here.mean(table.first[:, where]) - low) / (high - low)

    def close_part(where: Any) -> float | None:
        value = float(close(where)[0]) if is_strict and table.label != BEFORE else np.nan
        return value if np.isfinite(value) else None

    shares = close(np.ones(len(weaknesses), bool))
    has_gap = is_strict and table.label != BEFORE and bool(np.isfinite(shares[0]))
    samples, rows, steps = (
        round(float(np.mean([getattr(point, name) for point in chosen]))) for name in ("samples", "rows", "steps")
    )
    return Line(
        table.label,
        len(table.seeds),
        samples,
        rows,
        steps,
        pass_1=bound(rate),
        pass_n=float(np.nanmean(table.best)) if is_strict else None,
        closed=bound(shares) if has_gap else None,
        by_weakness={name: (float(np.nanmean(table.first[:, at])), close_part(at)) for name, at in places.items()},
    )


def _find(first: str, second: str, *tables: Table) -> Finding | None:
    """Return the finding on two labels from their tables by the held-out and by the selecting judge."""
    import numpy as np

    seeds = _share_seeds(tables[0], tables[1])
    if not seeds:
        return None
    held_a, held_b, own_a, own_b = (table.on_seeds(seeds) for table in tables)
    held, own = held_a.unseen - held_b.unseen, own_a.unseen - own_b.unseen
    if np.isnan(held).all() or np.isnan(own).all():
        return None
    resampling = Resampling(*held.shape)
    by_held, by_own = resampling.mean(held), resampling.mean(own)
    selecting = bound(by_own)
    is_beyond = selecting.low > 0 or selecting.high < 0
    with np.errstate(invalid="ignore", divide="ignore"):
        carried = bound(by_held / by_own) if is_beyond else None
    known = int((~np.isnan(held)).any(0).sum())
    return Finding(first, second, len(seeds), known, bound(by_held), selecting, carried)


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
        return f"{rate:.3f}" + (f", {closed:.0%}" if closed is not None else "")

    is_first = line["label"] == BEFORE
    budget = ["–"] * 4 if is_first else [f"{line[name]:,}" for name in ("seeds", "samples", "rows", "steps")]
    pass_n = f"{line['pass_n']:.3f}" if line["pass_n"] is not None else "–"
    closed = Interval(**line["closed"]).show(".0%") if line["closed"] else "–"
    return [line["label"], *budget, Interval(**line["pass_1"]).show(), pass_n, closed, *map(part, weaknesses)]


def _show_finding(found: Mapping[str, Any]) -> list[str]:
    judged = [Interval(**found[judge]).show("+.3f") for judge in ("held_out", "selecting")]
    carried = Interval(**found["carried"]).show(".0%") if found["carried"] else "–"
    return [f"{found['first']} − {found['second']}", *judged, carried, f"{found['seeds']} x {found['prompts']}"]
