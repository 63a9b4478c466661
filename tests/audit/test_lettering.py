"""Pictures of words whose truth is known: as large, as high and as whole as they say; and the table made of them."""

from __future__ import annotations

import io
import json
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datagen.audit import audit_text
from datagen.audit.lettering import (
    GROUNDS,
    MARGIN,
    Lettering,
    break_lines,
    list_fonts,
    misspell,
    plan_letterings,
    render_lettering,
)
from datagen.audit.reading import Reading, read_letterings, tabulate
from datagen.config import Recipe, make_recipe
from datagen.errors import ConfigError
from datagen.scoring.tools import make_tools
from tests.helpers.runs import run_cli

TEXTS = ["OPEN", "Fresh bread daily", "No. 7", "Mind the step on your way out"]


def pixels_of(lettering: Lettering) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(render_lettering(lettering))).convert("L"), float)


def plan(**changes: object) -> list[Lettering]:
    options = {"fonts": [""], "grounds": ["plain"], "sides": (256, 512), "shares": (0.1, 0.3), "per_cell": 6, "seed": 3}
    return list(plan_letterings(TEXTS, **{**options, **changes}))  # type: ignore[arg-type]


def test_every_cell_has_its_letterings_and_a_seed_gives_the_same() -> None:
    planned = plan()
    assert [(each.side_px, each.letter_share) for each in planned] == [
        (side, share) for side in (256, 512) for share in (0.1, 0.3) for _ in range(6)
    ]
    assert planned == plan()
    assert planned != plan(seed=4)
    assert {each.text for each in planned} <= {*TEXTS, *(word for text in TEXTS for word in text.split())}


def test_where_no_text_fits_a_word_of_one_is_drawn() -> None:
    tall = plan_letterings(["Go there"], fonts=[""], grounds=["plain"], sides=[256], shares=[0.4], per_cell=5, seed=1)
    assert {each.text for each in tall} == {"Go"}


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("side", [256, 1024])
def test_a_capital_is_as_high_as_it_says_and_nothing_is_cut(side: int, share: float) -> None:
    pixels = pixels_of(Lettering(("HE",), "", "plain", side, share, 0.0, 1))
    ink = np.abs(pixels - pixels[0, 0]) > 40
    rows, columns = np.nonzero(ink)
    assert rows.max() + 1 - rows.min() == pytest.approx(share * side, abs=2)
    room = MARGIN * side - 1
    assert min(rows.min(), columns.min(), side - 1 - rows.max(), side - 1 - columns.max()) >= room


def test_slanted_letterings_stay_within_the_picture() -> None:
    for lettering in plan(per_cell=30, sides=(256,)):
        pixels = pixels_of(lettering)
        border = np.concatenate(
            [pixels[:3].ravel(), pixels[-3:].ravel(), pixels[:, :3].ravel(), pixels[:, -3:].ravel()]
        )
        assert np.ptp(border) <= 1, lettering


@pytest.mark.parametrize("ground", sorted(GROUNDS))
def test_ink_stands_out_from_every_ground(ground: str) -> None:
    tones = GROUNDS[ground](128, np.random.default_rng(1))
    assert tones.shape[:2] == (128, 128)
    assert tones.min() >= 0
    assert tones.max() <= 1
    for seed in range(6):
        pixels = pixels_of(Lettering(("HHH",), "", ground, 256, 0.3, 0.0, seed))
        low, high = np.sort(pixels.ravel())[[50, -50]]
        assert _luminance(high) / _luminance(low) >= 3


def _luminance(tone: float) -> float:
    """WCAG's, plus its 0.05."""
    share = tone / 255
    return (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4) + 0.05


@pytest.mark.parametrize(
    ("count", "lines"),
    [
        (1, ("Mind the step on your way out",)),
        (2, ("Mind the step", "on your way out")),
        (4, ("Mind the", "step on", "your way", "out")),
        (9, ("Mind", "the", "step", "on", "your", "way", "out")),
    ],
)
def test_lines_are_about_as_long(count: int, lines: tuple[str, ...]) -> None:
    assert break_lines(TEXTS[3], count) == lines


def test_one_letter_is_another_of_the_same_case() -> None:
    rng = random.Random(5)
    for text in TEXTS:
        for _ in range(50):
            wrong = misspell(text, rng)
            ((before, after),) = [(a, b) for a, b in zip(text, wrong, strict=True) if a != b]
            assert before.isupper() == after.isupper()
            assert before.isalpha()
            assert after.isalpha()
    with pytest.raises(ValueError, match="no letter"):
        misspell("24/7", rng)


def test_a_table_worked_out_by_hand() -> None:
    small, tall = Lettering(("A",), "", "plain", 256, 0.05, 0, 1), Lettering(("A",), "", "plain", 512, 0.4, 0, 1)
    readings = [
        Reading(small, True, False, (), 0.1),
        Reading(small, False, True, (), 0.3),
        Reading(tall, True, None, (), 0.2),
        Reading(tall, None, None, (), 0.2),
    ]
    assert tabulate(readings) == [
        {
            "side px": "256",
            "5%": 0.5,
            "40%": None,
            "all": 0.5,
            "wrong letter": 0.5,
            "unjudged": 0,
            "ms": pytest.approx(200),
        },
        {
            "side px": "512",
            "5%": None,
            "40%": 1,
            "all": 1,
            "wrong letter": None,
            "unjudged": 1,
            "ms": pytest.approx(200),
        },
        {
            "side px": "all",
            "5%": 0.5,
            "40%": 1,
            "all": 2 / 3,
            "wrong letter": 0.5,
            "unjudged": 1,
            "ms": pytest.approx(200),
        },
    ]


def test_a_reader_that_guesses_the_claim_passes_wrong_letters_and_one_that_sees_nothing_passes_none() -> None:
    planned = plan(sides=(256,))
    blind = list(read_letterings(make_tools(lambda image: [], lambda image: []), planned))
    assert {each.passes for each in blind} == {False}
    for lettering in planned[:3]:
        guess = partial(_say, lettering.text)
        (guessed,) = read_letterings(make_tools(lambda image: [], guess), [lettering])
        assert guessed.passes
        assert guessed.passes_wrong is not False


def _say(text: str, image: bytes) -> list[str]:
    return [text]


def make_signs(**changes: object) -> Recipe:
    return make_recipe(
        {"name": "signs", "taxonomy": ["text_rendering"], "lexicon": "everyday", "rewards": ["text"], **changes}
    )


def test_the_shipped_reader_reads_a_small_table_in_the_font_that_comes_along() -> None:
    (table,) = audit_text(make_signs(), per_cell=4, seed=1, sides=(256, 1024), shares=(0.08, 0.3)).values()
    assert [row["side px"] for row in table] == ["256", "1024", "all"]
    assert table[-1]["all"] >= 0.8  # type: ignore[operator]
    assert table[-1]["wrong letter"] == 0
    assert table[-1]["unjudged"] == 0


def test_a_reader_of_capitals_alone_has_no_value_for_others() -> None:
    (table,) = audit_text(make_signs(detector="learned"), per_cell=12, seed=1, sides=(256,), shares=(0.08,)).values()
    assert table[-1]["unjudged"]


def test_what_cannot_be_audited_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no prompt claims a text"):
        audit_text(make_recipe({"name": "few", "taxonomy": ["counting"], "lexicon": "pictograms"}), per_cell=1, seed=1)
    with pytest.raises(ConfigError, match="no font file"):
        list_fonts([tmp_path])
    wrong = tmp_path / "a.ttf"
    wrong.write_bytes(b"no font")
    with pytest.raises(ConfigError, match="cannot be read"):
        list_fonts([wrong])
    assert list_fonts([]) == [""]


def test_the_command_prints_the_table_for_programs(tmp_path: Path) -> None:
    done = run_cli("audit", "lencom", "--text-sizes", "1", "--side", "256", "--json")
    assert done.returncode == 0, done.stderr
    assert "text by size" in done.stdout
    (table,) = json.loads(done.stdout)["tables"].values()
    assert [row["side px"] for row in table] == ["256", "all"]
