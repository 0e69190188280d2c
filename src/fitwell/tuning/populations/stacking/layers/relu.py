"""Rectifiers, whose gradient takes the place of the one that comes in: half the memory to go through."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fitwell.tuning.populations.stacking import Layer
from fitwell.tuning.populations.stacking.rows import View


class StackedRelu(nn.Module):
    """The rectifiers of all members."""

    def __init__(self) -> None:
        super().__init__()
        self._positive = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return torch.relu(x)

    def ahead(self, x: Tensor) -> Tensor:
        """See ``chain.Direct``."""
        self._positive = x.clamp_min(0)
        return self._positive

    def back(self, gradient: Tensor, wanted: bool) -> Tensor | None:  # noqa: ARG002 - it is as cheap as to look
        """See ``chain.Direct``."""
        torch.ops.aten.threshold_backward.grad_input(gradient, self._positive, 0, grad_input=gradient)
        return gradient


def _stack(_modules: Sequence[nn.Module], _rows: View, _name: str) -> nn.Module:
    return StackedRelu()


LAYER = Layer((nn.ReLU,), _stack)
