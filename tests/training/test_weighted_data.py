"""Reading a dataset by its weights, and drawing from it by its weights."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader

import datagen.training.weighted as weighted
from datagen.training.weighted import (
    IMAGE,
    SWITCH,
    TEXT,
    EpochSampler,
    WeightedDataset,
    WeightedSampler,
    collate,
    find_weights,
    mean_targets,
    read_weights,
    subtract_baseline,
    weighted_loss,
)
from datagen.weighting import Policy
from tests.helpers.small_model import SmallModel
from tests.helpers.trainer_cases import join_groups, make_dataset, make_items, make_parts, spell


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def dataset(tmp_path: Path) -> WeightedDataset:
    return WeightedDataset(make_dataset(tmp_path / "dataset"), spell)


def test_rows_come_with_the_weights_of_their_parts(dataset: WeightedDataset) -> None:
    items = [item for item in make_items(make_parts(12)) if item.weight.kept]
    assert len(dataset) == len(items)
    for row, item in enumerate(items):
        _, kinds, weights = dataset[row]
        expected = {TEXT: item.weight.text_weight, SWITCH: item.weight.text_weight, IMAGE: item.weight.image_weight}
        assert [expected.get(int(kind), 0.0) for kind in kinds] == pytest.approx(weights.tolist())


def test_one_modality_alone_is_unweighted(dataset: WeightedDataset) -> None:
    ids, kinds, weights = dataset[2, 1]
    assert torch.equal(ids, dataset[2].ids)
    assert torch.equal(weights, (kinds == IMAGE).float())
    assert torch.equal(dataset[2, 0].weights, ((kinds == TEXT) | (kinds == SWITCH)).float())


def test_a_baseline_is_the_mean_of_the_scored_candidates_of_a_prompt() -> None:
    columns = {
        "group_id": ["a", "b", "a", "a", "b", "c"],
        "text_weight": [1.0, 2.0, 0.1, 0.4, 2.0, 3.0],
        "text_reward": [1.0, 0.5, 0.0, 0.5, 0.5, 0.5],
        "image_weight": [3.0, 0.0, 1.0, 0.0, 0.0, 3.0],
        "image_reward": [1.0, 0.0, 0.0, None, 0.0, 0.5],
    }
    rows = Dataset.from_dict(columns)
    found = subtract_baseline(rows, read_weights(rows)).tolist()
    text, image = (list(column) for column in zip(*found, strict=True))
    assert text == pytest.approx([0.5, 0, -0.4, -0.1, 0, 0])
    assert image == pytest.approx([1, 0, -1, 0, 0, 0]), "the third candidate was not scored; b and c are equals"
    with pytest.raises(ValueError, match="no group_id"):
        subtract_baseline(rows.remove_columns("group_id"), read_weights(rows))


def test_rows_that_are_left_out_count_in_no_control_and_no_baseline() -> None:
    rows = Dataset.from_dict(
        {
            "group_id": ["a", "a", "a"],
            **{f"{part}_weight": [0.0, 1.5, 0.5] for part in ("text", "image")},
            **{f"{part}_reward": [1.0, 1.0, 0.0] for part in ("text", "image")},
            "left_out": ["rejected by a person", None, None],
        }
    )
    assert find_weights(rows, uniform=True).tolist() == [[0, 0], [1, 1], [1, 1]]
    assert find_weights(rows, baseline=True).tolist() == [[0, 0], [0.5, 0.5], [-0.5, -0.5]]
    assert find_weights(rows).tolist() == [[0, 0], [1.5, 1.5], [0.5, 0.5]]


def test_with_a_baseline_what_is_worse_than_the_others_is_learned_against(tmp_path: Path) -> None:
    join_groups(make_dataset(tmp_path / "dataset"))
    plain = WeightedDataset(tmp_path / "dataset", spell)
    signed = WeightedDataset(tmp_path / "dataset", spell, baseline=True)
    assert (signed.weights < 0).any()
    assert (plain.weights >= 0).all()
    assert signed.weights.sum(0) == pytest.approx([0, 0])
    row = int((signed.weights < 0).any(1).argmax())
    assert signed[row].weights.min() == pytest.approx(signed.weights[row].min())


def test_rows_that_are_kept_are_read_once_and_are_the_same(dataset: WeightedDataset, tmp_path: Path) -> None:
    read = Counter[str]()

    def encode(row: Any) -> tuple[list[int], list[int]]:
        read[row["id"]] += 1
        return spell(row)

    room = len(dataset[0].ids) + len(dataset[1].ids)
    kept = WeightedDataset(tmp_path / "dataset", encode, keep=room)
    for _ in range(3):
        for row in range(3):
            for one, other in zip(kept[row], dataset[row], strict=True):
                assert one.dtype == other.dtype
                assert torch.equal(one, other)
    assert list(read.values()) == [1, 1, 3]


def test_the_control_counts_what_the_uniform_policy_counts(tmp_path: Path) -> None:
    control = WeightedDataset(make_dataset(tmp_path / "dataset"), spell, uniform=True)
    items = make_items(make_parts(12), Policy(policy="uniform"))
    expected = [(i.weight.text_weight, i.weight.image_weight) for i in items if i.weight.kept]
    assert control.weights == pytest.approx(np.array(expected))
    assert 0 < control.weights.mean() < 1  # some parts were not scored, and count in neither


def test_rows_without_a_weight_are_left_out(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "dataset")
    (path,) = (folder / "data").glob("*.parquet")
    table = pq.read_table(path)
    zeros = pa.array([0.0] * 3 + [1.0] * (len(table) - 3))
    for name in ("text_weight", "image_weight"):
        table = table.set_column(table.column_names.index(name), name, zeros)
    pq.write_table(table, path)
    assert len(WeightedDataset(folder, spell)) == len(table) - 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, None])
def test_a_wrong_weight_is_named(value: Any) -> None:
    rows = Dataset.from_dict({"text_weight": [1.0, 1.0], "image_weight": [1.0, value]})
    with pytest.raises(ValueError, match=r"row 1: image_weight is (nan|inf|-0\.5); a weight must be finite"):
        read_weights(rows)


def test_rows_need_both_weights() -> None:
    with pytest.raises(ValueError, match="the rows have no image_weight"):
        read_weights(Dataset.from_dict({"text_weight": [1.0]}))


def test_rows_are_not_sampled_by_weights_that_are_negative(dataset: WeightedDataset) -> None:
    dataset.weights[0] = -0.25
    with pytest.raises(ValueError, match="negative, as with a baseline"):
        WeightedSampler(dataset, mean_targets(dataset), seed=0)


def test_without_any_weight_nothing_is_drawn(dataset: WeightedDataset) -> None:
    with pytest.raises(ValueError, match="every weight times its lambda is 0"):
        WeightedSampler(dataset, (1.0, 1.0), seed=0, lambda_text=0, lambda_image=0)
    dataset.weights = dataset.weights[:0]
    with pytest.raises(ValueError, match="no row has a weight"):
        EpochSampler(dataset, seed=0)


def test_mean_targets_by_hand(dataset: WeightedDataset) -> None:
    # four letters and the switch where the text has a weight; two tokens where the image has one
    text, image = ((dataset.weights > 0).mean(0) * [5, 2]).tolist()
    assert mean_targets(dataset) == pytest.approx((text, image))


def test_every_row_is_drawn_once_an_epoch_and_a_later_start_goes_on(dataset: WeightedDataset) -> None:
    rows = len(dataset)
    drawn = list(islice(EpochSampler(dataset, seed=5), 3 * rows))
    epochs = [drawn[k * rows : (k + 1) * rows] for k in range(3)]
    assert all(sorted(epoch) == list(range(rows)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    for start in (1, rows - 1, rows, rows + 3):
        assert list(islice(EpochSampler(dataset, seed=5, start=start), rows)) == drawn[start : start + rows]
    assert list(islice(EpochSampler(dataset, seed=6), rows)) != epochs[0]


def gradient(
    dataset: WeightedDataset, indices: list[Any], targets: tuple[float, float], **lambdas: float
) -> np.ndarray:
    """The gradient of one step over some rows or parts of rows, as one vector."""
    model = SmallModel()
    for batch in DataLoader(dataset, 8, sampler=indices, collate_fn=lambda rows: collate(rows, 0)):
        logits = model(batch.ids)
        text, image = weighted_loss(logits, batch.labels, batch.weights, batch.kinds, targets, switch=0.5, **lambdas)
        (text + image).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).numpy()


LAMBDAS = {"lambda_text": 2.0, "lambda_image": 0.5}


def test_drawing_by_weight_expects_the_gradient_of_the_weighted_loss(dataset: WeightedDataset) -> None:
    """Exactly: the gradient of every part, times its chance, summed over all parts."""
    rows, per_row = len(dataset), mean_targets(dataset)
    whole = gradient(dataset, list(range(rows)), (per_row[0] * rows, per_row[1] * rows), **LAMBDAS)
    draws = WeightedSampler(dataset, per_row, seed=0, **LAMBDAS)
    parts = [(row, modality) for row in range(rows) for modality in range(2)]
    expected = sum(
        chance * gradient(dataset, [part], draws.targets)
        for part, chance in zip(parts, draws.chances, strict=True)
        if chance
    )
    assert np.abs(whole).max() > 1e-3
    np.testing.assert_allclose(expected, whole, rtol=1e-3, atol=1e-6)


def test_parts_are_drawn_as_often_as_their_chance_says(dataset: WeightedDataset) -> None:
    per_row, count = mean_targets(dataset), 20_000
    draws = WeightedSampler(dataset, per_row, seed=1, **LAMBDAS)
    seen = Counter(islice(draws, count))
    for part, chance in enumerate(draws.chances):
        spread = 5 * (count * chance * (1 - chance)) ** 0.5
        assert abs(seen[part // 2, part % 2] - count * chance) <= spread
    rates = np.array([LAMBDAS["lambda_text"], LAMBDAS["lambda_image"]]) / per_row
    assert draws.chances == pytest.approx((dataset.weights * rates / (dataset.weights * rates).sum()).flatten())


def test_a_long_draw_has_nearly_the_gradient_of_the_weighted_loss(dataset: WeightedDataset) -> None:
    rows, per_row, count = len(dataset), mean_targets(dataset), 2_000
    whole = gradient(dataset, list(range(rows)), (per_row[0] * rows, per_row[1] * rows), **LAMBDAS)
    draws = WeightedSampler(dataset, per_row, seed=2, **LAMBDAS)
    drawn = gradient(dataset, list(islice(draws, count)), (draws.targets[0] * count, draws.targets[1] * count))
    assert np.linalg.norm(drawn - whole) < 0.1 * np.linalg.norm(whole)


def test_it_needs_datasets_and_torch_alone() -> None:
    """Of what `pip install datasets torch` brings, numpy is a part."""
    tree = ast.parse(Path(weighted.__file__).read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported - set(sys.stdlib_module_names) == {"datasets", "numpy", "torch"}
