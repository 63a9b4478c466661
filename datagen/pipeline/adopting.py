"""Shards of a run taken into another that would make the same: an experiment draws once for arms that weigh otherwise.

The files are hard links where the disk allows it: shard files are replaced whole and never changed, so neither run can
harm the other. Not covered: runs on object stores, and shards in flight.
"""

from __future__ import annotations

from itertools import takewhile

from datagen.pipeline.run import Run
from datagen.store import Stage

FILES: dict[str, tuple[Stage, ...]] = {
    "prompts": ("rewrites", "prompts"),
    "samples": ("failures", "samples"),
    "scores": ("scores",),
}
"""The files of each stage, in the order in which they may appear: the last says that the stage is done."""


def adopt_shards(run: Run, other: Run) -> int:
    """Take the shards that `run` lacks from the stages that it shares with `other`, and return how many files came.

    A stage is shared if its mark and those before it are equal: then both runs would write the same records.
    """
    ours, theirs = dict(run.folder.marks or {}), dict(other.folder.marks or {})
    same = takewhile(lambda stage: stage in ours and ours[stage] == theirs.get(stage), FILES)
    return sum(run.folder.adopt(other.folder, kind) for stage in same for kind in FILES[stage])
