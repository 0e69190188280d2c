"""The mean and variance of each feature, as batches come in."""

from __future__ import annotations

import torch
from torch import Tensor

CONSTANT = 1e-6  # a feature whose deviation is so small beside its mean is a constant


class Standardizer:
    """Running statistics of features (Welford; Chan et al. 1979 for batches). Values that are not finite don't count.

    Args:
        features: how many.
    """

    def __init__(self, features: int) -> None:
        self.count = torch.zeros(features, dtype=torch.float64)
        self.mean = torch.zeros(features, dtype=torch.float64)
        self._squares = torch.zeros(features, dtype=torch.float64)

    def update(self, rows: Tensor) -> None:
        """Take a batch (N, F) into account."""
        rows = rows.detach().to("cpu", torch.float64)
        finite = rows.isfinite()
        count = finite.sum(0)
        mean = rows.where(finite, 0).sum(0) / count.clamp_min(1)
        squares = (rows - mean).where(finite, 0).square().sum(0)
        total = self.count + count
        apart, share = mean - self.mean, count / total.clamp_min(1)
        self._squares += squares + apart.square() * self.count * share
        self.mean += apart * share
        self.count = total

    @property
    def deviation(self) -> Tensor:
        """The standard deviation of each feature (F,); 1 of constants."""
        found = (self._squares / self.count.clamp_min(1)).sqrt()
        return found.where(found > CONSTANT * self.mean.abs(), 1.0).where(found > 0, 1.0)

    def standardized(self, rows: Tensor) -> Tensor:
        """The features (..., F) with mean 0 and variance 1."""
        mean, deviation = (each.to(rows.device, rows.dtype) for each in (self.mean, self.deviation))
        return (rows - mean) / deviation
