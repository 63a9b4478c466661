from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
from bagel_readers import check_info, plan_conversation, plan_edit, read_rows
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
from pydantic import ValidationError

from datagen.errors import RunError
from datagen.export.bagel import Repeats, weight_of
from datagen.export.examples import Example


def read_weighted(weight: float, name: str = "one") -> Example:
    return make_example(name, ask(f"a star {name}"), show(RED, weight))


# ── weights as repeats ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.25, 0.6, 1.0, 1.7, 3.0, 7.9, 8.0])
def test_repeats_are_the_weight_on_average(weight: float) -> None:
    options = Repeats()
    counts = [
        options.count(example, example.parts) for example in (read_weighted(weight, f"e{k}") for k in range(4000))
    ]
    assert {*counts} <= {0, *options.buckets}
    wanted = options.copies * weight
    near = sorted({0, *options.buckets}, key=lambda bucket: abs(bucket - wanted))[:3]
    assert {*counts} <= {*near}
    spread = max(counts) - min(counts)
    assert abs(fmean(counts) - wanted) <= 4 * (spread / 2) / 4000**0.5  # four standard errors at most


def test_repeats_are_the_same_each_time_and_cut_above() -> None:
    example = read_weighted(0.6)
    assert len({Repeats().count(example, example.parts) for _ in range(5)}) == 1
    heavy = read_weighted(1000.0)
    assert Repeats().count(heavy, heavy.parts) == 32
    assert Repeats(buckets=(3,)).count(heavy, heavy.parts) == 3


@pytest.mark.parametrize("buckets", [(), (2, 1), (1, 1), (0, 1)])
def test_buckets_that_do_not_rise_are_refused(buckets: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        Repeats(buckets=buckets)


def test_one_weight_for_all_parts_is_a_mean_over_modalities() -> None:
    assert weight_of((ask("x"), say("a", 1.0), say("b", 3.0), show(RED, 4.0))) == 3.0
    assert weight_of((ask("x"), say("a", 0.0), show(RED, 4.0))) == 4.0
    assert weight_of((ask("x"),)) == 0.0


# ── text to image ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_bagel_reads_captions_and_images_as_often_as_they_weigh(tmp_path: Path) -> None:
    examples = make_trajectories()
    write("bagel_t2i", examples, tmp_path, root=str(tmp_path))
    rows = read_rows(tmp_path)["t2i_pretrain"]
    by_id = {example.id: example for example in examples}
    for row in rows:
        prompt, thought, image = by_id[row["id"]].parts
        assert json.loads(row["captions"]) == {"caption": f"{prompt.text}\n\n{thought.text}"}
        assert (row["image"], row["weight"]) == (image.image, image.loss)
    seen = Counter(row["id"] for row in rows)
    options = Repeats()
    assert seen == {e.id: n for e in examples if (n := options.count(e, e.parts[-1:]))}
    assert sum(len(list(path.rglob("*.parquet"))) for path in [tmp_path]) == len({*seen.values()})
    assert "parquet_info_path" not in (tmp_path / "train.json").read_text()


@pytest.mark.parametrize("example", [make_preference(), make_reflections()[0], make_questions()[0]])
def test_bagel_t2i_holds_one_image_behind_texts_alone(example: Example, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"example {example.id}: the format 'bagel_t2i' cannot hold"):
        write("bagel_t2i", [example], tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_the_root_is_what_bagel_will_call_the_folder(tmp_path: Path) -> None:
    write("bagel_edit", make_reflections(), tmp_path, root="/data/edit/")
    (about,) = json.loads((tmp_path / "train.json").read_text()).values()
    assert {each["data_dir"].rpartition("/")[0] for each in about.values()} == {"/data/edit/train/unified_edit"}
    assert {each["parquet_info_path"] for each in about.values()} == {"/data/edit/train.parquet_info.json"}
    info = json.loads((tmp_path / "train.parquet_info.json").read_text())
    assert all(path.startswith("/data/edit/train/unified_edit/x") for path in info)


# ── editing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_bagel_reads_an_image_drawn_from_an_earlier_one(tmp_path: Path) -> None:
    examples = make_reflections()
    write("bagel_edit", examples, tmp_path, root=str(tmp_path), copies=1.0)
    check_info(tmp_path)
    rows = read_rows(tmp_path)["unified_edit"]
    assert {row["id"] for row in rows} == {"whole", "piece"}
    for row in rows:
        assert plan_edit(row) == [
            ("vae_image", RED, {"loss": 0}),
            ("vit_image", RED, {"loss": 0}),
            ("text", "zwei «Sterne»\n\nplan\n\nich sehe\n\nbesser so", {"loss": 0}),
            ("vae_image", BLUE, {"loss": 1}),
        ]
        assert row["weight"] == 3.0


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


# ── interleaved ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_irg_reads_what_is_learned_and_what_is_seen(tmp_path: Path) -> None:
    write("bagel_conversation", [*make_reflections(), *make_questions()], tmp_path, root=str(tmp_path))
    check_info(tmp_path)
    rows = {group: {row["id"]: row for row in each} for group, each in read_rows(tmp_path).items()}
    assert plan_conversation(rows["trajectory"]["whole"]) == [
        ("text", "zwei «Sterne»", {"loss": 0}),
        ("text", "plan", {"loss": 1}),
        ("vae_image", RED, {"loss": 1}),
        ("vae_image", RED, {"loss": 0}),
        ("vit_image", RED, {"loss": 0}),
        ("text", "ich sehe", {"loss": 1}),
        ("text", "besser so", {"loss": 1}),
        ("vae_image", BLUE, {"loss": 1}),
    ]
    piece = plan_conversation(rows["text_and_image_to_image"]["piece"])
    assert [(kind, flags["loss"]) for kind, _, flags in piece] == [
        ("text", 0),
        ("text", 0),
        ("vae_image", 0),
        ("vit_image", 0),
        ("text", 0),
        ("text", 0),
        ("vae_image", 1),
    ]
    assert plan_conversation(rows["image_to_text"]["question"]) == [
        ("vit_image", GREEN, {"loss": 0}),
        ("text", "Was ist «das»?", {"loss": 0}),
        ("text", "ein Stern 星", {"loss": 1}),
    ]


def test_irg_reads_awkward_texts_and_no_empty_piece(tmp_path: Path) -> None:
    examples = make_trajectories()
    write("bagel_conversation", examples, tmp_path, root=str(tmp_path))
    rows = {row["id"]: row for row in read_rows(tmp_path)["trajectory"]}
    for example in examples:
        plan = plan_conversation(rows[example.id])
        wanted = [part.text for part in example.parts if part.text]
        assert [content for kind, content, _ in plan if kind == "text"] == wanted
        _, answer = json.loads(rows[example.id]["conversation"])
        assert all(piece["content"] for piece in answer["content"])
        assert rows[example.id]["weight"] == fmean(part.loss for part in example.parts[1:])


def test_an_image_that_nothing_comes_of_is_left_out(tmp_path: Path) -> None:
    """Its weight is 0 and it is the last: IRG's reader has no flag for that."""
    example = make_example("unlearned", ask("a star"), say("plan", 1.0), show(RED, 0.0))
    write("bagel_conversation", [example], tmp_path, root=str(tmp_path))
    row, *_ = read_rows(tmp_path)["trajectory"]
    assert [kind for kind, *_ in plan_conversation(row)] == ["text", "text"]


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
