"""LLaMA-Factory 0.9: which tokens it learns, and which pictures it sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from format_cases import write
from lessons import LESSONS, ONE, THREE, name_of, prefer
from spans import ANSWERS, ASKED, END, SHOWN, shorten

ARGUMENTS = {
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "full",
    "template": "qwen2_vl",
    "dataset": "train",
    "cutoff_len": 2048,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "disable_shuffling": True,
    "save_strategy": "no",
    "report_to": "none",
    "use_cpu": True,
    "preprocessing_num_workers": 1,
    "flash_attn": "disabled",
    "default_system": "",
    "overwrite_cache": True,
}


def train(ask: Any, tiny: Any, folder: Path, **changes: Any) -> dict[str, Any]:
    model = tiny("llamafactory")
    paths = {"model_name_or_path": str(model), "dataset_dir": str(folder), "output_dir": str(folder / "out")}
    given = {**ARGUMENTS, **paths, **changes}
    known = {"model": model, "images": folder / "images", "stage": given["stage"]}
    seen: dict[str, Any] = ask("llamafactory", "llamafactory", arguments=given, **known)
    return seen


def test_every_learned_text_is_learned_once_and_no_picture_is(ask: Any, tiny: Any, tmp_path: Path) -> None:
    write("llamafactory", LESSONS, tmp_path)
    seen = train(ask, tiny, tmp_path)
    asked = f"{ASKED}zwei «Sterne» 星"
    assert shorten(seen["rows"][:5]) == [
        [(f"{asked}{ANSWERS}", 0.0), (f"plan{END}\n", 1.0)],
        [(f"{asked}\n\nplan{SHOWN}{ANSWERS}", 0.0), (f"ich sehe{END}\n", 1.0)],
        [(f"{asked}\n\nplan{SHOWN}ich sehe{ANSWERS}", 0.0), (f"besser so{END}\n", 1.0)],
        [(f"{ASKED}{SHOWN}Was ist das?{ANSWERS}", 0.0), (f"ein Stern{END}\n", 1.0)],
        [(f"{ASKED}ein Stern{ANSWERS}", 0.0), (f"so{END}\n", 1.0)],
    ]
    pictures = [row["pictures"] for row in seen["rows"][:5]]
    assert pictures == [[], [name_of(ONE)], [name_of(ONE)], [name_of(THREE)], []]
    assert all(loss == pytest.approx(mean, rel=1e-3) for loss, mean in seen["losses"])
    assert seen["moved"] > 0


@pytest.mark.parametrize("kind", ["dpo", "rm"])
def test_a_preference_trains(kind: str, ask: Any, tiny: Any, tmp_path: Path) -> None:
    write("llamafactory", [prefer(images=False)] * 2, tmp_path)
    seen = train(ask, tiny, tmp_path, stage=kind)
    said = ["".join(text for text, _ in spans) for spans in shorten(seen["rows"][:4])]
    assert [text.split(ANSWERS)[1] for text in said] == [*[f"gut{END}\n"] * 2, *[f"schlecht{END}\n"] * 2]
    assert seen["moved"] > 0
