"""The unified model that ships with datagen: one small LM writes the plan and the image tokens in one sequence.

    backend: {name: embedded, temperature: 1.0, batch_size: 64, threads: 0, device: auto}

The same sample comes out whatever else is in the batch: noise is keyed by sample and position, batches have one shape.
What the model can draw is `taxonomies/lexicons/pictograms.yaml`. Its figures: `datagen bench model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datagen.embedded.options import EmbeddedOptions as Options

if TYPE_CHECKING:
    from datagen.embedded.backend import EmbeddedBackend


REFLECTS = True
FORM = "pictograms"
"""Name of the instruction template by which it learned to rewrite: `templates/expansion/pictograms.j2`."""


def build(options: Mapping[str, Any]) -> EmbeddedBackend:
    """Load the shipped checkpoint, or the one in `options["checkpoint"]`.

    Raises BackendError for an unknown option, a missing or damaged checkpoint file, or a device that is not there.
    """
    from datagen.embedded.backend import EmbeddedBackend

    return EmbeddedBackend(Options.parse(options))
