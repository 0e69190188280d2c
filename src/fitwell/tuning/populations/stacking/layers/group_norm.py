"""Group norms: the groups of all members are those of one norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm

from fitwell.tuning.populations.stacking import Layer, Unstackable
from fitwell.tuning.populations.stacking.rows import View


class StackedGroupNorm(nn.Module):
    """The group norms of K members of the same number of channels.

    Args:
        modules: one of each member.
        rows: their weights.
        name: of the modules.
    """

    def __init__(self, modules: Sequence[Any], rows: View, name: str) -> None:
        super().__init__()
        first = modules[0]
        self.count, self.groups, self.eps = rows.count, rows.count * first.num_groups, first.eps
        self.weight_KC, self.bias_KC = rows.leaf(f"{name}.weight"), rows.leaf(f"{name}.bias")

    def forward(self, x_KBCHW: Tensor) -> Tensor:
        """Each group of channels of a sample with mean 0 and variance 1, then scaled and shifted."""
        maps = x_KBCHW.expand(self.count, *x_KBCHW.shape[1:]).transpose(0, 1).flatten(1, 2)
        normed = group_norm(maps, self.groups, self.weight_KC.flatten(), self.bias_KC.flatten(), self.eps)
        own: Tensor = normed.unflatten(1, (self.count, -1))
        return own.transpose(0, 1)


class RaggedGroupNorm(nn.Module):
    """The group norms, each over all channels, of K members that have different ones.

    Args:
        modules: one of each member.
        rows: their weights.
        name: of the modules.
    """

    def __init__(self, modules: Sequence[Any], rows: View, name: str) -> None:
        super().__init__()
        self.eps = modules[0].eps
        self.weight_KC, self.bias_KC = rows.leaf(f"{name}.weight"), rows.leaf(f"{name}.bias")
        channels_K = torch.tensor([module.num_channels for module in modules])
        mask_KC = (torch.arange(self.weight_KC.shape[1]) < channels_K[:, None]).to(self.weight_KC)
        self.mask_K1C11, self.channels_K1111 = (
            mask_KC[:, None, :, None, None],
            mask_KC.sum(1).view(-1, 1, 1, 1, 1),
        )

    def forward(self, x_KBCHW: Tensor) -> Tensor:
        """Each sample with mean 0 and variance 1 over the member's channels, then scaled and shifted."""
        count_K1111 = self.channels_K1111 * x_KBCHW[0, 0, 0].numel()
        x_KBCHW = x_KBCHW * self.mask_K1C11
        centred = (x_KBCHW - x_KBCHW.sum((2, 3, 4), keepdim=True) / count_K1111) * self.mask_K1C11
        variance = centred.square().sum((2, 3, 4), keepdim=True) / count_K1111
        weight, bias = (values_KC[:, None, :, None, None] for values_KC in (self.weight_KC, self.bias_KC))
        return torch.addcmul(bias, centred * torch.rsqrt(variance + self.eps), weight)


def _stack(modules: Sequence[Any], rows: View, name: str) -> nn.Module:
    groups, eps = ({getattr(module, setting) for module in modules} for setting in ("num_groups", "eps"))
    if len(eps) > 1 or len(groups) > 1 or not modules[0].affine:
        raise Unstackable(f"{name} has different settings, or no weights")
    widest = rows.value(f"{name}.weight").shape[1]
    if all(module.num_channels == widest for module in modules):
        return StackedGroupNorm(modules, rows, name)
    if groups != {1}:
        raise Unstackable(f"{name} has groups of different channels")
    return RaggedGroupNorm(modules, rows, name)


LAYER = Layer((nn.GroupNorm,), _stack)
