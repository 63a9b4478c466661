"""T2I-R1's prompt rows: one parquet file with what its rewards ask of each prompt. Needs the view `t2i_r1`.

    {split}.parquet    prompt, nouns, task_type; attr_nouns, spatial_info {obj1, obj2, locality} and
                       numeracy_info [{obj_name, num}], null where they do not apply; id

All columns always exist: its reward `git` fails without a column `attr_nouns`. Parquet and not JSON lines, since
`datasets` takes the types of a JSON column from the first block, which may have nulls only.

Source: `make_conversation` in src/t2i-r1/src/open_r1/grpo.py and src/utils/reward_*.py of github.com/CaraJ7/T2I-R1 at
2d9d4d1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from datagen.errors import RunError
from datagen.export.examples import Example, NoOptions

Options = NoOptions
WEIGHTS = "none"
LOSES = "answers and their weights: T2I-R1 samples its own; and the run's rewards and advantages"
BATCH_ROWS = 1000


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the prompts of one split and return their number. Raises RunError for another view than `t2i_r1`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.int64()
    schema = pa.schema(
        {
            "prompt": text,
            "nouns": pa.list_(text),
            "task_type": text,
            "attr_nouns": pa.list_(text),
            "spatial_info": pa.struct({"obj1": text, "obj2": text, "locality": text}),
            "numeracy_info": pa.list_(pa.struct({"obj_name": text, "num": number})),
            "id": text,
        }
    )
    rows: Iterator[dict[str, Any]] = (_make_row(example, schema.names) for example in examples)
    first = list(islice(rows, BATCH_ROWS))
    if not first:
        return 0
    count = 0
    with pq.ParquetWriter(folder / f"{split}.parquet", schema) as writer:
        batch = first
        while batch:
            writer.write_table(pa.Table.from_pylist(batch, schema))
            count += len(batch)
            batch = list(islice(rows, BATCH_ROWS))
    return count


def _make_row(example: Example, names: list[str]) -> dict[str, Any]:
    if not {"prompt", "nouns", "task_type"} <= example.facts.keys():
        what = "the view gives no nouns and no task type, which the format 't2i_r1' needs"
        raise RunError(what, where=f"example {example.id}", hint="choose the view `t2i_r1`")
    return {**{name: example.facts.get(name) for name in names}, "id": example.id}
