"""open_clip 3.3: its loader reads tars of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from format_cases import ask as asks
from format_cases import make_example, say, show, write
from lessons import ONE, THREE, TWO, name_of

IMAGES = [ONE, TWO, THREE]


def test_each_picture_comes_with_its_text(ask: Any, tmp_path: Path) -> None:
    examples = [make_example(f"{k}", asks(f"{k} «Sterne» 星"), say("so"), show(IMAGES[k], 0.5 + k)) for k in range(3)]
    write("webdataset", examples, tmp_path / "tars", layout="pair")
    (tmp_path / "images").mkdir()
    for image in IMAGES:
        (tmp_path / "images" / name_of(image)).write_bytes(image)
    tars = str(tmp_path / "tars" / "train-000000.tar")
    seen = ask("swift", "open_clip", arguments=tars, images=tmp_path / "images", samples=3)
    assert sorted(seen["rows"]) == [[f"{k} «Sterne» 星\n\nso", name_of(IMAGES[k])] for k in range(3)]
