"""Rounds of diagnosis, data and training in one folder: `datagen loop`."""

from __future__ import annotations

from datagen.loop.judging import Difference, Standing, compare, find_stop, stand
from datagen.loop.rounds import LoopPlan, LoopResult, Purse, Round, run_loop
from datagen.loop.trainers import check_trainer, count_learned, mix_rounds, set_model, train_round

__all__ = [
    "Difference",
    "LoopPlan",
    "LoopResult",
    "Purse",
    "Round",
    "Standing",
    "check_trainer",
    "compare",
    "count_learned",
    "find_stop",
    "mix_rounds",
    "run_loop",
    "set_model",
    "stand",
    "train_round",
]
