#!/usr/bin/env bash
# pyarrow 26.0.1: a listing of one level of a Google bucket shows no folders, so that what walks down finds no file in them.
#
# Guess: `get_file_info(FileSelector(folder))` shows the files and the folders of that level, as it does on a disk and
# as the server's own answer (`items` and `prefixes`) does.
# Seen: for objects `data/a.txt` and `data/year=2026/b.txt`, the selector of `data` gives a.txt alone, with the local
# file system a.txt and year=2026; the server names the prefix. `recursive=True` shows both files. fsspec's
# `ArrowFSWrapper.find`, which walks level by level, returns only a.txt: half a dataset, without an error. A folder shows
# up only if pyarrow itself has made it, as an empty object.
# Who meets it: whoever lists or copies a folder on gs:// that another client wrote. One recursive selector avoids it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pyarrow==26.0.1 fsspec==2026.9.0 gcp-storage-emulator==2026.7.19 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

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
    url = f"http://127.0.0.1:{port}"
    for name in ("data/a.txt", "data/year%3D2026/b.txt"):  # by plain HTTP, as another client would
        address = f"{url}/upload/storage/v1/b/bucket/o?uploadType=media&name={name}"
        headers = {"Content-Type": "application/octet-stream"}
        urllib.request.urlopen(urllib.request.Request(address, b"x", headers, method="POST")).read()
    said = json.load(urllib.request.urlopen(f"{url}/storage/v1/b/bucket/o?prefix=data/&delimiter=/"))
    os.makedirs("data/year=2026")
    for name in ("data/a.txt", "data/year=2026/b.txt"):
        open(name, "w").close()
    google = fs.GcsFileSystem(anonymous=True, endpoint_override=f"127.0.0.1:{port}", scheme="http")
    seen = {"the server names the prefixes": said.get("prefixes")}
    for store, system, root in (("local", fs.LocalFileSystem(), "data"), ("google", google, "bucket/data")):
        for recursive in (False, True):
            found = system.get_file_info(fs.FileSelector(root, recursive=recursive))
            seen[f"{store}, recursive={recursive}"] = sorted(each.base_name for each in found)
        seen[f"{store}, find of fsspec"] = sorted(os.path.basename(path) for path in ArrowFSWrapper(system).find(root))
    for what, value in seen.items():
        print(f"pyarrow {pa.__version__}: {what}: {value}")
    assert seen == {
        "the server names the prefixes": ["data/year=2026/"],
        "local, recursive=False": ["a.txt", "year=2026"],
        "local, recursive=True": ["a.txt", "b.txt", "year=2026"],
        "local, find of fsspec": ["a.txt", "b.txt"],
        "google, recursive=False": ["a.txt"],
        "google, recursive=True": ["a.txt", "b.txt"],
        "google, find of fsspec": ["a.txt"],
    }, seen
finally:
    server.kill()
PY
