#!/usr/bin/env bash
# pyarrow 26.0.1, fsspec 2026.9.0: files of pyarrow's file systems raise SystemError for read(-1).
#
# Guess: `read(-1)` reads to the end, as `io` says of every file and as pyarrow's own `read(None)` does.
# Seen: SystemError, "Negative size passed to PyBytes_FromStringAndSize", from local files, streams and buffers alike, and
# through fsspec's `ArrowFSWrapper`, whose files are meant to stand in for those of any other fsspec file system. The
# message names a function of C and no argument of the caller.
# Who meets it: code written for fsspec or `io` that passes -1 for "all" (as `shutil.copyfileobj(source, target, -1)`
# does) and moves from s3fs or a local path to pyarrow's buckets.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 fsspec==2026.9.0 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import io
import shutil
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.fs as fs
from fsspec.implementations.arrow import ArrowFSWrapper

path = Path("text.txt").absolute()
path.write_bytes(b"three")
local = fs.LocalFileSystem()
opens = {
    "io": lambda: path.open("rb"),
    "fsspec, local": lambda: fsspec.filesystem("file").open(str(path), "rb"),
    "pyarrow, buffer": lambda: pa.BufferReader(b"three"),
    "pyarrow, file": lambda: local.open_input_file(str(path)),
    "pyarrow, stream": lambda: local.open_input_stream(str(path)),
    "fsspec over pyarrow": lambda: ArrowFSWrapper(local).open(str(path), "rb"),
}
for name, open_ in opens.items():
    with open_() as file:
        assert file.read() == b"three", name
    file = open_()
    try:
        told = repr(file.read(-1))
    except SystemError as error:
        told = f"SystemError: {error}"
    print(f"{name:20s} read(-1): {told}")
    assert told.startswith("SystemError: Negative size") == ("pyarrow" in name), told
copy = io.BytesIO()
shutil.copyfileobj(path.open("rb"), copy, -1)
assert copy.getvalue() == b"three"
try:
    shutil.copyfileobj(local.open_input_stream(str(path)), io.BytesIO(), -1)
except SystemError as error:
    print(f"shutil.copyfileobj(source, target, -1): SystemError: {error}")
else:
    raise AssertionError("copied")
PY
