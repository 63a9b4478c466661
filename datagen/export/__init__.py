"""The export of a scored and weighed run: a Hugging Face dataset that needs no code of ours.

`export_dataset` takes the samples one by one and writes sharded parquet with the images inside, a split by prompt,
and a dataset card with sample pictures and a training loss that uses the weights. Memory holds two row groups per
split; the folder appears whole or not at all; the same samples give the same bytes. Make one: `datagen export RUN`.

From there `export_view` leads through a view (a pure function from rows to training examples) into the format of a
trainer.

Not covered: uploading. The folder must be on a local file system.
"""

from __future__ import annotations

from datagen.export.card import CardNotes
from datagen.export.columns import ExportItem, dataset_features, split_of
from datagen.export.dataset import MADE, ExportResult, export_dataset
from datagen.export.view import RunPlan, ViewPlan, ViewResult, check_needs, check_view, export_view

__all__ = [
    "MADE",
    "CardNotes",
    "ExportItem",
    "ExportResult",
    "RunPlan",
    "ViewPlan",
    "ViewResult",
    "check_needs",
    "check_view",
    "dataset_features",
    "export_dataset",
    "export_view",
    "split_of",
]
