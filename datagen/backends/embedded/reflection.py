"""Think, draw, look, say what must change, redraw: the model that draws and the one that reads take turns.

The reader sees prompt, plan and image tokens and writes `<look>` what is there `</look>` and `<reflect>` the headed
parts of IRG (arXiv 2509.06945): required improvements, a final prompt, step-by-step guidance. The guidance is a plan,
and the drawer draws it. Where nothing must change, the image stands. The steps are the toolkit's: `switch: forced`.

Not covered: a reader that reasons at a temperature; it reads greedily, so a round follows from its image alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from datagen.backends.embedded.answers import Answer, Piece, read_answer, read_sections
from datagen.backends.embedded.vocab import Vocabulary
from datagen.records import Request, seed_of

Write = Callable[[Sequence[Sequence[int]], Sequence[int]], list[list[int]]]
"""Continues prompts (token ids) from seeds, to the end of all."""
GUIDANCE = "Step-by-step guidance:"
NOTHING = "Required improvements: none\n"


def reflect(
    vocab: Vocabulary,
    requests: Sequence[Request],
    answers: Sequence[Answer],
    read: Write,
    draw: Write,
    *,
    turn: int,
    limit: int,
) -> list[Answer]:
    """Return each answer with one more round: look, reflection and refined image; those with a problem as they are.

    `turn` counts rounds from 1 and keys the seeds; `limit` is the most tokens of prompt and guidance together. A round
    that is not whole gives its answer a problem that says so.
    """
    answers = list(answers)
    whole = [k for k, answer in enumerate(answers) if not answer.problem]
    given = [_show(vocab, requests[k].prompt.text, answers[k]) for k in whole]
    for k, ids in zip(whole, read(given, [0] * len(given)) if given else [], strict=True):
        answers[k] = _add_reflection(vocab, answers[k], ids)
    prompts = {
        k: [*vocab.prompt_ids(requests[k].prompt.text, "think"), *_begin(vocab, answers[k])]
        for k in whole
        if not answers[k].problem and not answers[k].pieces[-1].text.startswith(NOTHING)
    }
    for k in [k for k, ids in prompts.items() if len(ids) > limit]:
        answers[k] = replace(answers[k], problem=f"round {turn}: the guidance leaves no room for an image")
        del prompts[k]
    seeds = [seed_of(requests[k].seed, "redraw", turn) for k in prompts]
    for k, ids in zip(prompts, draw(list(prompts.values()), seeds) if prompts else [], strict=True):
        answers[k] = _add_image(answers[k], read_answer(vocab, ids), turn)
    for k in set(whole) - set(prompts):
        if not answers[k].problem:
            answers[k] = _add(answers[k], Piece("refined image", codes=_last_image(answers[k]).codes))
    return answers


def _show(vocab: Vocabulary, text: str, answer: Answer) -> list[int]:
    """Return what the reader is given: the prompt, the plan of the last image, and that image."""
    return vocab.reflection_ids(text, _begin(vocab, answer), _last_image(answer).codes)


def _begin(vocab: Vocabulary, answer: Answer) -> list[int]:
    """Return the last plan, the thought or the guidance of the last reflection, as the thought before an image."""
    plans = [piece.text for piece in answer.pieces if piece.role in ("think", "reflect")] or [""]
    plan = plans[-1].rpartition(GUIDANCE)[2].strip()
    return [vocab.think, *vocab.plan_ids(plan), vocab.end_think]


def _last_image(answer: Answer) -> Piece:
    return [piece for piece in answer.pieces if piece.codes][-1]


def _add(answer: Answer, *pieces: Piece) -> Answer:
    return replace(answer, pieces=(*answer.pieces, *pieces))


def _add_reflection(vocab: Vocabulary, answer: Answer, ids: Sequence[int]) -> Answer:
    pieces, rest, problem = read_sections(vocab, ids)
    if not problem and [piece.role for piece in pieces] != ["look", "reflect"]:
        problem = "the model does not look and reflect"
    if not problem and GUIDANCE not in pieces[-1].text:
        problem = "the reflection gives no guidance"
    if not problem and rest != [vocab.eos]:
        problem = "the reflection never ends"
    return replace(_add(answer, *pieces), problem=problem)


def _add_image(answer: Answer, again: Answer, turn: int) -> Answer:
    if again.problem:
        return replace(answer, problem=f"round {turn}: {again.problem}")
    return _add(answer, Piece("refined image", codes=_last_image(again).codes))
