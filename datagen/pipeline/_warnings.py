"""What a person should know before a run that is no error: samples without weight, and the diagnosis of another model.

Shown by `datagen plan`, by `datagen check` at the line of the recipe, and at the start of `datagen build`. What
detector and reader have no name for is found in the first prompts of the plan, whose shares are those of the whole.
Not covered: what can only be seen in samples, such as a detector that does not say which words it knows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from datagen.config import load_recipe
from datagen.diagnose import load_diagnosis
from datagen.documents.problems import Severity
from datagen.errors import ConfigError, DatagenError, PluginError
from datagen.pipeline._checks import check_plugins, list_view_errors
from datagen.pipeline._run import Run
from datagen.plugins import load_plugin
from datagen.prompts.templated import plan_prompts
from datagen.records import Modality, Prompt
from datagen.rewards._tools import Sight, Tools, sight_of
from datagen.rewards._unseen import MOST_NAMED, NO_LETTER, find_duties, find_unseen, own_claims, seen_kinds
from datagen.taxonomy.claims import ClaimForm
from datagen.taxonomy.space import Skill

SEEN_ATTRIBUTE = "color"
"""The only attribute that shipped scorers see without a judge that answers questions."""
SAMPLED = 256
"""Prompts that are drawn to see what they claim: shares are off by a few per cent at most."""


def list_warnings(run: Run, *, load: bool = False) -> list[tuple[str, str]]:
    """Return a key of the recipe and a sentence for each thing that may not be meant. Raises ConfigError.

    With `load`, a detector that does not say without it which names it knows is loaded to be asked.
    """
    blind = _find_blind_skills(run)
    return [
        *_warn_of_unjudged(run, blind),
        *_warn_of_unseen(run, blind, load=load),
        *_warn_of_judge(run),
        *_warn_of_diagnosis(run),
    ]


def check_recipe(file: Path) -> list[tuple[str, str, str, Severity]]:
    """Return why a recipe file cannot be built, else its warnings: key or file, a sentence, what to do, and which.

    A model or a package that is not here is no fault of the recipe.
    """
    try:
        run = Run(load_recipe(file), "check")  # a name alone: nothing is written
        wrong = list(_find_faults(run))
        warnings = [] if wrong else list_warnings(run)
    except (ConfigError, PluginError) as error:
        wrong, warnings = [(error.where, error)], []
    except DatagenError:
        return []
    faults: list[tuple[str, str, str, Severity]] = [(where, e.what, e.hint, "error") for where, e in wrong]
    return faults or [(key, what, "", "warning") for key, what in warnings]


def _find_faults(run: Run) -> Iterator[tuple[str, DatagenError]]:
    """Yield each view that no such run gives, then the first other thing that stops a build."""
    views = list(list_view_errors(run))
    for name, error in views:
        yield f"exports.{name}", error
    try:
        check_plugins(run)
    except (ConfigError, PluginError) as error:
        if error.what not in [known.what for _, known in views]:
            yield error.where, error


def _main_target(run: Run) -> Modality:
    return "image" if any(run.scorers[name].TARGET == "image" for name in run.recipe.rewards) else "text"


def _find_blind_skills(run: Run) -> list[str]:
    """Return the skills that claim nothing that the scorers of their reward can judge."""
    target = _main_target(run)
    blind = []
    for skill in run.taxonomy.skills:
        joins = run.rewarder.joins
        place = next(place for place in (skill.path, skill.weakness, "") if (place, target) in joins)
        names = joins[place, target].names
        if not any(_judges(run, name, skill) for name in names):
            blind.append(skill.path)
    return blind


def _warn_of_unjudged(run: Run, blind: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Warn of skills that claim nothing that the scorers of their reward can judge."""
    if blind:
        target = _main_target(run)
        what = f"no scorer of the {target} judges what these claim, so their samples get no {target} weight"
        yield "rewards", f"{what}: {', '.join(blind)}"


def _warn_of_unseen(run: Run, blind: Collection[str], *, load: bool) -> Iterator[tuple[str, str]]:
    """Warn of what some prompts claim and detector, reader or scorers have no name for, with its share of prompts."""
    try:
        count = min(SAMPLED, run.recipe.prompts)
        plan = plan_prompts(run.taxonomy, count, run.recipe.seed, run.blocked, shares=run.shares, screen=run.screen)
        prompts = [prompt for prompt in plan if prompt.path not in blind]
    except ConfigError:
        return  # a template that cannot be filled: a fault, and said where it stands
    drops = run.policy.unjudged == "drop"
    yield from _warn_of_orphans(run, prompts, count, drops=drops)
    tools = _describe_tools(run, load=load)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    scorers: dict[str, dict[str, None]] = defaultdict(dict)
    touched: Counter[str] = Counter()
    for prompt in prompts:
        named: set[tuple[str, str]] = set()
        for name, module in run.scorers.items():
            kinds = seen_kinds(module)
            claims = [claim for claim in own_claims(module, prompt.claims) if claim.kind in kinds] if kinds else []
            for each in find_unseen(claims, tools):
                named.add((each.what, each.name))
                scorers[each.what][name] = None
        for what, unseen in named:
            found[what][unseen] += 1
        touched.update({what for what, _ in named})
    for what, names in found.items():
        weighing = [name for name in scorers[what] if name in run.recipe.rewards]
        costs = ", so these get no weight (`weights: {unjudged: drop}`)" if drops and weighing else ""
        key = "rewards" if what == NO_LETTER else "detector"
        whole = f", {_show_share(touched[what], count)} of prompts in all" if len(names) > 1 else ""
        yield key, f"{what}: {_show_shares(names, count)}{whole}; not judged by {', '.join(scorers[what])}{costs}"


def _warn_of_orphans(run: Run, prompts: Sequence[Prompt], count: int, *, drops: bool) -> Iterator[tuple[str, str]]:
    """Warn of skills some of whose claims are of a kind that a scorer judges, and fit no scorer's rule."""
    for target in ("image", "text"):
        skills: Counter[str] = Counter()
        for prompt in prompts:
            names = run.rewarder.find_join(prompt, target).names
            modules = tuple((name, module) for name, module in run.scorers.items() if name in names)
            skills[prompt.path] += bool(find_duties(modules, prompt.claims).orphans)
        if skills := +skills:
            costs = f", so they get no {target} weight (`weights: {{unjudged: drop}}`)" if drops else ""
            what = f"no scorer of the {target} judges all that prompts of these claim{costs}"
            yield "rewards", f"{what}: {_show_shares(skills, count)}"


def _describe_tools(run: Run, *, load: bool) -> Tools:
    """Return tools that see nothing and know the names that those of the run know, None where that is not known."""
    choice = run.recipe.detector
    module = load_plugin("rewards.detectors", choice.name, "build")
    sight = Sight(reads=True)  # nothing is known, not even who reads
    if hasattr(module, "describe"):
        try:
            sight = module.describe(choice.options)
        except DatagenError:
            return Tools(lambda image: [], lambda image: [])  # a file that is not here: said when it is needed
    elif load:
        sight = sight_of(run.detector)
    characters = sight.characters if sight.reads else run.ocr.characters
    return Tools(
        lambda image: [],
        lambda image: [],
        labels=sight.labels,
        colors=sight.colors,
        characters=characters,
        most=sight.most,
    )


def _show_shares(names: Mapping[str, int], count: int) -> str:
    """Show names with their share of the prompts, the most frequent first: `hammer (33 % of prompts), saw (2 %)`."""
    ordered = sorted(names, key=lambda name: (-names[name], name))
    shown = [
        f"{name} ({_show_share(names[name], count)}{' of prompts' if place == 0 else ''})"
        for place, name in enumerate(ordered[:MOST_NAMED])
    ]
    more = len(ordered) - MOST_NAMED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _judges(run: Run, name: str, skill: Skill) -> bool:
    module, kinds = run.scorers[name], run.judges[name]
    if not kinds:
        return True  # judges the sample as such
    own = not module.__name__.startswith("datagen.")
    any_attribute = own or module.TARGET == "text" or getattr(module, "NEEDS_JUDGE", False)
    return any(claim.kind in kinds and (any_attribute or _is_seen(claim)) for claim in skill.claims)


def _is_seen(claim: ClaimForm) -> bool:
    return claim.kind != "attribute" or claim.arguments["name"].literal == SEEN_ATTRIBUTE


def _warn_of_judge(run: Run) -> Iterator[tuple[str, str]]:
    """Warn of one model that answers for what selects and for what evaluates, under the names of two scorers."""
    asking = [name for name, module in run.scorers.items() if getattr(module, "NEEDS_JUDGE", False)]
    select = [name for name in asking if name in run.recipe.rewards]
    evaluate = [name for name in asking if name in (run.recipe.evaluate or [])]
    if select and evaluate:
        what = f"the judge behind {', '.join(select)} also answers for {', '.join(evaluate)}"
        yield "evaluate", f"{what}: what selects the samples would evaluate them"


def _warn_of_diagnosis(run: Run) -> Iterator[tuple[str, str]]:
    """Warn of a diagnosis that was made of another model, or of this one in another way."""
    recipe = run.recipe
    file = (recipe.allocate or {}).get("diagnosis")
    made = load_diagnosis(file).made if file else None
    if made is None or made.source not in ("probe", "run"):
        return  # what benchmarks call a model is no backend
    ours = {**recipe.backend.model_dump(mode="json"), "mode": recipe.mode}
    theirs = {**made.model, "mode": made.mode}
    changed = [
        f"{key} {theirs.get(key)} -> {ours.get(key)}" for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)
    ]
    if changed:
        yield "allocate", f"the diagnosis was made of another model than is trained on: {'; '.join(changed)}"


def _show_share(part: int, count: int) -> str:
    return f"{max(1, round(100 * part / count))} %"
