"""The plot of losses: every number at its place."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from datagen.training.finetune import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, plot_losses

SVG = "{http://www.w3.org/2000/svg}"


def test_points_stand_where_their_values_say(tmp_path: Path) -> None:
    rows = [(0, None, None, 2.0, 0.5), (10, 1.0, 0.25, None, None), (20, 0.5, None, 1.0, 0.5)]
    plot_losses(rows, tmp_path / "loss.svg")
    text, image = ElementTree.parse(tmp_path / "loss.svg").getroot().findall(f"{SVG}g")
    floor, high = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP

    def place(step: int, share: float) -> tuple[str, str]:
        return f"{LEFT + step / 20 * (WIDTH - 16 - LEFT):.1f}", f"{floor - share * high:.1f}"

    line = text.find(f"{SVG}polyline")
    assert line is not None
    assert line.get("points") == " ".join(",".join(place(step, value / 2.2)) for step, value in ((10, 1.0), (20, 0.5)))
    dots = [(dot.get("cx"), dot.get("cy")) for dot in image.findall(f"{SVG}circle")]
    assert dots == [place(0, 0.5 / 0.55), place(20, 0.5 / 0.55)]


def test_nothing_learned_is_an_empty_plot(tmp_path: Path) -> None:
    plot_losses([], tmp_path / "loss.svg")
    assert "<circle" not in (tmp_path / "loss.svg").read_text()
