"""Categories: one-hot columns that all members share, and each member's own tables of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from fitwell.models.mlp import Codes
from fitwell.tuning.populations.stacking import Layer, Unstackable
from fitwell.tuning.populations.stacking.rows import View


class StackedCodes(nn.Module):
    """See ``fitwell.models.mlp.Codes``.

    Args:
        codes: of the first member; all give the same columns.
        rows: the members' weights.
        name: of the modules.
    """

    def __init__(self, codes: Codes, rows: View, name: str) -> None:
        super().__init__()
        self.codes = codes
        self.tables = [rows.leaf(f"{name}.tables.{i}.weight") for i in range(len(codes.many))]

    def forward(self, codes_KBC: Tensor) -> Tensor:
        """(K or 1, B, columns) -> (K, B, width), one-hot columns first; shared if there are no tables."""
        shown, batch, _ = codes_KBC.shape
        ones = torch.zeros((shown, batch, self.codes.one_hot_width), device=codes_KBC.device)
        ones.scatter_(2, codes_KBC.index_select(2, self.codes.few) + self.codes.offsets, 1.0)
        if not self.tables:
            return ones
        count = len(self.tables[0])
        embedded = [
            _look_up(table_KLD, codes_KBC[:, :, column].expand(count, -1))
            for table_KLD, column in zip(self.tables, self.codes.many, strict=True)
        ]
        return torch.cat([ones.expand(count, -1, -1), *embedded], 2)


def _look_up(table_KLD: Tensor, codes_KB: Tensor) -> Tensor:
    """(K, B, D): each member's own row of each code."""
    count, levels, _ = table_KLD.shape
    first_K1 = torch.arange(0, count * levels, levels, device=codes_KB.device)[:, None]
    return embedding(codes_KB + first_K1, table_KLD.flatten(0, 1))


def _stack(modules: Sequence[Any], rows: View, name: str) -> nn.Module:
    if len({columns(module) for module in modules}) > 1:
        raise Unstackable(f"{name} has other columns")
    return StackedCodes(modules[0], rows, name)


def columns(codes: Codes) -> tuple[object, ...]:
    """What the columns of an output mean, which must be the same for the weights of a layer that reads them.

    Categories of an embedded column may be more or less: where a fold of the data lacks some.
    """
    widths = tuple(weight.shape[1] for weight in codes.tables.parameters())
    return tuple(codes.few.tolist()), tuple(codes.offsets.tolist()), codes.one_hot_width, widths


LAYER = Layer((Codes,), _stack)
