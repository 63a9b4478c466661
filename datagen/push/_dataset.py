"""A finished export as a push sees it: its files by hash, its card, and further configs beside the default one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from datagen.errors import RunError
from datagen.push._card import LOADING, Card, add_view, rename
from datagen.push._files import CARD, File


@dataclass(frozen=True, slots=True)
class Dataset:
    """Files under the paths that they get, and the card, which is no part of `files`."""

    files: tuple[File, ...]
    card: Card
    card_text: str

    def named_by_content(self) -> Dataset:
        """Return the dataset under names that hold each file's hash, its card with them."""
        new = {file.path: file.named_by_content() for file in self.files}
        card = rename(self.card, {path: file.path for path, file in new.items()})
        return Dataset(tuple(new.values()), card, card.text)

    def loaded_by(self, loading: str) -> Dataset:
        """Return the dataset with a card that says how to load it from where it goes."""
        card, text = (LOADING.sub(lambda _: loading, part) for part in (self.card.body, self.card_text))
        return replace(self, card=replace(self.card, body=card), card_text=text)

    @property
    def contents(self) -> tuple[File, ...]:
        """All files, the card among them."""
        return (*self.files, File.make(CARD, self.card_text.encode()))


def read_dataset(folder: Path, views: Mapping[str, Path] | None = None) -> Dataset:
    """Hash a finished export; each of `views` is a further folder, which goes under its name.

    A view of parquet files becomes a config that `load_dataset(…, NAME)` knows; another form travels as files alone.
    Raises RunError where a folder is not there or holds no dataset.
    """
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunError("there is no dataset yet", where=str(folder), hint="`datagen export RUN` makes it") from error
    card = Card.parse(text, str(folder / CARD))
    files = [file for file in _hash_all(folder) if file.path != CARD]
    changed = False
    for name, path in sorted((views or {}).items()):
        own = _hash_all(path, f"{name}/")
        if not own:
            raise RunError("there is no such view", where=str(path), hint="`datagen export RUN` makes views")
        if name in ("data", "pictures", "default"):
            raise RunError(f"a view cannot be called {name!r}", where=str(path), hint="export it under another name")
        data = [file.path for file in own if not file.path.endswith("/" + CARD)]
        if all(path.endswith(".parquet") for path in data):
            card, changed = add_view(card, name, data), True
        files += own
    return Dataset(tuple(files), card, card.text if changed else text)


def _hash_all(folder: Path, prefix: str = "") -> list[File]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [File.read(prefix + path.relative_to(folder).as_posix(), path) for path in paths]
