"""BAGEL's formats: rows that its own code has read (golden.json), and shards that every reader reads by weight."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from format_cases import (
    BLUE,
    GREEN,
    RED,
    ask,
    make_example,
    make_preference,
    make_questions,
    make_reflections,
    make_trajectories,
    say,
    show,
    write,
)
from golden import GOLDEN, digest_row, read_rows
from pydantic import ValidationError

from datagen.errors import RunError
from datagen.export.bagel import GROUP_BYTES, BagelOptions
from datagen.export.examples import Example
from datagen.export.files import weight_of
from datagen.export.formats.bagel_conversation import GROUPS, name_group
from datagen.export.views.irg import MODES

CASES = {
    "bagel_t2i": make_trajectories(),
    "bagel_edit": make_reflections(),
    "bagel_conversation": [*make_trajectories(), *make_reflections(), *make_questions()],
}
COLORS = {RED: "red", GREEN: "green", BLUE: "blue"}


def make_weighted(count: int, *weights: float) -> list[Example]:
    return [make_example(f"e{k}", ask(f"star {k}"), show(RED, weights[k % len(weights)])) for k in range(count)]


def deal(folder: Path, group: str, readers: int, workers: int = 1) -> list[list[dict[str, Any]]]:
    """The rows of each reader, as data/distributed_iterable_dataset.py deals them: equal numbers, the rest dropped."""
    paths = sorted((folder / "train" / group).glob("*.parquet"))
    units = [(path, k) for path in paths for k in range(pq.ParquetFile(path).num_row_groups)]
    if group == "t2i_pretrain":
        units = [(path, -1) for path in paths]
    Random(42).shuffle(units)
    each = len(units) // (readers // workers) // workers
    assert each > 0  # it would wait for ever

    def read(path: Path, number: int) -> list[dict[str, Any]]:
        file = pq.ParquetFile(path)
        return (file.read() if number < 0 else file.read_row_group(number)).to_pylist()

    return [[row for unit in units[k * each : (k + 1) * each] for row in read(*unit)] for k in range(readers)]


def rate(rows_of_readers: list[list[dict[str, Any]]]) -> Counter[float]:
    """The share of each weight among all reads, when every reader takes equally many."""
    rates: Counter[float] = Counter()
    for rows in rows_of_readers:
        for row in rows:
            rates[row["weight"]] += 1 / len(rows) / len(rows_of_readers)  # type: ignore[assignment]
    return rates


# ── weights as copies ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("readers", [1, 8, 13, 64])
@pytest.mark.parametrize("word", ["bagel_t2i", "bagel_edit"])
def test_every_number_of_readers_reads_by_weight(word: str, readers: int, tmp_path: Path) -> None:
    examples = make_weighted(120, 1.0, 4.0, 8.0)
    if word == "bagel_edit":
        examples = [make_example(e.id, show(BLUE), *e.parts) for e in examples]
    write(word, examples, tmp_path)
    group = "t2i_pretrain" if word == "bagel_t2i" else "unified_edit"
    rates = rate(deal(tmp_path, group, readers))
    for weight in (1.0, 4.0, 8.0):
        assert rates[weight] == pytest.approx(weight / 13, rel=0.05)


@pytest.mark.parametrize("weights", [(0.02, 1.0), (0.6, 1.7), (0.1, 0.25, 3.0), (5.0,)])
def test_the_copies_of_all_examples_of_a_weight_are_right_to_one(weights: tuple[float, ...], tmp_path: Path) -> None:
    examples = make_weighted(240, *weights)
    write("bagel_t2i", examples, tmp_path, root=str(tmp_path), readers=4)
    rows = read_rows(tmp_path)["t2i_pretrain"]
    assert len(rows) % 4 == 0
    total = sum(e.parts[-1].loss for e in examples)
    assert 4.0 * total <= len(rows) <= 4.0 * total + 4
    for weight in weights:
        wanted = weight * 240 / len(weights) / total * len(rows)
        assert abs(sum(row["weight"] == weight for row in rows) - wanted) <= 1
    seen = Counter(row["id"] for row in rows)
    for example in examples:
        assert abs(seen[example.id] - example.parts[-1].loss / total * len(rows)) <= 1


def test_few_examples_are_enough_for_many_readers(tmp_path: Path) -> None:
    write("bagel_t2i", make_weighted(3, 1.0, 4.0, 8.0), tmp_path, readers=64)
    rows = deal(tmp_path, "t2i_pretrain", 64)
    assert all(rows)
    assert rate(rows)[1.0] == pytest.approx(1 / 13, rel=0.1)


def test_shards_are_equal_in_rows_whatever_their_bytes(tmp_path: Path) -> None:
    from export_cases import draw_noise

    noise = [draw_noise(600, seed) for seed in range(3)]  # 1 MB each
    examples = [
        make_example(f"e{k}", show(BLUE), ask("a star"), show(noise[k % 3] if k % 2 else RED, 1.0)) for k in range(12)
    ]
    write("bagel_edit", examples, tmp_path, readers=2, copies=2.0)
    files = [pq.ParquetFile(path) for path in (tmp_path / "train" / "unified_edit").iterdir()]
    groups = [file.metadata.row_group(k) for file in files for k in range(file.num_row_groups)]
    assert len(files) == 2
    assert len(groups) > 2
    assert len({group.num_rows for group in groups}) == 1
    assert max(group.total_byte_size for group in groups) < 2 * GROUP_BYTES
    info = json.loads((tmp_path / "train.parquet_info.json").read_text())
    assert {(each["num_row_groups"], each["num_rows"]) for each in info.values()} == {
        (file.num_row_groups, file.metadata.num_rows) for file in files
    }


def test_groups_are_read_by_the_sum_of_their_weights(tmp_path: Path) -> None:
    import yaml

    write("bagel_conversation", CASES["bagel_conversation"], tmp_path)
    config = yaml.safe_load((tmp_path / "train.yaml").read_text())
    wanted: Counter[str] = Counter()
    for example in CASES["bagel_conversation"]:
        wanted[name_group(example)] += weight_of(example.parts)  # type: ignore[assignment]
    assert {name: each["weight"] for name, each in config.items()} == pytest.approx(dict(wanted))
    assert not any(each["is_mandatory"] for each in config.values())


def test_what_weighs_nothing_is_left_out(tmp_path: Path) -> None:
    write("bagel_t2i", make_weighted(6, 0.0, 1.0), tmp_path, root=str(tmp_path))
    assert {row["id"] for row in read_rows(tmp_path)["t2i_pretrain"]} == {"e1", "e3", "e5"}


@pytest.mark.parametrize("options", [{"readers": 0}, {"readers": 1.5}, {"copies": 0}, {"buckets": [1]}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BagelOptions(**options)


def test_one_weight_for_all_parts_is_a_mean_over_modalities() -> None:
    assert weight_of((ask("x"), say("a", 1.0), say("b", 3.0), show(RED, 4.0))) == 3.0
    assert weight_of((ask("x"), say("a", 0.0), show(RED, 4.0))) == 4.0
    assert weight_of((ask("x"),)) == 0.0


# ── what BAGEL's code read ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("word", CASES)
def test_rows_are_those_that_the_trainer_has_read(word: str, tmp_path: Path) -> None:
    write(word, CASES[word], tmp_path, root=str(tmp_path))
    groups = read_rows(tmp_path)
    seen = {row["id"]: (group, digest_row(row)) for group, rows in groups.items() for row in rows}
    golden = GOLDEN[word]["examples"]
    assert seen == {name: (each["group"], each["row"]) for name, each in golden.items()}


@pytest.mark.parametrize("example", CASES["bagel_conversation"], ids=lambda example: example.id)
def test_irg_learns_the_parts_with_a_loss_in_their_order(example: Example) -> None:
    read = GOLDEN["bagel_conversation"]["examples"][example.id]["read"]
    learned = [[kind, what] for kind, loss, what in read if loss]
    wanted = [
        ["text", part.text] if part.kind == "text" else ["vae_image", COLORS[part.image]]
        for part in example.parts
        if part.learned
    ]
    assert learned == [each for each in wanted if each[1]]
    assert [what for kind, _, what in read if kind == "text"] == [p.text for p in example.parts if p.text]


def test_irg_sees_an_image_that_is_read_on_noised_clean_and_through_the_vit() -> None:
    read = GOLDEN["bagel_conversation"]["examples"]["whole"]["read"]
    assert [each for each in read if each[2] == "red"] == [
        ["vae_image", 1, "red"],
        ["vae_image", 0, "red"],
        ["vit_image", 0, "red"],
    ]
    assert GOLDEN["bagel_conversation"]["examples"]["question"]["read"][0] == ["vit_image", 0, "green"]


def test_bagel_learns_the_second_image_alone() -> None:
    for each in GOLDEN["bagel_edit"]["examples"].values():
        assert each["read"] == [
            ["vae_image", 0, "red"],
            ["vit_image", 0, "red"],
            ["text", 0, "zwei «Sterne»\n\nplan\n\nich sehe\n\nbesser so"],
            ["vae_image", 1, "blue"],
        ]


def test_bagel_learns_the_image_after_all_texts() -> None:
    for example in CASES["bagel_t2i"]:
        prompt, thought, image = example.parts
        read = GOLDEN["bagel_t2i"]["examples"][example.id]["read"]
        assert read == [["text", 0, f"{prompt.text}\n\n{thought.text}"], ["vae_image", 1, COLORS[image.image]]]


# ── groups and files ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_modes_of_irg_are_keys_of_its_registry() -> None:
    assert {f"{mode}_learning" for mode in MODES} == {*GROUPS}
    for mode in MODES:
        assert name_group(make_example("x", ask("a star"), say("plan", 1.0), task=mode)) == f"{mode}_learning"


def test_other_tasks_go_to_the_key_that_shows_and_teaches_the_same() -> None:
    named = {example.id: name_group(example) for example in CASES["bagel_conversation"]}
    assert named["t0"] == "initial_full_learning"
    assert named["whole"] == named["piece"] == "improving_full_learning"
    assert named["question"] == "initial_thinking_understanding_learning"
    assert name_group(make_example("words", ask("x"), say("y", 1.0))) == "initial_thinking_generation_learning"


def test_the_root_is_what_bagel_will_call_the_folder(tmp_path: Path) -> None:
    write("bagel_edit", make_reflections(), tmp_path, root="/data/edit/")
    (about,) = json.loads((tmp_path / "train.json").read_text())["unified_edit"].values()
    assert about["data_dir"] == "/data/edit/train/unified_edit"
    assert about["parquet_info_path"] == "/data/edit/train.parquet_info.json"
    info = json.loads((tmp_path / "train.parquet_info.json").read_text())
    assert all(path.startswith("/data/edit/train/unified_edit/train-") for path in info)


def test_text_to_image_needs_no_parquet_info(tmp_path: Path) -> None:
    write("bagel_t2i", make_trajectories(), tmp_path)
    assert "parquet_info_path" not in (tmp_path / "train.json").read_text()
    assert not (tmp_path / "train.parquet_info.json").exists()


@pytest.mark.parametrize("example", [make_preference(), make_reflections()[0], make_questions()[0]])
def test_bagel_t2i_holds_one_image_behind_texts_alone(example: Example, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"example {example.id}: the format 'bagel_t2i' cannot hold"):
        write("bagel_t2i", [example], tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_edit_of_three_images_has_two_instructions(tmp_path: Path) -> None:
    parts = ask("a star"), show(RED), say("now green"), show(GREEN, 1.0), show(BLUE, 2.0)
    write("bagel_edit", [make_example("three", *parts)], tmp_path, root=str(tmp_path))
    row, *_ = read_rows(tmp_path)["unified_edit"]
    assert row["image_list"] == [RED, GREEN, BLUE]
    assert row["instruction_list"] == [["a star\n\nnow green"], [""]]
    assert row["weight"] == 1.5


@pytest.mark.parametrize("example", [make_preference(), make_trajectories()[0], make_questions()[0]])
def test_bagel_edit_needs_two_images(example: Example, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the format 'bagel_edit' cannot hold"):
        write("bagel_edit", [example], tmp_path)


def test_an_image_that_nothing_comes_of_is_left_out(tmp_path: Path) -> None:
    """Its weight is 0 and it is the last: IRG's reader has no flag for that."""
    example = make_example("unlearned", ask("a star"), say("plan", 1.0), show(RED, 0.0))
    write("bagel_conversation", [example], tmp_path, root=str(tmp_path))
    (rows,) = read_rows(tmp_path).values()
    _, answer = json.loads(rows[0]["conversation"])
    assert [piece["type"] for piece in answer["content"]] == ["text"]


def test_a_preference_is_no_conversation(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot hold a preference"):
        write("bagel_conversation", [make_preference()], tmp_path)


def test_all_is_the_same_each_time(tmp_path: Path) -> None:
    for word in ("bagel_t2i", "bagel_edit", "bagel_conversation", "sensenova", "datasets", "chat"):
        examples = make_reflections() if word == "bagel_edit" else make_trajectories()
        for name in ("one", "two"):
            write(word, examples, tmp_path / word / name)
        first, second = (
            {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file()}
            for home in (tmp_path / word / "one", tmp_path / word / "two")
        )
        assert first == second
