"""Complete trajectories: each kept sample as one sequence from prompt to last image, with its weights as losses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from datagen.export.examples import Example, NoOptions, Row, facts_of, parts_of

Options = NoOptions


def view(rows: Iterable[Row], options: NoOptions) -> Iterator[Example]:
    """Yield one example for each row with a weight."""
    for row in rows:
        if row["kept"]:
            yield Example(row["id"], "trajectory", row["group_id"], parts_of(row), facts=facts_of(row))
