#!/usr/bin/env bash
# rapidocr 3.10.0: single Latin capitals between spaces come back as full-width letters, in one line with plain ones.
#
# Guess: black capitals on white are read as the ASCII letters that were drawn, or as wrong letters, never as other
# forms of the right ones.
# Seen, DejaVu Sans of 40 px: "R & B" is read as U+FF32 U+FF06 "B", and "A B C" as U+FF21 "BC"; "10°C" ends in the one
# character U+2103; "ROCK & ROLL" is plain ASCII. Over ten such texts in sixteen fonts, 27 of 160 hold a full-width
# character. To a person these are the right letters, to `==` they are not. Unicode's NFKC form makes them equal again.
# Who meets it: whoever compares what was read with what should be there, as every reward for rendered text does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rapidocr==3.10.0 onnxruntime==1.31.1 \
  numpy==2.4.6 opencv-python-headless==5.0.0.93 pillow==13.0.0 matplotlib==3.10.8 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidocr import RapidOCR

path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # a font that a package brings
font = ImageFont.truetype(str(path), 40)
reader = RapidOCR(params={"Global.log_level": "error"})


def read(text):
    picture = Image.new("RGB", (int(font.getlength(text)) + 60, 100), "white")
    ImageDraw.Draw(picture).text((30, 25), text, font=font, fill="black")
    found = reader(np.asarray(picture)[:, :, ::-1], use_det=True, use_cls=False, use_rec=True)
    return list(found.txts or ())


seen = {text: read(text) for text in ("R & B", "A B C", "10°C", "ROCK & ROLL")}
for text, lines in seen.items():
    print(text, ascii(lines))
assert seen["R & B"] == ["\uff32\uff06B"], seen
assert seen["A B C"] == ["\uff21BC"], seen
assert seen["10°C"][0].endswith("\u2103"), seen
assert "".join(seen["ROCK & ROLL"]).isascii(), seen
assert unicodedata.normalize("NFKC", seen["R & B"][0]) == "R&B"
PY
