"""The recipe: a small YAML file that says what a run makes, checked completely before the run starts.

    name: quickstart
    taxonomy: [counting, spatial]
    prompts: 200

Every key has a default but where prompts come from: `taxonomy`, `source`, or the backend `dataset`;
`recipes/quickstart.yaml` shows them. All errors are reported at once with
file, line and key: wrong keys and values, words that name no plugin, wrong options of plugins that declare a class
`Options`, broken expressions, and keys that contradict each other. `datagen plan RECIPE` estimates a recipe.

Not covered: options of other plugins, which check them when they are loaded, and errors that need the taxonomy or
another file. A run checks those when it is opened.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from types import ModuleType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, core_schema, to_jsonable_python

from datagen.documents.checking import dotted, faults_error, faults_of, load_model, make_fault
from datagen.documents.reading import Document, Location, dump_yaml, parse_yaml, read_yaml
from datagen.errors import ConfigError, PluginError, did_you_mean
from datagen.expressions import OUTCOME, WAYS, Names, parse_condition, parse_expression
from datagen.filesystems import write_text
from datagen.pictures import Store
from datagen.plugins import OWN_WORD, known_words, load_plugin, name_own, noun_of, shipped_path
from datagen.records import Cause, Mode, hash_of

MAX_PROMPTS = 10_000_000
MAX_SAMPLES = 100_000_000
MAX_SHARD_SAMPLES = 16_384
"""Limit of a shard, whose prompts and scores are held in memory, its pictures a row group at a time."""
VIEW_KEYS = frozenset(
    {"version", "name", "aggregate", "weights", "validation_share", "failure_limit", "scorer_timeout_seconds"}
    | {"same_judge", "canaries", "canary_limit", "limits", "least", "exports", "license", "addresses", "prices"}
    | {"cluster", "train", "track", "deduplicate", "filter"}
)
"""Keys that can change at any time, since no prompt, sample or score depends on them."""
TAUGHT_KEYS = frozenset({"aggregate", "weights", "validation_share", "deduplicate", "filter", "train"})
"""Those of them on which depends what a model learns from a run."""
PROMPT_KEYS = ("prompts", "seed", "shard_prompts", "source", "expand", "allocate", "screen")
"""Keys that determine the prompts, together with the files that `PATH_KEYS` name."""
SAMPLE_KEYS = ("candidates", "adapt", "mode", "backend", "images", "contamination_images")
"""Keys that determine the samples of given prompts; with `adapt`, the detector does too."""
SCORE_KEYS = ("rewards", "evaluate", "detector", "judge", "encoders", "matchers", "drawer")
"""Keys that determine the scores of given samples."""
PLUGIN_KEYS = ("backend", "detector", "judge", "drawer")
PATH_KEYS = ("taxonomy", "lexicon", "contamination", "canaries")
WRITTEN_KEYS = ("source", "expand", "allocate", "weights", "screen")
"""Keys that a run stores as written, without defaults, so that a new default does not change its fingerprint."""
FILE_KEYS = (
    *((key,) for key in (*PATH_KEYS, "contamination_images")),
    *(("allocate", "diagnosis"), ("screen", "words"), ("expand", "instruction")),
    *(("source", "path"), ("backend", "source"), ("backend", "root"), ("contamination_images", "paths")),
)
"""Paths of the keys under which a recipe names files."""


ROW_NUMBERS = frozenset({"text_reward", "image_reward", "text_weight", "image_weight", "gap", "candidate"})
ROW_WORDS = frozenset({"weakness", "skill", "level", "source"})
ROW_FLAGS = frozenset({"passed", "kept"})
"""What `filter` may name beside scorers: columns of the dataset, and `gap`, by how much the model misjudges itself."""

Change = str | tuple[str, Any]
"""A changed key: `"key=value"` in YAML, or a dotted key and its value."""
Makers = Mapping[str, Mapping[str, str]]
"""Hashes of the modules and model files that make `prompts`, `samples` and `scores`, by stage and name."""


class Choice(BaseModel):
    """A plugin's word and options: `{name: embedded, temperature: 0.9}`, or just `embedded`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """All keys except the name."""
        return dict(self.model_extra or {})


class ScorerChoice(Choice):
    """A scorer's word and options: `{name: text, metric: mario, as: mario}`, or just `counting`.

    `as` is its name in expressions and columns. The default is the word and the chosen options, `text_mario` or
    `geneval_strict`; an option that begins with the word stands alone, `vqascore`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, validate_by_alias=True)

    named: str | None = Field(None, alias="as", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")

    @field_validator("named")
    @classmethod
    def _no_function(cls, value: str | None) -> str | None:
        if value in (*WAYS, OUTCOME):
            raise ValueError(f"{value} is a word of expressions; choose another name")
        return value

    @property
    def label(self) -> str:
        """Its name in expressions, scores and columns."""
        if self.named is not None:
            return self.named
        word = self.name.rpartition(":")[2]
        # An address is no part of a name: it would say where a machine stands.
        told = {
            key: value
            for key, value in self.options.items()
            if value is not None and value is not False and "://" not in str(value)
        }
        chosen = [_name_choice(key, value) for key, value in told.items()]
        if len(chosen) == 1 and chosen[0].startswith(word):
            return chosen[0]
        return "_".join([word, *chosen])

    @model_serializer
    def _as_written(self) -> str | dict[str, Any]:
        named = {} if self.named is None else {"as": self.named}
        return {"name": self.name, **self.options, **named} if self.options or named else self.name


class NoOptions(BaseModel):
    """The options of a scorer that has none."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Family:
    """A family of plugins, as an annotation of a choice: looks up its word and checks its options against `Options`.

    `needs` is the function that each module must define. In a `closed` family, a module without `Options` takes none.
    Words are looked up only if the validation context says `look_up`, so that the recipe of an old run can be read
    without its modules.
    """

    name: str
    needs: str
    closed: bool = False

    def load(self, word: str) -> ModuleType:
        """Return the module of a word. Raises PluginError."""
        return load_plugin(self.name, word, self.needs)

    def options_of(self, module: ModuleType) -> type[BaseModel] | None:
        """Return the model of a module's options, or None if only the module itself knows them."""
        found = getattr(module, "Options", NoOptions if self.closed else None)
        return _forbid_more(found) if isinstance(found, type) and issubclass(found, BaseModel) else None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._look_up, handler(source))

    def _look_up(self, choice: Choice, info: ValidationInfo) -> Choice:
        if not (info.context or {}).get("look_up"):
            return choice
        try:
            faults = self.find_faults(choice)
        except PluginError as error:
            raise faults_error(Choice, [make_fault(("name",), error.what, error.hint)]) from error
        if faults:
            raise faults_error(Choice, faults)
        return choice

    def find_faults(self, choice: Choice) -> list[InitErrorDetails]:
        """Return what is wrong with the options of a choice. Raises PluginError if there is no such module."""
        model = self.options_of(self.load(choice.name))
        if model is None:
            return []
        try:
            model.model_validate(choice.options)
        except ValidationError as error:
            return list(self._explain(choice, model, error))
        return []

    def _explain(self, choice: Choice, model: type[BaseModel], error: ValidationError) -> Iterator[InitErrorDetails]:
        """Yield the errors in the options; the hint for an unknown option lists those that exist."""
        for fault, each in zip(faults_of(error), error.errors(include_url=False), strict=True):
            if each["type"] == "extra_forbidden" and len(each["loc"]) == 1:
                key = str(each["loc"][0])
                what = f"the {noun_of(self.name)} {choice.name!r} takes no option {key!r}"
                yield make_fault((key,), what, did_you_mean(key, model.model_fields) or "it takes none", key=True)
            elif self.name == "backends" and each["type"] == "value_error":
                # The message leaves out the value: an address may contain a secret key.
                what = str(each["msg"]).removeprefix("Value error, ")
                yield make_fault(each["loc"], f"backend option {'.'.join(map(str, each['loc']))!r}: {what}")
            else:
                yield fault

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema for editors: the shipped words, each with its options, and any word with a dot."""
        base = handler.resolve_ref_schema(handler(schema))["properties"]
        own = {"type": "string", "pattern": OWN_WORD}
        alone, full = [], []
        for word in known_words(self.name):
            model = self.options_of(self.load(word))
            options = handler.resolve_ref_schema(handler(model.__pydantic_core_schema__)) if model else {}
            required = options.get("required", [])
            alone += [] if required else [word]
            properties = {**base, **options.get("properties", {}), "name": {"const": word}}
            full.append(_object_of(properties, ["name", *required], is_open=model is None))
        words = [{"type": "string", "enum": alone}] if alone else []
        return {"anyOf": [*words, *full, own, _object_of({**base, "name": own}, ["name"], is_open=True)]}


@lru_cache(maxsize=256)
def _forbid_more(model: type[BaseModel]) -> type[BaseModel]:
    """Return the model with unknown keys forbidden: else a misspelt option would silently mean the default."""
    if model.model_config.get("extra") == "forbid":
        return model
    return type(model.__name__, (model,), {"__module__": model.__module__, "model_config": {"extra": "forbid"}})


def _object_of(properties: dict[str, Any], required: list[str], *, is_open: bool) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": is_open}


BACKENDS = Family("backends", "build")
BackendChoice = Annotated[Choice, BACKENDS]
DetectorChoice = Annotated[Choice, Family("vision.detectors", "build")]
EncoderChoice = Annotated[Choice, Family("vision.encoders", "build")]
MatcherChoice = Annotated[Choice, Family("vision.matchers", "build")]
ViewChoice = Annotated[Choice, Family("export.views", "view")]
FormatChoice = Annotated[Choice, Family("export.formats", "write")]
SCORERS = Family("rewards", "score", closed=True)
TRACKERS = Family("trackers", "build")


def _name_choice(key: str, value: Any) -> str:
    number = f"{value:g}" if isinstance(value, float) else value
    said = key if value is True else value if isinstance(value, str) else f"{key}{number}"
    return re.sub(r"[^A-Za-z0-9]+", "_", said).strip("_")


class Joins(BaseModel):
    """How scores are joined for one weakness or skill; a missing key keeps the general rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(None, description="for the text reward; null keeps the general rule")
    image: str | None = Field(None, description="for the image reward; null keeps the general rule")


class Aggregate(BaseModel):
    """How scores become the text reward and the image reward of a sample: an aggregation, `outcome` or an expression.

    See `expressions.py` for the language, and `scoring/rewarder.py` for which rule applies to which skill.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("product", description="for the text reward: an aggregation, `outcome` or an expression")
    image: str = Field("product", description="for the image reward: likewise")
    by_weakness: dict[str, Joins] = Field(
        default_factory=dict, description="other rules, by `weakness` or `weakness/skill`"
    )


WeightPolicy = Literal["rwr", "softmax", "advantage", "rank", "best", "threshold", "uniform"]
Scope = Literal["weakness", "run", "group", "none"]
Joint = Literal["genmean", "mean", "product", "min", "text", "image"]


class Policy(BaseModel):
    """How rewards become weights: the keys under `weights:`.

    With r the reward of a sample, and n, mean, std over the scored samples of its group (its prompt's candidates):

    | policy | weight before normalisation | source |
    |---|---|---|
    | `rwr` | exp(r / beta) | reward-weighted regression, Peters and Schaal, ICML 2007 |
    | `softmax` | n * exp(r / beta) / sum over the group of exp(r / beta) | `rwr` with each group's mean taken out |
    | `advantage` | max(0, (r - mean) / (std + 1e-4)), std with n - 1 | GRPO's advantage as in T2I-R1, positive part |
    | `rank` | 2 * rank / (n + 1), rank 1 the worst, ties share their mean rank | linear ranking selection, Baker 1985 |
    | `best` | 1 / (number tied at the top) for the best of the group, else 0 | best of N |
    | `threshold` | 1 if r >= `threshold`, else 0 | rejection sampling |
    | `uniform` | 1 | plain fine-tuning |

    Then `normalize` scales the kept weights (those the formula does not set to 0) to mean 1 over the scope, and `clip`
    bounds them. Both hold at once: the scale c solves mean(clip(c * w)) = 1. Weights of 0 are never lifted by `clip`.

    Two kinds of samples weigh 0 under every policy. First, if a scorer of the reward should have judged a sample but
    could not, the sample has no reward (`unjudged: drop`; with `keep` the other scorers decide). Second, if all
    candidates of a prompt have reward 0, none shows a correct answer, so there is nothing to learn. `uniform` ignores
    rewards and keeps these.

    With `join: before` (GDPO, arXiv 2601.05242), each scorer's values become (r - mean) / (std + 1e-4) over the
    candidates of a prompt, so that scorers that differ little count as much as others; then they are joined as
    `aggregate` says, which must be a sum or a mean, and the positive part of that is the weight of `advantage`.

    With `gap: g`, weights before normalisation are multiplied by 1 + g * |P(yes) - passed|, where the model itself was
    asked whether the image shows the prompt (`judge:` is the model of the run, `vqa` is under `rewards`).

    With `only: image`, rewards weigh images alone and every text that has a reward weighs 1; the ablation of arXiv
    2601.04339, for any trainer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    policy: WeightPolicy = Field(default="rwr", description="the formula")
    beta: float = Field(default=0.25, ge=0.01, description="temperature of `rwr` and `softmax`: smaller means greedier")
    threshold: float = Field(default=0.5, ge=0, le=1, description="the least reward that `threshold` keeps")
    clip: tuple[float, float] | None = Field(default=(0.0, 10.0), description="bounds of a kept weight, null for none")
    normalize: Scope = Field(default="weakness", description="kept weights have mean 1 over this scope")
    modalities: Literal["separate", "shared"] = Field(
        default="separate", description="`separate`: each by its own reward; `shared`: one weight for both"
    )
    joint: Joint = Field(default="genmean", description="the reward of `shared`; an absent part is left out")
    unjudged: Literal["drop", "keep"] = Field(
        default="drop", description="a sample that a scorer should have judged and could not: `drop` gives it weight 0"
    )
    join: Literal["after", "before"] = Field(
        default="after", description="`before`: each scorer is normalised in its group before they are joined (GDPO)"
    )
    gap: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="weights times 1 + `gap` * |own judgement - verdict|, if the model judges",
    )
    drop_equal: bool = Field(default=False, description="drop groups of two or more whose rewards are all equal")
    only: Literal["text", "image"] | None = Field(
        default=None, description="the modality that rewards weigh; parts of the other weigh 1, as under `uniform`"
    )

    def explain_idle(self, keys: Iterable[str]) -> dict[str, str]:
        """Return those of some keys that change nothing under this policy, with the reason."""
        needs = {"beta": ("rwr", "softmax"), "threshold": ("threshold",)}
        idle = {
            key: f"`{key}` has no effect under the policy `{self.policy}`: it is of {' and '.join(needs[key])}"
            for key in keys
            if key in needs and self.policy not in needs[key]
        }
        if "joint" in {*keys} and self.modalities == "separate":
            idle["joint"] = "`joint` has no effect under `modalities: separate`: it joins the rewards of `shared`"
        return idle

    @model_validator(mode="after")
    def _check_join(self) -> Self:
        if self.join == "before" and self.policy != "advantage":
            raise ValueError(f"`join: before` makes advantages: write `policy: advantage`, not `{self.policy}`")
        if self.join == "before" and self.modalities == "shared" and self.joint not in ("mean", "text", "image"):
            raise ValueError(
                f"`join: before` adds advantages: `joint` is `mean`, `text` or `image`, not `{self.joint}`"
            )
        return self

    @model_validator(mode="after")
    def _check_only(self) -> Self:
        if self.only is not None and self.modalities == "shared":
            raise ValueError(f"`only: {self.only}` needs a weight for each: write `modalities: separate`")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The receipts of datasets of before there was a choice stay as they are.
        values: dict[str, Any] = handler(self)
        defaults = {"join": "after", "gap": 0.0, "only": None}
        return {key: value for key, value in values.items() if key not in defaults or value != defaults[key]}

    @model_validator(mode="after")
    def _check_clip(self) -> Self:
        if self.clip is None:
            return self
        low, high = self.clip
        if not 0 <= low <= high or high == 0:
            raise ValueError(f"clip [{low:g}, {high:g}] must be [low, high] with 0 <= low <= high and high > 0")
        if self.normalize != "none" and not low <= 1 <= high:
            raise ValueError(f"clip [{low:g}, {high:g}] must hold 1, the mean that `normalize: {self.normalize}` makes")
        return self


class Export(BaseModel):
    """A further export of the dataset: a view and a trainer's format, each as a word or with options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    view: ViewChoice = Field(Choice(name="trajectories"), description="how samples become training examples")
    format: FormatChoice = Field(Choice(name="jsonl"), description="how examples become a trainer's files")
    skip: bool = Field(False, description="leave out samples whose texts contain control tokens or tags of the format")


class Limit(BaseModel):
    """Minimum quality of a scorer; below it no weights are made. All in [0, 1]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scored: float = Field(0.0, ge=0, le=1, description="least share of the samples it should judge that get a value")
    accuracy: float | None = Field(
        None, ge=0, le=1, description="least share of its canaries judged right; default: `canary_limit`"
    )


class Least(BaseModel):
    """Minimum for the weights of each weakness; below it nothing is exported. Shares of its samples, in [0, 1]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effective: float = Field(0.0, ge=0, le=1, description="least effective sample size of a modality with rewards")
    passed: float = Field(0.0, ge=0, le=1, description="least share of samples whose claims were all seen to hold")


class Deduplicate(BaseModel):
    """The keys under `deduplicate:`: samples that repeat one of another prompt; see `pipeline/repeats.py`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    images: float | None = Field(
        0.1, ge=0, lt=0.5, description="difference up to which pictures are nearly the same; null: not compared"
    )
    texts: float | None = Field(
        0.85, gt=0, le=1, description="similarity from which texts, prompts included, are; null: not compared"
    )
    drop: bool = Field(True, description="all but the one with the highest reward weigh 0; false: only counted")


class NearFeatures(BaseModel):
    """The keys under `contamination_images.features:`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    encoder: EncoderChoice = Field(description="an image encoder, as under `encoders`")
    above: float = Field(
        gt=0, le=1, description="least cosine that is refused; `datagen plan` shows those of some samples"
    )


class KnownImages(BaseModel):
    """The keys under `contamination_images:`; a list is its `paths`. See docs/recipes_more.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    paths: list[str] = Field(min_length=1, description="files, folders, buckets and hf://datasets/OWNER/NAME")
    hash: float = Field(0.1, ge=0, lt=0.5, description="greatest difference by perceptual hash that is refused")
    features: NearFeatures | None = Field(None, description="refuse by an encoder's features too")

    @model_serializer
    def _as_written(self) -> list[str] | dict[str, Any]:
        given = {key: getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set}
        return self.paths if given.keys() == {"paths"} else given


class Adapt(BaseModel):
    """Generates the first candidates of every prompt, and the rest only where a scorer judges the first differently."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: int = Field(ge=2, le=256, strict=True, description="candidates that every prompt gets")
    by: list[str] = Field(min_length=1, description="scorers by rule that decide; see docs/adaptive.md")


class Images(BaseModel):
    """The format in which pictures are stored: the keys under `images:`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Store = Field(
        "keep",
        description="`keep`: PNG, JPEG and WebP as the model sent them; `png`, `webp`: any other format is converted",
    )
    quality: int | None = Field(
        None, ge=1, le=100, strict=True, description="of pictures converted to `webp`; default: without loss"
    )

    @model_validator(mode="after")
    def _check_quality(self) -> Self:
        if self.quality is not None and self.format != "webp":
            raise ValueError(f"`quality` is that of `format: webp`; `{self.format}` never encodes with loss")
        return self


class Columns(BaseModel):
    """Which columns of a source hold what; without a name, the usual ones count if they are there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str | None = Field(None, description="the words; default: prompt, caption or text")
    claims: str | None = Field(None, description="claims as data; default: claims, if there is one")
    skill: str | None = Field(None, description="SKILL or WEAKNESS/SKILL; default: skill, if there is one")
    level: str | None = Field(None, description="the level of a skill; default: level, if there is one")


class Finding(BaseModel):
    """The keys under `source.find`: a language model names the claims of each prompt, which are then checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    backend: BackendChoice | None = Field(None, description="the model that is asked; default: the recipe's backend")
    temperature: float = Field(0.0, ge=0, le=2, description="its sampling temperature")
    max_tokens: int = Field(512, ge=16, le=4096, strict=True, description="token limit of one answer")
    keep: bool = Field(False, description="keep prompts whose claims were not found, without claims")


class Source(Columns):
    """The keys under `source:`: prompts that exist, in place of a taxonomy; or just the path."""

    path: str = Field(min_length=1, description="a file, a folder, a pattern, hf://datasets/OWNER/NAME, s3://…")
    find: Finding | None = Field(None, description="find the claims of prompts without any by a language model")

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


DATASET = "dataset"
"""The backend whose rows are prompts with their pictures."""


Style = Literal["short caption", "dense caption", "question", "user request", "paraphrase", "JSON brief"]
STYLES: tuple[Style, ...] = get_args(Style)
BRIEF: Style = "JSON brief"


class ExpandOptions(BaseModel):
    """The keys under `expand:`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    styles: list[Style] = Field(
        [style for style in STYLES if style != BRIEF], min_length=1, description="how to rewrite; styles take turns"
    )
    per_prompt: int = Field(1, ge=1, le=16, strict=True, description="rewrites per prompt")
    personas: list[str] = Field([], description="authors, such as `a teacher of young children`")
    scenes: list[str] = Field([], description="purposes, such as `a poster for a school fair`")
    temperature: float = Field(0.9, ge=0, le=2, description="sampling temperature of the rewriting model")
    max_tokens: int = Field(256, ge=16, le=4096, strict=True, description="token limit of one answer")
    instruction: str | None = Field(None, description="a template file that replaces the shipped instruction")
    backend: BackendChoice | None = Field(None, description="the rewriting model; default: the recipe's backend")
    keep_source: bool = Field(False, description="keep the template's text beside the accepted rewrites")
    similarity: float = Field(
        0.85, gt=0, le=1, description="Jaccard similarity of word 3-grams from which a text is a duplicate"
    )

    @field_validator("styles", "personas", "scenes")
    @classmethod
    def _differ(cls, values: list[str]) -> list[str]:
        if len(set(values)) < len(values) or not all(value.strip() for value in values):
            raise ValueError("holds the same entry twice, or an empty one")
        return values


SKILL_PATH = r"^[^/\s][^/\n]*(/[^/\n]+){0,2}$"
SkillPath = Annotated[str, StringConstraints(pattern=SKILL_PATH, max_length=200)]
"""`weakness`, `weakness/skill` or `weakness/skill/level`."""
SharePolicy = Literal["uniform", "manual", "by_failure", "by_learnability", "by_cause"]


class Allocation(BaseModel):
    """The keys under `allocate:`.

    | policy | weight of a level |
    |---|---|
    | `uniform` | 1 |
    | `manual` | its part of `shares`; levels not named there get the floor |
    | `by_failure` | 1 - pass@1, or 1 - mean reward if pass@1 is unknown |
    | `by_learnability` | pass@n - pass@1: what selecting among n candidates can teach |
    | `by_cause` | the sum over `causes` of its number times the share of samples that fail for that cause |

    `smoothing` pulls each measured weight towards their mean: (m * w + smoothing * mean) / (m + smoothing), where m is
    the number of prompts behind w; a level that was not measured gets the mean. Then `floor` and `cap` bound the
    shares.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    policy: SharePolicy = Field(description="uniform, manual, by_failure, by_learnability or by_cause")
    diagnosis: str | None = Field(None, min_length=1, description="the file that `datagen diagnose` wrote")
    shares: dict[SkillPath, float] = Field({}, description="for `manual`: parts by weakness, skill or level")
    causes: dict[Cause, float] = Field({}, description="for `by_cause`: how much each cause of failure counts")
    floor: float = Field(0.0, ge=0, le=1, description="the least share of a level")
    cap: float = Field(1.0, gt=0, le=1, description="the greatest share of a level")
    smoothing: float = Field(4.0, ge=0, le=1e6, description="weight of the mean in each level's share, in prompts")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.policy.startswith("by_") and self.diagnosis is None:
            raise ValueError(f"`{self.policy}` needs `diagnosis:`, the file that `datagen diagnose` writes")
        if (self.policy == "manual") != bool(self.shares):
            raise ValueError("`manual` and `shares:` need each other")
        if (self.policy == "by_cause") != bool(self.causes):
            raise ValueError("`by_cause` and `causes:` need each other")
        for name, parts in (("shares", self.shares), ("causes", self.causes)):
            if any(part < 0 for part in parts.values()) or (parts and not any(parts.values())):
                raise ValueError(f"`{name}:` must be 0 or more, and at least one above 0")
        return self


class Price(BaseModel):
    """What one model costs, in the currency of `prices`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input: float = Field(0.0, ge=0, description="a million tokens that it reads")
    output: float = Field(0.0, ge=0, description="a million tokens that it writes")
    image: float = Field(0.0, ge=0, description="a picture that it makes")
    request: float = Field(0.0, ge=0, description="an answered request")


class HeldPrice(Price):
    """What the model that generates the samples costs: its machine may have a price of its own."""

    hour: float = Field(0.0, ge=0, description="an hour of a model's machine, while the run holds it")


class Prices(BaseModel):
    """The keys under `prices:`, by the recipe's key of the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = Field("USD", min_length=1, max_length=10, description="shown behind each sum")
    backend: HeldPrice | None = Field(None, description="of the model that generates the samples")
    judge: Price | None = Field(None, description="of the judge; one that is the backend costs what the backend does")
    drawer: Price | None = Field(None, description="of the drawer, likewise")
    expand: Price | None = Field(None, description="of the model that rewrites prompts, likewise")
    source: Price | None = Field(None, description="of the model that finds claims, likewise")

    def of(self, key: str) -> Price | None:
        """Return the price of the model that a key of the recipe names."""
        found: Price | None = getattr(self, key, None)
        return found


class Resources(BaseModel):
    """What one actor or task of a Ray cluster occupies."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    num_cpus: float = Field(1.0, ge=0, description="processors, or a share of one")
    num_gpus: float = Field(0.0, ge=0, description="GPUs, or a share of one")
    memory: int | None = Field(None, ge=1, strict=True, description="bytes of memory")
    resources: dict[str, float] = Field(default_factory=dict, description="resources of the cluster by their names")


class Cluster(BaseModel):
    """The keys under `cluster:`, for `--runner ray`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: int = Field(1, ge=1, le=10_000, strict=True, description="actors that hold a model; `--models` replaces it")
    model: Resources = Field(Resources(), description="what each of these occupies")
    scorers: int = Field(
        0, ge=0, le=10_000, strict=True, description="actors that join and score; 0: a task for each shard"
    )
    scorer: Resources = Field(Resources(), description="what each of these actors or tasks occupies")
    stretch: int | None = Field(
        None,
        ge=1,
        le=4096,
        strict=True,
        description="samples handed out at a time, in whole prompts; default: a minute's work of a model, 16 to 64",
    )


def find_training_clash(options: Mapping[str, Any]) -> str:
    """Return which options of the embedded trainer exclude each other and why, `""` if none do."""
    if options.get("baseline") and options.get("sampler"):
        return "`baseline` and `sampler` exclude each other: rows cannot be sampled by weights that are negative"
    if options.get("baseline") and options.get("control"):
        return (
            "`baseline` and `control` exclude each other: of weights that are all 1, nothing is left without their mean"
        )
    return ""


class Training(BaseModel):
    """The keys under `train:`, for `datagen loop`: the embedded trainer with its options, or a command of your own.

    The command is split into words as a shell does, and run without one. It must hold `{dataset}`, the folder of the
    data, and `{checkpoint}`, where its model must lie when it exits with 0; `{start}` is the model to start from, at
    first the value of the option that `into` names, `{round}` the round's number, `{seed}` a seed for its random order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    command: str | None = Field(None, description="your trainer; it must hold {dataset} and {checkpoint}")
    into: str | None = Field(
        None,
        pattern=r"^backend(\.[A-Za-z_][A-Za-z0-9_]*)+$",
        description="with `command`: the option of `backend` that takes its checkpoint, such as backend.checkpoint",
    )
    replay: float = Field(0.0, ge=0, lt=1, description="share of training rows that come from earlier rounds")
    detector: DetectorChoice | None = Field(
        None, description="detector by which rounds are measured; it must differ from that of the weights"
    )
    prompts: int | None = Field(
        None, ge=1, le=MAX_PROMPTS, strict=True, description="prompts of a round; default: the recipe's"
    )
    candidates: int | None = Field(
        None, ge=1, le=256, strict=True, description="candidates per prompt of a round; default: the recipe's"
    )
    backend: dict[str, Any] = Field(
        {}, description="options of `backend` that a round's data are drawn with; default: the recipe's"
    )
    steps: int | None = Field(None, ge=1, strict=True, description="optimizer steps of a round")
    batch: int | None = Field(None, ge=1, strict=True, description="rows per micro-batch")
    accumulate: int | None = Field(None, ge=1, strict=True, description="micro-batches per step")
    lr: float | None = Field(None, ge=0, description="peak learning rate")
    lambda_text: float | None = Field(None, ge=0, description="factor of the text loss")
    lambda_image: float | None = Field(None, ge=0, description="factor of the image loss")
    switch: float | None = Field(None, ge=0, description="factor of the token that opens the image")
    sampler: bool | None = Field(None, description="sample rows by weight instead of weighting the loss")
    control: bool | None = Field(None, description="train without the weights, as the control")
    precision: Literal["float32", "bfloat16"] | None = Field(
        None, description="of products in training; by default the faster one of the processor"
    )
    pull: float | None = Field(None, ge=0, description="factor of the divergence from the model a round begins with")
    baseline: bool | None = Field(None, description="subtract from each weight the mean of its prompt's")

    @property
    def options(self) -> dict[str, Any]:
        """The options of the embedded trainer that are given."""
        others = {"command", "into", "replay", "detector", "prompts", "candidates", "backend"}
        return self.model_dump(exclude=others, exclude_none=True)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.command is None) != (self.into is None):
            raise ValueError("`command:` and `into:` need each other")
        if "name" in self.backend:
            raise ValueError("a round's data are drawn by the recipe's backend: `backend` takes its options, no `name`")
        if clash := find_training_clash(self.options):
            raise ValueError(clash)
        if self.command is None:
            return self
        if self.options:
            raise ValueError(f"`{next(iter(self.options))}` is for the embedded trainer; write it into `command:`")
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ValueError(f"`command:` cannot be split into words: {error}") from None
        named = set(re.findall(r"\{(\w*)\}", " ".join(words)))
        if missing := {"dataset", "checkpoint"} - named:
            raise ValueError(f"`command:` must hold {{{min(missing)}}}")
        if strange := named - set(TRAIN_PLACES):
            raise ValueError(f"`command:` holds {{{min(strange)}}}; known are {list_places()}")
        return self


def _fill_in(data: Any) -> Any:
    """Return the values of a recipe with other defaults if its prompts are rows: all rows, and all their pictures."""
    if not isinstance(data, Mapping):
        return data
    source, backend = data.get("source"), data.get("backend")
    filled = dict(data)
    if isinstance(source, str):
        filled["source"] = {"path": source}
    options = backend if isinstance(backend, Mapping) else {"name": backend}
    if options.get("name") == DATASET:
        filled = {"candidates": 256, "mode": "think" if options.get("text") else "direct", **filled}
    elif source is None:
        return filled
    return {"prompts": MAX_PROMPTS, **filled}


def list_places() -> str:
    """Return the known placeholders of `train.command` as they are written."""
    return ", ".join(f"{{{name}}}" for name in TRAIN_PLACES)


TRAIN_PLACES = ("dataset", "checkpoint", "start", "round", "seed")
"""What the braces of `train.command` may name; other braces are left as they are."""
SHIPPED = "shipped"
"""Word of the short list of rude words in the package."""


class ScreenOptions(BaseModel):
    """The keys under `screen:`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pii: bool = Field(True, description="refuse e-mail addresses, phone numbers and card numbers")
    words: list[str] = Field([SHIPPED], description="`shipped`, and files with one word or phrase per line")


class Recipe(BaseModel):
    """The recipe of a run. Frozen: `load` reads one, and `set` returns a changed one.

    recipe = Recipe.load("quickstart").set(prompts=50, candidates=2)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[1] = Field(1, description="version of this format")
    name: str = Field(
        "run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="name of the run folder, outputs/<name>"
    )
    taxonomy: list[str] = Field(default_factory=list, description="shipped names such as `counting`, or paths")
    source: Source | None = Field(None, description="prompts that exist, in place of a taxonomy; see docs/datasets.md")
    lexicon: str | None = Field(None, description="a shipped name or a path; default: the backend's own")
    prompts: int = Field(200, ge=1, le=MAX_PROMPTS, strict=True, description="number of prompts")
    candidates: int = Field(4, ge=1, le=256, strict=True, description="samples per prompt")
    adapt: Adapt | None = Field(
        None, description="generate all `candidates` only where the first ones are judged differently"
    )
    mode: Mode = Field(
        "think",
        description="`direct` (image only), `think` (reasoning first), `reflect` (look at the image and refine it)",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, strict=True, description="determines everything random")
    shard_prompts: int = Field(
        64,
        ge=1,
        le=10_000,
        strict=True,
        description="prompts per file",
    )
    backend: BackendChoice = Field(
        Choice(name="embedded"), description="the model that generates the samples, and its options"
    )
    images: Images | None = Field(None, description="format of the stored pictures; default: as the model sent them")
    rewards: list[Annotated[ScorerChoice, SCORERS]] = Field(
        [ScorerChoice(name=word) for word in ("counting", "spatial", "attribute", "text")],
        min_length=1,
        description="scorers, by word or with options",
    )
    evaluate: list[Annotated[ScorerChoice, SCORERS]] | None = Field(
        None, description="scorers that are reported and exported, but do not affect weights"
    )
    same_judge: bool = Field(False, description="allow a scorer in both `rewards` and `evaluate`")
    judge: BackendChoice | None = Field(
        None, description="a backend that answers the questions of scorers such as `vqa`"
    )
    expand: ExpandOptions | None = Field(
        None, description="how a language model rewrites prompts; see docs/expansion.md"
    )
    allocate: Allocation | None = Field(
        None, description="how prompts are divided among skills; default: by the taxonomy; see docs/diagnose.md"
    )
    detector: DetectorChoice = Field(Choice(name="pictograms"), description="finds objects for the scorers")
    canaries: str | None = Field(
        None, description="file of marked images that scorers must judge right before weights are made"
    )
    canary_limit: float = Field(1.0, ge=0, le=1, description="least share of canaries that a scorer must judge right")
    limits: dict[str, Limit] = Field(
        default_factory=dict, description="minimum quality of scorers, by name; see docs/audit.md"
    )
    least: Least | None = Field(None, description="minimum for the weights of each weakness; see docs/training.md")
    encoders: list[EncoderChoice] | None = Field(
        None, description="image encoders, for `reconstruction` and `diversity`"
    )
    matchers: dict[str, MatcherChoice] | None = Field(
        None, description="text-image models, by the scorer that uses them"
    )
    drawer: BackendChoice | None = Field(
        None, description="a backend that generates images from descriptions, for `reconstruction`"
    )
    aggregate: Aggregate = Field(
        Aggregate(), description="how scores are joined into the rewards of text and image; see docs/scorers.md"
    )
    weights: Policy = Field(Policy(), description="policy and parameters; see `datagen weigh`")
    filter: str | None = Field(
        None, description="condition on a row to be in the dataset, over rewards, weights, words; see docs/datasets.md"
    )
    exports: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")], Export] = Field(
        default_factory=dict, description="further exports of the dataset, by name; see docs/formats.md"
    )
    cluster: Cluster | None = Field(None, description="resources on a Ray cluster; see docs/cluster.md")
    prices: Prices | None = Field(None, description="what models cost, for plan, progress and --max-cost")
    failure_limit: float = Field(0.2, ge=0, le=1, description="greatest share of failed samples; a run stops above it")
    scorer_timeout_seconds: float | None = Field(
        600.0, gt=0, le=1e6, description="longest call of a scorer, null for no limit; see docs/trust.md"
    )
    contamination: list[str] = Field(default_factory=list, description="benchmark files whose prompts are refused")
    contamination_images: KnownImages | None = Field(
        None,
        description="benchmark pictures, as files, folders, buckets and hub datasets: samples near to one are refused",
    )
    screen: ScreenOptions | None = Field(
        None, description="refuse personal data and listed words in prompts and rewrites; see docs/recipes_more.md"
    )
    deduplicate: Deduplicate | None = Field(
        None, description="count or drop samples that repeat one of another prompt; see docs/training.md"
    )
    train: Training | None = Field(None, description="how `datagen loop` trains between rounds; see docs/loop.md")
    track: Annotated[Choice, TRACKERS] | None = Field(
        None, description="tracker of figures by step, such as tensorboard; default: none; see docs/runs.md"
    )
    license: str = Field(
        "unknown",
        pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$",
        description="licence of what the model wrote, as you state it: a hub identifier such as apache-2.0",
    )
    addresses: bool = Field(
        False, description="publish file paths and server addresses as they are; default: only names"
    )
    validation_share: float = Field(0.1, ge=0, lt=1, description="share of prompts in the validation split")

    _written: dict[str, Any] = PrivateAttr(default_factory=dict)

    @field_validator("taxonomy", "contamination", mode="before", json_schema_input_type=list[str] | str | None)
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else [] if value is None else value

    @field_validator("contamination_images", mode="before", json_schema_input_type=KnownImages | list[str] | str | None)
    @classmethod
    def _named_paths(cls, value: Any) -> Any:
        value = [value] if isinstance(value, str) else value
        return {"paths": value} if isinstance(value, list) else value

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Check also how keys fit together, even if some keys are wrong by themselves."""
        context = info.context or {}
        if context.get("alone"):
            return handler(data)
        data = _fill_in(data)
        look_up = bool(context.get("look_up"))
        try:
            recipe = handler(data)
        except ValidationError as error:
            faults = faults_of(error)
            if isinstance(data, Mapping):
                rest, wrong = cls._set_wrong_aside(data)
                faults += rest._find_clashes(wrong, look_up=look_up)
            raise faults_error(cls, faults) from error
        if faults := list(recipe._find_clashes(frozenset(), look_up=look_up)):
            raise faults_error(cls, faults)
        if isinstance(data, Mapping):
            given = {key: data[key] for key in WRITTEN_KEYS if data.get(key) is not None}
            recipe._written = {key: to_jsonable_python(value) for key, value in given.items()}
        return recipe

    @classmethod
    def _set_wrong_aside(cls, data: Mapping[str, Any]) -> tuple[Self, Set[str]]:
        """Return a recipe of the keys that are valid by themselves, and the names of the others.

        Unknown words and options count as valid here: other keys can still be checked against the name.
        """
        try:
            return cls.model_validate(data, context={"alone": True}), frozenset()
        except ValidationError as error:
            wrong = {str(each["loc"][0]) for each in error.errors()}
        rest = {key: value for key, value in data.items() if key not in wrong}
        # The placeholder stands in for the only required key, in case it is among the wrong ones.
        return cls.model_validate({"taxonomy": ["-"], **rest}, context={"alone": True}), wrong

    def _find_clashes(self, wrong: Set[str], *, look_up: bool) -> Iterator[InitErrorDetails]:
        """Yield contradictions between keys, except keys that are `wrong` by themselves."""
        if not wrong & {"taxonomy", "source", "backend"}:
            yield from self._find_source_clashes()
        most = self.prompts * self.candidates
        # The rows of a dataset bound both.
        if not wrong & {"prompts", "candidates", "backend"} and most > MAX_SAMPLES and not self.takes_pictures:
            what = f"prompts x candidates is {self.prompts * self.candidates:,}; at most {MAX_SAMPLES:,}"
            yield make_fault(("prompts",), what)
        size = self.shard_prompts * self.candidates
        if not wrong & {"shard_prompts", "candidates"} and size > MAX_SHARD_SAMPLES:
            what = f"shard_prompts x candidates is {size:,}, and a shard holds at most {MAX_SHARD_SAMPLES:,}"
            yield make_fault(("shard_prompts",), what)
        if not wrong & {"adapt", "candidates"} and self.adapt is not None and self.adapt.start >= self.candidates:
            what = f"adapt.start is {self.adapt.start}: it must be below candidates, {self.candidates}"
            yield make_fault(("adapt", "start"), what)
        for key, names in (("rewards", self.selecting), ("evaluate", self.evaluating)):
            for place, name in enumerate(names):
                if key not in wrong and name in names[:place]:
                    yield make_fault((key, place), f"{key} lists the same scorer twice; give one a name with `as:`")
        if not wrong & {"rewards", "evaluate", "same_judge"} and not self.same_judge:
            used = [(choice.name, choice.options) for choice in self.rewards]
            for place, each in enumerate(self.evaluate or ()):
                if (each.name, each.options) in used:
                    what = f"{each.label} would both select and evaluate the samples, so its figures would be biased"
                    hint = "name another scorer under evaluate, or set same_judge: true"
                    yield make_fault(("evaluate", place), what, hint)
        if look_up and self.adapt is not None and not wrong & {"adapt", "rewards", "evaluate"}:
            yield from self._look_up_deciders(self.adapt)
        if not wrong & {"limits", "rewards"}:
            for name in sorted(self.limits.keys() - set(self.selecting)):
                hint = did_you_mean(name, self.selecting)
                yield make_fault(("limits", name), f"limits: no scorer {name!r} in rewards", hint, key=True)
        if not wrong & {"limits", "canaries"} and self.canaries is None:
            for name in (name for name, limit in self.limits.items() if limit.accuracy is not None):
                what = "limits: accuracy is measured on canaries, but the recipe names none"
                yield make_fault(("limits", name, "accuracy"), what, "add `canaries: FILE`")
        if not wrong & {"aggregate", "rewards"}:
            yield from self._find_broken_expressions()
        if self.filter is not None and not wrong & {"filter", "rewards", "evaluate"}:
            try:
                parse_condition(self.filter, self.row_names)
            except ValueError as error:
                yield make_fault(("filter",), str(error))
            else:
                if self.parts_candidates and self.train is not None and self.train.baseline:
                    what = "train: `baseline` is the mean of all candidates of a prompt, and `filter` leaves some out"
                    yield make_fault(("train", "baseline"), what, "filter by what they share, such as level")

    def _find_source_clashes(self) -> Iterator[InitErrorDetails]:
        """Yield what is wrong about where the prompts come from."""
        hint = "shipped names such as `counting`, or paths; or `source:`, or the backend `dataset`"
        if not self.takes_rows:
            if not self.taxonomy:
                place = ("taxonomy",) if "taxonomy" in self.model_fields_set else ()
                yield make_fault(place, "'taxonomy' is missing", f"add it: {hint}")
            return
        key = "backend" if self.takes_pictures else "source"
        if self.taxonomy:
            yield make_fault(("taxonomy",), f"the prompts are those of `{key}`, so there is no taxonomy", key=True)
        if self.takes_pictures and self.source is not None:
            yield make_fault(("source",), "the prompts are those of the backend `dataset`", key=True)
        if self.allocate is not None:
            yield make_fault(("allocate",), f"the prompts of `{key}` are taken as they are", key=True)
        for name in ("expand", "adapt"):
            if self.takes_pictures and getattr(self, name) is not None:
                yield make_fault(
                    (name,), f"`{name}` needs a model that draws, and the dataset's pictures exist", key=True
                )

    def _look_up_deciders(self, adapt: Adapt) -> Iterator[InitErrorDetails]:
        for place, name in enumerate(adapt.by):
            try:
                if name not in self.scorers:
                    SCORERS.load(name)
            except PluginError as error:
                yield make_fault(("adapt", "by", place), error.what, error.hint)

    def _find_broken_expressions(self) -> Iterator[InitErrorDetails]:
        everywhere: list[tuple[Location, Aggregate | Joins]] = [((), self.aggregate)]
        inner = [(("by_weakness", name), joins) for name, joins in self.aggregate.by_weakness.items()]
        for path, joins in [*everywhere, *inner]:
            for target in ("text", "image"):
                text = getattr(joins, target)
                try:
                    if text is not None and text not in (*WAYS, OUTCOME):
                        parse_expression(text, self.selecting)
                except ValueError as error:
                    place = ("aggregate", *path, target)
                    hint = f"name scorers under `rewards` alone, or change it too: --set {dotted(place)}=product"
                    yield make_fault(place, str(error), hint)

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any] = "", *changes: Change) -> Recipe:
        """Return the recipe of a file, of a name (`find_recipe`), or of plain values by key, checked completely.

        `changes` are as those of `set`. Raises ConfigError naming place, key and value of every error.
        """
        if isinstance(source, Mapping):
            return _check(Document("recipe", name_plugins(source)), changes, look_up=True)
        return load_recipe(source, changes)

    def set(self, *changes: Change, **keys: Any) -> Recipe:
        """Return this recipe with other values of some keys, checked completely.

        A change is `"key=value"` as after `--set` (dotted keys, YAML values), or a key and its value. Where a word is
        expected, a module, function or class of your own may stand (`plugins.name_own`). Raises ConfigError.
        """
        return _check(Document("recipe", self.to_dict()), [*changes, *keys.items()], look_up=True)

    def save(self, path: str | Path) -> Path:
        """Write the recipe as a YAML file from which `datagen build` makes the same run in this folder.

        Raises RunError if it cannot be written.
        """
        write_text(Path(path), dump_yaml(self.to_dict()))
        return Path(path)

    def __repr__(self) -> str:
        return f"<recipe {self.name}: {self.prompts:,} prompts of {', '.join(self.taxonomy)}, {self.candidates} each>"

    def __str__(self) -> str:
        return dump_yaml({key: value for key, value in self.to_dict().items() if value is not None})

    @property
    def row_names(self) -> Names:
        """The names that `filter` may hold: what a row has, and the values of all scorers."""
        return Names(ROW_NUMBERS | (self.scorers.keys() - ROW_WORDS - ROW_FLAGS), ROW_WORDS, ROW_FLAGS)

    @property
    def parts_candidates(self) -> bool:
        """Whether `filter` may leave out some candidates of a prompt because of what they are worth."""
        return self.filter is not None and bool(
            parse_condition(self.filter, self.row_names).names - ROW_WORDS - {"candidate"}
        )

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures exist and nothing is drawn: the backend is `dataset`."""
        return self.backend.name == DATASET

    @property
    def takes_rows(self) -> bool:
        """Whether the prompts are rows of a source, not made from a taxonomy."""
        return self.source is not None or self.takes_pictures

    @property
    def least_candidates(self) -> int:
        """The number of candidates that every prompt gets, whatever the scorers say."""
        return self.adapt.start if self.adapt else self.candidates

    @property
    def selecting(self) -> list[str]:
        """The names of the scorers that affect weights."""
        return [choice.label for choice in self.rewards]

    @property
    def evaluating(self) -> list[str]:
        """The names of the scorers that only evaluate."""
        return [choice.label for choice in self.evaluate or ()]

    @property
    def scorers(self) -> dict[str, ScorerChoice]:
        """All scorers of the recipe by name: those that affect weights, then those that only evaluate."""
        chosen: dict[str, ScorerChoice] = {}
        for choice in (*self.rewards, *(self.evaluate or ())):
            chosen.setdefault(choice.label, choice)
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Return plain YAML values with plugin options; the values of `WRITTEN_KEYS` as they were written."""
        written = {key: self._written.get(key, {}) for key in WRITTEN_KEYS if getattr(self, key) is not None}
        return {**self.model_dump(mode="json"), **deepcopy(written)}


def split_choice(word: str) -> list[str]:
    """Return the name and the options of a plugin as it stands on a command line, `mlflow:experiment=a,uri=file:///b`."""
    return re.split(r"[:,](?=\w+=)", word)


def read_choice(word: str) -> dict[str, Any]:
    """Return a plugin with options, of which `split_choice` says how it is written."""
    name, *options = split_choice(word)
    return {"name": name, **dict(option.split("=", 1) for option in options)}


def load_recipe(path_or_name: str | Path = "", overrides: Sequence[Change] = (), *, look_up: bool = True) -> Recipe:
    """Load a recipe by path or name (`find_recipe`), with overrides (dotted keys, YAML values).

    Paths in the file are relative to it, else to the working directory. Plugin words are checked if `look_up`. Raises
    ConfigError naming file, line, key and value of every error.
    """
    path = find_recipe(str(path_or_name))
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        hint = "see recipes/quickstart.yaml"
        raise ConfigError("a recipe must be a mapping of keys to values", where=str(path), hint=hint)
    for key in document.data.keys() & {*PATH_KEYS, "contamination_images"}:
        document.data[key] = _beside(path.parent, document.data[key])
    if isinstance(known := document.data.get("contamination_images"), dict) and "paths" in known:
        known["paths"] = _beside(path.parent, known["paths"])
    for key, inner in (("allocate", "diagnosis"), ("screen", "words"), ("expand", "instruction")):
        if isinstance(found := document.data.get(key), dict) and inner in found:
            found[inner] = _beside(path.parent, found[inner])
    for key, inner in (("source", "path"), ("backend", "source"), ("backend", "root")):
        found = document.data.get(key)
        if key == "source" and isinstance(found, str):
            document.data[key] = _beside(path.parent, found, is_path=True)
        elif isinstance(found, dict) and inner in found:
            found[inner] = _beside(path.parent, found[inner], is_path=True)
    document.data.setdefault("name", path.stem)
    return _check(document, overrides, look_up=look_up)


def make_recipe(data: Mapping[str, Any], overrides: Sequence[Change] = (), *, where: str = "recipe") -> Recipe:
    """Check plain values as a recipe without looking up plugin words; messages name `where` as the place."""
    return _check(Document(where, dict(data)), overrides, look_up=False)


def data_recipe(recipe: Recipe) -> Recipe:
    """Return a recipe with what `train:` changes for the data of rounds: their sizes, and options of the backend.

    Raises ConfigError or PluginError if the backend does not take these options: only rounds are drawn with them.
    """
    if (train := recipe.train) is None:
        return recipe
    sizes = {"prompts": train.prompts, "candidates": train.candidates}
    changes = [(key, size) for key, size in sizes.items() if size is not None]
    changes += [(f"backend.{option}", value) for option, value in train.backend.items()]
    made = make_recipe(recipe.to_dict(), changes, where=f"train of {recipe.name}")
    if train.backend:
        load_model(Document("train.backend", {"backend": made.backend.model_dump(mode="json")}), _Drawing, look_up=True)
    return made


class _Drawing(BaseModel):
    backend: BackendChoice


def _check(document: Document, overrides: Sequence[Change], *, look_up: bool) -> Recipe:
    for override in overrides:
        if isinstance(override, str):
            path, value = _parse_override(override)
            document.forget(path)
        else:
            path, value = tuple(override[0].split(".")), name_plugins(override[1])
        _put(document.data, path, value)
    return load_model(document, Recipe, look_up=look_up)


def name_change(change: Change) -> str:
    """Return the dotted key of a change."""
    return change.partition("=")[0].strip() if isinstance(change, str) else change[0]


def name_plugins(value: Any) -> Any:
    """Return plain values, with the words of modules, functions and classes in them; paths become text."""
    if isinstance(value, Mapping):
        return {key: name_plugins(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [name_plugins(each) for each in value]
    if isinstance(value, PurePath):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float)) else name_own(value)


QUICKSTART = "quickstart"
PROJECT = "recipes"
"""Folder with the recipes of the project in which a command runs."""


def find_recipe(word: str = "") -> Path:
    """Return the path of a recipe, given by path, by name in the project's `recipes/`, or by shipped name.

    Without a word it is the project's own if it has one alone, or one named quickstart; outside of a project it is the
    shipped quickstart. Raises ConfigError with the known names.
    """
    own = {path.stem: path for path in sorted(Path(PROJECT).glob("*.yaml"))}
    if not word and len(own) == 1:
        return next(iter(own.values()))
    if not word and own and QUICKSTART not in own:
        what = f"which recipe? {PROJECT}/ has {', '.join(own)}"
        raise ConfigError(what, hint=f"name one, such as {next(iter(own))}")
    word = word or QUICKSTART
    if "/" in word or word.endswith((".yaml", ".yml")) or Path(word).is_file():
        if not Path(word).is_file():
            raise ConfigError("no such recipe", where=word, hint="give a file, or the name of a recipe")
        return Path(word)
    if word in own:
        return own[word]
    folder = shipped_path("recipes")
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if word not in known:
        raise ConfigError(f"no recipe named {word!r}", hint=did_you_mean(word, [*own, *known]))
    return folder / f"{word}.yaml"


def _parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Return key path and value of `a.b=value`. Raises ConfigError."""
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
    return path, parsed.data


def _put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set the value of a key path in `data`; nested mappings are copied, as YAML aliases share them."""
    target = data
    for part in path[:-1]:
        inner = target.get(part)
        # `--set backend.temperature=1` keeps the default plugin when the recipe names none.
        if inner is None and target is data and part in PLUGIN_KEYS:
            inner = getattr(Recipe.model_fields[part].default, "name", "embedded")
        inner = {"name": inner} if isinstance(inner, str) else inner
        target[part] = dict(inner) if isinstance(inner, Mapping) else {}
        target = target[part]
    target[path[-1]] = value


def _beside(folder: Path, value: Any, *, is_path: bool = False) -> Any:
    """Return paths that exist beside the recipe relative to the working directory; other values unchanged.

    Unless it `is_path`, a word without `/` and ending is a name.
    """
    if isinstance(value, list):
        return [_beside(folder, item) for item in value]
    if not isinstance(value, str) or not (is_path or "/" in value or Path(value).suffix):
        return value
    if not (folder / value).exists():
        return value
    found, here = (folder / value).resolve(), Path.cwd().resolve()
    return os.path.relpath(found, here) if found.is_relative_to(here) else str(found)


def name_files(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's plain values with every file path cut to the file name."""
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
    """Return the hash of all that determines prompts, samples and scores: data keys, contents of files and makers.

    Unset keys and empty makers do not count, so that a key added to datagen later does not change old runs.
    """
    kept = recipe.to_dict().items()
    data = {key: value for key, value in kept if key not in VIEW_KEYS | set(PATH_KEYS) and value is not None}
    code = {stage: dict(hashes) for stage, hashes in (makers or {}).items() if hashes}
    return hash_of(data, sorted(files.values()), *([code] if code else []))


def stage_marks(recipe: Recipe, files: Mapping[str, str], makers: Makers) -> dict[str, str]:
    """Return the marks of prompts, samples and scores: each hashes what determines the stage, and the mark before it.

    So another backend leaves the mark of the prompts unchanged, and other scorers leave that of the samples.
    """
    return mark_stages(recipe.to_dict(), files, makers)


def mark_stages(recipe: Mapping[str, Any], files: Mapping[str, str], makers: Makers) -> dict[str, str]:
    """Return the marks of a recipe that is given as plain values: see `stage_marks`."""
    data = {key: value for key, value in recipe.items() if value is not None}
    # If the recipe's own backend rewrites the prompts, it determines them too.
    asked = [data["expand"]] if "expand" in data else []
    asked += [found] if (found := data.get("source", {}).get("find")) is not None else []
    drawn = data.get("backend")
    is_own = any(each.get("backend") is None for each in asked)
    is_source = isinstance(drawn, Mapping) and drawn.get("name") == DATASET
    rewriter = ["backend"] if is_own or is_source else []
    seen = ["detector"] if "adapt" in data else []
    stages = {"prompts": [*PROMPT_KEYS, *rewriter], "samples": [*SAMPLE_KEYS, *seen], "scores": [*SCORE_KEYS]}
    marks: dict[str, str] = {}
    before: object = sorted(files.values())
    for stage, keys in stages.items():
        before = marks[stage] = hash_of(before, {key: data[key] for key in keys if key in data}, makers.get(stage, {}))
    return marks


def changed_keys(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "", skip: Set[str] = VIEW_KEYS
) -> list[str]:
    """Return the dotted keys in which two recipes (plain values) differ, without those to `skip`: view keys."""
    found = []
    for key in sorted({*old, *new}):
        if not prefix and key in skip:
            continue
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += changed_keys(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(prefix + key)
    return found
