"""Batch norms: each feature of each member is one channel of a single norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from fitwell.models.mlp import BatchNorm
from fitwell.tuning.populations.stacking import Layer, Unstackable
from fitwell.tuning.populations.stacking.rows import View


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
        self.lone, self.learns = type(first) is BatchNorm, True
        self._kept: tuple[Any, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Normalised by the batch in training, by the running statistics in evaluation."""
        normed = batch_norm(
            self._flat(x), self.mean_KF.view(-1), self.variance_KF.view(-1), self.weight.reshape(-1),
            self.bias.reshape(-1), self._count(x), self.momentum, self.eps,
        )  # fmt: skip
        return self._whole(normed, x)

    def ahead(self, x: Tensor) -> Tensor:
        """See ``chain.Direct``."""
        flat, by_batch, weight = self._flat(x), self._count(x), self.weight.reshape(-1)
        running = self.mean_KF.view(-1), self.variance_KF.view(-1)
        normed, *batch = torch.native_batch_norm(
            flat, weight, self.bias.reshape(-1), *running, by_batch, self.momentum, self.eps
        )
        self._kept = flat, weight, *running, *batch, by_batch, self.eps
        return self._whole(normed, x)

    def back(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """See ``chain.Direct``."""
        own, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            self._flat(gradient), *self._kept, [wanted, True, True]
        )
        for leaf, values in ((self.weight, of_weight), (self.bias, of_bias)):
            leaf.grad = values.view_as(leaf) if leaf.grad is None else leaf.grad + values.view_as(leaf)
        return self._whole(own, gradient) if wanted else None

    def _count(self, x: Tensor) -> bool:
        """Whether this batch is normalised by itself; then it is counted."""
        by_batch = self.training and not (self.lone and x.shape[1] == 1)
        if by_batch:
            self.batches_K += 1
        return by_batch

    def _flat(self, x: Tensor) -> Tensor:
        """(1, K F, B) or (B, K C, H, W): no copy, if the layer before was a stacked one."""
        count, features = self.mean_KF.shape
        x = x.expand(count, *x.shape[1:])
        return x.mT.reshape(1, count * features, -1) if x.ndim == 3 else x.transpose(0, 1).flatten(1, 2)

    def _whole(self, flat: Tensor, like: Tensor) -> Tensor:
        """(K, B, F) or (K, B, C, H, W) again."""
        count, features = self.mean_KF.shape
        if like.ndim == 3:
            return flat.view(count, features, -1).mT
        maps: Tensor = flat.unflatten(1, (count, features))
        return maps.transpose(0, 1)


LAYER = Layer((nn.BatchNorm1d, nn.BatchNorm2d, BatchNorm), StackedBatchNorm)
