"""The page of an experiment: one HTML file without a script that opens offline and links to the report of each data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from datagen.experiment.figures import HELD_OUT, SELECTING, Interval, Point, Summary, show_size
from datagen.report import Estimate, plot_dots, render_plain

if TYPE_CHECKING:
    from datagen.experiment.arms import ExperimentPlan

TEMPLATE = Path(__file__).with_name("page.html.j2")


def render_experiment(plan: ExperimentPlan, points: list[Point], summary: Summary) -> str:
    """Return the page: what was asked, each arm's rates by both judges, and the differences between arms."""
    experiment = plan.experiment
    expected = len(experiment.seeds) * sum(arm.rounds for arm in experiment.arms.values())
    reports = sorted(plan.folder.glob("arms/*/*/*/run/report.html"))
    return render_plain(
        TEMPLATE,
        {
            "name": plan.file.stem,
            "question": experiment.question,
            "arms": experiment.arms,
            "done": len(points) - 1,
            "expected": expected,
            "summary": summary,
            "size": show_size,
            "held_out": HELD_OUT,
            "selecting": SELECTING,
            "prompts": {name: len(judged[HELD_OUT]) for name, judged in points[0].measured.items()},
            "reports": {str(path.parents[1].relative_to(plan.folder / "arms")): path for path in reports},
            "folder": plan.folder,
            "plot": plot_rate,
        },
    )


def plot_rate(rate: Interval | None, label: str) -> Markup:
    """Plot a rate on an axis from 0 to 1 with its interval; nothing where nothing is judged."""
    if rate is None:
        return Markup("")
    return plot_dots([("one", "pass@1", Estimate(rate.value, rate.low, rate.high, 0))], label)
