"""Makes a `Draw` of a backend, so that a scorer can have a text drawn without knowing what a backend is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from datagen.pictures import PictureError, to_png
from datagen.records import Failure, Prompt, Request, Sample
from datagen.rewards._tools import Draw, Drawing, Sketch

Generate = Callable[[Sequence[Request]], Iterable[Sample | Failure]]
"""A backend's `generate`: one sample or failure for each request, in any order."""


def make_draw(generate: Generate) -> Draw:
    """Return a function from sketches to drawings; each text is asked for directly, without reasoning before it.

    A text that is asked for twice in a call keeps its two seeds. What the backend raises is raised.
    """

    def draw(sketches: Sequence[Sketch]) -> list[Drawing]:
        requests = [_request(sketch, number) for number, sketch in enumerate(sketches)]
        drawn = {(answer.prompt_id, answer.candidate): _read(answer) for answer in generate(requests)}
        nothing = Drawing(error="the drawer gave no answer")
        return [drawn.get((request.prompt.id, request.candidate), nothing) for request in requests]

    return draw


def _request(sketch: Sketch, number: int) -> Request:
    """Return the request for one picture; the number keeps apart what is asked for twice."""
    prompt = Prompt.make(
        sketch.text, (), weakness="drawn", skill="caption", level="easy", index=0, seed=sketch.seed, template="caption"
    )
    return Request(prompt, number, sketch.seed, "direct")


def _read(answer: Sample | Failure) -> Drawing:
    if isinstance(answer, Failure):
        return Drawing(error=answer.error, unreached=answer.unreached)
    if not answer.image:
        return Drawing(error="the drawer drew no image")
    try:
        return Drawing(to_png(answer.image))
    except PictureError as error:
        return Drawing(error=str(error))
