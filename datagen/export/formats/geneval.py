"""GenEval's metadata lines: what each prompt asks for, as its evaluator reads it; on request with the images to judge.

    layout: lines       {split}.jsonl    {"tag": "counting", "include": [{"class": "star", "count": 3}], "exclude":
                                          [{"class": "star", "count": 4}], "prompt": "three stars"}
    layout: flow_grpo   train_metadata.jsonl and test_metadata.jsonl, the validation: the same lines
    layout: folders     {split}/00000/metadata.jsonl and samples/00000.png, …: the last image of each candidate, for
                        `evaluate_images.py {split}`

Needs a view whose examples have the prompt's `claims`, such as `graded`: with `each: prompt` for lines, with `each:
candidate` for folders. Consecutive examples of one prompt become one line. `datagen.documents.geneval_lines` turns
claims into a line; with `skip`, prompts that GenEval cannot ask for are left out.

Source: evaluation/evaluate_images.py of github.com/djghosh13/geneval at af4902f; `GenevalPromptDataset` in
scripts/train_sd3.py of github.com/yifan123/flow_grpo at ac4c86e.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.documents.geneval_lines import line_of
from datagen.errors import RunError
from datagen.export.examples import Example, read_claim
from datagen.export.files import pack_line, refuse, write_lines
from datagen.picture_files import name_ending
from datagen.pictures import encode_picture, read_image

WEIGHTS = "none"
LOSES = "answers, weights, ids, and images except in `layout: folders`: a line has the prompt and what it asks for"
FLOW_GRPO = {"train": "train", "validation": "test"}


class Options(BaseModel):
    """The names and places of the lines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["lines", "flow_grpo", "folders"] = Field("lines", description="names of files, or images beside")


def find_fault(example: Example, options: Options) -> str:
    """Return why GenEval cannot ask for the claims of an example, or `""`."""
    try:
        line_of([read_claim(claim) for claim in example.facts.get("claims", ())])
    except ValueError as error:
        return str(error)
    return ""


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the prompts of one split and return their number. Raises RunError for claims unknown to GenEval."""
    groups = groupby(examples, key=lambda example: example.group)
    if options.layout == "folders":
        return sum(_write_folder(folder / split / f"{k:05d}", [*group]) for k, (_, group) in enumerate(groups))
    name = f"{FLOW_GRPO[split]}_metadata.jsonl" if options.layout == "flow_grpo" else f"{split}.jsonl"
    prompts = (next(group) for _, group in groups)
    return write_lines(folder / name, ((example.id, _make_line(example)) for example in prompts))


def _write_folder(home: Path, examples: list[Example]) -> int:
    """Write the line of one prompt, and the last image of each example as a sample."""
    (home / "samples").mkdir(parents=True)
    line = pack_line(examples[0].id, _make_line(examples[0]))
    (home / "metadata.jsonl").write_text(line, encoding="utf-8")
    for k, example in enumerate(examples):
        images = [part.image for part in example.parts if part.kind == "image"]
        if not images:
            raise refuse(example, "geneval", "an example without an image in folders", "use `each: candidate`")
        is_png = name_ending(images[-1]) == "png"  # the evaluator looks at no other
        image = images[-1] if is_png else encode_picture(read_image(images[-1]))
        (home / "samples" / f"{k:05d}.png").write_bytes(image)
    return 1


def _make_line(example: Example) -> dict[str, Any]:
    where = f"example {example.id}"
    if "claims" not in example.facts:
        hint = "choose a view with claims, such as `graded` with `each: prompt`"
        raise RunError("the view gives no claims, which the format 'geneval' needs", where=where, hint=hint)
    prompt = next((part.text for part in example.parts if part.role == "prompt" and part.kind == "text"), "")
    try:
        return line_of([read_claim(claim) for claim in example.facts["claims"]], prompt=prompt).to_dict()
    except ValueError as error:
        hint = "`skip: true`, or `--skip`, leaves such prompts out; the skills of `datagen geneval` have none"
        raise RunError(str(error), where=where, hint=hint) from error
