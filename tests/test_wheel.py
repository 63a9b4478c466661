"""The built wheel carries everything: it checks its taxonomies and builds a dataset from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tracked files and unpacked into a folder of its own."""
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    source.mkdir()
    for name in (
        "datagen",
        "taxonomies",
        "templates",
        "recipes",
        "experiments",
        "pyproject.toml",
        "setup.py",
        "MANIFEST.in",
    ):
        _copy(ROOT / name, source / name)
    for name in ("README.md", "LICENSE"):
        _copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(base), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    site = base / "site"
    (wheel,) = base.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def _copy(source: Path, target: Path) -> None:
    import shutil

    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "datagen", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_shipped_files_and_weights_are_inside(installed: Path) -> None:
    for name in (
        "taxonomies/counting.yaml",
        "templates/counting/one_kind.j2",
        "recipes/quickstart.yaml",
        "experiments/modalities.yaml",
    ):
        assert (installed / "datagen/_shipped" / name).is_file()
    checkpoint = installed / "datagen/embedded/checkpoint"
    sizes = [path.stat().st_size for path in checkpoint.iterdir()]
    assert {"model.safetensors", "codec.safetensors", "tokenizer.json"} <= {p.name for p in checkpoint.rglob("*")}
    assert sum(sizes) <= 24 * 2**20
    static = {path.name for path in (installed / "datagen/studio/static").iterdir()}
    assert static >= {
        "index.html",
        "studio.js",
        "studio.css",
        "completion.js",
        "editor.js",
        "LICENSE.editor.txt",
        "runs.html",
        "runs.js",
        "runs.css",
    }
    assert 0 < (installed / "datagen/vision/detectors/learned.safetensors").stat().st_size <= 4 * 2**20


def test_check_passes_from_another_folder(installed: Path, tmp_path: Path) -> None:
    result = run(installed, tmp_path, "check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_build_makes_a_dataset_from_another_folder(installed: Path, tmp_path: Path) -> None:
    result = run(installed, tmp_path, "build", "--set", "prompts=4", "--set", "candidates=2")
    assert result.returncode == 0, result.stdout + result.stderr
    run_folder = tmp_path / "outputs" / "quickstart"
    assert (run_folder / "report.html").is_file()
    assert list((run_folder / "dataset").rglob("*.parquet"))
