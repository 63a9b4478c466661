"""Runs the arms of an experiment in one folder: build, train and measure, for each seed.

    experiment.yaml                      the experiment
    before/                              the first model, measured
    arms/both/seed-1/round-1/            run/, checkpoint/, probe/<measure>/<judge>/, measured.json
    experiment.html, .json, .md          what came out so far, made again after every arm and seed

A step is done when its file is there, so an experiment that was stopped goes on with the same command, also with more
arms or seeds. Arms that differ only in their weights are weighed from the same samples, which are drawn once.

Not covered: a folder on an object store; arms that run side by side.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.config import Recipe, make_recipe
from datagen.documents.reading import dump_yaml, read_yaml
from datagen.errors import RunError
from datagen.experiment.figures import HELD_OUT, JUDGES, Cell, Point, Summary, dump_figures, render_markdown, summarize
from datagen.experiment.plan import BEFORE, Arm, Experiment, label_of, resolve_recipe
from datagen.filesystems import write_text
from datagen.loop import Purse, check_trainer, count_learned, mix_rounds, set_model, train_round
from datagen.pipeline import (
    Account,
    Budget,
    Execute,
    Run,
    Watch,
    adopt_shards,
    build_run,
    create_run,
    open_run,
    plan_stage,
    probe_recipe,
    read_groups,
    read_texts,
    run_jobs,
)
from datagen.records import seed_of
from datagen.store import RunFolder

if TYPE_CHECKING:
    from datagen.training.finetune import TrainStep

COMMAND = "datagen experiment"


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """An experiment, its file, and the folder of what it makes. `more` are overrides of every recipe, `key=value`.

    `keep` goes on although a module changed.
    """

    experiment: Experiment
    file: Path
    folder: Path
    more: tuple[str, ...] = ()
    keep: bool = False

    def resolve(self, name: str = "") -> Recipe:
        """Return a recipe, as `resolve_recipe` does."""
        return resolve_recipe(self.experiment, self.file, name, self.more)


def run_experiment(
    plan: ExperimentPlan,
    execute: Execute,
    watch: Watch,
    show_training: Callable[[TrainStep], None],
    budget: Budget | None = None,
) -> Summary:
    """Run what is missing of an experiment; afterwards its pages show it.

    Raises ConfigError before anything is made, if a recipe is wrong or has no trainer or no independent judge. Raises
    Paused when the budget of this call is spent, RunError if the folder holds another experiment or a training fails.
    """
    bench = _Bench(plan, execute, watch, show_training, budget or Budget())
    experiment = plan.experiment
    with RunFolder(str(plan.folder)).hold():
        _claim(plan)
        points = [bench.measure_first()]
        summary = _conclude(plan, points)
        for seed in experiment.seeds:
            for name, arm in experiment.arms.items():
                watch.say(f"arm {name}, seed {seed}")
                points += bench.run_arm(name, arm, seed)
                summary = _conclude(plan, points)
    return summary


class _Bench:
    """Makes what is missing of an experiment, with the models and the budget of this call."""

    def __init__(
        self,
        plan: ExperimentPlan,
        execute: Execute,
        watch: Watch,
        show_training: Callable[[TrainStep], None],
        budget: Budget,
    ) -> None:
        self._plan, self._execute, self._watch, self._show_training = plan, execute, watch, show_training
        self._base = plan.resolve()
        self._recipes = {name: plan.resolve(f"arms.{name}") for name in plan.experiment.arms}
        self._measures = {
            name: (each, plan.resolve(f"measure.{name}")) for name, each in plan.experiment.measure.items()
        }
        for recipe in self._recipes.values():
            check_trainer(recipe)
        for name in self._measures:
            self._probe(name, HELD_OUT, None)
        self._purse = Purse(self._base.prices, budget)
        self._built: list[Run] = []

    def measure_first(self) -> Point:
        """Return the figures of the first model."""
        return self._finish(self._plan.folder / BEFORE, None, Point(BEFORE, None, 0, 0, 0, {}), set())

    def run_arm(self, name: str, arm: Arm, seed: int) -> list[Point]:
        """Return the figures of each round of an arm with a seed, after what is missing of it."""
        recipe, points = self._recipes[name], list[Point]()
        places = [self._plan.folder / "arms" / name / f"seed-{seed}" / f"round-{k + 1}" for k in range(arm.rounds)]
        start, texts, samples, steps = None, set[str](), 0, 0
        for number, place in enumerate(places, 1):
            place.mkdir(parents=True, exist_ok=True)
            source = place if arm.fresh else places[0]
            if source is place:
                self._build(self._recipe_of_round(recipe, seed, number, start), place / "run")
            run = open_run(str(source / "run"))
            texts |= set(read_texts(run).values())
            drawn = sum(run.folder.count_samples(shard) for shard in run.folder.list_shards("samples"))
            rows = count_learned(source / "run" / "dataset")
            self._train(recipe, places[:number], source, start, number, seed)
            start = place / "checkpoint"
            samples, steps = samples + (drawn if source is place else 0), steps + _count_steps(start)
            point = Point(label_of(name, arm, number), seed, samples, rows, steps, {})
            points.append(self._finish(place, start, point, texts))
        return points

    def _recipe_of_round(self, recipe: Recipe, seed: int, number: int, start: Path | None) -> Recipe:
        changes = {"name": f"{recipe.name[:70]}-seed-{seed}-round-{number}", "seed": seed_of(seed, COMMAND, number)}
        return set_model(make_recipe({**recipe.to_dict(), **changes}, where=recipe.name), recipe, start)

    def _build(self, recipe: Recipe, place: Path) -> None:
        run = create_run(recipe, str(place), COMMAND, keep=self._plan.keep)
        if not (place / "report.html").is_file():
            with run.folder.hold(), self._purse.pay(run) as rest:
                for other in self._built:
                    adopt_shards(run, other)
                if unreached := build_run(run, self._execute, self._watch, rest).unreached:
                    self._watch.say(f"warning: {place} is trained on without some samples: {unreached}")
        self._built.append(Run(run.recipe, run.folder.address, run.folder.marks))  # without its models
        del run
        gc.collect()

    def _train(
        self, recipe: Recipe, places: list[Path], source: Path, start: Path | None, number: int, seed: int
    ) -> None:
        place = places[-1]
        if (place / "trained.json").is_file():
            return
        replay = recipe.train.replay if recipe.train and source is place else 0.0
        earlier = [each / "run" / "dataset" for each in places[:-1]]
        dataset = mix_rounds(source / "run" / "dataset", earlier, replay, place / "data")

        def show(step: TrainStep) -> None:
            self._show_training(step)
            self._purse.require_time(f"{step.done:,} of {step.total:,} training steps are done")

        self._purse.require_time("its data are there, it is not trained")
        train_round(recipe, dataset, start, place, number, 100 * seed + number, show)
        write_text(place / "trained.json", json.dumps({"from": str(start or "")}))

    def _finish(self, place: Path, checkpoint: Path | None, point: Point, texts: set[str]) -> Point:
        """Measure a model, or read what was measured, and return the point with its figures."""
        file = place / "measured.json"
        known = read_measured(file) if file.is_file() else {}
        if missing := [name for name in self._measures if name not in known]:
            for name in missing:
                known[name] = self._measure(name, place, checkpoint, texts)
            write_text(file, json.dumps({name: _dump_cells(judged) for name, judged in known.items()}))
        measured = {name: known[name] for name in self._measures}
        return Point(point.label, point.seed, point.samples, point.rows, point.steps, measured)

    def _measure(self, name: str, place: Path, checkpoint: Path | None, texts: set[str]) -> dict[str, list[Cell]]:
        """Return the results of a model on a set of held-out prompts by each judge, from the same samples."""
        cells, first = dict[str, list[Cell]](), None
        for judge in JUDGES:
            recipe = self._probe(name, judge, checkpoint)
            run = create_run(recipe, str(place / "probe" / name / judge), COMMAND, keep=self._plan.keep)
            with run.folder.hold(), self._purse.pay(run) as rest:
                if first is not None:
                    adopt_shards(run, first)
                plan_stage(run, self._watch)
                run_jobs(run, "both", self._execute, self._watch, Account(run, rest))
            known = read_texts(run)
            cells[judge] = [
                Cell(group.prompt, path, group.tries, group.passes, _mean(group.rewards), known[group.prompt] in texts)
                for path, groups in read_groups(run).items()
                for group in groups
            ]
            first = Run(run.recipe, run.folder.address, run.folder.marks)
            del run
            gc.collect()
        return cells

    def _probe(self, name: str, judge: str, checkpoint: Path | None) -> Recipe:
        measure, recipe = self._measures[name]
        probe = probe_recipe(recipe, measure.prompts, measure.candidates, held_out=judge == HELD_OUT)
        return set_model(probe, recipe, checkpoint)


def _count_steps(checkpoint: Path) -> int:
    """Return the steps of the embedded trainer, 0 for a checkpoint of another one."""
    file = checkpoint / "training.json"
    return int(json.loads(file.read_text(encoding="utf-8"))["steps"]) if file.is_file() else 0


def _mean(values: tuple[float, ...]) -> float | None:
    return sum(values) / len(values) if values else None


def _dump_cells(judged: dict[str, list[Cell]]) -> dict[str, list[list[Any]]]:
    return {judge: [list(asdict(cell).values()) for cell in cells] for judge, cells in judged.items()}


def read_measured(file: Path) -> dict[str, dict[str, list[Cell]]]:
    """Return the results in a measured.json; raises RunError if it is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {
            name: {judge: [Cell(*cell) for cell in judged[judge]] for judge in JUDGES} for name, judged in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "delete that file: its model is measured again, from the same samples"
        raise RunError(f"damaged: {error}", where=str(file), hint=hint) from error


def _conclude(plan: ExperimentPlan, points: list[Point]) -> Summary:
    """Write down what came out so far: experiment.json, experiment.md and experiment.html."""
    from datagen.experiment.page import render_experiment

    summary = summarize(points, plan.experiment.compare)
    figures = dump_figures(summary)
    write_text(plan.folder / "experiment.json", json.dumps(figures, indent=1))
    write_text(plan.folder / "experiment.md", render_markdown(figures))
    write_text(plan.folder / "experiment.html", render_experiment(plan, points, summary))
    return summary


def _claim(plan: ExperimentPlan) -> None:
    """Note what the experiment is. Raises RunError if the folder holds something that does not go with it."""
    file = plan.folder / "experiment.yaml"
    now = {**plan.experiment.model_dump(mode="json"), "more": list(plan.more)}
    if file.is_file():
        there = read_yaml(file).data
        old = there if isinstance(there, dict) else {}
        changed = [key for key in ("recipe", "set", "more") if old.get(key) != now[key]]
        for key in ("arms", "measure"):
            before = old.get(key) or {}
            changed += [f"{key}.{name}" for name in before.keys() & now[key].keys() if before[name] != now[key][name]]
        if changed:
            what = f"holds another experiment; changed: {', '.join(sorted(changed))}"
            raise RunError(what, where=str(plan.folder), hint="choose another --run")
    elif plan.folder.exists() and any(path.name != ".lock" for path in plan.folder.iterdir()):
        raise RunError("exists already and is not an experiment", where=str(plan.folder), hint="choose another --run")
    write_text(file, dump_yaml(now))
