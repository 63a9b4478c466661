"""TIIF's prompt lines: what to draw, and yes/no questions whose answers are known. No images and no answers.

    {split}.jsonl    {"type": "counting/one_kind", "short_description": "three stars", "long_description": "…",
                      "yn_question_list": ["Are there exactly three stars in the image?"], "yn_answer_list": ["yes"]}

Needs a view with the prompt's `claims`, such as `graded` with `each: prompt`. Consecutive examples of one prompt become
one line. The questions are those of `scoring.questions`, numbers as a question of yes or no; that for something that is
claimed absent is answered no. Both descriptions are the prompt.

Source: `TIIFDataset` in train/data_utils.py and `tiif_reward_fn` in train/reward_func.py of github.com/sen-ye/R3 at
e9912ac, which trains on lines of TIIF-Bench (arXiv 2506.02161).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from datagen.errors import RunError
from datagen.export.examples import Example, NoOptions, read_claim
from datagen.export.files import write_lines
from datagen.scoring.questions import NO, YES, Question, ask_claims
from datagen.taxonomy.english import name_many

Options = NoOptions
WEIGHTS = "none"
LOSES = "answers, images, weights, ids: a line has the prompt and questions about its image"


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the prompts of one split and return their number. Raises RunError for a view without claims."""
    prompts = (next(group) for _, group in groupby(examples, key=lambda example: example.group))
    return write_lines(folder / f"{split}.jsonl", ((example.id, _make_line(example)) for example in prompts))


def _make_line(example: Example) -> dict[str, Any]:
    if "claims" not in example.facts:
        hint = "choose a view with claims, such as `graded` with `each: prompt`"
        what = "the view gives no claims, which the format 'tiif' needs"
        raise RunError(what, where=f"example {example.id}", hint=hint)
    prompt = next((part.text for part in example.parts if part.role == "prompt" and part.kind == "text"), "")
    asked = ask_claims([read_claim(claim) for claim in example.facts["claims"]])
    return {
        "type": "/".join(str(example.facts[name]) for name in ("weakness", "skill") if name in example.facts),
        "short_description": prompt,
        "long_description": prompt,
        "yn_question_list": [_say(question) for question in asked],
        "yn_answer_list": ["no" if question.accepted == NO else "yes" for question in asked],
    }


def _say(question: Question) -> str:
    """Return a question of yes or no; one of a number has the number in it."""
    if question.accepted in (YES, NO):
        return question.text
    what = f"{question.claim.name} {question.claim.subject}".strip()
    return f"Are there exactly {name_many(int(question.claim.value), what, in_words=True)} in the image?"
