"""The page of a loop: one HTML file without a script that opens offline and links to each round's report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from datagen.diagnose import LEAST_PROMPTS, Rate, Row
from datagen.loop.judging import LEAST_CHANGED
from datagen.records import CAUSES
from datagen.report import Estimate, plot_dots, render_plain

if TYPE_CHECKING:
    from datagen.loop.rounds import LoopResult, Round

TEMPLATE = Path(__file__).with_name("page.html.j2")
LINKS = {
    "report of its data": "run/report.html",
    "diagnosis": "diagnosis.yaml",
    "losses": "checkpoint/loss.svg",
    "log of the trainer": "train.log",
}
"""Files of a round that the page links to, if they are there."""


@dataclass(frozen=True, slots=True)
class Line:
    """One skill or level, with its measurement in each round, None where it was not judged."""

    path: str
    rows: tuple[Row | None, ...]
    depth: int
    """0 for all prompts, 1 for a skill, also one whose only level has the row, 2 for a level below its skill."""


def render_loop(result: LoopResult) -> str:
    """Return the page: what came of each round, pass rates by skill, and why samples fail."""
    rounds, plan = result.rounds, result.plan
    paths = dict.fromkeys(row.path for each in rounds for row in each.diagnosis.rows)
    found = [{row.path: row for row in each.diagnosis.rows} for each in rounds]
    lines = [Line("all", tuple(each.whole for each in rounds), 0)]
    lines += [
        Line(path, tuple(rows.get(path) for rows in found), 2 if path.rpartition("/")[0] in paths else 1)
        for path in paths
    ]
    told = [row.causes for line in lines for row in line.rows if row and row.causes]
    return render_plain(
        TEMPLATE,
        {
            "name": plan.recipe.name,
            "made": rounds[0].diagnosis.made,
            "detector": ((plan.recipe.train and plan.recipe.train.detector) or plan.recipe.detector).name,
            "rounds": list(zip(rounds, result.standing.bases, result.standing.gains, strict=True)),
            "best": result.standing.best,
            "helps": [result.standing.helps(each.number) for each in rounds],
            "left": result.standing.left[-1],
            "least": LEAST_PROMPTS,
            "changed": LEAST_CHANGED,
            "stop": result.stop,
            "lines": lines,
            "causes": [cause for cause in CAUSES if any(cause in causes for causes in told)],
            "links": {each.number: _list_links(result, each) for each in rounds},
            "plot": plot_rates,
        },
    )


def plot_rates(row: Row, label: str, n: int) -> Markup:
    """Plot pass@1 and pass@n of a row with their intervals; the mean reward where nothing passes or fails."""
    if row.pass_1 is None:
        return plot_dots([("image", "reward", _estimate(row.reward))], label)
    return plot_dots([("one", "pass@1", _estimate(row.pass_1)), ("many", f"pass@{n}", _estimate(row.pass_n))], label)


def _estimate(rate: Rate | None) -> Estimate | None:
    return None if rate is None else Estimate(rate.value, rate.low, rate.high, rate.prompts)


def _list_links(result: LoopResult, each: Round) -> dict[str, str]:
    """Return words and relative addresses of the files of a round that are there."""
    place = result.plan.locate(each.number)
    base = place.relative_to(result.plan.folder).as_posix()
    return {words: f"{base}/{name}" for words, name in LINKS.items() if (place / name).is_file()}
