"""The figures of a run for the tracker that its recipe names under `track`; see `datagen.tracking`.

`generate/…` and `score/…` are by the samples that are done: how many, the share that failed, the mean image reward.
`final/…` are those of the weighed run, for all and by weakness. Parameters are the recipe, as the dataset card has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datagen.addresses import without_addresses
from datagen.config import name_files
from datagen.pipeline.run import Run
from datagen.pipeline.views import Weighed
from datagen.pipeline.watch import Progress, Watch
from datagen.records import hash_of
from datagen.tracking import About, Tracking, list_parameters

POINTS = 200
"""Points of a stage's curve, at most."""
STAGES = ("generate", "score")


class Tracked:
    """A watch that also hands the progress of a run to its tracker."""

    def __init__(self, watch: Watch, tracking: Tracking | None) -> None:
        self._watch, self._tracking = watch, tracking
        self._last: dict[str, int] = {}

    def show(self, progress: Progress) -> None:
        """Take how far a stage is."""
        self._watch.show(progress)
        stage, done = progress.stage, progress.done
        if self._tracking is None or stage not in STAGES or done == progress.before:
            return
        least = self._last.get(stage, progress.before) + max(1, progress.total // POINTS)
        if done >= least or (done == progress.total and self._last.get(stage) != done):
            self._last[stage] = done
            figures = {"samples": float(done), "failed": progress.failed / done, "reward": progress.reward}
            self._tracking.log({f"{stage}/{name}": value for name, value in figures.items()}, done)

    def say(self, text: str, brief: str = "") -> None:
        """Take what a person is told."""
        self._watch.say(text, brief)

    def finish(self, weighed: Weighed) -> None:
        """Hand on the figures of the weighed run."""
        if self._tracking is None:
            return
        sums: dict[str, list[float]] = {}
        for row, weight in zip(weighed.rows, weighed.weights, strict=True):
            told: dict[str, float | None] = {
                "passed": row.passed,
                "text_reward": row.text,
                "image_reward": row.image,
                "text_weight": weight.text_weight,
                "image_weight": weight.image_weight,
                "kept": weight.kept,
            }
            for name, value in told.items():
                if value is None:
                    continue
                for place in (name, f"{row.weakness}/{name}"):
                    total = sums.setdefault(place, [0.0, 0.0])
                    total[0] += float(value)
                    total[1] += 1
        means: dict[str, float | None] = {f"final/{name}": total / count for name, (total, count) in sums.items()}
        if weighed.passing is not None:
            means["final/in_dataset"] = sum(weighed.passing) / max(1, len(weighed.passing))
        self._tracking.log(means, len(weighed.rows))


@contextmanager
def track_run(run: Run, watch: Watch) -> Iterator[Tracked]:
    """Yield a watch that tracks the run if its recipe says so; what goes wrong with the tracker is said at the end.

    Raises PluginError and MissingExtraError before the run begins.
    """
    tracking = None if run.recipe.track is None else Tracking(run.recipe.track, describe_run(run))
    finished = False
    try:
        yield Tracked(watch, tracking)
        finished = True
    finally:
        if tracking is not None and (trouble := tracking.close(finished=finished)):
            watch.say(f"warning: {trouble}")


def describe_run(run: Run) -> About:
    """Return what a tracker is told of a run: the recipe without paths and servers, unless `addresses`."""
    recipe = run.recipe
    values: dict[str, Any] = {key: value for key, value in recipe.to_dict().items() if key not in ("track", "train")}
    if not recipe.addresses:
        values = without_addresses(name_files(values))
    fingerprint = run.folder.read_notes().get("fingerprint", "")
    return About(recipe.name, hash_of("run", str(run.folder), fingerprint), list_parameters(values))
