"""Both directions of each pair of prompt and image, text to image and image to text, and denoising of either side.

`balance` multiplies the loss of text targets; it is UniFluid's weight between understanding and generation (arXiv
2503.13436). ERNIE-ViLG (arXiv 2112.15283) and DU-VLG (arXiv 2203.09052) train both directions of each pair. DU-VLG also
denoises: given the complete other side, the model restores hidden words (`denoise: [text]`) or an image with hidden
squares (`[image]`).

The pair is the prompt and the sample's last image, with the sample's image weight as loss; thoughts are ignored. A
prompt serves as a caption only if no claim failed and no scorer denies the image: a wrong one would teach wrong words.
The hidden parts are a pure function of `seed` and the sample's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.export.examples import Example, Part, Row, facts_of
from datagen.pictures import encode_picture, read_image
from datagen.records import Modality, seed_of

NEEDS = "samples with an image and a weight for it"
MASK = "[MASK]"
"""Replacement of a hidden word; hidden squares are mid grey."""
GREY = (127, 127, 127)


class Options(BaseModel):
    """Tasks for each pair, and the weight of text against image."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    balance: float = Field(1.0, ge=0, description="multiplies the loss of text targets")
    question: str = Field("", description="text after an image that asks for its caption")
    denoise: list[Modality] = Field([], description="sides that are partly hidden and restored: text, image")
    hidden: float = Field(0.5, gt=0, le=1, description="share of hidden words or squares, at least one")
    grid: int = Field(6, ge=2, le=64, strict=True, description="squares of an image in each direction")
    seed: int = Field(0, ge=0, description="decides the hidden parts")


Task = Literal["text to image", "image to text", "text denoising", "image denoising"]


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield the tasks of each row that has an image with a weight."""
    for row in rows:
        if row["images"] and row["image_weight"]:
            for task, parts in _list_tasks(row, options):
                if parts[-1].learned:
                    name = f"{row['id']}-{task.replace(' ', '-')}"
                    yield Example(name, task, row["group_id"], parts, facts={**facts_of(row), "pair": row["id"]})


def _list_tasks(row: Row, options: Options) -> Iterator[tuple[Task, tuple[Part, ...]]]:
    words, image, weight = row["prompt"], row["images"][-1], row["image_weight"]
    prompt, drawn = Part("text", "prompt", text=words), Part("image", "image", image=image, loss=weight)
    yield "text to image", (prompt, drawn)
    if row["passed"] is not False and not row["causes"]:
        seen = Part("image", "image", image=image, sees="vit")
        caption = Part("text", "caption", text=words, loss=weight * options.balance)
        asked = (Part("text", "prompt", text=options.question),) if options.question else ()
        yield "image to text", (seen, *asked, caption)
        if "text" in options.denoise:
            masked = Part("text", "masked text", text=hide_words(words, _draw(row, options, "text"), options.hidden))
            yield "text denoising", (seen, masked, caption)
    if "image" in options.denoise:
        torn = hide_squares(image, _draw(row, options, "image"), options.hidden, options.grid)
        yield "image denoising", (Part("image", "masked image", image=torn, sees="vae+vit"), prompt, drawn)


def _draw(row: Row, options: Options, side: Modality) -> Random:
    return Random(seed_of(options.seed, row["id"], side))


def hide_words(text: str, rng: Random, share: float) -> str:
    """Return a text with a share of its words, at least one, replaced by MASK."""
    words = text.split()
    for place in rng.sample(range(len(words)), min(len(words), max(1, round(share * len(words))))):
        words[place] = MASK
    return " ".join(words)


def hide_squares(image: bytes, rng: Random, share: float, grid: int) -> bytes:
    """Return an image as PNG with a share of its grid x grid squares, at least one, in grey."""
    picture = read_image(image)
    xs, ys = ([round(k * side / grid) for k in range(grid + 1)] for side in picture.size)
    for place in rng.sample(range(grid * grid), max(1, round(share * grid * grid))):
        x, y = place % grid, place // grid
        picture.paste(GREY, (xs[x], ys[y], xs[x + 1], ys[y + 1]))
    return encode_picture(picture)
