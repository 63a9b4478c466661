"""A device that no machine needs: tensors there have a shape and a place but no numbers (torch's fake tensors).

An operation on tensors of two devices fails as it would on a GPU. Whoever reads a number from the device waits for all
that it was given to do; that is counted, and the number read is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = "lazy:0"
"""Of the devices that torch knows by name, one that it sets nothing up for."""
_ATEN = torch.ops.aten
READS = (_ATEN._local_scalar_dense.default, _ATEN.item.default, _ATEN.is_nonzero.default)
"""What reads a number; which of them is called depends on the mode of inference."""


class Elsewhere(TorchDispatchMode):
    """Within it torch works on the device; `waits` counts the numbers that were read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)

    def __enter__(self) -> Self:
        self._fake.__enter__()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._fake.__exit__(kind, error, trace)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in READS and args[0].device == torch.device(DEVICE):
            self.waits += 1
            return False if args[0].dtype == torch.bool else 0
        return func(*args, **(kwargs or {}))

    def move(self, tensor: Tensor) -> Tensor:
        """Return a tensor of this shape on the device."""
        with self._fake:
            return self._fake.from_tensor(tensor.detach()).to(DEVICE)

    def move_module(self, module: nn.Module) -> None:
        """Put all weights and buffers of a module on the device."""
        for part in module.modules():
            for name, weight in part._parameters.items():
                if weight is not None:
                    part._parameters[name] = nn.Parameter(self.move(weight), requires_grad=False)
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[name] = self.move(buffer)
