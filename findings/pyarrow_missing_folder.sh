#!/usr/bin/env bash
# pyarrow 26.0.1: listing a folder that does not exist is a plain OSError on Google's store, FileNotFoundError elsewhere.
#
# Guess: `get_file_info(FileSelector(folder))` raises FileNotFoundError for a missing folder on every file system, as the
# documentation of `allow_not_found` says of the selector, not of one store.
# Seen: LocalFileSystem raises FileNotFoundError with errno 2; GcsFileSystem raises OSError, whose message is
# "No such file or directory" and whose errno is None. `except FileNotFoundError`, and fsspec's `ArrowFSWrapper.ls`, which
# relies on it, work on a laptop and fail on the bucket with an error that looks like an outage.
# Who meets it: whoever lists a folder before its first file is written, on gs://. `allow_not_found=True` avoids it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pyarrow==26.0.1 fsspec==2026.9.0 gcp-storage-emulator==2026.7.19 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import socket
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.fs as fs
from fsspec.implementations.arrow import ArrowFSWrapper

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
server = subprocess.Popen([*command, "--default-bucket=bucket"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
            break
        except OSError:
            time.sleep(0.1)
    google = fs.GcsFileSystem(anonymous=True, endpoint_override=f"127.0.0.1:{port}", scheme="http")
    seen = {}
    for name, system, folder in (("local", fs.LocalFileSystem(), "/no/such"), ("google", google, "bucket/no/such")):
        assert system.get_file_info(fs.FileSelector(folder, allow_not_found=True)) == []
        for how, call in (
            ("pyarrow", lambda: system.get_file_info(fs.FileSelector(folder))),
            ("fsspec", lambda: ArrowFSWrapper(system).ls(folder)),
        ):
            try:
                call()
            except OSError as error:
                seen[name, how] = type(error).__name__, error.errno
                print(f"pyarrow {pa.__version__}, {name}, through {how}: {type(error).__name__}, errno {error.errno}: {error}")
    assert seen == {
        ("local", "pyarrow"): ("FileNotFoundError", 2),
        ("local", "fsspec"): ("FileNotFoundError", 2),
        ("google", "pyarrow"): ("OSError", None),
        ("google", "fsspec"): ("OSError", None),
    }, seen
finally:
    server.kill()
PY
