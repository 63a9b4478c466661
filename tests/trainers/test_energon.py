"""Megatron Energon 7.4: its `prepare` takes tars as they are, its loader reads every example of each split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from format_cases import ask as asks
from format_cases import make_example, say, show, write
from lessons import ONE, THREE, TWO, name_of


def test_tars_are_prepared_and_each_split_is_read_whole(ask: Any, tmp_path: Path) -> None:
    images, tars = tmp_path / "images", tmp_path / "tars"
    images.mkdir()
    for image in (ONE, TWO, THREE):
        (images / name_of(image)).write_bytes(image)
    twice = make_example("twice", asks("zwei «Sterne» 星"), show(ONE, 0.5), say("besser so", 0.75), show(TWO, 2.0))
    once = [make_example(f"once {k}", asks(f"ein Stern {k}"), show(THREE, 1.5 + k)) for k in range(2)]
    write("webdataset", [twice, once[0]], tars)
    write("webdataset", once[1:], tars, "validation")
    seen = ask("swift", "energon", arguments=str(tars), images=images)
    assert sorted(seen["train"]) == [
        ["once 0", [["text", "ein Stern 0", 0.0], ["image", name_of(THREE), 1.5]]],
        [
            "twice",
            [["text", "zwei «Sterne» 星", 0.0], ["image", name_of(ONE), 0.5], ["text", "besser so", 0.75],
             ["image", name_of(TWO), 2.0]],
        ],
    ]  # fmt: skip
    assert seen["val"] == [["once 1", [["text", "ein Stern 1", 0.0], ["image", name_of(THREE), 2.5]]]]
