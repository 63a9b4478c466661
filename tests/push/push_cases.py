"""Small finished runs with many shards, and the hub's client pointed at a loopback server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs as fs
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from datagen.cli import app
from datagen.pipeline import MADE, Run, Silent, export_run, open_run, weigh_run
from datagen.pipeline.made import trace, trace_view
from datagen.pipeline.run import save_recipe
from tests.helpers.hub_server import TOKEN, HubServer
from tests.helpers.runs import build_here, small_recipe

NAME = "hf://datasets/me/small"


def build_run(folder: Path, rows_a_shard: int = 4, **changes: Any) -> Path:
    """A finished run whose dataset has many small shards, as a large one has many large ones."""
    build_here(small_recipe(**{"prompts": 24, "validation_share": 0.3, "license": "apache-2.0", **changes}), folder)
    split_shards(folder / "dataset" / "data", rows_a_shard)
    return folder


def split_shards(data: Path, rows: int) -> None:
    """Write every parquet file of a folder anew in files of a few rows."""
    for split in ("train", "validation"):
        whole = [pq.read_table(path) for path in sorted(data.glob(f"{split}-*"))]
        for path in data.glob(f"{split}-*"):
            path.unlink()
        parts = [table.slice(k, rows) for table in whole for k in range(0, table.num_rows, rows)]
        for k, part in enumerate(parts):
            pq.write_table(part, data / f"{split}-{k:05d}-of-{len(parts):05d}.parquet")


def reopen(run: Path) -> Run:
    return open_run(str(run))


def add_view(run: Path, name: str) -> Path:
    """Return the folder of a form that the run's recipe names, noted as current and without files yet."""
    opened = open_run(str(run), [f"exports.{name}.view=trajectories"])
    save_recipe(opened)
    folder = run / "exports" / name
    folder.mkdir(parents=True)
    plan = next(plan for plan in opened.views if plan.name == name)
    (folder / MADE).write_text(json.dumps(trace_view(trace(opened), plan)), encoding="utf-8")
    return folder


def weigh_anew(run: Path) -> None:
    """Give a run other weights and export it: in two files, where there were twelve."""
    opened = open_run(str(run), ["weights.policy=best"])
    export_run(opened, weigh_run(opened, Silent()), Silent())


def call(*words: str | Path) -> str:
    """Run a command in this process and return all it shows."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def read_local(folder: Path) -> dict[str, bytes]:
    """Every file by its path, but the note of what an export was made from: that stays here."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MADE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def read_pushed(run: Path, name: str = "me/small") -> dict[str, bytes]:
    """What a push of a run leaves on the hub beside the manifest: the card says how to load it from there."""
    files = read_local(run / "dataset")
    return {**files, "README.md": files["README.md"].replace(b"path/to/this/folder", name.encode())}


def hub_environment(url: str, home: Path) -> dict[str, str]:
    """What a process needs to take a loopback server for the hub."""
    return {"HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}


def point_client_at(hub: HubServer, home: Path, patch: pytest.MonkeyPatch) -> None:
    """Turn the clients of this process, which read their settings once, to a loopback server."""
    import datasets.config
    from huggingface_hub import HfFileSystem, close_session, constants

    close_session()
    HfFileSystem.clear_instance_cache()  # it keeps listings by address, and the system gives ports out again
    for name, value in hub_environment(hub.url, home).items():
        patch.setenv(name, value)
    patch.setattr(constants, "ENDPOINT", hub.url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    patch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
    patch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")


@dataclass(frozen=True)
class Folder:
    """A folder that is pushed to, as its address and as pyarrow sees it."""

    address: str
    system: Any
    path: str

    def files(self) -> dict[str, bytes]:
        found = self.system.get_file_info(fs.FileSelector(self.path, recursive=True, allow_not_found=True))
        return {each.path[len(self.path) + 1 :]: self.read(each.path) for each in found if each.is_file}

    def count(self) -> int:
        found = self.system.get_file_info(fs.FileSelector(self.path, recursive=True, allow_not_found=True))
        return sum(each.is_file for each in found)

    def read(self, path: str) -> bytes:
        with self.system.open_input_stream(path) as file:
            return bytes(file.read())

    def write(self, path: str, content: bytes) -> None:
        with self.system.open_output_stream(f"{self.path}/{path}") as file:
            file.write(content)
