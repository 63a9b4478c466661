#!/usr/bin/env bash
# datasets 5.2.0, pillow 13.0.0: a `map` that only looks at a picture stores it anew, as a lossy copy of itself.
#
# Guess: `map` with a function that returns a new column leaves the others as they are.
# Seen: if the function has looked at a JPEG or WebP of the row, the result holds another file, even though only the new
# column was returned: instead of a JPEG of quality 95 one of Pillow's default 75, instead of a lossless WebP a lossy one,
# with other pixels. PNG keeps its pixels. A copy of the row (`{**row, ...}`) counts as a look; `filter`, a function that
# leaves the picture alone, and a column that was cast to `Image(decode=False)` keep every byte.
# Who meets it: whoever adds a column from pictures, such as a size or a score, and saves the result: what a model learns
# to draw has other pixels, hashes of the files no longer fit, and nothing says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pillow==13.0.0 2>/dev/null
HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" <<'PY'
import io

import datasets
from PIL import Image

datasets.disable_progress_bars()
noise = Image.effect_noise((64, 64), 64).convert("RGB")


def encode(kind, **options):
    file = io.BytesIO()
    noise.save(file, kind, **options)
    return file.getvalue()


def pixels(file):
    return Image.open(io.BytesIO(file)).convert("RGB").tobytes()


def files_of(rows):
    return rows.cast_column("images", datasets.List(datasets.Image(decode=False)))[0]["images"][0]["bytes"]


def look(row):
    picture = row["images"][0]
    return {"width": Image.open(io.BytesIO(picture["bytes"])).width if isinstance(picture, dict) else picture.width}


cases = {"png": encode("png"), "jpeg": encode("jpeg", quality=95), "webp": encode("webp", lossless=True)}
for kind, file in cases.items():
    features = datasets.Features({"id": datasets.Value("string"), "images": datasets.List(datasets.Image())})
    rows = datasets.Dataset.from_list([{"id": "a", "images": [{"bytes": file, "path": None}]}], features=features)
    looked, copied = files_of(rows.map(look)), files_of(rows.map(lambda row: {**row, "new": 1}))
    print(f"{kind}: {len(file)} bytes, after a look {len(looked)}, same pixels: {pixels(looked) == pixels(file)}")
    assert [pixels(seen) == pixels(file) for seen in (looked, copied)] == [kind == "png"] * 2
    raw = rows.cast_column("images", datasets.List(datasets.Image(decode=False)))
    untouched = rows.map(lambda row: {"new": len(row["id"])}), rows.filter(lambda row: row["images"][0].width), raw.map(look)
    assert all(files_of(kept) == file for kept in untouched)
PY
