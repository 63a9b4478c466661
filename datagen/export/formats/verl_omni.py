"""verl-omni: visual reflections in its contract `visual_reflection_v1`, or prompts for GRPO on BAGEL.

    layout: reflection    {split}.jsonl and images/{ab}/{hash}.{ending}; a line is a trajectory of N images and N steps:
        {"trajectory_id", "manifest_id", "source_dataset", "source_record_id", "pipeline_variant": "direct_parse",
         "prompt", "images": [{"uri", "sha256"}], "steps": [{"reflection", "action": "continue" or "stop", "edit"}]}
    layout: grpo          {split}.parquet: data_source, prompt, negative_prompt, prompt_token_ids, ability,
                          reward_model, extra_info

A step is what the sample said of an image: the look is the `reflection`, the required improvements are the `edit`. The
last step must stop, so build with `backend: {close: true}`: the closing look says that nothing is to improve. A sample
whose last look still wants a change, or that shows another image after nothing was to improve, is refused by verl-omni;
`skip` leaves it out. Samples without weight are left out.

`prompt_token_ids` is the prompt as BAGEL reads it: between `<|im_start|>` and `<|im_end|>`, without a chat template, by
its `tokenizer.json`. `ground_truth` has the facts of the example as JSON text, as in the format `verl`.

Source: verl_omni/utils/dataset/visual_reflection/ and examples/flowgrpo_trainer/data_process/bagel_ocr.py of
github.com/verl-project/verl-omni at a1139ba.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FilePath, model_validator

from datagen.errors import RunError
from datagen.export.columns import pack_json
from datagen.export.examples import Example, Part
from datagen.export.files import ImageFolder, join_parts, pack_facts, refuse, split_by_role, write_lines
from datagen.export.shards import SplitWriter
from datagen.records import HEADS, read_reflection

WEIGHTS = "none"
LOSES = (
    "weights, and the thought before the first image; of a criticism, all but the look and the required improvements; "
    "in `layout: grpo`, answers"
)
SCHEMA = "visual_reflection_v1"
HEADER = re.compile(r"^(Reflection|Action|Edit):", re.MULTILINE)
"""A line that verl-omni would read as a heading of its own."""


class Options(BaseModel):
    """The layout, and names that the rows carry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["reflection", "grpo"] = Field("reflection", description="trajectories, or prompts for BAGEL")
    source: str = Field("datagen", min_length=1, description="`source_dataset` of each trajectory")
    manifest: str = Field("datagen", min_length=1, description="`manifest_id` of each trajectory")
    tokenizer: FilePath | None = Field(None, description="BAGEL's tokenizer.json, for `layout: grpo`")
    max_tokens: int = Field(256, ge=3, strict=True, description="longest prompt in tokens; longer ones are refused")
    negative_prompt: str = Field(" ", description="what classifier-free guidance leads away from")

    @model_validator(mode="after")
    def _check_tokenizer(self) -> Self:
        if self.layout == "grpo" and self.tokenizer is None:
            raise ValueError("`layout: grpo` needs `tokenizer:`, BAGEL's tokenizer.json")
        return self


def find_fault(example: Example, options: Options) -> str:
    """Return why verl-omni refuses the trajectory of an example, or `""`."""
    return find_refusal(example) if options.layout == "reflection" else ""


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the examples of one split and return their number. Raises RunError for one that verl-omni refuses."""
    if options.layout == "grpo":
        return _write_prompts(examples, folder, split, options)
    images = ImageFolder(folder)
    learned = (example for example in examples if any(part.learned for part in example.parts))
    lines = ((example.id, _make_trajectory(example, images, options)) for example in learned)
    return write_lines(folder / f"{split}.jsonl", lines)


def _make_trajectory(example: Example, images: ImageFolder, options: Options) -> dict[str, Any]:
    if fault := find_refusal(example):
        hint = "`skip: true`, or `--skip`, leaves such samples out"
        raise refuse(example, "verl_omni", f"a trajectory that verl-omni refuses: {fault}", hint)
    states, steps = _read_states(example)
    content = {
        "manifest_id": options.manifest,
        "source_dataset": options.source,
        "source_record_id": example.id,
        "pipeline_variant": "direct_parse",
        "prompt": _read_prompt(example).strip(),
        "images": [{"uri": images.put(image), "sha256": hashlib.sha256(image).hexdigest()} for image in states],
        "steps": steps,
    }
    # The id is a digest of the rest, which verl-omni computes again.
    digest = hashlib.sha256(f"{SCHEMA}\0{pack_json(content)}".encode()).hexdigest()
    return {"trajectory_id": f"traj_{digest}", **content}


def find_refusal(example: Example) -> str:
    """Return the code with which verl-omni refuses an example, and why in words; `""` if it takes it."""
    if example.rejected or not any(part.kind == "image" for part in example.parts):
        return "length_mismatch: it is no trajectory of images"
    if not _read_prompt(example).strip():
        return "empty_prompt: it has no prompt"
    states, steps = _read_states(example)
    for step in steps:
        if not step["reflection"]:
            return "empty_reflection: a look says nothing"
        if HEADER.search(step["reflection"]) or HEADER.search(step["edit"]):
            return "protocol_parse_error: a line begins with `Reflection:`, `Action:` or `Edit:`"
    stops = [k for k, step in enumerate(steps) if step["action"] == "stop"]
    if stops and stops[0] < len(states) - 1:
        return "contradictory_terminal: an image follows although nothing was to improve"
    if len(steps) < len(states):
        return "length_mismatch: nobody looked at its last image; build with `backend: {close: true}`"
    return "" if stops else "turn_limit_exhausted: its last look still wants a change"


def _read_states(example: Example) -> tuple[list[bytes], list[dict[str, str]]]:
    """Return the images, and for each image that was looked at what was said of it.

    Where nothing is to improve, the image stands as the refined one; it is one state then, and what follows it is left
    out as long as the image stays.
    """
    states: list[bytes] = []
    steps: list[dict[str, str]] = []
    look = ""
    for part in example.parts:
        if part.kind == "image":
            if not states or part.image != states[-1]:
                states.append(part.image)
        elif part.role.endswith("look"):
            look = part.text.strip()
        elif part.role in ("reflect", "close") and len(steps) < len(states):
            edit = _read_edit(part)
            steps.append({"reflection": look, "action": "continue" if edit else "stop", "edit": edit})
    return states, steps


def _read_edit(part: Part) -> str:
    """Return the required improvements of a criticism, `""` if there are none."""
    words = dict(read_reflection(part.text)).get(HEADS[0], "").strip()
    return "" if words.rstrip(".").casefold() in ("", "none", "nothing") else words


def _read_prompt(example: Example) -> str:
    return next((part.text for part in example.parts if part.role == "prompt" and part.kind == "text"), "")


def _write_prompts(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the prompts of one split, consecutive examples of a prompt as one row, and return their number."""
    from datasets import Features, List, Value
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    begin, end = (tokenizer.token_to_id(mark) for mark in ("<|im_start|>", "<|im_end|>"))
    text, turns = Value("string"), List({"role": Value("string"), "content": Value("string")})
    features = Features(
        {
            "data_source": text,
            "prompt": turns,
            "negative_prompt": turns,
            "prompt_token_ids": List(Value("int64")),
            "ability": text,
            "reward_model": {"style": text, "ground_truth": text},
            "extra_info": {"split": text, "index": Value("int64"), "id": text, "group": text},
        }
    )
    if begin is None or end is None:
        what = "has no <|im_start|> or <|im_end|>, so it is not BAGEL's tokenizer"
        raise RunError(what, where=str(options.tokenizer), hint="name the tokenizer.json in BAGEL's folder")
    with SplitWriter(folder, split, features) as writer:
        for index, example in enumerate(_list_prompts(examples)):
            words = join_parts(split_by_role(example)[0]).strip()
            ids = [begin, *tokenizer.encode(words, add_special_tokens=False).ids, end]
            if len(ids) > options.max_tokens:
                what, hint = f"a prompt of {len(ids)} tokens", "raise `max_tokens`, or leave that prompt out"
                raise refuse(example, "verl_omni", what, hint)
            writer.add(_make_row(example, split, index, words, ids, options), 0)
    return writer.rows


def _list_prompts(examples: Iterable[Example]) -> Iterator[Example]:
    """Yield the first example of each prompt. Raises RunError for a prompt with images."""
    for _, group in groupby(examples, key=lambda example: example.group):
        example = next(group)
        if any(part.kind == "image" for part in split_by_role(example)[0]):
            raise refuse(example, "verl_omni", "a prompt with images", "use the format `verl`")
        yield example


def _make_row(
    example: Example, split: str, index: int, words: str, ids: Sequence[int], options: Options
) -> dict[str, Any]:
    return {
        "data_source": f"datagen/{example.task.replace(' ', '_')}",
        "prompt": [{"role": "user", "content": words}],
        "negative_prompt": [{"role": "user", "content": options.negative_prompt}],
        "prompt_token_ids": list(ids),
        "ability": str(example.facts.get("weakness", example.task)),
        "reward_model": {"style": "model", "ground_truth": pack_facts(example)},
        "extra_info": {"split": split, "index": index, "id": example.id, "group": example.group},
    }
