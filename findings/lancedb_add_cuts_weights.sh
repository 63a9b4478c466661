#!/usr/bin/env bash
# lancedb 0.40.0, pylance 14.0.2: weights that are added to a table whose first weights were whole lose their fractions.
#
# Guess: a table whose `weight` is an integer refuses 0.5, as an append with Lance does, or becomes one of floats.
# Seen: after `create_table` from rows with a weight of 1, `add` stores 0.5 as 0 and 1.99 as 1, also in lists and in lists
# of parts with a loss each, and `update` does the same. NaN and text are refused, and so is 0.5 by `merge_insert` and
# Lance's own append. Both weights in one call, or 1.0 in the first, make a column of floats.
# Who meets it: whoever fills a table batch by batch, from JSON in which a whole weight is 1: rows of small weight become
# rows of weight 0, which training leaves out, and nothing says so. A schema given to `create_table` avoids it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lancedb==0.40.0 pylance==14.0.2 2>/dev/null
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import lance
import lancedb
import pyarrow as pa

folder = sys.argv[1]


def row(name, *weights):
    return {"id": name, "weight": weights[0], "losses": list(weights), "parts": [{"loss": weights[0]}]}


def table_of(name, *rows, **options):
    return lancedb.connect(f"{folder}/database").create_table(name, data=list(rows), **options)


def refuses(act):
    try:
        act()
        return False
    except (OSError, RuntimeError, ValueError):
        return True


first, second, third = row("a", 1), row("b", 0.5, 0.25), row("c", 1.99)
whole = table_of("whole", first)
whole.add([second, third])
seen = whole.to_arrow().to_pylist()[1:]
print("added after a weight of 1:", *(f"{wanted} is stored as {stored}" for wanted, stored in zip((second, third), seen)), sep="\n")
assert seen == [row("b", 0, 0), row("c", 1)]
whole.update(where="id = 'a'", values={"weight": 0.5})
assert whole.to_arrow().to_pylist()[0]["weight"] == 0

assert refuses(lambda: whole.add([{**second, "weight": float("nan")}]))
assert refuses(lambda: whole.merge_insert("id").when_not_matched_insert_all().execute([row("d", 0.5)]))
lance.write_dataset(pa.Table.from_pylist([first]), f"{folder}/lance")
assert refuses(lambda: lance.write_dataset(pa.Table.from_pylist([second]), f"{folder}/lance", mode="append"))

assert table_of("together", first, second).to_arrow()["weight"].to_pylist() == [1.0, 0.5]
given = table_of("given", first, schema=pa.Table.from_pylist([second]).schema)
given.add([second])
assert given.to_arrow()["weight"].to_pylist() == [1.0, 0.5]
PY
