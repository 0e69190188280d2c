"""Convolutions: the channels of all members side by side, each member a group.

Where all members still see the same image they are the filters of one convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import conv2d

from fitwell.tuning.populations.stacking import Layer, Unstackable
from fitwell.tuning.populations.stacking.rows import View


class StackedConv2d(nn.Module):
    """The convolutions of K members.

    Args:
        modules: one of each member; channels may differ.
        rows: their weights.
        name: of the modules.
    """

    def __init__(self, modules: Sequence[Any], rows: View, name: str) -> None:
        super().__init__()
        first = modules[0]
        settings = {(m.stride, m.padding, m.dilation, m.groups, m.padding_mode) for m in modules}
        if len(settings) > 1 or first.groups != 1 or first.padding_mode != "zeros":
            raise Unstackable(f"{name} has groups, a padding that is not zero, or different settings")
        self.count, self.stride, self.padding = rows.count, first.stride, first.padding
        self.dilation = first.dilation
        self.weight_KOCHW = rows.leaf(f"{name}.weight")
        self.bias_KO = rows.leaf(f"{name}.bias") if first.bias is not None else None

    def forward(self, x_KBCHW: Tensor) -> Tensor:
        """(K or 1, B, C, H, W) -> (K, B, O, H', W')."""
        maps: Tensor = conv2d(
            x_KBCHW.transpose(0, 1).flatten(1, 2),
            self.weight_KOCHW.flatten(0, 1),
            None if self.bias_KO is None else self.bias_KO.flatten(),
            self.stride, self.padding, self.dilation, groups=len(x_KBCHW),
        )  # fmt: skip
        own: Tensor = maps.unflatten(1, (self.count, -1))
        return own.transpose(0, 1)


def _stack(modules: Sequence[Any], rows: View, name: str) -> nn.Module:
    stacked = StackedConv2d(modules, rows, name)
    rows.put_out([module.out_channels for module in modules], stacked.weight_KOCHW.shape[1])
    return stacked


LAYER = Layer((nn.Conv2d,), _stack)
