"""The dataset card as a push needs it: its header read, and rewritten where files have other names or more rows.

A header is the YAML between the first two `---` lines. `datasets` loads what its `configs` name, all with the reader
of the first config: so a view becomes a config of its own only if it is parquet like the default.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import yaml

from datagen.errors import RunError
from datagen.push._files import RunNote

SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
SIZES += [(10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")]
LOADING = re.compile(r'load_dataset\("path/to/this/folder"\).*')
"""How the card of a folder loads it: the line that a push makes true of the place it goes to."""
RUNS_TITLE = "\n## Runs in this dataset\n"
SPLITS = ("train", "validation")


@dataclass(frozen=True, slots=True)
class Card:
    """A card: its header as plain values, and its body."""

    header: dict[str, Any]
    body: str

    @classmethod
    def parse(cls, text: str, where: str) -> Card:
        """Read a card. Raises RunError naming `where` if it has no header that names configs."""
        parts = text.split("---\n", 2)
        try:
            header = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
        except yaml.YAMLError:
            header = None
        if not isinstance(header, dict) or not isinstance(header.get("configs"), list):
            raise RunError(
                "is no dataset card: it has no header with configs", where=where, hint="export the run again"
            )
        return cls(header, parts[2])

    @property
    def text(self) -> str:
        """The card as the file README.md."""
        return f"---\n{yaml.safe_dump(self.header, sort_keys=False, allow_unicode=True)}---\n{self.body}"

    @property
    def infos(self) -> dict[str, dict[str, Any]]:
        """What the header says of each config's columns and splits; a config without has no entry."""
        infos = self.header.get("dataset_info") or []
        infos = [infos] if isinstance(infos, dict) else infos
        return {info.get("config_name", "default"): info for info in infos}

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split of the default config."""
        splits = self.infos.get("default", {}).get("splits", [])
        return {split["name"]: split["num_examples"] for split in splits}

    def patterns(self, config: str, split: str) -> list[str]:
        """Return the paths, with * in them, of a split; none if the config or the split is not there."""
        for entry in self.header["configs"]:
            for files in entry["data_files"] if entry["config_name"] == config else ():
                if files["split"] == split:
                    return [files["path"]] if isinstance(files["path"], str) else list(files["path"])
        return []


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Say whether a file belongs to a split of these patterns."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def rename(card: Card, names: Mapping[str, str]) -> Card:
    """Return the card of files that have other names: patterns become lists of names, links of pictures follow."""
    header, body = copy.deepcopy(card.header), card.body
    for entry in header["configs"]:
        for files in entry["data_files"]:
            patterns = [files["path"]] if isinstance(files["path"], str) else files["path"]
            files["path"] = [new for old, new in sorted(names.items()) if matches(old, patterns)]
    for old, new in names.items():
        body = body.replace(f"]({old})", f"]({new})")
    return Card(header, body)


def add_view(card: Card, name: str, splits: Mapping[str, Sequence[str]], info: Mapping[str, Any]) -> Card:
    """Return the card with a view as one more config, where and in which form `datasets` itself would write it.

    `splits` are the paths of its files, `info` is what the header says of its columns and sizes.
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
    """Return the card of a dataset after a run was added: `new` has the names that its files have there.

    `runs` are all runs in the dataset then. Raises RunError where configs, columns or licences differ.
    """
    ours, theirs = ([entry["config_name"] for entry in card.header["configs"]] for card in (new, old))
    if sorted(ours) != sorted(theirs):
        what = f"has the configs {', '.join(theirs)}, and this run {', '.join(ours)}"
        raise RunError(what, where=where, hint="append with the same --view options")
    terms, more = (card.header.get("license", "none") for card in (old, new))
    if terms != more:
        what = f"has the licence {terms}, and this run {more}"
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
    """Add the new files to a config; a pattern that matches them already stays as it is."""
    name = entry["config_name"]
    joined = []
    for split in SPLITS:
        before, added = old.patterns(name, split), new.patterns(name, split)
        more = [path for path in added if not matches(path, before)]
        if paths := before + more:
            joined.append({"split": split, "path": _fold(paths)})
    entry["data_files"] = joined


def _join_info(info: dict[str, Any], added: Mapping[str, Any], where: str) -> None:
    """Add the rows and bytes of one config to those of another, in place."""
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
