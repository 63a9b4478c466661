"""What the data code of BAGEL and its forks makes of our files: how often it reads each weight, what it learns.

    python benchmarks/bagel_reads.py rates SNAPSHOT       # a checkout of github.com/ByteDance-Seed/Bagel
    python benchmarks/bagel_reads.py groups SNAPSHOT      # SFT/ of github.com/Osilly/Interleaving-Reasoning-Generation
    python benchmarks/bagel_reads.py golden SNAPSHOT bagel_t2i bagel_edit > part of tests/export/golden.json

`rates` exports examples of weights 1, 4 and 8 and reads them as GPUs x workers would: each reader takes equally many.
`groups` exports the view `irg` as `bagel_conversation` and packs batches with `PackedDataset`. `golden` reads the
examples of tests/export/format_cases.py. Needs torchvision, decord and cv2 beside datagen; nothing is trained.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from datagen.export.examples import Example
from datagen.plugins import load_plugin

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "export"))
from export_cases import draw_png
from format_cases import ask, make_example, make_questions, make_reflections, make_trajectories, show
from golden import digest_row, read_rows
from view_rows import make_row

SHAPES = ((1, 1), (1, 13), (8, 1), (8, 8), (64, 1), (16, 4))
"""GPUs and workers of each."""
WEIGHTS = (1.0, 4.0, 8.0)
GROUPS = {"bagel_t2i": "t2i_pretrain", "bagel_edit": "unified_edit"}
CASES = {
    "bagel_t2i": make_trajectories(),
    "bagel_edit": make_reflections(),
    "bagel_conversation": [*make_trajectories(), *make_reflections(), *make_questions()],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rates", "groups", "golden"])
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("formats", nargs="*")
    asked = parser.parse_args()
    sys.path.insert(0, str(asked.snapshot))
    if asked.what == "golden":
        print(json.dumps({word: read_golden(word) for word in asked.formats}, indent=1, ensure_ascii=False))
    else:
        (measure_rates if asked.what == "rates" else measure_groups)()


def measure_rates(count: int = 120) -> None:
    """Print the share of reads of each weight against what it should be."""
    for word in GROUPS:
        examples = [make_weighted(k, WEIGHTS[k % len(WEIGHTS)], word) for k in range(count)]
        with tempfile.TemporaryDirectory() as away:
            export(word, examples, Path(away))
            for gpus, workers in SHAPES:
                seen: Counter[float] = Counter()
                for reader in range(gpus * workers):
                    reads = islice(read_as(Path(away), gpus, workers, reader), 300)
                    seen.update(float(texts[0].rpartition(" ")[2]) for texts, _ in reads)
                ratios = [seen[w] / seen.total() / (w / sum(WEIGHTS)) for w in WEIGHTS]
                shown = ", ".join(f"{w:g}: {ratio:.3f}" for w, ratio in zip(WEIGHTS, ratios, strict=True))
                print(
                    f"{word}, {gpus} GPUs x {workers} workers, {seen.total():,} reads: read / wanted by weight {shown}"
                )


def measure_groups(count: int = 90) -> None:
    """Print how often `PackedDataset` reads each group of the view `irg`, against rows x weights."""
    view = load_plugin("export.views", "irg", "view")
    rows = [
        make_row("reflect", id=f"p{k}-00", text_weight=0.5 + k % 3, image_weight=0.5 + k % 4, gain=0.5 * (k % 3) - 0.5)
        for k in range(count)
    ]
    with tempfile.TemporaryDirectory() as away:
        export("bagel_conversation", list(view.view(rows, view.Options())), Path(away))
        wanted: Counter[str] = Counter()
        for group, exported in read_rows(Path(away)).items():
            wanted[group] = sum({row["id"]: row["weight"] for row in exported}.values())
        seen: Counter[str] = Counter()
        random.seed(0)
        with quiet(), as_worker(0, 1):
            packed = make_packed(Path(away), 0, 1, 1)
            packed.set_epoch(42)
            for batch in islice(iter(packed), 150):
                seen.update(index["dataset_name"] for index in batch["batch_data_indexes"])
    for name, weight in wanted.items():
        share, right = seen[name] / seen.total(), weight / sum(wanted.values())
        print(f"{name}: read {share:.3f}, wanted {right:.3f}, ratio {share / right:.3f}, of {seen.total():,} reads")


def read_golden(word: str) -> dict[str, Any]:
    """Return, by example, the digest of its row, and the parts as they were read: kind, loss, text or colour."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as away:
        folder = Path(away)
        export(word, CASES[word], folder)
        for group, rows in read_rows(folder).items():
            with quiet():
                dataset = next(d for d in make_packed(folder, 0, 1, 1).grouped_datasets if d.dataset_name == group)
            for row in rows:
                if row["id"] not in found:
                    with quiet():
                        plan = next(iter(read_row(dataset, row, folder)))
                    found[row["id"]] = {"row": digest_row(row), "group": group, "read": plan}
    return dict(sorted(found.items()))


def read_row(dataset: Any, row: dict[str, Any], folder: Path) -> Iterator[list[Any]]:
    """Yield what the dataset makes of one row, read from a file of its own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = str(folder / "one.parquet")
    pq.write_table(pa.Table.from_pylist([row]), path)
    dataset.data_paths_per_rank = [path] if dataset.dataset_name == "t2i_pretrain" else [(path, 0)]
    with mock.patch("torch.utils.data.get_worker_info", return_value=None):
        for sample in dataset:
            texts, images = iter(sample["text_ids_list"]), iter(sample["image_tensor_list"])
            yield [
                [
                    item["type"],
                    item["loss"],
                    dataset.tokenizer.decode(next(texts)) if item["type"] == "text" else name_color(next(images)),
                ]
                for item in sample["sequence_plan"]
            ]


def name_color(image: Any) -> str:
    """Return the strongest channel of a picture of one colour, (3, height, width) in [-1, 1]."""
    return ("red", "green", "blue")[int(image.mean(dim=(1, 2)).argmax())]


def read_as(folder: Path, gpus: int, workers: int, reader: int) -> Iterator[tuple[list[str], Any]]:
    """Yield the texts and the plan of each sample that one reader of an export's only group receives, for ever."""
    with quiet(), as_worker(reader % workers, workers):
        (dataset,) = make_packed(folder, reader // workers, gpus, workers).grouped_datasets
        for sample in dataset:
            yield [dataset.tokenizer.decode(ids) for ids in sample["text_ids_list"]], sample["sequence_plan"]


def make_packed(folder: Path, rank: int, gpus: int, workers: int, *, resize: bool = True) -> Any:
    """Return BAGEL's `PackedDataset` over an export, its own table of data sets filled from train.json.

    With `resize`, images become small, so that thousands are read in a minute.
    """
    from data import dataset_base, dataset_info  # type: ignore[import-not-found]
    from data.data_utils import add_special_tokens  # type: ignore[import-not-found]
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    each_byte = {letter: k for k, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    plain = Tokenizer(models.BPE(each_byte, []))
    plain.pre_tokenizer, plain.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer, ids, _ = add_special_tokens(PreTrainedTokenizerFast(tokenizer_object=plain))
    dataset_info.DATASET_INFO.update(json.loads((folder / "train.json").read_text()))
    config = dataset_base.DataConfig(yaml.safe_load((folder / "train.yaml").read_text()))
    for group in config.grouped_datasets.values() if resize else ():
        group["image_transform_args"].update(max_image_size=32, min_image_size=16)
        if "vit_image_transform_args" in group:
            group["vit_image_transform_args"].update(max_image_size=28, min_image_size=14)
    limits = {"expected_num_tokens": 2000, "max_num_tokens": 2400, "max_num_tokens_per_sample": 1600}
    if not resize:
        limits = dict.fromkeys(limits, 40_000)
    return dataset_base.PackedDataset(config, tokenizer, ids, rank, gpus, workers, **limits, prefer_buffer_before=1600)


def make_weighted(number: int, weight: float, word: str) -> Example:
    """Return an example whose words end in its weight."""
    first = [show(draw_png("red"))] if word == "bagel_edit" else []
    return make_example(f"e{number}", *first, ask(f"{number} {weight:g}"), show(draw_png("blue"), weight))


def export(word: str, examples: Sequence[Example], folder: Path) -> None:
    """Write examples as the split `train` of a format."""
    format_ = load_plugin("export.formats", word, "write")
    format_.write(iter(examples), folder, "train", format_.Options(root=str(folder)))


@contextlib.contextmanager
def as_worker(number: int, workers: int) -> Iterator[None]:
    """Let readers find themselves in one of several workers."""
    info = mock.Mock(id=number, num_workers=workers)
    with mock.patch("torch.utils.data.get_worker_info", return_value=info):
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the prints of the readers."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


if __name__ == "__main__":
    main()
