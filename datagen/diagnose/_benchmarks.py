"""Result files of GenEval, T2I-CompBench and OneIG-Bench, as the authors' own evaluators write them.

Sources, read for their formats: djghosh13/geneval (MIT) `evaluation/evaluate_images.py`; Karine-Huang/T2I-CompBench
(MIT) `BLIPvqa_eval/BLIP_vqa.py`, `UniDet_eval/*_eval.py`; OneIG-Bench/OneIG-Benchmark `scripts/*/…_score.py`. Not
covered: OneIG's style, diversity and reasoning, which are similarities to references and name no skill.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datagen.diagnose._estimates import Group
from datagen.errors import ConfigError, did_you_mean

COVERS = {
    "geneval/counting": ["counting"],
    "geneval/colors": ["attributes/one_color"],
    "geneval/color_attr": ["attributes/two_colors", "attributes/three_colors"],
    "geneval/position": ["spatial"],
    "t2i_compbench/color": ["attributes/one_color", "attributes/two_colors", "attributes/three_colors"],
    "t2i_compbench/texture": [
        "attributes/one_material",
        *("materials/texture", "materials/pattern", "materials/two_patterns", "materials/two_materials"),
        *("materials/material_and_texture", "materials/material_and_color"),
    ],
    "t2i_compbench/shape": ["materials/shape"],
    "t2i_compbench/spatial": ["spatial"],
    "t2i_compbench/3d_spatial": ["depth"],
    "t2i_compbench/numeracy": ["counting"],
    "t2i_compbench/complex": ["composition"],
    "oneig/text": ["text_rendering"],
    "genai_bench/negation": ["logic/absent", "logic/two_absent", "logic/not_colored"],
    "genai_bench/comparison": ["logic/more_or_fewer", "logic/as_many", "logic/more_than_counted"],
    "genai_bench/differentiation": ["logic/odd_one_out", "logic/split"],
    "genai_bench/universality": ["logic/every_one", "logic/every_one_of_two"],
    "wise/cultural": ["knowledge/cultural"],
    "wise/time": ["knowledge/time"],
    "wise/space": ["knowledge/space"],
    "wise/biology": ["knowledge/biology"],
    "wise/physics": ["knowledge/physics"],
    "wise/chemistry": ["knowledge/chemistry"],
}
"""Which shipped skills a category of a benchmark speaks for; what is not named here speaks for none (docs/skills.md).

Results of GenAI-Bench and WISE come as a CSV with these words under `skill`: their own files are not read.
"""
CATEGORIES = ("color", "shape", "texture", "spatial", "3d_spatial", "numeracy", "non_spatial", "complex")
"""Of T2I-CompBench."""
IMAGES_A_PROMPT = 10
"""That T2I-CompBench makes, in a row; used where the images are not there to tell."""
TEXT_MOST = {"EN": 100.0, "ZH": 50.0}
"""Largest edit distance that OneIG's text score knows."""


class Judged(NamedTuple):
    """One judged sample: where it belongs, whether it passed, its reward in [0, 1]; None is unknown.

    Where a file tells no more than the share of a prompt's samples that passed, `passed` is that share.
    """

    path: str
    prompt: str
    passed: bool | float | None
    reward: float | None


def covers_of(path: str) -> list[str]:
    """Return the shipped skills that a path of a benchmark speaks for; [] for none, and for a path of one's own."""
    return list(COVERS.get(path, []))


def collect(judged: Sequence[Judged]) -> dict[str, list[Group]]:
    """Return the samples as prompts by path, both in the order of their first sample."""
    found: dict[str, dict[str, list[Judged]]] = {}
    for each in judged:
        found.setdefault(each.path, {}).setdefault(each.prompt, []).append(each)
    return {path: [_group(prompt, some) for prompt, some in prompts.items()] for path, prompts in found.items()}


def _group(prompt: str, some: Sequence[Judged]) -> Group:
    strict = [float(each.passed) for each in some if each.passed is not None]
    rewards = tuple(each.reward for each in some if each.reward is not None)
    lost = sum(each.reward is None and each.passed is None for each in some)
    return Group(prompt, len(strict), math.fsum(strict), rewards, lost)


def read_geneval(text: str, where: str) -> list[Judged]:
    """Return the images of GenEval's results: `tag`, `correct`, and `metadata`, by which it tells prompts apart."""
    judged = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        at = f"{where}:{number}"
        row = _parse(line, at)
        if not isinstance(row, dict) or "tag" not in row or "prompt" not in row:
            keys = f"its keys are {', '.join(list(row)[:5])}" if isinstance(row, dict) else "a line is no mapping"
            hint = "GenEval's evaluate_images.py writes lines with tag, prompt and correct"
            raise ConfigError(f"these are no results of GenEval: {keys}", where=at, hint=hint)
        if not isinstance(row.get("correct"), bool):
            hint = "this is what its evaluator reads: run it on the images" if "include" in row else "true or false"
            raise ConfigError("the line does not say whether the image is `correct`", where=at, hint=hint)
        judged.append(Judged(f"geneval/{row['tag']}", str(row.get("metadata", row["prompt"])), row["correct"], None))
    return judged


def read_t2i(text: str, where: str, category: str) -> tuple[list[Judged], list[str]]:
    """Return the images of a `vqa_result.json`, graded in [0, 1], and a note on how their prompts were told.

    `question_id` numbers the images. Their names in `samples/` beside the folder of the file begin with the prompt;
    without them ten in a row count as one prompt, as the benchmark makes them.
    """
    rows = _parse(text, where)
    if not isinstance(rows, list) or not rows or not all(_is_answer(row) for row in rows):
        hint = "its vqa_result.json is a list of {question_id, answer}, answers from 0 to 1"
        raise ConfigError("these are no results of T2I-CompBench", where=where, hint=hint)
    if category not in CATEGORIES:
        what = f"T2I-CompBench has no category {category!r}" if category else "the file does not say its category"
        near = did_you_mean(category, CATEGORIES) if category else ""
        hint = f"add --category, one of {', '.join(CATEGORIES)}"
        raise ConfigError(what, where=where, hint=f"{near}\n{hint}" if near.startswith("did") else hint)
    names = dict(_list_images(Path(where).parent.parent / "samples"))
    ids = [row["question_id"] for row in rows]
    if len(set(ids)) < len(ids):
        raise ConfigError("a question_id comes twice", where=where, hint="is it two files in one?")
    known = all(number in names for number in ids)
    prompts = [names[number] if known else f"#{number // IMAGES_A_PROMPT}" for number in ids]
    told = "the names in samples/" if known else f"their number: {IMAGES_A_PROMPT} images in a row are one prompt"
    path = f"t2i_compbench/{category}"
    judged = [Judged(path, prompt, None, float(row["answer"])) for prompt, row in zip(prompts, rows, strict=True)]
    return judged, [f"prompts told by {told}"]


def _is_answer(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("question_id"), int):
        return False
    try:
        return 0 <= float(row["answer"]) <= 1
    except (KeyError, TypeError, ValueError):
        return False


def _list_images(folder: Path) -> Iterator[tuple[int, str]]:
    """Yield number and prompt of images named `PROMPT_000012.png`."""
    for path in sorted(folder.glob("*_*.*")) if folder.is_dir() else []:
        prompt, _, number = path.stem.rpartition("_")
        if number.isdigit():
            yield int(number), prompt


def read_oneig(text: str, where: str, model: str) -> tuple[list[Judged], str]:
    """Return one model's prompts of a `…_prompt_score_…csv`, and its name.

    Alignment is graded: the mean over the prompt's images, by class (`anime_012` is of class anime). Text is a list
    [edit distance, share without a fault, word accuracy]: the second is the share that passed, and all three make the
    reward, 1 - min(ED, M) * (1 - CR) * (1 - WAC) / M, with M 100, or 50 for a file named `…_ZH_…`.
    """
    table = csv.reader(io.StringIO(text))
    models = [name.strip() for name in next(table)[1:]]
    if not models or set(models) & {"alignment", "text score", "reasoning", "style"}:
        hint = "take the file with `_prompt_score_` in its name"
        raise ConfigError("this is a summary by model, without the prompts", where=f"{where}:1", hint=hint)
    if not model and len(models) > 1:
        raise ConfigError("the file holds several models", where=f"{where}:1", hint=f"add --model: {', '.join(models)}")
    if model and model not in models:
        raise ConfigError(f"the file has no model {model!r}", where=f"{where}:1", hint=did_you_mean(model, models))
    column = models.index(model) + 1 if model else 1
    most = TEXT_MOST["ZH" if "_ZH_" in Path(where).name.upper() else "EN"]
    judged = [
        _read_score(cells[0], cells[column], most, f"{where}:{table.line_num}")
        for cells in table
        if len(cells) > column and cells[0].strip()
    ]
    if not any(each.reward is not None for each in judged):
        raise ConfigError("the file holds no score", where=where, hint="did the evaluation find the images?")
    return judged, models[column - 1]


def _read_score(name: str, cell: str, most: float, at: str) -> Judged:
    name, cell = name.strip(), cell.strip()
    kind, found, _ = name.rpartition("_")
    path = f"oneig/{kind}" if found else "oneig/text"
    if not cell:
        return Judged(path, name, None, None)
    try:
        value = ast.literal_eval(cell)
        if found:
            return Judged(path, name, None, _within(float(value)))
        distance, exact, words = (float(part) for part in value)
        reward = 1 - min(distance, most) * (1 - _within(exact)) * (1 - _within(words)) / most
        return Judged(path, name, exact, _within(reward))
    except (ValueError, TypeError, SyntaxError) as error:
        hint = (
            "alignment has a number from 0 to 1 for `class_012`, text a list of three for `012`; others name no skill"
        )
        raise ConfigError(f"{cell[:40]!r} is no score of OneIG alignment or text", where=at, hint=hint) from error


def _within(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError("outside 0 to 1")
    return value


def _parse(text: str, at: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"broken JSON: {error}", where=at, hint="was the file cut?") from error
