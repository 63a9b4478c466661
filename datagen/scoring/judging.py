"""Turn a judge's answers into verdicts: on the whole prompt, atoms, a graph of questions, noun phrases, a layout.

The evidence has `holds`, not `passed`: `verdicts.passed` rests on arithmetic alone, so that pass@k does not change when
a recipe selects by a judge. The judge that selects is never the judge that evaluates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from datagen.records import Prompt, Sample, Verdict
from datagen.scoring.asking import SAMPLES, Answer, Asked, ask_all
from datagen.scoring.questions import LAYOUT, NO, ONE_WORD, WHOLE, YES, ask_claims, name_phrases
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import NO_IMAGE, list_failed

NO_JUDGE = "no judge: add `judge:` to the recipe, with a backend that answers chats"
"""Reason of a scorer that needs a judge when the recipe has none."""
HOLDS = 0.5
"""Least P at which an answer counts as yes."""


def judge_whole(name: str, prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return P(yes) to the question `WHOLE[name]` about the prompt's text; `vqascore` counts one spelling alone."""
    one_token = (YES[0], NO[0]) if name == "vqascore" else None
    verdict = _judge_yes(WHOLE[name].format(prompt.text), sample.image, sample.seed, tools, one_token)
    return replace(verdict, evidence={**verdict.evidence, **deny_whole(holds=verdict.evidence.get("holds", True))})


def deny_whole(*, holds: bool) -> dict[str, Any]:
    """Return the evidence of why a prompt fails that a judge denies as a whole, or nothing if it holds."""
    return list_failed({"the prompt": None if holds else "denied"})


def judge_layout(prompt: Prompt, sample: Sample, tools: Tools, canvas: bytes) -> Verdict:
    """Return P(yes) to the question whether a layout, rendered as boxes on a canvas (PNG), fits the prompt's text."""
    return _judge_yes(LAYOUT.format(prompt.text), canvas, sample.seed, tools)


def _judge_yes(
    question: str, image: bytes | None, seed: int, tools: Tools, one_token: tuple[str, str] | None = None
) -> Verdict:
    answers = _ask(image, seed, tools, [(question, YES)], one_token)
    if isinstance(answers, Verdict):
        return answers
    p = answers[0].probability or 0.0
    reason = f"the judge says yes with P {p:.2f}" + _tell_how(answers)
    return Verdict(p, reason, {"holds": p >= HOLDS, **_list_answers(answers)})


def judge_phrases(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the product over noun phrases of P(yes) / (P(yes) + P(no)) to the phrase as a question (T2I-CompBench)."""
    phrases = name_phrases(prompt.claims)
    if not phrases:
        return Verdict(None, "no claim names a thing")
    answers = _ask(sample.image, sample.seed, tools, [(f"{phrase}?", YES) for phrase in phrases], odds=True)
    if isinstance(answers, Verdict):
        return answers
    odds = [(answer.probability or 0.0, answer.rivals) for answer in answers]
    if any(yes + no == 0 for yes, no in odds):
        return Verdict(None, "the judge says neither yes nor no", _list_answers(answers))
    values = [yes / (yes + no) for yes, no in odds]
    doubts = [f"{phrase} P {p:.2f}" for phrase, p in zip(phrases, values, strict=True) if p < HOLDS]
    reason = ("the judge doubts: " + "; ".join(doubts) if doubts else "the judge affirms all") + _tell_how(answers)
    denied = list_failed({phrase: "denied" for phrase, p in zip(phrases, values, strict=True) if p < HOLDS})
    asked = {"phrases": dict(zip(phrases, values, strict=True)), **_list_answers(answers)}
    evidence = {"holds": not doubts, **denied, **asked}
    return Verdict(math.prod(values), reason, evidence)


def judge_atoms(prompt: Prompt, sample: Sample, tools: Tools, join: Callable[[Sequence[float]], float]) -> Verdict:
    """Return the combined P of the accepted answers to all atoms (Soft-TIFA); `join` combines."""
    atoms = [question for question in ask_claims(prompt.claims) if question.atom]
    if not atoms:
        return Verdict(None, "no claim")
    answers = _ask(sample.image, sample.seed, tools, [(atom.text + ONE_WORD, atom.accepted) for atom in atoms])
    if isinstance(answers, Verdict):
        return answers
    values = [answer.probability or 0.0 for answer in answers]
    doubts = [f"{atom.text} P {p:.2f}" for atom, p in zip(atoms, values, strict=True) if p < HOLDS]
    reason = ("the judge doubts: " + "; ".join(doubts) if doubts else "the judge affirms all") + _tell_how(answers)
    denied = list_failed({str(atom.claim): atom.cause for atom, p in zip(atoms, values, strict=True) if p < HOLDS})
    return Verdict(join(values), reason, {"holds": not doubts, **denied, **_list_answers(answers)})


def judge_graph(prompt: Prompt, sample: Sample, tools: Tools, *, cascade: bool) -> Verdict:
    """Return the share of questions that hold together with their parents; an answer holds from P 0.5."""
    questions = ask_claims(prompt.claims)
    if not questions:
        return Verdict(None, "no claim")
    answers = _ask(
        sample.image, sample.seed, tools, [(question.text + ONE_WORD, question.accepted) for question in questions]
    )
    if isinstance(answers, Verdict):
        return answers
    raw = [(answer.probability or 0.0) >= HOLDS for answer in answers]
    settled = settle(raw, [question.parents for question in questions], cascade=cascade)
    failed = [
        question.text + ("" if not own else " (moot, what it asks about is not there)")
        for question, own, holds in zip(questions, raw, settled, strict=True)
        if not holds
    ]
    reason = ("the judge denies: " + "; ".join(failed) if failed else "the judge affirms all") + _tell_how(answers)
    # Of a moot question the cause is that of its parent.
    denied = list_failed(
        {
            str(question.claim): question.cause
            for question, own in zip(questions, raw, strict=True)
            if not own and all(raw[k] for k in question.parents)
        }
    )
    evidence = {"holds": not failed, **denied, **_list_answers(answers), "settled": settled}
    return Verdict(sum(settled) / len(settled), reason, evidence)


def settle(raw: Sequence[bool], parents: Sequence[Sequence[int]], *, cascade: bool) -> list[bool]:
    """Return which questions hold if each also needs all its parents; parents come before their children.

    With `cascade` a parent's own result depends on its parents, so a failure reaches all descendants (DPG-Bench, arXiv
    2403.05135); without, its raw answer counts, so a failure reaches children alone (OneIG-Bench, arXiv 2506.07977).
    """
    settled: list[bool] = []
    for own, above in zip(raw, parents, strict=True):
        settled.append(own and all((settled if cascade else raw)[k] for k in above))
    return settled


def _ask(
    image: bytes | None,
    seed: int,
    tools: Tools,
    questions: Sequence[tuple[str, tuple[str, ...]]],
    one_token: tuple[str, str] | None = None,
    *,
    odds: bool = False,
) -> list[Answer] | Verdict:
    """Return the answers to all questions about an image, or a verdict without value if one has no answer."""
    if image is None:
        return Verdict(None, NO_IMAGE)
    if tools.ask is None:
        return Verdict(None, NO_JUDGE)
    answers = ask_all(tools.ask, [Asked(image, text, accepted, seed, one_token, odds) for text, accepted in questions])
    problems = [answer.problem for answer in answers if answer.problem]
    if problems:
        some = f" ({len(problems)} of {len(answers)} questions)" if len(answers) > 1 else ""
        return Verdict(None, problems[0] + some, _list_answers(answers))
    return answers


def _list_answers(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the evidence: how P was measured, and each question with its P, its mass and the judge's tokens."""
    listed = [
        {
            "question": answer.asked.text,
            "accepted": list(answer.asked.accepted),
            "p": None if answer.probability is None else round(answer.probability, 6),
            "mass": None if answer.probability is None else round(answer.mass, 6),
            "tokens": answer.said,
            **({"behind": answer.behind} if answer.behind.strip() else {}),
        }
        for answer in answers
    ]
    if any(answer.why_drawn for answer in answers):
        return {"method": "sampling", "samples": SAMPLES, "questions": listed}
    behind = any(answer.behind.strip() for answer in answers)
    return {"method": "answer token" if behind else "first token", "questions": listed}


def _tell_how(answers: Sequence[Answer]) -> str:
    why = next((answer.why_drawn for answer in answers if answer.why_drawn), "")
    return f" (sampling, {SAMPLES} answers: {why})" if why else ""
