"""Train the shipped weights from scratch: the model in two commands, the learned detector in a third.

    python -m datagen.workshop codec --out .train/codec
    python -m datagen.workshop lm --codec .train/codec --out .train/lm
    python -m datagen.workshop detector --out .train/detector

Each command can be stopped and run again, and continues where it was. `.train/lm` becomes a complete checkpoint folder:
use it with `datagen build --set backend.checkpoint=.train/lm`, and measure it with
`datagen bench model --checkpoint .train/lm`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
OutOption = Annotated[Path, typer.Option(help="Folder of this training: state, log, checkpoint.")]
InitOption = Annotated[Path | None, typer.Option(help="Checkpoint folder to start from.")]


@app.command()
def codec(
    out: OutOption, steps: int = 5000, batch: int = 48, seed: int = 0, init: InitOption = None, save_every: int = 250
) -> None:
    """Train the image tokenizer."""
    from datagen.workshop.codec import train_codec

    train_codec(out, steps=steps, batch=batch, seed=seed, init=init, save_every=save_every)


@app.command()
def lm(
    out: OutOption,
    codec: Annotated[Path, typer.Option(help="Folder with the image tokenizer.")],
    tasks: Annotated[str, typer.Option(help="draw (prompts to images) or read (images and prompts to text)")] = "draw",
    steps: int = 5000,
    batch: int = 48,
    seed: int = 0,
    init: InitOption = None,
    rate: Annotated[float, typer.Option(min=0, help="Scales the learning rates; 0.3 suits --init.")] = 1.0,
    save_every: int = 250,
    device: str = "cpu",
) -> None:
    """Train a language model on text and image tokens: the generator of images, or the reader."""
    from datagen.workshop.lm import train_lm

    train_lm(
        out,
        tasks=tasks,
        codec=codec,
        steps=steps,
        batch=batch,
        seed=seed,
        init=init,
        rate=rate,
        save_every=save_every,
        device=device,
    )


@app.command()
def detector(
    out: OutOption,
    codec: Annotated[Path | None, typer.Option(help="Folder with the image tokenizer [the shipped one].")] = None,
    steps: int = 1600,
    batch: int = 32,
    seed: int = 0,
    init: Annotated[Path | None, typer.Option(help="File of weights to start from.")] = None,
    save_every: int = 100,
) -> None:
    """Train the learned detector on objects in cells and anywhere, whole and broken."""
    from datagen.embedded.options import SHIPPED
    from datagen.workshop.detector import train_detector

    train_detector(out, codec=codec or SHIPPED, steps=steps, batch=batch, seed=seed, init=init, save_every=save_every)


if __name__ == "__main__":
    app()
