"""Activations and the like: what is done to each number alone is the same with a model dimension."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fitwell.tuning.populations.stacking import Layer, settings
from fitwell.tuning.populations.stacking.rows import View


class StackedElementwise(nn.Module):
    """Members whose activations differ: each kind is applied to the rows of its members.

    Args:
        runs: for consecutive members of one kind its module, and how many they are.
    """

    def __init__(self, runs: Sequence[tuple[nn.Module, int]]) -> None:
        super().__init__()
        self.kinds = nn.ModuleList(module for module, _ in runs)
        self.counts = [count for _, count in runs]

    def forward(self, x: Tensor) -> Tensor:
        """(K or 1, B, ...) -> (K, B, ...), in memory as it came."""
        x = x.expand(sum(self.counts), *x.shape[1:])
        if x.ndim == 3:
            return torch.cat(self._each(x.mT.split(self.counts))).mT
        pieces = [piece.flatten(1, 2) for piece in x.transpose(0, 1).split(self.counts, 1)]
        maps: Tensor = torch.cat(self._each(pieces), 1).unflatten(1, (len(x), -1))
        return maps.transpose(0, 1)

    def _each(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        return [kind(piece) for kind, piece in zip(self.kinds, pieces, strict=True)]


def _stack(modules: Sequence[nn.Module], _rows: View, _name: str) -> nn.Module:
    groups = [list(group) for _, group in itertools.groupby(modules, key=settings)]
    if len(groups) == 1:
        return modules[0]
    return StackedElementwise([(group[0], len(group)) for group in groups])


# Rectifiers alone have a faster layer of their own: see relu.
LAYER = Layer(
    (nn.ReLU, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Hardtanh, nn.ReLU6,
     nn.Identity),
    _stack,
    mixes=True,
)  # fmt: skip
