"""Weights from stored rewards: what the loss of a sample's text and of its image is multiplied by.

Weights are a view on scores, not a state: a million rows take seconds, no image is read and no model is loaded.
A reward that is None is unknown, not bad: such a sample gets weight 0 on that modality with the reason `unscored`, or
what was not judged, and takes no part in any mean, rank or count there. See it: `datagen weigh RUN --policy best`.

Not covered: weights that depend on anything but rewards and groups (length, novelty, an importance ratio).
"""

from __future__ import annotations

from datagen.config import Policy
from datagen.weighting.health import IdleSkill, WeightDiagnosis, WeightReport, asked_modalities, diagnose_weights
from datagen.weighting.rows import RewardRow, Weight, receipt_of
from datagen.weighting.weights import weigh

__all__ = [
    "IdleSkill",
    "Policy",
    "RewardRow",
    "Weight",
    "WeightDiagnosis",
    "WeightReport",
    "asked_modalities",
    "diagnose_weights",
    "receipt_of",
    "weigh",
]
