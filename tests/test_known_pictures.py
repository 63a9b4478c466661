"""Pictures of a benchmark are refused, whatever file they come in, and other pictures are not."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pictures
from PIL import ImageEnhance

from datagen.embedded.pictograms import Item, Scene, render_scene
from datagen.errors import ConfigError, RunError
from datagen.pipeline import create_run
from datagen.pipeline.border import KNOWN
from datagen.vision.known import KnownPictures
from tests.helpers.runs import build_here, small_recipe


def draw(color: str = "red") -> Pictures.Image:
    return Pictures.fromarray(render_scene(Scene("gray", (Item("star", color, 1, 1, 4, 4),))))


def pack(picture: Pictures.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def test_a_picture_is_known_in_every_form_of_file_and_another_is_not(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.png").write_bytes(pack(draw()))
    (tmp_path / "notes.txt").write_text("no picture")
    known = KnownPictures.from_places([str(tmp_path)])
    picture = draw()
    for form in (picture, picture.resize((300, 300)), ImageEnhance.Brightness(picture).enhance(0.95)):
        for kind in ("PNG", "JPEG", "WEBP"):
            assert known.match(pack(form, kind)).startswith(f"{tmp_path}/deep/one.png (difference 0.0")
    for other in (draw("blue"), picture.rotate(90), Pictures.new("RGB", (96, 96), "white")):
        assert not known.match(pack(other))


def test_a_data_set_on_this_disk_is_read_column_by_column(tmp_path: Path) -> None:
    rows = {"id": ["a", "b"], "image": [draw("blue"), None], "others": [[], [draw("green"), draw()]]}
    features = Features({"id": Value("string"), "image": Image(), "others": [Image()]})
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "rows.parquet")
    known = KnownPictures.from_places([str(tmp_path)])
    assert len(known.places) == 3
    assert known.match(pack(draw("red"))).startswith(f"{tmp_path}/rows.parquet: row 1, others[1] (")


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_place_without_a_picture_or_with_a_broken_one_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "one.png").write_bytes(content)
    with pytest.raises(ConfigError, match=r"there is no picture|cannot be read"):
        KnownPictures.from_places([str(tmp_path)])


def test_a_run_refuses_known_pictures_and_says_how_many(tmp_path: Path) -> None:
    run, before = build_here(small_recipe(), tmp_path / "plain")
    sample = run.folder.read_samples(0)[0]
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "one.png").write_bytes(sample.image or b"")
    recipe = small_recipe(contamination_images=[str(tmp_path / "bench")])
    run, after = build_here(recipe, tmp_path / "run")
    refused = [each for shard in range(3) for each in run.folder.read_failures(shard) if each.error == KNOWN]
    assert (sample.prompt_id, sample.candidate) in {(each.prompt_id, each.candidate) for each in refused}
    assert refused[0].detail.startswith(f"{tmp_path}/bench/one.png")
    assert len(after.weighed.rows) + len(refused) == len(before.weighed.rows)
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert f"; {len(refused)} were nearly one of them" in card
    assert str(tmp_path) not in card
    assert "refused as known" in (tmp_path / "run" / "report.html").read_text()
    shutil.copy(tmp_path / "bench" / "one.png", tmp_path / "bench" / "two.png")
    with pytest.raises(RunError, match="code or models of its samples changed: contamination_images"):
        create_run(recipe, str(tmp_path / "run"))
