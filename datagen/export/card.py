"""The dataset card, README.md: the header that the hub reads, figures, pictures, how to load and how to train."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.addresses import hide_addresses
from datagen.export.columns import ExportItem, pack_json
from datagen.picture_files import name_ending
from datagen.records import visible
from datagen.weighting import Policy

if TYPE_CHECKING:
    from datasets import Features
    from jinja2 import Template

    from datagen.export.shards import SplitWriter


SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
SIZES += [(10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")]
MARKUP = {ord(letter): f"&#{ord(letter)};" for letter in "&<>|*_[]!`\\#~$"} | {ord("\n"): " ", ord("\r"): " "}
"""Entities for characters of Markdown and HTML, so that prompts and reasons are shown literally."""


@dataclass(frozen=True, slots=True)
class CardNotes:
    """Content of the card that is not in the samples: title, licence, language, recipe as YAML text, provenance.

    `license` is a hub identifier stated by the user, else `unknown`. `provenance` is in every row too: plain JSON
    values by name, such as model, versions, seed, fingerprint and scorers. `first` is the number of candidates that
    every prompt has: pass@1 uses only those, since hard prompts get further ones. `addresses` allows paths and servers
    of the machine in settings and reasons; `recipe` and `provenance` are published as given. `idle` has a sentence for
    each skill without any weight. In words, `filtered` says how many samples pass the filter of the recipe, `reviewed`
    how many a person looked at and what came of it, `repeats` how many repeat one of another prompt; `refused` how
    many were refused for a picture that is nearly a benchmark's, `""` if none were compared.
    """

    name: str
    license: str = "unknown"
    language: str = "en"
    recipe: str = ""
    first: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    addresses: bool = False
    idle: Sequence[str] = ()
    filtered: str = ""
    reviewed: str = ""
    repeats: str = ""
    refused: str = ""

    def to_json(self) -> str:
        """Return the provenance of every row, with the licence, as JSON text."""
        return pack_json({**self.provenance, "license": self.license})


@dataclass(slots=True)
class Mean:
    """A running mean over the values that exist."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float | None) -> None:
        """Add a value; None is ignored."""
        if value is not None:
            self.total += value
            self.count += 1

    def show(self, form: str) -> str:
        """Return the mean as text, a dash if there are no values."""
        return format(self.total / self.count, form) if self.count else "–"


@dataclass(slots=True)
class WeaknessTally:
    """Running figures of one weakness, and its first passed and first failed sample as pictures."""

    prompts: set[str] = field(default_factory=set)
    samples: int = 0
    kept: int = 0
    means: defaultdict[str, Mean] = field(default_factory=lambda: defaultdict(Mean))
    pictured: dict[bool, ExportItem] = field(default_factory=dict)

    def add(self, item: ExportItem, first: int | None) -> None:
        """Add a sample; `passed` counts only for the `first` candidates (None: all)."""
        self.prompts.add(item.prompt.id)
        self.samples += 1
        self.kept += item.weight.kept
        means = self.means
        means["passed"].add(item.passed if first is None or item.sample.candidate < first else None)
        means["text_reward"].add(item.rewards.text)
        means["image_reward"].add(item.rewards.image)
        means["text_weight"].add(item.weight.text_weight)
        means["image_weight"].add(item.weight.image_weight)
        if item.passed is not None and item.passed not in self.pictured and item.sample.image is not None:
            self.pictured[item.passed] = item


@dataclass(slots=True)
class Tally:
    """Running figures of the whole dataset; memory grows with the prompt ids alone."""

    first: int | None = None
    weaknesses: defaultdict[str, WeaknessTally] = field(default_factory=lambda: defaultdict(WeaknessTally))
    engines: set[str] = field(default_factory=set)
    scorers: set[tuple[str, str]] = field(default_factory=set)

    def add(self, item: ExportItem) -> None:
        """Add a sample."""
        self.weaknesses[item.prompt.weakness].add(item, self.first)
        self.engines.add(item.sample.engine)
        for score in item.scores:
            self.scorers.add((score.name, score.target))

    @property
    def kept(self) -> int:
        """Number of samples with a weight above 0."""
        return sum(part.kept for part in self.weaknesses.values())

    @property
    def samples(self) -> int:
        """Number of all samples."""
        return sum(part.samples for part in self.weaknesses.values())


@cache
def _open_template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("datagen.export", "."),
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["json"] = pack_json
    environment.filters["plain"] = lambda text: str(text).translate(MARKUP)
    return environment.get_template("card.md.j2")


def write_card(
    folder: Path,
    tally: Tally,
    writers: Sequence[SplitWriter],
    features: Features,
    policy: Policy,
    notes: CardNotes,
    file_bytes: int,
) -> None:
    """Write README.md and the pictures it shows into `folder`; `file_bytes` is the size of all parquet files."""
    card = _open_template().render(
        header=make_header(tally.samples, writers, features, notes, file_bytes).strip(),
        notes=notes,
        tally=tally,
        weaknesses=sorted(tally.weaknesses.items()),
        splits={writer.split: writer.rows for writer in writers},
        pictures=_write_pictures(folder / "pictures", tally, str if notes.addresses else hide_addresses),
        policy=policy,
        parameters=json.dumps(policy.model_dump(mode="json"), indent=2),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def make_header(
    samples: int, writers: Sequence[SplitWriter], features: Features, notes: CardNotes, file_bytes: int
) -> str:
    """Return the card's YAML header, with which the hub finds, types, counts and classifies the data."""
    from datasets import DatasetInfo, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    splits = SplitDict({w.split: SplitInfo(w.split, num_bytes=w.num_bytes, num_examples=w.rows) for w in writers})
    data_bytes = sum(writer.num_bytes for writer in writers)
    info = DatasetInfo(features=features, splits=splits, download_size=file_bytes, dataset_size=data_bytes)
    data = DatasetCardData(
        pretty_name=notes.name,
        license=notes.license,
        language=[notes.language],
        task_categories=["text-to-image"],
        tags=["synthetic", "interleaved", "reward-weighted", "unified-multimodal"],
        size_categories=[next((name for limit, name in SIZES if samples < limit), "n>1T")],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": w.split, "path": f"data/{w.split}-*.parquet"} for w in writers],
            }
        ],
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    return str(data.to_yaml(line_break="\n"))


def _write_pictures(folder: Path, tally: Tally, clean: Callable[[str], str]) -> list[dict[str, Any]]:
    """Write up to two PNG files per weakness and return the card's facts about them; `clean` filters reasons."""
    folder.mkdir()
    pictures = []
    for number, (weakness, part) in enumerate(sorted(tally.weaknesses.items())):
        for passed in (True, False):
            if (item := part.pictured.get(passed)) is None:
                continue
            image = item.sample.image or b""
            path = folder / f"{number:02d}-{'passed' if passed else 'failed'}.{name_ending(image)}"
            path.write_bytes(image)
            reasons = [f"{score.name}: {clean(score.reason)}" for score in item.scores if score.target == "image"]
            pictures.append(
                {"path": f"pictures/{path.name}", "weakness": weakness, "item": item, "reasons": "; ".join(reasons)}
            )
    return pictures
