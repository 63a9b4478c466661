"""Examines the model of a recipe before a long run: does it draw what it is asked, keep its seeds, obey schemas?

A server can answer 200 and ignore the prompt, the seed or the schema; each of these costs a night, and none shows in a
log. The canary is a few prompts of the recipe's own taxonomy, asked three times: one seed for all of them, the same
again, and other seeds. See it: `datagen doctor RECIPE`.

Not covered: how well the model draws, which is what the run itself measures.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from datagen.chat import ChatRequest, Message, Sampling
from datagen.config import Recipe
from datagen.errors import BackendError
from datagen.pipeline._run import Run
from datagen.pipeline._shards import accept_sample, ask_backend, score_sample
from datagen.prompts.templated import plan_prompts
from datagen.records import Failure, Prompt, Request, Sample, seed_of

CANARIES = 16
"""Prompts that are asked; fewer if the taxonomy has fewer."""
SHUFFLES = 999
CHANCE = 0.05
"""The pictures must fit their own prompts better than this share of random pairings."""
_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


class Finding(NamedTuple):
    """One thing that was examined: its name, the verdict, and what was seen."""

    check: str
    verdict: Literal["ok", "warning", "failed"]
    seen: str


Answers = list[Sample | Failure]


def examine_recipe(recipe: Recipe) -> Iterator[Finding]:
    """Load the model of a recipe, ask it a few prompts, and yield what was found, check by check.

    Raises what a run would: ConfigError, PluginError, BackendError.
    """
    run = Run(recipe, "doctor")  # a name alone: nothing is written
    prompts = list(plan_prompts(run.taxonomy, CANARIES, recipe.seed, run.blocked, shares=run.shares, screen=run.screen))
    first, second = seed_of(recipe.seed, "doctor"), seed_of(recipe.seed, "doctor", 2)
    drawn = _ask(run, prompts, first)
    started = time.perf_counter()
    again = _ask(run, prompts, first)
    seconds = time.perf_counter() - started
    yield _check_made([*drawn, *again], recipe.failure_limit)
    if not any(isinstance(answer, Sample) for answer in drawn):
        return
    yield _check_distinct(drawn)
    yield _check_fit(run, prompts, drawn)
    yield _check_repeat(drawn, again)
    yield _check_seeds(drawn, _ask(run, prompts, second))
    yield _check_switch(drawn)
    if hasattr(run.backend, "chat"):
        yield from _check_chat(run.backend)
    rate, samples = len(prompts) / seconds, recipe.prompts * recipe.candidates
    yield Finding("speed", "ok", f"{rate:,.2f} samples/s; {samples:,} samples take {samples / rate / 60:,.0f} min")


def _ask(run: Run, prompts: Sequence[Prompt], seed: int) -> Answers:
    requests = {prompt.id: Request(prompt, 0, seed, run.recipe.mode) for prompt in prompts}
    answers: dict[str, Sample | Failure] = {}
    for answer in ask_backend(run, list(requests.values())):  # in any order
        if isinstance(answer, Sample) and answer.prompt_id in requests:
            answer = accept_sample(requests[answer.prompt_id], answer)
        answers[answer.prompt_id] = answer
    return [answers.get(p.id) or Failure("generate", p.id, 0, "the backend gave no answer") for p in prompts]


def _check_made(answers: Answers, limit: float) -> Finding:
    failed = [answer.error for answer in answers if isinstance(answer, Failure)]
    seen = f"{len(answers) - len(failed)} of {len(answers)} samples were made"
    verdict: Any = (
        "failed" if len(failed) == len(answers) else "warning" if len(failed) > limit * len(answers) else "ok"
    )
    return Finding("samples", verdict, f"{seen}; the first failure: {failed[0]}" if failed else seen)


def _check_distinct(drawn: Answers) -> Finding:
    """With one seed for all, pictures of different prompts are the same only if the prompt is not read."""
    images = [answer.image for answer in drawn if isinstance(answer, Sample)]
    same = len(images) - len(set(images))
    if same:
        return Finding("prompt", "failed", f"{same} of {len(images)} pictures of other prompts are the same picture")
    return Finding("prompt", "ok", f"{len(images)} prompts gave {len(images)} different pictures from one seed")


def _check_fit(run: Run, prompts: Sequence[Prompt], drawn: Answers) -> Finding:
    """Do pictures score better under their own prompts than under each other's? A permutation test of the pairing."""
    samples = [answer for answer in drawn if isinstance(answer, Sample)]
    asked = {prompt.id: prompt for prompt in prompts}
    own = [asked[sample.prompt_id] for sample in samples]
    table = [[_reward(run, prompt, sample) for prompt in own] for sample in samples]
    known = [k for k, row in enumerate(table) if row[k] is not None]
    if len(known) < 4:
        return Finding("fit", "warning", "the scorers of the recipe judge too few of these pictures to say")
    rng = random.Random(0)

    def total(order: Sequence[int]) -> float:
        return sum(table[k][j] or 0.0 for k, j in zip(known, order, strict=True))

    matched = total(known)
    better = sum(total(rng.sample(known, len(known))) >= matched for _ in range(SHUFFLES))
    chance = (better + 1) / (SHUFFLES + 1)
    seen = f"mean reward {matched / len(known):.2f} under the own prompt; {chance:.1%} of random pairings do as well"
    return Finding("fit", "ok" if chance <= CHANCE else "failed", seen)


def _reward(run: Run, prompt: Prompt, sample: Sample) -> float | None:
    scores, _ = score_sample(run, prompt, sample)
    return run.rewarder.reward(prompt, scores, "image")


def _check_repeat(drawn: Answers, again: Answers) -> Finding:
    same = sum(a == b for a, b in zip(drawn, again, strict=True))
    seen = f"{same} of {len(drawn)} samples came out the same, bit for bit, from the same seed"
    hint = "" if same == len(drawn) else "; regen cannot prove where a sample came from"
    return Finding("seeds repeat", "ok" if same == len(drawn) else "warning", seen + hint)


def _check_seeds(drawn: Answers, other: Answers) -> Finding:
    pairs = [
        (a.image, b.image) for a, b in zip(drawn, other, strict=True) if isinstance(a, Sample) and isinstance(b, Sample)
    ]
    same = sum(a == b for a, b in pairs)
    seen = f"{same} of {len(pairs)} pictures are the same from another seed"
    return Finding("seeds matter", "failed" if pairs and same == len(pairs) else "warning" if same else "ok", seen)


def _check_switch(drawn: Answers) -> Finding:
    samples = [answer for answer in drawn if isinstance(answer, Sample)]
    kinds = {kind: sum(sample.switch == kind for sample in samples) for kind in ("autonomous", "forced", "none")}
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    return Finding("switch", "ok", f"from text to image: {shown}; {len(samples)} of {len(drawn)} well formed")


def _check_chat(backend: Any) -> Iterator[Finding]:
    """Ask an engine that answers chats for what rewriting and judging need."""
    cases = {
        "chat: schema": Sampling(max_tokens=64, schema=_SCHEMA),
        "chat: choices": Sampling(max_tokens=8, choices=("yes", "no")),
        "chat: log-probabilities": Sampling(max_tokens=1, top_logprobs=5),
    }
    question = (Message.say("user", "Is a cat an animal? How many letters has its name?"),)
    try:
        replies = list(backend.chat([ChatRequest(question, sampling) for sampling in cases.values()]))
    except BackendError as error:  # a model that only draws
        yield Finding("chat", "warning", error.what)
        return
    for name, reply in zip(cases, replies, strict=True):
        yield Finding(name, "warning" if reply.error else "ok", reply.error or f"obeyed: {reply.text[:40]!r}")
