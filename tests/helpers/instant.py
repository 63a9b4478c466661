"""A backend that draws true scenes at once, some of them wrong on purpose: runs the whole pipeline without a model.

Used by tests and benchmarks alone, as the plugin `tests.helpers.instant`. Everything follows from a request's seed.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from datagen.embedded.pictograms import COLORS, Scene, render_scene
from datagen.embedded.vocab import describe_scene
from datagen.embedded.world import lay_out
from datagen.records import Failure, Request, Sample, Segment

REFLECTS = True


@dataclass(frozen=True)
class Instant:
    """Draws what is asked for; a share of samples is drawn wrong, another fails, as their seeds say.

    `delay` is the seconds a sample takes, `same` hands out one picture for all, `tiny` one of 8 x 8 px, `noise` a
    different one for each, of so many pixels a side and about 2 bytes a pixel. `breaks` raises in the middle, and
    `marker` is a file that appears when the first sample is begun. While the file `down` is there, every third request
    is not answered, or as many as the file says. An option
    `checkpoint` names a folder whose files `wrong` and `fails`, if it is there, have these shares.
    """

    wrong: float = 0.4
    fails: float = 0.0
    delay: float = 0.0
    same: bool = False
    tiny: bool = False
    noise: int = 0
    breaks: bool = False
    marker: str = ""
    down: str = ""
    name: str = "instant"
    lexicon: str = "pictograms"

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        picture = _png(lay_out(requests[0].prompt.claims, random.Random(0))) if self.same else b""
        picture = _save(Image.new("RGB", (8, 8), "teal")) if self.tiny else picture
        if self.marker:
            Path(self.marker).touch()
        for number, request in enumerate(requests):
            if self.delay:
                time.sleep(self.delay)
            if self.breaks and number == len(requests) // 2:
                raise RuntimeError("the device fell off the bus")
            rng = random.Random(request.seed)
            if self.is_down(request.seed):
                yield Failure.unanswered(request, "HTTP 503: loading the model", unreached=True)
            elif rng.random() < self.fails:
                yield Failure("generate", request.prompt.id, request.candidate, "the model does not switch to an image")
            else:
                yield self._draw(request, rng, picture)

    def is_down(self, seed: int) -> bool:
        return bool(self.down) and Path(self.down).exists() and seed % int(Path(self.down).read_text() or 3) == 0

    def _draw(self, request: Request, rng: random.Random, picture: bytes) -> Sample:
        picture = _make_noise(rng, self.noise) if self.noise else picture
        plan, redrawn = "no plan", picture
        if not picture:
            scene = lay_out(request.prompt.claims, rng)
            plan, redrawn = describe_scene(scene), _png(scene)
            picture = _png(_spoil(scene, rng) if rng.random() < self.wrong else scene)
        think = (Segment("text", "think", text=plan),) if request.mode != "direct" else ()
        again = (Segment("text", "look", text="what I see"), Segment("text", "reflect", text=f"Guidance: {plan}"))
        reflection = (*again, Segment("image", "refined image", image=redrawn)) if request.mode == "reflect" else ()
        return Sample(
            request.sample_id,
            request.prompt.id,
            request.candidate,
            request.seed,
            request.mode,
            "instant/1",
            "autonomous",
            "stop",
            (*think, Segment("image", "image", image=picture), *reflection),
            {"wrong": self.wrong},
        )


def build(options: Mapping[str, Any]) -> Instant:
    values = dict(options)
    if checkpoint := values.pop("checkpoint", ""):
        values["wrong"] = float((Path(checkpoint) / "wrong").read_text(encoding="utf-8"))
        if (file := Path(checkpoint) / "fails").exists():
            values["fails"] = float(file.read_text(encoding="utf-8"))
    return Instant(**values)


def _spoil(scene: Scene, rng: random.Random) -> Scene:
    first, *rest = scene.items
    if first.kind == "text":
        return replace(scene, items=(replace(first, word=first.word[::-1]),))
    if rest and rng.random() < 0.5:
        return replace(scene, items=tuple(rest))
    others = [color for color in COLORS if color != first.color]
    return replace(scene, items=(replace(first, color=rng.choice(others)), *rest))


def _make_noise(rng: random.Random, side: int) -> bytes:
    """Return a picture that no compression makes small: what weighs as much as a photograph."""
    buffer = io.BytesIO()
    levels = bytes(8 * (k % 32) for k in range(256))
    pixels = rng.randbytes(3 * side * side).translate(levels)
    Image.frombytes("RGB", (side, side), pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _png(scene: Scene) -> bytes:
    return _save(Image.fromarray(render_scene(scene)))


def _save(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
