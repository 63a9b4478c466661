"""Rounds of diagnose, allocate, build, train and diagnose again, in one folder: `datagen loop quickstart --rounds 3`.

    loop.yaml             the recipe, hashes of its files and modules, and the size of the diagnosis
    rounds/00/            the model as it is: probe/ and diagnosis.yaml
    rounds/01/            a round: run/, data/ with earlier rows, checkpoint/, trained.json, probe/, diagnosis.yaml
    best                  a link to the checkpoint of the best round
    loop.json, loop.html  what came out, made again after every round

A round starts from the best model so far. Its data are new: the seed depends on its number; shares of prompts follow
from the best round's diagnosis. Every step is done when its file is there, so a loop that was killed goes on with the
same command. Each step is the function that the command of that name calls.

Not covered: a folder on an object store, a pull towards the first model, changes of the recipe between rounds.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.config import Allocation, Prices, Recipe, SharePolicy, data_recipe, make_recipe
from datagen.diagnose import (
    LEAST_PROMPTS,
    Diagnosis,
    Group,
    Row,
    dump_diagnosis,
    fail_unfinished,
    list_rows,
    load_diagnosis,
    tells,
)
from datagen.documents.reading import dump_yaml, read_yaml
from datagen.errors import ConfigError, Paused, RunError
from datagen.filesystems import write_text
from datagen.loop.judging import Standing, find_stop, rate_rounds, stand
from datagen.loop.trainers import check_trainer, mix_rounds, set_model, train_round
from datagen.pipeline import (
    DIAGNOSIS_FILE,
    Budget,
    Execute,
    Run,
    Watch,
    answer_run,
    build_run,
    check_plugins,
    cost_of,
    create_run,
    diagnose_run,
    insist,
    is_built,
    list_taught_changes,
    note_recipe,
    open_run,
    plan_sources,
    probe_recipe,
    read_groups,
    read_spent,
    read_texts,
)
from datagen.prompts.contamination import normalize
from datagen.records import seed_of
from datagen.store import RunFolder

if TYPE_CHECKING:
    from datagen.training.finetune import TrainStep

MEASURED = "measured"
"""The modules and models of the judge that measures, beside those by which data are made, in the note of a loop."""


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """What a loop does: at most `rounds` rounds, `prompts` held-out prompts per level with `candidates` each.

    It stops after `patience` rounds in a row that do not help. `keep` goes on although a module changed.
    """

    recipe: Recipe
    folder: Path
    rounds: int = 3
    patience: int = 1
    prompts: int = 32
    candidates: int | None = None
    keep: bool = False

    @property
    def policy(self) -> SharePolicy:
        """How prompts are shared out among skills."""
        return self.recipe.allocate.policy if self.recipe.allocate else "by_learnability"

    def locate(self, number: int, *names: str) -> Path:
        """Return the folder of a round, or a path in it."""
        return self.folder.joinpath("rounds", f"{number:02d}", *names)


@dataclass(frozen=True, slots=True)
class Round:
    """A measured round: its diagnosis, all its held-out prompts pooled as one row, and their results.

    `seen` names held-out prompts whose words its training data holds too.
    """

    number: int
    diagnosis: Diagnosis
    whole: Row
    groups: tuple[Group, ...]
    seen: frozenset[str]


@dataclass(frozen=True, slots=True)
class LoopResult:
    """The measured rounds, which of them is best, and why the loop stopped or paused."""

    plan: LoopPlan
    rounds: tuple[Round, ...]
    standing: Standing
    stop: str

    def to_dict(self) -> dict[str, Any]:
        """Return the figures of the rounds as plain JSON values; a round's `gain` is over the best before it."""
        rounds = [
            {
                "number": each.number,
                "pass_1": each.whole.pass_1 and each.whole.pass_1.model_dump(),
                "reward": each.whole.reward and each.whole.reward.model_dump(),
                "gain": gain and asdict(gain),
                "kept": each.number == self.standing.best,
            }
            for each, gain in zip(self.rounds, self.standing.gains, strict=True)
        ]
        return {"rounds": rounds, "stopped": self.stop}

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint of the best round, None if the first model is best."""
        return self.plan.locate(self.standing.best, "checkpoint") if self.standing.best else None


def run_loop(
    plan: LoopPlan,
    execute: Execute,
    watch: Watch,
    show_training: Callable[[TrainStep], None],
    budget: Budget | None = None,
) -> LoopResult:
    """Run the rounds of a plan, or what is missing of them; afterwards loop.html shows them.

    Raises ConfigError or PluginError before anything is made, if the recipe has no trainer or no independent judge, or
    if its rounds could not be measured or built. Raises Paused when the budget of this call is spent, RunError if the
    folder holds another loop or a training fails.
    """
    note = _check(plan, watch)
    purse = Purse(plan.recipe.prices, budget or Budget())
    with RunFolder(str(plan.folder)).hold():
        _claim(plan, note)
        rounds: list[Round] = []
        try:
            rounds.append(_measure(plan, 0, None, execute, watch, purse))
            while True:
                result = _decide(plan, rounds)
                # What an earlier call measured counts, though this one would have stopped before it.
                is_measured = plan.locate(len(rounds), DIAGNOSIS_FILE).is_file()
                if not is_measured:
                    _conclude(result)
                    if result.stop:
                        return result
                    watch.say(f"round {len(rounds)} of {plan.rounds}, from round {result.standing.best}")
                rounds.append(_run_round(result, execute, watch, show_training, purse))
        except Paused as pause:
            what = pause.what.partition(": ")[2] or pause.what
            told = f"paused at {purse.budget.describe()} in round {len(rounds)}: {what}"
            if rounds:
                _conclude(_decide(plan, rounds, told))
            raise Paused(told) from pause


def _check(plan: LoopPlan, watch: Watch) -> dict[str, Any]:
    """Return what the loop is, for its loop.yaml.

    Raises for what a round could not be measured, built or trained with; warns if none could be compared.
    """
    check_trainer(plan.recipe)
    probe = Run(make_probe(plan), str(plan.folder))
    # If the model names the lexicon, it is loaded once.
    data = Run(round_recipe(plan, 1).model_copy(update={"lexicon": probe.lexicon}), str(plan.folder))
    for run in (probe, data):
        check_plugins(run)
    if not plan.locate(0, DIAGNOSIS_FILE).is_file():
        _warn_of_few(probe, data, watch)
    note = note_recipe(data)  # whose shares need no file that the loop has yet to write
    note["makers"] = {**note["makers"], MEASURED: probe.makers["scores"]}
    return {**note, "recipe": plan.recipe.to_dict(), "prompts": plan.prompts, "candidates": plan.candidates}


def _warn_of_few(probe: Run, data: Run, watch: Watch) -> None:
    """Say if the data of the first round would leave too few held-out prompts to compare it on.

    As far as that is known before the first diagnosis: the shares of the data are equal, and rewrites are other words.
    """
    held_out = {normalize(prompt.text) for prompt in plan_sources(probe, probe.recipe.prompts)}
    left = set(held_out)
    if data.expansion is None:
        left.difference_update(normalize(prompt.text) for prompt in plan_sources(data, data.recipe.prompts))
    if len(left) < LEAST_PROMPTS:
        what = f"{len(left)} of {len(held_out)} held-out prompts would be in no data of round 1"
        more = "to have more left, ask more of them (--prompts), build fewer prompts a round, or add words and wordings"
        watch.say(f"warning: {what}, and it takes {LEAST_PROMPTS} to tell whether a round helps; {more}")


def _run_round(
    so_far: LoopResult, execute: Execute, watch: Watch, show_training: Callable[[TrainStep], None], purse: Purse
) -> Round:
    """Build, train and measure the next round, each only if its file is not there yet."""
    plan, number = so_far.plan, len(so_far.rounds)
    place, start = plan.locate(number), so_far.checkpoint
    if not (place / "trained.json").is_file() and not is_built(place / "run"):
        best = so_far.rounds[so_far.standing.best]
        recipe = round_recipe(plan, number, best.number, best.diagnosis)
        assert recipe.allocate is not None, "a round has shares of its own"
        if (policy := recipe.allocate.policy) != plan.policy:
            watch.say(
                f"shares of round {number}: {policy}, since the diagnosis lacks the rates that {plan.policy} needs"
            )
        run = create_run(recipe, str(place / "run"), "datagen loop", keep=plan.keep)
        # The diagnosis is of this model, though `train.backend` may have it draw otherwise here.
        with run.folder.hold():
            purse.insist(run, partial(build_run, run, execute, watch, intended={"allocate"}))
        del run  # and its models, before a training needs the memory
        gc.collect()
    train = check_trainer(plan.recipe)
    earlier = [plan.locate(k, "run", "dataset") for k in range(1, number)]
    how = {"control": bool(train.control), "baseline": bool(train.baseline)}
    dataset = mix_rounds(place / "run" / "dataset", earlier, train.replay, place / "data", **how)
    if not (place / "trained.json").is_file():

        def show(step: TrainStep) -> None:
            show_training(step)
            purse.require_time(f"{step.done:,} of {step.total:,} training steps are done")

        purse.require_time("its data are there, it is not trained")
        began = time.monotonic()
        train_round(plan.recipe, dataset, start, place, number, number, show)
        write_text(
            place / "trained.json", json.dumps({"from": str(start or ""), "seconds": round(time.monotonic() - began)})
        )
    return _measure(plan, number, place / "checkpoint", execute, watch, purse)


def make_probe(plan: LoopPlan) -> Recipe:
    """Return the recipe by which every round is measured, as yet with the recipe's own model. Raises ConfigError."""
    return probe_recipe(plan.recipe, plan.prompts, plan.candidates, held_out=True)


def round_recipe(plan: LoopPlan, number: int, best: int = 0, diagnosis: Diagnosis | None = None) -> Recipe:
    """Return the recipe of a round's data: the model of the best round, shares by its diagnosis, and a seed of its own.

    Without a diagnosis, as before the first one, it has the shares that need none.
    """
    recipe = plan.recipe
    changes = {
        "name": f"{recipe.name[:88]}-round-{number:02d}",
        "seed": seed_of(recipe.seed, "round", number),
        "allocate": _choose_shares(plan, best, diagnosis),
    }
    changed = make_recipe({**data_recipe(recipe).to_dict(), **changes}, where=f"round of {recipe.name}")
    return set_model(changed, recipe, plan.locate(best, "checkpoint") if best else None)


def _choose_shares(plan: LoopPlan, best: int, diagnosis: Diagnosis | None) -> dict[str, Any]:
    """Return `allocate:` of a round: the recipe's, by the best round's diagnosis, else `by_learnability`.

    Where the diagnosis lacks what this needs, it is `by_failure`, which needs only what every diagnosis has; without a
    diagnosis all shares are equal, in the same bounds.
    """
    wanted = {"policy": plan.policy, **(plan.recipe.to_dict()["allocate"] or {})}
    if not plan.policy.startswith("by_"):
        return wanted
    wanted["diagnosis"] = str(plan.locate(best, DIAGNOSIS_FILE))
    if diagnosis is not None and tells(diagnosis, Allocation.model_validate(wanted)):
        return wanted
    bounds = {key: wanted[key] for key in ("floor", "cap", "smoothing") if key in wanted}
    if diagnosis is None:
        return {**bounds, "policy": "uniform"}
    return {**bounds, "policy": "by_failure", "diagnosis": wanted["diagnosis"]}


def _measure(
    plan: LoopPlan, number: int, checkpoint: Path | None, execute: Execute, watch: Watch, purse: Purse
) -> Round:
    """Diagnose the model of a round on the held-out prompts, or read what is there."""
    place = plan.locate(number)
    file, folder = place / DIAGNOSIS_FILE, str(place / "probe")
    if not file.is_file():
        run = create_run(set_model(make_probe(plan), plan.recipe, checkpoint), folder, "datagen loop", keep=plan.keep)
        with run.folder.hold():
            purse.insist(run, partial(answer_run, run, execute, watch))
        write_text(file, dump_diagnosis(diagnose_run(run, is_probe=True, unfinished_fail=True)))
        del run
        gc.collect()
    run, diagnosis = open_run(folder), load_diagnosis(file)
    groups = tuple(group for level in fail_unfinished(read_groups(run)).values() for group in level)
    (whole,) = list_rows({"all": groups}, diagnosis.made.candidates)
    trained_on = set(map(normalize, read_texts(open_run(str(place / "run"))).values())) if number else set[str]()
    seen = frozenset(name for name, text in read_texts(run).items() if normalize(text) in trained_on)
    return Round(number, diagnosis, whole, groups, seen)


def _decide(plan: LoopPlan, rounds: list[Round], paused: str = "") -> LoopResult:
    """Return where the loop stands, and whether it stops."""
    standing = stand(rate_rounds([each.groups for each in rounds]), [each.seen for each in rounds])
    stop = find_stop(standing, rounds[standing.best].diagnosis, plan.rounds, plan.patience)
    return LoopResult(plan, tuple(rounds), standing, stop or paused)


def _conclude(result: LoopResult) -> None:
    """Write down where the loop stands: loop.json, loop.html and the link to the best checkpoint."""
    from datagen.loop.page import render_loop

    folder = result.plan.folder
    _link_best(result)
    write_text(folder / "loop.json", json.dumps(describe_loop(result), indent=2))
    write_text(folder / "loop.html", render_loop(result))


def describe_loop(result: LoopResult) -> dict[str, Any]:
    """Return what came out as plain JSON values: the rounds, the best one, and why it ended."""
    standing = result.standing
    rounds = [
        {
            "round": each.number,
            "from": base,
            "pass_1": each.whole.pass_1.model_dump() if each.whole.pass_1 else None,
            "pass_n": each.whole.pass_n.model_dump() if each.whole.pass_n else None,
            "reward": each.whole.reward.model_dump() if each.whole.reward else None,
            "causes": each.whole.causes,
            "gain": asdict(gain) if gain else None,
            "helps": standing.helps(each.number),
            "seen": len(each.seen),
        }
        for each, base, gain in zip(result.rounds, standing.bases, standing.gains, strict=True)
    ]
    return {"best": standing.best, "stop": result.stop, "rounds": rounds}


def _link_best(result: LoopResult) -> None:
    link = result.plan.folder / "best"
    if result.checkpoint is None:
        link.unlink(missing_ok=True)
        return
    new = link.with_name(".best.part")
    new.unlink(missing_ok=True)
    new.symlink_to(result.checkpoint.relative_to(link.parent))
    new.replace(link)


def _claim(plan: LoopPlan, note: Mapping[str, Any]) -> None:
    """Note what the loop is; raises RunError if the folder holds another one."""
    file = plan.folder / "loop.yaml"
    if file.is_file():
        there = read_yaml(file).data
        if not isinstance(there, dict) or not isinstance(there.get("recipe"), dict):
            raise RunError("is not the note of a loop", where=str(file), hint="choose another --run")
        changed = list_taught_changes(_forget_diagnosis(there), _forget_diagnosis(note), keep=plan.keep)
        changed += [f"--{key}" for key in ("prompts", "candidates") if there.get(key) != note[key]]
        if changed:
            what = f"holds another loop; changed: {', '.join(changed)}"
            hint = "choose another --run; --keep takes modules and models that changed as they are"
            raise RunError(what, where=str(plan.folder), hint=hint)
        if there == note:
            return
    elif plan.folder.exists() and any(path.name != ".lock" for path in plan.folder.iterdir()):
        raise RunError("exists already and is not a loop", where=str(plan.folder), hint="choose another --run")
    write_text(file, dump_yaml(note))


def _forget_diagnosis(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return a note without the file that the recipe's shares follow: it gives way to the diagnoses of the loop."""
    recipe = dict(note["recipe"])
    if isinstance(allocate := recipe.get("allocate"), dict) and "diagnosis" in allocate:
        recipe["allocate"] = {**allocate, "diagnosis": DIAGNOSIS_FILE}
    return {**note, "recipe": recipe}


class Purse:
    """What one call may still spend. Hours count everything, money what the models of the runs cost.

    Raises ConfigError for a limit of money without prices.
    """

    def __init__(self, prices: Prices | None, budget: Budget) -> None:
        self.budget, self._prices = budget, prices
        self._end = None if budget.hours is None else time.monotonic() + 3600 * budget.hours
        self._spent = 0.0
        if budget.cost is not None and self._prices is None:
            raise ConfigError("--max-cost needs to know what things cost: the recipe has no `prices`", where="prices")

    def require_time(self, what: str) -> None:
        """Raise Paused, saying `what` is done, when the hours are over."""
        if self._end is not None and time.monotonic() >= self._end:
            raise Paused(f"paused at {self.budget.describe()}: {what}")

    def insist(self, run: Run, work: Callable[[Budget], object]) -> None:
        """Do the work on a run with what is left, and again as long as that reaches a model more often.

        Raises as the work does, and RunError if a model is still not reached.
        """

        def ask() -> None:
            with self.pay(run) as rest:
                work(rest)

        insist(run, ask)

    @contextmanager
    def pay(self, run: Run) -> Iterator[Budget]:
        """Give what is left for a run, and take what it costs; a pause in it tells the limits of this call."""
        before = cost_of(read_spent(run), self._prices) or 0.0
        hours = None if self._end is None else max(0.0, self._end - time.monotonic()) / 3600
        cost = None if self.budget.cost is None else max(0.0, self.budget.cost - self._spent)
        try:
            yield Budget(hours=hours, cost=cost)
        except Paused as pause:
            raise Paused(f"paused at {self.budget.describe()}: {pause.what.partition(': ')[2]}") from pause
        finally:
            self._spent += (cost_of(read_spent(run), self._prices) or 0.0) - before
