"""Looks at how the judge of a recipe answers before it is asked all night, about a picture that shows a red star.

The scorers of the recipe ask what they always ask. `datagen doctor` shows how each answer was read; `build` and `score`
stop before they begin if the judge is a server whose answers no scorer can read, or that refuses every question. A
server that is not reached is no matter of this: the run itself tells that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datagen.chat import ChatEngine, ChatRequest, Message, Part, Reply, Sampling
from datagen.errors import BackendError
from datagen.pictograms import Item, Scene, draw_scene
from datagen.pictures import encode_picture
from datagen.pipeline._run import Run
from datagen.pipeline._shards import score_by
from datagen.plugins import load_plugin
from datagen.records import Claim, Prompt, Request, Sample, Score, Segment
from datagen.rewards._asking import Asked, ask_all
from datagen.rewards._first_token import read_first_token
from datagen.rewards._questions import WHOLE, YES
from datagen.rewards._tools import Tools

SHOWN, NOT_SHOWN = "a red star", "a blue umbrella"
BOUND = 0.999
"""Least P of yes or no as the answer to what is no such question that only an engine that binds its answers gives."""


@dataclass(slots=True)
class Trial:
    """What a scorer said of the picture, and whether it asked the judge, and reached it."""

    scorer: str
    score: Score
    asked: bool
    reached: bool


@dataclass(slots=True)
class _Listening:
    """A judge that notes whether it was asked, and whether it was not reached."""

    engine: ChatEngine
    asked: int = 0
    lost: int = 0

    def __call__(self, requests: Sequence[ChatRequest]) -> list[Reply]:
        replies = list(self.engine.chat(requests))
        self.asked += len(requests)
        self.lost += sum(reply.unreached for reply in replies)
        return replies


def try_judge(run: Run) -> Iterator[Trial]:
    """Let each scorer that asks a judge and nothing else judge the picture. Raises what opening the judge does."""
    prompt, sample = _draw_probe(run.recipe.seed)
    for name, module in run.scorers.items():
        if getattr(module, "NEEDS_JUDGE", False) and not getattr(module, "NEEDS_DRAWER", False):
            ask = _Listening(run.judge)
            score, _ = score_by(run, name, prompt, sample, Tools(lambda image: [], lambda image: [], None, ask))
            yield Trial(name, score, bool(ask.asked), not ask.lost)


def check_judge(run: Run) -> None:
    """Raise BackendError if the judge is a server that answers so that no shipped scorer of the recipe can read it."""
    choice = run.recipe.judge
    if choice is None or not getattr(load_plugin("backends", choice.name, "build"), "IS_SERVER", False):
        return  # a model in this process may be opened in another one, and only there
    trials = [trial for trial in try_judge(run) if trial.asked and trial.reached and _is_shipped(run, trial.scorer)]
    if trials and all(trial.score.value is None for trial in trials):
        hint = "datagen doctor RECIPE shows how it answers; nothing was asked of it yet"
        raise BackendError(f"no scorer can read the judge: {trials[0].score.reason}", where="judge", hint=hint)


def tell_yes_from_no(run: Run) -> tuple[float | None, float | None]:
    """Return P(yes) to what the picture shows, and to what it does not show; None where it is not to be had."""
    _, sample = _draw_probe(run.recipe.seed)
    texts = [WHOLE["qwenvqascore"].format(text) for text in (SHOWN, NOT_SHOWN)]
    ask = _Listening(run.judge)
    right, wrong = ask_all(ask, [Asked(sample.image or b"", text, YES, sample.seed) for text in texts])
    return right.probability, wrong.probability


def is_bound(run: Run) -> bool:
    """Say whether the judge says yes or no to what is no such question: its engine then binds what it may say."""
    _, sample = _draw_probe(run.recipe.seed)
    message = Message("user", (Part(image=sample.image or b""), Part(text="Write the word purple and nothing else.")))
    (reply,) = run.judge.chat([ChatRequest((message,), Sampling(max_tokens=1, top_logprobs=20))])
    return bool(reply.first_logprobs) and read_first_token(reply.first_logprobs or {}, YES).answer > BOUND


def _draw_probe(seed: int) -> tuple[Prompt, Sample]:
    from PIL import Image

    claims = (Claim("count", "star", value=1), Claim("attribute", "star", "color", "red"))
    where = {"weakness": "probe", "skill": "probe", "level": "easy", "index": 0, "seed": seed, "template": SHOWN}
    prompt = Prompt.make(SHOWN, claims, **where)
    drawn = Image.fromarray(draw_scene(Scene("gray", (Item("star", "red", 2, 2, 4, 4),))))
    picture = Segment("image", "image", image=encode_picture(drawn))
    request = Request(prompt, 0, seed, "direct")
    return prompt, Sample.make(request, (picture,), engine="probe", switch="none", finish="stop", settings={})


def _is_shipped(run: Run, scorer: str) -> bool:
    return run.scorers[scorer].__name__.startswith("datagen.rewards.")
