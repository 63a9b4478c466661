"""What `contamination_images` costs and tells apart.

    python benchmarks/guard.py [--pictures 200] [--known 10000] [--encoder efficientnet_lite0]

Pictograms are the benchmark. They are stored again with loss, smaller, darker, moved by a pixel, and mirrored; others
are drawn anew. By form: how many the hash refuses within its default, and quantiles of the greatest cosine of each with
the benchmark, from which a user chooses `above`. Then what one sample costs against `--known` pictures, the benchmark
repeated, in CPU milliseconds of one process, what reading one picture of the benchmark costs, and the bytes for each.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from PIL import ImageOps

from benchmarks.repeats import draw, spoil
from datagen.plugins import load_plugin
from datagen.vision.known import KnownFeatures, KnownPictures


def make_forms(count: int) -> dict[str, list[bytes]]:
    """Return `count` pictures by form, the benchmark itself as `equal`, and as many `other` ones."""
    forms: dict[str, list[bytes]] = {}
    for number in range(count):
        picture, file = draw(number), io.BytesIO()
        ImageOps.mirror(picture).save(file, "PNG")
        made = {**spoil(picture), "mirrored": file.getvalue(), "other": spoil(draw(count + number))["equal"]}
        for name, content in made.items():
            forms.setdefault(name, []).append(content)
    return forms


def time_each(call: Callable[[bytes], object], images: Sequence[bytes]) -> float:
    """Return the CPU milliseconds of one call."""
    begun = time.process_time()
    for image in images:
        call(image)
    return round(1e3 * (time.process_time() - begun) / len(images), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description="What contamination_images costs and tells apart.")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--known", type=int, default=10_000)
    parser.add_argument("--encoder", default="efficientnet_lite0")
    options = parser.parse_args()
    forms = make_forms(options.pictures)
    encode = load_plugin("vision.encoders", options.encoder, "build").build({})
    encode(forms["equal"][:1])  # loads it
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(forms["equal"]):
            (Path(folder) / f"{number:06d}.png").write_bytes(image)
        begun = time.process_time()
        hashes = KnownPictures.from_places([folder])
        read = time.process_time()
        features = KnownFeatures.from_places([folder], encode, 1.0)
        encoded = time.process_time()
    for name, images in forms.items():
        cosines = [features.find_nearest(image)[1] for image in images]
        quantiles = {f"cosine_{q:g}": round(float(np.quantile(cosines, q)), 3) for q in (0, 0.05, 0.5, 0.95, 1)}
        by_hash = sum(bool(hashes.match(image)) for image in images)
        print(json.dumps({"form": name, "of": len(images), "by_hash": by_hash, **quantiles}), flush=True)
    times = -(-options.known // options.pictures)
    many = KnownPictures(np.tile(hashes.hashes, (times, 1)), [*hashes.places] * times)
    wide = KnownFeatures(np.tile(features.rows, (times, 1)), many.places, encode, 1.0)
    some = forms["other"][:100]
    cost = {
        "known": len(many.places),
        "read_hash_ms": round(1e3 * (read - begun) / options.pictures, 2),
        "read_features_ms": round(1e3 * (encoded - read) / options.pictures, 2),
        "sample_hash_ms": time_each(many.match, some),
        "sample_features_ms": time_each(wide.match, some),
        "of_that_encoding_ms": time_each(lambda image: encode([image]), some),
        "mib": round((many.hashes.nbytes + wide.rows.nbytes) / 2**20, 1),
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
