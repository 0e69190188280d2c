"""Dropout after hidden activations, in training (Srivastava et al. 2014)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fitwell.treating.changing.activations import KINDS, Compute, on_hidden
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, p: float) -> None:
    def change(_input: Tensor, compute: Compute) -> Tensor:
        return functional.dropout(compute(), p, training=live.running.training)

    on_hidden(live, KINDS, change)


INTERVENTION = Intervention(
    says="dropout of {p:g} after hidden activations", apply=_apply, comparable=False, examples=({"p": 0.2},)
)
