"""The experiment file: a question, arms that differ in one thing, and the held-out prompts that all are measured on.

    question: do weights on both modalities help more than on one?
    recipe: quickstart
    set: {candidates: 8, train.steps: 300}
    seeds: [1, 2, 3]
    arms:
      both: {}
      none: {set: {weights.policy: uniform}}
    compare: [[both, none]]

Shipped ones lie in experiments/. Run one: `datagen experiment modalities`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from datagen.config import Recipe, load_recipe
from datagen.documents.checking import faults_error, load_model, make_fault
from datagen.documents.reading import read_yaml
from datagen.errors import ConfigError, did_you_mean
from datagen.pipeline import probe_recipe
from datagen.plugins import shipped_path

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
"""The name of an arm or of a set of held-out prompts; also a folder's."""
BEFORE = "before"
"""The name of the first model in figures and comparisons."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Strict):
    """One way to make data and train on them: what differs from the experiment's recipe."""

    recipe: str | None = Field(None, description="a recipe in place of the experiment's")
    set: dict[str, Any] = Field({}, description="changed keys of the recipe, dotted: weights.policy: uniform")
    rounds: int = Field(
        1, ge=1, le=20, strict=True, description="rounds of data and training, each from the last model"
    )
    fresh: bool = Field(True, description="whether each round has samples of its own; false: those of the first again")


class Measure(_Strict):
    """A set of held-out prompts: `prompts` for each level of each skill of a recipe's taxonomy."""

    recipe: str | None = Field(None, description="a recipe in place of the experiment's")
    set: dict[str, Any] = Field({}, description="changed keys of the recipe, dotted")
    prompts: int = Field(32, ge=1, le=100_000, strict=True, description="held-out prompts per level of each skill")
    candidates: int = Field(8, ge=2, le=256, strict=True, description="samples per held-out prompt")


class Experiment(_Strict):
    """The keys of an experiment file."""

    version: Literal[1] = Field(1, description="version of this format")
    question: str = Field(min_length=1, description="what the experiment asks, in a sentence")
    recipe: str = Field("quickstart", description="the recipe that the arms change")
    set: dict[str, Any] = Field({}, description="keys of the recipe that are changed in all arms and measures, dotted")
    seeds: list[Annotated[int, Field(ge=0, strict=True)]] = Field(
        [1, 2, 3], min_length=1, description="each arm is run once for each; arms share the prompts of a seed"
    )
    arms: dict[Word, Arm] = Field(min_length=1, description="the arms by name")
    measure: dict[Word, Measure] = Field({"held-out": Measure()}, min_length=1, description="sets of held-out prompts")
    compare: list[tuple[str, str]] = Field(
        [], description="pairs of arms: the difference of the first to the second; `before` is the first model"
    )

    @property
    def labels(self) -> list[str]:
        """All that is measured in order: `before`, and each arm, or each of its rounds as `arm@2`."""
        return [BEFORE, *(label_of(name, arm, k) for name, arm in self.arms.items() for k in range(1, arm.rounds + 1))]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        faults = []
        if BEFORE in self.arms:
            faults.append(
                make_fault(("arms", BEFORE), f"`{BEFORE}` is the first model", "choose another name", key=True)
            )
        faults += [
            make_fault(("seeds", place), f"{seed} stands there twice")
            for place, seed in enumerate(self.seeds)
            if seed in self.seeds[:place]
        ]
        faults += [
            make_fault(("compare", place, side), f"no arm named {label!r}", did_you_mean(label, self.labels))
            for place, pair in enumerate(self.compare)
            for side, label in enumerate(pair)
            if label not in self.labels
        ]
        if faults:
            raise faults_error(type(self), faults)
        return self


def label_of(name: str, arm: Arm, number: int) -> str:
    """Return how a round of an arm is called in figures: by the arm alone if it has only one."""
    return name if arm.rounds == 1 else f"{name}@{number}"


def load_experiment(word: str, seeds: str | None = None) -> tuple[Experiment, Path]:
    """Return an experiment, given by path or a shipped one by name, and its path.

    `seeds`, numbers with commas between them, replace the file's. Raises ConfigError.
    """
    path = Path(word)
    if not path.is_file():
        folder = shipped_path("experiments")
        known = sorted(each.stem for each in folder.glob("*.yaml"))
        if word not in known:
            raise ConfigError(f"no experiment named {word!r}", hint=did_you_mean(word, known))
        path = folder / f"{word}.yaml"
    document = read_yaml(path)
    if seeds is not None and isinstance(document.data, dict):
        document.data["seeds"] = [int(each) if each.strip().isdigit() else each for each in seeds.split(",")]
        document.forget(("seeds",))
    return load_model(document, Experiment), path


def resolve_recipe(experiment: Experiment, file: Path, name: str = "", more: Sequence[str] = ()) -> Recipe:
    """Return the recipe of an arm or a measure, such as `arms.both`, or the experiment's own.

    `more` are overrides that come last. A recipe's path is relative to the experiment's file. Raises ConfigError naming
    what of the experiment is wrong.
    """
    family, _, word = name.partition(".")
    part: Arm | Measure | None = getattr(experiment, family)[word] if name else None
    recipe = (part and part.recipe) or experiment.recipe
    chosen = beside if (beside := file.parent / recipe).is_file() else recipe
    changes = {**experiment.set, **(part.set if part else {})}
    try:
        return load_recipe(chosen, [*changes.items(), *more])
    except ConfigError as error:
        load_recipe(chosen, more)  # raises if the fault is there
        raise ConfigError(error.what, where=f"{file}, {name or 'set'}", hint=error.hint) from error


def check_experiment(file: Path) -> Iterator[tuple[str, str, str, Literal["error", "warning"]]]:
    """Yield what is wrong with the recipes that an experiment makes, or why they cannot be measured.

    Each as key, what, what to do, severity.
    """
    experiment, _ = load_experiment(str(file))
    parts = [f"{family}.{name}" for family in ("arms", "measure") for name in getattr(experiment, family)]
    for name in ("", *parts):
        try:
            recipe = resolve_recipe(experiment, file, name)
            if measure := experiment.measure.get(name.removeprefix("measure.")):
                probe_recipe(recipe, measure.prompts, measure.candidates, held_out=True)
        except ConfigError as error:
            yield name or "set", error.what, error.hint, "error"
            if not name:
                return
