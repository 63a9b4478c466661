"""The prompt stage: draws the plan as a stream and writes it in shards, so memory stays flat."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from datagen.errors import ConfigError
from datagen.pipeline._rewrites import Recorder
from datagen.pipeline._run import Run
from datagen.pipeline._watch import Progress, Watch
from datagen.plugins import load_plugin
from datagen.prompts.expand_stats import ExpandStats
from datagen.prompts.expanded import expand
from datagen.prompts.templated import PromptStats, plan_prompts
from datagen.records import Prompt
from datagen.taxonomy import explain_skipped, resolve_lexicon
from datagen.taxonomy.lexicon import load_lexicon


def plan_stage(run: Run, watch: Watch) -> dict[str, int]:
    """Write the prompt shards that are missing or damaged and return the counts: prompts, shards, drawn, refused.

    The plan is drawn again from the start if one shard is missing, and only that shard is written: the same recipe
    gives the same plan. Raises ConfigError when no prompt is left, RunError for a shard of another recipe.
    """
    folder, notes = run.folder, run.folder.read_notes()
    there = folder.list_shards("prompts")
    damaged = {damage.shard: damage for damage in folder.find_damage("prompts", there)}
    for damage in damaged.values():
        if damage.is_foreign:
            raise damage.refuse()
        watch.say(f"{damage.where} is damaged ({damage.what}): drawn again")
    finished = set(there) - set(damaged)
    plan = notes.get("plan")
    if isinstance(plan, dict) and finished == set(range(plan["shards"])):
        watch.show(Progress("prompts", plan["prompts"], plan["prompts"], before=plan["prompts"]))
        return plan
    stats, rewrites = PromptStats(), ExpandStats()
    written = 0
    stream = _draw(run, stats, rewrites)
    for shard, prompts in enumerate(_cut(stream, run.recipe.shard_prompts)):
        if shard not in finished:
            folder.write_prompts(shard, prompts)
        written += len(prompts)
        if written < run.recipe.prompts:
            watch.show(Progress("prompts", written, run.recipe.prompts))
    if not written:
        raise ConfigError("the plan has no prompt", hint="; ".join(stats.notes()) or "every prompt was refused")
    counts = {
        "prompts": written,
        "shards": -(-written // run.recipe.shard_prompts),
        "drawn": stats.drawn,
        "duplicates": stats.duplicates,
        "contaminated": stats.contaminated,
    }
    for note in [*explain_skipped(run.taxonomy.skipped), *stats.notes(), *rewrites.notes()]:
        watch.say(note)
    watch.show(Progress("prompts", written, written))
    expansion = {"expansion": rewrites.to_dict()} if run.expansion is not None else {}
    screened = {"screened": dict(stats.screened.most_common())} if run.screen is not None or stats.screened else {}
    folder.write_notes({**notes, "plan": counts, **expansion, **screened})
    folder.log(f"prompts: {counts}")
    return counts


def _draw(run: Run, stats: PromptStats, rewrites: ExpandStats) -> Iterator[Prompt]:
    """Yield the plan: prompts from templates, in other words if the recipe has `expand`, at most as many as it asks."""
    recipe, options = run.recipe, run.expansion
    if options is None:
        return plan_prompts(run.taxonomy, recipe.prompts, recipe.seed, run.blocked, stats, run.shares, run.screen)
    sources = -(-recipe.prompts // options.per_prompt)
    choice = options.backend or recipe.backend
    form = getattr(load_plugin("backends", choice.name, "build"), "FORM", "instruct")
    expanded = expand(
        plan_prompts(run.taxonomy, sources, recipe.seed, run.blocked, stats, run.shares, run.screen),
        Recorder(run, choice),
        options,
        seed=recipe.seed,
        lexicon=load_lexicon(resolve_lexicon(run.lexicon)),
        form=form,
        blocked=run.blocked,
        stats=rewrites,
        screen=run.screen,
    )
    return itertools.islice(expanded, recipe.prompts)


def _cut(prompts: Iterator[Prompt], size: int) -> Iterator[list[Prompt]]:
    while chunk := list(itertools.islice(prompts, size)):
        yield chunk
