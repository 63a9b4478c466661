"""ms-swift 4.6: which tokens it learns, with which weight, and which pictures it sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from format_cases import write
from lessons import LESSONS, ONE, PICTURE, THREE, TWO, name_of, prefer
from spans import ANSWERS, ASKED, END, SHOWN, shorten
from typer.testing import CliRunner

from datagen.cli import app
from datagen.export.examples import read_rows
from tests.helpers.runs import build_here, small_recipe

ARGUMENTS = {
    "model_type": "qwen2_vl",
    "template": "qwen2_vl",
    "tuner_type": "full",
    "torch_dtype": "float32",
    "attn_impl": "eager",
    "num_train_epochs": 2,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "warmup_ratio": 0,
    "dataset_shuffle": "false",
    "train_dataloader_shuffle": "false",
    "split_dataset_ratio": 0,
    "system": "",
    "save_strategy": "no",
    "report_to": "none",
    "add_version": "false",
    "check_model": "false",
    "use_hf": "true",
    "use_logits_to_keep": "false",
    "strict": "true",
}


def train(ask: Any, tiny: Any, folder: Path, entry: str = "swift_sft", **changes: Any) -> dict[str, Any]:
    model, out = tiny("swift"), folder / "out"
    given = {"model": model, "dataset": folder / "train.jsonl", "output_dir": out, **ARGUMENTS, **changes}
    arguments = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    known = {"model": model, "images": folder / "images", "stage": given.get("rlhf_type", "sft")}
    seen: dict[str, Any] = ask("swift", entry, arguments=arguments, **known)
    return seen


def test_each_piece_is_learned_with_its_weight_and_no_picture_is(ask: Any, tiny: Any, tmp_path: Path) -> None:
    write("ms_swift", LESSONS, tmp_path, root=str(tmp_path))
    seen = train(ask, tiny, tmp_path, is_binary_loss_scale="false", remove_unused_columns="false")
    whole, question, thought = shorten(seen["rows"][:3])
    assert whole == [
        (f"{ASKED}zwei «Sterne» 星{ANSWERS}", 0.0),
        ("plan", 0.5),
        (SHOWN, 0.0),
        ("ich sehe", 0.25),
        ("\n\nbesser so", 0.75),
        (SHOWN, 0.0),
        (END + "\n", 1.0),
    ]
    assert question == [(f"{ASKED}{SHOWN}Was ist das?{ANSWERS}", 0.0), ("ein Stern", 0.3), (END + "\n", 1.0)]
    assert thought == [(f"{ASKED}ein Stern{ANSWERS}", 0.0), ("so", 0.6)], "a turn that goes on has no end"
    assert [row["pictures"] for row in seen["rows"][:3]] == [[name_of(ONE), name_of(TWO)], [name_of(THREE)], []]
    assert all(loss == pytest.approx(expected, rel=1e-3) for loss, expected in seen["losses"])
    assert seen["moved"] > 0


def test_the_end_of_a_turn_can_have_the_weight_of_its_text(ask: Any, tiny: Any, tmp_path: Path) -> None:
    write("ms_swift", LESSONS, tmp_path, root=str(tmp_path), end=END)
    seen = train(ask, tiny, tmp_path, is_binary_loss_scale="false", remove_unused_columns="false")
    whole, question, thought = shorten(seen["rows"][:3])
    assert whole[-2:] == [(SHOWN, 0.0), (END, 0.75)]
    assert question[-1] == ("ein Stern<|im_end|>", 0.3)
    assert thought[-1] == ("so", 0.6)


def test_without_its_options_ms_swift_learns_all_alike(ask: Any, tiny: Any, tmp_path: Path) -> None:
    write("ms_swift", LESSONS, tmp_path, root=str(tmp_path))
    seen = train(ask, tiny, tmp_path)
    whole, _, thought = shorten(seen["rows"][:3])
    assert [weight for _, weight in whole] == [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    assert thought[-1] == ("so<|im_end|>\n", 1.0)


def test_without_a_way_to_its_images_an_example_is_left_out(ask: Any, tiny: Any, tmp_path: Path) -> None:
    write("ms_swift", LESSONS, tmp_path)
    seen = train(ask, tiny, tmp_path, strict="false")
    assert {row["spans"][0][0] for row in seen["rows"]} == {f"{ASKED}ein Stern{ANSWERS}"}, "the one without images"


def test_relative_paths_are_found_by_root_image_dir(
    ask: Callable[..., dict[str, Any]], tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("ms_swift", LESSONS, tmp_path)
    monkeypatch.setenv("ROOT_IMAGE_DIR", str(tmp_path))
    seen = train(ask, tiny, tmp_path)
    assert [row["pictures"] for row in seen["rows"][:3]] == [[name_of(ONE), name_of(TWO)], [name_of(THREE)], []]


@pytest.mark.parametrize("kind", ["dpo", "rm"])
def test_a_preference_trains_with_the_images_of_both(kind: str, ask: Any, tiny: Any, tmp_path: Path) -> None:
    write("ms_swift", [prefer()] * 2, tmp_path, root=str(tmp_path))
    seen = train(ask, tiny, tmp_path, "swift_rlhf", rlhf_type=kind)
    assert [row["pictures"] for row in seen["rows"][:4]] == [[name_of(ONE)]] * 2 + [[name_of(TWO)]] * 2
    said = ["".join(text for text, _ in spans) for spans in shorten(seen["rows"][:4])]
    assert [f"{word}{SHOWN}" in text for word, text in zip(["gut"] * 2 + ["schlecht"] * 2, said, strict=True)] == [
        True
    ] * 4
    assert seen["moved"] > 0


def test_a_run_trains_with_its_weights(ask: Any, tiny: Any, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "run" / "exports" / "pieces-ms_swift"
    drawn = {"mode": "reflect", "prompts": 4, "backend": {"noise": 112}, "rewards": ["contrast"]}
    build_here(small_recipe(**drawn, weights={"modalities": "shared", "beta": 0.01}), run)
    words = ["export", str(run), "--view", "pieces", "--format", f"ms_swift:root={out}"]
    CliRunner().invoke(app, words, catch_exceptions=False)
    seen = train(ask, tiny, out, is_binary_loss_scale="false", remove_unused_columns="false")
    taught = []
    for row in read_rows(run / "dataset", "train"):
        if row["kept"]:
            thought, seen_there, better = (part["text"] for part in row["segments"] if part["kind"] == "text")
            texts = [thought, seen_there, f"\n\n{better}"]
            shown = [[], [name_of(row["images"][0])], [name_of(row["images"][0])]]
            taught += [(text, row["text_weight"], names) for text, names in zip(texts, shown, strict=True)]
    assert len({weight for _, weight, _ in taught}) > 2
    found = [(*spans[-1], row["pictures"]) for spans, row in zip(shorten(seen["rows"]), seen["rows"], strict=True)]
    expected = [(text, pytest.approx(weight, abs=1e-6), names) for text, weight, names in taught]
    assert found[: len(taught)] == expected, "each text alone, without the end of a turn that goes on"


def test_an_example_that_teaches_no_text_is_left_out(tmp_path: Path) -> None:
    write("ms_swift", [PICTURE], tmp_path)
    assert (tmp_path / "train.jsonl").read_text() == ""
