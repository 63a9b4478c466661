"""Checks before a run starts: the words and options of a recipe, and what its scorers need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from datagen.config import Choice, ExpandOptions
from datagen.errors import ConfigError, DatagenError, PluginError, did_you_mean
from datagen.export import RunPlan, check_needs, check_view
from datagen.pipeline.marks import read_canaries
from datagen.plugins import load_plugin
from datagen.prompts.expanded import instruct
from datagen.records import ClaimKind

if TYPE_CHECKING:
    from datagen.pipeline.run import Run


NEEDS = {
    "NEEDS_JUDGE": ("judge", "asks a judge", "add `judge:` with a backend that answers chats, such as openai or vllm"),
    "NEEDS_ENCODERS": (
        "encoders",
        "asks image encoders",
        "add `encoders: [efficientnet_lite0]`, or any vision model of transformers",
    ),
    "NEEDS_DRAWER": ("drawer", "asks a drawer", "add `drawer:` with a backend that generates images"),
}
"""What a scorer may need: the recipe key that names it, how the scorer uses it, and a hint if it is missing."""


def check_plugins(run: Run) -> None:
    """Raise now for what would fail after an hour: unknown words, a missing file, a missing judge."""
    for _, error in find_faults(run):
        raise error


def find_faults(run: Run) -> Iterator[tuple[str, DatagenError]]:
    """Yield recipe key and error of everything that would stop a run, each once."""
    said: set[str] = set()
    broken: set[str] = set()
    for key, look in _list_looks(run).items():
        try:
            look()
        except (ConfigError, PluginError) as error:
            broken.add(key)
            if error.what not in said:  # keys that depend on a broken one raise the same error
                said.add(error.what)
                yield error.where or key, error
    if "backend" not in broken:
        for name, unmet in list_view_errors(run):
            yield f"exports.{name}", unmet


def _list_looks(run: Run) -> dict[str, Callable[[], object]]:
    """Return the checks, by the recipe key to which an error belongs if it does not name one itself."""
    recipe = run.recipe
    return {
        "backend": lambda: load_plugin("backends", recipe.backend.name, "build"),
        "mode": lambda: _check_mode(run),
        "detector": lambda: load_plugin("vision.detectors", recipe.detector.name, "build"),
        "judge": lambda: _check_other_backend(recipe.judge),
        "drawer": lambda: _check_other_backend(recipe.drawer),
        "matchers": lambda: _check_models(run),
        "rewards": lambda: _check_scorers(run),
        "taxonomy": lambda: run.taxonomy,
        "aggregate": lambda: run.rewarder,
        "contamination": lambda: run.blocked,
        "contamination_images": lambda: _check_known(run),
        "screen": lambda: run.screen,
        "allocate": lambda: run.allotment,
        "adapt": lambda: run.deciders,
        "canaries": lambda: read_canaries(recipe.canaries) if recipe.canaries else None,
        "expand": lambda: _check_expansion(recipe.expand),
        "source": lambda: run.rows,
    }


def _check_mode(run: Run) -> None:
    backend = load_plugin("backends", run.recipe.backend.name, "build")
    if run.recipe.mode == "reflect" and not getattr(backend, "REFLECTS", False):
        hint = "use `openai`, or `embedded` with a reader; a backend of your own declares REFLECTS = True"
        raise ConfigError(f"the backend {run.recipe.backend.name!r} does not reflect", where="mode", hint=hint)


def _check_other_backend(choice: Choice | None) -> None:
    if choice is not None:
        load_plugin("backends", choice.name, "build")


def _check_expansion(options: ExpandOptions | None) -> None:
    """Raise for a backend that does not exist, and for an instruction that is missing or fails."""
    if options is None:
        return
    _check_other_backend(options.backend)
    if options.instruction:
        words = {"persona": options.personas, "scene": options.scenes}
        first = {key: values[0] if values else "" for key, values in words.items()}
        for style in options.styles:
            instruct(style, "a red cup", form=Path(options.instruction), **first)


def _check_known(run: Run) -> None:
    """Raise for pictures of a benchmark that cannot be read, and for an encoder that does not exist."""
    known = run.known and run.recipe.contamination_images
    if known and known.features:
        load_plugin("vision.encoders", known.features.encoder.name, "build")


def _check_scorers(run: Run) -> None:
    for name, module in run.scorers.items():
        if getattr(module, "TARGET", None) not in ("text", "image"):
            hint = 'define TARGET = "image" or TARGET = "text"'
            raise ConfigError(f"the scorer {name!r} does not say what it judges", hint=hint)
        kinds = getattr(module, "JUDGES", None)
        if not isinstance(kinds, Set) or not kinds <= {*get_args(ClaimKind)}:
            hint = f"define JUDGES as a set of {', '.join(get_args(ClaimKind))}; an empty one judges no claims"
            raise ConfigError(f"the scorer {name!r} does not say which kinds of claim it judges", hint=hint)
        for needs, (key, does, hint) in NEEDS.items():
            if getattr(module, needs, False) and not getattr(run.recipe, key):
                raise ConfigError(f"the scorer {name!r} {does}, but the recipe names none", hint=hint)
        if getattr(module, "NEEDS_LIKELIHOOD", False) and not _notes_likelihood(run):
            what = f"the scorer {name!r} reads the likelihood of each image, which the backend does not give"
            hint = "build with the backend `gallery`; a backend of your own declares NOTES_LIKELIHOOD = True"
            raise ConfigError(what, where=_name_key(run, name), hint=hint)


def _notes_likelihood(run: Run) -> bool:
    """Return whether samples carry the likelihood of their image. Raises PluginError for an unknown backend."""
    return getattr(load_plugin("backends", run.recipe.backend.name, "build"), "NOTES_LIKELIHOOD", False)


def _name_key(run: Run, scorer: str) -> str:
    """Return the recipe's key under which a scorer stands."""
    return "rewards" if scorer in run.recipe.selecting else "evaluate"


def _check_models(run: Run) -> None:
    """Raise for encoders and matchers that do not exist, are listed twice, are missing, or that no scorer uses."""
    names = [name_model(choice) for choice in run.recipe.encoders or ()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"{twice[0]!r} is listed twice", where="encoders", hint="each encoder encodes each image once"
        )
    for choice in run.recipe.encoders or ():
        load_plugin("vision.encoders", choice.name, "build")
    matchers = run.recipe.matchers or {}
    asked = {module.NEEDS_MATCHER: name for name, module in run.scorers.items() if hasattr(module, "NEEDS_MATCHER")}
    if missing := sorted(asked.keys() - matchers.keys()):
        hint = f"add `matchers: {{{missing[0]}: {{name: transformers, model: …}}}}`"
        scorer = asked[missing[0]]
        raise ConfigError(f"the scorer {scorer!r} needs a text-image model", where=_name_key(run, scorer), hint=hint)
    for name, choice in matchers.items():
        load_plugin("vision.matchers", choice.name, "build")
        if name not in asked:
            raise ConfigError(f"no scorer uses a matcher {name!r}", where="matchers", hint=did_you_mean(name, asked))


def check_views(run: Run) -> None:
    """Raise PluginError or ConfigError for a view or format that is unknown, misconfigured or impossible here."""
    for _, error in list_view_errors(run):
        raise error


def list_view_errors(run: Run) -> Iterator[tuple[str, DatagenError]]:
    """Yield name and error of each broken entry under `exports`. Raises PluginError for an unknown backend."""
    recipe, likelihood = run.recipe, _notes_likelihood(run)
    asked = recipe.backend.options.get("rounds", 1)
    rounds = asked if isinstance(asked, int) else 1  # the backend says what is wrong with anything else
    parting = (recipe.filter or "") if recipe.parts_candidates else ""
    made = RunPlan(recipe.mode, list(recipe.scorers), recipe.least_candidates, likelihood, rounds, parting)
    for plan in run.views:
        try:
            check_view(plan)
            check_needs(plan, made)
        except (ConfigError, PluginError) as error:
            yield plan.name, error


def name_model(choice: Choice) -> str:
    """Return the name of an encoder in evidence: its model if it has one, else its word."""
    return str(choice.options.get("model", choice.name))
