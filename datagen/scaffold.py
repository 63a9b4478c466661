"""A scorer, a backend or a format of one's own, with its test: `datagen new scorer NAME`.

    datagen new scorer brightness          writes shop/brightness.py and shop/test_brightness.py in the project `shop`
    datagen new format my_tools.csv        writes my_tools/csv.py and my_tools/test_csv.py
    python -m pytest shop

What is written works as it stands, to be changed. Nothing is registered: a recipe names the module by its dotted name.
Nothing is overwritten.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from datagen.errors import ConfigError, did_you_mean
from datagen.plugins import Failed, attempt
from datagen.project import name_project, write_new

_SCORER = '''\
"""Judges how bright the picture is.

    rewards: [{name: MODULE, goal: 0.5}]

Value: 1 for a picture whose mean luma is `goal`, 0 for the one that is farthest from it. Not seen: what it shows.
"""

from __future__ import annotations

from PIL import ImageStat
from pydantic import Field

from datagen.pictures import read_image
from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools

TARGET: Modality = "image"  # what it judges: "text" or "image"
JUDGES: frozenset[str] = frozenset()  # the kinds of claim that it judges, such as "count"; none: the sample as such


class Options(ScorerOptions):
    """The brightness that is wanted."""

    goal: float = Field(0.5, ge=0, le=1, description="mean luma: 0 is black, 1 is white")


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options) -> Verdict:
    """Judge the sample's last image; None where there is none, which never counts as 0."""
    if sample.image is None:
        return Verdict(None, "the sample has no image")
    luma = ImageStat.Stat(read_image(sample.image).convert("L")).mean[0] / 255
    distance = abs(luma - options.goal) / max(options.goal, 1 - options.goal)
    return Verdict(1 - distance, f"mean luma {luma:.2f}, wanted {options.goal:.2f}", {"luma": round(luma, 3)})
'''

_SCORER_TEST = '''\
"""What MODULE judges."""

from __future__ import annotations

import pytest
from PIL import Image

from datagen.config import ScorerChoice
from datagen.pictures import encode_picture
from datagen.records import Prompt, Sample, Segment, Verdict
from datagen.scoring.scorers import load_scorer
from datagen.scoring.tools import Tools

PROMPT = Prompt.make("a star", (), weakness="shapes", skill="one", level="easy", index=0, seed=0, template="one")
TOOLS = Tools(detect=lambda image: [], read_text=lambda image: [])


def judge(tone: int | None, goal: float = 0.5) -> Verdict:
    """Judge a picture of one tone, 0 to 255, or a sample without one, by the scorer as a recipe names it."""
    image = b"" if tone is None else encode_picture(Image.new("RGB", (8, 8), (tone, tone, tone)))
    segments = (Segment("image", "image", image=image),) if image else (Segment("text", "think", text="no idea"),)
    sample = Sample("a-00", PROMPT.id, 0, 1, "think", "by hand", "none", "stop", segments)
    scorer = load_scorer(ScorerChoice.model_validate({"name": "MODULE", "goal": goal}))
    verdict: Verdict = scorer.score(PROMPT, sample, TOOLS)
    return verdict


@pytest.mark.parametrize(("tone", "goal", "value"), [(255, 1.0, 1.0), (0, 1.0, 0.0), (0, 0.0, 1.0), (0, 0.5, 0.0)])
def test_the_value_falls_with_the_distance_from_the_goal(tone: int, goal: float, value: float) -> None:
    assert judge(tone, goal).value == value


def test_the_reason_says_what_was_measured() -> None:
    verdict = judge(255)
    assert verdict.reason == "mean luma 1.00, wanted 0.50"
    assert verdict.evidence == {"luma": 1.0}


def test_a_sample_without_an_image_has_no_value() -> None:
    assert judge(None).value is None
'''

_BACKEND = '''\
"""A model of one's own: here it thinks a sentence and paints a picture in one colour, both decided by the seed.

    backend: {name: MODULE, side_px: 96}

A sample must follow from its prompt and its seed alone, so that a run that was stopped ends like one that was not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image
from pydantic import Field

from datagen.generation.options import BackendOptions
from datagen.pictures import encode_picture
from datagen.records import Failure, Request, Sample, Segment

VERSION = "1"


class Options(BackendOptions):
    """The size of the pictures."""

    side_px: int = Field(96, ge=8, le=4096, description="width and height of a picture")


class Model:
    """Answers requests one after another; put the model in place of `_think` and `_paint`."""

    name = "MODULE"
    lexicon = "everyday"  # whose words its prompts are made of, where a recipe names none

    def __init__(self, options: Options) -> None:
        self._options = options

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield a sample for each request, or a `Failure` that says why there is none."""
        for request in requests:
            yield self._answer(request)

    def _answer(self, request: Request) -> Sample:
        rng = random.Random(request.seed)
        picture = Segment("image", "image", image=encode_picture(self._paint(request.prompt.text, rng)))
        thought = Segment("text", "think", text=self._think(request.prompt.text))
        return Sample.make(
            request,
            (picture,) if request.mode == "direct" else (thought, picture),
            engine=f"{self.name}/{VERSION}",
            switch="forced",
            finish="stop",
            settings=self._options.model_dump(),
        )

    def _think(self, words: str) -> str:
        return f"The picture shows {words}."

    def _paint(self, words: str, rng: random.Random) -> Image.Image:
        side = self._options.side_px
        return Image.new("RGB", (side, side), (rng.randrange(256), rng.randrange(256), rng.randrange(256)))


def build(options: Mapping[str, Any]) -> Model:
    """Load the model. `options` are those of the recipe."""
    return Model(Options.parse(options))
'''

_BACKEND_TEST = '''\
"""What MODULE generates."""

from __future__ import annotations

import pytest

from datagen.errors import BackendError
from datagen.picture_files import read_size
from datagen.plugins import load_plugin
from datagen.records import Mode, Prompt, Request, Sample

PROMPT = Prompt.make("a star", (), weakness="shapes", skill="one", level="easy", index=0, seed=0, template="one")


def generate(*seeds: int, mode: Mode = "think", **options: int) -> list[Sample]:
    """Have the model, as a recipe names it, answer one request for each seed."""
    model = load_plugin("backends", "MODULE", "build").build(options)
    answers = model.generate([Request(PROMPT, number, seed, mode) for number, seed in enumerate(seeds)])
    return [answer for answer in answers if isinstance(answer, Sample)]


def test_every_request_gets_a_sample_with_a_thought_and_a_picture() -> None:
    samples = generate(1, 2, 3)
    assert [sample.candidate for sample in samples] == [0, 1, 2]
    assert [[part.role for part in sample.segments] for sample in samples] == [["think", "image"]] * 3
    (direct,) = generate(1, mode="direct")
    assert [part.role for part in direct.segments] == ["image"]


def test_a_sample_follows_from_its_seed_alone() -> None:
    together, alone = generate(1, 2), generate(1)
    assert alone[0] == together[0]
    assert together[0].image != together[1].image


def test_options_change_the_picture_and_wrong_ones_are_refused() -> None:
    (sample,) = generate(1, side_px=32)
    assert sample.image is not None
    assert read_size(sample.image) == (32, 32)
    with pytest.raises(BackendError, match="side_px"):
        generate(1, side_px=0)
'''

_FORMAT = '''\
"""A table of prompts and image files with their weights, as CSV.

    {split}.csv                    prompt, image, weight; one example with an image a line
    images/{ab}/{hash}.{ending}    each image once, named by its content

    exports: {mine: {view: trajectories, format: MODULE}}

The image is an example's last, and the weight is the loss on it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from datagen.export.examples import Example
from datagen.export.files import ImageFolder

WEIGHTS = "column"  # where the weight of an example goes, in a word
LOSES = "texts after the prompt, images before the last, and the loss on text"  # what is left out; "" for nothing


class Options(BaseModel):
    """The form of the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    separator: str = Field(",", min_length=1, max_length=1, description="what stands between two columns")


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the examples of one split below a folder that exists, and return how many there were."""
    put, count = ImageFolder(folder).put, 0
    with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter=options.separator)
        table.writerow(["prompt", "image", "weight"])
        for example in examples:
            prompt = next((part.text for part in example.parts if part.role == "prompt"), "")
            image = next((part for part in reversed(example.parts) if part.kind == "image"), None)
            if image is not None:
                table.writerow([prompt, put(image.image), image.loss])
                count += 1
    return count
'''

_FORMAT_TEST = '''\
"""What MODULE writes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from PIL import Image

from datagen.export.examples import Example, Part
from datagen.pictures import encode_picture
from datagen.plugins import load_plugin

PICTURE = encode_picture(Image.new("RGB", (8, 8), "teal"))
SHOWN = Part("image", "image", image=PICTURE, loss=0.5)
DRAWN = Example("a-00", "whole", "a", (Part("text", "prompt", "a star, shown"), SHOWN))
SAID = Example("b-00", "whole", "b", (Part("text", "prompt", "a moon"), Part("text", "think", "no picture", loss=1.0)))


def write(folder: Path, *examples: Example, **options: Any) -> int:
    """Write examples by the format as a recipe names it."""
    module = load_plugin("export.formats", "MODULE", "write")
    return int(module.write(examples, folder, "train", module.Options(**options)))


def test_a_line_has_prompt_image_and_weight(tmp_path: Path) -> None:
    assert write(tmp_path, DRAWN) == 1
    with (tmp_path / "train.csv").open(encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["prompt"], float(line["weight"])) == ("a star, shown", 0.5)
    assert (tmp_path / line["image"]).read_bytes() == PICTURE


def test_an_example_without_an_image_is_left_out(tmp_path: Path) -> None:
    assert write(tmp_path, SAID, DRAWN) == 1


def test_the_separator_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, DRAWN, separator=";")
    assert (tmp_path / "train.csv").read_text(encoding="utf-8").startswith("prompt;image;weight")
'''

_PACKAGE = '"""Plugins of this project: a recipe names each by its dotted name."""\n'

PARTS = {
    "scorer": (_SCORER, _SCORER_TEST, "rewards: [{}]"),
    "backend": (_BACKEND, _BACKEND_TEST, "backend: {}"),
    "format": (_FORMAT, _FORMAT_TEST, "exports: {{mine: {{view: trajectories, format: {}}}}}"),
}
"""What can be written: the module, its test, and how a recipe names it. MODULE is the dotted name."""


@dataclass(frozen=True, slots=True)
class Written:
    """The dotted name of a new module, its files, and the line of a recipe that names it."""

    module: str
    files: tuple[Path, ...]
    line: str


def write_part(kind: str, name: str) -> Written:
    """Write a new scorer, backend or format and its test below the working directory.

    A name without a dot gets the project's, that of the folder, as its package. Raises ConfigError before anything is
    written for an unknown kind, a name that Python cannot import, a package that is installed already, or a file that
    exists.
    """
    if kind not in PARTS:
        raise ConfigError(f"{kind!r} cannot be written", where="new", hint=did_you_mean(kind, PARTS))
    module = name if "." in name else f"{name_project('.')}.{name}"
    words = module.split(".")
    if not all(re.fullmatch(r"[a-z_][a-z0-9_]*", word) and not keyword.iskeyword(word) for word in words):
        what = f"{name!r} is no name of a module"
        raise ConfigError(
            what, where="new", hint="small letters, digits and _, such as brightness or my_tools.brightness"
        )
    _refuse_installed(words[0], words[-1])
    code, test, line = PARTS[kind]
    home = Path(*words[:-1])
    texts = {home / f"{words[-1]}.py": code, home / f"test_{words[-1]}.py": test}
    packages = [Path(*words[:count], "__init__.py") for count in range(1, len(words))]
    texts |= {path: _PACKAGE for path in packages if not path.exists()}
    files = write_new({path: text.replace("MODULE", module) for path, text in texts.items()})
    return Written(module, tuple(files), line.format(module))


def _refuse_installed(package: str, name: str) -> None:
    """Raise ConfigError if another package than the one of this folder would be found by this name."""
    spec = attempt(lambda: importlib.util.find_spec(package))
    if spec is None:
        return
    places = [] if isinstance(spec, Failed) else [*(spec.submodule_search_locations or ())]
    if Path(package).resolve() not in [Path(place).resolve() for place in places]:
        what = f"{package!r} is installed already, and would be found in place of the project's"
        raise ConfigError(what, where="new", hint=f"name another package, such as my_{package}.{name}")
