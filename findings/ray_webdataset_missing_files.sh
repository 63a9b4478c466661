#!/usr/bin/env bash
# Ray 2.60.0, pandas 3.1.1: `ray.data.read_webdataset` of a tar in which a later example has fewer images than the first.
#
# Guess: what an example lacks is None, in any order of the examples.
# Seen: if the example with most images is the first, decoding ends the read with a ValueError of a tensor type. If it is
# not, or without decoding (`decoder=None`), all is read, but of one column some missing files are None and others the
# float nan: `row["1.png"] is None` misses those.
# Who meets it: whoever keeps interleaved examples, or some with a picture and some without, as a WebDataset.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[data]==2.60.0" pandas==3.1.1 pillow==12.3.0 2>/dev/null
HOME="$folder" "$folder/venv/bin/python" - "$folder" 2>/dev/null <<'PY'
import io
import sys
import tarfile

import ray
from PIL import Image


def make_tar(name, images):
    """A tar whose example k has `images[k]` equal pictures."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "png")
    path = f"{sys.argv[1]}/{name}.tar"
    with tarfile.open(path, "w") as tar:
        for k, many in enumerate(images):
            for file, content in [("json", b"{}"), *((f"{n}.png", picture.getvalue()) for n in range(many))]:
                member = tarfile.TarInfo(f"{k:04d}.{file}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def read(path, **options):
    try:
        rows = ray.data.read_webdataset(path, **options).take_all()
    except Exception as error:
        return type(error).__name__ + " of column 1.png" * ("column 1.png" in str(error))
    return [type(row["1.png"]).__name__ for row in sorted(rows, key=lambda row: row["__key__"])]


ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
more, fewer = make_tar("more_first", [2, 1, 1, 1]), make_tar("fewer_first", [1, 1, 1, 2])
seen = {
    "more first": read(more),
    "more first, decoder=None": read(more, decoder=None),
    "fewer first": read(fewer),
}
for name, types in seen.items():
    print(f"{name}: 1.png is", types)
assert "column 1.png" in seen["more first"]
assert seen["more first, decoder=None"] == ["bytes", "float", "NoneType", "NoneType"]
assert seen["fewer first"] == ["NoneType", "NoneType", "float", "ndarray"]
PY
