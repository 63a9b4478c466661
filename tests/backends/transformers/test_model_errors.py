"""Everything that can be wrong before the first sample is one clear line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from datagen.backends.transformers import build
from datagen.embedded.options import SHIPPED
from datagen.errors import BackendError


def error_of(**options: Any) -> str:
    with pytest.raises(BackendError) as caught:
        build({"device": "cpu", **options})
    assert "\n" not in caught.value.what
    return str(caught.value)


def copy_of(source: Path, folder: Path) -> Path:
    return Path(shutil.copytree(source, folder / "copy"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "backend option 'model': Field required"),
        ({"model": ""}, "backend option 'model'"),
        ({"model": "m", "modle": 1}, "backend option 'modle': Extra inputs"),
        ({"model": "m", "temperature": -1}, "backend option 'temperature'"),
        ({"model": "m", "top_p": 0}, "backend option 'top_p'"),
        ({"model": "m", "batch_size": 0}, "backend option 'batch_size'"),
        ({"model": "m", "dtype": "int8"}, "backend option 'dtype'"),
        ({"model": "m", "template": "draw"}, "backend option 'template': a template says where the prompt goes"),
        ({"model": "m", "device": "gpu"}, "backend option 'device': 'gpu' is no device"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], reason: str) -> None:
    assert reason in error_of(**options)


def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "'cuda' was asked for, and torch sees 0 CUDA devices" in error_of(model=str(SHIPPED), device="cuda")


@pytest.mark.parametrize("name", ["nobody/has-this-model", "/no/such/folder", "two words"])
def test_a_model_that_cannot_be_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    error = error_of(model=name, revision="v1")
    assert error.startswith(f"{name}: the model cannot be found: it is no folder")
    assert "'v1'" in error


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    assert "config.json is missing" in error_of(model=str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    assert "config.json cannot be read" in error_of(model=str(tmp_path))


def test_a_model_that_only_writes_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    error = error_of(model=str(tmp_path))
    assert "this 'llama' model has no image tokenizer: codec/codec.json is missing" in error
    assert "supported: emu3, janus" in error


@pytest.mark.parametrize("model_type", ["vit", "chameleon", "no_such_type"])
def test_a_model_of_another_type(tmp_path: Path, model_type: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    assert f"models of type {model_type!r} cannot write text and images here" in error_of(model=str(tmp_path))


def test_an_option_of_another_family(janus_folder: Path) -> None:
    error = error_of(model=str(SHIPPED), image_px=512)
    assert "backend option 'image_px': joint models do not take it" in error
    assert "backend option 'switch': janus" in error_of(model=str(janus_folder), switch="forced")


def test_more_text_than_the_model_reads(emu3_folder: Path, janus_folder: Path) -> None:
    assert "backend option 'max_tokens': 9999 and an image are more" in error_of(model=str(SHIPPED), max_tokens=9999)
    assert "this model reads 512 in all" in error_of(model=str(emu3_folder))  # images of 720 px
    assert "more than this model reads" in error_of(model=str(janus_folder), max_tokens=600)


@pytest.mark.parametrize("name", ["model.safetensors", "codec/codec.json", "codec/codec.safetensors", "tokenizer.json"])
def test_a_damaged_file(tmp_path: Path, name: str) -> None:
    folder = copy_of(SHIPPED, tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    assert "cannot be loaded" in error_of(model=str(folder))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("tokenizer.json", "the checkpoint lacks tokenizer.json"), ("model.safetensors", "the model cannot be loaded")],
)
def test_a_file_that_is_missing(tmp_path: Path, name: str, reason: str) -> None:
    folder = copy_of(SHIPPED, tmp_path)
    (folder / name).unlink()
    assert reason in error_of(model=str(folder))


def test_an_image_tokenizer_of_another_model(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy_of(SHIPPED, tmp_path)
    tensors = load_file(folder / "codec" / "codec.safetensors")
    save_file({**tensors, "book": tensors["book"][:-1].clone()}, folder / "codec" / "codec.safetensors")
    assert "the files of this folder are not of one model" in error_of(model=str(folder))


def test_a_missing_weight_is_never_made_up(emu3_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy_of(emu3_folder, tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights = {name: weight for name, weight in weights.items() if "lm_head" not in name}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "the model lacks 1 of its weights: lm_head.weight" in error_of(model=str(folder))


def test_a_processor_that_is_missing(emu3_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(emu3_folder, tmp_path)
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    assert "cannot be loaded" in error_of(model=str(folder), image_px=32)
