#!/usr/bin/env bash
# fsspec 2026.9.0 over pyarrow 26.0.1: `system.open(path).read()` in one expression finds its file closed.
#
# Guess: `ArrowFSWrapper(system).open(path).read()` returns the bytes, as with every other fsspec file system.
# Seen: ValueError, "I/O operation on closed file". With the file in a variable, or in `with`, the same call works. The
# wrapper's `read` is an attribute of the stream inside; once it is looked up nothing holds the wrapper, which is freed,
# and freed files close themselves, before the call is made.
# Who meets it: whoever moves `fs.open(path).read()` or `json.loads(fs.open(path).read())` from s3fs, gcsfs or a local
# path to pyarrow's buckets or HDFS. `fs.cat_file(path)` works on all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 fsspec==2026.9.0 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from pathlib import Path

import fsspec
import pyarrow.fs as fs
from fsspec.implementations.arrow import ArrowFSWrapper

path = Path("text.txt").absolute()
path.write_bytes(b"three")
wrapped = ArrowFSWrapper(fs.LocalFileSystem())
for name, system in (("local", fsspec.filesystem("file")), ("over pyarrow", wrapped)):
    file = system.open(str(path), "rb")
    assert file.read() == system.cat_file(str(path)) == b"three"
    try:
        told = repr(system.open(str(path), "rb").read())
    except ValueError as error:
        told = f"ValueError: {error}"
    print(f"fsspec {fsspec.__version__}, {name}: open(path).read() in one expression: {told}")
    assert told == ("ValueError: I/O operation on closed file" if system is wrapped else "b'three'"), told
PY
