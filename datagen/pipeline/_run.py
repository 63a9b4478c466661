"""A run: a recipe and its folder, with the model, the scorers and the tools loaded on first use."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from datagen.chat import ChatEngine, ChatRequest, Reply
from datagen.config import PATH_KEYS, VIEW_KEYS, Choice, Recipe, changed_keys, fingerprint_of, make_recipe
from datagen.diagnose import Allocation, Allotment, allocate, load_diagnosis
from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.errors import ConfigError, RunError
from datagen.export import ViewPlan
from datagen.pipeline._checks import NEEDS, check_plugins, check_views, name_model
from datagen.plugins import known_words, load_plugin
from datagen.prompts.contamination import Contamination
from datagen.prompts.expanded import ExpandOptions
from datagen.prompts.screen import SHIPPED, Screen, ScreenOptions
from datagen.prompts.templated import share_out
from datagen.records import Failure, Request, Sample
from datagen.rewards import _ocr
from datagen.rewards._drawing import make_draw
from datagen.rewards._rewarder import Rewarder, make_rewarder
from datagen.rewards._tools import Tools, make_tools
from datagen.store import RunFolder
from datagen.taxonomy import Taxonomy, load_taxonomy, resolve_lexicon, resolve_taxonomy
from datagen.weighting import Policy

PACKAGES = ("datagen", "torch", "transformers", "pyarrow", "numpy", "pillow", "rapidocr", "onnxruntime")
"""Packages whose versions a run notes: what can change pictures, scores or files."""
OUTPUTS = "outputs"
"""Folder of runs that are given by name."""
SCORE_KEYS = ("rewards", "evaluate", "detector", "judge", "encoders", "matchers", "drawer")


class Backend(Protocol):
    """A model that writes samples. `lexicon` names the words it can draw."""

    name: str
    lexicon: str

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request."""


class Run:
    """A recipe and its folder. Travels to other processes as these two; everything loaded stays where it is."""

    def __init__(self, recipe: Recipe, address: str) -> None:
        self.recipe, self.folder = recipe, RunFolder(address)

    def __reduce__(self) -> tuple[type[Run], tuple[Recipe, str]]:
        return Run, (self.recipe, self.folder.address)

    @cached_property
    def backend(self) -> Backend:
        """The model; loading it can take a while. Raises PluginError or BackendError."""
        backend: Backend = _build("backends", self.recipe.backend)
        return backend

    @cached_property
    def scorers(self) -> dict[str, ModuleType]:
        """The scorer modules by name, in the recipe's order. Raises PluginError."""
        return {name: load_plugin("rewards", name, "score") for name in self.recipe.scorers}

    @cached_property
    def deciders(self) -> dict[str, ModuleType]:
        """The scorers of `adapt.by`. Raises ConfigError for one that is not by rule: the model's process runs them."""
        names = self.recipe.adapt.by if self.recipe.adapt else ()
        modules = {name: load_plugin("rewards", name, "score") for name in names}
        for name, module in modules.items():
            if any(hasattr(module, mark) for mark in (*NEEDS, "NEEDS_MATCHER", "score_group")):
                hint = "name scorers by rule, such as counting or text"
                raise ConfigError(f"the scorer {name!r} asks a model or compares samples", where="adapt.by", hint=hint)
        return modules

    @property
    def judges(self) -> dict[str, frozenset[str]]:
        """The kinds of claim that each scorer judges; none for one that judges the sample as such."""
        return {name: frozenset(getattr(module, "JUDGES", ())) for name, module in self.scorers.items()}

    @cached_property
    def rewarder(self) -> Rewarder:
        """How the scores of a sample become its rewards. Raises ConfigError for a wrong key under `aggregate`."""
        targets = {name: self.scorers[name].TARGET for name in self.recipe.rewards}
        aggregate = self.recipe.aggregate
        skills = self.taxonomy.skills if aggregate.by_weakness else ()  # else no taxonomy has to be there to weigh
        places = frozenset(place for skill in skills for place in (skill.weakness, skill.path))
        return make_rewarder(aggregate, targets, places)

    @cached_property
    def tools(self) -> Tools:
        """What the scorers see an image through; words are read by the detector if it can, else by the OCR."""
        recipe = self.recipe
        encoders = {name_model(choice): _build("rewards.encoders", choice) for choice in recipe.encoders or ()}
        matchers = {name: _build("rewards.matchers", choice) for name, choice in (recipe.matchers or {}).items()}
        return make_tools(
            _build("rewards.detectors", recipe.detector),
            self.ocr,
            ask=self._ask_judge if recipe.judge else None,
            encoders=encoders,
            matchers=matchers,
            draw=make_draw(self._draw) if recipe.drawer else None,
        )

    @cached_property
    def ocr(self) -> Callable[[bytes], list[str]]:
        """The OCR, from PNG bytes to the lines of text in reading order; it loads when it is first asked."""
        return _LateOcr()

    def _draw(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        return self.drawer.generate(requests)

    @cached_property
    def drawer(self) -> Backend:
        """The model that draws descriptions: its own, or the one that makes the samples if both are the same."""
        choice = self.recipe.drawer or self.recipe.backend
        if choice == self.recipe.backend:
            return self.backend
        backend: Backend = _build("backends", choice)
        return backend

    def _ask_judge(self, requests: Sequence[ChatRequest]) -> list[Reply]:
        return list(self.judge.chat(requests))

    @cached_property
    def judge(self) -> ChatEngine:
        """The model that answers questions about images: its own, or the one that draws if both are the same.

        Raises ConfigError when the recipe names none, or one that does not answer chats.
        """
        choice = self.recipe.judge
        if choice is None:
            raise ConfigError(
                "the recipe has no judge", hint="add `judge:` with a backend that answers chats, such as openai"
            )
        return self.open_chat(choice)

    def open_chat(self, choice: Choice) -> ChatEngine:
        """Return a backend as an engine that answers chats; raises ConfigError when it cannot."""
        same = choice == self.recipe.backend
        engine: Any = self.backend if same else _build("backends", choice)
        if not hasattr(engine, "chat"):
            raise ConfigError(f"the backend {choice.name!r} does not answer questions", hint="`openai` and `vllm` do")
        chat_engine: ChatEngine = engine
        return chat_engine

    @cached_property
    def policy(self) -> Policy:
        """How rewards become weights. Raises ConfigError for a wrong key under `weights`."""
        return load_model(Document("weights", self.recipe.weights), Policy)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The skills to draw prompts from. Raises ConfigError."""
        return load_taxonomy(self.recipe.taxonomy, self.lexicon)

    @cached_property
    def lexicon(self) -> str:
        """The recipe's lexicon, else that of the backend. Raises ConfigError when neither has one."""
        lexicon = self.recipe.lexicon or getattr(self.backend, "lexicon", None)
        if not lexicon:
            hint = "add `lexicon: everyday` to the recipe"
            raise ConfigError(f"the backend {self.recipe.backend.name!r} names no lexicon", hint=hint)
        return str(lexicon)

    @cached_property
    def expansion(self) -> ExpandOptions | None:
        """How prompts are rewritten, or None. Raises ConfigError for a wrong key under `expand`."""
        if self.recipe.expand is None:
            return None
        return load_model(Document("expand", self.recipe.expand), ExpandOptions)

    @cached_property
    def allotment(self) -> Allotment | None:
        """The share of each level of each skill, or None: as the taxonomy says. Raises ConfigError."""
        if self.recipe.allocate is None:
            return None
        options = load_model(Document("allocate", self.recipe.allocate), Allocation)
        diagnosis = load_diagnosis(options.diagnosis) if options.diagnosis else None
        return allocate(options, list_levels(self.taxonomy), diagnosis)

    @property
    def shares(self) -> dict[str, float] | None:
        """The shares of `allotment` by path, as `plan_prompts` takes them."""
        return {each.path: each.share for each in self.allotment.shares} if self.allotment else None

    @property
    def views(self) -> list[ViewPlan]:
        """The further forms of the dataset that the recipe asks for."""
        return [
            ViewPlan(name, each.view.name, each.format.name, each.view.options, each.format.options, each.skip)
            for name, each in self.recipe.exports.items()
        ]

    @cached_property
    def blocked(self) -> Contamination | None:
        """The benchmark prompts to keep away from, or None. Raises ConfigError."""
        return Contamination.from_files(self.recipe.contamination) if self.recipe.contamination else None

    @cached_property
    def screen(self) -> Screen | None:
        """What refuses personal data and listed words, or None. Raises ConfigError for a wrong key under `screen`."""
        if self.recipe.screen is None:
            return None
        return Screen.from_options(load_model(Document("screen", self.recipe.screen), ScreenOptions))

    def read_plan(self) -> dict[str, int]:
        """Return the counts of the finished prompt stage; raises RunError when it has not been finished."""
        plan = self.folder.read_notes().get("plan")
        if not isinstance(plan, dict) or not isinstance(plan.get("shards"), int):
            raise RunError(
                "has no finished prompts", where=str(self.folder), hint="run `datagen build` with its recipe"
            )
        return plan


def list_levels(taxonomy: Taxonomy) -> dict[str, float]:
    """Return the paths of all levels of all skills with their shares by the taxonomy, which sum to 1."""
    parts = share_out(taxonomy)
    whole = sum(parts.values())
    return {
        f"{skill.path}/{level.name}": parts[skill.path] / whole / len(skill.levels)
        for skill in taxonomy.skills
        for level in skill.levels
    }


def _build(family: str, choice: Choice) -> Any:
    """Load a plugin by its word and build it with its options."""
    return load_plugin(family, choice.name, "build").build(choice.options)


class _LateOcr:
    """Loads the OCR when it is first asked: a run without words to read never waits for it."""

    def __init__(self) -> None:
        self._read: Any = None

    def __call__(self, image: bytes) -> list[str]:
        self._read = self._read or _ocr.build()
        return list(self._read(image))


def create_run(recipe: Recipe, address: str, command: str = "datagen build") -> Run:
    """Open the run of a recipe at an address, new or begun before, after checking all that can be checked for free.

    Raises RunError when the folder holds the run of another recipe: the message names the changed keys and a command
    that works, built from `command`. Raises ConfigError or PluginError for what the recipe names.
    """
    run = Run(recipe, address)
    check_plugins(run)
    files = _hash_files(run)
    notes = {
        "name": recipe.name,
        "fingerprint": fingerprint_of(recipe, files),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES if _is_installed(name)},
        "files": files,
        "recipe": recipe.to_dict(),
    }
    if run.folder.exists():
        old = run.folder.read_notes()
        _refuse_other(old, notes, address, command)
        notes["versions"] = old.get("versions", notes["versions"])
        notes |= {key: old[key] for key in ("plan", "expansion", "screened", "canaries") if key in old}
        if old == notes:
            return run
    run.folder.write_notes(notes)
    return run


def open_run(word: str, overrides: Sequence[str] = (), allowed: Sequence[str] = ()) -> Run:
    """Open a run that is there, by address or by name under outputs/; `overrides` may change view and `allowed` keys.

    Raises RunError when it is not a run, ConfigError when a key would change the data.
    """
    address = find_run(word)
    folder = RunFolder(address)
    old = make_recipe(folder.read_notes()["recipe"], where=f"{address}/run.yaml")
    if not overrides:
        return Run(old, address)
    new = make_recipe(old.to_dict(), overrides, where="--set")
    changed = [key for key in changed_keys(old.to_dict(), new.to_dict()) if key.split(".")[0] not in allowed]
    if changed:
        hint = f"here can change: {', '.join(sorted({*VIEW_KEYS, *allowed} - {'version', 'name'}))}"
        if set(SCORE_KEYS) >= {key.split(".")[0] for key in changed}:
            hint = "to score with others: datagen score RUN --set …"
        raise ConfigError(f"{', '.join(changed)} cannot change in a run that is there", where="--set", hint=hint)
    run = Run(new, address)
    check_views(run)
    return run


def find_run(word: str) -> str:
    """Return the address of a run, given as such or by its name under outputs/; raises RunError otherwise."""
    for address in (word, f"{OUTPUTS}/{word}"):
        if RunFolder(address).exists():
            return address
    known = sorted(path.parent.name for path in Path(OUTPUTS).glob("*/run.yaml"))
    hint = f"runs in {OUTPUTS}/: {', '.join(known)}" if known else "make one: datagen build"
    raise RunError("no such run", where=word, hint=hint)


def list_scorable() -> frozenset[str]:
    """Return the kinds of claim that some shipped scorer can judge."""
    return frozenset(kind for word in known_words("rewards") for kind in load_plugin("rewards", word, "score").JUDGES)


def save_recipe(run: Run) -> None:
    """Note the run's recipe as it is now, with the fingerprint that belongs to it."""
    notes = run.folder.read_notes()
    notes.update(recipe=run.recipe.to_dict(), fingerprint=fingerprint_of(run.recipe, notes.get("files") or {}))
    run.folder.write_notes(notes)


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _hash_files(run: Run) -> dict[str, str]:
    """Return the hash of each file that decides the prompts: taxonomies, lexicon, templates, benchmark lists."""
    recipe = run.recipe
    paths = {str(resolve_taxonomy(word)): word for word in recipe.taxonomy}
    paths |= {str(resolve_lexicon(run.lexicon)): run.lexicon}
    paths |= {wording.file: wording.label.split(":")[0] for skill in run.taxonomy.skills for wording in skill.wordings}
    paths |= {path: path for path in recipe.contamination}
    if run.expansion is not None and run.expansion.instruction:
        paths[run.expansion.instruction] = run.expansion.instruction
    paths |= {word: word for word in (recipe.screen or {}).get("words", []) if word != SHIPPED}
    if diagnosis := (recipe.allocate or {}).get("diagnosis"):
        paths[diagnosis] = diagnosis
    return {word: hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] for path, word in sorted(paths.items())}


def _refuse_other(old: Mapping[str, Any], new: Mapping[str, Any], address: str, command: str) -> None:
    """Raise RunError if the two notes belong to different data."""
    if old.get("fingerprint") == new["fingerprint"]:
        return
    before, after = old.get("files") or {}, new["files"]
    keys = [key for key in changed_keys(old["recipe"], new["recipe"]) if key not in PATH_KEYS or before != after]
    changes = [f"{key}: {_value(old['recipe'], key)} -> {_value(new['recipe'], key)}" for key in keys]
    changes += [f"the file {name}" for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    number = next(k for k in range(2, 10_000) if not RunFolder(f"{address}-{k}").exists())
    hint = f"start another run:  {command} --run {address}-{number}"
    if keys and all(key.split(".")[0] in SCORE_KEYS for key in keys) and before == after:
        hint = f"score it again:  datagen score {address} --set …\nor {hint}"
    what = f"holds a run of another recipe; changed: {'; '.join(changes) or 'the notes in run.yaml'}"
    raise RunError(what, where=address, hint=hint)


def _value(recipe: Mapping[str, Any], key: str) -> Any:
    value: Any = recipe
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
