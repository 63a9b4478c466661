"""A model and a gallery as one backend: for each prompt the best of what is there, beside what the model draws new.

    backend: {name: gallery, images: outputs/quickstart/dataset, retrieved: 2, model: {name: embedded}}

The first `retrieved` candidates of a prompt are images of the gallery, the others are drawn. Both carry how likely the
model holds them, with its prior taken off, so that they can be ranked together (TIGeR, arXiv 2406.05814): the scorer
`likelihood` reads it, the view `tiger` decides. See `recipes/tiger.yaml`.

Not covered: models that give no likelihood of an image (all but `embedded`); galleries beyond some thousand images,
since every prompt is held against every image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datagen.backends.gallery.backend import GalleryBackend

NOTES_LIKELIHOOD = True
"""Its samples say how likely the model holds each image: what the view `tiger` reads."""


def build(options: Mapping[str, Any]) -> GalleryBackend:
    """Load the model and the gallery.

    Raises BackendError for an unknown option, a gallery that is not there or has no captions, or a model that gives no
    likelihood of an image.
    """
    from datagen.backends.gallery.backend import GalleryBackend, GalleryOptions

    return GalleryBackend(GalleryOptions.parse(options))
