"""Dropout: each member draws its mask from its own stream, with its own probability, as it would alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.models.dropout import Dropout, draw, draws, threshold
from fitwell.tuning.populations.stacking import Layer
from fitwell.tuning.populations.stacking.rows import View


class StackedDropout(nn.Module):
    """Dropout of K members.

    Args:
        shares: what each drops, less than 1.
        streams: what each draws from, on the CPU.
        own: the share of the features that are each member's; what pads the narrower ones is not drawn.
    """

    def __init__(
        self, shares: Sequence[float], streams: Sequence[torch.Generator], own: Sequence[Fraction]
    ) -> None:
        super().__init__()
        self.shares, self.streams, self.own = list(shares), list(streams), list(own)
        self.threshold_K = torch.tensor([threshold(share) for share in shares], dtype=torch.int16)
        self.scale_K = torch.tensor([1 / (1 - share) for share in shares])
        self._noise: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(K or 1, B, F, ...) -> (K, B, F, ...), some of it zero and the rest scaled to the same expectation."""
        noise = self._draw(x) if self.training and any(self.shares) else None
        return x if noise is None else x * noise

    def ahead(self, x: Tensor) -> Tensor:
        """See ``chain.Direct``."""
        self._noise = self._draw(x) if any(self.shares) else None
        return x if self._noise is None else x * self._noise

    def back(self, gradient: Tensor, wanted: bool) -> Tensor | None:  # noqa: ARG002 - it is as cheap as to look
        """See ``chain.Direct``."""
        return gradient if self._noise is None else gradient.mul_(self._noise)

    def _draw(self, x: Tensor) -> Tensor:
        """What x is multiplied by: zero, or what keeps the expectation; in memory as x is."""
        shape = (len(self.shares), *x.shape[1:])
        column = (-1, *[1] * (x.ndim - 1))
        noise = torch.empty_like(x.expand(shape), device="cpu")
        noise.copy_(self._numbers(shape) < self.threshold_K.view(column)).mul_(self.scale_K.view(column))
        return noise.to(x.device)

    def _numbers(self, shape: tuple[int, ...]) -> Tensor:
        """(K, B, F, ...) int16 at random; zero, which is kept, where nothing is dropped."""
        count, batch, features, *rest = shape
        widths = [int(features * own) for own in self.own]
        sizes = [batch * width * math.prod(rest) for width in widths]
        drawn = torch.zeros(count, draws(max(sizes)), dtype=torch.int64)
        for row, size, share, stream in zip(drawn, sizes, self.shares, self.streams, strict=True):
            if share:
                draw(row[: draws(size)], stream)
        rows = drawn.view(torch.int16)
        if min(widths) == features:
            return rows[:, : sizes[0]].view(shape)
        numbers = torch.zeros(shape, dtype=torch.int16)
        for place, row, width, size in zip(numbers, rows, widths, sizes, strict=True):
            place[:, :width] = row[:size].view(batch, width, *rest)
        return numbers


def _stack(modules: Sequence[Any], rows: View, _name: str) -> nn.Module:
    return StackedDropout([float(module.p) for module in modules], rows.streams, rows.own)


LAYER = Layer((Dropout,), _stack)
