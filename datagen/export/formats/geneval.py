"""GenEval's metadata lines: what each prompt asks for, as its evaluator reads it. No images and no answers.

    {split}.jsonl    {"tag": "counting", "include": [{"class": "star", "count": 3}], "exclude": [{"class": "star",
                      "count": 4}], "prompt": "three stars"}

Needs a view whose examples carry the prompt's `claims`, such as `graded` with `each: prompt`. Examples of one prompt
that follow each other are one line. How claims become a line: `datagen.documents.geneval_lines`.
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
    """Write the prompts of one split and return how many there were. Raises RunError for what GenEval cannot ask."""
    prompts = (next(group) for _, group in groupby(examples, key=lambda example: example.group))
    return write_lines(folder / f"{split}.jsonl", ((example.id, _make_line(example)) for example in prompts))


def _make_line(example: Example) -> dict[str, Any]:
    where = f"example {example.id}"
    if "claims" not in example.facts:
        hint = "choose one that does, such as `graded` with `each: prompt`"
        raise RunError("the view gives no claims, which 'geneval' lines are made of", where=where, hint=hint)
    prompt = next((part.text for part in example.parts if part.role == "prompt" and part.kind == "text"), "")
    try:
        return line_of([_read_claim(claim) for claim in example.facts["claims"]], prompt=prompt).to_dict()
    except ValueError as error:
        raise RunError(
            str(error), where=where, hint="take the skills of `datagen geneval`, or another format"
        ) from error


def _read_claim(claim: Mapping[str, Any]) -> Claim:
    """Return a claim as it was made: the dataset keeps every value as text."""
    value = claim["value"]
    return Claim.from_dict({**claim, "value": int(value) if claim["kind"] in ("count", "part") else value})
