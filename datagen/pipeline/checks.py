"""Checks around a run: limits on what makes weights, warnings before a run, and a trial of the judge.

The limits concern scorers that give no value, and weights that rest on too few samples:

    limits: {counting: {scored: 0.9}}       # a scorer must judge this share of the samples that it should judge
    least: {effective: 0.1, passed: 0.05}   # for each weakness: effective sample size, and share that passed

A scorer should judge a sample if the prompt makes a claim that is the scorer's own (`scoring/unseen.py`); a scorer that
judges no claims, such as `sharpness`, should judge all. How often a scorer is right (`accuracy`) is measured on
canaries, see `pipeline.canaries`.

The warnings concern what a person should know but is no error: samples without weight, the diagnosis of another model.
`datagen plan`, `datagen check` (at the line of the recipe) and `datagen build` (at its start) show them. Words that
detector and reader do not know are looked for in the first prompts of the plan, which have the same shares as the
whole. Not covered: problems that only samples show, such as a detector that does not declare its words.

For the trial, the scorers of the recipe judge a picture of a red star and ask the judge their usual questions. `datagen
doctor` shows how each answer was read; `build` and `score` stop at once if the judge is a server that refuses every
question or whose answers no scorer can read. A server that cannot be reached is reported by the run itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datagen import program
from datagen.chat import ChatEngine, ChatRequest, Message, Part, Reply, Sampling
from datagen.config import data_recipe, load_recipe
from datagen.diagnose import load_diagnosis
from datagen.documents.reading import Severity
from datagen.embedded.pictograms import Item, Scene, render_scene
from datagen.errors import BackendError, ConfigError, DatagenError, PluginError, RunError
from datagen.pictures import encode_picture
from datagen.pipeline.needs import find_faults
from datagen.pipeline.prompts import plan_sources
from datagen.pipeline.run import Run
from datagen.pipeline.shards import score_by
from datagen.plugins import load_plugin
from datagen.records import Claim, Modality, Prompt, Request, Sample, Score, Segment
from datagen.scoring.asking import Asked, ask_all, read_first_token
from datagen.scoring.questions import WHOLE, YES
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import (
    MOST_NAMED,
    NO_LETTER,
    find_duties,
    find_unseen,
    needs_claims,
    own_claims,
    seen_kinds,
)
from datagen.taxonomy.claims import ClaimForm
from datagen.taxonomy.space import Skill
from datagen.vision.interfaces import Sight, sight_of
from datagen.weighting import RewardRow, WeightReport, asked_modalities

if TYPE_CHECKING:
    from datagen.pipeline.run import Run


REASON_LENGTH = 120
"""Characters of a reason that a message shows."""


def require_scored(run: Run, shards: Iterable[int]) -> None:
    """Raise RunError naming each scorer that judged a smaller share of its samples than the recipe's `limits` ask."""
    least = {name: limit.scored for name, limit in run.recipe.limits.items() if limit.scored}
    if not least:
        return
    asked: Counter[str] = Counter()
    blind: dict[str, Counter[str]] = {name: Counter() for name in least}
    for shard in shards:
        due = {
            (prompt.id, name)
            for prompt in run.folder.read_prompts(shard)
            for name in least
            if not run.judges[name] or own_claims(run.scorers[name], prompt.claims)
        }
        for score in run.folder.read_scores(shard):
            if (score.sample_id.rpartition("-")[0], score.name) in due:
                asked[score.name] += 1
                if score.value is None:
                    blind[score.name][score.reason[:REASON_LENGTH]] += 1
    bad = [
        f"{name} judged {asked[name] - lost.total():,} of {asked[name]:,}"
        f" (mostly: {lost.most_common(1)[0][0]}), but must judge {least[name]:.0%}"
        for name, lost in blind.items()
        if asked[name] - lost.total() < least[name] * asked[name]
    ]
    if bad:
        raise RunError(
            f"a scorer judges too few samples: {'; '.join(bad)}",
            where=str(run.folder),
            hint="remove or fix the scorer, or lower limits.NAME.scored; no weights are made",
        )


def require_least(run: Run, rows: Sequence[RewardRow], report: WeightReport) -> None:
    """Raise RunError naming each weakness whose weights rest on less than the recipe's `least` asks.

    Both are shares of all samples of the weakness, unjudged ones included.
    """
    least = run.recipe.least
    if least is None:
        return
    asked = asked_modalities(rows)
    bad = [
        f"{row.weakness}, {row.modality}: effective size {row.effective:.1f} of {row.samples:,} samples, but must be"
        f" {least.effective:.0%}"
        for row in report.rows
        if row.modality in asked and row.effective < least.effective * row.samples
    ]
    samples = Counter(row.weakness for row in rows)
    passed = Counter(row.weakness for row in rows if row.passed)
    bad += [
        f"{name}: {passed[name]:,} of {count:,} samples passed, but must be {least.passed:.0%}"
        for name, count in sorted(samples.items())
        if passed[name] < least.passed * count
    ]
    if bad:
        raise RunError(
            f"the weights rest on too little: {'; '.join(bad)}",
            where=str(run.folder),
            hint=f"nothing is exported; see: {program.command('report', run.folder)}\n"
            "use other prompts or more candidates, raise weights.beta, or lower the limit: "
            + program.command("weigh", run.folder, "--set", "least=null"),
        )


SEEN_ATTRIBUTE = "color"
"""The only attribute that shipped scorers see without a judge."""
SAMPLED = 256
"""Prompts sampled for the warnings: their shares are off by a few per cent at most."""


def list_warnings(run: Run, *, load: bool = False) -> list[tuple[str, str]]:
    """Return (recipe key, warning) pairs for what the user may not have intended. Raises ConfigError.

    With `load`, a detector that does not declare the names it knows is loaded and asked.
    """
    blind = _find_blind_skills(run)
    return [
        *_warn_of_unjudged(run, blind),
        *_warn_of_unseen(run, blind, load=load),
        *_warn_of_judge(run),
        *_warn_of_diagnosis(run),
    ]


def check_recipe(file: Path) -> list[tuple[str, str, str, Severity]]:
    """Return the errors of a recipe file, else its warnings: key or file, what is wrong, what to do, and severity.

    A missing model or package is not an error of the recipe.
    """
    wrong: list[tuple[str, DatagenError]] = []
    warnings: list[tuple[str, str]] = []
    try:
        run = Run(load_recipe(file, look_up=False), "check")  # only a name: nothing is written
        wrong.extend(find_faults(run))
        if not any(where.startswith("backend") for where, _ in wrong):
            data_recipe(run.recipe)
        written = run.recipe.weights
        idle = written.explain_idle(written.model_fields_set)
        warnings = [] if wrong else [*list_warnings(run), *((f"weights.{key}", why) for key, why in idle.items())]
    except (ConfigError, PluginError) as error:
        wrong.append((error.where, error))
    except DatagenError:
        pass
    faults: list[tuple[str, str, str, Severity]] = [(where, e.what, e.hint, "error") for where, e in wrong]
    return faults or [(key, what, "", "warning") for key, what in warnings]


def _main_target(run: Run) -> Modality:
    return "image" if any(run.scorers[name].TARGET == "image" for name in run.recipe.selecting) else "text"


def _find_blind_skills(run: Run) -> list[str]:
    """Return the skills without a claim that a scorer of their reward can judge."""
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
    """Warn of skills without a claim that a scorer of their reward can judge."""
    if blind:
        target = _main_target(run)
        what = f"no scorer of the {target} judges what these claim, so their samples get no {target} weight"
        yield "rewards", f"{what}: {', '.join(blind)}"


def _warn_of_unseen(run: Run, blind: Collection[str], *, load: bool) -> Iterator[tuple[str, str]]:
    """Warn of claimed words that detector, reader or scorers do not know, with their share of prompts."""
    try:
        count = min(SAMPLED, run.recipe.prompts)
        prompts = [prompt for prompt in plan_sources(run, count) if prompt.path not in blind]
    except ConfigError:
        return  # a template that cannot be filled: an error, which the run reports with its line
    if run.rows is not None:
        count = max(1, len(prompts))
        yield from _warn_of_claimless(run, prompts)
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
        weighing = [name for name in scorers[what] if name in run.recipe.selecting]
        costs = ", so these get no weight (`weights: {unjudged: drop}`)" if drops and weighing else ""
        key = "rewards" if what == NO_LETTER else "detector"
        whole = f", {_show_share(touched[what], count)} of prompts in all" if len(names) > 1 else ""
        yield key, f"{what}: {_show_shares(names, count)}{whole}; not judged by {', '.join(scorers[what])}{costs}"


def _warn_of_claimless(run: Run, prompts: Sequence[Prompt]) -> Iterator[tuple[str, str]]:
    """Warn of rows without claims, with what each scorer makes of them."""
    bare = sum(not prompt.claims for prompt in prompts)
    finds = run.recipe.source is not None and run.recipe.source.find is not None
    if not bare or finds:
        return
    blind = [name for name, module in run.scorers.items() if needs_claims(module)]
    share = _show_share(bare, len(prompts))
    sees = [name for name in run.scorers if name not in blind]
    if blind:
        left = f"; {', '.join(sees)} judge these all the same" if sees else ""
        what = f"{share} of prompts have no claims, so they get no value by {', '.join(blind)}{left}"
        if not any(name in run.recipe.selecting for name in sees):
            what += "; nothing else makes weights, so they weigh nothing: add a judge of the whole prompt, such as vqa"
        yield "rewards", what


def _warn_of_orphans(run: Run, prompts: Sequence[Prompt], count: int, *, drops: bool) -> Iterator[tuple[str, str]]:
    """Warn of skills with claims of a kind that a scorer judges, but that fit no scorer's rule."""
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
    """Return tools that see nothing but know the same names as the run's tools (None where unknown)."""
    choice = run.recipe.detector
    module = load_plugin("vision.detectors", choice.name, "build")
    sight = Sight(reads=True)  # assume nothing, not even which characters are read
    if hasattr(module, "describe"):
        try:
            sight = module.describe(choice.options)
        except DatagenError:
            return Tools(lambda image: [], lambda image: [])  # a missing file: reported when it is needed
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
    """Show names with their share of prompts, most frequent first: `hammer (33 % of prompts), saw (2 %)`."""
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
        return True  # judges samples as such
    own = not module.__name__.startswith("datagen.")
    any_attribute = own or module.TARGET == "text" or getattr(module, "NEEDS_JUDGE", False)
    return any(claim.kind in kinds and (any_attribute or _is_seen(claim)) for claim in skill.claims)


def _is_seen(claim: ClaimForm) -> bool:
    return claim.kind != "attribute" or claim.arguments["name"].literal == SEEN_ATTRIBUTE


def _warn_of_judge(run: Run) -> Iterator[tuple[str, str]]:
    """Warn of a judge model behind both a selecting and an evaluating scorer."""
    asking = [name for name, module in run.scorers.items() if getattr(module, "NEEDS_JUDGE", False)]
    select = [name for name in asking if name in run.recipe.selecting]
    evaluate = [name for name in asking if name in (run.recipe.evaluating)]
    if select and evaluate:
        what = f"the judge behind {', '.join(select)} also answers for {', '.join(evaluate)}"
        yield "evaluate", f"{what}: what selects the samples would evaluate them"


def _warn_of_diagnosis(run: Run) -> Iterator[tuple[str, str]]:
    """Warn of a diagnosis of another model, or of this one with other options or in another mode."""
    recipe = run.recipe
    file = recipe.allocate.diagnosis if recipe.allocate else None
    made = load_diagnosis(file).made if file else None
    if made is None or made.source not in ("probe", "run"):
        return  # a benchmark's name for a model cannot be compared with a backend
    ours = {**recipe.backend.model_dump(mode="json"), "mode": recipe.mode}
    theirs = {**made.model, "mode": made.mode}
    changed = [
        f"{key} {theirs.get(key)} -> {ours.get(key)}" for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)
    ]
    if changed:
        yield "allocate", f"the diagnosis is of another model than the recipe's: {'; '.join(changed)}"


def _show_share(part: int, count: int) -> str:
    return f"{max(1, round(100 * part / count))} %"


SHOWN, NOT_SHOWN = "a red star", "a blue umbrella"
BOUND = 0.999
"""Probability of yes or no to a question of another kind, from which on the engine must restrict its answers."""


@dataclass(slots=True)
class Trial:
    """A scorer's verdict on the trial picture, and whether it asked and reached the judge."""

    scorer: str
    score: Score
    asked: bool
    reached: bool


@dataclass(slots=True)
class _Listening:
    """A judge that counts the questions, and those that did not reach it."""

    engine: ChatEngine
    asked: int = 0
    lost: int = 0

    def __call__(self, requests: Sequence[ChatRequest]) -> list[Reply]:
        replies = list(self.engine.chat(requests))
        self.asked += len(requests)
        self.lost += sum(reply.unreached for reply in replies)
        return replies


def try_judge(run: Run) -> Iterator[Trial]:
    """Let each scorer that needs only a judge judge the trial picture. Raises the errors of opening the judge."""
    prompt, sample = _make_probe(run.recipe.seed)
    for name, module in run.scorers.items():
        if getattr(module, "NEEDS_JUDGE", False) and not getattr(module, "NEEDS_DRAWER", False):
            ask = _Listening(run.judge)
            score, _ = score_by(run, name, prompt, sample, Tools(lambda image: [], lambda image: [], None, ask))
            yield Trial(name, score, bool(ask.asked), not ask.lost)


def check_judge(run: Run) -> None:
    """Raise BackendError if the judge is a server whose answers no shipped scorer of the recipe can read."""
    choice = run.recipe.judge
    if choice is None or not getattr(load_plugin("backends", choice.name, "build"), "IS_SERVER", False):
        return  # a local model may fit into memory only once, in another process
    trials = [trial for trial in try_judge(run) if trial.asked and trial.reached and _is_shipped(run, trial.scorer)]
    if trials and all(trial.score.value is None for trial in trials):
        hint = "`datagen doctor RECIPE` shows its answers; no sample was judged yet"
        raise BackendError(f"no scorer can read the judge: {trials[0].score.reason}", where="judge", hint=hint)


def tell_yes_from_no(run: Run) -> tuple[float | None, float | None]:
    """Return P(yes) for something the picture shows, and for something it does not; None if unavailable."""
    _, sample = _make_probe(run.recipe.seed)
    texts = [WHOLE["qwenvqascore"].format(text) for text in (SHOWN, NOT_SHOWN)]
    ask = _Listening(run.judge)
    right, wrong = ask_all(ask, [Asked(sample.image or b"", text, YES, sample.seed) for text in texts])
    return right.probability, wrong.probability


def is_bound(run: Run) -> bool:
    """Return whether the judge answers yes or no to a question of another kind: its engine then restricts answers."""
    _, sample = _make_probe(run.recipe.seed)
    message = Message("user", (Part(image=sample.image or b""), Part(text="Write the word purple and nothing else.")))
    (reply,) = run.judge.chat([ChatRequest((message,), Sampling(max_tokens=1, top_logprobs=20))])
    return bool(reply.first_logprobs) and read_first_token(reply.first_logprobs or {}, YES).answer > BOUND


def _make_probe(seed: int) -> tuple[Prompt, Sample]:
    from PIL import Image

    claims = (Claim("count", "star", value=1), Claim("attribute", "star", "color", "red"))
    where = {"weakness": "probe", "skill": "probe", "level": "easy", "index": 0, "seed": seed, "template": SHOWN}
    prompt = Prompt.make(SHOWN, claims, **where)
    drawn = Image.fromarray(render_scene(Scene("gray", (Item("star", "red", 2, 2, 4, 4),))))
    picture = Segment("image", "image", image=encode_picture(drawn))
    request = Request(prompt, 0, seed, "direct")
    return prompt, Sample.make(request, (picture,), engine="probe", switch="none", finish="stop", settings={})


def _is_shipped(run: Run, scorer: str) -> bool:
    return str(run.scorers[scorer].__name__).startswith("datagen.rewards.")
