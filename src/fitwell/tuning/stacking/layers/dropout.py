"""Dropout: each member draws its mask from its own stream, with its own probability, as it would alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.tuning.stacking import Layer
from fitwell.tuning.stacking.rows import View


class StackedDropout(nn.Module):
    """Dropout of K members.

    Args:
        shares: what each drops.
        streams: what each draws from.
        own: the share of the features that are each member's; what pads the narrower ones is not drawn.
    """

    def __init__(
        self, shares: Sequence[float], streams: Sequence[torch.Generator], own: Sequence[Fraction]
    ) -> None:
        super().__init__()
        self.shares, self.streams, self.own = list(shares), list(streams), list(own)
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
        """What x is multiplied by: zero, or what keeps the expectation."""
        _, batch, features, *rest = x.shape
        noise = torch.ones((len(self.shares), batch, features, *rest), device=x.device)
        for drawn, share, stream, own in zip(noise, self.shares, self.streams, self.own, strict=True):
            if not share:
                continue
            if own == 1:
                drawn.bernoulli_(1 - share, generator=stream).div_(1 - share)
            else:
                width = int(features * own)
                kept = torch.empty((batch, width, *rest), device=x.device)
                drawn[:, :width] = kept.bernoulli_(1 - share, generator=stream).div_(1 - share)
        return noise


def _stack(modules: Sequence[Any], rows: View, _name: str) -> nn.Module:
    return StackedDropout([float(module.p) for module in modules], rows.streams, rows.own)


LAYER = Layer((nn.Dropout,), _stack)
