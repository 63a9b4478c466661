"""BAGEL's data as its readers take it, written from their documented behaviour: file lists, plans of a sequence."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

Item = tuple[str, Any, dict[str, int]]
"""What kind of item of a plan, its content, its flags."""


def list_files(folder: Path, split: str = "train") -> dict[str, list[Path]]:
    """The files that each group reads in an epoch: each data set's list is repeated until `num_used_data` are named."""
    config = yaml.safe_load((folder / f"{split}.yaml").read_text())
    about = json.loads((folder / f"{split}.json").read_text())
    found: dict[str, list[Path]] = {}
    for group, settings in config.items():
        for name, used in zip(settings["dataset_names"], settings["num_used_data"], strict=True):
            files = sorted(Path(about[group][name]["data_dir"]).glob("*.parquet"))
            assert about[group][name]["num_files"] == len(files)
            repeated = files * (used // len(files) + 1)
            found.setdefault(group, []).extend(repeated[:used])
    return found


def read_rows(folder: Path, split: str = "train") -> dict[str, list[dict[str, Any]]]:
    """The rows of each group as often as an epoch has them, row group by row group."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for group, files in list_files(folder, split).items():
        for path in files:
            parquet = pq.ParquetFile(path)
            for number in range(parquet.num_row_groups):
                rows.setdefault(group, []).extend(parquet.read_row_group(number).to_pylist())
    return rows


def check_info(folder: Path, split: str = "train") -> None:
    """Every file that is read is known to the parquet info, with its true counts."""
    info = json.loads((folder / f"{split}.parquet_info.json").read_text())
    for files in list_files(folder, split).values():
        for path in files:
            parquet = pq.ParquetFile(path)
            counts = {"num_row_groups": parquet.num_row_groups, "num_rows": parquet.metadata.num_rows}
            assert info[str(path)] == counts


def add_image(plan: list[Item], image: bytes, need_loss: bool, need_vae: bool, need_vit: bool) -> None:
    """An image's items: noised to learn, clean for the decoder to see, and through the encoder that sees."""
    assert need_loss or need_vae or need_vit
    if need_loss:
        plan.append(("vae_image", image, {"loss": 1}))
    if need_vae:
        plan.append(("vae_image", image, {"loss": 0}))
    if need_vit:
        plan.append(("vit_image", image, {"loss": 0}))


def plan_edit(row: dict[str, Any]) -> list[Item]:
    """The plan of an editing row of two images, the one case without chance in it."""
    (first, second), (step,) = row["image_list"], row["instruction_list"]
    (instruction,) = step
    plan: list[Item] = []
    add_image(plan, first, False, True, True)
    plan.append(("text", instruction, {"loss": 0}))
    add_image(plan, second, True, False, False)
    return plan


def plan_conversation(row: dict[str, Any]) -> list[Item]:
    """The plan of an IRG row; what its reader skips is skipped."""
    plan: list[Item] = []
    for turn in json.loads(row["conversation"]):
        if not turn.get("content"):
            continue
        if turn["role"] == "user" and isinstance(turn["content"], str):
            plan.append(("text", turn["content"], {"loss": int(turn.get("need_loss", False))}))
        elif turn["role"] == "assistant" and isinstance(turn["content"], list):
            for part in turn["content"]:
                if not part.get("content"):
                    continue
                if part["type"] == "text":
                    plan.append(("text", part["content"], {"loss": int(part.get("need_loss", True))}))
                else:
                    flags = (part.get(name, False) for name in ("need_loss", "need_vae", "need_vit"))
                    add_image(plan, base64.b64decode(part["content"]), *flags)
    return plan
