"""Several fields, each through its own reader, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fitwell.models.mlp import Join
from fitwell.tuning.populations.stacking import Layer, with_stacked_children
from fitwell.tuning.populations.stacking.rows import View


class StackedJoin(nn.Module):
    """See ``fitwell.models.mlp.Join``.

    Args:
        readers: stacked, one a field.
        count: members, K.
    """

    def __init__(self, readers: Sequence[nn.Module], count: int) -> None:
        super().__init__()
        self.readers, self.count = nn.ModuleList(readers), count

    def forward(self, *fields: Tensor) -> Tensor:
        """The readers' outputs in the order of the fields: (K, B, width), or (1, B, width) if all are shared."""
        outputs = [read(field) for read, field in zip(self.readers, fields, strict=True)]
        if len({len(output) for output in outputs}) > 1:
            outputs = [output.expand(self.count, -1, -1) for output in outputs]
        return torch.cat(outputs, 2)


def _stack(modules: Sequence[nn.Module], rows: View, name: str) -> nn.Module:
    parts = with_stacked_children(modules, rows, name)
    return StackedJoin(list(parts.readers), rows.count)  # type: ignore[arg-type]


LAYER = Layer((Join,), _stack)
