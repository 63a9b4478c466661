"""Weights from stored rewards: factors for the loss of a sample's text and of its image.

Weights are a view on scores, not a state: a million rows take seconds, without images or models. A reward of None is
unknown, not bad: the sample gets weight 0 for that modality, with the reason `unscored` or what was not judged, and
does not count in any mean, rank or number there. Try `datagen weigh RUN --policy best`.

Not covered: weights that depend on more than rewards and groups (length, novelty, an importance ratio).
"""

from __future__ import annotations

from datagen.config import Policy
from datagen.weighting.health import IdleSkill, WeightDiagnosis, WeightReport, asked_modalities, diagnose_weights
from datagen.weighting.rows import RewardRow, Weight, receipt_of
from datagen.weighting.tables import RewardTable, WeightTable
from datagen.weighting.weights import weigh

__all__ = [
    "IdleSkill",
    "Policy",
    "RewardRow",
    "RewardTable",
    "Weight",
    "WeightDiagnosis",
    "WeightReport",
    "WeightTable",
    "asked_modalities",
    "diagnose_weights",
    "receipt_of",
    "weigh",
]
