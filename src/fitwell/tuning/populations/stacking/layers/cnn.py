"""The residual network for images: its forward, with a model dimension."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fitwell.models.cnn import Cnn
from fitwell.tuning.populations.stacking import Layer, with_stacked_children
from fitwell.tuning.populations.stacking.rows import View


class StackedCnn(nn.Module):
    """See ``fitwell.models.cnn.Cnn``.

    Args:
        parts: a Cnn with stacked children.
    """

    def __init__(self, parts: Cnn) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x_KBCHW: Tensor) -> Tensor:
        """Outputs (K, B, O)."""
        parts = self.parts
        maps = parts.stem(parts.standardize(x_KBCHW))
        together = maps.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        outputs: Tensor = parts.head(parts.stages(together.unflatten(1, (len(maps), -1)).transpose(0, 1)))
        return outputs


def _stack(modules: Sequence[nn.Module], rows: View, name: str) -> nn.Module:
    parts = with_stacked_children(modules, rows, name)
    assert isinstance(parts, Cnn)  # noqa: S101 - a copy of one
    return StackedCnn(parts)


LAYER = Layer((Cnn,), _stack)
