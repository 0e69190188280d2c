"""Linear layers: one batched matrix product forward, two backward, gradients straight into their matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.tuning.populations.stacking import Layer
from fitwell.tuning.populations.stacking.rows import View

LARGE = 32_768  # weights of one member's layer, from which K products cost no more than one of all


class _Linear(torch.autograd.Function):
    """x (K or 1, B, I) -> (K, B, O). It writes the gradients of weight and bias where they belong.

    Autograd would make the gradient of a transposed weight and copy 4 P bytes to turn it round, and again to add it.
    """

    @staticmethod
    def forward(ctx: Any, x_KBI: Tensor, layer: StackedLinear, _anchor: Tensor) -> Tensor:
        ctx.layer = layer
        return layer.ahead(x_KBI)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        layer: StackedLinear = ctx.layer
        return layer.back(gradients[0], ctx.needs_input_grad[0]), None, None


class StackedLinear(nn.Module):
    """The linear layers of K members.

    Args:
        modules: one of each member; widths may differ.
        rows: their weights.
        name: of the modules.
    """

    def __init__(self, modules: Sequence[nn.Module], rows: View, name: str) -> None:
        super().__init__()
        self.rows, self.count, self.learns = rows, rows.count, True
        self.weight_KOI = rows.value(f"{name}.weight")
        self.weight_gradient = rows.gradient(f"{name}.weight")
        self.bias_KO1: Tensor | None = None
        self.bias_gradient: Tensor | None = None
        if modules[0].bias is not None:
            self.bias_KO1 = rows.value(f"{name}.bias")[:, :, None]
            self.bias_gradient = rows.gradient(f"{name}.bias")
        self._inputs = torch.empty(0)
        # Inputs need no gradient in the first layer, but its weights do: this makes autograd call backward.
        self.anchor = torch.zeros((), device=self.weight_KOI.device, requires_grad=True)

    def forward(self, x_KBI: Tensor) -> Tensor:
        """(K or 1, B, I) -> (K, B, O)."""
        if torch.is_grad_enabled():
            outputs: Tensor = _Linear.apply(x_KBI, self, self.anchor)  # type: ignore[no-untyped-call]
            return outputs
        return self.product(x_KBI)

    def ahead(self, x_KBI: Tensor) -> Tensor:
        """See ``chain.Direct``."""
        self._inputs = x_KBI
        return self.product(x_KBI)

    def back(self, gradient_KBO: Tensor, wanted: bool) -> Tensor | None:
        """See ``chain.Direct``."""
        gradient_KOB = gradient_KBO.mT
        self.keep_gradients(gradient_KOB, self._inputs.expand(self.count, -1, -1))
        return torch.bmm(self.weight_KOI.mT, gradient_KOB).mT if wanted else None

    def keep_gradients(self, gradient_KOB: Tensor, x_KBI: Tensor) -> None:
        """Write the gradients of weight and bias into their matrix; those of a further batch are added."""
        kept = int(self.rows.adding)
        if self.weight_gradient[0].numel() < LARGE and not kept:
            # One call for all members needs a result that lies together: copying it is cheaper than K calls.
            self.weight_gradient.copy_(torch.bmm(gradient_KOB, x_KBI))
        else:
            torch.baddbmm(self.weight_gradient, gradient_KOB, x_KBI, beta=kept, out=self.weight_gradient)
        if self.bias_gradient is not None:
            if kept:
                self.bias_gradient += gradient_KOB.sum(2)
            else:
                torch.sum(gradient_KOB, 2, out=self.bias_gradient)

    def product(self, x_KBI: Tensor) -> Tensor:
        """W x + b of every member: in memory (K, O, B)."""
        x_KIB = x_KBI.mT.expand(self.count, -1, -1)
        if self.bias_KO1 is None:
            return torch.bmm(self.weight_KOI, x_KIB).mT
        return torch.baddbmm(self.bias_KO1, self.weight_KOI, x_KIB).mT


def _stack(modules: Sequence[Any], rows: View, name: str) -> nn.Module:
    stacked = StackedLinear(modules, rows, name)
    rows.put_out([module.out_features for module in modules], stacked.weight_KOI.shape[1])
    return stacked


LAYER = Layer((nn.Linear,), _stack)
