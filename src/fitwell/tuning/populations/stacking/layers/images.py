"""What is done to every channel of an image alone, and the way from maps to features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.models import Standardize
from fitwell.tuning.populations.stacking import Layer, Unstackable, settings
from fitwell.tuning.populations.stacking.rows import View


class StackedStandardize(nn.Module):
    """Standardise pixels with each member's own mean and deviation, which folds of the data may not share.

    Args:
        rows: where they lie.
        name: of the modules.
    """

    def __init__(self, rows: View, name: str) -> None:
        super().__init__()
        scale, shift = rows.buffer(f"{name}.scale"), rows.buffer(f"{name}.shift")
        same = bool((scale == scale[:1]).all() and (shift == shift[:1]).all())
        count = 1 if same else len(scale)
        self.scale, self.shift = (values[:count, None] for values in (scale, shift))

    def forward(self, x_KBCHW: Tensor) -> Tensor:
        """(x - mean) / std, channel by channel; shared pixels stay shared if the statistics are."""
        return x_KBCHW.to(self.scale.dtype).mul(self.scale).add_(self.shift)

    def ahead(self, x: Tensor) -> Tensor:
        """See ``chain.Direct``."""
        return self.forward(x)

    def back(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """See ``chain.Direct``."""
        return gradient * self.scale if wanted else None


class StackedFlatten(nn.Module):
    """(K, B, ...) -> (K, B, F)."""

    def __init__(self) -> None:
        super().__init__()
        self._shape = torch.Size()

    def forward(self, x: Tensor) -> Tensor:
        """All dimensions of a sample as one."""
        return x.flatten(2)

    def ahead(self, x: Tensor) -> Tensor:
        """See ``chain.Direct``."""
        self._shape = x.shape
        return x.flatten(2)

    def back(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """See ``chain.Direct``."""
        return gradient.reshape(self._shape) if wanted else None


class OnMaps(nn.Module):
    """A module that treats every channel alone: the channels of all members are those of one image.

    Args:
        module: for (B, C, H, W).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x_KBCHW: Tensor) -> Tensor:
        """(K, B, C, H, W) -> (K, B, C, H', W')."""
        maps_BNHW: Tensor = self.module(x_KBCHW.transpose(0, 1).flatten(1, 2))
        maps_BKCHW: Tensor = maps_BNHW.unflatten(1, (len(x_KBCHW), -1))
        return maps_BKCHW.transpose(0, 1)


def _stack(modules: Sequence[Any], rows: View, name: str) -> nn.Module:
    first = modules[0]
    if any(settings(module) != settings(first) for module in modules):
        raise Unstackable(f"{name} has different settings")
    if isinstance(first, Standardize):
        return StackedStandardize(rows, name)
    if isinstance(first, nn.Flatten):
        if (first.start_dim, first.end_dim) != (1, -1):
            raise Unstackable(f"{name} flattens some dimensions only")
        return StackedFlatten()
    return OnMaps(first)


LAYER = Layer((Standardize, nn.Flatten, nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d), _stack)
