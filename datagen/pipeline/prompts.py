"""The prompt stage: samples the plan as a stream and writes it in shards, so memory stays flat.

Rewrites by a language model are stored, so that the plan is the same after a kill. The answers to one batch of requests
are one file, `rewrites/00003.jsonl`, which grows as they come. Batches come in the same order each time the plan is
made: stored answers are read back, missing answers and changed requests are asked again. The plan needs every answer,
so requests that did not reach the model are repeated while any of them succeed, and then by the next run.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from datagen.amounts import count_of
from datagen.chat import ChatEngine, ChatRequest, Reply, StreamingChat
from datagen.config import MAX_PROMPTS
from datagen.errors import BackendError, ConfigError
from datagen.pipeline.reusing import read_rewrites
from datagen.pipeline.run import Run
from datagen.pipeline.spending import Account
from datagen.pipeline.watch import Progress, Watch
from datagen.plugins import load_plugin
from datagen.prompts.expanded import ExpandStats, expand
from datagen.prompts.found import FoundStats, find_claims
from datagen.prompts.given import plan_given
from datagen.prompts.templated import PromptStats, plan_prompts
from datagen.records import Prompt, Rewrite, hash_of, storable
from datagen.taxonomy import explain_skipped, resolve_lexicon
from datagen.taxonomy.lexicon import load_lexicon


def plan_stage(run: Run, watch: Watch, account: Account | None = None) -> dict[str, int]:
    """Write the prompt shards that are missing or damaged and return the counts of the plan.

    What rewriting costs goes to the account (default: one without limits). If one shard is missing, the plan is sampled
    again from the start, and only that shard is written: the same recipe gives the same plan. Raises ConfigError when
    no prompt is left, RunError for a shard of another recipe, Paused when hours or money of the account are spent.
    """
    folder, notes = run.folder, run.folder.read_notes()
    there = folder.list_shards("prompts")
    damaged = {damage.shard: damage for damage in folder.find_damage("prompts", there)}
    for damage in damaged.values():
        if damage.is_foreign:
            raise damage.refuse()
        watch.say(f"{damage.where} is damaged ({damage.what}): made again")
    finished = set(there) - set(damaged)
    plan = notes.get("plan")
    if isinstance(plan, dict) and finished == set(range(plan["shards"])):
        watch.show(Progress("prompts", plan["prompts"], plan["prompts"], before=plan["prompts"]))
        return plan
    account = account or Account(run)
    stats, rewrites, found = PromptStats(), ExpandStats(), FoundStats()
    written = 0
    # How many prompts the rows make is known at the end.
    most = min(run.recipe.prompts, run.rows.files.count() or MAX_PROMPTS) if run.rows else run.recipe.prompts
    stream = draw_prompts(run, account, watch, stats, rewrites, found)
    for shard, prompts in enumerate(_cut(stream, run.recipe.shard_prompts)):
        if shard not in finished:
            folder.write_prompts(shard, prompts)
        written += len(prompts)
        if written < most:
            watch.show(Progress("prompts", written, most, note=account.describe()))
    if not written:
        raise ConfigError(
            "the plan has no prompt", hint="; ".join([*stats.notes(), *found.notes()]) or "every prompt was refused"
        )
    counts = {
        "prompts": written,
        "shards": -(-written // run.recipe.shard_prompts),
        "drawn": stats.drawn,
        "duplicates": stats.duplicates,
        "contaminated": stats.contaminated,
    }
    if why := explain_skipped(run.taxonomy.skipped):
        left_out = f"{count_of(len(run.taxonomy.skipped), 'skill')} left out; --verbose says which and why"
        watch.say("\n".join(why), brief=left_out if len(why) > 1 else why[0])
    for note in [*stats.notes(), *found.notes(), *rewrites.notes()]:
        watch.say(note)
    watch.show(Progress("prompts", written, written, note=account.describe()))
    # `plan` goes into run.yaml only now: its presence says that all prompt shards are complete.
    expansion = {"expansion": rewrites.to_dict()} if run.expansion is not None else {}
    screened = {"screened": dict(stats.screened.most_common())} if run.screen is not None or stats.screened else {}
    claims = {"claims_found": found.to_dict()} if found.asked else {}
    folder.write_notes({**notes, "plan": counts, **expansion, **claims, **screened})
    folder.log(f"prompts: {counts}")
    return counts


def read_texts(run: Run) -> dict[str, str]:
    """Return the words of all prompts of a run by their ids."""
    folder = run.folder
    return {prompt.id: prompt.text for shard in folder.list_shards("prompts") for prompt in folder.read_prompts(shard)}


def draw_prompts(
    run: Run, account: Account, watch: Watch, stats: PromptStats, rewrites: ExpandStats, found: FoundStats | None = None
) -> Iterator[Prompt]:
    """Yield the plan: prompts from templates or rows, rewritten if the recipe has `expand`, at most as many as it asks.

    Of rows, the claims are found first if the recipe says so.
    """
    recipe, options = run.recipe, run.expansion
    sources = recipe.prompts if options is None else -(-recipe.prompts // options.per_prompt)
    planned = plan_sources(run, sources, stats)
    batches = itertools.count()
    finding = recipe.source.find if recipe.source else None
    if finding is not None:
        planned = find_claims(
            planned,
            Recorder(run, account, watch, sources, batches, lambda: run.finder),
            finding,
            seed=recipe.seed,
            lexicon=load_lexicon(resolve_lexicon(run.lexicon)),
            stats=FoundStats() if found is None else found,
        )
    if options is None:
        return planned
    name = (options.backend or recipe.backend).name
    form = getattr(load_plugin("backends", name, "build"), "FORM", "instruct")
    expanded = expand(
        planned,
        Recorder(run, account, watch, sources * options.per_prompt, batches, lambda: run.rewriter),
        options,
        seed=recipe.seed,
        lexicon=load_lexicon(resolve_lexicon(run.lexicon)),
        form=form,
        blocked=run.blocked,
        stats=rewrites,
        screen=run.screen,
    )
    return itertools.islice(expanded, recipe.prompts)


def plan_sources(run: Run, count: int, stats: PromptStats | None = None) -> Iterator[Prompt]:
    """Yield at most `count` prompts before any is rewritten: of the taxonomy, or the rows that the recipe names."""
    if run.rows is not None:
        return plan_given(run.rows, count, run.blocked, stats, run.screen)
    return plan_prompts(run.taxonomy, count, run.recipe.seed, run.blocked, stats, run.shares, run.screen)


def _cut(prompts: Iterator[Prompt], size: int) -> Iterator[list[Prompt]]:
    while chunk := list(itertools.islice(prompts, size)):
        yield chunk


STORE_SECONDS = 5.0
"""How long an answer may wait to be stored while others come."""
MOST_CHARACTERS = 20_000
"""Longest stored answer; longer ones are cut, and later refused as too long."""


class Recorder:
    """An engine's answers by batch: from the run folder if stored, or from the run that it takes along (`reusing`).

    Others come from the engine, loaded on first use.

    Answers are stored within seconds of their coming. Recorders of one plan share the numbers of their `batches`.
    """

    def __init__(
        self,
        run: Run,
        account: Account,
        watch: Watch,
        total: int,
        batches: Iterator[int],
        engine: Callable[[], ChatEngine],
    ) -> None:
        self._run, self._account, self._watch, self._total = run, account, watch, total
        self._batches, self._engine = batches, engine
        self._taken = read_rewrites(run)
        self._done = self._before = 0

    def __call__(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order.

        Raises BackendError when the model is not reached, Paused when the budget is spent.
        """
        batch, asked = next(self._batches), {_name(request): request for request in requests}
        before = self._read(batch)
        kept = {key: self._taken[key] for key in asked if key in self._taken}
        kept |= {rewrite.key: rewrite for rewrite in before if rewrite.key in asked}
        self._done, self._before = self._done + len(kept), self._before + len(kept)
        left, lost = {key: request for key, request in asked.items() if key not in kept}, ""
        # Ask again for what did not reach the model, as long as each turn brings at least one answer.
        try:
            while left:
                many = len(kept)
                lost = self._ask(left, kept, lambda: self._store(batch, asked, kept))
                left = {key: request for key, request in asked.items() if key not in kept}
                if len(kept) == many:
                    break
        finally:
            if [kept[key] for key in asked if key in kept] != before:
                self._store(batch, asked, kept)
        if left:
            what = f"the rewriting model was not reached for {len(left)} of {len(asked)} prompts: {lost}"
            hint = "its answers are kept; the same command asks again for the rest"
            raise BackendError(what, where=str(self._run.folder), hint=hint)
        named = (kept[_name(request)] for request in requests)
        return (Reply(rewrite.text, rewrite.finish, error=rewrite.error) for rewrite in named)

    def _ask(self, requests: Mapping[str, ChatRequest], kept: dict[str, Rewrite], store: Callable[[], None]) -> str:
        """Keep the answers by key, `store` them now and then; return the error of one that did not reach the model."""
        self._account.require_rest("the plan is not finished")
        lost, stored, replies, asked = "", time.monotonic(), 0, deque[str]()
        for reply in self._stream(requests, asked):
            replies += 1
            if not asked:
                continue
            key = asked.popleft()
            if reply.unreached:
                lost = lost or reply.error
                continue
            kept[key] = _make_rewrite(key, reply)
            self._count()
            if time.monotonic() - stored > STORE_SECONDS:
                store()
                stored = time.monotonic()
        self._account.require_rest("the plan is not finished")
        if replies != len(requests):
            what = f"the rewriting model gave {count_of(replies, 'answer')} to {count_of(len(requests), 'request')}"
            raise ConfigError(what, hint="an engine yields one reply for each request")
        return lost

    def _stream(self, requests: Mapping[str, ChatRequest], asked: deque[str]) -> Iterator[Reply]:
        """Yield the replies in order and note in `asked` what the engine takes, until the budget is spent."""

        def take() -> Iterator[ChatRequest]:
            for key, request in requests.items():
                if self._account.meter.is_over():
                    return
                asked.append(key)
                yield request

        engine = self._engine()
        return engine.stream_chat(take()) if isinstance(engine, StreamingChat) else engine.chat(list(take()))

    def _count(self) -> None:
        self._done += 1
        self._account.add({})
        self._watch.show(Progress("rewrite", self._done, self._total, self._before, note=self._account.describe()))

    def _store(self, batch: int, asked: Mapping[str, ChatRequest], kept: Mapping[str, Rewrite]) -> None:
        self._run.folder.write_rewrites(batch, [kept[key] for key in asked if key in kept])

    def _read(self, batch: int) -> list[Rewrite]:
        folder = self._run.folder
        if batch not in folder.list_shards("rewrites"):
            return []
        for damage in folder.find_damage("rewrites", [batch]):
            if damage.is_foreign:
                raise damage.refuse()
            return []
        return folder.read_rewrites(batch)


def _make_rewrite(key: str, reply: Reply) -> Rewrite:
    said = reply.text[:MOST_CHARACTERS]
    text = storable(said)
    error = reply.error or ("" if text == said else "the answer holds half a letter (a lone surrogate)")
    return Rewrite(key, text, reply.finish, storable(error[:MOST_CHARACTERS]))


def _name(request: ChatRequest) -> str:
    """Return the hash of a request's messages and sampling."""
    sampling = request.sampling
    words = [[message.role, *(part.text for part in message.parts)] for message in request.messages]
    how = [sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed, sampling.schema]
    return hash_of(words, how)
