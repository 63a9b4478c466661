"""A Google object store on loopback: the emulator `gcp-storage-emulator`, in memory, with one bucket.

    with GcsServer(folder) as server: server.wait(); …

It is a process of its own, since pyarrow asks the server, with Python's lock held, whether a file is closed. It serves
one request at a time and asks for no credentials: what it cannot show is who may read or write.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from tests.helpers.s3_server import find_ports

BUCKET = "bucket"


class GcsServer:
    """One emulator; `url` is for STORAGE_EMULATOR_HOST."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log.txt"
        (port,) = find_ports(1)
        self.endpoint = f"127.0.0.1:{port}"
        self.url = f"http://{self.endpoint}"
        options = ["--host=127.0.0.1", f"--port={port}", "--in-memory", f"--default-bucket={BUCKET}"]
        self._command = [sys.executable, "-m", "gcp_storage_emulator", "start", *options]

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *args: object) -> None:
        self._process.kill()
        self._process.wait()

    def open(self) -> Any:
        """The server as a file system of pyarrow."""
        import pyarrow.fs as fs

        return fs.GcsFileSystem(anonymous=True, endpoint_override=self.endpoint, scheme="http")

    def wait(self, seconds: float = 120.0) -> None:
        """Return when the emulator takes connections."""
        deadline = time.monotonic() + seconds
        host, port = self.endpoint.split(":")
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((host, int(port)), 5).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"the emulator does not start: {self._log.read_text()[-2000:]}")
