#!/usr/bin/env bash
# pylance 14.0.2, lancedb 0.40.0, datasets 5.2.0: a filtered dataset that is written to Lance has all its rows again.
#
# Guess: `lance.write_dataset` and LanceDB's `create_table` write the rows of the `Dataset` that they are given, in its
# order; `to_parquet` does.
# Seen: after `filter`, `select`, `shuffle` or `train_test_split` every row of the table below is written, in its first
# order, by both; `flatten_indices()` first, or a stream (`to_iterable_dataset()`) for Lance, gives the right rows.
# `datasets` keeps a selection as indices beside the table, and both libraries take the table alone.
# Who meets it: whoever keeps the good rows of a dataset, or splits off a test set, and stores it in Lance: the dropped
# rows are back, train and test hold the same rows, and nothing says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pylance==14.0.2 lancedb==0.40.0 datasets==5.2.0 2>/dev/null
HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import datasets
import lance
import lancedb

datasets.disable_progress_bars()
folder = sys.argv[1]
database = lancedb.connect(f"{folder}/database")


def through_lance(name, rows):
    return lance.write_dataset(rows, f"{folder}/{name}.lance").to_table()["row"].to_pylist()


def through_lancedb(name, rows):
    return database.create_table(name, data=rows).to_arrow()["row"].to_pylist()


everything = datasets.Dataset.from_dict({"row": [0, 1, 2, 3, 4, 5], "weight": [1.0, 0.0, 0.5, 0.0, 0.0, 2.0]})
parts = everything.train_test_split(test_size=2, seed=0)
selections = {
    "kept": everything.filter(lambda row: row["weight"] > 0),
    "ordered": everything.select([4, 2]),
    "shuffled": everything.shuffle(seed=1),
    "train": parts["train"],
    "test": parts["test"],
}
for name, rows in selections.items():
    wanted, seen = rows["row"][:], [write(name, rows) for write in (through_lance, through_lancedb)]
    print(f"{name}: {wanted} is written as {seen[0]} by Lance and {seen[1]} by LanceDB")
    assert wanted != [0, 1, 2, 3, 4, 5] and seen == [[0, 1, 2, 3, 4, 5]] * 2

kept = selections["kept"]
assert through_lance("flat", kept.flatten_indices()) == through_lancedb("flat", kept.flatten_indices()) == [0, 2, 5]
assert through_lance("stream", kept.to_iterable_dataset()) == [0, 2, 5]
PY
