"""Reads a result file, whichever it is, as judged prompts by path. See it: `datagen diagnose --results FILE`.

| file | told by | format |
|---|---|---|
| GenEval | `.jsonl` | what `evaluate_images.py` writes: one image a line |
| T2I-CompBench | `.json` | `vqa_result.json`; the category is not in it and must be given |
| OneIG-Bench | `.csv` whose first column has no name | the `…_prompt_score_…csv` of alignment or text |
| your own | any other `.csv` | `skill,prompt` and `passed`, `reward` or both; `level` if you have it |

What only summarises (one mean a model) is refused: without the single prompts there are no intervals.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from datagen.diagnose._benchmarks import Judged, collect, covers_of, read_geneval, read_oneig, read_t2i
from datagen.diagnose._estimates import Group
from datagen.diagnose._model import PATH, Diagnosis, Receipt, Source
from datagen.diagnose._rows import list_rows
from datagen.errors import ConfigError, did_you_mean

COLUMNS = ("skill", "level", "prompt", "passed", "reward")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def read_results(path: str | Path, *, category: str = "", model: str = "", version: str = "") -> Diagnosis:
    """Return the diagnosis of a result file.

    `category` says which category a T2I-CompBench file is of, `model` which column of a OneIG file, and is noted in the
    receipt. Raises ConfigError, with the line where there is one, for a file that is empty, damaged, or none of these.
    """
    where, content = str(path), _read(Path(path))
    text, ending = _decode(content, where), Path(path).suffix.lower()
    if category and ending != ".json":
        raise ConfigError(
            "--category is for T2I-CompBench, whose file does not say it", where=where, hint="leave it out"
        )
    try:
        source, judged, model, notes = _parse(text, where, ending, category, model)
    except csv.Error as error:
        raise ConfigError(f"broken CSV: {error}", where=where, hint="is a quote left open?") from error
    groups = collect(judged)
    for name in groups:
        if not re.fullmatch(PATH, name):
            raise ConfigError(
                f"{name!r} is no path of a skill", where=where, hint="weakness/skill/level, or part of it"
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
        raise ConfigError("nothing in the file is judged", where=where, hint="every passed and reward is empty")
    return Diagnosis(made=made, rows=rows)


def _parse(
    text: str, where: str, ending: str, category: str, model: str
) -> tuple[Source, list[Judged], str, list[str]]:
    """Return what the file is, its samples, the model it is about, and notes on how it was read."""
    if ending == ".jsonl":
        return "geneval", read_geneval(text, where), model, []
    if ending == ".json":
        judged, notes = read_t2i(text, where, category)
        return "t2i_compbench", judged, model, notes
    if ending != ".csv":
        hint = "known: GenEval .jsonl, T2I-CompBench .json, OneIG .csv, your own .csv; see docs/diagnose.md"
        raise ConfigError(f"no result file that is known ends with {ending!r}", where=where, hint=hint)
    header = next(csv.reader(io.StringIO(text)), [])
    if header and not header[0].strip():
        judged, model = read_oneig(text, where, model)
        return "oneig", judged, model, []
    return "csv", read_table(text, where), model, []


def usual_tries(groups: Sequence[Group]) -> int:
    """Return how many judged samples most prompts have, the larger number where two are as common; at least 1."""
    counts = Counter(max(1, group.tries) for group in groups)
    return max(counts, key=lambda tries: (counts[tries], tries))


def read_table(text: str, where: str) -> list[Judged]:
    """Return the lines of a CSV of one's own, one a sample; an empty `passed` or `reward` is unknown, not a failure.

    Raises ConfigError with the line for an unknown column, a missing value, or one that is no truth value or no number
    in [0, 1].
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
        raise ConfigError("the file holds no sample", where=where, hint="one line a sample, under the header")
    return judged


def _check_header(header: Sequence[str], where: str) -> None:
    at = f"{where}:1"
    hint = f"columns: {', '.join(COLUMNS)}; level, and one of passed and reward, may be left out"
    for name in header:
        if name not in COLUMNS or header.count(name) > 1:
            near = did_you_mean(name, COLUMNS)
            what = f"the column {name!r} is not known" if name not in COLUMNS else f"the column {name!r} comes twice"
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
        raise ConfigError(f"{path!r} is no path", where=at, hint="weakness, weakness/skill or weakness/skill/level")
    said, rated = line.get("passed", ""), line.get("reward", "")
    if said and said.lower() not in _TRUTH:
        raise ConfigError(f"passed is {said!r}", where=at, hint="1 or 0, true or false, or nothing if it is unknown")
    return Judged(path, line["prompt"], _TRUTH[said.lower()] if said else None, _read_reward(rated, at))


def _read_reward(text: str, at: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(f"reward is {text!r}", where=at, hint="a number from 0 to 1, or nothing if it is unknown")
    return value


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", where=str(path), hint="check the path") from error
    if not content.strip():
        raise ConfigError("the file is empty", where=str(path), hint="did the evaluation end?")
    return content


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("the file is not UTF-8 text", where=where, hint="a result file is text") from error
