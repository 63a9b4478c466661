"""Runs the arms of an experiment in one folder: build, train and measure, for each seed.

    experiment.yaml                      the experiment, and the recipes of its arms and measures as they were resolved
    before/                              the first model, measured
    arms/both/seed-1/round-1/            run/, checkpoint/, probe/<measure>/<judge>/, measured.json
    experiment.html, .json, .md          what came out so far, made again after every arm and seed

A step is done when its file is there, so an experiment that was stopped goes on with the same command, also with more
arms or seeds. Arms that differ only in their weights are weighed from the same samples, which are drawn once.

Several processes may run the same experiment in the same folder, also on several machines that share it: each takes an
arm and seed (or the first model) that is not done and that no other one holds. What comes out is the same.

Not covered: a folder on an object store.
"""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from datagen.config import Recipe, Training, make_recipe
from datagen.diagnose import fail_unfinished
from datagen.documents.reading import dump_yaml, read_yaml
from datagen.errors import ConfigError, PluginError, RunError
from datagen.experiment.figures import HELD_OUT, JUDGES, Cell, Point, Summary, dump_figures, render_markdown, summarize
from datagen.experiment.plan import BEFORE, Arm, Experiment, label_of, resolve_recipe
from datagen.filesystems import write_text
from datagen.loop import Purse, check_trainer, count_learned, mix_rounds, set_model, train_round
from datagen.pipeline import (
    Budget,
    Execute,
    Run,
    Watch,
    adopt_shards,
    answer_run,
    build_run,
    check_plugins,
    create_run,
    is_built,
    list_taught_changes,
    note_recipe,
    open_run,
    probe_recipe,
    read_groups,
    read_texts,
)
from datagen.prompts.contamination import normalize
from datagen.records import seed_of
from datagen.store import RunFolder

if TYPE_CHECKING:
    from datagen.training.finetune import TrainStep

COMMAND = "datagen experiment"
PARTS = "parts"
"""The key of experiment.yaml that says what arms and measures were made with, also those that the file has no more."""
OF_ARM = frozenset({"rounds", "fresh"})
"""What an arm has besides a recipe."""
MEASURED = "measured.json"
"""The results of a model on the held-out prompts: the last file of a round."""
VERSION = 2
"""Of that file. In version 1 what a model did not finish was left out; its samples, which are there, are read again."""


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
    desk = _Desk(plan, _Bench(plan, execute, watch, show_training, budget or Budget()))
    folder, parts = RunFolder(str(plan.folder)), dict(_note_parts(plan))
    with folder.hold(wait=True):
        _claim(plan, parts)
    while True:
        with ExitStack() as stack:
            with folder.hold(wait=True):
                summary, part = desk.conclude(), desk.take(stack)
            if part is None:
                break
            watch.say(str(part))
            desk.make(part)
    if desk.left:
        watch.say(f"left to other calls at work in {plan.folder}: {', '.join(map(str, desk.left))}")
    return summary


@dataclass(frozen=True, slots=True)
class _Part:
    """What one process makes at a time: all rounds of an arm with a seed, or the first model, which has neither."""

    arm: str | None = None
    seed: int | None = None

    def __str__(self) -> str:
        return BEFORE if self.arm is None else f"arm {self.arm}, seed {self.seed}"

    def place(self, folder: Path) -> Path:
        """Return its folder within that of the experiment."""
        return folder / BEFORE if self.arm is None else folder / "arms" / self.arm / f"seed-{self.seed}"


class _Desk:
    """Gives out the parts of an experiment, and puts together those that are done, whoever made them."""

    def __init__(self, plan: ExperimentPlan, bench: _Bench) -> None:
        self._plan, self._bench = plan, bench
        experiment = plan.experiment
        self._points = dict[_Part, list[Point]]()
        self._parts = [_Part(), *(_Part(arm, seed) for seed in experiment.seeds for arm in experiment.arms)]

    @property
    def left(self) -> list[_Part]:
        """The parts that were not done when `conclude` looked."""
        return [part for part in self._parts if part not in self._points]

    def conclude(self) -> Summary:
        """Read what is done by now and write the pages; nothing stands in them until the first model is measured."""
        for part in self.left:
            if self._is_done(part):
                self.make(part)
        if _Part() not in self._points:
            return Summary({}, {}, {})
        return _conclude(self._plan, [point for part in self._parts for point in self._points.get(part, [])])

    def take(self, stack: ExitStack) -> _Part | None:
        """Hold a part that is left and that nobody holds, as long as the stack; return None if there is none.

        It is one of the seed at which fewest are at work, since arms of a seed share samples that are drawn once.
        """
        held = set(filter(self._is_held, self.left))
        at_work = Counter(part.seed for part in held)
        part = min((part for part in self.left if part not in held), key=lambda part: at_work[part.seed], default=None)
        if part is not None:
            stack.enter_context(self._hold(part))
        return part

    def make(self, part: _Part) -> None:
        """Make what is missing of a part, and read it."""
        if part.arm is None or part.seed is None:
            self._points[part] = [self._bench.measure_first()]
        else:
            self._points[part] = self._bench.run_arm(part.arm, self._plan.experiment.arms[part.arm], part.seed)

    def _hold(self, part: _Part) -> AbstractContextManager[None]:
        return RunFolder(str(part.place(self._plan.folder))).hold()

    def _is_held(self, part: _Part) -> bool:
        try:
            with self._hold(part) if part.place(self._plan.folder).is_dir() else nullcontext():
                return False
        except RunError:
            return True

    def _is_done(self, part: _Part) -> bool:
        place = part.place(self._plan.folder)
        rounds = self._plan.experiment.arms[part.arm].rounds if part.arm else 0
        files = [place / f"round-{k}" / MEASURED for k in range(1, rounds + 1)] or [place / MEASURED]
        wanted = self._plan.experiment.measure.keys()
        return all(file.is_file() and wanted <= read_measured(file).keys() for file in files)


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

    def measure_first(self) -> Point:
        """Return the figures of the first model."""
        return self._finish(_Part().place(self._plan.folder), None, Point(BEFORE, None, 0, 0, 0, {}), set())

    def run_arm(self, name: str, arm: Arm, seed: int) -> list[Point]:
        """Return the figures of each round of an arm with a seed, after what is missing of it."""
        recipe, points = self._recipes[name], list[Point]()
        places = [_Part(name, seed).place(self._plan.folder) / f"round-{k + 1}" for k in range(arm.rounds)]
        start, texts, samples = None, set[str](), 0
        steps: int | None = 0
        for number, place in enumerate(places, 1):
            place.mkdir(parents=True, exist_ok=True)
            source = place if arm.fresh else places[0]
            if source is place and not (place / "trained.json").is_file():
                self._build(self._recipe_of_round(recipe, seed, number, start), place / "run", seed)
            run = open_run(str(source / "run"))
            texts |= set(map(normalize, read_texts(run).values()))
            drawn = sum(run.folder.count_samples(shard) for shard in run.folder.list_shards("samples"))
            rows = self._train(recipe, places[:number], source, start, number, seed)
            start = place / "checkpoint"
            trained = _count_steps(start)
            samples = samples + (drawn if source is place else 0)
            steps = None if steps is None or trained is None else steps + trained
            point = Point(label_of(name, arm, number), seed, samples, rows, steps, {})
            points.append(self._finish(place, start, point, texts))
        return points

    def _recipe_of_round(self, recipe: Recipe, seed: int, number: int, start: Path | None) -> Recipe:
        changes = {"name": f"{recipe.name[:70]}-seed-{seed}-round-{number}", "seed": seed_of(seed, COMMAND, number)}
        return set_model(make_recipe({**recipe.to_dict(), **changes}, where=recipe.name), recipe, start)

    def _build(self, recipe: Recipe, place: Path, seed: int) -> None:
        if is_built(place):
            return
        run = create_run(recipe, str(place), COMMAND, keep=self._plan.keep)
        with run.folder.hold():
            for other in sorted(self._plan.folder.glob(f"arms/*/seed-{seed}/*/run/run.yaml")):
                if other.parent != place:
                    adopt_shards(run, open_run(str(other.parent)))
            self._purse.insist(run, partial(build_run, run, self._execute, self._watch))
        del run
        gc.collect()

    def _train(
        self, recipe: Recipe, places: list[Path], source: Path, start: Path | None, number: int, seed: int
    ) -> int:
        """Train the model of a round unless that is done; return the number of rows that it learns from."""
        place, train = places[-1], recipe.train or Training()
        earlier = [each / "run" / "dataset" for each in places[:-1] if source is place]
        how = {"control": bool(train.control), "baseline": bool(train.baseline)}
        dataset = mix_rounds(source / "run" / "dataset", earlier, train.replay, place / "data", **how)
        rows = count_learned(dataset, **how)
        if (place / "trained.json").is_file():
            return rows

        def show(step: TrainStep) -> None:
            self._show_training(step)
            self._purse.require_time(f"{step.done:,} of {step.total:,} training steps are done")

        self._purse.require_time("its data are there, it is not trained")
        train_round(recipe, dataset, start, place, number, 100 * seed + number, show)
        write_text(place / "trained.json", json.dumps({"from": str(start or "")}))
        return rows

    def _finish(self, place: Path, checkpoint: Path | None, point: Point, texts: set[str]) -> Point:
        """Measure a model, or read what was measured, and return the point with its figures."""
        file = place / MEASURED
        known = read_measured(file) if file.is_file() else {}
        if missing := [name for name in self._measures if name not in known]:
            for name in missing:
                known[name] = self._measure(name, place, checkpoint, texts)
            measures = {name: _dump_cells(judged) for name, judged in known.items()}
            write_text(file, json.dumps({"version": VERSION, "measures": measures}))
        measured = {name: known[name] for name in self._measures}
        return Point(point.label, point.seed, point.samples, point.rows, point.steps, measured)

    def _measure(self, name: str, place: Path, checkpoint: Path | None, texts: set[str]) -> dict[str, list[Cell]]:
        """Return the results of a model on a set of held-out prompts by each judge, from the same samples."""
        cells, first = dict[str, list[Cell]](), None
        for judge in JUDGES:
            recipe = self._probe(name, judge, checkpoint)
            run = create_run(recipe, str(place / "probe" / name / judge), COMMAND, keep=self._plan.keep)
            with run.folder.hold():
                if first is not None:
                    adopt_shards(run, first)
                self._purse.insist(run, partial(answer_run, run, self._execute, self._watch))
            known = {name: normalize(text) for name, text in read_texts(run).items()}
            cells[judge] = [
                Cell(group.prompt, path, group.tries, group.passes, _mean(group.rewards), known[group.prompt] in texts)
                for path, groups in fail_unfinished(read_groups(run)).items()
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


def _count_steps(checkpoint: Path) -> int | None:
    """Return the steps of the embedded trainer, None for a checkpoint of another one."""
    file = checkpoint / "training.json"
    return int(json.loads(file.read_text(encoding="utf-8"))["steps"]) if file.is_file() else None


def _mean(values: tuple[float, ...]) -> float | None:
    return sum(values) / len(values) if values else None


def _dump_cells(judged: dict[str, list[Cell]]) -> dict[str, list[list[Any]]]:
    return {judge: [list(asdict(cell).values()) for cell in cells] for judge, cells in judged.items()}


def read_measured(file: Path) -> dict[str, dict[str, list[Cell]]]:
    """Return the results in a measured.json, none of an older format; raises RunError if it is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found.get("version") != VERSION:
            return {}
        return {
            name: {judge: [Cell(*cell) for cell in judged[judge]] for judge in JUDGES}
            for name, judged in found["measures"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "delete that file: its model is measured again, from the same samples"
        raise RunError(f"damaged: {error}", where=str(file), hint=hint) from error


def _conclude(plan: ExperimentPlan, points: list[Point]) -> Summary:
    """Write down what came out so far: experiment.json, experiment.md and experiment.html."""
    from datagen.experiment.page import render_experiment

    candidates = {name: each.candidates for name, each in plan.experiment.measure.items()}
    summary = summarize(points, plan.experiment.compare, candidates)
    figures = dump_figures(summary)
    write_text(plan.folder / "experiment.json", json.dumps(figures, indent=1))
    write_text(plan.folder / "experiment.md", render_markdown(figures))
    write_text(plan.folder / "experiment.html", render_experiment(plan, points, summary))
    return summary


def _note_parts(plan: ExperimentPlan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each arm, and each measure by each judge, is made with: its name, and its note.

    Raises ConfigError or PluginError for what could not be made.
    """
    experiment = plan.experiment
    for name, arm in experiment.arms.items():
        yield f"arms.{name}", {"rounds": arm.rounds, "fresh": arm.fresh, **_note(plan.resolve(f"arms.{name}"))}
    for name, measure in experiment.measure.items():
        recipe = plan.resolve(f"measure.{name}")
        # As they were written, not as a probe derives them; and nothing is taught by what a probe makes.
        asked = {"seed": recipe.seed, "prompts": measure.prompts, "weights": {}, "deduplicate": None, "filter": None}
        for judge in JUDGES:
            note = _note(probe_recipe(recipe, measure.prompts, measure.candidates, held_out=judge == HELD_OUT))
            yield f"measure.{name}.{judge}", {**note, "recipe": {**note["recipe"], **asked}}


def _note(recipe: Recipe) -> dict[str, Any]:
    run = Run(recipe, "check")  # only a name: nothing is written
    check_plugins(run)
    return note_recipe(run)


def _claim(plan: ExperimentPlan, parts: Mapping[str, dict[str, Any]]) -> None:
    """Note what the experiment is. Raises RunError if the folder holds something that does not go with it.

    An arm or a measure that the file has no more stays on record: as another one it cannot come back.
    """
    file = plan.folder / "experiment.yaml"
    before: Mapping[str, dict[str, Any]] = {}
    if file.is_file():
        before = _read_parts(plan, file)
        if changed := _list_part_changes(before, parts, keep=plan.keep):
            what = f"holds another experiment; changed: {', '.join(changed)}"
            hint = (
                "choose another --run, or another name for an arm or a measure that changed; "
                "--keep takes modules and models that changed as they are"
            )
            raise RunError(what, where=str(plan.folder), hint=hint)
    elif plan.folder.exists() and any(path.name != ".lock" for path in plan.folder.iterdir()):
        raise RunError("exists already and is not an experiment", where=str(plan.folder), hint="choose another --run")
    noted = {**plan.experiment.model_dump(mode="json"), "more": list(plan.more), PARTS: {**before, **parts}}
    write_text(file, dump_yaml(noted))


def _read_parts(plan: ExperimentPlan, file: Path) -> dict[str, dict[str, Any]]:
    """Return what the arms and measures of a folder were made with.

    A folder of before this was noted has the experiment alone: then it was made with what its recipes are now.
    """
    there = read_yaml(file).data
    noted = dict(there) if isinstance(there, dict) else {}
    more, parts = noted.pop("more", None) or [], noted.pop(PARTS, None)
    if isinstance(parts, dict) and all(isinstance(each, dict) and "recipe" in each for each in parts.values()):
        return parts
    try:
        experiment = Experiment.model_validate(noted)
    except ValidationError as error:
        hint = "restore that file, or choose another --run"
        raise RunError("is not the note of an experiment", where=str(file), hint=hint) from error
    found = dict[str, dict[str, Any]]()
    for family, names in (("arms", experiment.arms), ("measure", experiment.measure)):
        for name in names:
            alone = experiment.model_copy(update={"arms": {}, "measure": {}, family: {name: names[name]}})
            with suppress(ConfigError, PluginError):  # a recipe that is gone
                found |= _note_parts(replace(plan, experiment=alone, more=tuple(more)))
    return found


def _list_part_changes(
    before: Mapping[str, dict[str, Any]], parts: Mapping[str, dict[str, Any]], *, keep: bool
) -> list[str]:
    """Return in words what changed in arms and measures, with their names unless it is the same in all."""
    shared = [name for name in parts if name in before]
    told = dict[str, list[str]]()
    for name in shared:
        old, now = before[name], parts[name]
        changes = list_taught_changes(old, now, keep=keep)
        for key in OF_ARM & now.keys():
            if (was := old.get(key, now[key])) != now[key]:
                changes.append(f"{key}: {was} -> {now[key]}")
        for change in changes:
            told.setdefault(change, []).append(name)
    return [change if len(names) == len(shared) else f"{', '.join(names)}: {change}" for change, names in told.items()]
