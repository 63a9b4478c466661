"""Rounds of diagnosis, data and training in one folder: `datagen loop`."""

from __future__ import annotations

from datagen.loop.judging import Difference, Standing, compare, find_stop, stand
from datagen.loop.rounds import LoopPlan, LoopResult, Round, run_loop

__all__ = [
    "Difference",
    "LoopPlan",
    "LoopResult",
    "Round",
    "Standing",
    "compare",
    "find_stop",
    "run_loop",
    "stand",
]
