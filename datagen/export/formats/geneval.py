"""GenEval's metadata lines: what each prompt asks for, as its evaluator reads it. No images and no answers.

    {split}.jsonl    {"tag": "counting", "include": [{"class": "star", "count": 3}], "exclude": [{"class": "star",
                      "count": 4}], "prompt": "three stars"}

Needs a view whose examples have the prompt's `claims`, such as `graded` with `each: prompt`. Consecutive examples of
one prompt become one line. `datagen.documents.geneval_lines` turns claims into a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from datagen.documents.geneval_lines import line_of
from datagen.errors import RunError
from datagen.export.examples import Example, NoOptions
from datagen.export.files import write_lines
from datagen.records import Claim

Options = NoOptions
WEIGHTS = "none"
LOSES = "answers, images, weights, ids: a line has the prompt and what it asks for"


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the prompts of one split and return their number. Raises RunError for claims unknown to GenEval."""
    prompts = (next(group) for _, group in groupby(examples, key=lambda example: example.group))
    return write_lines(folder / f"{split}.jsonl", ((example.id, _make_line(example)) for example in prompts))


def _make_line(example: Example) -> dict[str, Any]:
    where = f"example {example.id}"
    if "claims" not in example.facts:
        hint = "choose a view with claims, such as `graded` with `each: prompt`"
        raise RunError("the view gives no claims, which the format 'geneval' needs", where=where, hint=hint)
    prompt = next((part.text for part in example.parts if part.role == "prompt" and part.kind == "text"), "")
    try:
        return line_of([_read_claim(claim) for claim in example.facts["claims"]], prompt=prompt).to_dict()
    except ValueError as error:
        raise RunError(
            str(error), where=where, hint="take the skills of `datagen geneval`, or another format"
        ) from error


def _read_claim(claim: Mapping[str, Any]) -> Claim:
    """Return a claim with its original value, which the dataset stores as text."""
    value = claim["value"]
    return Claim.from_dict({**claim, "value": int(value) if claim["kind"] in ("count", "part") else value})
