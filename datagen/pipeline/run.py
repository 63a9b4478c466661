"""A run: a recipe and its folder; model, scorers and tools are loaded on first use."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Protocol

from datagen import program
from datagen.chat import ChatEngine, ChatRequest, Reply
from datagen.config import (
    DATASET,
    SCORE_KEYS,
    SHIPPED,
    VIEW_KEYS,
    Change,
    Choice,
    ExpandOptions,
    Export,
    Policy,
    Recipe,
    ScorerChoice,
    changed_keys,
    fingerprint_of,
    make_recipe,
    mark_stages,
    stage_marks,
)
from datagen.diagnose import Allotment, allocate, load_diagnosis
from datagen.errors import ConfigError, PluginError, RunError
from datagen.export import ViewPlan
from datagen.pipeline.comparing import follow_moved, list_changes, without_reach
from datagen.pipeline.makers import find_changes, list_makers, read_versions
from datagen.pipeline.needs import NEEDS, check_plugins, check_views, name_model
from datagen.plugins import Failed, attempt, find_own_line, known_words, load_plugin, noun_of
from datagen.prompts.contamination import Contamination
from datagen.prompts.screen import Screen
from datagen.prompts.templated import share_out
from datagen.records import Failure, Request, Sample
from datagen.scoring.rewarder import Rewarder, make_rewarder
from datagen.scoring.scorers import Scorer, load_scorer
from datagen.scoring.tools import Tools, make_draw, make_tools
from datagen.sources import PromptRows
from datagen.store import SUFFIXES, Marks, RunFolder, Stage
from datagen.taxonomy import Taxonomy, load_taxonomy, resolve_lexicon, resolve_taxonomy
from datagen.taxonomy.lexicon import load_lexicon
from datagen.usage import Usage
from datagen.vision.known import KnownFeatures, KnownPictures
from datagen.vision.ocr import LateReader

OUTPUTS = "outputs"
STAMP_SECONDS = 2.0
"""A file may be written twice within this, and have one size and time: some stores tell whole seconds."""
"""Folder of runs given by name."""
NOTED = ("plan", "expansion", "claims_found", "screened", "canaries", "reuse")
"""Keys that stages add to run.yaml; they stay when the recipe is noted again."""
_HABITS = frozenset(
    {"temperature", "batch_size", "threads", "device", "max_tokens", "rounds", "close", "thinking", "concurrency"}
)
"""Options of a backend that say how a model is run, not which one it is."""
MODELS = {"backend": "backend", "judge": "judge", "drawer": "drawer", "expand": "rewriter", "source": "finder"}
"""The attributes of a run that are models, by the recipe's key."""
GROWING = "growing"
"""Key of run.yaml while the files of a grown run are moved into their places: see `pipeline.growing`."""
STAGES = ("prompts", "samples", "scores")
"""The stages whose files carry a mark, each made from the one before."""


class Backend(Protocol):
    """A model that generates samples. `lexicon` names the words that it knows.

    One with `stream` too takes requests on from shard to shard: see `flow`. One with `progress` has it in the progress
    line, one with `usage` (`datagen.usage.Usage`, all that it was asked for so far) its tokens and money.
    """

    name: str
    lexicon: str

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request."""


class Run:
    """A recipe and its folder, with the marks of its files. Pickles as these three: loaded models stay behind."""

    def __init__(self, recipe: Recipe, address: str, marks: Marks | None = None) -> None:
        self.recipe, self.folder = recipe, RunFolder(address, marks)
        self._known_notes = b""
        self._stamp: tuple[dict[str, Any], float] = {}, 0.0
        """Of run.yaml, and when it was first seen (monotonic clock)."""
        self._trusted_stamp: dict[str, Any] = {}
        self._told: dict[str, Usage] = {}
        self.overdue = Counter[str]()
        """By scorer, how many of its last calls gave no answer in time (`waiting`)."""

    def __reduce__(self) -> tuple[type[Run], tuple[Recipe, str, Marks | None]]:
        return Run, (self.recipe, self.folder.address, self.folder.marks)

    @cached_property
    def makers(self) -> dict[str, dict[str, str]]:
        """The current hashes of the modules and model files that the recipe names."""
        return list_makers(self.recipe)

    def describe_model(self) -> str:
        """Return what the model in this process says of its work (its `progress`), if there is one and it does."""
        return str(getattr(self.__dict__.get("backend"), "progress", ""))

    def take_usage(self) -> dict[str, Usage]:
        """Return what the models in this process were asked for since the last call, by the recipe's key of the model.

        A model that several keys name counts under the first of backend, judge, drawer, expand and source.
        """
        new: dict[str, Usage] = {}
        seen = set[int]()
        for key, name in MODELS.items():
            model = self.__dict__.get(name)
            usage = getattr(model, "usage", None)
            if usage is not None and id(model) not in seen and (more := usage - self._told.get(key, Usage())):
                new[key], self._told[key] = more, usage
            seen.add(id(model))
        return new

    @cached_property
    def backend(self) -> Backend:
        """The model; loading it can take a while. Raises PluginError or BackendError."""
        backend: Backend = _build("backends", self.recipe.backend)
        return backend

    @cached_property
    def scorers(self) -> dict[str, Scorer]:
        """The scorers by name, in the recipe's order. Raises PluginError, or ConfigError for wrong options."""
        return {name: load_scorer(choice) for name, choice in self.recipe.scorers.items()}

    @cached_property
    def selecting(self) -> frozenset[str]:
        """The names of the scorers that affect weights."""
        return frozenset(self.recipe.selecting)

    @cached_property
    def deciders(self) -> dict[str, Scorer]:
        """The scorers of `adapt.by`, run in the model's process. Raises ConfigError for one that is not by rule."""
        names = self.recipe.adapt.by if self.recipe.adapt else ()
        chosen = self.recipe.scorers
        modules = {name: load_scorer(chosen.get(name) or ScorerChoice(name=name)) for name in names}
        for name, module in modules.items():
            if any(hasattr(module, mark) for mark in (*NEEDS, "NEEDS_MATCHER", "score_group")):
                hint = "name scorers by rule, such as counting or text"
                raise ConfigError(f"the scorer {name!r} asks a model or compares samples", where="adapt.by", hint=hint)
        return modules

    @property
    def judges(self) -> dict[str, frozenset[str]]:
        """The kinds of claim that each scorer judges; empty for one that judges samples as such."""
        return {name: frozenset(getattr(module, "JUDGES", ())) for name, module in self.scorers.items()}

    @cached_property
    def rewarder(self) -> Rewarder:
        """The rules that turn scores into rewards. Raises ConfigError for a wrong key under `aggregate`.

        With `weights: {join: before}` every rule must be a sum.
        """
        targets = {name: self.scorers[name].TARGET for name in self.recipe.selecting}
        aggregate = self.recipe.aggregate
        skills = self.taxonomy.skills if aggregate.by_weakness else ()  # else weighing needs no taxonomy files
        places = frozenset(place for skill in skills for place in (skill.weakness, skill.path))
        if self.recipe.takes_rows:  # the rows say which skills there are
            places = frozenset(aggregate.by_weakness)
        modules = {name: self.scorers[name] for name in self.recipe.selecting}
        made = make_rewarder(aggregate, targets, places, modules if self.policy.unjudged == "drop" else {})
        if self.policy.join == "before":
            made.require_sums()
        if self.policy.gap:
            self._require_own_judge()
        return made

    @property
    def judges_itself(self) -> bool:
        """Whether the judge is the model that generates: the same backend and options, but for those of `_HABITS`."""
        judge, backend = self.recipe.judge, self.recipe.backend
        if judge is None or judge.name != backend.name:
            return False
        ours, theirs = (
            {key: value for key, value in choice.options.items() if key not in _HABITS} for choice in (backend, judge)
        )
        return ours == theirs

    def _require_own_judge(self) -> None:
        where, chosen = "weights.gap", self.recipe.scorers
        if not self.judges_itself:
            what = "no judge of this recipe is the model that generates, so its own judgement is unknown"
            raise ConfigError(what, where=where, hint=f"write `judge: {self.recipe.backend.name}` with its options")
        asked = {name for name, choice in chosen.items() if choice.name == "vqa"}
        if not asked & self.selecting:
            raise ConfigError("the model is not asked about its images", where=where, hint="add vqa under `rewards`")
        if both := sorted(asked & {*self.recipe.evaluating}):
            what = f"{both[0]!r} would make weights and evaluate them"
            raise ConfigError(what, where=where, hint="leave it out under `evaluate`")

    @cached_property
    def tools(self) -> Tools:
        """The scorers' tools for images; text is read by the detector if it can, else by the OCR."""
        recipe = self.recipe
        encoders = {name_model(choice): _build("vision.encoders", choice) for choice in recipe.encoders or ()}
        matchers = {name: _build("vision.matchers", choice) for name, choice in (recipe.matchers or {}).items()}
        return make_tools(
            self.detector,
            self.ocr,
            ask=self._ask_judge if recipe.judge else None,
            encoders=encoders,
            matchers=matchers,
            draw=make_draw(self._draw) if recipe.drawer else None,
        )

    @cached_property
    def detector(self) -> Any:
        """The object detector. Raises ConfigError, or BackendError when it cannot be loaded."""
        return _build("vision.detectors", self.recipe.detector)

    @cached_property
    def ocr(self) -> LateReader:
        """The OCR, from PNG bytes to lines of text in reading order; loaded on first use."""
        return LateReader()

    def _draw(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        return self.drawer.generate(requests)

    @cached_property
    def drawer(self) -> Backend:
        """The model that turns descriptions into images: `drawer`, or `backend` itself if they are the same."""
        choice = self.recipe.drawer or self.recipe.backend
        if choice == self.recipe.backend:
            return self.backend
        backend: Backend = _build("backends", choice)
        return backend

    def _ask_judge(self, requests: Sequence[ChatRequest]) -> list[Reply]:
        return list(self.judge.chat(requests))

    @cached_property
    def judge(self) -> ChatEngine:
        """The model that answers questions about images: `judge`, or `backend` itself if they are the same.

        Raises ConfigError when the recipe names none, or one that cannot chat.
        """
        choice = self.recipe.judge
        if choice is None:
            raise ConfigError(
                "the recipe has no judge", hint="add `judge:` with a backend that answers chats, such as openai"
            )
        return self.open_chat(choice)

    @cached_property
    def rewriter(self) -> ChatEngine:
        """The model that rewrites prompts: `expand.backend`, or `backend` itself. Raises ConfigError."""
        return self.open_chat((self.recipe.expand and self.recipe.expand.backend) or self.recipe.backend)

    @cached_property
    def finder(self) -> ChatEngine:
        """The model that finds claims: `source.find.backend`, or `backend` itself. Raises ConfigError."""
        find = self.recipe.source.find if self.recipe.source else None
        return self.open_chat((find and find.backend) or self.recipe.backend)

    def open_chat(self, choice: Choice) -> ChatEngine:
        """Return a backend as a chat engine; raises ConfigError when it cannot chat."""
        same = choice == self.recipe.backend
        engine: Any = self.backend if same else _build("backends", choice)
        if not hasattr(engine, "chat"):
            raise ConfigError(f"the backend {choice.name!r} does not answer questions", hint="`openai` and `vllm` do")
        chat_engine: ChatEngine = engine
        return chat_engine

    @property
    def policy(self) -> Policy:
        """How rewards become weights."""
        return self.recipe.weights

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The skills from which prompts are sampled, none if they are rows. Raises ConfigError."""
        if self.recipe.takes_rows:
            return Taxonomy(load_lexicon(resolve_lexicon(self.lexicon)).name, (), ())
        return load_taxonomy(self.recipe.taxonomy, self.lexicon)

    @cached_property
    def rows(self) -> PromptRows | None:
        """The rows that are the prompts, None if these come from a taxonomy. Raises ConfigError."""
        source = self.recipe.source
        if source is not None:
            return PromptRows(source.path, source)
        if not self.recipe.takes_pictures:
            return None
        rows: PromptRows = load_plugin("backends", DATASET, "build").Options.parse(self.recipe.backend.options).open()
        return rows

    @cached_property
    def lexicon(self) -> str:
        """The recipe's lexicon, else that of the backend. Raises ConfigError when neither has one."""
        lexicon = self.recipe.lexicon or getattr(self.backend, "lexicon", None)
        if not lexicon:
            hint = "add `lexicon: everyday` to the recipe"
            raise ConfigError(f"the backend {self.recipe.backend.name!r} names no lexicon", hint=hint)
        return str(lexicon)

    @property
    def expansion(self) -> ExpandOptions | None:
        """How prompts are rewritten, or None."""
        return self.recipe.expand

    @cached_property
    def allotment(self) -> Allotment | None:
        """The share of each level of each skill, or None for the taxonomy's own shares. Raises ConfigError."""
        options = self.recipe.allocate
        if options is None:
            return None
        diagnosis = load_diagnosis(options.diagnosis) if options.diagnosis else None
        return allocate(options, list_levels(self.taxonomy), diagnosis)

    @property
    def shares(self) -> dict[str, float] | None:
        """The shares of `allotment` by path, for `plan_prompts`."""
        return {each.path: each.share for each in self.allotment.shares} if self.allotment else None

    @property
    def views(self) -> list[ViewPlan]:
        """The exports that the recipe names."""
        return [
            ViewPlan(name, each.view.name, each.format.name, each.view.options, each.format.options, each.skip)
            for name, each in self.recipe.exports.items()
        ]

    @cached_property
    def blocked(self) -> Contamination | None:
        """The benchmark prompts to avoid, or None. Raises ConfigError."""
        return Contamination.from_files(self.recipe.contamination) if self.recipe.contamination else None

    @cached_property
    def known(self) -> KnownPictures | None:
        """The benchmark pictures to refuse, or None. Raises ConfigError."""
        known = self.recipe.contamination_images
        return KnownPictures.from_places(known.paths, known.hash) if known else None

    @cached_property
    def known_features(self) -> KnownFeatures | None:
        """The features of the benchmark pictures to refuse, or None; each is read again and encoded.

        Raises ConfigError, and PluginError for what the encoder raises.
        """
        known = self.recipe.contamination_images
        if known is None or known.features is None:
            return None
        encoder, above = known.features.encoder, known.features.above
        encode = _build("vision.encoders", encoder)
        made = attempt(lambda: KnownFeatures.from_places(known.paths, encode, above))
        if isinstance(made, Failed):
            what = f"the encoder {encoder.name!r} broke down at a picture of `contamination_images`: {made.text}"
            raise PluginError(what, where=find_own_line(made.error)) from made.error
        return made

    @cached_property
    def screen(self) -> Screen | None:
        """The filter for personal data and listed words, or None. Raises ConfigError for an unreadable list."""
        return Screen.from_options(self.recipe.screen) if self.recipe.screen else None

    def require_same(self) -> None:
        """Raise RunError if the folder was deleted or taken by another run since this run was opened."""
        if self.folder.marks is None:
            return
        # Called for every part: size and time are one request, the content two more, and YAML is slow to parse.
        stamp, now = self.folder.read_stamp("run.yaml"), time.monotonic()
        if stamp and stamp == self._trusted_stamp:
            return
        if stamp != self._stamp[0]:
            self._stamp = stamp, now
        content = self.folder.read_head("run.yaml", size=-1)
        if not content or content != self._known_notes:
            notes = self.folder.read_notes() if content else {}
            if notes.get("marks") != self.folder.marks:
                what = "became the run of another recipe" if notes else "was deleted, or lost its run.yaml,"
                hint = "nothing more is written there; start again with a --run of its own"
                raise RunError(f"{what} while it was being made", where=str(self.folder), hint=hint)
            self._known_notes = content
        if now - self._stamp[1] > STAMP_SECONDS:
            self._trusted_stamp = stamp

    def read_plan(self) -> dict[str, int]:
        """Return the counts of the finished prompt stage; raises RunError if it is not finished."""
        plan = self.folder.read_notes().get("plan")
        if not isinstance(plan, dict) or not isinstance(plan.get("shards"), int):
            raise RunError(
                "has no finished prompts", where=str(self.folder), hint="run `datagen build` with its recipe"
            )
        return plan


def list_levels(taxonomy: Taxonomy) -> dict[str, float]:
    """Return the paths of all levels with their shares in the taxonomy, which sum to 1."""
    parts = share_out(taxonomy)
    whole = sum(parts.values())
    return {
        f"{skill.path}/{level.name}": parts[skill.path] / whole / len(skill.levels)
        for skill in taxonomy.skills
        for level in skill.levels
    }


def _build(family: str, choice: Choice) -> Any:
    """Load a plugin by its word and build it with its options. Raises PluginError naming it for what it raises."""
    module = load_plugin(family, choice.name, "build")
    made = attempt(lambda: module.build(choice.options))
    if isinstance(made, Failed):
        what = f"the {noun_of(family)} {choice.name!r} cannot be built: {made.text}"
        raise PluginError(what, where=find_own_line(made.error)) from made.error
    return made


def create_run(recipe: Recipe, address: str, command: str = "datagen build", *, keep: bool = False) -> Run:
    """Create or resume the run of a recipe at an address, after all checks that need no model.

    What no model has made anything by yet may change: while no sample is there everything, and the scorers while no
    score is there. Options that only say how a server is reached (`REACHED_BY` of a plugin) may change at any time, and
    so may the path of a file or a model whose content is the same.

    Exports that `datagen export --view` added are kept as long as their folders exist. Raises RunError when the folder
    holds a run or shards of another recipe (the message names the changed keys and a command that works, built from
    `command`), and when modules or model files changed, unless `keep`. Raises ConfigError or PluginError for errors in
    the recipe.
    """
    run = Run(recipe, address)
    check_plugins(run)
    files = hash_files(run)
    notes: dict[str, Any] = {
        "name": recipe.name,
        "fingerprint": fingerprint_of(recipe, files, run.makers),
        "versions": read_versions(),
        "files": files,
        "makers": run.makers,
        "marks": {stage: [mark] for stage, mark in stage_marks(recipe, files, run.makers).items()},
        "recipe": recipe.to_dict(),
    }
    if not run.folder.exists():
        run.folder.marks = notes["marks"]
        _refuse_leftovers(run, command)
        run.folder.write_notes(notes)
        return run
    there = run.folder.read_notes()
    refuse_growing(address, there)
    old = follow_moved(there, notes)
    if old.get("fingerprint") != fingerprint_of(recipe, files, old.get("makers")):
        with run.folder.hold():
            _begin_anew(run, old, files, address, command)
        there = old = run.folder.read_notes()
    run.recipe = recipe = remember_views(run, old)
    # The run's parts were made with the noted versions and makers, not with the current ones.
    notes |= {key: old[key] for key in ("versions", "makers", "marks", *NOTED) if key in old}
    if "marks" not in old:
        notes["marks"] = _mark_old(run, notes["marks"])
    notes |= {"recipe": recipe.to_dict(), "fingerprint": fingerprint_of(recipe, files, notes["makers"])}
    settled = _settle(run, notes, STAGES, keep, f"{command} --run {shlex.quote(address)}")
    if there != settled:
        run.folder.write_notes(settled)
    run.folder.marks = settled["marks"]
    return run


def settle_makers(run: Run, stages: Sequence[str], *, keep: bool = False, command: str = "") -> None:
    """Check that some stages (of `STAGES`) still have the modules and model files that they began with.

    `keep` accepts the current ones beside the former, so that files of both belong to the run. Raises RunError naming
    what changed, with commands that work; `command` is the current command.
    """
    command = command or program.command("build", "RECIPE", "--run", run.folder)
    notes = run.folder.read_notes()
    settled = {**notes, "makers": notes.get("makers", run.makers)}
    if "marks" not in notes:
        marks = stage_marks(run.recipe, notes.get("files") or {}, settled["makers"])
        settled["marks"] = _mark_old(run, {stage: [mark] for stage, mark in marks.items()})
    settled = _settle(run, settled, stages, keep, command)
    if settled != notes:
        run.folder.write_notes(settled)
    run.folder.marks = settled["marks"]


def renew_scores(run: Run) -> None:
    """Note the current recipe and makers for scores: from now on, only scores made with them belong to the run."""
    notes = run.folder.read_notes()
    makers = {**notes["makers"], "scores": run.makers["scores"]}
    mark = stage_marks(run.recipe, notes.get("files") or {}, makers)["scores"]
    run.folder.write_notes({**notes, "makers": makers, "marks": {**notes["marks"], "scores": [mark]}})
    save_recipe(run)
    run.folder.marks = {**notes["marks"], "scores": [mark]}


def _mark_old(run: Run, marks: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the marks of a run that began before marks existed: files without a mark belong to it."""
    run.folder.log("files without a mark of their recipe are this run's: it was begun before there were marks")
    return {stage: ["", *own] for stage, own in marks.items()}


def _settle(run: Run, notes: Mapping[str, Any], stages: Sequence[str], keep: bool, command: str) -> dict[str, Any]:
    """Return the notes with which some stages may continue; see `settle_makers`."""
    changed = {stage: found for stage in stages if (found := find_changes(notes["makers"], run.makers, [stage]))}
    if not changed:
        return dict(notes)
    what = ", ".join(dict.fromkeys(name for found in changed.values() for name in found))
    if not keep:
        address = str(run.folder)
        again, go_on = program.command("score", address, "--again"), command
        if changed.keys() == {"scores"}:
            hint = f"rescore:  {again}\nor, if it judges as before, keep the scores:  {go_on} --keep"
        else:
            hint = f"start another run with --run {next_address(address)}\nor keep parts of both:  {go_on} --keep"
        raise RunError(f"code or models of its {' and '.join(changed)} changed: {what}", where=address, hint=hint)
    makers = {**notes["makers"], **{stage: run.makers[stage] for stage in changed}}
    marks = stage_marks(run.recipe, notes.get("files") or {}, makers)
    # The new mark goes last, where new files take theirs; the former marks stay valid.
    own = {stage: [*(mark for mark in notes["marks"][stage] if mark != new), new] for stage, new in marks.items()}
    run.folder.log(f"kept what was made before this changed: {what}")
    fingerprint = fingerprint_of(run.recipe, notes.get("files") or {}, makers)
    return {**notes, "makers": makers, "marks": own, "fingerprint": fingerprint}


def remember_views(run: Run, old: Mapping[str, Any]) -> Recipe:
    """Return the recipe with the exports that were added to the run and still lie in its folder."""
    if not old["recipe"].get("exports"):
        return run.recipe
    noted = make_recipe(old["recipe"], where=f"{run.folder}/run.yaml").exports
    kept: dict[str, Export] = {
        name: each
        for name, each in noted.items()
        if name not in run.recipe.exports and run.folder.has(f"exports/{name}/README.md")
    }
    return run.recipe.model_copy(update={"exports": {**run.recipe.exports, **kept}})


def _refuse_leftovers(run: Run, command: str) -> None:
    """Raise RunError for shards of another recipe in a folder that has no run.yaml."""
    for stage in SUFFIXES:
        for damage in run.folder.find_damage(stage, run.folder.list_shards(stage)):
            if damage.is_foreign:
                address = str(run.folder)
                hint = f"move {stage}/ and the folders beside it away, or start another run:  "
                raise RunError(damage.what, where=damage.where, hint=f"{hint}{command} --run {next_address(address)}")


def next_address(address: str) -> str:
    """Return the first free `ADDRESS-2`, `-3`, … as a word of a command line."""
    number = next(k for k in range(2, 10_000) if not RunFolder(f"{address}-{k}").exists())
    return shlex.quote(f"{address}-{number}")


def open_run(word: str, overrides: Sequence[Change] = (), allowed: Sequence[str] = ()) -> Run:
    """Open an existing run by address or name under outputs/; `overrides` may change view keys and `allowed` keys.

    Raises RunError when it is not a run, ConfigError when a key would change the data.
    """
    address = find_run(word)
    folder = RunFolder(address)
    notes = folder.read_notes()
    refuse_growing(address, notes)
    old, marks = make_recipe(notes["recipe"], where=f"{address}/run.yaml"), notes.get("marks")
    if not overrides:
        return Run(old, address, marks)
    new = make_recipe(old.to_dict(), overrides, where="--set")
    changed = [key for key in changed_keys(old.to_dict(), new.to_dict()) if key.split(".")[0] not in allowed]
    if changed:
        hint = f"keys that can change: {', '.join(sorted({*VIEW_KEYS, *allowed} - {'version', 'name'}))}"
        if set(SCORE_KEYS) >= {key.split(".")[0] for key in changed}:
            hint = "to rescore with these: datagen score RUN --set …"
        raise ConfigError(f"{', '.join(changed)} cannot change in an existing run", where="--set", hint=hint)
    run = Run(new, address, marks)
    check_views(run)
    return run


def refuse_growing(address: str, notes: Mapping[str, Any]) -> None:
    """Raise RunError while the files of a grown run are put into their places: old and new ones lie side by side."""
    if notes.get(GROWING):
        raise RunError("is being grown", where=address, hint="the command that builds it goes on: datagen build RECIPE")


def find_run(word: str) -> str:
    """Return the address of a run, given by address or by name under outputs/.

    Raises RunError if there is none, or one in both places.
    """
    named = f"{OUTPUTS}/{word}"
    if RunFolder(word).exists():
        if "/" not in word and RunFolder(named).exists():
            raise RunError("is a run here and also in outputs/", where=word, hint=f"write ./{word} or {named}")
        return word
    if "://" in word:
        raise RunError("no such run", where=word, hint="it has no run.yaml; `datagen build RECIPE --run` makes one")
    if RunFolder(named).exists():
        return named
    known = sorted(path.parent.name for path in Path(OUTPUTS).glob("*/run.yaml"))
    hint = f"runs in {OUTPUTS}/: {', '.join(known)}" if known else "make one: datagen build"
    raise RunError("no such run", where=word, hint=hint)


def list_scorable() -> frozenset[str]:
    """Return the kinds of claim that shipped scorers can judge."""
    return frozenset(kind for word in known_words("rewards") for kind in load_plugin("rewards", word, "JUDGES").JUDGES)


def save_recipe(run: Run) -> None:
    """Write the run's current recipe and its fingerprint to run.yaml."""
    notes = run.folder.read_notes()
    fingerprint = fingerprint_of(run.recipe, notes.get("files") or {}, notes.get("makers"))
    notes.update(recipe=run.recipe.to_dict(), fingerprint=fingerprint)
    run.folder.write_notes(notes)


def hash_files(run: Run) -> dict[str, str]:
    """Return the hash of each file that determines the prompts: taxonomies, lexicon, templates, lists, rows."""
    recipe = run.recipe
    paths = {str(resolve_taxonomy(word)): word for word in recipe.taxonomy}
    paths |= {str(resolve_lexicon(run.lexicon)): run.lexicon}
    paths |= {wording.file: wording.label.split(":")[0] for skill in run.taxonomy.skills for wording in skill.wordings}
    paths |= {path: path for path in recipe.contamination}
    if recipe.expand and recipe.expand.instruction:
        paths[recipe.expand.instruction] = recipe.expand.instruction
    paths |= {word: word for word in (recipe.screen.words if recipe.screen else ()) if word != SHIPPED}
    if recipe.allocate and recipe.allocate.diagnosis:
        paths[recipe.allocate.diagnosis] = recipe.allocate.diagnosis
    found = {word: hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] for path, word in sorted(paths.items())}
    return found | ({run.rows.files.address: run.rows.files.fingerprint()} if run.rows is not None else {})


def note_recipe(run: Run) -> dict[str, Any]:
    """Return a run's recipe with the hashes of its files, modules and models: what `list_changes` compares.

    Everything in it must be there: see `check_plugins`.
    """
    return {"recipe": run.recipe.to_dict(), "files": hash_files(run), "makers": run.makers}


def tell_changes(old: Mapping[str, Any], run: Run) -> tuple[list[str], str]:
    """Return the keys by which a run differs from the notes of its folder, and what is different in words."""
    keys, told = list_changes(old, note_recipe(run))
    return keys, f"holds a run of another recipe; changed: {'; '.join(told) or 'the notes in run.yaml'}"


def _begin_anew(run: Run, old: Mapping[str, Any], files: Mapping[str, str], address: str, command: str) -> None:
    """Note another recipe in a run of which nothing was made that it changes; what it cannot use is removed.

    Raises RunError naming what changed if something was made: see `create_run`.
    """
    before = make_recipe(old["recipe"], where=f"{address}/run.yaml")
    makers = old.get("makers") or run.makers
    was = mark_stages(without_reach(before), old.get("files") or {}, makers)
    now = mark_stages(without_reach(run.recipe), files, makers)
    held = STAGES[: count_held(run.folder)]
    if "marks" not in old or any(was[stage] != now[stage] for stage in held):
        _refuse_other(old, run, files, address, command)
    makers = {stage: (makers if stage in held else run.makers)[stage] for stage in STAGES}
    new = stage_marks(run.recipe, files, makers)
    marks = {stage: old["marks"][stage] if stage in held else [new[stage]] for stage in STAGES}
    kept = dict(old)
    if "prompts" not in held and new["prompts"] not in old["marks"]["prompts"]:
        kept = {key: value for key, value in old.items() if key not in NOTED}
        run.folder.write_notes(kept)  # first: a kill must not leave a plan without its prompts
        _remove_stages(run.folder, ("prompts",))
    if "samples" not in held and new["samples"] not in old["marks"]["samples"]:
        # Failures without a sample: they say nothing of another model.
        _remove_stages(run.folder, ("samples", "scores", "failures"))
    fingerprint = fingerprint_of(run.recipe, files, makers)
    values = {"files": dict(files), "makers": makers, "marks": marks, "recipe": run.recipe.to_dict()}
    run.folder.write_notes({**kept, **values, "fingerprint": fingerprint})
    run.folder.log("the recipe changed before anything was made that depends on it")


def count_held(folder: RunFolder) -> int:
    """Return of how many of the stages a model has made something: rewrites, samples, scores."""
    parts = (name for shard in folder.list_open() for name in folder.list_parts(shard))
    drawn = any(not name.endswith(".jsonl") for name in parts)
    if drawn or any(folder.count_samples(shard) for shard in folder.list_shards("samples")):
        return 3 if folder.list_shards("scores") else 2
    return 1 if folder.list_shards("rewrites") else 0


def _remove_stages(folder: RunFolder, stages: Sequence[Stage]) -> None:
    for stage in stages:
        for shard in folder.list_shards(stage):
            folder.remove_shard(stage, shard)
    if "samples" in stages:
        for shard in folder.list_open():
            folder.remove_parts(shard)


def _refuse_other(old: Mapping[str, Any], run: Run, files: Mapping[str, str], address: str, command: str) -> NoReturn:
    """Raise RunError that names what is different from the recipe and the files of a run's notes."""
    keys, told = tell_changes(old, run)
    hint = f"start another run:  {command} --run {next_address(address)}"
    if keys and all(key.split(".")[0] in SCORE_KEYS for key in keys) and (old.get("files") or {}) == files:
        hint = f"rescore:  {program.command('score', address)} --set …\nor {hint}"
    raise RunError(told, where=address, hint=hint)
