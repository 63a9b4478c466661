#!/usr/bin/env bash
# daft 0.7.26, polars 2.1.0, duckdb 2.0.1: what comes late in JSON lines is read as 0, as null, or not at all.
#
# Guess: a reader takes the types of the first lines; a later value that does not fit is an error, or widens them.
# Seen: a weight of 1 in every line but the last, which has 0.5: Daft and DuckDB read 0, Polars raises. Empty lists before
# the first name of a picture: Daft reads null, Polars a list of null, DuckDB the name in quotes. A key of the last line
# alone: all three leave the column out. None of them warns; `datasets` 5.2.0 reads all three. What decides is Daft's first
# MB, Polars' first 100 lines (`infer_schema_length`), DuckDB's first 20,480 (`sample_size`). Types that are given, or all
# lines sampled, lose nothing.
# Who meets it: whoever reads lines that another program wrote, with 1 for 1.0, or texts first and pictures later: weights
# become 0, and the pictures of interleaved rows are gone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check daft==0.7.26 polars==2.1.0 duckdb==2.0.1 datasets==5.2.0 2>/dev/null
HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 DAFT_PROGRESS_BAR=0 "$folder/venv/bin/python" - "$folder" <<'PY'
import json
import sys

import daft
import datasets
import duckdb
import polars

datasets.disable_progress_bars()
EARLY, LATE = {"id": "x" * 60, "weight": 1, "images": []}, {"weight": 0.5, "images": ["a.png"], "note": "new"}
TYPES = {"weight": daft.DataType.float64(), "images": daft.DataType.list(daft.DataType.string()), "note": daft.DataType.string()}


def read_duckdb(path, **options):
    rows = duckdb.read_json(path, **options)
    return dict(zip(rows.columns, rows.fetchall()[-1]))


readers = {
    "daft": lambda path: daft.read_json(path).to_pylist()[-1],
    "polars": lambda path: polars.read_ndjson(path).to_dicts()[-1],
    "duckdb": read_duckdb,
    "datasets": lambda path: datasets.load_dataset("json", data_files=path, split="train")[-1],
    "daft, types given": lambda path: daft.read_json(path, schema=TYPES).to_pylist()[-1],
    "polars, all sampled": lambda path: polars.read_ndjson(path, infer_schema_length=None).to_dicts()[-1],
    "duckdb, all sampled": lambda path: read_duckdb(path, sample_size=-1),
}
seen = {name: [] for name in readers}
for key, value in LATE.items():
    path = f"{sys.argv[1]}/{key}.jsonl"
    with open(path, "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in [EARLY] * 20_480 + [{**EARLY, key: value}])
    for name, read in readers.items():
        try:
            seen[name].append(read(path).get(key, "left out"))
        except polars.exceptions.ComputeError:
            seen[name].append("an error")
print(*seen.items(), sep="\n")
lost = {"daft": [0, None, "left out"], "polars": ["an error", [None], "left out"], "duckdb": [0, ['"a.png"'], "left out"]}
assert seen == {name: lost.get(name, list(LATE.values())) for name in readers}
PY
