"""GenEval's metadata lines, converted from and to claims, and GenEval's results.

    {"tag": "position", "include": [{"class": "box", "count": 1},
     {"class": "cat", "count": 1, "position": ["left of", 0]}], "prompt": "a photo of a cat left of a box"}

Source: `prompts/evaluation_metadata.jsonl` and `evaluation/evaluate_images.py` of github.com/djghosh13/geneval at
af4902f (MIT; arXiv 2310.11513). `datagen geneval` writes lines, the scorer `geneval` reads them. A claim counts
exactly, but an `include` passes at its count or more, so a number other than one also gets an `exclude`, as in the
published lines.

Not covered: claims without a clause in GenEval, such as text, materials, and relations beyond its four.

Results have one line per image, and give six task scores and the overall score. Source: `evaluation/summary_scores.py`
of the same commit. A task's score is the share of correct images; overall is the unweighted mean of the six tasks. The
published script averages the tasks that are in the file, so that a part of the benchmark looks like the whole; here
overall is None unless all six are present.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.errors import ConfigError, did_you_mean
from datagen.records import Claim

Task = Literal["single_object", "two_object", "counting", "colors", "position", "color_attr"]
TASKS: tuple[Task, ...] = get_args(Task)
"""GenEval's six tasks, in its order."""
Color = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"]
Position = Literal["left of", "right of", "above", "below"]
COLORS: tuple[Color, ...] = get_args(Color)
POSITIONS: tuple[Position, ...] = get_args(Position)


class Exclude(BaseModel):
    """A class that must not occur `count` times or more."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)

    label: str = Field(alias="class", min_length=1)
    count: int = Field(ge=1, strict=True)


class Include(Exclude):
    """A class that must occur `count` times or more, with a colour and a position relative to an earlier clause."""

    color: Color | None = None
    position: tuple[Position, Annotated[int, Field(ge=0, strict=True)]] | None = None


class Line(BaseModel):
    """One metadata line. All clauses of `include` must hold, and none of `exclude`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tag: Task
    include: tuple[Include, ...]
    exclude: tuple[Exclude, ...] = ()
    prompt: str = ""

    @model_validator(mode="after")
    def _point_backwards(self) -> Self:
        for place, clause in enumerate(self.include):
            if clause.position and clause.position[1] >= place:
                raise ValueError(f"include {place} is placed by include {clause.position[1]}, which must come first")
        return self

    @property
    def labels(self) -> set[str]:
        """Every class that the line names."""
        return {clause.label for clause in (*self.include, *self.exclude)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values with GenEval's keys, in its order, without defaults."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


@dataclass(slots=True)
class _Thing:
    """The claims about one class: `count` is None if unclaimed; `is_described` if it has a colour or a relation."""

    count: int | None = None
    color: str | None = None
    is_described: bool = False


def read_lines(path: str | Path) -> list[Line]:
    """Return the lines of a metadata file. Raises ConfigError naming file, line and key of each error."""
    return [load_model(Document(where, data), Line) for where, data in read_jsonl(path)]


def read_jsonl(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of a JSON lines file with its place (`file:line`); raises ConfigError for anything else."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(path), hint="give a file of JSON lines") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            hint = "write one JSON object per line"
            raise ConfigError(f"the line is not JSON: {error}", where=f"{path}:{number}", hint=hint) from error
        if not isinstance(data, dict):
            raise ConfigError(
                "the line is not a JSON object", where=f"{path}:{number}", hint="write one JSON object per line"
            )
        yield f"{path}:{number}", data


def line_of(claims: Sequence[Claim], tag: Task | None = None, prompt: str = "") -> Line:
    """Return the metadata line for some claims; without a `tag`, that of the nearest task.

    Any number other than one belongs to the task `counting`, whose confidence threshold is for exact numbers. Raises
    ValueError with a readable message for claims that GenEval cannot express.
    """
    things = _gather(claims)
    relations = [claim for claim in claims if claim.kind == "relation"]
    placed = {claim.subject for claim in relations}
    include = [_include(label, thing) for label, thing in things.items() if label not in placed and thing.count != 0]
    labels = [clause["class"] for clause in include]
    for claim in relations:
        target = str(claim.value)
        if target not in labels:
            include.append(_include(target, things[target]))
            labels.append(target)
        include.append(
            {**_include(claim.subject, things[claim.subject]), "position": (claim.name, labels.index(target))}
        )
        labels.append(claim.subject)
    numbers = {label: thing.count for label, thing in things.items() if thing.count is not None and thing.count != 1}
    exclude = [{"class": label, "count": number + 1} for label, number in numbers.items()]
    tag = tag or ("counting" if numbers else _name_task(things, bool(relations)))
    return Line.model_validate({"tag": tag, "include": include, "exclude": exclude, "prompt": prompt})


def _include(label: str, thing: _Thing) -> dict[str, Any]:
    return {"class": label, "count": 1 if thing.count is None else thing.count, "color": thing.color}


def _gather(claims: Sequence[Claim]) -> dict[str, _Thing]:
    """Return the claims by class, in order of first mention; raises ValueError for claims without a clause."""
    things: defaultdict[str, _Thing] = defaultdict(_Thing)
    for claim in claims:
        if reason := _find_unsayable(claim):
            raise ValueError(f"GenEval cannot ask for {claim}: {reason}")
        thing = things[claim.subject]
        if claim.kind == "count":
            if thing.count not in (None, claim.value):
                raise ValueError(f"the claims want {thing.count} and {claim.value} of {claim.subject!r}")
            thing.count = int(claim.value)
            continue
        thing.is_described = True
        if claim.kind == "attribute":
            if thing.color not in (None, claim.value):
                raise ValueError(f"GenEval cannot ask for {claim.subject!r} in two colours")
            thing.color = str(claim.value)
        else:
            things[str(claim.value)].is_described = True
    if absent := sorted(label for label, thing in things.items() if thing.count == 0 and thing.is_described):
        raise ValueError(f"the claims want no {absent[0]!r} and say more of it")
    return things


def _find_unsayable(claim: Claim) -> str:
    """Return why a claim has no clause, or `""`."""
    if claim.kind == "count":
        return "a number is not negative" if int(claim.value) < 0 else ""
    if claim.kind == "attribute":
        if claim.name != "color":
            return "it knows no attribute but colour"
        return "" if claim.value in COLORS else f"its colours are {', '.join(COLORS)}"
    if claim.kind == "relation":
        if claim.name not in POSITIONS:
            return f"its relations are {', '.join(POSITIONS)}"
        return "it would compare a thing with itself" if claim.subject == claim.value else ""
    return "it has no clause for that"


def _name_task(things: dict[str, _Thing], placed: bool) -> Task:
    if placed:
        return "position"
    colored = any(thing.color for thing in things.values())
    if len(things) > 1:
        return "color_attr" if colored else "two_object"
    return "colors" if colored else "single_object"


def claims_of(line: Line) -> tuple[Claim, ...]:
    """Return the claims of a line; they count exactly, whereas the line says "at least".

    Raises ValueError for an `exclude` that no claim can express, since it leaves the number open.
    """
    counts: dict[str, int] = {}
    for clause in line.include:
        counts[clause.label] = max(clause.count, counts.get(clause.label, 0))
    claims: dict[Claim, None] = {}
    for clause in line.include:
        claims[Claim("count", clause.label, "", counts[clause.label])] = None
        if clause.color:
            claims[Claim("attribute", clause.label, "color", clause.color)] = None
        if clause.position:
            relation, target = clause.position
            claims[Claim("relation", clause.label, relation, line.include[target].label)] = None
    for limit in line.exclude:
        if limit.count != counts.get(limit.label, 0) + 1:
            raise ValueError(f"no claim says fewer than {limit.count} of {limit.label!r}")
        if limit.label not in counts:
            claims[Claim("count", limit.label, "", 0)] = None
    return tuple(claims)


@dataclass(frozen=True, slots=True)
class Result:
    """The evaluator's result for one image: its task, the prompt, whether it is correct, and why not."""

    tag: Task
    prompt: str
    correct: bool
    reason: str


@dataclass(frozen=True, slots=True)
class TaskScore:
    """The numbers of correct and of all images of a task."""

    correct: int
    images: int

    @property
    def share(self) -> float:
        """The task's score, in [0, 1]."""
        return self.correct / self.images


@dataclass(frozen=True, slots=True)
class GenEvalScores:
    """The score of each task that has images, in GenEval's order."""

    tasks: dict[Task, TaskScore]

    @property
    def missing(self) -> tuple[Task, ...]:
        """The tasks without an image."""
        return tuple(task for task in TASKS if task not in self.tasks)

    @property
    def overall(self) -> float | None:
        """The unweighted mean of the six task scores, in [0, 1]; None if one is missing."""
        return None if self.missing else math.fsum(score.share for score in self.tasks.values()) / len(TASKS)


def score_tasks(results: Iterable[tuple[str, bool]]) -> GenEvalScores:
    """Return the task scores of (tag, correct) pairs, one per image; raises ValueError for an unknown tag."""
    counted: dict[str, list[int]] = {}
    for tag, correct in results:
        counted.setdefault(tag, [0, 0])
        counted[tag][0] += bool(correct)
        counted[tag][1] += 1
    if unknown := sorted(set(counted) - set(TASKS)):
        raise ValueError(f"GenEval has no task {unknown[0]!r}; {did_you_mean(unknown[0], TASKS)}")
    return GenEvalScores({task: TaskScore(*counted[task]) for task in TASKS if task in counted})


def read_results(path: str | Path) -> list[Result]:
    """Return the images of a `results.jsonl` of GenEval's evaluator.

    Raises ConfigError, naming file and line, for a file of another benchmark, a broken line or an empty file.
    """
    results = [_read_result(where, data) for where, data in read_jsonl(path)]
    if not results:
        raise ConfigError("the file has no results", where=str(path), hint="GenEval writes one line per image")
    return results


def _read_result(where: str, data: dict[str, object]) -> Result:
    hint = "GenEval's results.jsonl has tag, prompt, correct (true or false) and reason in each line"
    tag, correct = data.get("tag"), data.get("correct")
    task = next((task for task in TASKS if task == tag), None)
    if task is None:
        raise ConfigError(f"the tag {tag!r} is not a task of GenEval", where=where, hint=hint)
    if not isinstance(correct, bool):
        raise ConfigError(f"`correct` is {correct!r}", where=where, hint=hint)
    return Result(task, str(data.get("prompt", "")), correct, str(data.get("reason") or ""))
