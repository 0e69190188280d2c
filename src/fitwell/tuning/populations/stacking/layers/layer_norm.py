"""Layer norms over the features, where members may have different ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.tuning.populations.stacking import Layer, Unstackable
from fitwell.tuning.populations.stacking.rows import View


class StackedLayerNorm(nn.Module):
    """The layer norms of K members, for (K, B, F).

    Args:
        modules: one of each member; widths may differ.
        rows: their weights.
        name: of the modules.
    """

    def __init__(self, modules: Sequence[Any], rows: View, name: str) -> None:
        super().__init__()
        first = modules[0]
        if len(first.normalized_shape) != 1 or first.weight is None or first.bias is None:
            raise Unstackable(f"{name} is no layer norm over one dimension with weight and bias")
        if len({module.eps for module in modules}) > 1:
            raise Unstackable(f"{name} has different settings")
        self.eps = first.eps
        self.weight_KF, self.bias_KF = rows.leaf(f"{name}.weight"), rows.leaf(f"{name}.bias")
        widths = torch.tensor([module.normalized_shape[0] for module in modules])
        widest = self.weight_KF.shape[1]
        device = self.weight_KF.device
        self.widths_K11 = widths.view(-1, 1, 1).to(device)
        ragged = bool((widths < widest).any())
        mask_KF = (torch.arange(widest) < widths[:, None]).to(self.weight_KF.dtype)
        self.mask_K1F = mask_KF[:, None, :].to(device) if ragged else None

    def forward(self, x_KBF: Tensor) -> Tensor:
        """Each sample with mean 0 and variance 1 over the member's features, then scaled and shifted."""
        if self.mask_K1F is not None:
            x_KBF = x_KBF * self.mask_K1F  # a sigmoid of zero is not zero
        centred = x_KBF - x_KBF.sum(2, keepdim=True) / self.widths_K11
        if self.mask_K1F is not None:
            centred = centred * self.mask_K1F
        variance = centred.square().sum(2, keepdim=True) / self.widths_K11
        normed = centred * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias_KF[:, None, :], normed, self.weight_KF[:, None, :])


LAYER = Layer((nn.LayerNorm,), StackedLayerNorm)
