"""A recipe: the small YAML file that says what a run makes, checked to the last key before anything is spent.

    name: quickstart
    taxonomy: [counting, spatial]
    prompts: 200

Every key has a default but `taxonomy`; `recipes/quickstart.yaml` shows them. What is wrong is named with file, line and
key, all at once. `datagen plan RECIPE` shows what a recipe comes to.

Not covered: the keys under `weights` and `allocate`, the expressions under `aggregate`, and the options under `backend`
and `detector`. Those belong to the floor above, which checks them when a run is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from datagen.documents.checking import load_model
from datagen.documents.reading import Document, parse_yaml, read_yaml
from datagen.errors import ConfigError, did_you_mean
from datagen.plugins import shipped_path
from datagen.records import Mode, hash_of

MAX_PROMPTS = 10_000_000
MAX_SAMPLES = 100_000_000
MAX_SHARD_SAMPLES = 16_384
"""A shard is held in memory: about 60 MB of 96 px pictures at this size."""
VIEW_KEYS = frozenset(
    {"version", "name", "aggregate", "weights", "validation_share", "failure_limit"}
    | {"same_judge", "canaries", "canary_limit", "limits", "least", "exports", "license", "addresses"}
)
"""Keys that can change at any time without making a prompt, a sample or a score again."""
PROMPT_KEYS = ("prompts", "seed", "shard_prompts", "expand", "allocate", "screen")
"""Keys that decide the prompts, beside the files that `PATH_KEYS` name."""
SAMPLE_KEYS = ("candidates", "adapt", "mode", "backend")
"""Keys that decide the samples of given prompts; with `adapt`, the detector does too."""
SCORE_KEYS = ("rewards", "evaluate", "detector", "judge", "encoders", "matchers", "drawer")
"""Keys that decide the scores of given samples."""
PLUGIN_KEYS = ("backend", "detector", "judge", "drawer")
PATH_KEYS = ("taxonomy", "lexicon", "contamination", "canaries")
FILE_KEYS = (*((key,) for key in PATH_KEYS), ("allocate", "diagnosis"), ("screen", "words"), ("expand", "instruction"))
"""Where a recipe names files, by the path of each key."""


Makers = Mapping[str, Mapping[str, str]]
"""By `prompts`, `samples` and `scores`: what makes them beside the recipe (modules, model files), with its hash."""


class Choice(BaseModel):
    """A plugin by its word, and its options: `{name: embedded, temperature: 0.9}`, or just `embedded`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class ScorerChoice(Choice):
    """A scorer by its word, and its options: `{name: text, metric: mario, as: mario}`, or just `counting`.

    `as` is its name in expressions and columns. By default that is the word with what is chosen, `text_mario` or
    `geneval_strict`, and what is chosen alone where it begins with the word, `vqascore`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, validate_by_alias=True)

    named: str | None = Field(None, alias="as", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")

    @property
    def label(self) -> str:
        """Its name in expressions, scores and columns."""
        if self.named is not None:
            return self.named
        chosen = [_name_choice(key, value) for key, value in self.options.items() if value not in (None, False)]
        if len(chosen) == 1 and chosen[0].startswith(self.name):
            return chosen[0]
        return "_".join([self.name, *chosen])

    @model_serializer
    def _as_written(self) -> str | dict[str, Any]:
        named = {} if self.named is None else {"as": self.named}
        return {"name": self.name, **self.options, **named} if self.options or named else self.name


def _name_choice(key: str, value: Any) -> str:
    said = key if value is True else value if isinstance(value, str) else f"{key}{value}"
    return re.sub(r"[^A-Za-z0-9]+", "_", said).strip("_")


class Joins(BaseModel):
    """How scores are joined for one weakness or skill; what is not said stays as for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = None
    image: str | None = None


class Aggregate(BaseModel):
    """How the scores of one sample become its text reward and its image reward: a way, or an expression over scorers.

    Checked when a run is opened; see `scoring/rewarder.py`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = "product"
    image: str = "product"
    by_weakness: dict[str, Joins] = Field(default_factory=dict, description="`weakness` or `weakness/skill`")


class Export(BaseModel):
    """One more form of the dataset: a view, and the format of a trainer, each by its word or with options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    view: Choice = Choice(name="trajectories")
    format: Choice = Choice(name="jsonl")
    skip: bool = Field(False, description="leaves out samples whose texts hold control tokens or tags of the format")


class Limit(BaseModel):
    """What a scorer must reach, or no weights are made; all in [0, 1]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scored: float = Field(0.0, ge=0, le=1, description="least share with a value, of the samples that it should judge")
    accuracy: float | None = Field(None, ge=0, le=1, description="least share of its canaries; else `canary_limit`")


class Least(BaseModel):
    """What the weights of each weakness must reach, or nothing is exported; shares of its samples, in [0, 1]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effective: float = Field(0.0, ge=0, le=1, description="least effective sample size of a modality with rewards")
    passed: float = Field(0.0, ge=0, le=1, description="least share of which every claim was seen to hold")


class Adapt(BaseModel):
    """Draws the first candidates of every prompt, and the rest where a scorer does not say the same of all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: int = Field(ge=2, le=256, strict=True, description="candidates that every prompt gets")
    by: list[str] = Field(min_length=1, description="scorers by rule that decide; see docs/adaptive.md")


class Recipe(BaseModel):
    """What a run makes. Frozen: `load_recipe` reads one, `--set key=value` changes keys before it is checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[1] = Field(1, description="version of this format")
    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="names outputs/<name>")
    taxonomy: list[str] = Field(min_length=1, description="shipped names such as `counting`, or paths")
    lexicon: str | None = Field(None, description="a shipped name or a path; default: what the backend can draw")
    prompts: int = Field(200, ge=1, le=MAX_PROMPTS, strict=True, description="how many prompts to draw")
    candidates: int = Field(4, ge=1, le=256, strict=True, description="samples a prompt")
    adapt: Adapt | None = Field(
        None, description="all `candidates` only for prompts whose first ones are judged unlike"
    )
    mode: Mode = Field(
        "think",
        description="`direct` (image only), `think` (reasoning first), `reflect` (look at the image and redraw)",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, strict=True, description="everything random follows from it")
    shard_prompts: int = Field(64, ge=1, le=10_000, strict=True, description="prompts a file; a kill loses one file")
    backend: Choice = Field(Choice(name="embedded"), description="the model that writes the samples, and its options")
    rewards: list[ScorerChoice] = Field(
        [ScorerChoice(name=word) for word in ("counting", "spatial", "attribute", "text")],
        min_length=1,
        description="scorers, by word or with options",
    )
    evaluate: list[ScorerChoice] | None = Field(
        None, description="scorers that are reported and exported, and weigh nothing"
    )
    same_judge: bool = Field(False, description="allows a scorer in both `rewards` and `evaluate`")
    judge: Choice | None = Field(None, description="a backend that answers the questions of scorers such as `vqa`")
    expand: dict[str, Any] | None = Field(
        None, description="how a language model rewrites prompts; see docs/expansion.md"
    )
    allocate: dict[str, Any] | None = Field(
        None, description="how prompts are shared out over skills; default: as the taxonomy says; see docs/diagnose.md"
    )
    detector: Choice = Field(Choice(name="pictograms"), description="what finds objects for the scorers")
    canaries: str | None = Field(None, description="file of marked images that every scorer must judge right first")
    canary_limit: float = Field(1.0, ge=0, le=1, description="least share of its canaries that a scorer judges right")
    limits: dict[str, Limit] = Field(default_factory=dict, description="of scorers, by name; see docs/audit.md")
    least: Least | None = Field(None, description="of what the weights rest on; see docs/training.md")
    encoders: list[Choice] | None = Field(None, description="image encoders, for `reconstruction` and `diversity`")
    matchers: dict[str, Choice] | None = Field(None, description="text-image models by the scorer that asks them")
    drawer: Choice | None = Field(None, description="a backend that draws descriptions again, for `reconstruction`")
    aggregate: Aggregate = Aggregate()
    weights: dict[str, Any] = Field(default_factory=dict, description="policy and parameters; see `datagen weigh`")
    exports: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")], Export] = Field(
        default_factory=dict, description="further forms of the dataset by name; see docs/formats.md"
    )
    failure_limit: float = Field(0.2, ge=0, le=1, description="share of failed samples that stops a run")
    contamination: list[str] = Field(default_factory=list, description="benchmark files whose prompts are refused")
    screen: dict[str, Any] | None = Field(
        None, description="refuses personal data and listed words in prompts and rewrites; see docs/recipes_more.md"
    )
    license: str = Field(
        "unknown",
        pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$",
        description="licence of what the model wrote, as you state it: a hub identifier such as apache-2.0",
    )
    addresses: bool = Field(
        False, description="publishes paths of files and addresses of servers as they are; else names alone"
    )
    validation_share: float = Field(0.1, ge=0, lt=1, description="share of prompts in the validation split")

    @field_validator("taxonomy", "contamination", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else [] if value is None else value

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.prompts * self.candidates > MAX_SAMPLES:
            raise ValueError(f"prompts x candidates is {self.prompts * self.candidates:,}; at most {MAX_SAMPLES:,}")
        if self.shard_prompts * self.candidates > MAX_SHARD_SAMPLES:
            size = self.shard_prompts * self.candidates
            raise ValueError(f"shard_prompts x candidates is {size:,}, and a shard holds at most {MAX_SHARD_SAMPLES:,}")
        if self.adapt is not None and self.adapt.start >= self.candidates:
            raise ValueError(f"adapt.start is {self.adapt.start}: it must be below candidates, {self.candidates}")
        for name, scorers in (("rewards", self.selecting), ("evaluate", self.evaluating)):
            if len(set(scorers)) < len(scorers):
                raise ValueError(f"{name} holds the same scorer twice; `as:` tells two apart")
        used = [(choice.name, choice.options) for choice in self.rewards]
        both = [each.label for each in self.evaluate or [] if (each.name, each.options) in used]
        if both and not self.same_judge:
            what = f"{', '.join(both)} would select the samples and evaluate them, which hides what selecting does"
            raise ValueError(f"{what}; name another scorer under evaluate, or say same_judge: true")
        if strange := sorted(self.limits.keys() - set(self.selecting)):
            raise ValueError(f"limits: no scorer {strange[0]!r} in rewards; {did_you_mean(strange[0], self.selecting)}")
        if self.canaries is None and any(limit.accuracy is not None for limit in self.limits.values()):
            raise ValueError(
                "limits: accuracy is measured on canaries, and the recipe names none; add `canaries: FILE`"
            )
        return self

    @property
    def least_candidates(self) -> int:
        """Candidates that every prompt gets, whatever the scorers say."""
        return self.adapt.start if self.adapt else self.candidates

    @property
    def selecting(self) -> list[str]:
        """The names of the scorers that weigh."""
        return [choice.label for choice in self.rewards]

    @property
    def evaluating(self) -> list[str]:
        """The names of the scorers that only evaluate."""
        return [choice.label for choice in self.evaluate or ()]

    @property
    def scorers(self) -> dict[str, ScorerChoice]:
        """Every scorer of the recipe by its name: those that weigh, then those that only evaluate."""
        chosen: dict[str, ScorerChoice] = {}
        for choice in (*self.rewards, *(self.evaluate or ())):
            chosen.setdefault(choice.label, choice)
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Return plain YAML values, plugin options included."""
        return self.model_dump(mode="json")


def load_recipe(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by path, or a shipped one by name, with `key=value` overrides (dotted keys, YAML values).

    Paths in the file are looked for beside it first, then from the working directory. Raises ConfigError naming file,
    line, key and value for everything that is wrong.
    """
    path = find_recipe(str(path_or_name))
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        hint = "see recipes/quickstart.yaml"
        raise ConfigError("a recipe is a mapping of keys to values", where=str(path), hint=hint)
    for key in document.data.keys() & PATH_KEYS:
        document.data[key] = _beside(path.parent, document.data[key])
    if isinstance(allocate := document.data.get("allocate"), dict) and "diagnosis" in allocate:
        allocate["diagnosis"] = _beside(path.parent, allocate["diagnosis"])
    if isinstance(screen := document.data.get("screen"), dict) and "words" in screen:
        screen["words"] = _beside(path.parent, screen["words"])
    document.data.setdefault("name", path.stem)
    return _check(document, overrides)


def make_recipe(data: Mapping[str, Any], overrides: Sequence[str] = (), *, where: str = "recipe") -> Recipe:
    """Check plain values as a recipe; messages name `where` as their place."""
    return _check(Document(where, dict(data)), overrides)


def _check(document: Document, overrides: Sequence[str]) -> Recipe:
    for override in overrides:
        document.forget(_override(document.data, override))
    return load_model(document, Recipe)


def find_recipe(word: str) -> Path:
    """Return the path of a recipe given as a path or as a shipped name; raises ConfigError with the known names."""
    if "/" in word or word.endswith((".yaml", ".yml")) or Path(word).is_file():
        if not Path(word).is_file():
            raise ConfigError("no such recipe", where=word, hint="`datagen build` without a name builds the quickstart")
        return Path(word)
    folder = shipped_path("recipes")
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if word not in known:
        raise ConfigError(f"no recipe named {word!r}", hint=did_you_mean(word, known))
    return folder / f"{word}.yaml"


def _override(data: dict[str, Any], text: str) -> tuple[str, ...]:
    """Set one `a.b=value` in place, without touching shared parts, and return its key path."""
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(f"{text!r} is not key=value", where="--set", hint="for example: --set candidates=8")
    try:
        parsed = parse_yaml(value, f"--set {key}")
    except ConfigError as error:
        raise ConfigError(f"{value!r} is not YAML", where=f"--set {key}", hint="put text in quotes") from error
    for problem in parsed.problems:
        raise ConfigError(problem.what, where=f"--set {key}", hint=problem.hint)
    target = data
    for part in path[:-1]:
        inner = target.get(part)
        if inner is None and target is data and part in PLUGIN_KEYS:
            inner = getattr(Recipe.model_fields[part].default, "name", "embedded")
        inner = {"name": inner} if isinstance(inner, str) else inner
        target[part] = dict(inner) if isinstance(inner, Mapping) else {}
        target = target[part]
    target[path[-1]] = parsed.data
    return path


def _beside(folder: Path, value: Any) -> Any:
    """Return paths that exist beside the recipe as paths from here; names and everything else as they are."""
    if isinstance(value, list):
        return [_beside(folder, item) for item in value]
    if not isinstance(value, str) or not ("/" in value or Path(value).suffix) or not (folder / value).exists():
        return value
    found, here = (folder / value).resolve(), Path.cwd().resolve()
    return os.path.relpath(found, here) if found.is_relative_to(here) else str(found)


def name_files(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe as plain values in which each file stands by its name alone, without its folder."""
    named = dict(values)
    for key, *inner in FILE_KEYS:
        found = named.get(key)
        if not inner:
            named[key] = _name_file(found)
        elif isinstance(found, Mapping) and inner[0] in found:
            named[key] = {**found, inner[0]: _name_file(found[inner[0]])}
    return named


def _name_file(value: Any) -> Any:
    if isinstance(value, list):
        return [_name_file(item) for item in value]
    return Path(value).name if isinstance(value, str) else value


def fingerprint_of(recipe: Recipe, files: Mapping[str, str], makers: Makers | None = None) -> str:
    """Return the hash of what decides prompts, samples and scores: the data keys, each file's and each maker's content.

    A key that is not set has no part in it, so that a new kind of key leaves old runs as they are; nor have makers
    where there are none.
    """
    kept = recipe.to_dict().items()
    data = {key: value for key, value in kept if key not in VIEW_KEYS | set(PATH_KEYS) and value is not None}
    code = {stage: dict(hashes) for stage, hashes in (makers or {}).items() if hashes}
    return hash_of(data, sorted(files.values()), *([code] if code else []))


def stage_marks(recipe: Recipe, files: Mapping[str, str], makers: Makers) -> dict[str, str]:
    """Return the mark of prompts, samples and scores: a hash of what decides each, and of the mark before it.

    So prompts are the same whatever draws them, and other scorers leave the mark of the samples as it is.
    """
    data = {key: value for key, value in recipe.to_dict().items() if value is not None}
    rewriter = ["backend"] if recipe.expand is not None and not recipe.expand.get("backend") else []
    seen = ["detector"] if recipe.adapt is not None else []
    stages = {"prompts": [*PROMPT_KEYS, *rewriter], "samples": [*SAMPLE_KEYS, *seen], "scores": [*SCORE_KEYS]}
    marks: dict[str, str] = {}
    before: object = sorted(files.values())
    for stage, keys in stages.items():
        before = marks[stage] = hash_of(before, {key: data[key] for key in keys if key in data}, makers.get(stage, {}))
    return marks


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the data keys, dotted, in which two recipes (as plain values) differ; view keys are left out."""
    found = []
    for key in sorted({*old, *new}):
        if not prefix and key in VIEW_KEYS:
            continue
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += changed_keys(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(prefix + key)
    return found
