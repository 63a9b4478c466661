"""`datagen push`, `append` and `pull`: a finished run to a hub or a bucket, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from datagen.push import Pushed

FORMS = "hf://datasets/NAME, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or file:///FOLDER."
RunArg = Annotated[str, typer.Argument(metavar="RUN", help="A run: its folder, or its name under outputs/.")]
DestArg = Annotated[str, typer.Argument(metavar="DEST", help=FORMS)]
PublicOption = Annotated[bool, typer.Option("--public", help="Everybody may see it; private unless said.")]
ViewOption = Annotated[list[str] | None, typer.Option("--view", metavar="NAME", help="Also send exports/NAME.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and stop.")]


def push(
    run: RunArg,
    destination: DestArg,
    public: PublicOption = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in place of another recipe's, or of an edited card.")
    ] = False,
    view: ViewOption = None,
    dry_run: DryOption = False,
) -> None:
    """Send the dataset of a run to a hub or a bucket; goes on where it stopped, and verifies every file."""
    _send(run, destination, "push", public, replace, view, dry_run)


def append(
    run: RunArg, destination: DestArg, public: PublicOption = False, view: ViewOption = None, dry_run: DryOption = False
) -> None:
    """Add a run to a dataset that was pushed: new shards only, the card updated, duplicates refused."""
    _send(run, destination, "append", public, False, view, dry_run)


def pull(
    source: DestArg, folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that is not there yet.")]
) -> None:
    """Fetch a pushed dataset (hf://datasets/NAME@REVISION for an older one); every file is proved by its hash."""
    from datagen.console import Board
    from datagen.push import pull_dataset

    with Board() as board:
        pulled = pull_dataset(source, folder, board)
    _print_done(pulled, str(folder))


def _send(
    word: str,
    destination: str,
    way: Literal["push", "append"],
    public: bool,
    replace: bool,
    view: list[str] | None,
    dry_run: bool,
) -> None:
    from datagen.console import Board, print_facts
    from datagen.pipeline import open_run
    from datagen.push import complete_push, prepare_push

    run = open_run(word)
    with run.folder.hold(), Board() as board:
        order = prepare_push(run, destination, board, way=way, public=public, replace=replace, views=view or ())
        print_facts({name: _show(value) for name, value in order.facts.items()})
        if dry_run:
            return
        pushed = complete_push(order)
    _print_done(pushed, pushed.destination)


def _show(value: Any) -> str:
    from datagen.console import format_bytes

    return f"{value[0]:,} files, {format_bytes(value[1])}" if isinstance(value, tuple) else str(value)


def _print_done(pushed: Pushed, where: str) -> None:
    count = len(pushed.manifest.files) + 1  # and the manifest
    typer.echo(f"{where}: {count:,} files verified, revision {pushed.revision}")
