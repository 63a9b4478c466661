"""Judgements: an image, a yes/no question about one claim of its prompt, and the scorers' answer, which is learned.

    image, "Are there exactly three stars in the image? Answer in one word." -> "No"

Source: the judgement rows of UniCorn (arXiv 2601.03193), with which a model learns to judge what it generates. There
the model itself judges, here the run's scorers that select. A claim holds if its value in the column `claims_hold` is
above 0.5. `sure`, in (0.5, 1], is how far the scorers agree: 1 for one that computes, P for a judge. It is the loss of
the answer, whatever the sample's weight: wrong images teach as much as right ones.

In each skill and kind of claim there are as many answers yes as no. Each example waits for one with the other answer,
the latest first, so that the right and the wrong image of one prompt often meet; the last `WAITING` of them wait, with
their images in a temporary folder.

Not covered: claims that no scorer judges one by one, as with `geneval`, or a judge asked about the whole prompt.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import RunError
from datagen.export.checks import AGAIN
from datagen.export.examples import Example, Part, Row, facts_of, read_claims
from datagen.scoring.questions import ONE_WORD, YES, ask_exactly

NEEDS = "images for which a claim holds and others for which one of its kind fails, in one skill"
WAITING = 64
"""Most examples that wait in a skill and kind of claim for one with the other answer."""


class Options(BaseModel):
    """How sure an answer must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least: float = Field(0.5, ge=0.5, le=1, description="least `sure` of an answer; one of 0.5 is none")


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield as many examples with yes as with no. Raises RunError for a dataset without the column `claims_hold`."""
    waiting: dict[tuple[str, ...], deque[Example]] = defaultdict(deque)
    with tempfile.TemporaryDirectory(prefix="datagen-") as folder:
        for row in rows:
            for example in judge_row(row, options.least):
                place = tuple(example.facts[name] for name in ("weakness", "skill", "kind"))
                answer = example.facts["answer"]
                if others := waiting[*place, "No" if answer == "Yes" else "Yes"]:
                    yield _call(others.pop(), Path(folder))
                    yield example
                    continue
                own = waiting[*place, answer]
                own.append(_let_wait(example, Path(folder)))
                if len(own) > WAITING:
                    _call(own.popleft(), Path(folder))


def _let_wait(example: Example, folder: Path) -> Example:
    """Return an example without its image, which waits in a file: megapixels of all skills would fill the memory."""
    image, *rest = example.parts
    (folder / example.id).write_bytes(image.image)
    return replace(example, parts=(replace(image, image=b""), *rest))


def _call(example: Example, folder: Path) -> Example:
    """Return an example that waited with its image, whose file is removed."""
    image, *rest = example.parts
    content = (folder / example.id).read_bytes()
    (folder / example.id).unlink()
    return replace(example, parts=(replace(image, image=content), *rest))


def judge_row(row: Row, least: float) -> Iterator[Example]:
    """Yield an example for each judged claim of a sample with an image."""
    if "claims_hold" not in row:
        raise RunError("the view 'judgements' needs the column 'claims_hold'", where=f"sample {row['id']}", hint=AGAIN)
    if not row["images"]:
        return
    image = Part("image", "image", image=row["images"][-1], sees="vit")
    for k, (question, holds) in enumerate(zip(ask_exactly(read_claims(row)), row["claims_hold"], strict=True)):
        if holds is None or holds == 0.5 or (sure := max(holds, 1 - holds)) < least:
            continue
        answer = "Yes" if (holds > 0.5) == (question.accepted == YES) else "No"
        parts = image, Part("text", "prompt", text=question.text + ONE_WORD), Part("text", "answer", answer, loss=sure)
        facts = {**facts_of(row), "claim": str(question.claim), "kind": question.claim.kind, "answer": answer}
        # A group of its own: questions are not compared with each other, even of one prompt.
        name = f"{row['id']}-claim-{k}"
        yield Example(name, "judgement", name, parts, facts={**facts, "sure": sure})
