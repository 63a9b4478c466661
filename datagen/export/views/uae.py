"""Image to caption and caption to image (UAE): the two tasks of a picture that was described and regenerated.

UAE (arXiv 2509.09666) trains a model to describe a picture so that it can generate it again from its own words; the
reward of both is the similarity of the two pictures (scorer `reconstruction`). The caption is the scored one. The task
`caption` shows the picture through the ViT and asks for the caption, with the sample's text weight; `redraw` gives the
caption and asks for the picture, with the image weight: let `aggregate` give both the same reward.

Not covered: pictures from outside the run, and the regenerated picture, which is scored and discarded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import RunError
from datagen.export.examples import Example, Part, Row, facts_of
from datagen.export.view import need_scorer
from datagen.scoring.asking import DESCRIBE

NEEDS_SCORER = "reconstruction"


class Options(BaseModel):
    """The instruction that asks for a caption; by default that of the scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instruction: str = Field(DESCRIBE, min_length=1)


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield both tasks of each kept sample that has a caption; a task of weight 0 is omitted.

    Raises RunError for a run without `reconstruction`, or one whose captions have no reward.
    """
    for row in rows:
        need_scorer(row, "uae", NEEDS_SCORER)
        if not row["kept"] or not row["caption"] or not row["images"]:
            continue
        _need_reward(row)
        facts = {**facts_of(row), "reconstruction": row["reward_reconstruction"]}
        text_loss, image_loss = row["text_weight"] or 0.0, row["image_weight"] or 0.0
        shown = show_image(row, options.instruction)
        answer = Part("text", "caption", text=row["caption"], loss=text_loss)
        words = Part("text", "prompt", text=row["caption"])
        drawn = Part("image", "image", image=row["images"][-1], loss=image_loss)
        if text_loss:
            yield Example(f"{row['id']}-caption", "caption", row["group_id"], (*shown, answer), facts=facts)
        if image_loss:
            yield Example(f"{row['id']}-redraw", "redraw", row["group_id"], (words, drawn), facts=facts)


def show_image(row: Row, instruction: str) -> tuple[Part, ...]:
    """Return the question for a caption: the sample's last image, seen through the ViT, and the instruction."""
    return Part("image", "image", image=row["images"][-1], sees="vit"), Part("text", "prompt", text=instruction)


def _need_reward(row: Row) -> None:
    """Raise RunError if only the image has a reward: every caption would have weight 0 and be silently omitted."""
    if row["text_reward"] is None:
        what = "its captions have no reward, so none of them would be learned"
        hint = "reward both sides: aggregate: {text: reconstruction, image: reconstruction}"
        raise RunError(what, where=f"sample {row['id']}", hint=hint)
