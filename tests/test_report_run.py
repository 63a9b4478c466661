"""The report of a run with pictures of a megapixel: small page, full pictures beside it, on disk and in a bucket."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from datagen.cli import app
from datagen.pipeline import Run, Silent, report_run, weigh_run
from datagen.report import Limits
from tests.helpers.report_page import read_cards
from tests.helpers.runs import build_here, small_recipe


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ten noisy pictures of 1024 pixels, no two alike."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(10):
        rng = np.random.default_rng(seed)
        ground = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)).resize((1024, 1024))
        noisy = np.asarray(ground, np.int16) + rng.integers(-20, 21, (1024, 1024, 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{seed}.png", compress_level=1)
    return folder


def build(pictures: Path, folder: Path | str) -> Run:
    backend = {"name": "tests.helpers.raw_pictures", "folder": str(pictures)}
    recipe = small_recipe(backend=backend, rewards=["tests.helpers.agree"])
    return build_here(recipe, folder)[0]


def list_stored(run: Run) -> dict[str, bytes]:
    return {s.id: s.image or b"" for k in run.folder.list_shards("samples") for s in run.folder.read_samples(k)}


def test_a_page_of_megapixels_is_small_and_its_folder_has_them_byte_for_byte(pictures: Path, tmp_path: Path) -> None:
    run = build(pictures, tmp_path / "run")
    page, stored = tmp_path / "run" / "report.html", list_stored(run)
    assert sum(map(len, stored.values())) > 20_000_000
    assert page.stat().st_size < 20 * 43_000 + 200_000, "each thumbnail within its bytes, and the figures"
    named = {}
    for card in read_cards(page):
        (picture,) = card["pictures"]
        assert (picture["width"], picture["height"]) == (1024, 1024)
        assert max(Image.open(io.BytesIO(_decode(picture["thumb"]))).size) <= 384
        named[card["id"]] = (page.parent / "report_files" / picture["file"]).read_bytes()
    assert named == stored
    assert len(list((tmp_path / "run" / "report_files").iterdir())) == 10, "the same picture is one file"
    result = CliRunner().invoke(app, ["report", str(tmp_path / "run"), "--pictures", "0"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "run" / "report_files").exists()


def test_a_bucket_gets_both_and_loses_what_an_earlier_page_had(pictures: Path) -> None:
    import fsspec

    run = build(pictures, "memory://megapixels/run")
    store = fsspec.filesystem("memory")
    files = {path.rpartition("/")[2]: store.cat_file(path) for path in store.ls("/megapixels/run/report_files", False)}
    assert sorted(files.values()) == sorted(path.read_bytes() for path in pictures.iterdir())
    page = store.cat_file("/megapixels/run/report.html").decode()
    assert "20 of 20 are there" in page
    report_run(run, weigh_run(run, Silent()), Silent(), Limits(full_bytes=0))
    assert not store.exists("/megapixels/run/report_files")
    assert "20 were not copied there" in store.cat_file("/megapixels/run/report.html").decode()


def test_status_knows_a_page_with_a_folder_as_current(pictures: Path, tmp_path: Path) -> None:
    run = build(pictures, tmp_path / "run")
    result = CliRunner().invoke(app, ["status", str(run.folder)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "stale" not in result.output


def _decode(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])
