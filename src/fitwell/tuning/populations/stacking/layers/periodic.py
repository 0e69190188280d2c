"""Periodic embeddings of numbers: waves before samples in memory, so that their product is a batched one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fitwell.models.periodic import Periodic
from fitwell.tuning.populations.stacking import Layer
from fitwell.tuning.populations.stacking.rows import View


class StackedPeriodic(nn.Module):
    """See ``fitwell.models.periodic.Periodic``. Legend: N numbers, M waves, D dimensions of an embedding.

    Args:
        rows: the members' weights.
        name: of the modules.
    """

    def __init__(self, rows: View, name: str) -> None:
        super().__init__()
        self.frequency_KNM, self.phase_KNM = (
            rows.leaf(f"{name}.{n}") for n in ("frequency_FW", "phase_bias_FW")
        )
        self.weight_KNMD, self.bias_KND = rows.leaf(f"{name}.weight_FWD"), rows.leaf(f"{name}.bias_FD")

    def forward(self, x_KBN: Tensor) -> Tensor:
        """(K or 1, B, N) -> (K, B, N + N D): the numbers, then the embedding of each."""
        count, numbers, dimensions = self.bias_KND.shape
        x_KNB = x_KBN.mT
        angle_KNMB = torch.addcmul(
            self.phase_KNM[..., None], x_KNB[:, :, None, :], self.frequency_KNM[..., None]
        )
        embedded_KNDB = self.weight_KNMD.mT @ torch.cos(angle_KNMB) + self.bias_KND[..., None]
        flat_KFB = torch.relu(embedded_KNDB).reshape(count, numbers * dimensions, -1)
        return torch.cat([x_KNB.expand(count, -1, -1), flat_KFB], 1).mT


def _stack(_modules: Sequence[nn.Module], rows: View, name: str) -> nn.Module:
    return StackedPeriodic(rows, name)


LAYER = Layer((Periodic,), _stack)
