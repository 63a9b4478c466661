"""Comparison of the two judges of pictograms, one geometric and one learned, on scenes and on a run.

`pictograms` matches templates and an OCR reads the words; `learned` is a network that also reads. They share no code
and no constants, so an error of one cannot explain that both agree. All scorers that use a detector or the OCR are
asked, whatever the recipe's rewards, and their strict verdicts are combined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from datagen.audit.scenes import CHANGES, Case
from datagen.audit.trust import Row, truth_for
from datagen.pipeline import SILENT, Run, Watch, follow
from datagen.plugins import load_plugin
from datagen.records import Prompt, Sample
from datagen.rewards.objects import attribute, comparison, counting, spatial
from datagen.rewards.words import text
from datagen.scoring.tools import Tools, make_tools
from datagen.scoring.verdicts import is_open

NAMES = ("pictograms", "learned")
"""The detectors of the two judges."""
_SCORERS = {module.__name__: module for module in (counting, comparison, attribute, spatial, text)}
Judges = Mapping[str, Tools]
_Marks = dict[tuple[str, ...], list[dict[str, bool]]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A judge's view of one sample: each scorer's verdict and reason, and the objects with their colours, sorted.

    A verdict is None if an object without a name leaves it open.
    """

    says: dict[str, bool | None]
    reason: str
    things: list[tuple[str, str]]

    @property
    def passes(self) -> bool:
        """Whether every scorer that judges the sample says yes."""
        return all(self.says.values())


def make_judges(run: Run) -> Judges:
    """Return the tools of each detector; a detector that cannot read gets the run's OCR."""
    return {name: make_tools(load_plugin("vision.detectors", name, "build").build({}), run.ocr) for name in NAMES}


def look(tools: Tools, prompt: Prompt, sample: Sample) -> Seen:
    """Return a judge's view of a sample's image; raises OSError when the image is damaged."""
    verdicts = {name: module.score(prompt, sample, tools) for name, module in _SCORERS.items()}
    judged = {name: verdict for name, verdict in verdicts.items() if verdict.value is not None or is_open(verdict)}
    says = {name: None if is_open(each) else bool(each.evidence["passed"]) for name, each in judged.items()}
    things = sorted((thing.label, thing.color) for thing in tools.detect(sample.image or b""))
    return Seen(says, "; ".join(verdict.reason for verdict in judged.values()), things)


def rate_judges(judges: Judges, cases: Iterable[Case]) -> tuple[list[Row], list[Row]]:
    """Return how often each judge is right and both agree, by weakness, and how often each passes a scene, by scene.

    True and broken scenes are counted separately. A judge is right about a scene if all its scorers are; scenes whose
    truth is open do not count. It leaves a scene open if it is not right but contradicts nothing. `passes` is the share
    of scenes that it passes, wrongly if a claim does not hold.
    """
    by_weakness: _Marks = {}
    by_scene: _Marks = {}
    for case in cases:
        sample = case.as_sample()
        truth = {name: truth_for(case, module.JUDGES) for name, module in _SCORERS.items()}
        seen = {judge: look(tools, case.prompt, sample).says for judge, tools in judges.items()}
        asked = [name for name, holds in truth.items() if holds is not None and all(name in s for s in seen.values())]
        if not asked:
            continue
        right = {judge: all(says[name] == truth[name] for name in asked) for judge, says in seen.items()}
        left_open = {
            f"{judge} leaves open": not right[judge] and all(says[name] in (None, truth[name]) for name in asked)
            for judge, says in seen.items()
        }
        passes = {f"{judge} passes": all(says[name] for name in asked) for judge, says in seen.items()}
        marks = {**right, **left_open, "agree": _equal([[says[name] for name in asked] for says in seen.values()])}
        for weakness in ("all", case.prompt.weakness):
            holds = "true" if all(truth[name] for name in asked) else "broken"
            by_weakness.setdefault((weakness, holds), []).append(marks)
        by_scene.setdefault((case.change,), []).append({**right, **left_open, **passes})
    order = {change: k for k, change in enumerate(CHANGES)}
    scenes = sorted(_tally(by_scene, ("scene",)), key=lambda row: order[str(row["scene"])])
    return _tally(by_weakness, ("weakness", "scenes")), scenes


def compare_judges(judges: Judges, run: Run, most: int, watch: Watch = SILENT) -> tuple[list[Row], list[Row]]:
    """Return by weakness how often the judges agree on a model's samples, and up to `most` samples that divide them.

    `same things` and `same colours` compare all detections, `same verdict` whether the sample passes; then follow the
    share that each judge passes and the number of damaged images, which belong to no share. Reads shard by shard.
    """
    marks: _Marks = {}
    divided: list[Row] = []
    unreadable: Counter[str] = Counter()
    total = sum(run.folder.count_samples(shard) for shard in run.folder.list_shards("samples"))
    for prompt, sample in follow(_read_generated(run), "judges", watch, total):
        places = ("all", prompt.weakness)
        try:
            seen = {judge: look(tools, prompt, sample) for judge, tools in judges.items()}
        except OSError:
            unreadable.update(places)
            continue
        passes = {f"{judge} passes": one.passes for judge, one in seen.items()}
        same = {
            "same things": _equal([[label for label, _ in one.things] for one in seen.values()]),
            "same colours": _equal([one.things for one in seen.values()]),
            "same verdict": _equal(list(passes.values())),
        }
        for weakness in places:
            marks.setdefault((weakness,), []).append({**same, **passes})
        if not same["same verdict"] and len(divided) < most:
            divided.append({"sample": sample.id, **{judge: one.reason for judge, one in seen.items()}})
    return [{**row, "unreadable": unreadable[str(row["weakness"])]} for row in _tally(marks, ("weakness",))], divided


def _read_generated(run: Run) -> Iterator[tuple[Prompt, Sample]]:
    """Yield the samples of a run that have an image, with their prompts."""
    for shard in run.folder.list_shards("samples"):
        prompts = {prompt.id: prompt for prompt in run.folder.read_prompts(shard)}
        for sample in run.folder.read_samples(shard):
            if sample.image is not None:
                yield prompts[sample.prompt_id], sample


def _equal(each: Sequence[object]) -> bool:
    return all(one == each[0] for one in each)


def _tally(marks: _Marks, keys: tuple[str, ...]) -> list[Row]:
    """Return a row for each group of marks: its names, their number, and the share of each mark in [0, 1]."""
    rows: list[Row] = []
    for names, each in sorted(marks.items()):
        row: Row = {**dict(zip(keys, names, strict=True)), "cases": len(each)}
        rows.append(row | {mark: sum(one[mark] for one in each) / len(each) for mark in each[0]})
    return rows
