"""`datagen train`: the embedded model learns from an exported dataset with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET_OR_RUN", help="An exported dataset, or a run that has one.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of this training; becomes a checkpoint folder.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps in all.")] = 400,
    batch: Annotated[int, typer.Option(min=1, help="Rows a micro-batch.")] = 32,
    accumulate: Annotated[int, typer.Option(min=1, help="Micro-batches a step.")] = 1,
    lr: Annotated[float, typer.Option(min=0, help="Highest learning rate.")] = 3e-4,
    lambda_text: Annotated[float, typer.Option(min=0, help="Factor of the text's loss.")] = 1.0,
    lambda_image: Annotated[float, typer.Option(min=0, help="Factor of the image's loss.")] = 1.0,
    switch: Annotated[float, typer.Option(min=0, help="Factor of the token that opens the image; 0 drops it.")] = 1.0,
    sampler: Annotated[bool, typer.Option("--sampler", help="Draw rows by weight, and do not weigh the loss.")] = False,
    control: Annotated[
        bool, typer.Option("--control", help="The same without the weights: all scored parts count 1.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of rows.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Where to start from [the shipped one].")] = None,
) -> None:
    """Train the embedded model on a weighted dataset; the same command goes on where it was stopped."""
    from datagen.backends.embedded.backend import SHIPPED
    from datagen.console import Board, print_facts, print_table
    from datagen.pipeline import open_run, require_current
    from datagen.training.finetune import TrainPlan, find_dataset, train_weighted

    folder = find_dataset(dataset)
    if folder.name == "dataset" and (folder.parent / "run.yaml").is_file():
        require_current(open_run(str(folder.parent)), ["dataset"])
    plan = TrainPlan(
        folder,
        checkpoint or SHIPPED,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        lr=lr,
        lambda_text=lambda_text,
        lambda_image=lambda_image,
        switch=switch,
        sampler=sampler,
        control=control,
        seed=seed,
    )
    with Board() as board:
        noted = train_weighted(plan, out, board.show_training)
    print_table(["held-out loss", "text", "image"], [("before", *noted[0].held_out), ("after", *noted[-1].held_out)])
    next_ = f"datagen bench model --checkpoint {out}"
    print_facts(
        {
            "checkpoint": out,
            "losses": out / "loss.svg",
            "measure": next_,
            "build": f"datagen build --set backend.checkpoint={out}",
        }
    )
