"""Export of a scored and weighed run: a Hugging Face dataset that loads without datagen.

`export_dataset` takes samples one by one and writes sharded parquet with the images inside, split by prompt, and a
dataset card with sample pictures and a training loss that uses the weights. It holds two row groups per split in
memory; the folder appears complete or not at all; equal samples give equal bytes. The command is `datagen export RUN`.

`export_view` converts a dataset by a view (a pure function from rows to training examples) to the format of a trainer.

Not covered: uploading. The folder must be on a local file system.
"""

from __future__ import annotations

from datagen.export.card import CardNotes
from datagen.export.columns import ExportItem, dataset_features, split_of
from datagen.export.dataset import MADE, ExportResult, export_dataset, read_result
from datagen.export.regions import list_regions
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
    "list_regions",
    "read_result",
    "split_of",
]
