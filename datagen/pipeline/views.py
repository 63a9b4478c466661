"""Views on a scored run: weights, dataset and report. Made only from files, without a model."""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen import program
from datagen.addresses import without_addresses
from datagen.config import Change, Recipe, name_change, name_files, split_choice
from datagen.documents.reading import dump_yaml
from datagen.errors import ConfigError, RunError, did_you_mean
from datagen.export import CardNotes, ExportItem, ExportResult, export_dataset, export_view, list_regions, read_result
from datagen.expressions import parse_condition
from datagen.pipeline.border import KNOWN
from datagen.pipeline.canaries import require_canaries
from datagen.pipeline.checks import require_least, require_scored
from datagen.pipeline.made import is_current, trace, trace_view
from datagen.pipeline.makers import find_changes
from datagen.pipeline.repeats import find_run_repeats, read_sketches
from datagen.pipeline.review import count_reviews, describe_reviews, read_reviews, rejected_of
from datagen.pipeline.run import Run, open_run, save_recipe
from datagen.pipeline.shards import group_scores
from datagen.pipeline.watch import Progress, Watch, follow
from datagen.records import Failure, Modality, Prompt, Sample, Score, seed_of
from datagen.report import Limits, ReportItem, select, write_report
from datagen.scoring.rounds import split_rounds
from datagen.scoring.verdicts import find_causes, find_faults, find_holds, find_own_belief, passed
from datagen.weighting import RewardRow, RewardTable, Weight, WeightReport, WeightTable, diagnose_weights, weigh

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TARGETS: tuple[Modality, ...] = ("text", "image")
REPORT_FILES = "report_files"
FORM = "jsonl"
"""The format of an added export without one."""
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Weighed:
    """The rewards and weights of every sample of a run, in the order of its files, and their health."""

    rows: Sequence[RewardRow]
    weights: Sequence[Weight]
    report: WeightReport
    repeats: str = ""
    """How many samples repeat one of another prompt, in words, if the recipe asks."""
    passing: bytes | None = None
    """For each row 1 if it passes the recipe's filter, else 0; None without a filter."""

    def describe_filter(self, text: str | None) -> str:
        """Return how many samples pass a filter, `""` without one."""
        return f"{sum(self.passing):,} of {len(self.passing):,} samples pass {text}" if self.passing is not None else ""


def weigh_run(run: Run, watch: Watch, *, look: bool = False) -> Weighed:
    """Weigh all samples by the recipe's policy and note the recipe; reads no images and takes seconds.

    Raises RunError when a shard is not scored, when a scorer fails the recipe's canaries or falls below its limits, and
    when the weights fall below the recipe's `least`; with `look`, such weights are returned for display.
    """
    require_canaries(run)
    if changed := find_changes(run.folder.read_notes().get("makers") or run.makers, run.makers, ["scores"]):
        again = f"`{program.command('score', run.folder, '--again')}` renews them"
        watch.say(f"the scores were made before this changed: {', '.join(changed)}; {again}")
    if run.recipe.deduplicate is not None:
        for _ in read_sketches(run, watch, keep=True):
            pass
    weighed = read_weights(run)
    rows, report = weighed.rows, weighed.report
    if weighed.repeats:
        watch.say(weighed.repeats)
    if not look:
        require_least(run, rows, report)
    save_recipe(run)
    for warning in report.warnings:
        watch.say(warning)
    if told := weighed.describe_filter(run.recipe.filter):
        watch.say(f"filter: {told}")
    if said := describe_reviews(count_reviews(read_reviews(run).values())):
        watch.say(f"reviewed by a person: {said}; what is rejected weighs nothing")
    watch.show(Progress("weigh", len(rows), len(rows)))
    return weighed


def reweigh_run(word: str, changes: Sequence[Change], watch: Watch) -> tuple[Run, Weighed]:
    """Weigh the run of a word anew, with changed view keys such as `weights.policy`, and note them in its recipe.

    Raises ConfigError for a key that changes nothing under the policy, and as `open_run` and `weigh_run`.
    """
    run = open_run(word, changes)
    keys = (name_change(change).removeprefix("weights.") for change in changes)
    for key, why in run.policy.explain_idle(keys).items():
        raise ConfigError(why, where=f"--set weights.{key}", hint="nothing was weighed")
    with run.folder.hold():
        return run, weigh_run(run, watch)


def read_weights(run: Run) -> Weighed:
    """Return the weights of all samples by the recipe's policy; reads scores and reviews and changes nothing.

    With `deduplicate` it reads sketches too, or the samples where there are none.
    Raises RunError when a shard is not scored, or when a scorer judged fewer samples than its limit asks.
    """
    rows = RewardTable(row for shard in list_scored(run) for row in read_rows(run, shard))
    require_scored(run, list_scored(run))
    weights, told = weigh_rows(run, rows, rejected_of(read_reviews(run)))
    report = diagnose_weights(rows, weights, run.policy)
    return Weighed(rows, weights, report, told, _find_passing(run, rows, weights))


def weigh_rows(
    run: Run, rows: RewardTable, rejected: Collection[str], shards: Sequence[int] | None = None
) -> tuple[WeightTable, str]:
    """Return the weights of a run's samples, without those that a person rejected, and what repeats in words.

    With `deduplicate` all shards must be there; if not in the order of the files, in that of `shards`.
    """
    options, repeated, told = run.recipe.deduplicate, None, ""
    if options is not None:
        repeats = find_run_repeats(run, rows, options, rejected, shards)
        repeated = repeats.found if options.drop else None
        told = repeats.describe() + ("; these weigh 0" if options.drop else "")
    if run.policy.join == "before":
        left_out = rows.find(rejected) if repeated is None else rows.find(rejected) | repeated
        rows = _normalise_again(run, rows, left_out, list_scored(run) if shards is None else shards)
    return weigh(rows, run.policy, rejected, repeated), told


def _normalise_again(run: Run, rows: RewardTable, left_out: NDArray[np.bool_], shards: Sequence[int]) -> RewardTable:
    """Return the rows with the advantages that they have without those that are `left_out`, shape (n,).

    Only the shards that hold such rows are read. Raises RunError when samples and scores do not match.
    """
    import numpy as np

    if not left_out.any():
        return rows
    text, image = rows.text_advantage, rows.image_advantage
    start = 0
    for shard in shards:
        end = start + run.folder.count_samples(shard)
        if left_out[start:end].any():
            ids = {rows.id_of(start + int(row)) for row in np.flatnonzero(left_out[start:end])}
            known = RewardTable(read_scored(run, shard, left_out=ids).rows)
            if len(known) != end - start:
                where, hint = run.folder.where("scores", shard), program.command("score", run.folder, "--again")
                raise RunError("the samples and the scores do not match", where=where, hint=hint)
            text[start:end], image[start:end] = known.text_advantage, known.image_advantage
        start = end
    return rows.with_advantages(text, image)


def _find_passing(run: Run, rows: Sequence[RewardRow], weights: Sequence[Weight]) -> bytes | None:
    """Return for each row whether it passes the recipe's filter, in the order of the files; reads no images."""
    if run.recipe.filter is None:
        return None
    passes = parse_condition(run.recipe.filter, run.recipe.row_names)
    found = bytearray()
    for shard in list_scored(run):
        prompts = {prompt.id: prompt for prompt in run.folder.read_prompts(shard)}
        for sample_id, scores in group_scores(run.folder.read_scores(shard)).items():
            prompt_id, _, candidate = sample_id.rpartition("-")
            row, weight, prompt = rows[len(found)], weights[len(found)], prompts[prompt_id]
            facts = {score.name: score.value for score in scores} | {
                "text_reward": row.text,
                "image_reward": row.image,
                "text_weight": weight.text_weight,
                "image_weight": weight.image_weight,
                "gap": None if row.misjudged is None else abs(row.misjudged),
                "candidate": int(candidate),
            }
            words = {"weakness": prompt.weakness, "skill": prompt.skill, "level": prompt.level, "source": prompt.source}
            found.append(passes({**facts, **words, "passed": row.passed, "kept": weight.kept}))
    return bytes(found)


def export_run(run: Run, weighed: Weighed, watch: Watch, *, anew: bool = True) -> ExportResult:
    """Write dataset/ from the samples and their weights, then every export under `exports`, and note the recipe.

    Unless `anew`, what is current stays as it is: a trainer may be reading it. Of a run on an object store the path of
    the result is gone: its dataset was copied there.
    Raises RunError when samples and weights do not match, when no sample passes the recipe's filter, or a format
    cannot hold the examples of its view.
    """
    passing = weighed.passing
    if passing is not None and not any(passing):
        hint = f"see: {program.command('weigh', run.folder, '--set', 'filter=null')}"
        raise RunError(f"no sample passes {run.recipe.filter}", where=f"{run.folder}: filter", hint=hint)
    items = (
        ExportItem(
            prompt,
            sample,
            scores,
            weight,
            row,
            row.passed,
            find_gain(judge_rounds(run, prompt, scores)),
            find_causes(selecting := weighing(run, scores)),
            find_faults(selecting),
            holds := find_holds(prompt.claims, selecting),
            list_regions(prompt.claims, selecting, holds),
        )
        for number, (prompt, sample, scores, row, weight) in enumerate(
            follow(_join(run, weighed), "export", watch, len(weighed.rows))
        )
        if passing is None or passing[number]
    )
    made = trace(run)
    notes = CardNotes(
        run.recipe.name,
        run.recipe.license,
        recipe=publish_recipe(run.recipe),
        first=run.recipe.least_candidates,
        provenance=_list_provenance(run),
        addresses=run.recipe.addresses,
        idle=tuple(map(str, weighed.report.idle)),
        filtered=weighed.describe_filter(run.recipe.filter),
        reviewed=describe_reviews(count_reviews(read_reviews(run).values())),
        repeats=weighed.repeats,
        refused=_describe_refused(run),
    )
    with tempfile.TemporaryDirectory() as away:
        out = run.folder.local_path / "dataset" if run.folder.is_local else Path(away) / "dataset"
        keeps = not anew and is_current(run, "dataset", made)
        if keeps and run.folder.is_local:
            result = read_result(out)
        else:
            result = export_dataset(
                items,
                out,
                scorers=list(run.recipe.scorers),
                policy=run.policy,
                notes=notes,
                validation_share=run.recipe.validation_share,
                made=made,
            )
        for plan in run.views:
            form = trace_view(made, plan)
            if not anew and is_current(run, f"exports/{plan.name}", form):
                continue
            show = _follow_rows(watch, sum(result.rows.values()), plan.name)
            view = export_view(out, out.with_name("exports") / plan.name, plan, form, show)
            where = f"{run.folder}/exports/{plan.name}"
            watch.say(f"{where}: {sum(view.examples.values()):,} examples")
            if left_out := view.describe_skipped():
                watch.say(f"{where}: {left_out}")
            if not run.folder.is_local:
                run.folder.put_tree(view.path, f"exports/{plan.name}")
        save_recipe(run)
        if not run.folder.is_local and not keeps:
            run.folder.put_tree(out, "dataset")
    return result


def reexport_run(
    word: str, watch: Watch, *, view: str | None = None, form: str | None = None, skip: bool = False
) -> tuple[Run, ExportResult]:
    """Write dataset/ and exports/ of the run of a word anew, or add a view in a form and write what is not current.

    Options stand behind a word, `chat:layout=prompt`. With `skip`, samples whose texts hold control tokens are left out
    of the added export, else of all. Raises ConfigError for a form without a view.
    """
    if form and not view:
        hint = f"such as: {program.command('export', word, '--view', 'pieces', '--format', form)}"
        raise ConfigError("--format needs --view", where="export", hint=hint)
    name = name_export(view, form) if view else ""
    changes = [f"exports.{name}.{change}" for change in _read_options(view, form or FORM)] if view else []
    if skip:
        names = [name] if view else list(open_run(word).recipe.exports)
        changes += [f"exports.{each}.skip=true" for each in names]
    run = open_run(word, changes)
    with run.folder.hold():
        # weigh with the stored recipe: weighing saves it, and a form that is refused later must not stay in it
        return run, export_run(run, weigh_run(open_run(word), watch), watch, anew=not view)


def name_export(view: str, form: str | None = None) -> str:
    """Return the name under exports/ of a view in a form, both with their options but paths."""
    names = [word for choice in (view, form or FORM) for word in split_choice(choice) if "/" not in word]
    return re.sub(r"[^a-z0-9-]+", "_", "-".join(names).lower())[:64]


def _read_options(view: str, form: str) -> Iterator[str]:
    for key, choice in (("view", view), ("format", form)):
        word, *options = split_choice(choice)
        yield f"{key}={word}"
        yield from (f"{key}.{option}" for option in options)


def _follow_rows(watch: Watch, total: int, name: str) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return what shows the rows of a view as they are read, one split after the other."""
    done = 0

    def show(rows: Iterator[Any]) -> Iterator[Any]:
        nonlocal done
        for row in follow(rows, "view", watch, total, before=done, note=name):
            yield row
            done += 1

    return show


def drop_views(run: Run, names: Sequence[str]) -> None:
    """Remove exports by name, their folders and their entries in the recipe. Raises RunError for an unknown one."""
    known = run.recipe.exports
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) if known else "it has none"
            raise RunError(f"has no export {name!r}", where=str(run.folder), hint=hint)
    kept = {name: each for name, each in known.items() if name not in names}
    save_recipe(Run(run.recipe.model_copy(update={"exports": kept}), run.folder.address, run.folder.marks))
    for name in names:
        run.folder.remove_tree(f"exports/{name}")


def publish_recipe(recipe: Recipe) -> str:
    """Return a recipe as YAML for the dataset card: file names without paths and no servers, unless `addresses`.

    How a model is trained on the data is no part of how they were made, and is left out.
    """
    values = {key: value for key, value in recipe.to_dict().items() if key != "train"}
    if not recipe.addresses:
        values = without_addresses(name_files(values))
    return dump_yaml(values)


def _list_provenance(run: Run) -> dict[str, Any]:
    """Return the provenance shared by all rows of a run; what differs by row has its own columns."""
    recipe, notes = run.recipe, run.folder.read_notes()
    model = recipe.backend.model_dump(mode="json")
    return {
        "model": model if recipe.addresses else without_addresses(model),
        "versions": notes["versions"],
        "seed": recipe.seed,
        "fingerprint": notes["fingerprint"],
        "scorers": {"select": recipe.selecting, "evaluate": recipe.evaluating},
    }


def read_items(run: Run, weighed: Weighed) -> Iterator[ReportItem]:
    """Yield every sample with all that was found out about it, in the order of the files."""
    for prompt, sample, scores, row, weight in _join(run, weighed):
        yield make_item(run, prompt, sample, scores, row, weight)


def make_item(
    run: Run, prompt: Prompt, sample: Sample, scores: Sequence[Score], row: RewardRow, weight: Weight | None
) -> ReportItem:
    """Return a sample with all that was found out about it; without a weight it has not been weighed yet."""
    rounds = judge_rounds(run, prompt, scores)
    return ReportItem(
        prompt,
        sample,
        tuple(scores),
        weight.text_weight if weight else None,
        weight.image_weight if weight else None,
        row.text,
        row.image,
        row.passed,
        weight.kept if weight else True,
        weight.reason if weight else "",
        tuple(each.image for each in rounds),
        tuple(each.passed for each in rounds),
        find_causes(weighing(run, scores)),
        row.misjudged,
    )


def report_run(run: Run, weighed: Weighed, watch: Watch, limits: Limits = DEFAULT_LIMITS) -> str:
    """Write report.html, with full pictures in report_files/ beside it, and return the address of the page."""
    keys = ((row.group, f"{row.weakness}/{row.skill}") for row in weighed.rows)
    items = follow(read_items(run, weighed), "report", watch, len(weighed.rows))
    with tempfile.TemporaryDirectory() as away:
        out = (run.folder.local_path if run.folder.is_local else Path(away)) / "report.html"
        write_report(
            out,
            run.recipe.name,
            items,
            selection=select(keys, limits.samples),
            limits=limits,
            failures=_read_failures(run),
            weight_report=weighed.report,
            facts=_list_facts(run, weighed)
            | ({"repeats": weighed.repeats} if weighed.repeats else {})
            | ({"refused as known": refused} if (refused := _describe_refused(run)) else {}),
            run=str(run.folder),
            evaluators=frozenset(run.recipe.evaluating),
            judges=run.judges,
            first=run.recipe.least_candidates,
            corpora={n: m.score_corpus for n, m in run.scorers.items() if hasattr(m, "score_corpus")},
            made=trace(run),
        )
        if not run.folder.is_local:
            run.folder.put_tree(out.with_name(REPORT_FILES), REPORT_FILES)
            run.folder.put_tree(out, "report.html")
    return f"{run.folder}/report.html"


def _list_facts(run: Run, weighed: Weighed) -> dict[str, object]:
    recipe, plan = run.recipe, run.read_plan()
    told = weighed.describe_filter(recipe.filter)
    return {
        "prompts": plan["prompts"],
        "candidates": f"{recipe.adapt.start} to {recipe.candidates}" if recipe.adapt else recipe.candidates,
        "mode": recipe.mode,
        "model": recipe.backend.name,
        "scorers": ", ".join(recipe.selecting),
        **({"evaluated by": ", ".join(recipe.evaluating)} if recipe.evaluating else {}),
        "weights": run.policy.policy,
        "seed": recipe.seed,
        **({"in the dataset": told} if told else {}),
    }


def list_scored(run: Run) -> range:
    """Return all shards of the run; raises RunError if one has no scores yet."""
    shards = range(run.read_plan()["shards"])
    missing = sorted({*shards} - {*run.folder.list_shards("scores")})
    if missing:
        what = f"{len(missing)} of {len(shards)} shards have no scores"
        raise RunError(what, where=str(run.folder), hint="run `datagen build` or `datagen score` first")
    return shards


@dataclass(frozen=True, slots=True)
class ScoredShard:
    """A shard without its pictures: prompts by id, scores by sample, and the rewards, both in the order of its file."""

    prompts: Mapping[str, Prompt]
    scores: Mapping[str, list[Score]]
    rows: Sequence[RewardRow]


def read_rows(run: Run, shard: int) -> Sequence[RewardRow]:
    """Return the rewards of a shard's samples; every sample has scores, so no images are read."""
    return read_scored(run, shard).rows


def read_scored(run: Run, shard: int, only: Collection[str] = (), *, left_out: Collection[str] = ()) -> ScoredShard:
    """Return what is known of a shard's samples, or of `only` some, but for the samples themselves.

    With `join: before`, advantages are known for the whole shard alone, and are those without the samples that are
    `left_out`. Raises RunError for scores that do not belong to its prompts, or that other scorers made.
    """
    groups = {sample_id.rpartition("-")[0] for sample_id in only}
    prompts = {prompt.id: prompt for prompt in run.folder.read_prompts(shard, groups)}
    scorers = list(run.recipe.scorers)
    rows = []
    grouped = group_scores(run.folder.read_scores(shard, only))
    for sample_id, scores in grouped.items():
        prompt = prompts.get(sample_id.rpartition("-")[0])
        if prompt is None:
            where = run.folder.where("scores", shard)
            raise RunError(f"sample {sample_id} belongs to no prompt of its shard", where=where, hint="rescore the run")
        if (names := [score.name for score in scores]) != scorers:
            what = f"sample {sample_id} was scored by {', '.join(names)}, but the recipe has {', '.join(scorers)}"
            where = run.folder.where("scores", shard)
            raise RunError(what, where=where, hint=f"rescore: {program.command('score', run.folder, '--again')}")
        rows.append(make_row(run, prompt, sample_id, scores))
    if run.policy.join == "before" and not only:
        rows = _normalise(run, prompts, rows, grouped, left_out)
    return ScoredShard(prompts, grouped, rows)


def _normalise(
    run: Run,
    prompts: Mapping[str, Prompt],
    rows: Sequence[RewardRow],
    scores: Mapping[str, Sequence[Score]],
    left_out: Collection[str],
) -> list[RewardRow]:
    """Return the rows of a shard, which has all candidates of its prompts, with their advantages.

    Those that are `left_out` have none, and are in no mean.
    """
    known = []
    for group, some in groupby(rows, key=lambda row: row.group):
        mine = list(some)
        given = [scores[row.sample_id] for row in mine if row.sample_id not in left_out]
        columns = zip(*(run.rewarder.normalise_group(prompts[group], given, target) for target in TARGETS), strict=True)
        for row in mine:
            text, image = (None, None) if row.sample_id in left_out else next(columns)
            known.append(replace(row, text_advantage=text, image_advantage=image))
    return known


def make_row(run: Run, prompt: Prompt, sample_id: str, scores: Sequence[Score]) -> RewardRow:
    """Return a sample's rewards, the gaps in them, and the strict verdict.

    A sample with an unjudged claim never passes; it fails if another claim fails, else its verdict is None.
    """
    gaps = [run.rewarder.find_gap(prompt, scores, target) for target in TARGETS]
    values = {score.name: score.value for score in scores}
    text, image = (
        None if gap else run.rewarder.find_join(prompt, target)(values)
        for gap, target in zip(gaps, TARGETS, strict=True)
    )
    holds = passed(weighing(run, scores))
    verdict = None if gaps[1] and holds else holds
    # A run has few weaknesses and skills: a million rows share their names.
    weakness, skill = sys.intern(prompt.weakness), sys.intern(prompt.skill)
    believed = find_own_belief(prompt, scores) if run.judges_itself else None
    misjudged = None if believed is None or verdict is None else believed - verdict
    return RewardRow(sample_id, prompt.id, weakness, skill, text, image, gaps[0], gaps[1], verdict, misjudged=misjudged)


def judge_rounds(run: Run, prompt: Prompt, scores: Sequence[Score]) -> list[RewardRow]:
    """Return rewards and verdict after each image of a sample that reflected, each as of a sample of its own, in order.

    None for a sample with one image.
    """
    return [make_row(run, prompt, "", each) for each in split_rounds(scores)]


def find_gain(rounds: Sequence[RewardRow]) -> float | None:
    """Return the last image reward minus the first, in [-1, 1]; None for one image, or if one has no reward."""
    if len(rounds) < 2 or rounds[0].image is None or rounds[-1].image is None:
        return None
    return rounds[-1].image - rounds[0].image


def weighing(run: Run, scores: Sequence[Score]) -> list[Score]:
    """Return the scores without those of evaluating scorers, which do not affect passing."""
    return [score for score in scores if score.name in run.selecting]


Joined = tuple[Prompt, Sample, list[Score], RewardRow, Weight]


def _join(run: Run, weighed: Weighed) -> Iterator[Joined]:
    """Yield every sample with its prompt, scores, rewards and weight; holds one row group of pictures in memory."""
    # Rows and weights come in the order of the files; a mismatch below means that files changed since.
    rest = zip(weighed.rows, weighed.weights, strict=True)
    for shard in list_scored(run):
        prompts = {prompt.id: prompt for prompt in run.folder.read_prompts(shard)}
        scores = group_scores(run.folder.read_scores(shard))
        for sample in run.folder.iter_samples(shard):
            row, weight = next(rest, (None, None))
            if sample.seed != seed_of(run.recipe.seed, sample.prompt_id, sample.candidate):
                what = f"sample {sample.id} has another seed than the recipe gives it"
                hint = "move that file away and build again: only that shard is made again"
                raise RunError(what, where=run.folder.where("samples", shard), hint=hint)
            if row is None or weight is None or row.sample_id != sample.id or sample.prompt_id not in prompts:
                where = run.folder.where("samples", shard)
                raise RunError(
                    f"sample {sample.id} and the scores do not match",
                    where=where,
                    hint=program.command("score", run.folder, "--again"),
                )
            yield prompts[sample.prompt_id], sample, scores[sample.id], row, weight


def _describe_refused(run: Run) -> str:
    """Return how many samples were refused for pictures of `contamination_images`: `5 (3 by hash, 2 by features)`.

    `5` if only hashes are compared, `""` without the key.
    """
    known = run.recipe.contamination_images
    if known is None:
        return ""
    errors = Counter(failure.error for failure in _read_failures(run))
    counts = {cause: errors[error] for cause, error in KNOWN.items()}
    causes = ", ".join(f"{count:,} by {cause}" for cause, count in counts.items())
    return f"{sum(counts.values()):,}" + (f" ({causes})" if known.features else "")


def _read_failures(run: Run) -> Iterator[Failure]:
    for shard in run.folder.list_shards("failures"):
        yield from run.folder.read_failures(shard)
