"""Whether a verdict depends on the size of the picture: the same scene at several sizes, judged by the same scorers.

The pictures are scenes of the embedded world, true and broken, which the scorers of claims and the detector see too,
and paintings (`audit.painting`), for the scorers that judge no claims. Each is rendered at every size on its own. The
four pictures of a prompt, or of a painting, are candidates of one group for the scorers that compare candidates.

A verdict is the same if the scorer says the same (`passed` or `holds` of its evidence) with a value that differs by at
most `SAME`: half of a tenth, so that a value read to one digit is the same or the next one.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from datagen.audit.painting import plan_paintings, render_painting
from datagen.audit.scenes import make_cases
from datagen.audit.trust import Row, require_reached
from datagen.embedded.pictograms import IMAGE_PX, Scene, render_scene
from datagen.pipeline import Run, score_by, score_group_by, tools_for
from datagen.records import Failure, Prompt, Sample, Score, Segment, seed_of

SIDES_PX = (96, 512, 1024, 2048)
SAME = 0.05
GROUP = 4
"""Pictures of a prompt or a painting: so few that one more near duplicate changes 1 / (1 + n) by more than `SAME`."""
LARGEST_PX = 2112
SCENES, PAINTINGS = "scenes", "paintings"
DETECTOR = "detector"
"""Name of the detector's row: it says the names and colours of all objects in a picture."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Pictures of one prompt, each a function from a side in px to its pixels (side, side, 3) uint8."""

    kind: str
    prompt: Prompt
    renders: tuple[Callable[[int], np.ndarray], ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What a scorer made of a picture at a size: its value, what it says, and the processor time in seconds.

    `picture` numbers the pictures of all subjects. The detector's value is the number of objects.
    """

    scorer: str
    kind: str
    picture: int
    side_px: int
    value: float | None
    says: Hashable
    seconds: float


def plan_subjects(prompts: Iterable[Prompt], paintings: int, seed: int) -> Iterator[Subject]:
    """Yield the scenes of each prompt that the embedded world can render, then groups of paintings.

    Of a prompt these are the true scene and up to three broken ones, at random but the same for a seed.
    """
    for prompt in prompts:
        cases = list(make_cases([prompt], seed))
        if cases:
            rng = random.Random(seed_of(seed, prompt.id, "sizes"))
            chosen = cases[:1] + rng.sample(cases[1:], min(GROUP, len(cases)) - 1)
            yield Subject(SCENES, prompt, tuple(partial(enlarge_scene, case.scene) for case in chosen))
    for k, group in enumerate(plan_paintings(paintings, seed)):
        prompt = Prompt.make("", (), weakness="", skill="", level="", index=k, seed=seed, template="")
        yield Subject(PAINTINGS, prompt, tuple(partial(render_painting, each) for each in group))


def enlarge_scene(scene: Scene, side_px: int) -> np.ndarray:
    """Return a scene rendered at a size (side_px, side_px, 3) uint8, as sharp as its pixels allow.

    It is rendered about twice as large, but no larger than `LARGEST_PX` for that, and each pixel is the mean of its
    area.
    """
    if side_px == IMAGE_PX:
        return render_scene(scene)
    scale = -(-side_px // IMAGE_PX)
    rendered = render_scene(scene, max(scale, min(2 * scale, LARGEST_PX // IMAGE_PX)))
    return np.asarray(Image.fromarray(rendered).resize((side_px, side_px), Image.Resampling.BOX))


def look_at_sizes(run: Run, subjects: Iterable[Subject], sides: Sequence[int]) -> Iterator[Look]:
    """Yield what every image scorer of a run's recipe, and its detector, make of each picture at each size.

    Scorers of claims and the detector see scenes alone. The detector is asked first, so its time is its own; the time
    of an OCR counts for the first scorer that needs it. Raises RunError if a model was not reached.
    """
    begin = 0
    for subject in subjects:
        asked = [
            name
            for name, module in run.scorers.items()
            if module.TARGET == "image" and (subject.kind == SCENES or not module.JUDGES)
        ]
        for side in sides if asked else ():
            samples = [_as_sample(subject.prompt, k, render(side)) for k, render in enumerate(subject.renders)]
            for k, (name, value, says, seconds) in _look(run, subject, samples, asked):
                yield Look(name, subject.kind, begin + k, side, value, says, seconds)
        begin += len(subject.renders)


_Said = tuple[str, float | None, Hashable, float]
"""Name, value, what it says, seconds."""


def _look(run: Run, subject: Subject, samples: Sequence[Sample], asked: Sequence[str]) -> Iterator[tuple[int, _Said]]:
    groups = [name for name in asked if hasattr(run.scorers[name], "score_group")]
    for k, sample in enumerate(samples):
        tools = tools_for(run, subject.prompt, sample)
        if subject.kind == SCENES:
            begin = time.process_time()
            found = tools.detect(sample.image or b"")
            seconds = time.process_time() - begin
            things = tuple(sorted((thing.label, thing.color) for thing in found))
            yield k, (DETECTOR, float(len(things)), things, seconds)
        for name in asked:
            if name not in groups:
                begin = time.process_time()
                given = score_by(run, name, subject.prompt, sample, tools)
                yield k, _tell(name, given, time.process_time() - begin)
    for name in groups:
        begin = time.process_time()
        each = score_group_by(run, name, subject.prompt, samples)
        seconds = (time.process_time() - begin) / len(samples)
        yield from ((k, _tell(name, given, seconds)) for k, given in enumerate(each))


def _tell(name: str, given: tuple[Score, Failure | None], seconds: float) -> _Said:
    score, failure = given
    require_reached(name, failure)
    return name, score.value, score.evidence.get("passed", score.evidence.get("holds")), seconds


def _as_sample(prompt: Prompt, number: int, pixels: np.ndarray) -> Sample:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)  # read once, so speed matters
    segments = (Segment("image", "image", image=stream.getvalue()),)
    return Sample(f"{prompt.id}-{number:02d}", prompt.id, number, 0, "direct", "sizes", "none", "stop", segments)


def tabulate_sizes(looks: Sequence[Look]) -> dict[str, list[Row]]:
    """Return the tables `same verdict by size`, `mean value by size` and `ms by size`, a row for each scorer and kind.

    The first is the share of pictures with the same verdict as at the largest size, of those that have a value at
    either of the two; the second the mean over pictures with a value; the third processor time for each picture.
    """
    sides = sorted({look.side_px for look in looks})
    same: list[Row] = []
    means: list[Row] = []
    times: list[Row] = []
    for kind, name in sorted({(look.kind, look.scorer) for look in looks}):
        mine: dict[int, dict[int, Look]] = {side: {} for side in sides}
        for look in looks:
            if (look.kind, look.scorer) == (kind, name):
                mine[look.side_px][look.picture] = look
        head: Row = {"scorer": name, "on": kind, "pictures": len(mine[sides[-1]])}
        if all(look.value is None for each in mine.values() for look in each.values()):
            continue
        columns = {side: f"{side} px" for side in sides}
        same.append(head | {columns[side]: _share_same(mine[side], mine[sides[-1]]) for side in sides})
        means.append(head | {columns[side]: _mean([look.value for look in mine[side].values()]) for side in sides})
        times.append(
            head | {columns[side]: _mean([1000 * look.seconds for look in mine[side].values()]) for side in sides}
        )
    return {"same verdict by size": same, "mean value by size": means, "ms by size": times}


def _share_same(looks: dict[int, Look], others: dict[int, Look]) -> float | None:
    pairs = [(look, others[k]) for k, look in looks.items()]
    return _mean([float(_is_same(a, b)) for a, b in pairs if a.value is not None or b.value is not None])


def _is_same(one: Look, other: Look) -> bool:
    if one.value is None or other.value is None:
        return one.value is other.value
    return one.says == other.says and abs(one.value - other.value) <= SAME


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
