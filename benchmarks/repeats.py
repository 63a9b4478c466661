"""What finding repeats costs and misses: `python benchmarks/repeats.py [--counts N …] [--pictures N]`.

Each count is a process of its own: sketches of unrelated pictures and texts (random signs, colours and signatures), a
twentieth of them copies with one sign in twenty turned and one number of the signature in twenty changed. `missed` are
the copies that are not found. Then pictograms are drawn and stored again with loss, smaller, darker and moved by a
pixel; of those that differ by at most the limit, `missed` are not found by bands.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import subprocess
import sys
import time

import numpy as np
from PIL import Image, ImageChops, ImageEnhance

from datagen.config import Deduplicate
from datagen.embedded.pictograms import COLORS, SHAPES, render_scene
from datagen.embedded.world import lay_out
from datagen.pipeline.repeats import find_repeats, sketch_samples, sketch_type
from datagen.records import Claim, Prompt, Request, Sample, Segment
from datagen.vision.perceptual import NEAR, SIGNS, measure_differences

COPIES, CHANGED = 20, 0.05
"""One sketch in so many is a copy, of which this share is changed."""


def peak_mib() -> float:
    """Return the peak resident memory of this process in MiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def make_sketches(count: int) -> np.ndarray:
    """Return sketches of which the last twentieth are changed copies of the first."""
    rng = np.random.default_rng(0)
    made = np.empty(count, sketch_type())
    made["bytes"], made["words"] = rng.integers(1, 2**63, (2, count), dtype=np.uint64)
    half = -(-SIGNS // 8)
    for start in range(0, count, 10_000):
        part = made[start : start + 10_000]
        signs = rng.integers(-1, 2, (len(part), SIGNS), dtype=np.int8)
        part["image"][:, :half] = np.packbits(signs > 0, axis=1)
        part["image"][:, half : 2 * half] = np.packbits(signs < 0, axis=1)
        part["image"][:, 2 * half :] = rng.integers(0, 256, (len(part), 48), dtype=np.uint8)
        part["text"] = rng.integers(0, 256, part["text"].shape, dtype=np.uint8)
    copies = count // COPIES
    made["image"][-copies:], made["text"][-copies:] = made["image"][:copies], made["text"][:copies]
    turned = np.packbits(rng.random((copies, 8 * half), dtype=np.float32) < CHANGED, axis=1)
    planes = made["image"][-copies:, : 2 * half].copy()
    plus, minus = planes[:, :half], planes[:, half:]
    made["image"][-copies:, :half] = (plus & ~turned) | (minus & turned)
    made["image"][-copies:, half : 2 * half] = (minus & ~turned) | (plus & turned)
    other = rng.random((copies, 128), dtype=np.float32) < CHANGED
    made["text"][-copies:] += other.astype(np.uint8)
    return made


def measure(count: int) -> dict[str, float]:
    """Find the repeats of made sketches, pictures and texts in turn, and return what it took and missed."""
    sketches = make_sketches(count)
    groups, rewards = np.arange(count), np.zeros(count)
    base, result = peak_mib(), dict[str, float]()
    for name, options in (("images", Deduplicate(texts=None)), ("texts", Deduplicate(images=None))):
        begun = time.process_time()
        repeats = find_repeats(sketches, groups, rewards, options)
        result[f"{name}_cpu_seconds"] = round(time.process_time() - begun, 1)
        result[f"{name}_missed"] = round(1 - repeats.found.sum() / (count // COPIES), 4)
    return {"samples": count, **result, "sketches_mib": round(base), "peak_mib": round(peak_mib())}


def draw(number: int) -> Image.Image:
    """Return a pictogram scene: one to six things of one kind and colour."""
    rng = random.Random(number)
    thing = rng.choice(sorted(SHAPES))
    claims = (Claim("count", thing, value=rng.randint(1, 6)), Claim("attribute", thing, "color", rng.choice([*COLORS])))
    return Image.fromarray(render_scene(lay_out(claims, rng)))


def spoil(picture: Image.Image) -> dict[str, bytes]:
    """Return a picture as a file, and again with loss, smaller, darker, and moved."""
    forms = {
        "equal": (picture, "PNG", {}),
        "jpeg": (picture, "JPEG", {"quality": 60}),
        "smaller": (picture.resize((72, 72)), "PNG", {}),
        "darker": (ImageEnhance.Brightness(picture).enhance(0.95), "PNG", {}),
        "moved": (ImageChops.offset(picture, 1, 0), "PNG", {}),
    }
    files = {}
    for name, (form, kind, options) in forms.items():
        file = io.BytesIO()
        form.convert("RGB").save(file, kind, **options)
        files[name] = file.getvalue()
    return files


def measure_pictures(count: int) -> list[dict[str, float | str]]:
    """Return by form how many spoilt pictures differ by at most the limit, and how many of these are not found."""
    prompt = Prompt.make("-", (), weakness="-", skill="-", level="-", index=0, seed=0, template="-")
    files = [spoil(draw(number)) for number in range(count)]

    def sketch(name: str) -> np.ndarray:
        samples = (
            Sample.make(Request(prompt, 0, 0, "direct"), (Segment("image", "image", image=each[name]),),
                        engine="-", switch="none", finish="stop", settings={})
            for each in files
        )  # fmt: skip
        return sketch_samples({prompt.id: prompt}, samples)

    begun = time.process_time()
    originals = sketch("equal")
    each_ms = 1e3 * (time.process_time() - begun) / count
    alone = find_repeats(originals, np.arange(count), np.zeros(count), Deduplicate(texts=None))
    rows: list[dict[str, float | str]] = [
        {"form": "sketch", "ms": round(each_ms, 2), "repeats_among_originals": int(alone.images)}
    ]
    for name in list(files[0])[1:]:
        both = np.concatenate([originals, sketch(name)])
        difference = [
            float(measure_differences(a, b[None])[0])
            for a, b in zip(both["image"][:count], both["image"][count:], strict=True)
        ]
        near = np.array(difference) <= NEAR + 1 / 255
        found = find_repeats(both, np.arange(2 * count), np.repeat([1.0, 0.0], count), Deduplicate(texts=None)).found
        missed = int((near & ~found[count:]).sum())
        rows.append({"form": name, "near": int(near.sum()), "of": count, "missed": missed})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="What finding repeats costs and misses.")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one)))
        return
    for count in options.counts:
        words = [sys.executable, __file__, "--one", str(count)]
        print(subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip(), flush=True)
    for row in measure_pictures(options.pictures) if options.pictures else ():
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
