#!/usr/bin/env bash
# datasets 5.2.0: a file added to a folder of numbered shards is not read, and nothing says so.
#
# Guess: without a card, every data/train-*.parquet of a folder belongs to the split train.
# Seen: as soon as one file is named train-00000-of-00001.parquet, only files with such numbers are read; the rows of
# train-more.parquet beside it are missing, without an error or a warning. Alone, the same file is read.
# Who meets it: whoever adds rows of their own to a downloaded dataset by putting a file beside its shards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 2>/dev/null
HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

datasets.disable_progress_bars()


def read(name, files):
    data = Path(sys.argv[1]) / name / "data"
    data.mkdir(parents=True)
    for file, rows in files.items():
        pq.write_table(pa.table({"row": rows}), data / file)
    return datasets.load_dataset(str(data.parent), split="train")["row"][:]


more = {"train-more.parquet": [3, 4]}
assert read("alone", more) == [3, 4]
assert read("beside", {"train-00000-of-00001.parquet": [1, 2], **more}) == [1, 2]
assert read("numbered", {"train-00000-of-00002.parquet": [1, 2], "train-00001-of-00002.parquet": [3, 4]}) == [1, 2, 3, 4]
print(f"datasets {datasets.__version__}: train-more.parquet beside train-00000-of-00001.parquet is not read")
PY
