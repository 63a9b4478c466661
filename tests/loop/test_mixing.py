"""Which rows of earlier rounds a training sees beside its own: those that its weights make it learn from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from datagen.loop import count_learned, mix_rounds
from datagen.training.weighted import find_weights

CANDIDATES = 4


def write_round(folder: Path, number: int, prompts: int = 40) -> Path:
    """Prompts of four candidates in two files, one of them in both; names of prompts are the same in all rounds."""
    rng, rows = random.Random(number), list[dict[str, Any]]()
    for k in range(prompts):
        rewards = [rng.choice([0.0, 0.5, 1.0]) for _ in range(CANDIDATES)]
        for candidate, reward in enumerate(rewards):
            away = "rejected by a person" if candidate == 1 and k % 5 == 0 else None
            weight = 0.0 if away or max(rewards) == 0 else reward * 2
            rows.append(
                {
                    **{"id": f"{number}-{k}-{candidate}", "group_id": f"p{k}", "left_out": away},
                    **dict.fromkeys(("text_reward", "image_reward"), reward),
                    **dict.fromkeys(("text_weight", "image_weight"), weight),
                }
            )
    dataset = folder / f"{number:02d}/run/dataset"
    (dataset / "data").mkdir(parents=True)
    schema = pa.schema(
        {**dict.fromkeys(rows[0], pa.float64()), **dict.fromkeys(("id", "group_id", "left_out"), pa.string())}
    )
    for part, some in enumerate((rows[:78], rows[78:])):
        table = pa.Table.from_pylist(some, schema=schema)
        pq.write_table(table, dataset / f"data/train-{part:05d}-of-00002.parquet", row_group_size=30)
    return dataset


def read_weights_of(folder: Path, **how: Any) -> dict[str, list[float]]:
    files = sorted((folder / "data").glob("train-*.parquet"))
    rows = Dataset(pa.concat_tables([pq.read_table(file) for file in files]))
    return dict(zip(rows["id"], find_weights(rows, **how).tolist(), strict=True))


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_with_a_baseline_what_is_replayed_teaches_as_in_its_own_round(tmp_path: Path, share: float) -> None:
    first, second = (write_round(tmp_path, number) for number in (1, 2))
    how = {"baseline": True}
    mixed = read_weights_of(mix_rounds(second, [first], share, tmp_path / "02/data", **how), **how)
    alone = {**read_weights_of(first, **how), **read_weights_of(second, **how)}
    for name, weights in mixed.items():
        assert weights == pytest.approx(alone[name]), name
    taken = [name for name in mixed if name.startswith("1-")]
    assert all(f"{name[:-1]}{k}" in mixed for name in taken for k in range(CANDIDATES)), "prompts are whole"
    teach = [name for name, weights in mixed.items() if any(weights)]
    replayed = sum(name.startswith("1-") for name in teach)
    assert abs(replayed - share * len(teach)) <= CANDIDATES
    assert any(min(mixed[name]) < 0 for name in taken)
    assert count_learned(second, baseline=True) == len(teach) - replayed


def test_the_control_replays_what_it_learns_from(tmp_path: Path) -> None:
    first, second = (write_round(tmp_path, number) for number in (1, 2))
    mixed = read_weights_of(mix_rounds(second, [first], 0.4, tmp_path / "02/data", control=True))
    taken = {name: weights for name, weights in mixed.items() if name.startswith("1-")}
    scored = read_weights_of(first, uniform=True)
    assert all(any(scored[name]) for name in taken)
    assert len(taken) == round(count_learned(second, control=True) * 0.4 / 0.6)
    assert 0 < np.mean([not any(weights) for weights in taken.values()]) < 1, "also rows that failed"


def test_rows_are_replayed_one_by_one_with_their_weights(tmp_path: Path) -> None:
    first, second = (write_round(tmp_path, number) for number in (1, 2))
    folder = mix_rounds(second, [first], 0.2, tmp_path / "02/data")
    mixed, own = read_weights_of(folder), read_weights_of(first)
    taken = {name: weights for name, weights in mixed.items() if name.startswith("1-")}
    assert taken == {name: own[name] for name in taken}
    assert all(any(weights) for weights in taken.values())
    assert len(taken) == round(count_learned(second) * 0.2 / 0.8)
    assert mix_rounds(second, [first], 0.5, tmp_path / "02/data") == folder, "what is there stays"
