"""Readers of result files as judged prompts by path. Try `datagen diagnose --results FILE`.

| file | recognised by | format |
|---|---|---|
| GenEval | `.jsonl` | the output of `evaluate_images.py`: one image per line |
| T2I-CompBench | `.json` | `vqa_result.json`; it lacks the category, which must be given |
| OneIG-Bench | `.csv` with an unnamed first column | the `…_prompt_score_…csv` of alignment or text |
| your own | any other `.csv` | `skill,prompt` and `passed`, `reward` or both; `level` if you have it |

Summaries (one mean per model) are refused: without prompts there are no intervals.

Sources of the formats: djghosh13/geneval (MIT) `evaluation/evaluate_images.py`; Karine-Huang/T2I-CompBench (MIT)
`BLIPvqa_eval/BLIP_vqa.py`, `UniDet_eval/*_eval.py`; OneIG-Bench/OneIG-Benchmark `scripts/*/…_score.py`. Not covered:
OneIG's style, diversity and reasoning, which are similarities to references and belong to no skill.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datagen.config import SKILL_PATH
from datagen.diagnose.model import Diagnosis, Group, Receipt, Source, list_rows
from datagen.errors import ConfigError, did_you_mean

COLUMNS = ("skill", "level", "prompt", "passed", "reward")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def read_results(path: str | Path, *, category: str = "", model: str = "", version: str = "") -> Diagnosis:
    """Return the diagnosis of a result file.

    `category` is the category of a T2I-CompBench file; `model` selects the column of a OneIG file and is noted in the
    receipt. Raises ConfigError, with the line if known, for a file that is empty, damaged, or of another format.
    """
    where, content = str(path), _read(Path(path))
    text, ending = _decode(content, where), Path(path).suffix.lower()
    if category and ending != ".json":
        raise ConfigError("--category is only for files of T2I-CompBench", where=where, hint="remove it")
    try:
        source, judged, model, notes = _parse(text, where, ending, category, model)
    except csv.Error as error:
        raise ConfigError(f"broken CSV: {error}", where=where, hint="is a quote left open?") from error
    groups = collect(judged)
    for name in groups:
        if not re.fullmatch(SKILL_PATH, name):
            raise ConfigError(
                f"{name!r} is not the path of a skill", where=where, hint="use weakness/skill/level, or part of it"
            )
    n = usual_tries([group for some in groups.values() for group in some])
    made = Receipt(
        source=source,
        datagen=version,
        model={"name": model} if model else {},
        prompts=sum(map(len, groups.values())),
        candidates=n,
        file=Path(path).name,
        sha256=hashlib.sha256(content).hexdigest()[:16],
        notes=notes,
    )
    rows = list_rows(groups, n, {name: covers_of(name) for name in groups})
    if not rows:
        raise ConfigError("the file has no judged sample", where=where, hint="every `passed` and `reward` is empty")
    return Diagnosis(made=made, rows=rows)


def _parse(
    text: str, where: str, ending: str, category: str, model: str
) -> tuple[Source, list[Judged], str, list[str]]:
    """Return the kind of file, its samples, the model, and notes on how it was read."""
    if ending == ".jsonl":
        return "geneval", read_geneval(text, where), model, []
    if ending == ".json":
        judged, notes = read_t2i(text, where, category)
        return "t2i_compbench", judged, model, notes
    if ending != ".csv":
        hint = "known: GenEval .jsonl, T2I-CompBench .json, OneIG .csv, your own .csv; see docs/diagnose.md"
        raise ConfigError(f"no known result file ends with {ending!r}", where=where, hint=hint)
    header = next(csv.reader(io.StringIO(text)), [])
    if header and not header[0].strip():
        judged, model = read_oneig(text, where, model)
        return "oneig", judged, model, []
    return "csv", read_table(text, where), model, []


def usual_tries(groups: Sequence[Group]) -> int:
    """Return the most common number of judged samples per prompt, the larger one in a tie; at least 1."""
    counts = Counter(max(1, group.tries) for group in groups)
    return max(counts, key=lambda tries: (counts[tries], tries))


def read_table(text: str, where: str) -> list[Judged]:
    """Return the samples of a user's CSV, one per line; an empty `passed` or `reward` is unknown, not a failure.

    Raises ConfigError with the line for an unknown column, a missing value, or one that is neither true/false nor a
    number in [0, 1].
    """
    table = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(table, [])]
    _check_header(header, where)
    judged = []
    for cells in table:
        if not any(cell.strip() for cell in cells):
            continue
        at = f"{where}:{table.line_num}"
        if len(cells) != len(header):
            raise ConfigError(f"{len(cells)} values under {len(header)} columns", where=at, hint="quote commas in text")
        judged.append(_read_line(dict(zip(header, map(str.strip, cells), strict=True)), at))
    if not judged:
        raise ConfigError("the file has no samples", where=where, hint="write one line per sample under the header")
    return judged


def _check_header(header: Sequence[str], where: str) -> None:
    at = f"{where}:1"
    hint = f"columns: {', '.join(COLUMNS)}; `level` is optional, and one of `passed` and `reward` is enough"
    for name in header:
        if name not in COLUMNS or header.count(name) > 1:
            near = did_you_mean(name, COLUMNS)
            what = f"unknown column {name!r}" if name not in COLUMNS else f"the column {name!r} is listed twice"
            raise ConfigError(what, where=at, hint=f"{near}\n{hint}" if near.startswith("did") else hint)
    for name in ("skill", "prompt"):
        if name not in header:
            raise ConfigError(f"there is no column {name!r}", where=at, hint=hint)
    if not {"passed", "reward"} & set(header):
        raise ConfigError("there is neither `passed` nor `reward`", where=at, hint=hint)


def _read_line(line: Mapping[str, str], at: str) -> Judged:
    for name in ("skill", "prompt"):
        if not line[name]:
            raise ConfigError(f"`{name}` is empty", where=at, hint="every sample belongs to a skill and a prompt")
    path = "/".join(part for part in (line["skill"].strip("/"), line.get("level", "")) if part)
    if path.count("/") > 2 or "" in path.split("/"):
        raise ConfigError(
            f"{path!r} is not a path", where=at, hint="use weakness, weakness/skill or weakness/skill/level"
        )
    said, rated = line.get("passed", ""), line.get("reward", "")
    if said and said.lower() not in _TRUTH:
        raise ConfigError(
            f"`passed` is {said!r}", where=at, hint="use 1 or 0, true or false, or leave it empty if unknown"
        )
    return Judged(path, line["prompt"], _TRUTH[said.lower()] if said else None, _read_reward(rated, at))


def _read_reward(text: str, at: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(
            f"`reward` is {text!r}", where=at, hint="use a number from 0 to 1, or leave it empty if unknown"
        )
    return value


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", where=str(path), hint="check the path") from error
    if not content.strip():
        raise ConfigError("the file is empty", where=str(path), hint="did the evaluation finish?")
    return content


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("the file is not UTF-8 text", where=where, hint="result files are UTF-8 text") from error


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
"""Shipped skills that a benchmark's category covers; other categories cover none (docs/skills.md).

Give results of GenAI-Bench and WISE as a CSV with these words under `skill`: their own files are not read.
"""
CATEGORIES = ("color", "shape", "texture", "spatial", "3d_spatial", "numeracy", "non_spatial", "complex")
"""The categories of T2I-CompBench."""
IMAGES_A_PROMPT = 10
"""Consecutive images of one prompt in T2I-CompBench; used if the image files are missing."""
TEXT_MOST = {"EN": 100.0, "ZH": 50.0}
"""Greatest edit distance in OneIG's text score."""


class Judged(NamedTuple):
    """One judged sample: its path, its prompt, whether it passed, its reward in [0, 1]; None is unknown.

    If a file contains only the share of a prompt's samples that passed, `passed` is that share.
    """

    path: str
    prompt: str
    passed: bool | float | None
    reward: float | None


def covers_of(path: str) -> list[str]:
    """Return the shipped skills that a benchmark's path covers; [] for none and for a user's own path."""
    return list(COVERS.get(path, []))


def collect(judged: Sequence[Judged]) -> dict[str, list[Group]]:
    """Group samples into prompts by path, both in the order of their first sample."""
    found: dict[str, dict[str, list[Judged]]] = {}
    for each in judged:
        found.setdefault(each.path, {}).setdefault(each.prompt, []).append(each)
    return {path: [_group(prompt, some) for prompt, some in prompts.items()] for path, prompts in found.items()}


def _group(prompt: str, some: Sequence[Judged]) -> Group:
    strict = [float(each.passed) for each in some if each.passed is not None]
    rewards = tuple(each.reward for each in some if each.reward is not None)
    lost = sum(each.reward is None and each.passed is None for each in some)
    return Group(prompt, len(strict), math.fsum(strict), rewards, lost, judged=len(some) - lost)


def read_geneval(text: str, where: str) -> list[Judged]:
    """Return the images of GenEval's results; `metadata` identifies the prompt."""
    judged = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        at = f"{where}:{number}"
        row = _parse_number(line, at)
        if not isinstance(row, dict) or "tag" not in row or "prompt" not in row:
            keys = f"its keys are {', '.join(list(row)[:5])}" if isinstance(row, dict) else "a line is not an object"
            hint = "GenEval's evaluate_images.py writes lines with tag, prompt and correct"
            raise ConfigError(f"these are not results of GenEval: {keys}", where=at, hint=hint)
        if not isinstance(row.get("correct"), bool):
            hint = "this is input of its evaluator: run that on the images" if "include" in row else "use true or false"
            raise ConfigError("the line lacks `correct`", where=at, hint=hint)
        judged.append(Judged(f"geneval/{row['tag']}", str(row.get("metadata", row["prompt"])), row["correct"], None))
    return judged


def read_t2i(text: str, where: str, category: str) -> tuple[list[Judged], list[str]]:
    """Return the images of a `vqa_result.json`, graded in [0, 1], and a note on how prompts were identified.

    `question_id` numbers the images. Their names in `samples/` beside the file's folder begin with the prompt; without
    them, ten consecutive images count as one prompt, as the benchmark generates them.
    """
    rows = _parse_number(text, where)
    if not isinstance(rows, list) or not rows or not all(_is_answer(row) for row in rows):
        hint = "its vqa_result.json is a list of {question_id, answer}, answers from 0 to 1"
        raise ConfigError("these are not results of T2I-CompBench", where=where, hint=hint)
    if category not in CATEGORIES:
        what = f"T2I-CompBench has no category {category!r}" if category else "the file does not say its category"
        near = did_you_mean(category, CATEGORIES) if category else ""
        hint = f"add --category, one of {', '.join(CATEGORIES)}"
        raise ConfigError(what, where=where, hint=f"{near}\n{hint}" if near.startswith("did") else hint)
    names = dict(_list_images(Path(where).parent.parent / "samples"))
    ids = [row["question_id"] for row in rows]
    if len(set(ids)) < len(ids):
        raise ConfigError("a question_id occurs twice", where=where, hint="are these two files in one?")
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
    [edit distance, share without errors, word accuracy]: the second is the share that passed, and all three give the
    reward, 1 - min(ED, M) * (1 - CR) * (1 - WAC) / M, with M 100, or 50 for a file named `…_ZH_…`.
    """
    table = csv.reader(io.StringIO(text))
    models = [name.strip() for name in next(table)[1:]]
    if not models or set(models) & {"alignment", "text score", "reasoning", "style"}:
        hint = "take the file with `_prompt_score_` in its name"
        raise ConfigError("this is a summary by model, without the prompts", where=f"{where}:1", hint=hint)
    if not model and len(models) > 1:
        raise ConfigError("the file has several models", where=f"{where}:1", hint=f"add --model: {', '.join(models)}")
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
        raise ConfigError("the file has no scores", where=where, hint="did the evaluation find the images?")
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
            "alignment has a number from 0 to 1 for `class_012`, text a list of three for `012`; others have no skill"
        )
        raise ConfigError(f"{cell[:40]!r} is not a score of OneIG alignment or text", where=at, hint=hint) from error


def _within(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError("outside 0 to 1")
    return value


def _parse_number(text: str, at: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"broken JSON: {error}", where=at, hint="was the file cut off?") from error
