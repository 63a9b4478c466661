"""Makes torchvision's CUDA wheel importable beside a CPU build of torch: declares the two operators it looks for.

Copied into the site-packages of the environments of vLLM and the trainers by the Makefile, and loaded there by a .pth
file. Only the import needs them; nothing calls them.
"""

from __future__ import annotations

import importlib.abc
import sys
from typing import Any

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library: Any = None


class _DeclareFirst(importlib.abc.MetaPathFinder):
    """Declares the operators when torchvision is about to be imported, then steps aside."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        global _library
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            _library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                _library.define(operator + _SCHEMA)


sys.meta_path.insert(0, _DeclareFirst())
