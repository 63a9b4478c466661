"""A finished export for a push: its files by hash, and its dataset card, rewritten for other names or more rows.

The card's header is the YAML that the hub's own regular expression finds; the hub client's card class would drop null
keys and reorder others. `datasets` loads all `configs` of a header with the reader of the first, so a view becomes a
config of its own only if it is parquet like the default.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from datagen.errors import RunError
from datagen.filesystems import tell_unread
from datagen.picture_files import PictureError
from datagen.pictures import hash_image, normalise
from datagen.push.files import CARD, File, RunNote, is_hidden

AGAIN = "`datagen export RUN` makes it again"
HASHES = "image_sha256"
BATCH_ROWS = 64
_NAMED = re.compile(r"/images/[0-9a-f]{2}/([0-9a-f]{32})\.(?:png|jpg|webp)$")


@dataclass(frozen=True, slots=True)
class Dataset:
    """The files under their paths at the destination, and the card, which is not in `files`."""

    files: tuple[File, ...]
    card: Card
    card_text: str

    def named_by_content(self) -> Dataset:
        """Return the dataset with each file's hash in its name, and a card with these names."""
        new = {file.path: file.named_by_content() for file in self.files}
        card = rename(self.card, {path: file.path for path, file in new.items()})
        return Dataset(tuple(new.values()), card, card.text)

    def loaded_by(self, loading: str) -> Dataset:
        """Return the dataset with a card that says how to load it from the destination."""
        card, text = (LOADING.sub(lambda _: loading, part) for part in (self.card.body, self.card_text))
        return replace(self, card=replace(self.card, body=card), card_text=text)

    @property
    def card_file(self) -> File:
        """The card as a file."""
        return File.make(CARD, self.card_text.encode())

    @property
    def contents(self) -> tuple[File, ...]:
        """All files including the card."""
        return (*self.files, self.card_file)


def read_dataset(folder: Path, views: Mapping[str, Path] | None = None) -> Dataset:
    """Hash a finished export; `views` maps names to further folders, which are stored under these names.

    A view of parquet files by split becomes a config for `load_dataset(…, NAME)`; other formats are stored as plain
    files. Raises RunError if a folder is missing or holds no dataset, or if a dataset is incomplete or damaged: every
    page of parquet is checked by its check sum, every picture by its hash. Damage in files of a view that are neither
    parquet nor named by content is not noticed.
    """
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunError("there is no dataset yet", where=str(folder), hint="`datagen export RUN` makes it") from error
    except (OSError, UnicodeDecodeError) as error:
        what, hint = tell_unread(error)
        raise RunError(what, where=str(folder / CARD), hint=hint or AGAIN) from error
    card = Card.parse(text, str(folder / CARD))
    files = [file for file in _hash_all(folder) if file.path != CARD]
    _check_rows(card, files, folder)
    _prove([file for file in files if file.path.endswith(".parquet")], has_hashes=True)
    _check_pictures(file for file in files if file.path.startswith("pictures/"))
    changed = False
    for name, path in sorted((views or {}).items()):
        own = _hash_all(path, f"{name}/")
        if not own:
            there = ", ".join(sorted(each.name for each in path.parent.glob("*/"))) or "none"
            hint = f"there are: {there}; `datagen export RUN --view …` makes one"
            raise RunError("there is no such view", where=str(path), hint=hint)
        if name in ("data", "pictures", "default"):
            raise RunError(f"a view cannot be called {name!r}", where=str(path), hint="export it under another name")
        _prove([file for file in own if file.path.endswith(".parquet")], has_hashes=False)
        _check_names(own)
        if splits := _sort_by_split(own):
            paths = {split: [file.path for file in part] for split, part in splits.items()}
            card, changed = add_view(card, name, paths, _describe(splits)), True
        files += own
    return Dataset(tuple(files), card, card.text if changed else text)


def _check_rows(card: Card, files: Sequence[File], folder: Path) -> None:
    """Raise RunError for shards that cannot be opened, and splits whose number of rows differs from the card."""
    for split, rows in card.rows.items():
        patterns = card.patterns("default", split)
        found = sum(each.num_rows for each in _read_footers(file for file in files if matches(file.path, patterns)))
        if found != rows:
            what = f"has {found:,} rows in {split!r}, but its card says {rows:,}"
            raise RunError(what, where=str(folder), hint=AGAIN)


def _prove(files: Iterable[File], *, has_hashes: bool) -> None:
    """Read parquet files completely. Raises RunError for a damaged page or, in the dataset itself, a changed picture.

    A dataset without hashes was exported by an older datagen.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        where = str(file.source)
        try:
            with pq.ParquetFile(file.source, page_checksum_verification=True) as parquet:
                if has_hashes and HASHES not in parquet.schema_arrow.names:
                    raise RunError(
                        "has no hashes of its pictures: an older datagen exported it", where=where, hint=AGAIN
                    )
                for batch in parquet.iter_batches(BATCH_ROWS, use_threads=False):  # reading verifies the check sums
                    if has_hashes:
                        _compare(batch, where)
        except (pa.ArrowException, OSError) as error:
            what, hint = tell_unread(error)
            raise RunError(what, where=where, hint=hint or AGAIN) from error


def _compare(batch: Any, where: str) -> None:
    """Raise RunError for a picture with another hash than its row tells, or columns that no export has."""
    try:
        rows = batch.select(["id", "images", HASHES]).to_pylist()
        changed = [row["id"] for row in rows if [hash_image(each["bytes"]) for each in row["images"]] != row[HASHES]]
    except (KeyError, TypeError) as error:
        what = "is damaged: its columns of ids, pictures and hashes are not as an export writes them"
        raise RunError(what, where=where, hint=AGAIN) from error
    if changed:
        what = f"is damaged: a picture of sample {changed[0]} is not the one that was exported"
        raise RunError(what, where=where, hint=AGAIN)


def _check_pictures(files: Iterable[File]) -> None:
    """Raise RunError for a picture of the card that cannot be decoded completely."""
    for file in files:
        try:
            normalise(file.content())
        except PictureError as error:
            what, hint = tell_unread(error)
            raise RunError(what, where=str(file.source), hint=hint or AGAIN) from error


def _check_names(files: Iterable[File]) -> None:
    """Raise RunError for an image of a view whose content no longer matches its name."""
    for file in files:
        if (named := _NAMED.search(file.path)) and not file.sha256.startswith(named[1]):
            raise RunError("is damaged: its content does not match its name", where=str(file.source), hint=AGAIN)


def _read_footers(files: Iterable[File]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            yield pq.read_metadata(file.source)
        except (pa.ArrowException, OSError) as error:
            what, hint = tell_unread(error)
            raise RunError(what, where=str(file.source), hint=hint or AGAIN) from error


def _sort_by_split(files: Sequence[File]) -> dict[str, list[File]]:
    """Return the data files of a view by split; none if some are not parquet or belong to no known split."""
    data = [file for file in files if not file.path.endswith("/" + CARD)]
    names = [PurePosixPath(file.path).name for file in data]
    if not all(name.endswith(".parquet") and name.startswith(SPLITS) for name in names):
        return {}
    splits = {split: [f for f, name in zip(data, names, strict=True) if name.startswith(split)] for split in SPLITS}
    return {split: part for split, part in splits.items() if part}


def _describe(splits: Mapping[str, Sequence[File]]) -> dict[str, Any]:
    """Return the entry of a config in a card, as `datasets` writes it; bytes are those before compression."""
    import pyarrow.parquet as pq
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    infos = []
    for split, files in splits.items():
        footers = list(_read_footers(files))
        size = sum(each.row_group(k).total_byte_size for each in footers for k in range(each.num_row_groups))
        infos.append(SplitInfo(split, num_bytes=size, num_examples=sum(each.num_rows for each in footers)))
    info = DatasetInfo(
        features=Features.from_arrow_schema(pq.read_schema(next(iter(splits.values()))[0].source)),
        splits=SplitDict({each.name: each for each in infos}),
        download_size=sum(file.size for files in splits.values() for file in files),
        dataset_size=sum(each.num_bytes for each in infos),
    )
    data = DatasetCardData()
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    return dict(data["dataset_info"])


def _hash_all(folder: Path, prefix: str = "") -> list[File]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not is_hidden(path.relative_to(folder)))
    return [File.read(prefix + path.relative_to(folder).as_posix(), path) for path in paths]


SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
SIZES += [(10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")]
LOADING = re.compile(r'load_dataset\("path/to/this/folder"\).*')
"""The line of a card that loads its folder; a push replaces it by one for the destination."""
RUNS_TITLE = "\n## Runs in this dataset\n"
SPLITS = ("train", "validation")


@dataclass(frozen=True, slots=True)
class Card:
    """A card: its header as plain values, and its body."""

    header: dict[str, Any]
    body: str

    @classmethod
    def parse(cls, text: str, where: str) -> Card:
        """Read a card. Raises RunError naming `where` unless its header is as an export writes it."""
        from huggingface_hub.repocard import REGEX_YAML_BLOCK

        text = text.replace("\r\n", "\n")
        block = REGEX_YAML_BLOCK.search(text)
        try:
            header = yaml.safe_load(block[2]) if block else None
        except yaml.YAMLError:
            header = None
        if block is None or not isinstance(header, dict) or not isinstance(header.get("configs"), list):
            raise RunError(
                "is no dataset card: it has no header with configs", where=where, hint="export the run again"
            )
        card = cls(header, text[block.end() :])
        try:
            named = all(isinstance(each, str) for entry in header["configs"] for each in _list_words(entry))
            counted = all(isinstance(count, int) for count in card.rows.values())
        except (AttributeError, KeyError, TypeError):
            named = counted = False
        if not (named and counted):
            what = "is no dataset card: its configs or the sizes of its splits are not as an export writes them"
            raise RunError(what, where=where, hint="export the run again")
        return card

    @property
    def text(self) -> str:
        """The card as the file README.md."""
        return f"---\n{yaml.safe_dump(self.header, sort_keys=False, allow_unicode=True)}---\n{self.body}"

    @property
    def infos(self) -> dict[str, dict[str, Any]]:
        """Columns and splits of each config in the header; a config without them has no entry."""
        infos = self.header.get("dataset_info") or []
        infos = [infos] if isinstance(infos, dict) else infos
        return {info.get("config_name", "default"): info for info in infos}

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split of the default config."""
        splits = self.infos.get("default", {}).get("splits", [])
        return {split["name"]: split["num_examples"] for split in splits}

    def patterns(self, config: str, split: str) -> list[str]:
        """Return the paths of a split, which may contain *; none if the config or the split is missing."""
        for entry in self.header["configs"]:
            for files in entry["data_files"] if entry["config_name"] == config else ():
                if files["split"] == split:
                    return [files["path"]] if isinstance(files["path"], str) else list(files["path"])
        return []


def _list_words(entry: Mapping[str, Any]) -> Iterator[object]:
    """Yield what must be text in a config of a card. Raises KeyError or TypeError for another shape."""
    yield entry["config_name"]
    for files in entry["data_files"]:
        yield files["split"]
        yield from [files["path"]] if isinstance(files["path"], str) else files["path"]


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether a file belongs to a split of these patterns."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def rename(card: Card, names: Mapping[str, str]) -> Card:
    """Return the card for renamed files: patterns become lists of names, and links of pictures are adapted."""
    header, body = copy.deepcopy(card.header), card.body
    for entry in header["configs"]:
        for files in entry["data_files"]:
            patterns = [files["path"]] if isinstance(files["path"], str) else files["path"]
            files["path"] = [new for old, new in sorted(names.items()) if matches(old, patterns)]
    for old, new in names.items():
        body = body.replace(f"]({old})", f"]({new})")
    return Card(header, body)


def add_view(card: Card, name: str, splits: Mapping[str, Sequence[str]], info: Mapping[str, Any]) -> Card:
    """Return the card with a view as a further config, in the place and form that `datasets` itself would write.

    `splits` are the paths of its files, `info` is the header's entry about its columns and sizes.
    """
    header = copy.deepcopy(card.header)
    data_files = [{"split": split, "path": _fold(paths)} for split, paths in splits.items()]
    configs = [*header["configs"], {"config_name": name, "data_files": data_files}]
    infos = {**card.infos, name: dict(info)}
    header["configs"] = sorted(configs, key=lambda entry: str(entry["config_name"]))
    header["dataset_info"] = [{"config_name": config, **infos[config]} for config in sorted(infos)]
    return Card(header, card.body)


def _fold(paths: Sequence[str]) -> str | list[str]:
    return paths[0] if len(paths) == 1 else list(paths)


def join(old: Card, new: Card, runs: Sequence[RunNote], where: str) -> Card:
    """Return the card of a dataset after adding a run: `new` is the run's card, with its names at the destination.

    `runs` are all runs of the new dataset. Raises RunError if configs, columns or licences differ.
    """
    ours, theirs = ([entry["config_name"] for entry in card.header["configs"]] for card in (new, old))
    if sorted(ours) != sorted(theirs):
        what = f"has the configs {', '.join(theirs)}, but this run has {', '.join(ours)}"
        raise RunError(what, where=where, hint="append with the same --view options")
    terms, more = (card.header.get("license", "none") for card in (old, new))
    if terms != more:
        what = f"has the licence {terms}, but this run has {more}"
        raise RunError(what, where=where, hint="push the run to another name: one card cannot state both")
    header = copy.deepcopy(old.header)
    for entry in header["configs"]:
        _join_files(entry, old, new)
    for config, info in Card(header, "").infos.items():
        _join_info(info, new.infos.get(config, {}), where)
    samples = sum(sum(run.rows.values()) for run in runs)
    header["size_categories"] = [next((name for limit, name in SIZES if samples < limit), "n>1T")]
    return Card(header, old.body.split(RUNS_TITLE)[0] + _list_runs(runs))


def _join_files(entry: dict[str, Any], old: Card, new: Card) -> None:
    """Add the new files to a config, unless its patterns match them already."""
    name = entry["config_name"]
    joined = []
    for split in SPLITS:
        before, added = old.patterns(name, split), new.patterns(name, split)
        more = [path for path in added if not matches(path, before)]
        if paths := before + more:
            joined.append({"split": split, "path": _fold(paths)})
    entry["data_files"] = joined


def _join_info(info: dict[str, Any], added: Mapping[str, Any], where: str) -> None:
    """Add the rows and bytes of `added` to `info`, in place."""
    if info.get("features") != added.get("features"):
        names = [{each["name"] for each in part.get("features", [])} for part in (info, added)]
        what = f"has other columns; they differ in {', '.join(sorted(names[0] ^ names[1])) or 'their types'}"
        raise RunError(what, where=where, hint="append runs with the same scorers, or push to another name")
    splits = {split["name"]: split for split in info["splits"]}
    for split in added["splits"]:
        there = splits.setdefault(split["name"], {"name": split["name"], "num_bytes": 0, "num_examples": 0})
        for key in ("num_bytes", "num_examples"):
            there[key] += split[key]
    info["splits"] = [splits[name] for name in SPLITS if name in splits]
    for key in ("download_size", "dataset_size"):
        info[key] += added[key]


def _list_runs(runs: Sequence[RunNote]) -> str:
    rows = [
        f"| {run.name} | `{run.fingerprint}` | {' | '.join(str(run.rows.get(s, 0)) for s in SPLITS)} |" for run in runs
    ]
    lead = (
        "Figures, pictures and recipe above are those of the first run; rows that were appended are in no figure there."
    )
    return "\n".join([RUNS_TITLE, lead, "", "| run | recipe | train | validation |", "|---|---|---:|---:|", *rows, ""])
