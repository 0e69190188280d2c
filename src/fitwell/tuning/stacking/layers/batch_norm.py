"""Batch norms: each feature of each member is one channel of a single norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import batch_norm

from fitwell.models.mlp import BatchNorm
from fitwell.tuning.stacking import Layer, Unstackable
from fitwell.tuning.stacking.rows import View


class StackedBatchNorm(nn.Module):
    """The batch norms of K members, for (K, B, F) or (K, B, C, H, W).

    Args:
        modules: one of each member.
        rows: their weights.
        name: of the modules.
    """

    def __init__(self, modules: Sequence[Any], rows: View, name: str) -> None:
        super().__init__()
        first = modules[0]
        if first.momentum is None or not first.track_running_stats or not first.affine:
            raise Unstackable(f"{name} is a batch norm without momentum, statistics or weights")
        if len({(module.eps, module.momentum) for module in modules}) > 1:
            raise Unstackable(f"{name} has different settings")
        self.eps, self.momentum = first.eps, first.momentum
        self.weight, self.bias = rows.leaf(f"{name}.weight"), rows.leaf(f"{name}.bias")
        self.mean_KF, self.variance_KF = (rows.buffer(f"{name}.running_{n}") for n in ("mean", "var"))
        self.batches_K = rows.buffer(f"{name}.num_batches_tracked")
        self.lone = type(first) is BatchNorm

    def forward(self, x: Tensor) -> Tensor:
        """Normalised by the batch in training, by the running statistics in evaluation."""
        by_batch = self.training and not (self.lone and x.shape[1] == 1)
        if by_batch:
            self.batches_K += 1
        count, features = self.mean_KF.shape
        x = x.expand(count, *x.shape[1:])
        # (1, K F, B) or (B, K C, H, W): no copy, if the layer before was a stacked one
        flat = x.mT.reshape(1, count * features, -1) if x.ndim == 3 else x.transpose(0, 1).flatten(1, 2)
        normed: Tensor = batch_norm(
            flat, self.mean_KF.view(-1), self.variance_KF.view(-1), self.weight.reshape(-1),
            self.bias.reshape(-1), by_batch, self.momentum, self.eps,
        )  # fmt: skip
        if x.ndim == 3:
            return normed.view(count, features, -1).mT
        maps: Tensor = normed.unflatten(1, (count, features))
        return maps.transpose(0, 1)


LAYER = Layer((nn.BatchNorm1d, nn.BatchNorm2d, BatchNorm), StackedBatchNorm)
